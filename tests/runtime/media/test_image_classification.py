"""Labels of images equal those of the model and its processor called directly, whatever form the image comes in."""

from __future__ import annotations

import base64
import io
import json
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import hfspec
from hfspec.errors import InputError, ParamsError
from tests import interpreters
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


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "PA", "CMYK", "1", "HSV", "YCbCr", "LAB", "RGBa", "RGBX"])
def test_every_mode_of_8_bits_becomes_rgb(artifact, truth, mode):
    image = in_mode(mode)
    assert_scores(hfspec.load(artifact("vit")).predict([image], outputs="full"), [truth(image.convert("RGB"))])


def in_mode(mode):
    if mode in {"LA", "PA"}:
        return PICTURES[0].convert("L" if mode == "LA" else "P").convert(mode)
    if mode == "LAB":
        return Image.frombytes(mode, PICTURES[0].size, PICTURES[0].tobytes())
    return PICTURES[0].convert("RGBA").convert(mode) if mode == "RGBa" else PICTURES[0].convert(mode)


def test_gray_with_its_alpha_multiplied_in(artifact, truth):
    image = PICTURES[0].convert("L").convert("LA").convert("La")
    expected = truth(image.convert("LA").convert("RGB"))
    assert_scores(hfspec.load(artifact("vit")).predict([image], outputs="full"), [expected])


