"""What a request may make the server open: nothing of its disk, and no address but public ones where the fleet says."""

from __future__ import annotations

import base64
import io
import json
import os
import socket
import threading
import wave as wave_files
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import hfspec
from hfspec.errors import InputError, ParamsError
from hfspec.runtime.media import remote
from tests.runtime.sounds import tone
from tests.serving.servers import PIXELS, SECONDS


def wav(seconds=0.5):
    made = io.BytesIO()
    with wave_files.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((tone(440, seconds) * 32767).astype("<i2").tobytes())
    return made.getvalue()


def png(size=(32, 32)):
    from PIL import Image

    made = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(made, "PNG")
    return made.getvalue()


def text_of(content):
    return base64.b64encode(content).decode("ascii")


class Answering(BaseHTTPRequestHandler):
    """Gives a picture, or a redirect to what follows /to/."""

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("location", self.path.removeprefix("/to/"))
            self.end_headers()
            return
        content = png()
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    """A web server of this machine. ``asked``: the paths that it was asked for."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture(scope="module")
def secret(tmp_path_factory):
    """A sound that lies on the server's disk."""
    file = tmp_path_factory.mktemp("disk") / "secret.wav"
    file.write_bytes(wav())
    return file


def ways(file):
    """The ways to name a file of the disk."""
    return [
        str(file),
        os.path.relpath(file),
        file.as_uri(),
        f"file://localhost{file}",
        f"FILE:{file}",
        f"{file.parent}/./{file.name}",
        {"path": str(file)},
        {"bytes": str(file)},
        {"audio": str(file)},
        {"audio": {"path": file.as_uri()}},
    ]


@pytest.mark.parametrize("number", range(10))
def test_no_file_of_the_disk_is_opened(served, secret, number):
    way = ways(secret)[number]
    missing = json.loads(json.dumps(way).replace("secret.wav", "nobody.wav"))
    said = []
    for sent in (way, missing):
        refused = served.post("/models/whisper/predict", {"inputs": [sent]})
        assert refused.status_code == 400, refused.text
        said.append(refused.json()["error"]["message"].replace("nobody.wav", "secret.wav"))
        assert "base64 text or a data: URI" in said[-1]
    assert said[0] == said[1]  # nobody learns whether it is there


def test_no_protocol_opens_a_file(served, secret):
    body = {"inputs": [str(secret)]}
    assert served.post("/invocations?model=whisper", body).status_code == 400
    table = f"audio\n{secret}\n".encode()
    assert (
        served.post("/invocations?model=whisper", data=table, headers={"content-type": "text/csv"}).status_code == 400
    )
    line = json.dumps(str(secret)).encode()
    lines = served.post("/models/whisper/predict", data=line, headers={"content-type": "application/jsonl"})
    assert set(lines.json()) == {"error"}


def test_content_is_taken_in_every_form(served):
    sound = wav()
    forms = [
        text_of(sound),
        f"data:audio/wav;base64,{text_of(sound)}",
        {"bytes": text_of(sound)},
        {"audio": text_of(sound)},
    ]
    made = served.post("/models/whisper/predict", {"inputs": forms}).json()["predictions"]
    (wanted,) = hfspec.load(served.artifacts["whisper"]).predict([sound])
    assert made == [wanted] * len(forms)


@pytest.mark.parametrize("name", ["whisper", "vit"])
@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:{port}/a",
        "http://localhost:{port}/a",
        "http://LOCALHOST.:{port}/a",
        "HTTP://127.0.0.1:{port}/a",
        "http://127.1:{port}/a",
        "http://2130706433:{port}/a",
        "http://0.0.0.0:{port}/a",
        "http://0x7f.1:{port}/a",
        "http://[::1]:{port}/a",
        "http://[::ffff:127.0.0.1]:{port}/a",
        "http://[64:ff9b::7f00:1]:{port}/a",
        "http://[2002:7f00:1::]:{port}/a",
        "http://user@127.0.0.1:{port}/a",
        "http://169.254.169.254/latest/meta-data",
        "http://[fd00:ec2::254]/latest/meta-data",
        "http://10.0.0.1/",
        "http://192.168.1.1/",
        "https://127.0.0.1:{port}/a",
    ],
)
def test_no_private_address_is_fetched_whatever_the_fleet_says(served, site, name, address):
    named = address.format(port=site.server_address[1])
    refused = served.post(f"/models/{name}/predict", {"inputs": [named]})
    assert refused.status_code == 400, refused.text
    assert site.asked == []
    reason = "fetches no addresses" if name == "whisper" else "cannot be fetched"
    assert reason in refused.json()["error"]["message"]


