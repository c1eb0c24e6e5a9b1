"""Hydra, as its users know it: what comes out is what Hydra composes, and each value knows where it was written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.version import VersionBase
from omegaconf import OmegaConf

from hfspec.errors import SpecError
from hfspec.ir.frozen import thaw
from hfspec.ir.problem import Origin
from hfspec.language import composition
from hfspec.stages.load import load
from hfspec.stages.validate import problems

COMMON = """\
# yaml-language-server: $schema=somewhere
# @package _global_
spec_version: 1
library: transformers
task: text-classification
model_config:
  truncation: true
  top_k: 1
metadata: {owner: us, list: [1, 2, 3], deep: {a: {b: 1}}}
"""
SPEC = """\
defaults:
  - /_base/common
  - _self_
  - _model: small
  - optional _extra: none

name: s
model_config:
  top_k: 2
metadata:
  list: [4]
  title: "${name} of ${model.repo}"
"""
FILES = {
    "_base/common.yaml": COMMON,
    "_model/small.yaml": "# @package model\nrepo: org/small\nrevision: main\n",
    "_model/large.yaml": "# @package model\nrepo: org/large\n",
    "_model/larger.yaml": "defaults: [large, _self_]\nrevision: v2\n",
    "spec.yaml": SPEC,
    "sub/deep/inner.yaml": "defaults:\n  - /_base/common\n  - _self_\nmodel: {repo: org/inner}\n",
    "self_first.yaml": "defaults: [_self_, /_base/common]\nmodel_config: {top_k: 7, batch_tokens: 9}\n",
    "placed.yaml": "defaults:\n  - _model@components.tokenizer: large\n  - _model@model: small\n  - _self_\nname: p\n",
    "short.yml": "defaults: [_base/common]\nname: short\n",
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        file = tmp_path / "specs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    yield tmp_path / "specs"
    assert sorted(tmp_path.rglob("*")) == before, "composition must leave no file and no folder behind"
    assert not GlobalHydra.instance().is_initialized()


def by_hydra(root: Path, name: str, overrides: list[str]) -> Any:
    """The same config, composed by Hydra's public entry point over plain files."""
    with initialize_config_dir(str(root), version_base="1.3"):
        config = hydra_compose(name, overrides)
    return OmegaConf.to_container(config, resolve=True)


def origin(tree: Any, *path: Any) -> str:
    return str(tree.origin(path))


OVERRIDES: list[tuple[str, list[str], list[str]]] = [
    # our overrides, and those that say the same to Hydra itself
    ("spec", [], []),
    ("spec", ["_model=large"], ["_model=large"]),
    ("spec", ["_model=larger", "name=x"], ["_model=larger", "name=x"]),
    ("spec", ["dtype=bfloat16"], ["++dtype=bfloat16"]),
    ("spec", ["model_config.top_k=3", "model_config.new=a"], ["model_config.top_k=3", "++model_config.new=a"]),
    ("spec", ["+metadata.x={a: [1, {b: null}], c: 'it is'}"], ["+metadata.x={a: [1, {b: null}], c: 'it is'}"]),
    ("spec", ["metadata.deep={a: {c: 2}}"], ["++metadata.deep={a: {c: 2}}"]),
    ("spec", ["metadata.list=[]"], ["metadata.list=[]"]),
    ("spec", ["metadata.list.0=9"], ["metadata.list.0=9"]),
    ("spec", ["++metadata.owner.name=a"], ["++metadata.owner.name=a"]),
    ("spec", ["~metadata.deep", "~metadata.list=[4]"], ["~metadata.deep", "~metadata.list=[4]"]),
    ("spec", ["~_model", "+model.repo=x"], ["~_model", "+model.repo=x"]),
    ("spec", ["name='a, b=c'"], ["name='a, b=c'"]),
    ("spec", ['model.revision="0123"', "name=${model.revision}"], ['model.revision="0123"', "name=${model.revision}"]),
    ("spec", ["name=null", "metadata.title=t"], ["name=null", "metadata.title=t"]),
    ("self_first", [], []),
    ("placed", [], []),
    ("placed", ["_model@model=large"], ["_model@model=large"]),
]


@pytest.mark.parametrize(("name", "ours", "hydras"), OVERRIDES, ids=str)
def test_composes_what_hydra_composes(root: Path, name: str, ours: list[str], hydras: list[str]) -> None:
    # Hydra stops looking for `# @package` at an editor's schema line, which specs begin with.
    common = root / "_base/common.yaml"
    common.write_text(COMMON.partition("\n")[2], encoding="utf-8")
    expected = by_hydra(root, name, hydras)
    composed = composition.compose(root / f"{name}.yaml", ours)
    assert thaw(composed.tree().value) == expected
    unresolved = OmegaConf.to_container(composed.config, resolve=False)
    assert composed.layers.value == unresolved, "the account of where values come from follows the same merge"


