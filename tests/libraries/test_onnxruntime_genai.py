"""Models of ONNX Runtime's generate(): compiled, checked and asked without torch, with transformers' own answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnxruntime_genai
import pytest

import hfspec
from hfspec.comparison.diff import diff
from hfspec.runtime.generation.penalties import Penalties
from hfspec.tasks import genai, table
from tests.checkpoints import genai_models
from tests.compiling import write_spec
from tests.libraries.blocking import ran, told

LIBRARY = "onnxruntime-genai"
PROMPTS = ["hello world", "the capital of Spain is", "a", "one two three four five six"]
CHAT = [{"role": "user", "content": "What is the capital of Spain?"}]
NEW = 16
COMPILED = """
import json, sys, hfspec
made = hfspec.compile(sys.argv[1], output=sys.argv[2])
predictor = hfspec.load(sys.argv[2])
print(json.dumps({
    "notes": made.notes,
    "files": [one.path for one in made.manifest.files],
    "requirements": (made.path / "requirements.txt").read_text().split(),
    "answers": predictor.predict(json.loads(sys.argv[3])),
    "full": predictor.predict(json.loads(sys.argv[3]), outputs="full"),
    "backend": predictor.backend,
    "verified": hfspec.verify(sys.argv[2]) is not None,
}))
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """The checkpoints of transformers of which the tests' graphs are built."""
    folder = tmp_path_factory.mktemp("sources")
    return {kind: genai_models.checkpoint(kind, folder / kind) for kind in ("llama", "qwen2")}


@pytest.fixture(scope="module")
def reference(sources):
    """transformers' greedy answers, each prompt alone."""
    return genai_models.greedy(sources["llama"], PROMPTS, NEW)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("genai")


@pytest.fixture(scope="module")
def compiled(checkpoint, place):
    """What a process without torch says of compiling, verifying, loading and asking."""
    settings = {"max_new_tokens": NEW, "return_full_text": False}
    keys = {"library": LIBRARY, "task": "text-generation", "model_config": settings, "input_example": PROMPTS[:1]}
    spec = write_spec(place, checkpoint("genai-llama"), **keys)
    return told(place / "blocked", COMPILED, str(spec), str(place / "artifact"), json.dumps(PROMPTS))


@pytest.fixture(scope="module")
def text(compiled, place):
    """``text(**model_config)``: a predictor over that artifact."""
    assert compiled["verified"]
    return lambda **settings: hfspec.load(place / "artifact", model_config=settings or None)


@pytest.fixture(scope="module")
def chat(checkpoint, place):
    spec = write_spec(place / "chat", checkpoint("genai-qwen2"), library=LIBRARY, task="llm/v1/chat")
    return hfspec.load(hfspec.compile(spec, output=place / "chatter", run=False).path)


def test_answers_are_those_of_transformers(compiled, reference):
    assert compiled["answers"] == [text for text, _ in reference]
    assert [row["completion_tokens"] for row in compiled["full"]] == [tokens for _, tokens in reference]
    assert {row["finish_reason"] for row in compiled["full"]} == {"length"}
    assert compiled["backend"] == LIBRARY


def test_the_artifact_has_the_models_files_and_needs_no_torch(compiled):
    model = {path for path in compiled["files"] if path.startswith("model/")}
    assert {"model/genai_config.json", "model/model.onnx", "model/model.onnx.data", "model/tokenizer.json"} <= model
    needed = {line.partition("==")[0] for line in compiled["requirements"]}
    assert needed == {"jinja2", "numpy", LIBRARY, "tokenizers"}
    assert not any(path.endswith((".pkl", ".pickle", ".bin")) for path in compiled["files"])


