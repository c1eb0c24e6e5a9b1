"""Graphs that a checkpoint's source has already, taken as they are and held against torch."""

from __future__ import annotations

import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

import hfspec
from tests.compiling import change_json, plan_refusal, refusal, write_spec

TEXTS = ["hello world", "", "the capital of Spain is Madrid " * 60, "a b c"]
FILE = "onnx/model.onnx"
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::ResourceWarning")


def exported_by_torch(model, names, outputs, path):
    """As optimum exports a model: named inputs and outputs, any number of rows and tokens."""
    import torch

    class Named(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, *tensors):
            made = self.model(**dict(zip(names, tensors, strict=True)), return_dict=True)
            return tuple(made[name] for name in outputs)

    path.parent.mkdir(parents=True, exist_ok=True)
    shapes = {name: {0: "rows", 1: "tokens"} for name in (*names, *outputs)}
    example = tuple(torch.ones((2, 5), dtype=torch.long) for _ in names)
    options = {"input_names": names, "output_names": outputs, "dynamic_axes": shapes}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Named().eval(), example, path, dynamo=False, **options)


@pytest.fixture(scope="module")
def embedder(checkpoint, tmp_path_factory):
    """A checkpoint of sentence-transformers with a graph of the Transformer alone, and a quantised one beside it."""
    import transformers
    from onnxruntime.quantization import quantize_dynamic

    folder = Path(shutil.copytree(checkpoint("minilm-like"), tmp_path_factory.mktemp("own") / "minilm-like"))
    model = transformers.AutoModel.from_pretrained(folder)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    exported_by_torch(model, names, ["last_hidden_state"], folder / FILE)
    quantize_dynamic(folder / FILE, folder / "onnx/model_quint8_avx512.onnx")
    return folder


@pytest.fixture(scope="module")
def artifact(embedder, tmp_path_factory):
    place = tmp_path_factory.mktemp("artifact")
    return hfspec.compile(of(place, embedder), output=place / "artifact", run=False)


def of(place, folder, file=FILE, **keys):
    return write_spec(place, folder, **{"format": "onnx", "model": {"path": str(folder), "file": file}, **keys})


@pytest.fixture
def own(embedder, tmp_path):
    return Path(shutil.copytree(embedder, tmp_path / "minilm-like"))


