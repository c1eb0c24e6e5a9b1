"""Hydra's errors as problems, each at the override or at the entry of a defaults list that it speaks of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.errors import MissingConfigException

from hfspec.errors import HfspecError, SpecError
from hfspec.ir.problem import Origin, Problem, one_of
from hfspec.language import key_places
from hfspec.language.documents import Folder
from hfspec.language.hydra_keys import braced
from hfspec.language.kind import DocumentKind

_NOISE = re.compile(r"LexerNoViableAltException: .*|Error parsing override '.*'")
# Hydra's messages, and what the person at the command line is to do about each.
_REMEDIES = (
    (r"Ambiguous value", "To sweep over the values, add -m (--multirun); for a list, write key=[value1,value2]."),
    (r"Multiple values for (\S+)\. ", r"The {noun} chooses one already: write \1=… without the +, to choose another."),
    (r"Config group override must be", "Name an option of the group, or take the group out with ~group."),
    (r"does not support sweep type", "Sweep over values, choice(…), range(…) or glob(…)."),
    (r"Error resolving interpolation", "An entry may refer to another entry of the list only, as `${group}`."),
)


@contextmanager
def translated(folder: Folder, overrides: Sequence[Override], *, certain: bool = False) -> Iterator[None]:
    """Raise every error of Hydra's in the block as a SpecError.

    Args:
        folder: The folder of the composed document.
        overrides: The overrides in force.
        certain: Whether the overrides, and not a defaults list, are at work, so that an error is one of theirs.

    Raises:
        SpecError: Hydra raised an error.
    """
    try:
        yield
    except HfspecError:
        raise
    except MissingConfigException as error:
        raise SpecError([_missing(folder, error, overrides)]) from error
    except RecursionError as error:
        message = "The defaults lists extend each other in a circle."
        raise SpecError([Problem("defaults", message, _defaults_origin(folder, error), ("defaults",))]) from error
    except Exception as error:  # the boundary: Hydra raises assertions, ValueErrors and its own, for content
        raise SpecError([_problem(folder, error, overrides, certain=certain)]) from error


def _problem(folder: Folder, error: Exception, overrides: Sequence[Override], *, certain: bool) -> Problem:
    text = _sentence(error)
    message, remedy = _advice(text, folder.kind)
    suspects = [override for override in overrides if _is_about(override, text)] or (list(overrides) if certain else [])
    if not suspects:
        return Problem("defaults", message, _defaults_origin(folder, error), ("defaults",), remedy=remedy)
    blamed = suspects if certain else suspects[:1]
    origin = Origin(override=" ".join(override.input_line or "" for override in blamed))
    return Problem("override", message, origin, remedy=remedy)


def _is_about(override: Override, text: str) -> bool:
    if override.key_or_group and override.key_or_group in text:
        return True
    return "Config group override must be" in text and not isinstance(override.value(), str | list)


def _advice(text: str, kind: DocumentKind) -> tuple[str, str]:
    """A whole sentence of what is wrong, and the remedy where Hydra's own advice would mislead."""
    message, remedy = text.rstrip(". ") + ".", ""
    for pattern, advice in _REMEDIES:
        if match := re.search(pattern, text):
            remedy = match.expand(advice).replace("{noun}", kind.noun)
    return re.sub(r"\.? (?:1\. To use it as a list|To override a value use)\b.*", ".", message), remedy


