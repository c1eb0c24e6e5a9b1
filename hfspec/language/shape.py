"""Findings of the JSON Schema in a person's words: which key, what was expected, what was found, the nearest name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher, get_close_matches
from functools import cache
from typing import Any

from hfspec.ir.frozen import thaw
from hfspec.ir.patterns import END
from hfspec.ir.problem import KeyPath, Origin, Problem, dotted, one_of
from hfspec.ir.source_kinds import PLACES, SOURCE_KINDS
from hfspec.ir.tree import Tree
from hfspec.language import composed, dtypes, hydra_keys, key_places
from hfspec.language.kind import DocumentKind
from hfspec.language.provenance import MISSING
from hfspec.language.task_names import task_of
from hfspec.language.yaml12 import QUOTE_TEXT
from hfspec.tasks import table

ARTICLES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a mapping",
    "array": "a list",
    "null": "null",
}

YAML_1_1_BOOLEANS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


def problems(tree: Tree, kind: DocumentKind) -> Iterator[Problem]:
    """Check a document by its JSON Schema.

    Args:
        tree: The document.
        kind: What kind of document it is.

    Returns:
        Every way in which it is not of the language's shape; each once.
    """
    places: set[tuple[str, KeyPath]] = set()
    for error in _validator(kind).iter_errors(thaw(tree.value)):
        for problem in () if error.instance == MISSING or _is_said_better(error) else _translate(error, tree, kind):
            if (problem.code, problem.path) not in places:
                places.add((problem.code, problem.path))
                yield problem


def _is_said_better(error: Any) -> bool:
    """Whether another rule, which is broken as well, says more than the type does."""
    return error.validator == "type" and not {"enum", "const", "oneOf"}.isdisjoint(error.schema)


@cache
def _validator(kind: DocumentKind) -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(kind.schema())


def _translate(error: Any, tree: Tree, kind: DocumentKind) -> Iterator[Problem]:
    path: KeyPath = tuple(error.absolute_path)
    if error.validator == "additionalProperties":
        names = list(error.schema.get("properties", ()))
        yield from (_unknown(tree, (*path, key), names, kind) for key in error.instance if key not in names)
    elif "propertyNames" in error.absolute_schema_path:
        yield _name(tree, (*path, error.instance), error)
    elif error.validator == "required":
        yield from (_missing(tree, path, key, error) for key in error.validator_value if key not in error.instance)
    elif error.validator == "not":
        yield from _no_null(tree, path)
    elif error.validator == "oneOf" and not _is_source(path):
        yield _one_key(tree, path, error)
    elif error.validator == "oneOf" or (error.validator == "type" and _is_source(path)):
        yield _place(tree, path, error.instance)
    else:
        yield _value(tree, path, error, kind)


def _is_source(path: KeyPath) -> bool:
    return path in {("model",), ("adapter",)} or (path[:1] == ("components",) and len(path) == 2)


def _unknown(tree: Tree, path: KeyPath, names: list[str], kind: DocumentKind) -> Problem:
    name = str(path[-1])
    if path == ("hydra",):
        return hydra_keys.problem("hydra", tree.origin(path), ("hydra",), kind)
    is_setting = path[:-1] in (("model_config",), ("signature", "params"))
    others = _tasks_with(name) if kind.has_task and (is_setting or len(path) == 1) else []
    nearest, remedy = _elsewhere(tree, path, names, others, kind)
    return Problem(
        "dead-key" if others and is_setting else "unknown-setting" if is_setting else "unknown-key",
        _no_setting(tree, name, others) if is_setting else f"There is no key `{name}` here.",
        tree.origin(path),
        path,
        expected="" if (is_setting and len(names) > 20) or remedy.startswith("Write") else one_of(names),
        nearest=nearest,
        remedy=remedy,
    )


def _elsewhere(tree: Tree, path: KeyPath, names: list[str], others: list[str], kind: DocumentKind) -> tuple[str, str]:
    """The nearest name that is known here, and what to do: where the key belongs when that is another place."""
    name, task = str(path[-1]), task_of(tree)
    value = tree.at(path)
    candidates = (key_places.beside(place, path) for place in key_places.places_of(name, task, kind))
    places = [place for place in candidates if place[:-1] != path[:-1]]
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    if places and (places[0][-1] == name or not _is_nearer(name, close, str(places[0][-1]))):
        shallow = [place for place in places if len(place) == len(places[0])][:2]
        keys = " or ".join(f"`{dotted(place)}{_given(tree, path, value)}`" for place in shallow)
        parents = " or ".join(
            f"under `{dotted(place[:-1])}`" if place[:-1] else "at the top level" for place in shallow
        )
        return "", f"Write {keys}: it belongs {parents}."
    if isinstance(value, Mapping) and value and task and all(task.setting(key) for key in value):
        return "", f"Write its keys under `model_config`, which holds the settings of the task {task.name}."
    if len(path) == 1 and others and not (close and _likeness(name, close[0]) > key_places.NEAR):
        return "", f"{_no_setting(tree, name, others)} Remove it."
    return (close[0], "") if close else ("", "Remove it.")


def _is_nearer(name: str, close: list[str], other: str) -> bool:
    """Whether the name known here is at least as near as the one of another place."""
    return bool(close) and _likeness(name, close[0]) >= _likeness(name, other)


def _likeness(name: str, other: str) -> float:
    return SequenceMatcher(None, name, other).ratio()


def _given(tree: Tree, path: KeyPath, value: Any) -> str:
    """The value as the override gave it; nothing for a key of a file, which stays as it is written there."""
    origin = tree.origin(path)
    _, equals, text = origin.override.partition("=")
    return f"={text}" if equals and not isinstance(value, Mapping) else ""


def _tasks_with(setting: str) -> list[str]:
    rows = ((library, name, table.find(library, name)) for library, name in table.TASKS)
    return [f"{name} ({library})" for library, name, task in rows if task is not None and task.setting(setting)]


def _no_setting(tree: Tree, name: str, others: list[str]) -> str:
    here = f"The task {tree.at(('task',))} has no setting `{name}`"
    if not others:
        return f"{here}, and no other task has."
    return f"{here}; it is one of {', '.join(others[:2])}{' and others' if len(others) > 2 else ''}."


def _missing(tree: Tree, path: KeyPath, key: str, error: Any) -> Problem:
    about = error.schema.get("properties", {}).get(key, {}).get("description", "")
    if "repo" in error.validator_value:
        return Problem(
            "revision-without-repo",
            "`revision` belongs to a repository of the hub, and this source has no `repo`.",
            tree.origin((*path, "revision")),
            (*path, "revision"),
            remedy="Give `repo`, or remove `revision`.",
        )
    expected = one_of(composed.schema()["properties"]["library"]["enum"]) if key == "library" else ""
    return Problem(
        "missing-key",
        f"The key `{key}` is missing.",
        tree.origin(path),
        (*path, key),
        expected=expected,
        remedy=" ".join(
            filter(None, (f"Write `{key}:`.", about, _library_of_task(tree) if key == "library" and not path else ""))
        ),
    )


def _no_null(tree: Tree, path: KeyPath) -> Iterator[Problem]:
    if path and path[-1] == "repo":
        source = path[:-1]
        message = "`revision` belongs to a repository of the hub, and `repo` is null here."
        yield Problem("revision-without-repo", message, tree.origin((*source, "revision")), (*source, "revision"))


def _place(tree: Tree, path: KeyPath, instance: Any) -> Problem:
    if not isinstance(instance, dict):
        message, remedy = (
            "A source must be a mapping that names its place.",
            f"Write `{path[-1]}: {{repo: owner/name}}`.",
        )
        if isinstance(instance, str) and instance:
            kind = "path" if instance.startswith((".", "/", "~")) else "repo"
            remedy = f"Write `{path[-1]}: {{{kind}: {instance}}}`."
        text = _shown(instance)
        return Problem(
            "source-place", message, tree.origin(path), path, expected="a mapping", found=text, remedy=remedy
        )
    kinds = [key for key in SOURCE_KINDS if isinstance(instance, dict) and instance.get(key) is not None]
    if kinds:
        message = f"A source has exactly one place; this one has {len(kinds)}: {', '.join(kinds)}."
    elif "options" in instance:
        message = "`options` needs a source beside it."
    else:
        message = f"The source needs one of {PLACES}."
    remedy = "A key that a base spec gives is taken back with `key: null`." if kinds else ""
    expected = f"exactly one of {PLACES}"
    return Problem("source-place", message, tree.origin(path), path, expected=expected, remedy=remedy)


def _one_key(tree: Tree, path: KeyPath, error: Any) -> Problem:
    keys = [key for choice in error.validator_value for key in choice["required"]]
    both = [key for key in keys if isinstance(error.instance, dict) and error.instance.get(key) is not None]
    message = (
        f"`{path[-1]}` has {' and '.join(both)}, which cannot both be."
        if both
        else f"`{path[-1]}` has none of its keys."
    )
    code = "conflict" if both else "missing-key"
    return Problem(code, message, tree.origin(path), path, expected=f"exactly one of {', '.join(keys)}")


def _name(tree: Tree, path: KeyPath, error: Any) -> Problem:
    message = f"`{path[-1]}` cannot be a name."
    return Problem("wrong-value", message, tree.origin(path), path, expected=_expected(error), found=str(path[-1]))


def _value(tree: Tree, path: KeyPath, error: Any, kind: DocumentKind) -> Problem:
    value, text = error.instance, tree.texts.get(path, "")
    origin, expected = tree.origin(path), _expected(error)
    name = dotted(path[-1:] if path and isinstance(path[-1], str) else path[-2:]) if path else kind.noun
    if error.validator == "type" and isinstance(value, bool | int | float) and "string" in _types(error) and text:
        what, reader = "A revision" if name == "revision" else "A text", "Hydra" if origin.override else "YAML"
        message = f"{what} that {reader} reads as {_kind(value)} must be quoted."
        remedy = f"Write {_quoted(origin, path, text)}"
        return Problem("quote-text", message, origin, path, expected=expected, found=text, remedy=remedy)
    if path == ("trust_remote_code",):
        remedy = (
            "List the files that somebody has read: `- {path: modeling.py, sha256: …}`. `hfspec plan` without this key"
            " prints the whole list."
        )
        message = "Remote code is trusted file by file, never as a whole."
        return Problem(
            "wrong-value", message, origin, path, expected="false or a list", found=_shown(value), remedy=remedy
        )
    options = error.schema.get("enum", ())
    return Problem(
        "wrong-type" if error.validator == "type" else "wrong-value",
        f"The value of `{name}` is not allowed." if error.validator != "type" else f"`{name}` has the wrong type.",
        origin,
        path,
        expected=expected,
        found=text or _shown(value),
        nearest=_nearest(value, path, options),
        remedy=_library_of_task(tree) if path == ("library",) else _plain_word(value, error),
    )


def _nearest(value: Any, path: KeyPath, options: Any) -> str:
    """The option meant: a dtype by another name that the field has for it, else the one spelt most alike."""
    if path[-1:] in (("dtype",), ("compute_dtype",)):
        meant = dtypes.meant(str(value))
        return meant if meant in options else ""
    close = get_close_matches(str(value), [str(option) for option in options], n=1)
    return close[0] if close else ""


def _library_of_task(tree: Tree) -> str:
    """Which library has the spec's task; empty when none has."""
    task = tree.at(("task",))
    having = table.libraries(task) if isinstance(task, str) else ()
    return f"The task {task} is one of {' and of '.join(having)}." if having else ""