def test_every_value_knows_its_place(root: Path) -> None:
    tree = load(Path("specs/spec.yaml"), ["dtype=bfloat16", "metadata.deep.a.b=2", "+metadata.x=[1]"])
    assert origin(tree, "task") == "specs/_base/common.yaml:5:1"
    assert origin(tree, "model_config", "truncation") == "specs/_base/common.yaml:7:3"
    assert origin(tree, "model_config", "top_k") == "specs/spec.yaml:9:3"
    assert origin(tree, "model", "repo") == "specs/_model/small.yaml:2:1"
    assert origin(tree, "metadata", "list", 0) == "specs/spec.yaml:11:10"
    assert ("metadata", "list", 1) not in tree.origins, "a list is replaced as a whole"
    assert origin(tree, "metadata", "title") == "specs/spec.yaml:12:3"
    assert tree.origin(("dtype",)) == Origin(override="dtype=bfloat16")
    assert tree.origin(("metadata", "deep", "a", "b")) == Origin(override="metadata.deep.a.b=2")
    assert tree.origin(("metadata", "x", 0)) == Origin(override="+metadata.x=[1]")


def test_a_spec_below_the_root_is_at_the_top_level(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = load(Path("specs/sub/deep/inner.yaml"))
    assert tree.value["model"]["repo"] == "org/inner"
    assert tree.value["task"] == "text-classification"
    monkeypatch.chdir(root / "sub" / "deep")
    assert origin(load(Path("inner.yaml")), "task") == "../../_base/common.yaml:5:1"
    assert origin(load(root / "sub/deep/inner.yaml"), "task") == f"{root}/_base/common.yaml:5:1"


def test_a_base_cannot_lie_outside_the_root(root: Path) -> None:
    (root.parent / "outside.yaml").write_text("name: x\n", encoding="utf-8")
    for path in ("/../outside", "../outside", f"/{root.parent}/outside"):
        (root / "spec.yaml").write_text(f"defaults: ['{path}']\n", encoding="utf-8")
        with pytest.raises(SpecError, match="no config"):
            load(root / "spec.yaml")
        (root / "spec.yaml").write_text(SPEC, encoding="utf-8")
    (root.parent / "outside.yaml").unlink()


def test_without_self_the_spec_wins(root: Path) -> None:
    assert load(root / "short.yml").value["name"] == "short"


def test_config_text_is_hydras(root: Path) -> None:
    text = composition.config_text(root / "spec.yaml", ["dtype=bfloat16"])
    config = OmegaConf.create(text)
    assert text == OmegaConf.to_yaml(config)
    assert config._get_node("metadata")._get_node("title")._value() == "${name} of ${model.repo}"
    assert "dtype: bfloat16\n" in text
    assert "defaults" not in text
    assert "  title: s of org/small\n" in composition.config_text(root / "spec.yaml", resolve=True)


def test_defaults_text_is_hydras_table(root: Path) -> None:
    assert composition.defaults_text(root / "spec.yaml", ["_model=larger"]).splitlines() == [
        "",
        "Defaults List",
        "*************",
        "| Config path   | Package | _self_ | Parent        | ",
        "-----------------------------------------------------",
        "| _base/common  |         | False  | spec          |",
        "| spec          |         | True   | <root>        |",
        "| _model/large  | model   | False  | _model/larger |",
        "| _model/larger | _model  | True   | spec          |",
        "-----------------------------------------------------",
    ]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], [[]]),
        (["name=a"], [["name=a"]]),
        (["name=a,b", "+x=1"], [["name=a", "+x=1"], ["name=b", "+x=1"]]),
        (["x=choice(1,2)", "y=range(0,3)"], [[f"x={x}", f"y={y}"] for x in (1, 2) for y in (0, 1, 2)]),
        (["_model=glob(*)"], [["_model=large"], ["_model=larger"], ["_model=small"]]),
        (["_model=glob(*, exclude=small)"], [["_model=large"], ["_model=larger"]]),
        (["x='a,b'"], [["x='a,b'"]]),
        (["x=[1,2],[3]"], [["x=[1,2]"], ["x=[3]"]]),
    ],
)
def test_sweep(root: Path, overrides: list[str], expected: list[list[str]]) -> None:
    combinations = composition.sweep(root / "spec.yaml", overrides)
    assert combinations == expected
    for combination in combinations:
        load(root / "spec.yaml", combination)


@pytest.mark.parametrize(
    "overrides", [["x=range(0,1000000000)"], ["x=range(0,1,0)"], ["x=interval(0,1)"], ["hydra.x=1,2"]]
)
def test_a_sweep_that_cannot_be(root: Path, overrides: list[str]) -> None:
    with pytest.raises(SpecError):
        composition.sweep(root / "spec.yaml", overrides)