def unreadable(text: str, error: Exception) -> Problem:
    """Say what is wrong with an override that Hydra cannot read.

    Args:
        text: The override.
        error: What Hydra's grammar said.

    Returns:
        The problem.
    """
    origin = Origin(override=text or "an empty argument")
    key, equals, value = text.partition("=")
    if not equals and not text.startswith("~"):
        return Problem("override", "An override is written key=value.", origin, found=text)
    if re.search(r"[\[\]]", key):
        right = re.sub(r"\[(-?\d+)\]", r".\1", key)
        remedy = f"A place in a list is written with a dot, as in `{right}=…`."
        return Problem("override", "The override's key cannot be read.", origin, found=key, remedy=remedy)
    if match := re.fullmatch(r"([\w.]+)\.([\"'])([^\"'{}]+)\2((?:\.\w+)*)", key):
        remedy = f"A part that has dots of its own stands in braces: {braced(match[1], match[3], match[4], value)}."
        return Problem("override", "The override's key cannot be read.", origin, found=key, remedy=remedy)
    if re.search(r"[\s\"']", key):
        remedy = "A key is written without spaces and quotes: key=value, with dots between its parts."
        return Problem("override", "The override's key cannot be read.", origin, found=key, remedy=remedy)
    reason = _sentence(error.__cause__) if error.__cause__ is not None else _NOISE.sub("", _sentence(error)).strip(" :")
    message = f"The override cannot be read{': ' + reason if reason else ''}."
    if "Unknown function" in reason:
        remedy = "Quote the value if it is text: 'key=\"f(x)\"'."
    elif re.search(r"\{\s*[\"']", text):
        remedy = "Hydra takes no quotes round the keys of a mapping: 'key={name: \"a value\"}'."
    else:
        remedy = "Quote the value, for Hydra and for the shell: 'key=\"a value\"'."
    return Problem("override", message, origin, remedy=remedy)


def check_group(override: Override, folder: Folder) -> None:
    """Refuse an override that chooses from a group by its name without the ``_`` it begins with.

    Args:
        override: The override.
        folder: The folder that has the groups.

    Raises:
        SpecError: The override does.
    """
    key = override.key_or_group
    if not folder.is_group(key) and folder.is_group(f"_{key}") and not key_places.is_key(key, folder.kind):
        origin = Origin(override=override.input_line or "")
        text = (override.input_line or "").replace(key, f"_{key}", 1)
        message = f"There is no config group `{key}`; the folder is called `_{key}`."
        raise SpecError([Problem("override", message, origin, (key,), remedy=f"Write `{text}`.")])


def _missing(folder: Folder, error: Any, overrides: Sequence[Override]) -> Problem:
    name = str(error.missing_cfg_file)
    group, _, last = name.rpartition("/")
    options = [option for option in folder.names(group) if not option.endswith("/")]
    close = get_close_matches(last, options, n=1) or ([f"_{name}"] if folder.has(f"_{name}") else [])
    texts = [override.input_line or "" for override in overrides if override.value() == last]
    return Problem(
        "unknown-config",
        f"There is no config `{name}` below {folder.root.name}/.",
        Origin(override=texts[0]) if texts else _defaults_origin(folder, error),
        ("defaults",),
        expected=one_of(options) if options else "",
        found=name,
        nearest=close[0] if close else "",
        remedy=f"Configs are looked up from the nearest folder named specs above the {folder.kind.noun}, else from the "
        f"{folder.kind.noun}'s own.",
    )


def _defaults_origin(folder: Folder, error: BaseException) -> Origin:
    """The entry that the error names, or its list, or the file."""
    text = str(error)
    match = re.search(r"[Ii]n '?([^':]+)'?:", text)
    document = folder.document(match.group(1)) if match and folder.has(match.group(1)) else folder.primary
    missing = str(getattr(error, "missing_cfg_file", "") or "").rpartition("/")[2]
    spoken_of = [missing] if missing else re.findall(r"override '([^']+)'|interpolation '([^']+)'", text)
    words = [word for groups in spoken_of for word in ([groups] if isinstance(groups, str) else groups) if word]
    entries = document.value.get("defaults")
    for index, entry in enumerate(entries if isinstance(entries, tuple) else ()):
        if any(word in str(entry) for word in words):
            return document.origins[("defaults", index)]
    return document.origins.get(("defaults",), document.origins[()])


def _sentence(error: BaseException) -> str:
    text = re.split(r"\n(?:Config search path|See https)", str(error) or "It is not well formed.")[0]
    if error.__cause__ is not None and str(error.__cause__):
        text += f" ({str(error.__cause__).splitlines()[0]})"
    return " ".join(text.split())
