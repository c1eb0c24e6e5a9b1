"""A repository of the Hugging Face Hub at one commit: its file list, its files, the headers of its weights."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import HFValidationError, HTTPError

from hfspec.errors import SourceError, StorageError
from hfspec.ir.pins import FilePin, Opened, SourceName, WeightHeader
from hfspec.ir.progress import Progress
from hfspec.ir.safetensors_header import header_length, parse_header
from hfspec.sources.folder import read_header, unsound
from hfspec.sources.hub_access import Access, access
from hfspec.sources.hub_cache import COMMIT, RepoCache, digest_of
from hfspec.sources.hub_errors import HubRequest
from hfspec.sources.patience import IncompleteAnswerError
from hfspec.sources.small import check_small
from hfspec.sources.transfer import Remote

T = TypeVar("T")
# Headers are some kilobytes: most come whole with the first request.
FIRST_READ = 100_000


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of the commit. ``etag``: its sha256 when it is large, else git's blob id; the cache's name for it."""

    pin: FilePin
    etag: str


@dataclass(slots=True)
class HubSource:
    """One repository, pinned to a commit; a Reader. ``holds``: whether a file has the digest that an etag states. Made
    by open_repo, and by pinned_repo.
    """

    access: Access
    commit: str
    listing: Mapping[str, HubFile]
    progress: Progress
    holds: Callable[[Path, str], bool] = lambda file, etag: digest_of(file, etag) == etag
    _read_headers: dict[str, WeightHeader] = field(default_factory=dict)
    _fetched: dict[str, Path] = field(default_factory=dict)

    @property
    def request(self) -> HubRequest:
        return self.access.request

    @property
    def cache(self) -> RepoCache:
        return self.access.cache

    @property
    def files(self) -> tuple[FilePin, ...]:
        return tuple(file.pin for file in self.listing.values())

    def small(self, path: str) -> Path:
        check_small(self.request.repo, path, self._file(path).pin.size)
        return self.fetch(path)

    def header(self, path: str) -> WeightHeader:
        if path not in self._read_headers:
            try:
                self._read_headers[path] = self._header(self._file(path))
            except ValueError as error:
                raise unsound(self.request.repo, path, error) from error
        return self._read_headers[path]

    def fetch(self, path: str) -> Path:
        if path not in self._fetched:  # digests of large files take long: once a reader
            self._fetched[path] = self._fetch(self._file(path))
        return self._fetched[path]

    def _fetch(self, file: HubFile) -> Path:
        path = file.pin.path
        pointer = self.cache.snapshot(self.commit) / path
        try:
            if not self._is_sound(pointer, file):
                pointer = self._download(file)
        except OSError as error:
            raise StorageError(
                f"{pointer} cannot be written or read: {error.strerror or error}. It lies in the hub's cache, which"
                " HF_HUB_CACHE puts on another disk."
            ) from error
        self._check_header(path, pointer)
        return pointer

    def _file(self, path: str) -> HubFile:
        if path not in self.listing:
            raise SourceError(f"{self.request.repo} has no file {path} at commit {self.commit}.")
        return self.listing[path]

    def _remote(self, file: HubFile) -> Remote:
        url = hf_hub_url(self.request.repo, file.pin.path, revision=self.commit, endpoint=self.request.endpoint)
        return Remote(url, file.pin.size, dict(self.access.headers), self.request.patience)

    def _is_sound(self, pointer: Path, file: HubFile) -> bool:
        """Whether the file is there with the right bytes."""
        if not pointer.is_file():
            return False
        return pointer.stat().st_size == file.pin.size and self.holds(pointer, file.etag)

    def _download(self, file: HubFile) -> Path:
        if self.access.offline:
            raise SourceError(self._not_cached(file))
        path, blob = file.pin.path, self.cache.blob(file.etag)
        blob.parent.mkdir(parents=True, exist_ok=True)
        with self.cache.lock(file.etag):
            if not self._is_sound(blob, file):
                self._transfer(file, blob.with_name(f"{blob.name}.incomplete")).replace(blob)
            return self.cache.place(self.commit, path, file.etag)

    def _not_cached(self, file: HubFile) -> str:
        pointer = self.cache.snapshot(self.commit) / file.pin.path
        state = "is damaged in the cache" if pointer.exists() else f"of commit {self.commit} is not in the cache"
        return (
            f"{self.request.repo}: {file.pin.path} {state} ({self.cache.folder}), and HF_HUB_OFFLINE forbids to"
            " download it; unset it where a hub can be reached, or bring the cache along."
        )

    def _transfer(self, file: HubFile, partial: Path) -> Path:
        """The whole file in ``partial``, its digest checked; begun anew once if an older partial file was wrong."""
        is_resumed = partial.exists() and partial.stat().st_size > 0
        self.progress.start(f"{self.request.repo}: {file.pin.path}", file.pin.size)
        try:
            self._remote(file).download(partial, self.progress.advance)
        except (HTTPError, IncompleteAnswerError) as error:
            raise self.request.explain(error, file.pin.path) from error
        finally:
            self.progress.finish()
        digest = digest_of(partial, file.etag)
        if digest == file.etag:
            return partial
        partial.unlink()
        if is_resumed:
            return self._transfer(file, partial)
        raise SourceError(
            f"{self.request.repo}: {file.pin.path} was refused: the bytes that came have the digest {digest} instead of"
            f" {file.etag}. They were thrown away; run again, and if it happens again, tell the hub's owners."
        )

    def _header(self, file: HubFile) -> WeightHeader:
        pointer, size = self.cache.snapshot(self.commit) / file.pin.path, file.pin.size
        if pointer.is_file() and pointer.stat().st_size == size:
            return read_header(pointer)
        if self.access.offline:
            raise SourceError(f"{self.request.repo}: {file.pin.path} is not in the cache, and HF_HUB_OFFLINE is set.")
        remote = self._remote(file)
        prefix = self._ask(lambda: remote.read(0, min(size, FIRST_READ)), file.pin.path)
        length = header_length(prefix, size)
        if length > len(prefix):
            prefix += self._ask(lambda: remote.read(len(prefix), length - len(prefix)), file.pin.path)
        return parse_header(prefix, size)

    def _ask(self, action: Callable[[], T], path: str) -> T:
        try:
            return action()
        except (HTTPError, IncompleteAnswerError) as error:
            raise self.request.explain(error, path) from error

    def _check_header(self, path: str, pointer: Path) -> None:
        """Check that the verified file has the header, read by range, that the plan was made with."""
        planned_header = self._read_headers.get(path)
        if planned_header is not None and planned_header != read_header(pointer):
            raise SourceError(
                f"{self.request.repo}: the header of {path} that came first differs from the verified file's; run"
                " again."
            )


