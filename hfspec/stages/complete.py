"""A restored folder completed and put in the place of the reference artifact that it was made from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hfspec.artifact.persisted import REWRITTEN, SAVE_MODE, persisted_texts
from hfspec.artifact.staging import put_in_place, settle
from hfspec.artifact.texts import SPEC
from hfspec.artifact.writing import write_bytes
from hfspec.errors import SpecError, VerificationError
from hfspec.integrity.marking import marked
from hfspec.ir.artifact import MANIFEST_NAME, Artifact, FileRecord, Manifest
from hfspec.ir.canonical import digest_of
from hfspec.ir.frozen import thaw
from hfspec.language.yaml12 import read_yaml


def complete(manifest: Manifest, files: Sequence[FileRecord], staging: Path, folder: Path) -> Artifact:
    """The full artifact at ``folder``, byte for byte what compiling its spec with save_mode=full would have made.

    ``manifest``: of the reference artifact there; ``files``: built under ``staging``. Raises VerificationError when a
    file that is rewritten is not the one that was verified, or the spec not the one that was compiled, OSError for what
    the disk refuses.
    """
    texts = {path: _text(path, manifest, folder) for path in REWRITTEN}
    spec_digest = _full_digest(texts[SPEC], manifest)
    contents = persisted_texts(texts, spec_digest, files)
    own = [write_bytes(path, content, staging / path) for path, content in sorted(contents.items())]
    records = tuple(sorted([*files, *own], key=lambda record: record.path))
    full = marked(replace(manifest, spec_digest=spec_digest, files=records, pointers=()), staging)
    write_bytes(MANIFEST_NAME, full.to_bytes(), staging / MANIFEST_NAME)
    settle(staging)
    put_in_place(staging, folder)
    return Artifact(folder, full)


def _text(path: str, manifest: Manifest, folder: Path) -> str:
    """A file's text as it was verified: what is made of it, a new manifest vouches for."""
    content = (folder / path).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest not in {record.sha256 for record in manifest.files if record.path == path}:
        raise VerificationError(
            f"{folder / path} was changed after it was verified; once nothing writes to the artifact, run this again.",
            [path],
        )
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise VerificationError(f"{path} of the artifact is not text.", [path]) from error


def _full_digest(text: str, manifest: Manifest) -> str:
    """The digest of the spec with its weights in full."""
    try:
        document = thaw(read_yaml(text.encode(), SPEC).value)
    except SpecError as error:
        raise VerificationError(f"{SPEC} of the artifact is not a spec: {error}", [SPEC]) from error
    if digest_of(document) != manifest.spec_digest:
        raise VerificationError(f"{SPEC} of the artifact is not the spec that it was compiled from.", [SPEC])
    return digest_of({**document, SAVE_MODE: "full"})
