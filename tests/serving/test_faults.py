"""What may go wrong with a server, for real: processes that die or stand still, callers that leave, artifacts that are
bad.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
import requests

import hfspec
from hfspec.serving.fleet.loading import load_fleet
from hfspec.serving.front import processes
from hfspec.serving.front.generation import State
from hfspec.serving.front.models import Models
from tests.runtime.chats import HELLO
from tests.serving.certificates import self_signed
from tests.serving.process import Served, eventually

PREDICT = "/models/sentiment/predict"
KEY, ADMIN = "a-key-of-the-tests-only", "an-admin-key-of-the-tests"


def labels(response):
    assert response.status_code == 200, response.text
    return [record["label"] for record in response.json()["predictions"]]


def test_a_replica_that_is_killed_costs_nobody_an_answer(fleet, expected):
    texts = [f"text {number}" for number in range(40)]
    wanted, made, wrong = expected(texts), [], []
    with Served(fleet({"replicas": 2, "threads": 1})) as served:

        def ask():
            for number, text in enumerate(texts * 3):
                response = served.post(PREDICT, {"inputs": [text]})
                (made if response.status_code == 200 and labels(response) == [wanted[number % 40]] else wrong).append(
                    response
                )

        callers = [threading.Thread(target=ask) for _ in range(4)]
        for caller in callers:
            caller.start()
        for number in (1, 2):  # the second when the first is replaced: a request is tried twice
            os.kill(served.replicas()[0], signal.SIGKILL)
            assert eventually(lambda number=number: served.meter("hfspec_restarts_total") == number)
            assert eventually(lambda: served.meter("hfspec_replicas_ready") == 2)
        for caller in callers:
            caller.join(120)
        assert len(made) == 480, [response.text for response in wrong]
        assert served.get("/ready").status_code == 200


def test_a_replica_that_stands_still_is_replaced(fleet, expected):
    with Served(fleet({"limits": {"step_seconds": 3}})) as served:
        os.kill(served.replicas()[0], signal.SIGSTOP)
        assert labels(served.post(PREDICT, {"inputs": ["good"]})) == expected(["good"])
        assert served.said("did not move for 3 s")


def test_crashes_in_a_row_end_with_a_state_and_not_with_a_loop(fleet, copy_of, artifact, monkeypatch):
    monkeypatch.setattr(processes, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(processes, "CRASHES", 3)
    folder = copy_of(artifact("bert-sentiment"))
    lines = []

    async def run():
        models = Models(load_fleet(fleet({"artifact": str(folder)})), lambda level, text: lines.append(text))
        await models.start()
        (model,) = models
        shutil.rmtree(folder)
        os.kill(model.generation.replicas[0].process.pid, signal.SIGKILL)
        async with asyncio.timeout(120):
            while model.state is not State.CRASHING:
                await asyncio.sleep(0.05)
        assert not models.is_ready
        assert "3 times in a row" in model.reason
        await models.stop(1)

    asyncio.run(run())
    assert sum("ended" in line for line in lines) >= 3


def test_a_memory_limit_that_no_replica_keeps_is_no_loop_either(fleet, monkeypatch):
    monkeypatch.setattr(processes, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(processes, "CRASHES", 2)
    lines = []

    async def run():
        models = Models(load_fleet(fleet({"limits": {"memory": "1MiB"}})), lambda level, text: lines.append(text))
        await models.start()
        (model,) = models
        async with asyncio.timeout(120):
            while model.state is not State.CRASHING:
                await asyncio.sleep(0.05)
        await models.stop(1)

    asyncio.run(run())
    assert sum("holds more than 1048576 bytes" in line for line in lines) == 2


def test_sighup_takes_another_artifact_and_a_bad_one_leaves_the_old(fleet, artifact, copy_of, expected):
    """No meter goes back: the work of a replica that has ended is counted on."""
    other = artifact("bert-toxic")
    with Served(fleet()) as served:
        assert served.post(PREDICT, {"inputs": ["good"] * 7}).status_code == 200
        before = served.get("/models").json()["models"][0]["digest"]
        bad = copy_of(artifact("bert-sentiment"), "bad")
        weights = next(bad.glob("model/*.safetensors"))
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
        fleet({"artifact": str(bad)})
        served.signal(signal.SIGHUP)
        assert served.said("the old one goes on")
        assert served.get("/models").json()["models"][0]["digest"] == before
        assert labels(served.post(PREDICT, {"inputs": ["good"]})) == expected(["good"])
        fleet({"artifact": str(other)})
        served.signal(signal.SIGHUP)
        assert eventually(lambda: served.get("/models").json()["models"][0]["digest"] != before)
        wanted = hfspec.load(other).predict_json(["good"])
        assert served.post(PREDICT, {"inputs": ["good"]}).json()["predictions"][0]["label"] == wanted[0]["label"]
        assert eventually(lambda: len(served.replicas()) == 1)
        assert eventually(lambda: served.meter("hfspec_rows_total") >= 9)
        assert served.post(PREDICT, {"inputs": ["good"] * 5}).status_code == 200
        assert eventually(lambda: served.meter("hfspec_rows_total") >= 14)


def test_no_request_fails_while_an_artifact_is_replaced(fleet, artifact):
    statuses = []
    with Served(fleet()) as served:
        over = threading.Event()

        def ask():
            while not over.wait(0.02):  # a core is left to the replica that is loaded meanwhile
                statuses.append(served.post(PREDICT, {"inputs": ["good"]}).status_code)

        caller = threading.Thread(target=ask)
        caller.start()
        fleet({"artifact": str(artifact("bert-toxic"))})
        served.signal(signal.SIGHUP)
        assert served.said("reloaded")
        time.sleep(0.3)
        over.set()
        caller.join(60)
    assert set(statuses) == {200}


def test_sigterm_answers_what_is_in_flight_and_exits_with_zero(fleet):
    with Served(fleet()) as served:
        answers = []
        caller = threading.Thread(
            target=lambda: answers.append(served.post(PREDICT, {"inputs": [f"some text {n}" for n in range(3000)]}))
        )
        caller.start()
        assert eventually(lambda: served.meter("hfspec_queue_rows") == 3000)
        assert served.stop() == 0
        caller.join(60)
        assert answers[0].status_code == 200
        assert len(answers[0].json()["predictions"]) == 3000


def test_what_does_not_fit_the_queue_is_refused_with_a_time(fleet):
    with Served(fleet({"limits": {"queue_rows": 3000, "rows": 3000}})) as served:
        caller = threading.Thread(target=lambda: served.post(PREDICT, {"inputs": ["some text"] * 3000}))
        caller.start()
        assert eventually(lambda: served.meter("hfspec_queue_rows") == 3000)
        refused = served.post(PREDICT, {"inputs": ["one"]})
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        caller.join(60)
        assert served.post(PREDICT, {"inputs": ["one"]}).status_code == 200
        assert served.post(PREDICT, {"inputs": ["one"] * 3001}).status_code == 413


def test_rows_whose_caller_has_left_or_waits_no_longer_are_dropped(fleet, build, checkpoint):
    chat = {"artifact": str(build(checkpoint("llama-chat"), "llm/v1/chat"))}
    with Served(fleet(chat=chat)) as served:
        late = served.post(PREDICT, {"inputs": ["x"] * 5000}, headers={"x-request-timeout": "0.01"})
        assert late.status_code == 504
        with pytest.raises(requests.exceptions.Timeout):
            requests.post(served.url + PREDICT, json={"inputs": ["some text"] * 9000}, timeout=0.3)
        assert eventually(lambda: served.meter("hfspec_queue_rows") == 0)
        assert served.meter("hfspec_rows_total") < 14_000
        request = {"inputs": {"messages": HELLO, "max_tokens": 400}}
        with pytest.raises(requests.exceptions.Timeout):
            requests.post(served.url + "/models/chat/predict", json=request, timeout=0.2)
        assert eventually(lambda: served.meter("hfspec_queue_rows") == 0)


def test_keys_are_asked_for_and_their_scopes_hold(fleet, tmp_path, monkeypatch):
    monkeypatch.setenv("THE_KEY", KEY)
    keys = [{"name": "caller", "key": "${oc.env:THE_KEY}"}]
    with Served(fleet(server={"api_keys": {"keys": keys}})) as served:
        assert served.post(PREDICT, {"inputs": ["good"]}).status_code == 401
        wrong = served.post(PREDICT, {"inputs": ["good"]}, headers={"authorization": "Bearer wrong"})
        assert wrong.status_code == 401
        good = served.post(PREDICT, {"inputs": ["good"]}, headers={"authorization": f"Bearer {KEY}"})
        assert good.status_code == 200
        assert served.get("/ready").status_code == 200
    assert not any(KEY in line or "wrong" in line for line in served.lines)


def test_what_is_too_large_or_too_slow_is_refused(fleet):
    limits = {"body": "100KB", "header": 4096, "slow_client_seconds": 1}
    with Served(fleet(server={"limits": limits})) as served:
        assert served.post(PREDICT, {"inputs": ["x" * 200_000]}).status_code == 413
        assert served.get("/live", headers={"x-long": "x" * 5000}).status_code == 431
        with socket.create_connection(address_of(served), timeout=20) as huge:
            head = f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-length: {1 << 30}\r\n\r\n"
            huge.sendall(head.encode())
            assert b" 413 " in huge.recv(1000)  # before a byte of the body
        for sent in (
            b"",
            b"POST /x HTTP/1.1\r\nhost: x\r\nx-a: ",
            b"POST " + PREDICT.encode() + b" HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12",
        ):
            with socket.create_connection(address_of(served), timeout=20) as slow:
                slow.sendall(sent)
                answer = slow.recv(1000)
                assert answer == b"" or b" 408 " in answer
        assert served.post(PREDICT, {"inputs": ["good"]}).status_code == 200


def test_a_thousand_idle_connections_stop_nobody(fleet):
    with Served(fleet(server={"limits": {"connections": 200}})) as served:
        idle = [socket.create_connection(address_of(served), timeout=20) for _ in range(1000)]
        assert served.post(PREDICT, {"inputs": ["good"]}).status_code == 200
        for connection in idle:
            connection.close()


IDLE, SPARE = 10_000, 200  # connections, and files beside them


@pytest.fixture
def many_files():
    """As many open files as idle connections need, here and in the server, which starts with the limits of the test."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < IDLE + SPARE:
        pytest.skip(f"a process may have {hard} files open here, and {IDLE} connections need more")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, IDLE + SPARE), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
