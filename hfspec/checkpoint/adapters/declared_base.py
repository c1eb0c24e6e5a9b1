"""Whether an adapter was trained on the model that the spec puts it on, by what both say of themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from hfspec.checkpoint.source_files import SourceFiles
from hfspec.ir.pins import SourcePin
from hfspec.ir.problem import Problem
from hfspec.ir.spec_keys import Adapter as AdapterKey

# A folder of the hub's cache: models--owner--name/snapshots/<commit>.
CACHED = re.compile(r"(?:.*/)?models--(.+?)/snapshots/([0-9a-f]{40})/?")
COMMIT = re.compile(r"[0-9a-f]{7,40}")


@dataclass(frozen=True, slots=True)
class Base:
    """The base that an adapter says it was trained on: a repository or the last part of a folder's path; empty for
    nothing.
    """

    name: str
    is_folder: bool
    revision: str

    def __str__(self) -> str:
        at = f" at {self.revision}" if self.revision else ""
        return f"{'a folder ' if self.is_folder else ''}{self.name}{at}"


def declared_base(config: Mapping[str, Any]) -> Base:
    """The base in an adapter's config, without a path of the machine that trained it."""
    name, revision = (str(config.get(key) or "") for key in ("base_model_name_or_path", "revision"))
    path = name.replace("\\", "/")
    cached = CACHED.fullmatch(path)
    if cached:
        return Base(cached[1].replace("--", "/"), False, cached[2])
    is_folder = path.startswith(("/", ".", "~")) or ":" in path or path.count("/") > 1 or path.endswith("/")
    return Base(PurePosixPath(path).name if is_folder else path, is_folder, revision)


def base_problems(
    adapter: SourceFiles, base: Base, model: SourceFiles, config: Mapping[str, Any], key: AdapterKey
) -> Iterator[Problem]:
    """A mismatch of the declared base and the spec's, unless the spec says why it is meant so."""
    fault = _fault(base, model.pin, config)
    if fault and key.allow_base_mismatch is None:
        yield adapter.problem(
            "adapter-base",
            f"the adapter was trained on another model than the spec's: {fault}",
            expected=_own(model.pin),
            found=str(base),
            remedy="name that model under `model`, or say under `adapter.allow_base_mismatch` why this one will do",
        )


def base_notes(base: Base, model: SourceFiles, config: Mapping[str, Any], key: AdapterKey) -> Iterator[str]:
    """Notes of the plan on the adapter's base."""
    fault, reason = _fault(base, model.pin, config), key.allow_base_mismatch
    if fault and reason is not None:
        yield f"The adapter was trained on {base}, the model is {_own(model.pin)}; allowed, since: {reason}"
    elif reason is not None:
        yield "allow_base_mismatch is not needed: nothing contradicts the base that the adapter names."
    if not base.name:
        yield "The adapter does not say which base it was trained on; its tensors fit this one."
    elif not fault and base.revision and not _same_revision(base.revision, model.pin):
        yield f"The adapter was trained on {base}; whether that is {_own(model.pin)} cannot be known from here."


def _fault(base: Base, pin: SourcePin, config: Mapping[str, Any]) -> str:
    """Why the declared base cannot be the spec's; empty when it can."""
    if not base.name:
        return ""
    if not _same_name(base, pin, config):
        return "its name is another"
    commit = base.revision if COMMIT.fullmatch(base.revision) else ""
    if commit and pin.commit and not pin.commit.startswith(commit):
        return "its commit is another"
    return ""


def _same_name(base: Base, pin: SourcePin, config: Mapping[str, Any]) -> bool:
    """A folder's name is all that is left of a path; a repository's old name lacks its owner."""
    last = PurePosixPath(base.name).name
    trained_as = str(config.get("_name_or_path") or "")
    if pin.kind == "repo":
        own = {pin.location}
        bare = base.is_folder or "/" not in base.name or "/" not in pin.location
    else:
        own = {pin.portable_location, trained_as}
        own |= {PurePosixPath(name).name for name in own} | {pin.location.split("/")[0]}
        bare = True
    names = {PurePosixPath(name).name for name in own if name} if bare else own
    return (last if bare else base.name) in names


def _same_revision(revision: str, pin: SourcePin) -> bool:
    return revision == (pin.revision or "main") or bool(pin.commit and pin.commit.startswith(revision))


def _own(pin: SourcePin) -> str:
    at = f" at {pin.revision or pin.commit}" if pin.commit else ""
    return f"{pin.kind} {pin.portable_location}{at}"