def _plain_word(value: Any, error: Any) -> str:
    """The remedy for what another YAML dialect, or a person, would read otherwise; empty when there is none."""
    types = _types(error)
    if isinstance(value, str) and "boolean" in types and value.lower() in YAML_1_1_BOOLEANS:
        return f"YAML 1.2 reads `{value}` as text; write {YAML_1_1_BOOLEANS[value.lower()]}."
    if error.validator == "type" and type(value) in (int, float) and "string" in types:
        return QUOTE_TEXT
    return ""


def _quoted(origin: Origin, path: KeyPath, text: str) -> str:
    if origin.override:
        return f"'{dotted(path)}=\"{text}\"', with both kinds of quotes."
    return f'{path[-1]}: "{text}"' if isinstance(path[-1], str) else f'"{text}"'


def _types(error: Any) -> list[str]:
    types = error.schema.get("type", [])
    return [types] if isinstance(types, str) else list(types)


def _expected(error: Any) -> str:
    schema = error.schema
    if error.validator in ("enum", "const"):
        options = schema["enum"] if error.validator == "enum" else [schema["const"]]
        return one_of(map(_plain, options)) if len(options) > 1 else _plain(options[0])
    if error.validator == "pattern":
        if "examples" in schema:
            return "a text such as " + " or ".join(_plain(item) for item in schema["examples"])
        return f"a text of the form {schema['pattern'].removesuffix(END).removeprefix('^')}"
    if error.validator in ("minLength", "minItems", "minProperties"):
        if error.validator == "minLength" and error.validator_value > 1:
            return f"a text of at least {error.validator_value} characters"
        least = {"minItems": "at least one item", "minProperties": "at least one key"}
        return least.get(error.validator, "a text that is not empty")
    words = " or ".join(ARTICLES[name] for name in _types(error))
    limits = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most"}
    return ", ".join([words, *(f"{word} {schema[key]:g}" for key, word in limits.items() if key in schema)])


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _kind(value: Any) -> str:
    return "true or false" if isinstance(value, bool) else "a number"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "…"
