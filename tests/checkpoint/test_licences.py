"""Licences: what each source declares stands in the artifact, and a policy refuses what it does not take."""

from __future__ import annotations

from pathlib import Path

import pytest

import hfspec
from hfspec.report import artifact as report
from tests.compiling import write_spec


def card(folder: Path, *lines: str) -> Path:
    """A checkpoint whose card has these lines at its head; its licence's text goes."""
    (folder / "LICENSE").unlink(missing_ok=True)
    (folder / "README.md").write_text("\n".join(["---", *lines, "---", "# Card", ""]), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("lines", "licences"),
    [
        (["license: Apache-2.0"], ("apache-2.0",)),
        (["license: [MIT, bsd-3-clause, mit]"], ("mit", "bsd-3-clause")),
        (["license: other", "license_name: Strange 1.0", "license_link: https://x.y/z"], ("other (strange 1.0)",)),
        (["license_name: strange"], ("other (strange)",)),
        (["license: other"], ("other",)),
        (["license: mit", "license_name: My own words for it"], ("mit",)),
        (["license: 2"], ()),
        (["language: en"], ()),
        (["license: [a, b", ": {"], ()),
    ],
)
def test_what_a_card_declares_stands_in_the_artifact(lines, licences, own_copy, tmp_path):
    spec = write_spec(tmp_path / "s", card(own_copy("bert-sentiment"), *lines))
    manifest = hfspec.compile(spec, output=tmp_path / "target").manifest
    assert [source.licences for source in manifest.sources] == [licences]
    assert [source.get("licences") for source in manifest.to_json()["sources"]] == [list(licences) or None]
    assert hfspec.verify(tmp_path / "target") == manifest
    assert (", ".join(licences) or "no licence declared") in report.render(manifest, "text")


def test_where_a_licence_is_declared_is_told_with_the_commit(hub, tmp_path):
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "spec_version: 1\nlibrary: transformers\ntask: text-classification\nmodel: {repo: unitary/toxic-bert}\n"
        "components: {tokenizer: {repo: distilbert/distilbert-base-uncased-finetuned-sst-2-english}}\n",
        encoding="utf-8",
    )
    artifact = hfspec.compile(spec, output=tmp_path / "target")
    model, tokenizer = artifact.manifest.sources
    assert (model.licences, tokenizer.licences) == (("apache-2.0",), ("apache-2.0",))
    text = (artifact.path / "LICENSE").read_text(encoding="utf-8")
    assert f"(repo unitary/toxic-bert at {model.commit}) declares its licence as: apache-2.0" in text
    part = artifact.path / "components" / "tokenizer"
    assert "license: apache-2.0" in (part / "README.md").read_text(encoding="utf-8")
    assert "Apache License" in (part / "LICENSE").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("lines", "policy", "refused"),
    [
        (["license: apache-2.0"], {"allow": ["Apache-2.0", "mit"]}, ""),
        (["license: apache-2.0"], {"allow": ["mit"]}, "apache-2.0"),
        (["license: apache-2.0"], {"deny": ["mit", "other"]}, ""),
        (["license: CC-BY-NC-4.0"], {"deny": ["cc-by-nc-*"]}, "cc-by-nc-4.0"),
        (["license: bsd-3-clause"], {"allow": ["bsd-*"]}, ""),
        (["license: [mit, gpl-3.0]"], {"allow": ["mit"]}, "gpl-3.0"),
        (["license: [mit, gpl-3.0]"], {"deny": ["gpl*"]}, "gpl-3.0"),
        (["license: other", "license_name: strange"], {"deny": ["other"]}, "other (strange)"),
        (["license: other", "license_name: strange"], {"allow": ["strange"]}, ""),
        (["license: other", "license_name: strange"], {"allow": ["mit"]}, "other (strange)"),
        (["language: en"], {"allow": ["mit", "*"]}, "undeclared"),
        (["language: en"], {"allow": ["mit", "undeclared"]}, ""),
        (["language: en"], {"deny": ["mit", "*"]}, ""),
        (["language: en"], {"deny": ["Undeclared"]}, "undeclared"),
    ],
)
def test_a_policy(lines, policy, refused, own_copy, tmp_path):
    spec = write_spec(tmp_path / "s", card(own_copy("bert-sentiment"), *lines), license_policy=policy)
    if not refused:
        assert hfspec.plan(spec).sources
        return
    with pytest.raises(hfspec.SpecError) as caught:
        hfspec.plan(spec)
    (problem,) = caught.value.problems
    (kind,) = policy
    assert (problem.code, problem.path, problem.found) == ("licence-refused", ("license_policy", kind), refused)
    assert problem.origin.line == 5
    assert "model (path bert-sentiment)" in problem.message
    assert "undeclared" not in refused or "`undeclared`" in problem.remedy


def test_every_source_is_held_to_the_policy_and_told_beside_other_problems(checkpoint, own_copy, tmp_path):
    model = card(own_copy("bert-sentiment"), "license: mit")
    keys = {
        "components": {"tokenizer": {"path": str(checkpoint("bert-toxic"))}},
        "license_policy": {"allow": ["bsd"]},
        "golden": [{"input": "a", "output": ["b"]}],
    }
    spec = write_spec(tmp_path / "s", model, **keys)
    with pytest.raises(hfspec.SpecError) as caught:
        hfspec.plan(spec)
    assert [problem.found for problem in caught.value.problems] == ["mit", "apache-2.0"]
    assert "components/tokenizer" in caught.value.problems[1].message


def test_a_licence_that_changed_is_a_difference(own_copy, tmp_path):
    model = own_copy("bert-sentiment")
    spec = write_spec(tmp_path / "s", model, license_policy={"deny": ["other"]})
    sides = []
    for name in ("mit", "gpl-3.0"):
        card(model, f"license: {name}")
        sides.append(hfspec.compile(spec, output=tmp_path / name).path)
    found = {(change.group, change.key): (change.before, change.after) for change in hfspec.diff(*sides)}
    assert found["model", "licences"] == (("mit",), ("gpl-3.0",))
    other = write_spec(tmp_path / "t", model, license_policy={"deny": ["other", "mit"]})
    assert [change.group for change in hfspec.diff(spec, other) if change.group != "name"] == ["licence policy"]
