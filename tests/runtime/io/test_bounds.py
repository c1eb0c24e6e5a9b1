"""Small inputs that would become large are refused by their row; what is within the bounds is answered as before."""

from __future__ import annotations

import base64
import gzip
import io
import os
import shutil
import struct
import tracemalloc
import wave as wav_files

import numpy as np
import pytest
from PIL import Image

import hfspec
from hfspec.errors import InputError, ParamsError
from hfspec.runtime.media.audio import wave
from hfspec.settings.precedence import MODEL_CONFIG, Settings
from hfspec.tasks import media as task
from tests.runtime.images import file_of, picture
from tests.runtime.sounds import FORMATS, RATE, encoded, tone

PLAIN = Settings({})


def wav(samples, rate):
    """A 16-bit file with this rate in its header."""
    buffer = io.BytesIO()
    with wav_files.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.asarray(samples) * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def bounded(**bounds):
    return Settings({MODEL_CONFIG: bounds})


def test_eight_thousand_samples_at_one_hz_are_two_hours():
    file = wav(np.zeros(8000), 1)
    assert len(file) < 17_000
    tracemalloc.start()
    with pytest.raises(InputError, match=r"^row 2: the audio is too long.* 1 Hz.*audio_max_seconds"):
        wave(file, 2, RATE, PLAIN)
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()
    with pytest.raises(InputError, match=r"^row 2: the audio is too long"):
        wave({"array": np.zeros(8000), "sampling_rate": 1}, 2, RATE, PLAIN)


@pytest.fixture(scope="module")
def silence():
    """Five minutes of silence, which as samples are 58 MB."""
    return encoded([np.zeros(48000 * 300, np.float32)], "ogg-opus")


def test_silence_is_refused_while_it_is_decoded(silence):
    assert len(silence) < 150_000
    tracemalloc.start()
    with pytest.raises(InputError, match=r"^row 0: the audio is too long: it lasts more than 60 seconds"):
        wave(silence, 0, RATE, bounded(audio_max_seconds=60))
    assert tracemalloc.get_traced_memory()[1] < 25_000_000
    tracemalloc.stop()


def test_the_deployment_may_allow_more(silence):
    assert wave(silence, 0, RATE, bounded(audio_max_seconds=301)).seconds == pytest.approx(300, abs=0.1)


def test_the_defaults():
    predicted = {setting.name: setting.default for setting in (*task.AUDIO, *task.IMAGES)}
    assert predicted["audio_max_seconds"] == 1800
    assert predicted["image_max_pixels"] <= Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_counted(name):
    file = encoded([tone(440, 1.5, FORMATS[name][3])], name)
    assert wave(file, 0, RATE, bounded(audio_max_seconds=1.7)).seconds == pytest.approx(1.5, abs=0.1)
    with pytest.raises(InputError, match=r"^row 4: the audio is too long: it lasts more than 1.2 seconds"):
        wave(file, 4, RATE, bounded(audio_max_seconds=1.2))
    with pytest.raises(InputError, match=r"^row 4: the audio has too many samples: more than 5000"):
        wave(base64.b64encode(file).decode(), 4, RATE, bounded(audio_max_samples=5000))


def test_pieces_make_the_same_sound_as_the_whole(monkeypatch):
    from hfspec.runtime.media import audio

    file = encoded([tone(440, 1.5, 44100)], "wav")
    whole = wave(file, 0, RATE, PLAIN).samples
    monkeypatch.setattr(audio, "PIECE", 5000)
    assert np.array_equal(wave(file, 0, RATE, PLAIN).samples, whole)


def test_a_slow_rate_that_is_meant_is_heard():
    assert wave(wav(np.zeros(60), 1), 0, RATE, PLAIN).seconds == pytest.approx(60, abs=0.1)


def test_the_bounds_of_sounds_hold_in_a_predictor(artifact):
    sounds = [tone(300, 0.2), tone(300, 0.4)]
    for name, most in {"audio_max_seconds": 0.3, "audio_max_samples": 5000}.items():
        predictor = hfspec.load(artifact("wav2vec2-keywords"), model_config={name: most})
        assert len(predictor.predict(sounds[:1])) == 1
        with pytest.raises(InputError, match=rf"^row 1: .*{name}"):
            predictor.predict(sounds)


def png_of(width, height):
    """A PNG of one colour that is a few kilobytes whatever it unpacks to."""
    return file_of(Image.new("1", (width, height)))


LARGE = {
    "png": lambda: png_of(12_000, 8_000),
    "gif": lambda: file_of(Image.new("P", (12_000, 8_000)), "GIF"),
    "tiff": lambda: file_of(Image.new("1", (12_000, 8_000)), "TIFF", compression="group4"),
    "base64": lambda: base64.b64encode(png_of(12_000, 8_000)).decode(),
    "a size beyond all": lambda: huge(file_of(picture(1), "BMP")),
    "PIL image": lambda: Image.open(io.BytesIO(png_of(9_500, 9_500))),
    "array": lambda: np.broadcast_to(np.uint8(0), (9_500, 9_500)),
}


def huge(bmp):
    return bmp[:18] + struct.pack("<ii", 1 << 30, 1 << 30) + bmp[26:]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("form", LARGE)
