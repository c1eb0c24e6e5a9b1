"""The combinations of a multirun: all checked before the first is compiled, each with a place of its own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from hfspec.errors import SpecError, UsageError

# A file name may have 255 bytes; a compile works in a folder beside its target whose name is a little longer.
MAX_NAME_BYTES = 150


def targets(spec: Path, overrides: Sequence[str], output: Path | None) -> tuple[tuple[Path, tuple[str, ...]], ...]:
    """Choose where each combination of a sweep goes.

    Args:
        spec: The spec.
        overrides: Hydra's overrides, sweeps among them.
        output: The folder below which each combination gets a folder that is named for its overrides; None: each goes
            to
            ``build/<name>--<overrides>``, beside the artifact that a plain compile makes.

    Returns:
        The folder of each combination and its overrides; each combination once, in Hydra's order.

    Raises:
        SpecError: With the problems of all combinations.
        UsageError: ``output`` is an artifact itself.
    """
    from hfspec.language import composition

    if output is not None and (output / "artifact.json").exists():
        raise UsageError(f"{output} is an artifact; a multirun puts several below a folder: choose another --output")
    combinations = [list(each) for each in dict.fromkeys(map(tuple, composition.sweep(spec, overrides)))]
    defaults = _default_targets(spec, combinations)
    own = _distinct(combinations)
    places = [
        (output / (name or "default")) if output else place.with_name(f"{place.name}--{name}" if name else place.name)
        for place, name in zip(defaults, own, strict=True)
    ]
    return tuple(zip(places, map(tuple, combinations), strict=True))


def _default_targets(spec: Path, combinations: list[list[str]]) -> list[Path]:
    from hfspec import compiler

    problems, places = {}, []
    for combination in combinations:
        try:
            places.append(compiler.default_target(spec, combination))
        except SpecError as error:
            problems.update(dict.fromkeys(error.problems))
    if problems:
        raise SpecError(list(problems))
    return places


def _distinct(combinations: list[list[str]]) -> list[str]:
    """A name for each, of the overrides in which it differs from the others: ``dtype-bfloat16--model_config.top_k-3``.

    Names that come out alike, or too long for a file name, end in a digest of their overrides.
    """
    shared = set(combinations[0]).intersection(*combinations) if len(combinations) > 1 else set()
    own = [[override for override in each if override not in shared] for each in combinations]
    texts = [",".join(each) for each in own]
    names = ["--".join(map(_file_name, each)) for each in own]
    alike = Counter(name.casefold() for name in names)
    return [
        name if alike[name.casefold()] == 1 and len(name.encode()) <= MAX_NAME_BYTES else _shortened(name, text)
        for name, text in zip(names, texts, strict=True)
    ]


def _file_name(text: str) -> str:
    """``key-value`` in ASCII letters, digits, dots, dashes and underscores, which no shell, URL or tool reads
    otherwise; what is quoted or bracketed stands without its quotes and brackets.
    """
    key, _, value = text.lstrip("+").partition("=")
    words = [re.sub(r"[^A-Za-z0-9._-]+", "_", part).strip("_") for part in (key, value)]
    return "-".join(filter(None, words))


def _shortened(name: str, text: str) -> str:
    head = name.encode()[: MAX_NAME_BYTES - 9].decode(errors="ignore")
    return f"{head}-{sha256(text.encode(errors='surrogateescape')).hexdigest()[:8]}"