def test_answers_are_those_of_the_library_and_the_bytes_those_of_the_source(artifact, embedder):
    from sentence_transformers import SentenceTransformer

    wanted = SentenceTransformer(str(embedder), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(hfspec.load(artifact.path).predict(TEXTS), wanted, atol=1e-5)
    assert (artifact.path / "model/model.onnx").read_bytes() == (embedder / FILE).read_bytes()
    paths = [record.path for record in artifact.manifest.files]
    assert not [path for path in paths if path.endswith(".safetensors") or path.startswith("model/onnx/")]
    graph = artifact.manifest.graph
    assert graph["exporter"] == FILE
    assert 0 <= graph["difference"] <= graph["tolerance"] == 1e-4
    assert any(f"{graph['difference']:g}" in note for note in artifact.notes)


def test_it_is_a_space_of_its_own_that_names_that_of_the_weights(artifact, compiled):
    assert artifact.manifest.space != compiled("minilm-like").manifest.space
    assert artifact.manifest.graph["weights_space"] == compiled("minilm-like").manifest.space


def test_a_quantised_graph_has_to_say_how_far_it_may_be(embedder, tmp_path):
    file = "onnx/model_quint8_avx512.onnx"
    error = refusal(of(tmp_path / "a", embedder, file))
    (problem,) = error.problems
    assert problem.path == ("model", "file")
    assert "quantization: {method: stored, tolerance: " in problem.remedy
    assert float(problem.found) > 1e-4
    few = {"method": "stored", "tolerance": 1e-6}
    assert refusal(of(tmp_path / "b", embedder, file, quantization=few)).problems[0].path[0] == "quantization"
    enough = {"method": "stored", "tolerance": 0.3}
    made = hfspec.compile(of(tmp_path / "c", embedder, file, quantization=enough), output=tmp_path / "out", run=False)
    assert made.manifest.graph["difference"] == pytest.approx(float(problem.found), rel=0.1)
    assert made.manifest.graph["tolerance"] == 0.3


@pytest.mark.parametrize("mode", ["cls", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken", ["mean", "max"]])
def test_every_pooling_is_that_of_the_library(mode):
    import torch

    from hfspec.libraries.onnxruntime.pooling import pooled
    from hfspec.runtime.sentences.sentence_layers import pool

    modes = [mode] if isinstance(mode, str) else mode
    vectors = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)
    mask = np.array([[1] * 5, [1, 1, 0, 0, 0], [0, 1, 1, 1, 0]])
    wanted = pool(torch.from_numpy(vectors), torch.from_numpy(mask), modes, 0).numpy()
    np.testing.assert_allclose(pooled(vectors, mask, modes, normalize=False), wanted, atol=1e-6)


def test_prompts_are_left_out_of_the_pooling_where_it_says_so(own, tmp_path):
    from sentence_transformers import SentenceTransformer

    change_json(own / "1_Pooling/config.json", include_prompt=False)
    change_json(own / "config_sentence_transformers.json", prompts={"query": "search for this: "})
    param = {"default": "query", "choices": ["query"]}
    spec = of(tmp_path / "s", own, signature={"params": {"prompt_name": param}})
    made = hfspec.load(hfspec.compile(spec, output=tmp_path / "out", run=False).path).predict(TEXTS)
    wanted = SentenceTransformer(str(own), device="cpu").encode(TEXTS, prompt_name="query")
    np.testing.assert_allclose(made, wanted, atol=1e-5)


def test_data_beside_the_graph_goes_along_and_has_to_be_there(own, tmp_path):
    import onnx

    graph = onnx.load(own / FILE)
    (own / FILE).unlink()
    onnx.save_model(graph, own / FILE, save_as_external_data=True, location="model.onnx_data", size_threshold=1024)
    made = hfspec.compile(of(tmp_path / "a", own), output=tmp_path / "out", run=False)
    assert "model/model.onnx_data" in [record.path for record in made.manifest.files]
    assert hfspec.load(made.path).predict(["hello"]).shape[0] == 1
    data = own / "onnx/model.onnx_data"
    data.write_bytes(data.read_bytes()[:-100])
    assert "bytes" in plan_refusal(of(tmp_path / "b", own)).problems[0].found
    data.unlink()
    assert "no such file" in plan_refusal(of(tmp_path / "c", own)).problems[0].found


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"location": None}, "in '', which is not the relative path"),
        ({"location": "/etc/passwd"}, "in '/etc/passwd', which is not the relative path"),
        ({"location": "../model.onnx"}, "in '../model.onnx', which is not the relative path"),
        ({"location": "..\\model.onnx"}, "which is not the relative path"),
        ({"location": "C:model.onnx"}, "in 'C:model.onnx', which is not the relative path"),
        ({"location": "."}, "in '.', which is not the relative path"),
        ({"location": "folder"}, "keeps weights in folder; expected {bytes} bytes; found no such file beside it"),
        ({"offset": "-4096"}, "at the offset '-4096', which is not a number of bytes"),
        ({"offset": "9" * 5000}, "at the offset '999"),
        ({"offset": "1" + "0" * 18}, "found {bytes} bytes"),
        ({"offset": "\u0663"}, "at the offset '\u0663', which is not a number of bytes"),
        ({"offset": ""}, "at the offset '', which is not a number of bytes"),
        ({"length": "-1"}, "at the length '-1', which is not a number of bytes"),
        ({"length": "12"}, "in 12 bytes, and their shape and dtype take {bytes}"),
        ({"length": "9" * 18}, "in 999999999999999999 bytes, and their shape and dtype take {bytes}"),
    ],
    ids=lambda value: "-".join(f"{key}-{text}"[:24] for key, text in value.items()) if isinstance(value, dict) else "",
)
def test_weights_at_a_place_that_cannot_be_are_refused_by_the_plan(own, tmp_path, entries, words):
    import onnx

    graph = onnx.load(own / FILE)
    onnx.save_model(graph, own / FILE, save_as_external_data=True, location="model.onnx_data", size_threshold=1024)
    (own / "onnx/folder").mkdir()
    graph = onnx.load(own / FILE, load_external_data=False)
    tensor = next(one for one in graph.graph.initializer if one.external_data)
    place = {"location": "model.onnx_data", **entries}
    del tensor.external_data[:]
    for key, value in place.items():
        if value is not None:
            tensor.external_data.add(key=key, value=value)
    (own / FILE).write_bytes(graph.SerializeToString())
    (problem,) = plan_refusal(of(tmp_path / "s", own)).problems
    assert re.search(re.escape(words).replace(r"\{bytes\}", r"\d+"), str(problem)), problem