RAMP = (np.arange(40 * 30).reshape(30, 40) * 65535 // (40 * 30 - 1)).astype(np.uint16)
GRAY = Image.fromarray((RAMP / 65535 * 255).round().astype(np.uint8)).convert("RGB")
FLOATS = (RAMP / 65535).astype(np.float32)
IN_PIL = {
    "I;16": Image.fromarray(RAMP),
    "I;16B": Image.fromarray(RAMP.astype(">u2")),
    "I": Image.fromarray(RAMP.astype(np.int32)),
    "F": Image.fromarray(FLOATS),
}
DEEP = {
    **IN_PIL,
    "png": file_of(IN_PIL["I;16"]),
    "tiff": file_of(IN_PIL["I;16"], "TIFF"),
    "big-endian tiff": file_of(IN_PIL["I;16B"], "TIFF"),
    "tiff of 32-bit integers": file_of(IN_PIL["I"], "TIFF"),
    "tiff of floats": file_of(IN_PIL["F"], "TIFF"),
    "jpeg 2000": file_of(IN_PIL["I;16"], "JPEG2000", irreversible=False),
    "pgm": file_of(IN_PIL["I;16"], "PPM"),
    "base64": base64.b64encode(file_of(IN_PIL["I;16"])).decode(),
    "array of uint16": RAMP,
    "big-endian array": RAMP.astype(">u2"),
    "array of three channels": np.stack([RAMP] * 3, axis=2),
    "array of float32": FLOATS,
    "array of float64 with channels first": np.stack([RAMP / 65535] * 3),
    "mapping": {"array": RAMP},
}


@pytest.mark.parametrize("form", DEEP)
def test_more_than_8_bits_are_scaled_by_the_modes_own_range(artifact, truth, form):
    assert_scores(hfspec.load(artifact("vit")).predict([DEEP[form]], outputs="full"), [truth(GRAY)])


def test_a_deep_image_is_turned_upright(artifact, truth):
    exif = Image.Exif()
    exif[274] = 6
    file = file_of(IN_PIL["I;16"], exif=exif)
    expected = truth(GRAY.transpose(Image.Transpose.ROTATE_270))
    assert_scores(hfspec.load(artifact("vit")).predict([file], outputs="full"), [expected])


def test_a_tiff_in_which_white_is_zero(artifact, truth):
    from PIL import ImageOps

    for deep in ("I;16", "F"):
        file = bytearray(file_of(IN_PIL[deep], "TIFF"))
        place = file.index(bytes([6, 1, 3, 0, 1, 0, 0, 0]))  # the tag PhotometricInterpretation, one short
        file[place + 8] = 0
        assert_scores(hfspec.load(artifact("vit")).predict(bytes(file), outputs="full"), [truth(ImageOps.invert(GRAY))])


DEEP_AND_BAD = {
    "integers beyond 16 bits": (Image.fromarray(RAMP.astype(np.int32) * 2), "from 0 to 131070"),
    "integers below 0": (Image.fromarray(RAMP.astype(np.int32) - 5), "from -5 to 65530"),
    "a tiff of such": (file_of(Image.fromarray(RAMP.astype(np.int32) * 2), "TIFF"), "range is 0 to 65535"),
    "floats to 255": (Image.fromarray(FLOATS * 255), "floats from 0 to 255"),
    "a tiff of such floats": (file_of(Image.fromarray(FLOATS * 255), "TIFF"), "range is 0 to 1"),
    "mode I of 8 bits": (Image.fromarray((RAMP // 257).astype(np.int32)), "from 0 to 255, which may be"),
    "a gray image converted to I": (PICTURES[0].convert("I"), "convert it to mode L"),
    "floats below 0": (Image.fromarray(FLOATS - 1), "floats from -1 to 0"),
    "floats with nan": (Image.fromarray(np.where(FLOATS < 0.5, np.nan, FLOATS)), "floats from nan"),
    "array of int16": ((RAMP // 2).astype(np.int16), "int16 from 0 to 32767"),
    "array of int32": (RAMP.astype(np.int32), "int32 from 0 to 65535"),
    "array of uint32": (RAMP.astype(np.uint32), "uint32"),
    "array of floats to 65535": (RAMP.astype(np.float32), "float32 from 0 to 65535"),
    "array of complex": (RAMP.astype(np.complex64), "complex64"),
}


@pytest.mark.parametrize("case", DEEP_AND_BAD)
def test_values_without_a_defined_range_are_refused_by_row(artifact, case):
    value, words = DEEP_AND_BAD[case]
    with pytest.raises(InputError, match=r"^row 1: ") as caught:
        hfspec.load(artifact("vit")).predict([PICTURES[0], value])
    assert words in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF", "WEBP", "JPEG", "PPM"])
def test_every_format(artifact, truth, kind):
    file = file_of(PICTURES[1], kind)
    with Image.open(io.BytesIO(file)) as opened:
        expected = truth(opened.convert("RGB"))
    assert_scores(hfspec.load(artifact("vit")).predict(file, outputs="full"), [expected])


def test_tensors_of_every_float(artifact, truth):
    import torch

    gray = torch.tensor(np.asarray(PICTURES[0].convert("L")) / 255)
    predictor = hfspec.load(artifact("vit"))
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        tensor = gray.to(dtype)
        shown = Image.fromarray((tensor.float() * 255).round().to(torch.uint8).numpy())
        assert_scores(predictor.predict([tensor], outputs="full"), [truth(shown.convert("RGB"))])


def test_files_that_no_decoder_reads_are_refused_by_row(artifact):
    """PIL's decoders raise more than its own errors: each is a plain sentence with the row."""
    dds, avif = (bytearray(file_of(PICTURES[0], kind)) for kind in ("DDS", "AVIF"))
    dds[80:84] = b"\x1b\0\0\0"
    files = [bytes(dds), bytes(avif[: len(avif) // 2]), bytes(avif).replace(b"pitm", b"pytm")]
    predictor = hfspec.load(artifact("vit"))
    for file in files:
        with pytest.raises(InputError, match=r"^row 1: the image cannot be decoded"):
            predictor.predict([PICTURES[0], file])


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
    made = interpreters.run(command, cwd=tmp_path, capture_output=True, check=True)
    answers = json.loads(made.stdout)
    assert [answer["label"] for answer in answers] == [truth(image)[0][0] for image in PICTURES[:2]]
    assert [answer["score"] for answer in answers] == pytest.approx([truth(image)[0][1] for image in PICTURES[:2]])