def test_a_wall_of_one_colour_is_refused_before_it_is_unpacked(artifact, form):
    value = LARGE[form]()
    with pytest.raises(InputError, match=r"^row 1: .*(pixels|large|limit)"):
        hfspec.load(artifact("vit")).predict([picture(1), value])


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "WEBP", "JPEG", "ICO"])
def test_pixels_are_bounded_by_a_setting(artifact, kind):
    file = file_of(picture(1, (40, 40)), kind, **({"sizes": [(40, 40)]} if kind == "ICO" else {}))
    assert len(hfspec.load(artifact("vit"), model_config={"image_max_pixels": 1600}).predict(file)) == 1
    with pytest.raises(InputError, match=r"^row 0: the image has 40 x 40 pixels, more than the 1599 allowed"):
        hfspec.load(artifact("vit"), model_config={"image_max_pixels": 1599}).predict(file)


@pytest.mark.filterwarnings("ignore:Image was not the expected size")
def test_an_icon_that_lies_about_its_size(artifact):
    inner = file_of(picture(1, (200, 200)))
    icon = struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(inner), 22) + inner
    with pytest.raises(InputError, match=r"^row 0: .*200 x 200 pixels"):
        hfspec.load(artifact("vit"), model_config={"image_max_pixels": 10_000}).predict(icon)


def test_frames_and_pages_beyond_the_first_are_not_unpacked(artifact):
    first = picture(1)
    more = [Image.new("RGB", (40, 30), (place % 256, 0, 0)) for place in range(300)]
    predictor = hfspec.load(artifact("vit"))
    for kind in ("TIFF", "PNG"):
        file = file_of(first, kind, save_all=True, append_images=more)
        assert predictor.predict(file)["score"].tolist() == predictor.predict(first)["score"].tolist()


def test_what_its_header_does_not_bound_is_refused(artifact):
    cards = ["SIMPLE  =                    T", "XTENSION= 'BINTABLE'", "ZIMAGE  =                    T"]
    cards += ["ZCMPTYPE= 'GZIP_1  '", "ZBITPIX =                    8", "ZNAXIS  =                    2"]
    cards += ["ZNAXIS1 =                   40", "ZNAXIS2 =                   30", "BITPIX  =                    8"]
    cards += [
        "NAXIS   =                    2",
        "NAXIS1  =                   40",
        "NAXIS2  =                   30",
        "END",
    ]
    fits = "".join(card.ljust(80) for card in cards).ljust(2880).encode() + gzip.compress(bytes(10_000_000))
    for value in (fits, file_of(picture(1), "EPS")):
        with pytest.raises(InputError, match=r"^row 0: (an image of the form|the image cannot be decoded)"):
            hfspec.load(artifact("vit")).predict(value)


@pytest.fixture
def keeps_proportions(build, checkpoint, tmp_path):
    """An artifact whose processor sets an image's shorter edge."""
    from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil

    folder = shutil.copytree(checkpoint("vit"), tmp_path / "shorter")
    ConvNextImageProcessorPil(size={"shortest_edge": 32}, crop_pct=0.875).save_pretrained(folder)
    return build(folder, "image-classification")


def test_a_line_of_pixels_does_not_become_a_wall(keeps_proportions):
    predictor = hfspec.load(keeps_proportions)
    assert len(predictor.predict([picture(1, (400, 30))])) == 1
    line = file_of(Image.new("1", (300_000, 1)))
    with pytest.raises(InputError, match=r"^row 1: the image becomes, once resized, 10\d{6} x 3\d pixels"):
        predictor.predict([picture(1), line])


def test_a_file_is_read_no_further_than_its_bound(artifact, tmp_path):
    path = tmp_path / "sparse.png"
    with path.open("wb") as file:
        os.truncate(file.fileno(), 3_000_000_000)
    with pytest.raises(InputError, match=r"^row 0: .*sparse.png has more than 1000 bytes.*file_max_bytes"):
        hfspec.load(artifact("vit"), model_config={"file_max_bytes": 1000}).predict(path)
    path.write_bytes(file_of(picture(1)))
    assert len(hfspec.load(artifact("vit"), model_config={"file_max_bytes": 10_000}).predict(path)) == 1


def test_what_never_ends_is_no_file(artifact, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", str(tmp_path / "pipe")):
        with pytest.raises(InputError, match=r"^row 0: .*it is not a regular file"):
            hfspec.load(artifact("vit")).predict(path)


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("vit", {"image_max_pixels": 10**12}),
        ("vit", {"file_max_bytes": 10**9}),
        ("wav2vec2-keywords", {"audio_max_seconds": 10.0**6}),
        ("wav2vec2-keywords", {"audio_max_samples": 10**12}),
    ],
)
def test_callers_cannot_lift_a_bound(artifact, name, bound):
    with pytest.raises(ParamsError):
        hfspec.load(artifact(name)).predict([b""], params=bound)
    declared = hfspec.load(artifact(name, signature={"params": bound}))
    with pytest.raises(ParamsError, match="model_config only"):
        declared.predict([b""])


@pytest.mark.parametrize("bound", [{"image_max_pixels": 0}, {"image_max_pixels": None}, {"file_max_bytes": -1}])
def test_bounds_of_no_such_value_are_refused(artifact, bound):
    with pytest.raises(ParamsError):
        hfspec.load(artifact("vit"), model_config=bound)