def changed(path, change):
    import onnx

    graph = onnx.load(path)
    change(graph)
    onnx.save(graph, path)


def rename_output(graph):
    graph.graph.output[0].name = graph.graph.node[-1].output[0] = "other"


def rename_input(graph):
    for node in graph.graph.node:
        node.input[:] = ["pixels" if name == "token_type_ids" else name for name in node.input]
    next(value for value in graph.graph.input if value.name == "token_type_ids").name = "pixels"


def rename_to_position_ids(graph):
    rename_input(graph)
    for node in graph.graph.node:
        node.input[:] = ["position_ids" if name == "pixels" else name for name in node.input]
    next(value for value in graph.graph.input if value.name == "pixels").name = "position_ids"


def fix_axis(axis, size):
    def change(graph):
        for value in graph.graph.input:
            value.type.tensor_type.shape.dim[axis].dim_value = size

    return change


def newer_operators(graph):
    graph.opset_import[0].version = 999


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (rename_output, "the output sentence_embedding or last_hidden_state"),
        (rename_input, "pixels"),
        (newer_operators, "does not know its operators"),
        (rename_to_position_ids, "takes position_ids, which no tokenizer gives"),
        (fix_axis(0, 1), "found 1 x any"),
        (fix_axis(1, 128), "found any x 128"),
    ],
    ids=["output", "input", "operators", "positions", "one-row", "one-length"],
)
def test_a_graph_that_does_not_fit_is_refused_by_the_plan(own, tmp_path, change, words):
    changed(own / FILE, change)
    assert words in str(plan_refusal(of(tmp_path / "s", own)))