def test_graph_and_data_are_found_where_config_and_header_say(checkpoint, reference, tmp_path):
    """A graph in a folder below the config, with its weights in a file of another name."""
    model = Path(shutil.copytree(checkpoint("genai-llama"), tmp_path / "model"))
    (model / "cpu").mkdir()
    graph = (model / "model.onnx").read_bytes().replace(b"model.onnx.data", b"all-weights.bin")
    (model / "cpu/graph.onnx").write_bytes(graph)
    (model / "model.onnx").unlink()
    (model / "model.onnx.data").rename(model / "cpu/all-weights.bin")
    document = json.loads((model / "genai_config.json").read_text())
    document["model"]["decoder"]["filename"] = "cpu/graph.onnx"
    (model / "genai_config.json").write_text(json.dumps(document))
    settings = {"max_new_tokens": NEW, "return_full_text": False}
    spec = write_spec(tmp_path / "s", model, library=LIBRARY, task="text-generation", model_config=settings)
    artifact = hfspec.compile(spec, output=tmp_path / "artifact").path
    assert (artifact / "model/cpu/all-weights.bin").is_file()
    assert hfspec.load(artifact).predict(PROMPTS) == [text for text, _ in reference]


def test_the_plan_says_what_the_graph_is(compiled):
    said = " ".join(compiled["notes"])
    assert "architecture llama, 2 layers, with a context of 512 tokens and 400 tokens to choose from" in said
    assert "it computes in float32, with no quantised weights, by the operators of ai.onnx" in said


def test_the_predictor_runs_by_itself_without_torch(compiled, place, reference):
    said = ran(place / "blocked", str(place / "artifact" / "predictor.py"), PROMPTS[1])
    assert json.loads(said) == [reference[1][0]]


def test_a_seed_repeats_an_answer_under_either_name(text):
    sampled = {"do_sample": True, "temperature": 1.5}
    first = text(**sampled, seed=3).predict(PROMPTS)
    assert first == text(**sampled, random_seed=3).predict(PROMPTS)
    assert first[::-1] == text(**sampled, seed=3).predict(PROMPTS[::-1])
    assert first != text(**sampled, seed=4).predict(PROMPTS)


def test_a_stop_text_ends_an_answer_and_is_cut_from_it(text, reference):
    answer = reference[1][0]
    stop = answer[5:8]
    (row,) = text(stop=stop).predict(PROMPTS[1:2], outputs="full")
    assert (row["text"], row["finish_reason"]) == (answer[: answer.index(stop)], "stop")
    assert row["completion_tokens"] < NEW