def test_others_are_served_beside_ten_thousand_idle_connections_and_a_gigabyte(fleet, expected):
    limits = {"connections": IDLE + SPARE, "body": "1MiB", "slow_client_seconds": 300}
    with Served(fleet(server={"limits": limits})) as served:
        idle = [socket.create_connection(address_of(served), timeout=60) for _ in range(IDLE)]
        assert labels(served.post(PREDICT, {"inputs": ["good"]})) == expected(["good"])
        before = most_memory(served)
        sent = threading.Thread(target=send_a_gigabyte, args=[served, answers := []])
        sent.start()
        while sent.is_alive():
            assert labels(served.post(PREDICT, {"inputs": ["good"]})) == expected(["good"])
        sent.join(120)
        assert b" 413 " in answers[0]
        assert most_memory(served) - before < 64 << 20
        assert all(connection.fileno() >= 0 for connection in idle)
        idle[-1].sendall(b"GET /live HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b" 200 " in idle[-1].recv(1000)
        for connection in idle:
            connection.close()


def address_of(served):
    return "127.0.0.1", int(served.url.rsplit(":", 1)[1])


def most_memory(served):
    """The most bytes that the server's process has held."""
    status = Path(f"/proc/{served.process.pid}/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10


def send_a_gigabyte(served, answers):
    """Send a body of unsaid length for as long as the server reads it, and keep its answer."""
    block = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
    head = f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    with socket.create_connection(address_of(served), timeout=60) as connection:
        connection.sendall(head.encode())
        with suppress(ConnectionError):
            for _ in range(1024):
                connection.sendall(block)
        answers.append(connection.recv(1000))


def test_tls_is_spoken_and_pages_of_other_sites_call_where_they_may(fleet, tmp_path):
    certificate, key = self_signed(tmp_path)
    tls = {"certificate": str(certificate), "key": str(key)}
    with Served(fleet(server={"tls": tls, "cors": {"origins": ["https://example.org"]}})) as served:
        assert served.url.startswith("https://")
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(served.url.replace("https:", "http:") + "/live", timeout=20)
        with pytest.raises(requests.exceptions.SSLError):
            served.get("/live")
        asked = {"origin": "https://example.org", "access-control-request-method": "POST"}
        allowed = requests.options(served.url + PREDICT, headers=asked, verify=certificate, timeout=20)
        assert allowed.status_code == 204
        assert allowed.headers["access-control-allow-origin"] == "https://example.org"
        assert "POST" in allowed.headers["access-control-allow-methods"]
        other = served.post(PREDICT, {"inputs": ["good"]}, headers={"origin": "https://x.org"}, verify=certificate)
        assert other.status_code == 200
        assert "access-control-allow-origin" not in other.headers


def test_an_address_that_is_taken_and_an_artifact_that_is_bad_are_said(fleet, copy_of, artifact, run_serve):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run_serve(fleet(), f"server.port={taken.getsockname()[1]}")
        assert done.returncode == 2
        assert "cannot listen at" in done.stderr
    bad = copy_of(artifact("bert-sentiment"))
    weights = next(bad.glob("model/*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    done = run_serve(bad, "server.port=0")
    assert done.returncode == 3
    assert "cannot start" in done.stderr
    assert "Traceback" not in done.stderr
