"""Two specs compared: one row a change, and what is no change."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hfspec
from hfspec.comparison.change import GROUPS, Change
from hfspec.ir.spec import Spec
from tests.comparison.writing import yaml_text

SPEC: dict[str, Any] = {
    "spec_version": 1,
    "library": "transformers",
    "task": "text-generation",
    "model": {"repo": "openai-community/gpt2", "revision": "607a30d"},
    "prompt_template": "Question: {prompt}\nAnswer:",
    "model_config": {"max_new_tokens": 64, "do_sample": False, "temperature": 1.5},
    "signature": {"params": {"temperature": 0.4, "max_new_tokens": {"default": 64, "maximum": 512}}},
    "metadata": {"owner": "team", "contact": {"mail": "a@b", "tags": ["x", "y"]}},
    "input_example": ["a text"],
}


def _write(folder: Path, name: str, document: dict[str, Any]) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document), encoding="utf-8")
    return file


def _with(path: str, value: Any) -> dict[str, Any]:
    """The spec with one value set; ``None`` takes it out."""
    document = deepcopy(SPEC)
    *parents, last = path.split("/")
    place = document
    for key in parents:
        place = place.setdefault(key, {})
    if value is None:
        del place[last]
    else:
        place[last] = value
    return document


CHANGES = [
    ("name", "other", ("name", "", "a", "other", "changed")),
    ("model/revision", "main", ("model", "revision", "607a30d", "main", "changed")),
    (
        "model/repo",
        "distilbert/distilgpt2",
        ("model", "repo", SPEC["model"]["repo"], "distilbert/distilgpt2", "changed"),
    ),
    ("model/revision", None, ("model", "revision", "607a30d", "main", "changed")),
    ("prompt_template", None, ("prompt template", "", SPEC["prompt_template"], None, "removed")),
    ("prompt_template", "{prompt}", ("prompt template", "", SPEC["prompt_template"], "{prompt}", "changed")),
    ("model_config/do_sample", True, ("model_config", "do_sample", False, True, "changed")),
    ("model_config/do_sample", None, ("model_config", "do_sample", False, None, "removed")),
    ("model_config/top_k", 5, ("model_config", "top_k", None, 5, "added")),
    ("signature/params/temperature", 0.7, ("signature", "params.temperature.default", 0.4, 0.7, "changed")),
    (
        "signature/params/max_new_tokens",
        {"default": 64, "maximum": 256},
        ("signature", "params.max_new_tokens.maximum", 512, 256, "changed"),
    ),
    (
        "signature/params/max_new_tokens",
        {"default": 64, "maximum": 512, "minimum": 1},
        ("signature", "params.max_new_tokens.minimum", None, 1, "added"),
    ),
    (
        "signature/params/top_k",
        3,
        ("signature", "params.top_k", None, {"type": "long", "default": 3}, "added"),
    ),
    (
        "signature/params/temperature",
        None,
        ("signature", "params.temperature", {"type": "double", "default": 0.4}, None, "removed"),
    ),
    (
        "signature/inputs",
        [{"name": "prompt", "type": "string", "required": False}],
        ("signature", "inputs.prompt", "string", "string (optional)", "changed"),
    ),
    ("dtype", "bfloat16", ("dtype", "", "auto", "bfloat16", "changed")),
    ("max_shard_size", "1MB", ("size", "max_shard_size", 5 * 10**9, 10**6, "changed")),
    ("metadata/owner", "me", ("metadata", "owner", "team", "me", "changed")),
    ("metadata/contact/tags", ["y", "x"], ("metadata", "contact.tags", ("x", "y"), ("y", "x"), "changed")),
    ("metadata/contact/chat", {"room": 1}, ("metadata", "contact.chat", None, {"room": 1}, "added")),
    ("metadata/a.b", True, ("metadata", '"a.b"', None, True, "added")),
    ("metadata/owner", "", ("metadata", "owner", "team", "", "changed")),
    ("input_example", ["another"], ("input example", "", ("a text",), ("another",), "changed")),
]


@pytest.mark.parametrize(("path", "value", "expected"), CHANGES, ids=[f"{c[0]}={c[1]}" for c in CHANGES])
def test_one_change_in_the_file_is_one_change(tmp_path: Path, path: str, value: Any, expected: tuple[Any, ...]) -> None:
    a, b = _write(tmp_path, "a.yaml", SPEC), _write(tmp_path, "b.yaml", _with(path, value))
    assert hfspec.diff(a, b) == (Change(*expected),)
    assert hfspec.diff(b, a) == (Change(*expected).mirrored(),)


BASE = {"spec_version": 1, "library": "transformers", "task": "text-generation", "model": {"repo": "gpt2"}}


def _params(value: object) -> dict[str, Any]:
    return {"signature": {"params": {"temperature": value}}}


SAME = [
    ("an alias", {"task": "token-classification"}, {"task": "ner"}),
    ("a short form", _params(0.4), _params({"default": 0.4})),
    ("a type by its default", _params(0.4), _params({"type": "double", "default": 0.4, "minimum": None})),
    ("the default revision", {}, {"model": {"repo": "gpt2", "revision": "main"}}),
    ("the default dtype", {}, {"dtype": "auto"}),
    ("no remote code", {}, {"trust_remote_code": False}),
    ("one size", {"max_shard_size": "5GB"}, {"max_shard_size": "5000MB"}),
    ("a whole number", {"model_config": {"temperature": 1}}, {"model_config": {"temperature": 1.0}}),
    ("the task's own input", {}, {"signature": {"inputs": [{"name": "prompt", "type": "string"}]}}),
    ("nothing, written", {}, {"components": {"tokenizer": None}, "model_config": {}, "metadata": {}}),
    ("the name of the file", {"name": "b"}, {}),
]


@pytest.mark.parametrize(("a", "b"), [row[1:] for row in SAME], ids=[row[0] for row in SAME])
def test_two_ways_to_say_one_thing_are_no_change(tmp_path: Path, a: dict[str, Any], b: dict[str, Any]) -> None:
    sides = [_write(tmp_path, name, {**BASE, **keys}) for name, keys in (("a.yaml", a), ("b.yaml", b))]
    assert hfspec.diff(*sides) == ()
    assert hfspec.diff(*reversed(sides)) == ()


def test_another_task_brings_its_own_columns(tmp_path: Path) -> None:
    sides = [_write(tmp_path, f"{task}.yaml", {**BASE, "task": task}) for task in ("text-generation", "summarization")]
    assert [(c.group, c.key, c.kind) for c in hfspec.diff(*sides)] == [
        ("task", "task", "changed"),
        ("signature", "inputs.prompt", "removed"),
        ("signature", "inputs.text", "added"),
    ]


def test_the_languages_of_a_translation_count(tmp_path: Path) -> None:
    tasks = ("translation_en_to_fr", "translation_en_to_de")
    sides = [_write(tmp_path, f"{task}.yaml", {**BASE, "task": task}) for task in tasks]
    assert hfspec.diff(*sides) == (Change("task", "task", *tasks, "changed"),)


def test_true_is_not_one(tmp_path: Path) -> None:
    sides = [_write(tmp_path, f"{v}.yaml", _with("metadata/flag", v)) for v in (True, 1)]
    assert [(change.before, change.after) for change in hfspec.diff(*sides)] == [(True, 1)]
    assert type(hfspec.diff(*sides)[0].before) is bool


def test_the_order_of_columns_is_seen(tmp_path: Path) -> None:
    columns = [{"name": name, "type": "string"} for name in ("question", "context")]
    template = "{question} {context}"
    example = {"input_example": {"question": "a", "context": "b"}}
    sides = [
        _write(tmp_path, name, {**_with("prompt_template", template), "signature": {"inputs": order}, **example})
        for name, order in (("a.yaml", columns), ("b.yaml", columns[::-1]))
    ]
    expected = Change("signature", "inputs (order)", ("question", "context"), ("context", "question"), "changed")
    assert hfspec.diff(*sides) == (expected,)


def test_changes_come_in_the_order_of_the_groups(tmp_path: Path) -> None:
    b = {**SPEC, "dtype": "float16", "metadata": {"z": 1, "b": 2}, "model": {"repo": "gpt2"}}
    found = hfspec.diff(_write(tmp_path, "a.yaml", SPEC), _write(tmp_path, "b.yaml", b))
    assert [(change.group, change.key) for change in found] == [
        ("model", "repo"),
        ("model", "revision"),
        ("dtype", ""),
        ("metadata", "b"),
        ("metadata", "contact"),
        ("metadata", "owner"),
        ("metadata", "z"),
    ]


def test_a_base_and_an_interpolation_count_for_what_they_give(tmp_path: Path) -> None:
    """A spec composed from parts is the spec that says the same in one file."""
    base = {key: value for key, value in SPEC.items() if key != "metadata"}
    _write(tmp_path / "specs", "_base/common.yaml", base)
    (tmp_path / "specs" / "_base" / "common.yaml").write_text(f"# @package _global_\n{json.dumps(base)}\n")
    part = {
        "defaults": ["/_base/common", "_self_"],
        "metadata": {**SPEC["metadata"], "owner": "${metadata.contact.of}"},
    }
    part["metadata"]["contact"] = {**SPEC["metadata"]["contact"], "of": "team"}
    composed = _write(tmp_path / "specs", "x.yaml", part)
    whole = _write(tmp_path, "whole.yaml", _with("metadata/contact/of", "team"))
    assert hfspec.diff(composed, whole) == ()


def test_a_path_is_the_folder_that_it_leads_to(tmp_path: Path) -> None:
    def spec(place: str, path: str) -> Path:
        return _write(tmp_path, place, {**SPEC, "model": {"path": path}})

    a, b = spec("specs/a.yaml", "../m"), spec("specs/team/b.yaml", "../../m/")
    assert hfspec.diff(a, b) == ()
    assert hfspec.diff(a, spec("specs/c.yaml", str(tmp_path / "m"))) == ()
    moved = spec("specs/team/d.yaml", "../m")
    assert [(change.group, change.key) for change in hfspec.diff(a, moved)] == [("model", "path")]


def test_every_key_of_a_spec_is_compared() -> None:
    """A key that the comparison does not know by name is compared under its own."""
    from hfspec.comparison.specs import STATED

    keys = {info.alias or name for name, info in Spec.model_fields.items()}
    assert keys >= STATED
    assert len(set(GROUPS)) == len(GROUPS)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text("abc :#'\"ä\n", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcxyz", min_size=1), inner, max_size=3),
    max_leaves=8,
)
METADATA = st.dictionaries(st.text("abcxyz_", min_size=1, max_size=4), VALUES, max_size=4)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(metadata=METADATA, random=st.randoms(use_true_random=False))
def test_order_comments_and_quotes_are_no_change(tmp_path: Path, metadata: dict[str, Any], random: Any) -> None:
    document = {**SPEC, "metadata": metadata}
    a, b = tmp_path / "a.yaml", tmp_path / "b.yaml"
    a.write_text(json.dumps(document), encoding="utf-8")
    b.write_text(yaml_text(document, random), encoding="utf-8")
    assert hfspec.diff(a, b) == ()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(old=METADATA, new=METADATA)
def test_the_other_way_round_is_the_mirror_image(tmp_path: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    a, b = (_write(tmp_path, name, {**SPEC, "metadata": m}) for name, m in (("a.yaml", old), ("b.yaml", new)))
    found = hfspec.diff(a, b)
    assert hfspec.diff(b, a) == tuple(change.mirrored() for change in found)
    assert bool(found) == (repr(_plain(old)) != repr(_plain(new)))
    assert {change.group for change in found} <= {"metadata"}


def _plain(value: Any) -> Any:
    """With keys sorted, so that repr tells true from 1 and nothing else."""
    if isinstance(value, dict):
        return {key: _plain(value[key]) for key in sorted(value)}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def test_a_wrong_spec_is_refused_with_its_place(tmp_path: Path) -> None:
    good, bad = _write(tmp_path, "a.yaml", SPEC), _write(tmp_path, "b.yaml", {**SPEC, "dtyp": "float16"})
    with pytest.raises(hfspec.SpecError, match=r"b\.yaml:1:\d+.*dtyp"):
        hfspec.diff(good, bad)


def test_what_cannot_be_compared_is_a_usage_error(tmp_path: Path) -> None:
    spec, folder = _write(tmp_path, "a.yaml", SPEC), tmp_path / "artifact"
    folder.mkdir()
    with pytest.raises(hfspec.UsageError, match=r"a\.yaml is a spec and .*artifact is an artifact"):
        hfspec.diff(spec, folder)
    with pytest.raises(hfspec.UsageError, match=r"absent\.yaml does not exist"):
        hfspec.diff(spec, tmp_path / "absent.yaml")


def test_a_golden_example_that_changed(tmp_path: Path) -> None:
    golden = [{"input": "a", "output": ["b"]}, {"input": "c", "output": ["d"], "params": {}}]
    after = [golden[0], {**golden[1], "output": ["e"]}, {"input": "f", "output": ["g"]}]
    sides = [_write(tmp_path, f"{len(one)}.yaml", _with("golden", one)) for one in (golden, after)]
    found = {(change.group, change.key, change.kind) for change in hfspec.diff(*sides)}
    assert ("golden", '"2".output', "changed") in found or ("golden", "2.output", "changed") in found, found
    assert {group for group, _, _ in found} == {"golden"}
    assert not any(key.startswith(("1", '"1')) for _, key, _ in found)