@pytest.mark.parametrize(
    "text",
    [
        "${oc.env:HOME}",
        "a ${oc.env:HOME} b",
        "${oc.env:HOME,default}",
        "${oc.decode:${oc.env:HOME}}",
        "${${name}:HOME}",
        "${oc.${name}:HOME}",
        "${ oc.env : HOME }",
        "${oc.select:name}",
        "${hydra:job.name}",
        "${now:%Y}",
        "${name.${oc.env:HOME}}",
        "${unknown:}",
        "${" * 30 + "name" + "}" * 30,
        "${name" + " " * 5000 + "}",
        "${",
    ],
)
def test_no_resolver_runs(root: Path, text: str) -> None:
    ran: list[object] = []
    OmegaConf.register_new_resolver("unknown", lambda *given: ran.append(given) or "x", replace=True)
    quoted = text.replace("'", "''")
    for place in (
        f"name: '{quoted}'\n",
        f"metadata: {{a: [{{b: '{quoted}'}}]}}\n",
        f"defaults: [_model: '{quoted}']\n",
    ):
        file = root / "spec.yaml"
        file.write_text(place, encoding="utf-8")
        with pytest.raises(SpecError) as caught:
            load(file)
        found = [problem for problem in caught.value.problems if problem.code == "interpolation"]
        assert found
        assert {problem.origin.line for problem in found} == {1}
        file.write_text(SPEC, encoding="utf-8")
    with pytest.raises(SpecError):
        load(root / "spec.yaml", [f"name={text}"])
    assert not ran


def test_an_escaped_interpolation_is_text(root: Path) -> None:
    (root / "spec.yaml").write_text(
        "name: a\nmetadata: {x: '\\${oc.env:HOME}', y: '${metadata.x}'}\n", encoding="utf-8"
    )
    tree = load(root / "spec.yaml")
    assert tree.value["metadata"] == {"x": "${oc.env:HOME}", "y": "${oc.env:HOME}"}
    (root / "spec.yaml").write_text(SPEC, encoding="utf-8")


def test_interpolations_that_grow_without_end_are_refused_at_once(root: Path) -> None:
    lines = ["a0: x", *(f"a{index}: '${{a{index - 1}}}${{a{index - 1}}}'" for index in range(1, 40))]
    maps = ["m0: {x: 1}", *(f"m{index}: {{l: '${{m{index - 1}}}', r: '${{m{index - 1}}}'}}" for index in range(1, 40))]
    for document in (lines, maps):
        (root / "spec.yaml").write_text("\n".join(document), encoding="utf-8")
        with pytest.raises(SpecError, match="more than 24 interpolations"):
            load(root / "spec.yaml")
    (root / "spec.yaml").write_text(SPEC, encoding="utf-8")


def test_whoever_else_uses_hydra_keeps_their_version(root: Path) -> None:
    before = VersionBase.instance().getbase()
    load(root / "spec.yaml")
    with pytest.raises(SpecError):
        load(root / "spec.yaml", ["+name=x"])
    assert VersionBase.instance().getbase() == before


def test_the_remedy_for_a_number_that_is_meant_as_text_works(root: Path) -> None:
    (wrong,) = problems(load(root / "spec.yaml", ["model.revision=714"]))
    remedy = wrong.remedy.partition("'")[2].rpartition("'")[0]
    assert remedy == 'model.revision="714"'
    assert load(root / "spec.yaml", [remedy]).value["model"]["revision"] == "714"


@pytest.mark.parametrize(
    "text", ["", "x", "=", "a=[", "name=é", "x=" + "[" * 400, "a@b@c=1", "+", "~", "~=", "a=\x00", "a=1=2,"]
)
def test_an_override_that_is_none_is_a_problem_of_that_override(root: Path, text: str) -> None:
    try:
        found = problems(load(root / "spec.yaml", [text]))
    except SpecError as error:
        found = error.problems
    assert found
    assert all(problem.origin.override for problem in found)


@pytest.mark.parametrize(
    ("overrides", "at"),
    [
        (["name=x", "x=range(0,1,0)"], "x=range(0,1,0)"),
        (["x=interval(0,1)", "name=x"], "x=interval(0,1)"),
        (["_nogroup=glob(*)"], "_nogroup=glob(*)"),
        (["name=x", "x=range(0,1000000000)"], "x=range(0,1000000000)"),
    ],
)
def test_a_sweep_that_cannot_be_is_reported_at_its_override(root: Path, overrides: list[str], at: str) -> None:
    with pytest.raises(SpecError) as caught:
        composition.sweep(root / "spec.yaml", overrides)
    (problem,) = caught.value.problems
    assert at in problem.origin.override
    assert problem.origin.file == ""
