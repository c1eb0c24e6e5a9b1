"""Graphs of images and sounds beside the same artifact by torch, and what transformers' processors make of them."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

import hfspec
from hfspec.libraries.onnxruntime.media_sources import image_steps
from tests.compiling import change_json, plan_refusal, write_spec
from tests.libraries.blocking import told
from tests.libraries.test_onnx_tasks import close, shallow

TASKS = {"vit": "image-classification", "wav2vec2-keywords": "audio-classification"}
BY_ITSELF = """
import json, sys, hfspec, numpy as np
given = np.load(sys.argv[2], allow_pickle=False)
model = hfspec.load(sys.argv[1])
rows = [given[name] for name in sorted(given.files)]
print(json.dumps(model.predict_json(rows, outputs="full")))
"""


def image(height: int, width: int):
    from PIL import Image

    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3))
    return Image.fromarray(pixels.astype(np.uint8))


def inputs(name: str) -> list:
    """Arrays as inputs of the checkpoint's task."""
    if name == "vit":
        return [np.asarray(image(*size)) for size in ((40, 57), (200, 31), (32, 32))]
    generator = np.random.default_rng(3)
    return [generator.standard_normal(count).astype(np.float32) / 9 + 0.01 for count in (4000, 700, 4000, 16001)]


@pytest.fixture(scope="module", params=TASKS)
def pair(request, tmp_path_factory, checkpoint):
    """The checkpoint's name, and the artifacts by a graph and by torch."""
    name = request.param
    place = tmp_path_factory.mktemp(name)
    model = shallow(checkpoint(name), place / "model")
    made = [
        hfspec.compile(write_spec(place / kind, model, task=TASKS[name], format=kind), output=place / kind / "out").path
        for kind in ("onnx", "safetensors")
    ]
    return name, made


def test_a_graph_answers_as_torch_does(pair):
    name, artifacts = pair
    for config in ({}, {"top_k": 3}, {"function_to_apply": "none"}):
        graph, torch = (hfspec.load(one, model_config=config) for one in artifacts)
        for form in ("standard", "full"):
            close(graph.predict_json(inputs(name), outputs=form), torch.predict_json(inputs(name), outputs=form))


def test_a_process_without_torch_and_transformers_answers_the_same(pair, tmp_path):
    name, (graph, torch) = pair
    np.savez(tmp_path / "given.npz", **{str(place): one for place, one in enumerate(inputs(name))})
    found = told(tmp_path / "blocked", BY_ITSELF, str(graph), str(tmp_path / "given.npz"))
    close(found, hfspec.load(torch).predict_json(inputs(name), outputs="full"))