def test_a_graph_cut_short_and_one_of_fewer_tokens_are_refused(own, tmp_path):
    whole = (own / FILE).read_bytes()
    (own / FILE).write_bytes(whole[: len(whole) // 2])
    assert "cut short" in str(plan_refusal(of(tmp_path / "a", own)))
    (own / FILE).write_bytes(b"")
    assert "is empty" in str(plan_refusal(of(tmp_path / "b", own)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "is a pointer of Git LFS"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" * 9, "is no ONNX graph"),
        (b"<!DOCTYPE html><html></html>", "is no ONNX graph"),
    ],
    ids=["pointer", "picture", "page"],
)
def test_a_file_that_is_no_graph_is_told_as_what_it_is(own, tmp_path, content, words):
    (own / FILE).write_bytes(content)
    (problem,) = plan_refusal(of(tmp_path / "s", own)).problems
    assert (problem.path, words in str(problem)) == (("model", "file"), True)


def take_narrow_integers(graph):
    from onnx import TensorProto, helper

    for value in graph.graph.input:
        value.type.tensor_type.elem_type = TensorProto.INT32
        for node in graph.graph.node:
            node.input[:] = [f"{name}_wide" if name == value.name else name for name in node.input]
        graph.graph.node.insert(0, helper.make_node("Cast", [value.name], [f"{value.name}_wide"], to=TensorProto.INT64))


def keep_weights_in_nodes(graph):
    from onnx import helper

    nodes = [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in graph.graph.initializer]
    nodes += graph.graph.node
    del graph.graph.initializer[:], graph.graph.node[:]
    graph.graph.node.extend(nodes)


def answer_by_a_branch(graph):
    from onnx import TensorProto, helper

    (value,) = graph.graph.output
    for node in graph.graph.node:
        node.output[:] = ["inner" if name == value.name else name for name in node.output]
    branches = []
    for place, operator in enumerate(("Identity", "Neg")):
        output = helper.make_tensor_value_info(f"branch{place}", TensorProto.FLOAT, None)
        node = helper.make_node(operator, ["inner"], [output.name])
        branches.append(helper.make_graph([node], output.name, [], [output]))
    graph.graph.initializer.append(helper.make_tensor("is_so", TensorProto.BOOL, [], [True]))
    options = {"then_branch": branches[0], "else_branch": branches[1]}
    graph.graph.node.append(helper.make_node("If", ["is_so"], [value.name], **options))


@pytest.mark.parametrize("change", [take_narrow_integers, keep_weights_in_nodes, answer_by_a_branch])
def test_graphs_of_other_exporters_answer_as_the_library(own, tmp_path, change):
    from sentence_transformers import SentenceTransformer

    changed(own / FILE, change)
    made = hfspec.load(hfspec.compile(of(tmp_path / "s", own), output=tmp_path / "out", run=False).path).predict(TEXTS)
    np.testing.assert_allclose(made, SentenceTransformer(str(own), device="cpu").encode(TEXTS), atol=1e-5)


def test_operators_that_onnxruntime_has_fused_are_its_own(own, tmp_path):
    from onnxruntime.transformers.optimizer import optimize_model

    optimised = optimize_model(str(own / FILE), model_type="bert", num_heads=2, hidden_size=32, opt_level=0)
    optimised.save_model_to_file(str(own / "onnx/model_O3.onnx"))
    assert "SkipLayerNormalization" in {node.op_type for node in optimised.model.graph.node}
    made = hfspec.compile(of(tmp_path / "s", own, "onnx/model_O3.onnx"), output=tmp_path / "out", run=False)
    assert made.manifest.graph["difference"] <= 1e-4


def test_a_graph_that_runs_on_no_text_is_refused_when_it_is_compiled(own, tmp_path):
    def reshape(graph):
        from onnx import TensorProto, helper

        (value,) = graph.graph.output
        for node in graph.graph.node:
            node.output[:] = ["inner" if name == value.name else name for name in node.output]
        graph.graph.initializer.append(helper.make_tensor("shape", TensorProto.INT64, [3], [1, 7, -1]))
        graph.graph.node.append(helper.make_node("Reshape", ["inner", "shape"], [value.name]))

    changed(own / FILE, reshape)
    (problem,) = refusal(of(tmp_path / "s", own)).problems
    assert problem.path == ("model", "file")
    assert "onnxruntime cannot run onnx/model.onnx on plain texts" in str(problem)


@pytest.mark.parametrize("name", ["weights.bin", "bert.weight"])
def test_data_of_any_name_goes_along_once(own, tmp_path, name):
    import onnx

    graph = onnx.load(own / FILE)
    onnx.save_model(graph, own / FILE, save_as_external_data=True, location=name, size_threshold=1024)
    made = hfspec.compile(of(tmp_path / "a", own), output=tmp_path / "out", run=False)
    assert [record.path for record in made.manifest.files if name in record.path] == [f"model/{name}"]


def test_a_graph_of_other_weights_is_refused(own, tmp_path):
    import onnx
    from onnx import numpy_helper

    def double(graph):
        for tensor in graph.graph.initializer:
            if len(tensor.dims) == 2:
                tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 2, tensor.name))

    assert onnx.__version__
    changed(own / FILE, double)
    (problem,) = refusal(of(tmp_path / "s", own)).problems
    assert "expected numbers at most 0.0001 apart" in str(problem)
    assert "method: stored" not in problem.remedy


def test_a_file_that_is_not_there_is_told_with_those_that_are(embedder, tmp_path):
    with pytest.raises(hfspec.SourceError, match=r"no file onnx/model_O9.onnx; its graphs: onnx/model.onnx"):
        hfspec.plan(of(tmp_path / "s", embedder, "onnx/model_O9.onnx"))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"format": "safetensors"}, "Write `format: onnx`"),
        ({"quantization": {"method": "dynamic-int8"}}, "method: stored"),
        ({"adapter": {"path": "/nowhere", "merge": True}}, "without an adapter"),
        ({"model": {"path": "/nowhere"}, "quantization": {"method": "stored"}}, "`file`"),
        ({"model": {"path": "/nowhere", "file": "/onnx/model.onnx"}}, "model.file"),
        ({"model": {"path": "/nowhere", "file": "../model.onnx"}}, "model.file"),
    ],
)
def test_what_does_not_go_with_it_is_refused(embedder, tmp_path, keys, words):
    problems = hfspec.validate(of(tmp_path / "s", embedder, **keys))
    assert any(words in str(problem) for problem in problems), problems


