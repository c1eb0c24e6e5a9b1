"""Spans as a collector of OpenTelemetry receives them, over HTTP and in protobuf."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.serving.servers import entries, serving

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
exporter = pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the exporter is not installed")


class Collector:
    """Receives spans on a free port of this machine."""

    def __init__(self):
        self.spans, self.resources = [], []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.take(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/v1/traces"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def take(self, body):
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        request = ExportTraceServiceRequest.FromString(body)
        for of_resource in request.resource_spans:
            self.resources.append(named(of_resource.resource.attributes))
            self.spans += [span for scope in of_resource.scope_spans for span in scope.spans]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)


def named(attributes):
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


@pytest.fixture(scope="module")
def made(build, checkpoint):
    return {"sentiment": build(checkpoint("bert-sentiment"), "text-classification")}


def test_spans_continue_the_callers_trace(tmp_path, made):
    collector = Collector()
    try:
        fleet = {"models": entries(made), "server": {"telemetry": {"endpoint": collector.address}}}
        with serving(tmp_path, fleet, made) as served:
            headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "mine"}
            before = time.time_ns()
            body = {"inputs": ["good", "bad"]}
            assert served.post("/models/sentiment/predict", body, headers=headers).status_code == 200
            after = time.time_ns()
            assert served.get("/models/nobody?secret=1").status_code == 404
            unsampled = {"traceparent": f"00-{TRACE}-{PARENT}-00"}
            assert served.get("/models", headers=unsampled).status_code == 200
            assert served.get("/models", headers={"traceparent": "nonsense"}).status_code == 200
    finally:
        collector.close()
    assert collector.resources[0]["service.name"] == "hfspec"
    predict, missing, other = collector.spans
    assert (predict.trace_id.hex(), predict.parent_span_id.hex()) == (TRACE, PARENT)
    assert predict.name == "POST /models/{name}/predict"
    assert before <= predict.start_time_unix_nano <= predict.end_time_unix_nano <= after + 10**9
    said = named(predict.attributes)
    assert (said["http.response.status_code"], said["hfspec.model"], said["hfspec.rows"]) == (200, "sentiment", 2)
    assert said["hfspec.request_id"] == "mine"
    assert said["hfspec.stage.model"] > 0
    assert named(missing.attributes)["http.response.status_code"] == 404
    assert not missing.parent_span_id
    assert "secret" not in str(missing)
    assert other.trace_id.hex() != TRACE


def test_a_collector_that_is_not_there_costs_no_answer(tmp_path, made):
    fleet = {"models": entries(made), "server": {"telemetry": {"endpoint": "http://127.0.0.1:9/v1/traces"}}}
    with serving(tmp_path, fleet, made) as served:
        assert served.post("/models/sentiment/predict", {"inputs": "good"}).status_code == 200
    assert served.process.returncode == 0


def test_nothing_is_imported_unless_it_is_asked_for():
    code = (
        "import sys, hfspec.serving.server; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout
    assert told.strip() == "[]"
