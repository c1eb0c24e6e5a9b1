"""The packages of a container that serves an artifact, each with the hash of the file that pip would install."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hfspec.errors import UsageError
from hfspec.export.facts import Facts
from hfspec.export.wheel import installed
from hfspec.sources.package_index import hashed_lines

EXTRA = "serve"
# Only some models need these: the artifact's own lines say which.
OF_MODELS = frozenset(["torch", "transformers", "sentence-transformers", "safetensors"])
PINNED = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*(\[[^]]*\])?==[^\s;*]+.*--hash=sha(256|384|512):[0-9a-f]+")


def requirements(facts: Facts, file: Path | None) -> str:
    """Write the file for `pip install --require-hashes -r`, with all that hfspec and the artifact need.

    Args:
        facts: The artifact's facts.
        file: A file that has them already; without one pip finds them, for the running Python.

    Returns:
        The file's text.

    Raises:
        UsageError: The file cannot be read, or has lines without a version or a hash; or pip would answer for another
            Python or system than the container's.
        SourceError: Pip does not find the packages.
    """
    packages = needed(facts)
    if file is not None:
        return _checked(file, packages)
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    if facts.python != running or sys.platform != "linux":
        raise UsageError(
            f"the artifact was planned for Python {facts.python}, and the container runs Linux, but pip here finds the"
            f" packages of Python {running} on {sys.platform}: run this where they agree, or give --requirements FILE"
        )
    return hashed_lines(packages, f"For Python {running} on linux.")


def needed(facts: Facts) -> list[str]:
    """The packages that the artifact names, and those of the server, as pip takes them."""
    return [*facts.requirements, *_server_packages(facts)]


def _server_packages(facts: Facts) -> Iterator[str]:
    """The server's packages beside the artifact's own requirements, at the versions that are installed here."""
    others = {canonicalize_name(Requirement(line).name) for line in facts.requirements} | OF_MODELS
    for line in installed().requires or ():
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        is_meant = requirement.marker is None or requirement.marker.evaluate({"extra": EXTRA})
        if not is_meant or name in others:
            continue
        try:
            yield f"{name}=={version(name).partition('+')[0]}"
        except PackageNotFoundError:
            yield f"{name}{requirement.specifier}"


def _checked(file: Path, packages: Sequence[str]) -> str:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise UsageError(f"--requirements {file} cannot be read: {reason}") from error
    loose = [line for line in _logical_lines(text) if not PINNED.match(line)]
    if loose:
        raise UsageError(
            f"--requirements {file} has lines without a version and a hash, such as `{loose[0]}`; write it with"
            " `pip-compile --generate-hashes`"
        )
    names = {canonicalize_name(re.split(r"[\[=]", line)[0]) for line in _logical_lines(text)}
    missing = sorted({canonicalize_name(Requirement(line).name) for line in packages} - names)
    if missing:
        raise UsageError(f"--requirements {file} lacks what the container needs: {', '.join(missing)}; add them")
    return text


def _logical_lines(text: str) -> Sequence[str]:
    """The lines as pip joins them, without comments, empty lines and options of the whole file."""
    lines = (re.sub(r"(^|\s)#.*$", "", line).strip() for line in text.replace("\\\n", " ").splitlines())
    return [line for line in lines if line and not line.startswith("-")]