@pytest.fixture(scope="module")
def alone(embedder, checkpoint, tmp_path_factory):
    """Repositories as Xenova's are: an embedder and a classifier, each with graphs and no weights."""
    import transformers

    place = tmp_path_factory.mktemp("alone")
    folders = {name: Path(shutil.copytree(checkpoint(name), place / name)) for name in ("bert-sentiment",)}
    folders["minilm-like"] = Path(shutil.copytree(embedder, place / "minilm-like"))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folders["bert-sentiment"])
    names = ["input_ids", "attention_mask", "token_type_ids"]
    exported_by_torch(model, names, ["logits"], folders["bert-sentiment"] / FILE)
    for folder in folders.values():
        (folder / "model.safetensors").unlink()
        (folder / "quantize_config.json").write_text('{"per_channel": true}')
    return folders


def by_hand(folder, texts, file=FILE):
    """The graph's first output for each text, by onnxruntime and tokenizers alone."""
    import onnxruntime
    import tokenizers

    session = onnxruntime.InferenceSession(folder / file)
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(128)
    for text in texts:
        one = tokenizer.encode(text)
        given = {"input_ids": one.ids, "attention_mask": one.attention_mask, "token_type_ids": one.type_ids}
        taken = [value.name for value in session.get_inputs()]
        yield session.run(None, {name: np.array([given[name]], np.int64) for name in taken})[0]


def test_a_classifier_with_a_graph_alone_answers_as_its_session(alone, tmp_path):
    folder, texts = alone["bert-sentiment"], ["hello world", "the capital of Spain is Madrid"]
    spec = of(tmp_path / "s", folder, input_example=texts[0])
    plan = hfspec.plan(spec)
    assert any("not compared with weights: the source has none" in note for note in plan.notes)
    assert plan.weight_bytes == plan.memory_bytes == (folder / FILE).stat().st_size
    assert plan.parameters > 0
    made = hfspec.compile(spec, output=tmp_path / "out")
    assert made.manifest.graph["compared"] == "not with weights: the source has none"
    assert "difference" not in made.manifest.graph
    assert not [record.path for record in made.manifest.files if record.path.endswith(".safetensors")]
    logits = np.concatenate(list(by_hand(folder, texts)))
    wanted = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(hfspec.load(made.path).predict(texts)["score"], wanted.max(-1), atol=1e-6)


@pytest.mark.parametrize("file", [FILE, "onnx/model_quint8_avx512.onnx"])
def test_an_embedder_with_a_graph_alone_is_pooled_as_its_modules_say(alone, tmp_path, file):
    folder, texts = alone["minilm-like"], ["hello world", "a b c"]
    made = hfspec.compile(of(tmp_path / "s", folder, file), output=tmp_path / "out", run=False)
    wanted = np.stack([vectors[0].mean(0) for vectors in by_hand(folder, texts, file)])
    wanted /= np.linalg.norm(wanted, axis=-1, keepdims=True)
    predictor = hfspec.load(made.path, expect_fingerprint=made.manifest.fingerprint)
    np.testing.assert_allclose([predictor.predict([text])[0] for text in texts], wanted, atol=1e-5)
    assert "weights_space" not in made.manifest.graph


def test_a_distance_from_weights_that_are_not_there_is_refused(alone, tmp_path):
    keys = {"quantization": {"method": "stored", "tolerance": 0.1}}
    (problem,) = plan_refusal(of(tmp_path / "a", alone["bert-sentiment"], **keys)).problems
    assert problem.path == ("quantization",)
    assert "no weights" in str(problem)


