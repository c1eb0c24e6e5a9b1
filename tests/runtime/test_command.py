"""The artifact's own command: JSON on standard output, the same answers as predict, errors of one line."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest

import hfspec
from hfspec.runtime.command import main
from hfspec.runtime.io.answers import to_json
from tests.runtime.texts import MIXED


@pytest.fixture
def run(capsysbinary):
    def call(folder, *argv):
        code = main(folder, argv)
        out, err = capsysbinary.readouterr()
        return code, out.decode(), err.decode()

    return call


PROGRAM = """
import sys
from pathlib import Path
from hfspec.runtime.command import main
from hfspec.runtime.host.process import begin
begin()
sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
"""


@pytest.mark.parametrize("name", ["bert-sentiment", "roberta-mnli", "gpt2", "st-dense"])
@pytest.mark.parametrize("outputs", ["standard", "full"])
def test_answers_equal_those_of_predict(artifact, run, tmp_path, name, outputs):
    folder = artifact(name)
    truth = to_json(hfspec.load(folder).predict(list(MIXED), outputs=outputs))
    file = tmp_path / "input.json"
    file.write_text(json.dumps(list(MIXED)), encoding="utf-8")
    code, out, err = run(folder, "--json", str(file), "--outputs", outputs)
    assert (code, err) == (0, "")
    assert json.loads(out) == truth
    code, out, _ = run(folder, "--outputs", outputs, "--", *MIXED)
    assert json.loads(out) == truth


def test_one_text_is_one_row(artifact, run):
    assert json.loads(run(artifact("gpt2"), "5")[1]) == hfspec.load(artifact("gpt2")).predict("5")


def test_json_comes_from_standard_input(artifact, run, monkeypatch):
    rows = [{"text": "a", "text_pair": "b"}, {"text": "数"}]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(rows).encode())))
    code, out, _ = run(artifact("roberta-mnli"), "--json", "-")
    assert code == 0
    assert json.loads(out) == to_json(hfspec.load(artifact("roberta-mnli")).predict(rows))


def test_params_and_model_config_are_passed_on(artifact, run):
    folder = artifact("roberta-mnli", signature={"params": {"top_k": 1}})
    code, out, _ = run(folder, "--params", '{"top_k": 2}', "--model-config", '{"function_to_apply": "none"}', "a")
    predictor = hfspec.load(folder, model_config={"function_to_apply": "none"})
    assert code == 0
    assert json.loads(out) == to_json(predictor.predict("a", params={"top_k": 2}))
    assert len(json.loads(out)) == 2


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "nothing to answer"),
        (["a", "--json", "x.json"], "not more than one"),
        (["--json", "missing.json"], "missing.json: No such file"),
        (["--json", "-"], "this is not JSON"),
        (["--params", "{", "a"], "--params: this is not JSON"),
        (["--params", "[1]", "a"], "--params: expected a JSON object"),
        (["--params", '{"top_k": 2}', "a"], "'top_k' is not a param of this predictor"),
        (["--model-config", '{"topk": 2}', "a"], "did you mean 'top_k'?"),
        (["word " * 500], "row 0: the text has"),
        (["a", "word " * 500], "row 1: the text has"),
    ],
)
def test_what_the_user_got_wrong_is_one_line_and_code_2(artifact, run, monkeypatch, argv, words):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"{not json")))
    code, out, err = run(artifact("bert-sentiment"), *argv)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert words in err


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The working folder, with files and a folder in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews.csv").write_text("review\na fine film\n", encoding="utf-8")
    (tmp_path / "film").write_bytes(b"")
    (tmp_path / "docs" / "old").mkdir(parents=True)
    (tmp_path / "docs" / "link").symlink_to(tmp_path / "reviews.csv")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


@pytest.mark.parametrize(
    "text", ["reviews.csv", "./reviews.csv", "docs/../reviews.csv", "film", "docs/link", "docs/old", "pipe", "-"]
)
@pytest.mark.parametrize("name", ["bert-sentiment", "gpt2", "roberta-mnli"])
def test_a_text_that_names_a_file_is_refused(artifact, run, files, name, text):
    code, out, err = run(artifact(name), "a fine film", text)
    assert (code, out) == (2, "")
    assert all(option in err for option in (text, "--json ", "--jsonl ", "--as-text"))
    assert err.count("\n") == 1


def test_a_whole_path_that_names_a_file_is_refused_before_the_model_is_loaded(artifact, run, files, copy_of):
    folder = copy_of(artifact("bert-sentiment"))
    (folder / "model/model.safetensors").unlink()
    code, _, err = run(folder, str(files / "reviews.csv"))
    assert code == 2
    assert "--jsonl FILE" in err
    assert run(folder, "a fine film")[0] == 4


@pytest.mark.parametrize("text", ["reviews.csv", "-", "film"])
def test_such_a_text_is_answered_where_it_is_meant(artifact, run, files, text):
    folder = artifact("bert-sentiment")
    truth = to_json(hfspec.load(folder).predict(text))
    code, out, err = run(folder, "--as-text", text)
    assert (code, err, json.loads(out)) == (0, "", truth)
    (files / "rows.json").write_text(json.dumps(text), encoding="utf-8")
    assert json.loads(run(folder, "--json", "rows.json")[1]) == truth


@pytest.mark.parametrize("text", ["docs", ".", "no such file.csv", "a film\n" * 600, "reviews", "", "--"])
def test_other_texts_are_answered(artifact, run, files, text):
    folder = artifact("bert-sentiment", model_config={"truncation": True})
    code, out, err = run(folder, "--", text)
    assert (code, err) == (0, "")
    assert json.loads(out) == to_json(hfspec.load(folder).predict(text))


def test_a_file_is_what_a_task_over_images_reads(artifact, run, files):
    from PIL import Image

    Image.new("RGB", (9, 7), (200, 40, 90)).save("red.png")
    code, out, err = run(artifact("vit"), "red.png")
    assert (code, err) == (0, "")
    assert json.loads(out) == to_json(hfspec.load(artifact("vit")).predict("red.png"))


def test_as_text_needs_texts(artifact, run, files):
    code, _, err = run(artifact("bert-sentiment"), "--as-text", "--json", "film")
    assert code == 2
    assert "--as-text is of use with texts only" in err


def test_unknown_options_are_usage_errors(artifact, run):
    code, out, err = run(artifact("bert-sentiment"), "--nonsense", "a")
    assert (code, out) == (2, "")
    assert "--nonsense" in err


def test_help_names_every_option(artifact, run):
    code, out, _ = run(artifact("bert-sentiment"), "--help")
    assert code == 0
    for option in ("--json", "--params", "--outputs", "--model-config", "--no-verify"):
        assert option in out


def test_an_answer_that_the_signature_does_not_allow_is_code_1(artifact, run):
    wrong = {"output_tensor": {"dtype": "float32", "shape": [-1, 31]}}
    code, out, err = run(artifact("minilm-like", signature=wrong), "a")
    assert (code, out) == (1, "")
    assert "the signature says" in err


def test_a_damaged_artifact_is_code_4_and_is_not_run(artifact, run, copy_of):
    folder = copy_of(artifact("bert-sentiment"))
    weights = bytearray((folder / "model/model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model/model.safetensors").write_bytes(weights)
    code, out, err = run(folder, "a")
    assert (code, out) == (4, "")
    assert "model/model.safetensors" in err
    assert run(folder, "--no-verify", "a")[0] == 0


def test_no_artifact_is_code_4(run, tmp_path):
    code, _, err = run(tmp_path, "a")
    assert code == 4
    assert "artifact.json" in err


def test_a_reader_that_goes_away_is_no_failure(artifact):
    folder = artifact("bert-sentiment")
    command = [sys.executable, "-c", PROGRAM, str(folder), *["a"] * 30]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0


def test_answers_are_utf8_whatever_the_locale(artifact):
    environment = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PATH": "/usr/bin", "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", PROGRAM, str(artifact("gpt2")), "中文"]
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout.decode("utf-8"))[0].startswith("中文")


def test_a_package_that_is_not_installed_is_named_with_what_to_do(artifact, run, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    folder = artifact("bert-sentiment")
    code, out, err = run(folder, "a")
    assert (code, out) == (3, "")
    assert "transformers is not installed" in err
    assert str(folder / "requirements.txt") in err
    assert len(err.splitlines()) == 1
