"""Any form and format of sound becomes the samples that a model is given; what is no sound is refused by its row."""

from __future__ import annotations

import base64
import http.server
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hfspec
from hfspec.errors import InputError, ParamsError
from hfspec.runtime.media.audio import wave
from hfspec.settings.precedence import MODEL_CONFIG, Settings
from tests.runtime.sounds import FORMATS, RATE, encoded, tone

PLAIN = Settings({})


def samples(value, rate=RATE):
    return wave(value, 0, rate, PLAIN).samples


def aligned(mine, truth, most=4000):
    """The likeness (1 is the same) at the best shift: lossy formats begin a little early or late."""
    size = min(len(mine), len(truth)) - most
    return max(np.corrcoef(mine[lag : lag + size], truth[:size])[0, 1] for lag in range(0, most, 4))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_decoded_mixed_down_and_resampled(name):
    rate, is_exact = FORMATS[name][3:]
    left, right = tone(440, 1.5, rate), tone(1000, 1.5, rate)
    truth = (tone(440, 1.5) + tone(1000, 1.5)) / 2
    mine = samples(encoded([left, right], name))
    assert mine.dtype == np.float32
    assert mine.ndim == 1
    assert len(mine) / RATE == pytest.approx(1.5, abs=0.1)
    if is_exact:
        assert len(mine) == len(truth)
        assert np.abs(mine - truth)[200:-200].max() < 2e-4
    else:
        assert aligned(mine, truth) > 0.98
        assert mine.std() == pytest.approx(truth.std(), rel=0.1)


def test_at_the_models_own_rate_nothing_is_touched():
    sound = tone(300, 0.4)
    assert np.array_equal(samples(encoded([sound], "wav-float")), sound)
    assert np.array_equal(samples(sound), sound)
    assert np.array_equal(samples({"array": sound, "sampling_rate": RATE}), sound)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000])
def test_arrays_are_resampled_from_their_rate(rate):
    truth = tone(300, 1.0)
    mine = samples({"array": tone(300, 1.0, rate), "sampling_rate": rate})
    assert len(mine) == pytest.approx(len(truth), abs=2)
    size = min(len(mine), len(truth)) - 300
    assert np.abs(mine[300:size] - truth[300:size]).max() < 2e-3