def test_a_graph_alone_of_another_head_is_refused(alone, tmp_path):
    folder = Path(shutil.copytree(alone["bert-sentiment"], tmp_path / "bert-sentiment"))
    names = {str(place): f"label {place}" for place in range(7)}
    change_json(folder / "config.json", id2label=names, label2id={name: int(place) for place, name in names.items()})
    (problem,) = refusal(of(tmp_path / "s", folder)).problems
    assert (problem.path, "another shape" in str(problem)) == (("model", "file"), True)


@pytest.fixture(scope="module")
def bare(alone, tmp_path_factory):
    """As Xenova's embedders are: nothing of sentence-transformers, and no weights."""
    place = tmp_path_factory.mktemp("bare") / "minilm-like"
    ignored = shutil.ignore_patterns("modules.json", "?_*", "sentence_*", "config_sentence_transformers.json")
    return Path(shutil.copytree(alone["minilm-like"], place, ignore=ignored))


@pytest.mark.parametrize(
    ("mode", "made"), [("mean", lambda tokens: tokens.mean(0)), ("cls", lambda tokens: tokens[0])], ids=["mean", "cls"]
)
def test_the_spec_says_the_pooling_where_the_source_does_not(bare, tmp_path, mode, made):
    texts, settings = ["hello world", "a b c"], {"normalize_embeddings": True}
    spec = of(tmp_path / "s", bare, pooling=mode, model_config=settings, input_example=texts[0])
    assert f"the spec says {mode}, and embeddings are scaled to length 1." in " ".join(hfspec.plan(spec).notes)
    artifact = hfspec.compile(spec, output=tmp_path / "out")
    wanted = np.stack([made(vectors[0]) for vectors in by_hand(bare, texts)])
    wanted /= np.linalg.norm(wanted, axis=-1, keepdims=True)
    predictor = hfspec.load(artifact.path, expect_fingerprint=artifact.manifest.fingerprint)
    np.testing.assert_allclose(predictor.predict(texts), wanted, atol=1e-5)
    assert artifact.manifest.signature.outputs.shape == (-1, wanted.shape[1])
    assert "model/modules.json" in [record.path for record in artifact.manifest.files]


def test_weights_without_modules_are_pooled_as_the_spec_says(bare, checkpoint, tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer

    folder = Path(shutil.copytree(bare, tmp_path / "minilm-like", ignore=shutil.ignore_patterns("onnx")))
    shutil.copy(checkpoint("minilm-like") / "model.safetensors", folder)
    spec = of(tmp_path / "s", folder, None, pooling="cls", format="safetensors")
    artifact = hfspec.compile(spec, output=tmp_path / "out", run=False)
    transformer = Transformer(str(folder))
    pooling = Pooling(transformer.get_word_embedding_dimension(), pooling_mode="cls")
    library = SentenceTransformer(modules=[transformer, pooling], device="cpu")
    wanted = library.encode(TEXTS)
    np.testing.assert_allclose(hfspec.load(artifact.path).predict(TEXTS), wanted, atol=1e-5)
    own = SentenceTransformer(str(artifact.path / "model.sentence_transformer"), device="cpu", trust_remote_code=True)
    np.testing.assert_allclose(own.encode(TEXTS), wanted, atol=1e-5)


def pooled_graph(folder):
    """The graph with the mean of its tokens as the output sentence_embedding."""
    from onnx import TensorProto, helper

    def pool(graph):
        (tokens,) = graph.graph.output
        size = tokens.type.tensor_type.shape.dim[2].dim_value
        graph.graph.node.append(
            helper.make_node("ReduceMean", [tokens.name, "axes"], ["sentence_embedding"], keepdims=0)
        )
        graph.graph.initializer.append(helper.make_tensor("axes", TensorProto.INT64, [1], [1]))
        value = helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["rows", size])
        graph.graph.output.append(value)

    changed(folder / FILE, pool)


def test_a_graph_that_gives_embeddings_needs_no_pooling_and_takes_none(bare, tmp_path):
    folder = Path(shutil.copytree(bare, tmp_path / "minilm-like"))
    pooled_graph(folder)
    spec = of(tmp_path / "a", folder)
    assert "embeddings are the graph's output sentence_embedding" in " ".join(hfspec.plan(spec).notes)
    made = hfspec.load(hfspec.compile(spec, output=tmp_path / "out", run=False).path).predict(["hello world"])
    np.testing.assert_allclose(made[0], next(by_hand(folder, ["hello world"]))[0].mean(0), atol=1e-5)
    (problem,) = plan_refusal(of(tmp_path / "b", folder, pooling="mean")).problems
    assert (problem.path, problem.remedy) == (("pooling",), "remove `pooling`")