def test_an_end_token_ends_one_row_of_a_batch(text, reference, place, sources, tmp_path):
    """The fourth token of one answer as a further end token, for both libraries."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(sources["llama"])
    end = tokenizer(reference[0][0], add_special_tokens=False)["input_ids"][3]
    model = tmp_path / "model"
    shutil.copytree(place / "artifact" / "model", model)
    config = json.loads((model / "genai_config.json").read_text())
    config["model"]["eos_token_id"] = [config["model"]["eos_token_id"], end]
    (model / "genai_config.json").write_text(json.dumps(config))
    keys = {"library": LIBRARY, "task": "text-generation", "model_config": {"max_new_tokens": NEW}}
    folder = hfspec.compile(write_spec(tmp_path / "s", model, **keys), output=tmp_path / "out", run=False).path
    rows = hfspec.load(folder).predict(PROMPTS, outputs="full")
    expected = genai_models.greedy(sources["llama"], PROMPTS, NEW, ends=[tokenizer.eos_token_id, end])
    assert [(row["text"].removeprefix(row["prompt"]), row["completion_tokens"]) for row in rows] == expected
    ended = [row["finish_reason"] for row in rows]
    assert ended == ["stop" if tokens < NEW else "length" for _, tokens in expected]
    assert "stop" in ended


def test_a_chat_is_that_of_transformers_with_its_usage(chat, sources):
    answer = chat.predict({"messages": CHAT, "max_tokens": NEW, "temperature": 0})
    ((text, tokens),), read = genai_models.greedy_chat(sources["qwen2"], CHAT, NEW)
    choice = answer["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == (text, "length" if tokens == NEW else "stop")
    assert answer["usage"] == {"prompt_tokens": read, "completion_tokens": tokens, "total_tokens": read + tokens}


def test_a_stream_has_the_pieces_of_the_whole(chat):
    request = {"messages": CHAT, "max_tokens": NEW, "temperature": 0}
    whole = chat.predict(request)["choices"][0]
    chunks = list(chat.predict({**request, "stream": True, "stream_options": {"include_usage": True}}))
    deltas = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    assert "".join(one["delta"].get("content", "") for one in deltas) == whole["message"]["content"]
    assert deltas[-1]["finish_reason"] == whole["finish_reason"]
    assert chunks[-1]["usage"]["completion_tokens"] == NEW
    assert len(deltas) > 3


def test_penalties_are_those_of_transformers(chat, sources):
    request = {"messages": CHAT, "max_tokens": NEW, "temperature": 0}
    said = chat.predict({**request, "frequency_penalty": 1.5, "presence_penalty": 1})
    ((text, _),), _ = genai_models.greedy_chat(sources["qwen2"], CHAT, NEW, lambda width: Penalties(1.5, 1.0, width))
    assert said["choices"][0]["message"]["content"] == text
    assert text != chat.predict(request)["choices"][0]["message"]["content"]


def test_choices_of_a_completion_come_from_seeds_of_their_own(text):
    completions = text().over_task("llm/v1/completions")
    request = {"prompt": PROMPTS[:2], "temperature": 1.2, "max_tokens": 5}
    both = [one["text"] for one in completions.predict({**request, "n": 2, "seed": 4})["choices"]]
    assert both[::2] == [one["text"] for one in completions.predict({**request, "seed": 4})["choices"]]
    assert both[1::2] == [one["text"] for one in completions.predict({**request, "seed": 5})["choices"]]


def test_the_settings_are_the_librarys_search_options(text):
    options = set(onnxruntime_genai.GeneratorParams(text().components()["model"]).get_search_options())
    assert {setting.name for setting in genai.SEARCH} - {"max_new_tokens", "seed"} == options - genai.NOT_SET


def test_the_settings_of_the_config_are_the_lowest_layer(text):
    said = text(top_k=7).settings()
    assert (said["top_k"].value, said["top_k"].origin) == (7, "model_config given to load")
    assert said["top_p"].origin == "checkpoint"
    assert said["max_new_tokens"].value == NEW
    assert "max_length" not in said  # the builder writes the whole context, which is no wish


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_beams": 2, "do_sample": True}, "searches beams without sampling"),
        ({"seed": 1, "random_seed": 2}, "they are one; set one of them"),
        ({"num_return_sequences": 2}, "there is only one answer to give"),
        ({"min_p": 0.1}, "has no setting 'min_p'"),
        ({"top_k": -1}, "at least 0"),
        ({"num_beams": 33}, "at most 32"),
        ({"temperature": 0}, "above 0"),
    ],
)
def test_settings_that_cannot_be(text, settings, message):
    with pytest.raises(hfspec.ParamsError, match=message):
        text(**settings).predict(PROMPTS[:1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "cuda"}, "cannot use cuda here"),
        ({"device": "tpu"}, "device must be one of cpu, cuda, dml"),
        ({"dtype": "float16"}, "a graph computes in its own, here float32"),
        ({"threads": 0}, "threads must be a number, at least 1"),
        ({"backend": "torch"}, "backend is for models that torch computes"),
        ({"device_map": "auto"}, "device_map is for models that torch computes"),
    ],
)
def test_what_a_load_cannot_be_asked_for(compiled, place, arguments, message):
    with pytest.raises(hfspec.UsageError, match=message):
        hfspec.load(place / "artifact", **arguments)


def test_a_prompt_that_leaves_no_room_is_refused(text):
    with pytest.raises(hfspec.InputError, match="the model reads at most 512"):
        text().predict(["hello " * 600])
    assert len(text(truncation=True).predict(["hello " * 600])) == 1


def test_a_reference_artifact_leaves_graph_and_data_at_their_source(checkpoint, tmp_path):
    source = Path(shutil.copytree(checkpoint("genai-phi3-repository"), tmp_path / "source"))
    folder = "cpu_and_mobile/cpu-int4-rtn-block-32-acc-level-4"
    keys = {"library": LIBRARY, "task": "text-generation", "model_config": {"max_new_tokens": 5}}
    model = {"path": str(source), "folder": folder}
    whole = hfspec.compile(write_spec(tmp_path / "a", source, **keys, model=model), output=tmp_path / "full", run=False)
    spec = write_spec(tmp_path / "b", source, **keys, model=model, save_mode="reference")
    made = hfspec.compile(spec, output=tmp_path / "out", run=False)
    (pointer,) = made.manifest.pointers
    assert [file.path for file in pointer.files] == [f"{folder}/model.onnx", f"{folder}/model.onnx.data"]
    assert any("products of 4-bit weights" in note for note in made.notes)
    expected = hfspec.load(whole.path).predict(PROMPTS)
    assert hfspec.load(made.path, sources={"model": source}).predict(PROMPTS) == expected
    hfspec.persist(made.path, sources={"model": source})
    assert hfspec.load(made.path).predict(PROMPTS) == expected


def test_an_answer_that_is_not_the_golden_one_is_refused(checkpoint, reference, tmp_path):
    keys = {"library": LIBRARY, "task": "text-generation", "model_config": {"max_new_tokens": 4}}
    golden = [{"input": PROMPTS[:1], "output": ["something else"]}]
    with pytest.raises(hfspec.SpecError, match="golden example 0 differs from its output at one place") as caught:
        hfspec.compile(write_spec(tmp_path, checkpoint("genai-llama"), **keys, golden=golden), output=tmp_path / "out")
    assert "golden[0].output[0]" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_lock_holds_the_graphs_bytes(checkpoint, tmp_path):
    source = Path(shutil.copytree(checkpoint("genai-llama"), tmp_path / "model"))
    spec = write_spec(tmp_path / "s", source, library=LIBRARY, task="text-generation")
    locked = hfspec.lock(spec).lock
    assert set(locked.versions) == {"jinja2", "numpy", LIBRARY, "tokenizers", "python"}
    assert hfspec.compile(spec, output=tmp_path / "out", locked=True, run=False).manifest.name == "spec"
    content = bytearray((source / "model.onnx.data").read_bytes())
    content[-1] ^= 1
    (source / "model.onnx.data").write_bytes(content)
    with pytest.raises(hfspec.LockError, match=r"model\.onnx\.data"):
        hfspec.compile(spec, output=tmp_path / "out", locked=True, run=False)


def test_a_diff_tells_weights_and_search_options_apart(checkpoint, tmp_path):
    keys = {"library": LIBRARY, "task": "text-generation"}
    source = Path(shutil.copytree(checkpoint("genai-llama"), tmp_path / "model"))
    first = hfspec.compile(write_spec(tmp_path / "s", source, **keys), output=tmp_path / "a", run=False).path
    config = json.loads((source / "genai_config.json").read_text())
    config["search"]["top_k"] = 9
    (source / "genai_config.json").write_text(json.dumps(config))
    second = hfspec.compile(tmp_path / "s" / "spec.yaml", output=tmp_path / "b", run=False).path
    found = {(one.group, one.key): (one.before, one.after) for one in diff(str(first), str(second))}
    assert found.pop(("generation defaults", "top_k")) == (50, 9)
    assert {group for group, _ in found} == {"files", "size"}


def test_every_task_is_there():
    assert table.names(LIBRARY) == ("llm/v1/chat", "llm/v1/completions", "text-generation")
