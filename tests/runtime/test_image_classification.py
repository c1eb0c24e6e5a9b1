"""Labels of images equal those of the model and its processor called directly, whatever form the image comes in."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import hfspec
from hfspec.errors import InputError, ParamsError
from tests.runtime.images import file_of, picture

PICTURES = [picture(1), picture(2, (64, 64)), picture(3, (20, 90)), picture(1), picture(4)]


@pytest.fixture(scope="module")
def truth(checkpoint):
    """``truth(image)``: every label with its score, best first, by the model itself."""
    import torch
    from transformers import ViTForImageClassification
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    processor = ViTImageProcessorPil.from_pretrained(checkpoint("vit"))
    model = ViTForImageClassification.from_pretrained(checkpoint("vit")).eval()

    def get(image):
        with torch.no_grad():
            scores = model(**processor(images=image, return_tensors="pt")).logits[0].softmax(-1)
        ranked = scores.argsort(descending=True).tolist()
        return [(model.config.id2label[place], float(scores[place])) for place in ranked]

    return get


def assert_scores(answers, rows):
    assert len(answers) == len(rows)
    for mine, row in zip(answers, rows, strict=True):
        assert mine["labels"] == [label for label, _ in row]
        assert mine["scores"] == pytest.approx([score for _, score in row], abs=1e-5)


def test_torchvision_is_not_needed():
    import importlib.util

    assert importlib.util.find_spec("torchvision") is None, "these tests are run without it on purpose"


@pytest.mark.parametrize("batch_images", [1, 2, 100])
def test_every_label_and_score_as_the_model_says(artifact, truth, batch_images):
    predictor = hfspec.load(artifact("vit"), model_config={"batch_images": batch_images})
    answers = predictor.predict(PICTURES, outputs="full")
    assert_scores(answers, [truth(image) for image in PICTURES])
    assert [(answer["width"], answer["height"]) for answer in answers] == [image.size for image in PICTURES]


def test_as_the_pipeline(artifact, checkpoint):
    from transformers import pipeline

    pipe = pipeline("image-classification", str(checkpoint("vit")), device="cpu", top_k=7)
    rows = [[(entry["label"], entry["score"]) for entry in pipe(image)] for image in PICTURES]
    assert_scores(hfspec.load(artifact("vit")).predict(PICTURES, outputs="full"), rows)


def test_the_standard_form_is_a_frame_of_the_best_labels(artifact, truth):
    frame = hfspec.load(artifact("vit")).predict(PICTURES)
    assert list(frame.columns) == ["label", "score"]
    assert frame["label"].tolist() == [truth(image)[0][0] for image in PICTURES]
    assert len(hfspec.load(artifact("vit")).predict([])) == 0
    two = hfspec.load(artifact("vit"), model_config={"top_k": 2}).predict(PICTURES)
    expected = [(row, label) for row, image in enumerate(PICTURES) for label, _ in truth(image)[:2]]
    assert list(zip(two["row"], two["label"], strict=True)) == expected


def test_every_form_of_one_image(artifact, truth, tmp_path):
    image = PICTURES[0]
    file = file_of(image)
    path = tmp_path / "an image.png"
    path.write_bytes(file)
    text = base64.b64encode(file).decode()
    pixels = np.asarray(image)
    forms = [
        image,
        file,
        bytearray(file),
        str(path),
        path,
        path.as_uri(),
        text,
        f"data:image/png;base64,{text}",
        pixels,
        pixels.transpose(2, 0, 1),
        pixels / 255,
        {"bytes": file, "path": None},
        {"path": str(path)},
        {"image": file},
        pd.DataFrame({"image": [file], "id": [1]}),
        pd.Series([path]),
        {"array": pixels},
    ]
    predictor = hfspec.load(artifact("vit"))
    for form in forms:
        assert_scores(predictor.predict(form, outputs="full"), [truth(image)])
    assert_scores(predictor.predict(forms[:11], outputs="full"), [truth(image)] * 11)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "1", "I", "F", "HSV"])
def test_every_mode_becomes_rgb(artifact, truth, mode):
    image = PICTURES[0].convert("L").convert(mode) if mode in {"I", "F", "LA"} else PICTURES[0].convert(mode)
    assert_scores(hfspec.load(artifact("vit")).predict([image], outputs="full"), [truth(image.convert("RGB"))])


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF", "WEBP", "JPEG", "PPM"])
def test_every_format(artifact, truth, kind):
    file = file_of(PICTURES[1], kind)
    with Image.open(io.BytesIO(file)) as opened:
        expected = truth(opened.convert("RGB"))
    assert_scores(hfspec.load(artifact("vit")).predict(file, outputs="full"), [expected])


def test_arrays_of_gray(artifact, truth):
    gray = PICTURES[0].convert("L")
    expected = truth(gray.convert("RGB"))
    predictor = hfspec.load(artifact("vit"))
    for array in (np.asarray(gray), np.asarray(gray)[:, :, None], np.asarray(gray)[None]):
        assert_scores(predictor.predict(array, outputs="full"), [expected])


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_photograph_is_turned_upright(artifact, truth, orientation):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[274] = orientation
    file = file_of(picture(9), "JPEG", exif=exif, quality=95)
    with Image.open(io.BytesIO(file)) as opened:
        upright = ImageOps.exif_transpose(opened).convert("RGB")
        lying = opened.convert("RGB")
    (answer,) = hfspec.load(artifact("vit")).predict([file], outputs="full")
    assert_scores([answer], [truth(upright)])
    assert [score for _, score in truth(upright)] != pytest.approx([score for _, score in truth(lying)], abs=1e-4)


BAD = {
    "not an image": (b"this is a text, not an image", "cannot be decoded"),
    "cut short": (file_of(PICTURES[0], "JPEG")[:400], "cannot be decoded"),
    "no bytes": (b"", "empty"),
    "no such file": ("cat.png", "neither the path"),
    "a number": (5, "expected bytes"),
    "nothing": (None, "missing"),
    "a list of numbers": ([1, 2], "expected one value"),
    "two channels": (np.zeros((8, 8, 2), np.uint8), "is not an image"),
    "a line": (np.zeros(8, np.uint8), "is not an image"),
    "no pixels": (np.zeros((0, 8, 3), np.uint8), "is not an image"),
    "integers of 64 bits": (np.zeros((8, 8, 3), np.int64), "uint8"),
    "floats beyond 1": (np.full((8, 8, 3), 255.0), "uint8"),
    "nan": (np.full((8, 8, 3), np.nan), "uint8"),
    "an address": ("http://127.0.0.1:9/cat.png", "does not fetch addresses"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_image_is_refused_by_its_row(artifact, case):
    value, words = BAD[case]
    with pytest.raises(InputError, match=r"^row 1: ") as caught:
        hfspec.load(artifact("vit")).predict([PICTURES[0], value])
    assert words in str(caught.value)
    assert caught.value.row == 1


def test_an_image_that_would_fill_the_memory_is_refused(artifact, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match="row 0: the image cannot be decoded"):
        hfspec.load(artifact("vit")).predict(file_of(PICTURES[0]))


@pytest.mark.parametrize("config", [{"top_k": 0}, {"batch_images": 0}, {"function_to_apply": 3}, {"timeout": 3}])
def test_settings_of_no_such_value_are_refused(artifact, config):
    with pytest.raises(ParamsError):
        hfspec.load(artifact("vit"), model_config=config)


def test_the_emitted_predictor_answers_base64_with_json(artifact, truth, tmp_path):
    rows = [{"image": base64.b64encode(file_of(image)).decode()} for image in PICTURES[:2]]
    (tmp_path / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    command = [sys.executable, str(artifact("vit") / "predictor.py"), "--json", "rows.json"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    answers = json.loads(made.stdout)
    assert [answer["label"] for answer in answers] == [truth(image)[0][0] for image in PICTURES[:2]]
    assert [answer["score"] for answer in answers] == pytest.approx([truth(image)[0][1] for image in PICTURES[:2]])