def test_pooling_that_nothing_states_or_two_state_is_refused(alone, bare, tmp_path):
    (problem,) = plan_refusal(of(tmp_path / "a", bare)).problems
    assert "no modules.json" in str(problem)
    assert "`pooling: mean`" in problem.remedy
    (problem,) = plan_refusal(of(tmp_path / "b", alone["minilm-like"], pooling="mean")).problems
    assert (problem.path, "has a modules.json" in str(problem)) == (("pooling",), True)
    classifier = of(tmp_path / "c", alone["bert-sentiment"], pooling="mean")
    (problem,) = hfspec.validate(classifier)
    assert (problem.path, problem.code) == (("pooling",), "dead-key")
    (problem,) = hfspec.validate(of(tmp_path / "d", bare, pooling="last-token"))
    assert problem.nearest == "lasttoken"


@pytest.fixture(scope="module")
def several(embedder, tmp_path_factory):
    """A source with a licence and no checkpoint at its top, but one in each of two folders."""
    place = tmp_path_factory.mktemp("several") / "minilm-like"
    for name in ("first", "deep/second"):
        shutil.copytree(embedder, place / name, ignore=shutil.ignore_patterns("README.md", "LICENSE"))
    (place / "LICENSE").write_text("that of the top\n")
    return place


@pytest.mark.parametrize("keys", [{"format": "safetensors"}, {"format": "onnx"}], ids=["weights", "graph"])
def test_a_checkpoint_in_a_folder_is_that_of_the_folder_alone(several, embedder, tmp_path, keys):
    file = FILE if keys["format"] == "onnx" else None
    model = {"path": str(several), "folder": "deep/second", "file": file}
    by_itself = of(tmp_path / "b", embedder, file, **keys)
    one = hfspec.compile(of(tmp_path / "a", several, **keys, model=model), output=tmp_path / "one", run=False)
    other = hfspec.compile(by_itself, output=tmp_path / "other", run=False)
    assert one.manifest.space == other.manifest.space
    records = {record.path: record.sha256 for record in other.manifest.files if record.path.startswith("model/")}
    assert records.items() <= {record.path: record.sha256 for record in one.manifest.files}.items()
    assert (one.path / "LICENSE").read_text() == "that of the top\n"
    np.testing.assert_allclose(hfspec.load(one.path).predict(TEXTS), hfspec.load(other.path).predict(TEXTS), atol=1e-6)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({}, "A config.json is in deep/second, first: name one as the model's `folder`."),
        ({"folder": "deep"}, "A config.json is in second: name one as the model's `folder`."),
        ({"folder": "third"}, "has no folder third; its folders: deep/second"),
        ({"folder": "first/onnx"}, "name that, and `file: onnx/model.onnx`"),
        ({"folder": "first", "file": "first/onnx/model.onnx"}, "its graphs: onnx/model.onnx"),
    ],
    ids=["none", "above", "absent", "graphs", "file-from-the-top"],
)
def test_a_folder_that_is_no_checkpoint_is_told_with_what_to_write(several, tmp_path, model, words):
    spec = write_spec(tmp_path / "s", several, model={"path": str(several), **model}, format="onnx")
    with pytest.raises(hfspec.SourceError, match=re.escape(words)):
        hfspec.plan(spec)


def test_a_source_of_graphs_alone_is_told_with_what_to_write(bare, tmp_path):
    with pytest.raises(hfspec.SourceError, match=re.escape("write `format: onnx`, and `file: onnx/model.onnx` under")):
        hfspec.plan(write_spec(tmp_path / "s", bare))


def test_a_reference_to_a_folder_of_a_source_is_refused(several, tmp_path):
    model = {"path": str(several), "folder": "first"}
    (problem,) = hfspec.validate(write_spec(tmp_path / "s", several, model=model, save_mode="reference"))
    assert (problem.path, problem.code) == (("model", "folder"), "conflict")
