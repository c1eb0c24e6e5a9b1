"""Change without a gap, and a stop at any time, against real servers: what is wrong leaves the old one as it was."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import threading
import time
from pathlib import Path

import grpc
import httpx2 as httpx
import openai
import pytest

from tests.runtime.chats import HELLO
from tests.serving.certificates import self_signed
from tests.serving.process import Served, eventually

PREDICT = "/models/sentiment/predict"
PAUSE = 0.02  # seconds between a caller's requests, which leave a core to the replicas that are loaded meanwhile
USER, OTHER, ADMIN = "a-user-key-of-the-tests", "another-key-of-the-tests", "an-admin-key-of-the-tests"


def bearer(key):
    return {"authorization": f"Bearer {key}"}


def asked(served, key="", **options):
    return served.post(PREDICT, {"inputs": ["good"]}, headers=bearer(key), **options).status_code


def said_by_models(served):
    """The reasons in /models, of the fleet and of its models."""
    answer = served.get("/models").json()
    return " ".join([answer["reason"], *(model["reason"] for model in answer["models"])])


def changed_byte(folder):
    weights = next(folder.glob("model/*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    return folder


def test_a_fleet_file_that_is_wrong_leaves_the_old_one_which_says_why(fleet, artifact, copy_of):
    with Served(path := fleet()) as served:
        good = path.read_text()
        before = served.get("/models").json()["models"][0]["digest"]
        bad = changed_byte(copy_of(artifact("bert-sentiment"), "bad"))
        wrong = {
            "models: {": "fleet.yaml",
            "": "holds no fleet file",
            good.replace('"artifact"', '"artefact"'): "artefact",
            good.replace("bert-sentiment", "absent-one"): "does not exist",
            json.dumps({"models": {"sentiment": {"artifact": str(bad)}}}): "the old one goes on",
            good.replace('"server": {}', '"server": {"host": "localhost"}'): "server.host",
            good.replace('"server": {}', '"server": {"limits": {"body": 1000}}'): "server.limits",
        }
        for text, part in wrong.items():
            assert text != good
            path.write_text(text)
            served.signal(signal.SIGHUP)
            assert eventually(lambda part=part: part in said_by_models(served)), (part, said_by_models(served))
            assert served.said(part)
            assert served.get("/ready").status_code == 200
            assert asked(served) == 200
        path.unlink()
        served.signal(signal.SIGHUP)
        assert eventually(lambda: "cannot be read" in said_by_models(served)), said_by_models(served)
        assert served.get("/models").json()["models"][0]["digest"] == before
        path.write_text(good)
        served.signal(signal.SIGHUP)
        assert eventually(lambda: said_by_models(served).strip() == "")
        assert not any("Traceback" in line for line in served.lines)


def test_keys_are_taken_from_their_file_at_sighup_alone(fleet, tmp_path):
    def write(*keys):
        file.write_text(json.dumps({"keys": [{"name": f"key-{number}", "key": key} for number, key in keys]}))

    file = tmp_path / "keys.yaml"
    write((1, USER))
    file.chmod(0o600)
    with Served(fleet(server={"api_keys": {"file": str(file)}})) as served:
        assert not any("can read" in line for line in served.lines)
        write((1, USER), (2, OTHER))
        assert asked(served, OTHER) == 401
        served.signal(signal.SIGHUP)
        assert eventually(lambda: asked(served, OTHER) == 200)
        write((2, OTHER))
        assert asked(served, USER) == 200
        served.signal(signal.SIGHUP)
        assert eventually(lambda: asked(served, USER) == 401)
        for damage in (file.unlink, lambda: file.write_text(""), lambda: file.write_text("keys: []")):
            lines = len(served.lines)
            damage()
            served.signal(signal.SIGHUP)
            assert eventually(lambda lines=lines: any("not reloaded" in line for line in served.lines[lines:]))
            assert (asked(served, OTHER), asked(served)) == (200, 401)
        write((1, USER))
        file.chmod(0o644)
        served.signal(signal.SIGHUP)
        assert served.said("every user of this machine can read server.api_keys.file")
        assert eventually(lambda: (asked(served, USER), asked(served, OTHER)) == (200, 401))
        assert not any(key in line for line in served.lines for key in (USER, OTHER))


def test_threads_that_the_fleet_file_gives_are_those_of_the_next_replicas(fleet):
    def threads(served):
        (pid,) = served.replicas()
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return next(int(entry.partition(b"=")[2]) for entry in environment if entry.startswith(b"OMP_NUM_THREADS="))

    with Served(fleet({"threads": 1})) as served:
        assert threads(served) == 1
        fleet({"threads": 3})
        served.signal(signal.SIGHUP)
        assert served.said("reloaded")
        assert eventually(lambda: len(served.replicas()) == 1)
        assert threads(served) == 3


@pytest.fixture
def certificates(tmp_path):
    """A wrong pair of a certificate and its key, by what is wrong with it."""
    good, other = self_signed(tmp_path), self_signed(tmp_path, "other-")
    text = tmp_path / "text.pem"
    text.write_text("this is no PEM")
    return {
        "the key does not belong to the certificate": (good[0], other[1]),
        "`key` has a password": self_signed(tmp_path, "secret-", password=b"secret"),
        "the certificate has expired": self_signed(tmp_path, "old-", (-3, -1)),
        "the certificate is not valid yet": self_signed(tmp_path, "new-", (1, 3)),
        "`certificate` holds no certificate in PEM": (text, good[1]),
        "`key` holds no private key in PEM": (good[0], text),
        "does not exist": (good[0], tmp_path / "absent.pem"),
    }


@pytest.mark.parametrize(
    "fault",
    [
        "the key does not belong to the certificate",
        "`key` has a password",
        "the certificate has expired",
        "the certificate is not valid yet",
        "`certificate` holds no certificate in PEM",
        "`key` holds no private key in PEM",
        "does not exist",
    ],
)
def test_a_certificate_that_cannot_be_shown_is_refused_before_a_model_is_loaded(fleet, run_serve, certificates, fault):
    certificate, key = certificates[fault]
    done = run_serve(fleet(server={"tls": {"certificate": str(certificate), "key": str(key)}}), "server.port=0")
    assert done.returncode == 1, done.stderr
    assert fault in done.stderr
    assert "Traceback" not in done.stderr
    assert "loading" not in done.stderr


def test_a_certificate_that_is_renewed_is_shown_at_sighup_and_a_bad_one_is_not(fleet, tmp_path):
    certificate, key = self_signed(tmp_path)
    first = certificate.read_bytes()
    server = {"tls": {"certificate": str(certificate), "key": str(key)}, "grpc_port": 0}
    with Served(fleet(server=server)) as served:
        _, port = served.url.rsplit(":", 1)

        def shown(http=True):
            number = port if http else served.grpc.rsplit(":", 1)[1]
            return ssl.get_server_certificate(("127.0.0.1", int(number)), timeout=20).strip().encode()

        assert (shown(), shown(http=False)) == (first.strip(),) * 2
        key.unlink()
        served.signal(signal.SIGHUP)
        assert served.said("not reloaded")
        assert shown() == first.strip()
        self_signed(tmp_path)
        second = certificate.read_bytes()
        served.signal(signal.SIGHUP)
        assert served.said("reloaded")
        assert eventually(lambda: (shown(), shown(http=False)) == (second.strip(),) * 2)
        credentials = grpc.ssl_channel_credentials(second)
        with grpc.secure_channel(served.grpc, credentials) as channel:
            grpc.channel_ready_future(channel).result(20)


def test_a_load_and_an_unload_lose_no_request_and_no_stream(fleet, build, checkpoint, tmp_path):
    chat = {"artifact": str(build(checkpoint("llama-chat"), "llm/v1/chat"))}
    keys = tmp_path / "keys.yaml"
    keys.write_text(json.dumps({"keys": [{"name": "all", "key": ADMIN, "scopes": ["predict", "admin"]}]}))
    with Served(fleet(chat=chat, server={"api_keys": {"file": str(keys)}})) as served:
        client = openai.OpenAI(base_url=served.url + "/v1", api_key=ADMIN, max_retries=0)
        request = {"model": "chat", "messages": HELLO, "max_tokens": 60, "temperature": 0}
        wanted = client.chat.completions.create(**request).choices[0].message.content
        said, refused, over, unloaded = [], [], threading.Event(), threading.Event()

        def stream():
            while not over.wait(PAUSE):
                try:
                    chunks = list(client.chat.completions.create(**request, stream=True))
                except openai.InternalServerError as error:
                    refused.append((error.status_code, unloaded.is_set()))
                    continue
                said.append("".join(chunk.choices[0].delta.content or "" for chunk in chunks))

        def whole():
            while not over.wait(PAUSE):
                status = asked(served, ADMIN)
                assert status == 200

        failed = []

        def guarded(work):
            try:
                work()
            except BaseException as error:
                failed.append(error)

        callers = [threading.Thread(target=guarded, args=[work]) for work in (stream, stream, whole)]
        for caller in callers:
            caller.start()
        for name in ("chat", "sentiment"):
            assert served.post(f"/v2/repository/models/{name}/load", {}, headers=bearer(ADMIN)).status_code == 200
        unloaded.set()
        assert served.post("/v2/repository/models/chat/unload", {}, headers=bearer(ADMIN)).status_code == 200
        assert eventually(lambda: len(refused) > 2)
        assert served.get("/ready").status_code == 200
        assert served.post("/v2/repository/models/chat/load", {}, headers=bearer(ADMIN)).status_code == 200
        count = len(said)
        assert eventually(lambda: len(said) > count + 2)
        over.set()
        for caller in callers:
            caller.join(120)
    assert failed == []
    assert set(refused) == {(503, True)}
    assert set(said) == {wanted}


def gone(pids):
    """Whether these processes have ended."""
    return eventually(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in pids), 20)


def test_a_stop_while_a_model_is_loaded_or_replaced_does_not_wait_for_it(fleet, artifact, copy_of):
    with Served(fleet({"replicas": 2}), wait=False) as served:
        assert served.said("loading sentiment")
        assert eventually(lambda: len(served.replicas()) == 2)
        for pid in (pids := served.replicas()):
            served.stand_still(pid)
        served.signal(signal.SIGHUP)  # while it loads it only waits
        assert served.stop(20) == 0
        assert gone(pids)
    with Served(fleet()) as served:
        served.signal(signal.SIGHUP)
        assert eventually(lambda: len(served.replicas()) == 2)
        pids = served.replicas()
        served.stand_still(max(pids))
        served.signal(signal.SIGTERM)
        served.signal(signal.SIGTERM)
        assert served.stop(20) == 0
        assert gone(pids)
    assert not any("Traceback" in line or "never" in line for line in served.lines)


def test_two_hangups_at_once_leave_one_replica_of_each_model(fleet, artifact):
    with Served(fleet()) as served:
        fleet(toxic={"artifact": str(artifact("bert-toxic"))})
        for _ in range(2):
            served.signal(signal.SIGHUP)
            time.sleep(0.05)
        assert served.said("reloaded")
        assert eventually(lambda: served.get("/ready").json()["models"].keys() == {"sentiment", "toxic"})
        before = reloads(served)
        served.signal(signal.SIGHUP)  # worked after those before it
        assert eventually(lambda: reloads(served) > before and len(served.replicas()) == 2)


def reloads(served):
    return sum("info reloaded" in line for line in list(served.lines))


def test_a_unix_socket_is_served_and_is_taken_from_no_server_and_left_to_none(fleet, tmp_path, run_serve):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with Served(fleet(), overrides=[f"server.unix_socket={path}"], wait=False) as served:
        assert served.said(f"ready at unix:{path}", 120)
        second = run_serve(fleet(), f"server.unix_socket={path}")
        assert second.returncode == 2
        assert "cannot listen at" in second.stderr
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://x") as client:
            assert client.get("/ready").status_code == 200
        assert served.stop() == 0
    assert not path.exists()
    path.write_text("a file of somebody's")
    done = run_serve(fleet(), f"server.unix_socket={path}")
    assert done.returncode == 2
    assert path.read_text() == "a file of somebody's"