def test_files_are_read_and_what_torch_refuses_is_refused(pair):
    name, (graph, torch) = pair
    content = io.BytesIO()
    if name == "vit":
        image(50, 20).save(content, format="PNG")
        wrong = b"no image of any kind"
    else:
        with wave.open(content, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(22050)
            file.writeframes((inputs(name)[0] * 9000).astype("<i2").tobytes())
        wrong = np.zeros(10, np.float32)
    models = [hfspec.load(one) for one in (graph, torch)]
    close(*(model.predict_json([content.getvalue()], outputs="full") for model in models))
    messages = []
    for model in models:
        with pytest.raises(hfspec.InputError) as caught:
            model.predict([wrong])
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_the_artifact_needs_neither_torch_nor_transformers(pair):
    name, (graph, _) = pair
    needed = {line.partition("==")[0] for line in (graph / "requirements.txt").read_text().splitlines()}
    assert {"onnxruntime", "pillow" if name == "vit" else "av"} <= needed
    assert not {"torch", "transformers", "safetensors"} & needed
    assert not list(graph.rglob("*.safetensors"))
    assert set(hfspec.load(graph).components()) == {"model"}
    manifest = json.loads((graph / "artifact.json").read_text())
    assert manifest["graph"]["difference"] <= 1e-4
    hfspec.verify(graph)


PROCESSORS = {
    "vit": ("ViTImageProcessor", {"size": {"height": 40, "width": 30}, "resample": 3}),
    "vit, nothing but a scale": ("ViTImageProcessor", {"do_resize": False, "do_normalize": False}),
    "vit, no scale": ("ViTImageProcessor", {"do_rescale": False, "resample": 0}),
    "deit": ("DeiTImageProcessor", {"size": {"height": 64, "width": 64}, "crop_size": {"height": 49, "width": 50}}),
    "clip": ("CLIPImageProcessor", {"size": {"shortest_edge": 37}, "crop_size": 48}),
    "bit": ("BitImageProcessor", {"size": {"shortest_edge": 48}, "crop_size": {"height": 40, "width": 41}}),
    "convnext": ("ConvNextImageProcessor", {"size": {"shortest_edge": 48}, "crop_pct": 0.875}),
    "convnext, large": ("ConvNextImageProcessor", {"size": {"shortest_edge": 384}}),
    "mobilenet": ("MobileNetV2ImageProcessor", {"size": {"shortest_edge": 50}, "crop_size": 44, "resample": 1}),
    "mobilevit": ("MobileViTImageProcessor", {"size": {"shortest_edge": 50}, "crop_size": 44}),
    "efficientnet": ("EfficientNetImageProcessor", {"size": 44, "rescale_offset": True, "rescale_factor": 1 / 127.5}),
    "levit": ("LevitImageProcessor", {"size": {"shortest_edge": 42}, "crop_size": 42}),
    "poolformer": ("PoolFormerImageProcessor", {"size": {"shortest_edge": 42}, "crop_size": 42, "crop_pct": 0.9}),
    "beit": ("BeitImageProcessor", {"size": 36, "do_center_crop": True, "crop_size": 31}),
    "siglip": ("SiglipImageProcessor", {"size": {"height": 33, "width": 35}}),
    "segformer": ("SegformerImageProcessor", {"size": 32}),
    "pvt": ("PvtImageProcessor", {"size": 30}),
}


def processor(kind: str, settings: dict):
    import transformers

    return getattr(transformers, f"{kind}Pil")(**settings)


@pytest.mark.parametrize("case", PROCESSORS)
def test_pixels_are_those_of_the_librarys_processor(case):
    own = processor(*PROCESSORS[case])
    steps = image_steps(own)
    for size in ((41, 57), (90, 31), (16, 9), (64, 64), (7, 200), (450, 460)):
        wanted = own(images=image(*size), return_tensors="np")["pixel_values"]
        np.testing.assert_array_equal(steps(image(*size))["pixel_values"], wanted.astype(np.float32))


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        ("ImageGPTImageProcessor", {"clusters": [[0.0, 0.0, 0.0]]}, "ImageGPTImageProcessor"),
        ("ViTImageProcessor", {"size": {"shortest_edge": 30, "longest_edge": 60}}, "longest_edge"),
        ("ViTImageProcessor", {"do_pad": True}, "pads images"),
        ("ConvNextImageProcessor", {"size": {"height": 30, "width": 30}}, "shortest_edge"),
    ],
)
def test_processors_of_other_steps_are_refused(kind, settings, words):
    with pytest.raises(hfspec.SpecError, match=words):
        image_steps(processor(kind, settings))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"do_pad": True, "pad_size": {"height": 32, "width": 32}},
            ("pads images", "do_pad in preprocessor_config.json"),
        ),
        (
            {"image_processor_type": "ImageGPTImageProcessor", "clusters": [[0.0, 0.0, 0.0]]},
            ("ImageGPTImageProcessor",),
        ),
        ({"size": {"longest_edge": 64}}, ("resizes by longest_edge", "expected shortest_edge")),
    ],
    ids=["pads", "unknown", "size"],
)
def test_the_plan_refuses_a_processor_that_transformers_computes(checkpoint, tmp_path, changes, words):
    folder = Path(shutil.copytree(checkpoint("vit"), tmp_path / "vit"))
    change_json(folder / "preprocessor_config.json", **changes)
    spec = write_spec(tmp_path / "specs", folder, task="image-classification", format="onnx")
    (problem,) = plan_refusal(spec).problems
    assert all(word in str(problem) for word in words), problem
    assert (problem.path, problem.origin.line > 0) == (("format",), True)
    assert "Leave out `format`" in problem.remedy


def test_the_plan_refuses_the_spectrograms_of_another_extractor_too(checkpoint, tmp_path):
    spec = write_spec(tmp_path, checkpoint("ast-tagging"), task="audio-classification", format="onnx")
    (problem,) = plan_refusal(spec).problems
    assert "ASTFeatureExtractor" in str(problem)
    assert problem.origin.line > 0


def test_options_of_the_spec_decide_what_the_plan_refuses(checkpoint, tmp_path):
    options = {"do_pad": True, "pad_size": {"height": 32, "width": 32}}
    place = {"path": str(checkpoint("vit")), "options": options}
    keys = {"task": "image-classification", "format": "onnx", "components": {"image_processor": place}}
    assert "pads images" in str(plan_refusal(write_spec(tmp_path, checkpoint("vit"), **keys)))


def test_a_new_process_loads_it_without_pandas(pair):
    script = "import sys, hfspec; hfspec.load(sys.argv[1]); assert not {'torch', 'pandas', 'av'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", script, str(pair[1][0])], capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