def test_addresses_are_refused_in_mappings_too(served, site):
    address = f"http://127.0.0.1:{site.server_address[1]}/a"
    for name in ("whisper", "vit"):
        for sent in ({"path": address}, {"bytes": address}):
            assert served.post(f"/models/{name}/predict", {"inputs": [sent]}).status_code == 400
    assert site.asked == []


@pytest.mark.parametrize(
    ("address", "is_public"),
    [
        ("1.1.1.1", True),
        ("2606:4700:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:1.1.1.1", True),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::1", False),
        ("ff02::1", False),
    ],
)
def test_which_addresses_are_public(address, is_public):
    assert remote.is_public(address) is is_public


def fetched(address):
    return remote.fetch(address, None, 10_000, 5.0, public=True)


def test_a_redirect_is_looked_at_as_the_first_address_is(site, monkeypatch):
    port = site.server_address[1]
    monkeypatch.setattr(remote, "is_public", lambda address: address == "127.0.0.1")
    assert fetched(f"http://127.0.0.1:{port}/a") == png()
    assert fetched(f"http://127.0.0.1:{port}/to//a") == png()
    site.asked.clear()
    for target in (f"http://127.0.0.2:{port}/secret", f"http://[::1]:{port}/secret", "file:///etc/passwd"):
        with pytest.raises(InputError, match=r"cannot be fetched|is not allowed"):
            fetched(f"http://127.0.0.1:{port}/to/{target}")
    assert not [path for path in site.asked if not path.startswith("/to/")]


def test_a_name_with_a_private_address_among_others_is_refused(monkeypatch):
    places = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("1.1.1.1", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: places)
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("it connects"))
    with pytest.raises(InputError, match="public internet"):
        fetched("http://rebound.example/a")


def test_the_proxy_of_the_environment_is_not_asked(site, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{site.server_address[1]}")
    with pytest.raises(InputError, match="public internet"):
        fetched("http://10.0.0.1/a")
    assert site.asked == []


def test_too_much_is_not_read(site, monkeypatch):
    monkeypatch.setattr(remote, "is_public", lambda _: True)
    with pytest.raises(InputError, match="more than 10 bytes"):
        remote.fetch(f"http://127.0.0.1:{site.server_address[1]}/a", None, 10, 5.0, public=True)


def test_a_deployment_may_forbid_files_and_no_caller_may_allow_them(artifact, secret):
    predictor = hfspec.load(artifact("whisper"), model_config={"allow_files": False})
    for way in (str(secret), secret, secret.as_uri()):
        with pytest.raises(InputError, match="base64 text or a data: URI"):
            predictor.predict([way])
    assert len(predictor.predict([wav()])) == 1
    with pytest.raises(ParamsError, match="allow_files"):
        predictor.predict([str(secret)], params={"allow_files": True})


def test_images_are_refused_from_the_disk_too(served, tmp_path):
    file = tmp_path / "a.png"
    file.write_bytes(png())
    refused = served.post("/models/vit/predict", {"inputs": [str(file)]})
    assert refused.status_code == 400
    taken = served.post("/models/vit/predict", {"inputs": [text_of(png())]})
    assert taken.status_code == 200, taken.text


def test_sounds_and_images_beyond_the_fleets_limits_are_refused(served):
    long = served.post("/models/whisper/predict", {"inputs": [text_of(wav(SECONDS + 1))]})
    assert long.status_code == 400
    assert f"more than {SECONDS} seconds" in long.json()["error"]["message"]
    large = served.post("/models/vit/predict", {"inputs": [text_of(png((101, 100)))]})
    assert large.status_code == 400
    assert f"more than the {PIXELS}" in large.json()["error"]["message"]
    assert served.post("/models/vit/predict", {"inputs": [text_of(png((100, 100)))]}).status_code == 200