@pytest.mark.parametrize(
    ("dtype", "scale", "middle"), [("int16", 2**15, 0), ("int32", 2**31, 0), ("int8", 2**7, 0), ("uint8", 2**7, 2**7)]
)
def test_integers_are_scaled_by_their_full_range(dtype, scale, middle):
    values = np.array([middle, middle + scale // 2, middle - scale, middle + scale - 1], dtype=dtype)
    assert samples(values).tolist() == pytest.approx([0, 0.5, -1, 1 - 1 / scale])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_are_taken_as_they_are(dtype):
    sound = tone(300, 0.2).astype(dtype)
    assert samples(sound) == pytest.approx(sound.astype("float32"))


def test_tensors_and_numbers_of_the_libraries_are_taken():
    import torch

    sound = torch.tensor(tone(300, 0.2)).bfloat16()
    assert samples(sound) == pytest.approx(sound.float().numpy())
    slow = {"array": tone(300, 0.5, 8000), "sampling_rate": 8000}
    for rate in (np.int64(8000), np.float32(8000), torch.tensor(8000).item()):
        assert np.array_equal(samples({**slow, "sampling_rate": rate}), samples(slow))


def test_a_file_of_an_unknown_codec_is_refused():
    file = bytearray(encoded([tone(440, 0.2)], "wav"))
    file[20:22] = b"\x99\x99"
    with pytest.raises(InputError, match=r"^row 3: the audio cannot be decoded: its codec is not known"):
        wave(bytes(file), 3, RATE, PLAIN)


def test_the_shorter_axis_holds_the_channels():
    channels = np.stack([tone(440, 0.2), tone(880, 0.2), tone(220, 0.2)])
    truth = channels.mean(axis=0)
    assert samples(channels) == pytest.approx(truth, abs=1e-6)
    assert samples(channels.T) == pytest.approx(truth, abs=1e-6)
    assert samples(truth[None]) == pytest.approx(truth)


def test_every_form_gives_the_same_samples(tmp_path):
    file = encoded([tone(500, 0.3)], "flac")
    path = tmp_path / "a sound #1.flac"
    path.write_bytes(file)
    text = base64.b64encode(file).decode()
    forms = [
        bytearray(file),
        memoryview(file),
        path,
        str(path),
        path.as_uri(),
        text,
        base64.urlsafe_b64encode(file).decode().rstrip("="),
        "\n".join(text[place : place + 76] for place in range(0, len(text), 76)),
        f"data:audio/flac;base64,{text}",
        {"bytes": file, "path": None},
        {"bytes": None, "path": str(path)},
    ]
    for form in forms:
        assert np.array_equal(samples(form), samples(file))


BAD = {
    "not sound": (b"this is a text, not a sound, however long it is", "cannot be decoded"),
    "no bytes": (b"", "empty"),
    "empty text": ("", "empty text"),
    "blank text": ("  ", "empty text"),
    "no file and no base64": ("recording.wav", "'recording.wav' is neither the path of a file nor base64"),
    "a short word that is base64": ("word", "neither the path"),
    "a folder": (Path(__file__).parent, "cannot be read"),
    "no such file": ("file:///no/such/file.wav", "cannot be read"),
    "a file elsewhere": ("file://elsewhere/file.wav", "another machine"),
    "broken data uri": ("data:audio/wav;base64,@@", "not base64"),
    "nul": ("a\0b", "neither the path"),
    "nan": (np.array([0.0, np.nan]), "nan or infinite"),
    "infinity": ({"array": [0.0, float("inf")], "sampling_rate": RATE}, "nan or infinite"),
    "no samples": (np.zeros(0), "no samples"),
    "no rate": ({"array": [0.1]}, "no sampling_rate"),
    "rate as text": ({"array": [0.1], "sampling_rate": "16k"}, "number of samples per second"),
    "rate of zero": ({"array": [0.1], "sampling_rate": 0}, "number of samples per second"),
    "true as rate": ({"array": [0.1], "sampling_rate": True}, "number of samples per second"),
    "array of texts": ({"array": ["loud"], "sampling_rate": RATE}, "not one of numbers"),
    "ragged": ({"array": [[0.1], [0.1, 0.2]], "sampling_rate": RATE}, "not one of numbers"),
    "missing array": ({"array": None, "sampling_rate": RATE}, "array is missing"),
    "mapping of nothing": ({"bytes": None, "path": None}, "neither bytes nor a path"),
    "as wide as long": (np.zeros((5, 5)), "is not sound"),
    "three axes": (np.zeros((1, 2, 3)), "is not sound"),
    "int64": (np.zeros(4, dtype="int64"), "no known scale"),
    "complex": (np.zeros(4, dtype="complex64"), "no known scale"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_sound_is_refused_by_its_row(case):
    value, words = BAD[case]
    with pytest.raises(InputError, match=r"^row 3: ") as caught:
        wave(value, 3, RATE, PLAIN)
    assert words in str(caught.value)
    assert caught.value.row == 3


def test_a_file_cut_short_is_refused_or_shorter_but_never_noise():
    whole = samples(encoded([tone(440, 1.0, 22050)], "flac"))
    try:
        part = samples(encoded([tone(440, 1.0, 22050)], "flac")[:6000])
    except InputError:
        return
    assert len(part) < len(whole)
    assert np.abs(part[:-300] - whole[: len(part) - 300]).max() < 1e-3


def test_a_file_without_sound_is_refused(tmp_path):
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "picture.webp")
    with pytest.raises(InputError, match=r"cannot be decoded|no audio"):
        samples(tmp_path / "picture.webp")


def test_a_playlist_opens_no_other_file(tmp_path):
    (tmp_path / "secret.wav").write_bytes(encoded([tone(440, 0.5)], "wav-float"))
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path}/secret.wav\n#EXT-X-ENDLIST\n"
    concatenated = f"ffconcat version 1.0\nfile {tmp_path}/secret.wav\n"
    for text in (playlist, concatenated):
        with pytest.raises(InputError, match="cannot be decoded"):
            samples(text.encode())


class Shelf(http.server.BaseHTTPRequestHandler):
    """Gives a sound, or misbehaves, by the path asked for."""

    sound = b""
    never = threading.Event()

    def do_GET(self):
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", "ftp://127.0.0.1/sound.flac")
            self.end_headers()
            return
        if self.path not in ("/sound.flac", "/slow"):
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        if self.path == "/slow":
            self.wfile.write(self.sound[:10])
            self.never.wait(10)
            return
        self.wfile.write(self.sound)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def shelf():
    Shelf.sound = encoded([tone(500, 0.3, 22050)], "flac")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Shelf)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    Shelf.never.set()
    server.shutdown()
    server.server_close()
    Shelf.never.clear()


def allowing(**more):
    return Settings({MODEL_CONFIG: {"allow_urls": True, "url_max_bytes": 10**6, "url_timeout": 5, **more}})


def test_an_address_is_fetched_where_the_spec_allows_it(shelf):
    found = wave(f"{shelf}/sound.flac", 0, RATE, allowing()).samples
    assert np.array_equal(found, samples(Shelf.sound))


@pytest.mark.parametrize(
    ("path", "more", "words"),
    [
        ("/sound.flac", {"allow_urls": False}, "does not fetch addresses"),
        ("/sound.flac", {"url_max_bytes": 100}, "more than 100 bytes"),
        ("/missing", {}, "answers 404"),
        ("/slow", {"url_timeout": 0.3}, "takes too long"),
        ("/away", {}, "redirects to ftp://127.0.0.1"),
    ],
)
def test_what_an_address_may_not_do(shelf, path, more, words):
    with pytest.raises(InputError, match=r"^row 1: ") as caught:
        wave(f"{shelf}{path}", 1, RATE, allowing(**more))
    assert words in str(caught.value)


def test_nobody_answers_at_an_address():
    with pytest.raises(InputError, match="cannot be fetched"):
        wave("http://127.0.0.1:9/a.wav", 0, RATE, allowing())


def test_callers_cannot_allow_addresses(artifact):
    with pytest.raises(ParamsError, match="allow_urls"):
        hfspec.load(artifact("wav2vec2-keywords")).predict(["a.wav"], params={"allow_urls": True})
    declared = hfspec.load(artifact("wav2vec2-keywords", signature={"params": {"allow_urls": True}}))
    with pytest.raises(ParamsError, match="model_config only"):
        declared.predict(tone(300, 0.2))


def test_rows_in_every_form_of_input(artifact):
    predictor = hfspec.load(artifact("wav2vec2-keywords"))
    low, high = tone(300, 0.2), tone(900, 0.3)
    file = encoded([high], "wav-float")
    truth = predictor.predict([low, high], outputs="full")
    assert truth[0] != truth[1]
    forms = [
        [low, file],
        {"audio": [low, file]},
        [{"audio": low}, {"audio": file}],
        [{"array": low.tolist(), "sampling_rate": RATE}, {"raw": high, "sampling_rate": RATE}],
        pd.DataFrame({"audio": [low, file], "id": [1, 2]}),
        pd.DataFrame({"anything": [low, file]}),
        pd.Series([low, file]),
        np.array([encoded([low], "wav-float"), file], dtype=object),
    ]
    for form in forms:
        assert predictor.predict(form, outputs="full") == truth
    assert predictor.predict(np.stack([low, low]), outputs="full") == truth[:1], "one array is one sound"
    assert predictor.predict([], outputs="full") == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "missing"),
        (5, "expected bytes"),
        ([tone(300, 0.2), None], "row 1"),
        ([tone(300, 0.2), 0.5], "row 1"),
        ([[0.1, 0.2]], "expected one value"),
        ({"adio": b"x"}, "did you mean"),
        (pd.DataFrame({"adio": [b"x"], "id": [1]}), "did you mean"),
        ([tone(300, 0.2), tone(300, 0.0005)], "row 1: the audio is too short: 8 samples"),
    ],
)
def test_bad_input_names_its_row(artifact, data, words):
    with pytest.raises(InputError) as caught:
        hfspec.load(artifact("wav2vec2-keywords")).predict(data)
    assert words in str(caught.value)