def open_source(source: SourceName) -> Opened:
    """Open the repository that a spec names.

    Args:
        source: The source, as the spec names it.

    Returns:
        The opened source.

    Raises:
        SourceError: The repository cannot be reached or read.
    """
    repository = open_repo(source.location, source.revision, source.progress)
    return Opened(repository, repository.files, commit=repository.commit)


def open_repo(repo: str, revision: str | None, progress: Progress) -> HubSource:
    """Open a repository at the commit that a revision names now.

    The environment says endpoint, cache, token, time-outs and offline mode, by the names that the hub's client
    documents.

    Args:
        repo: The repository, ``owner/name``.
        revision: A commit, branch or tag; by default ``main``.
        progress: Told of what is downloaded.

    Returns:
        The source.

    Raises:
        SourceError: The repository cannot be reached or read.
    """
    route = access(repo, revision or "main", os.environ)
    request, cache = route.request, route.cache
    if route.offline:
        commit, listing = _from_cache(request, cache)
        return HubSource(route, commit, listing, progress)
    commit, listing = _from_hub(request, HfApi(endpoint=request.endpoint, token=route.token, library_name="hfspec"))
    with suppress(OSError):
        cache.remember(request.revision, commit)
    return HubSource(route, commit, listing, progress)


def _from_hub(request: HubRequest, api: Any) -> tuple[str, dict[str, HubFile]]:
    try:
        info = request.patience.keep_trying(lambda: _info(request, api))
    except (HTTPError, IncompleteAnswerError, HFValidationError) as error:
        raise request.explain(error, revisions=_known_revisions(request, api, error)) from error
    if not COMMIT.fullmatch(info.sha or "") or info.siblings is None:
        raise SourceError(f"{request.endpoint} does not answer as a Hugging Face Hub does; check HF_ENDPOINT.")
    files = (_hub_file(request, sibling) for sibling in info.siblings)
    return info.sha, dict(sorted(files, key=lambda entry: entry[0]))


def _info(request: HubRequest, api: Any) -> Any:
    timeout = request.patience.answer_timeout
    try:
        return api.model_info(request.repo, revision=request.revision, files_metadata=True, timeout=timeout)
    except (HTTPError, HFValidationError):
        raise
    except (ValueError, TypeError, KeyError) as error:
        raise IncompleteAnswerError("the list of files is not what a hub gives") from error


def _hub_file(request: HubRequest, sibling: Any) -> tuple[str, HubFile]:
    path = str(sibling.rfilename)
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\\" in path:
        raise SourceError(f"The hub lists a file whose path would leave its folder: {path!r}.")
    sha256 = sibling.lfs.sha256 if sibling.lfs else None
    etag = sha256 or sibling.blob_id
    if sibling.size is None or not etag:
        raise SourceError(f"{request.endpoint} states no size and digest for {path}, as a Hugging Face Hub does.")
    return path, HubFile(FilePin(path, int(sibling.size), sha256), str(etag))


def _known_revisions(request: HubRequest, api: Any, error: Exception) -> tuple[str, ...]:
    if type(error).__name__ != "RevisionNotFoundError":
        return ()
    with suppress(HTTPError, ValueError, KeyError):
        refs = api.list_repo_refs(request.repo)
        return tuple(ref.name for ref in [*refs.branches, *refs.tags])
    return ()


def _from_cache(request: HubRequest, cache: RepoCache) -> tuple[str, dict[str, HubFile]]:
    commit = request.revision if COMMIT.fullmatch(request.revision) else cache.commit(request.revision)
    folder = cache.snapshot(commit) if commit else None
    if commit is None or folder is None or not folder.is_dir():
        raise SourceError(
            f"{request.repo} at revision {request.revision!r} is not in the cache ({cache.root}), and HF_HUB_OFFLINE"
            " forbids to ask the hub."
        )
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return commit, {path.relative_to(folder).as_posix(): _cached_file(folder, path) for path in paths}


def _cached_file(folder: Path, path: Path) -> HubFile:
    blob = path.resolve().name if path.is_symlink() else ""
    sha256 = blob if len(blob) == 64 else None
    etag = blob if len(blob) in (40, 64) else digest_of(path, "")
    return HubFile(FilePin(path.relative_to(folder).as_posix(), path.stat().st_size, sha256), etag)
