"""The Open Inference Protocol over gRPC, by tritonclient and by grpc itself: answers and rules are those of REST."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from pathlib import Path

import grpc
import numpy as np
import pytest

import hfspec
from hfspec.serving.protocols.v2 import messages
from tests.runtime.images import file_of, picture
from tests.serving.process import STARTS, eventually
from tests.serving.servers import entries, fleet_of, serving

MESSAGES = messages.read()
SECONDS = 60
PICTURE = file_of(picture(3))
ADMIN, USER = "an-admin-key-of-the-tests", "a-user-key-of-the-tests"


class Caller:
    """Calls with plain grpc."""

    def __init__(self, address, key=""):
        self.channel = grpc.insecure_channel(address, options=[("grpc.enable_retries", 0)])
        self.metadata = [("authorization", f"Bearer {key}")] if key else []

    def method(self, name, answer):
        return self.channel.unary_unary(
            f"/{messages.SERVICE}/{name}",
            request_serializer=None,
            response_deserializer=MESSAGES[answer].FromString,
        )

    def __call__(self, name, message=None, /, *, timeout=SECONDS, metadata=(), **fields):
        message = message if message is not None else MESSAGES[f"{name}Request"](**fields)
        sent = message if isinstance(message, bytes) else message.SerializeToString()
        metadata = [*self.metadata, *metadata]
        return self.method(name, f"{name}Response")(sent, timeout=timeout, metadata=metadata)

    def refused(self, *arguments, **options):
        with pytest.raises(grpc.RpcError) as caught:
            self(*arguments, **options)
        return caught.value


def request(name, *columns, raw=False, **parameters):
    """A request of these columns: name, datatype, field, values."""
    made = MESSAGES["ModelInferRequest"](model_name=name)
    for column, datatype, field, values in columns:
        one = made.inputs.add(name=column, datatype=datatype, shape=[len(values)])
        if raw:
            made.raw_input_contents.append(b"".join(len(value).to_bytes(4, "little") + value for value in values))
        else:
            getattr(one.contents, field).extend(values)
    for key, value in parameters.items():
        kind = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}[type(value)]
        setattr(made.parameters[key], kind, value)
    return made


def texts(*values, name="text"):
    return (name, "BYTES", "bytes_contents", [value.encode() for value in values])


@pytest.fixture(scope="module")
def both(tmp_path_factory, build, checkpoint):
    """A server with gRPC and keys, which logs every request."""
    made = fleet_of(build, checkpoint, "sentiment", "embedder", "vit")
    keys = [
        {"name": "boss", "key": "${oc.env:BOSS}", "scopes": ["admin", "predict"]},
        {"name": "user", "key": "${oc.env:USER_KEY}"},
    ]
    server = {"grpc_port": 0, "api_keys": {"keys": keys}, "logs": {"access": True}, "limits": {"body": "1MiB"}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BOSS", ADMIN)
        patch.setenv("USER_KEY", USER)
        folder = tmp_path_factory.mktemp("both")
        with serving(folder, {"models": entries(made), "server": server}, made) as found:
            yield found


@pytest.fixture(scope="module")
def user(both):
    return Caller(both.grpc, USER)


def test_health_and_metadata(both, user):
    nobody = Caller(both.grpc)
    assert nobody("ServerLive").live
    assert nobody("ServerReady").ready
    assert nobody("ModelReady", name="sentiment").ready
    assert nobody("ServerMetadata").version == hfspec.__version__
    said = user("ModelMetadata", name="sentiment", version="1")
    assert [(one.name, one.datatype, list(one.shape)) for one in said.outputs] == [
        ("label", "BYTES", [-1]),
        ("score", "FP64", [-1]),
    ]
    rest = both.get("/v2/models/sentiment", headers={"x-api-key": USER}).json()
    assert [one.name for one in said.inputs] == [one["name"] for one in rest["inputs"]]
    configured = user("ModelConfig", name="embedder").config
    assert list(configured.output[0].dims) == [-1, 32]
    assert configured.output[0].data_type == 11  # FP32


@pytest.mark.parametrize("raw", [False, True])
def test_rows_are_answered_as_predict_answers_them(both, user, raw):
    wanted = hfspec.load(both.artifacts["sentiment"]).predict(["good", "größer"])
    made = request("sentiment", texts("good", "größer"), raw=raw)
    made.id = "mine"
    answer = user("ModelInfer", made)
    assert answer.id == "mine"
    assert [one.name for one in answer.outputs] == ["label", "score"]
    if raw:
        assert np.frombuffer(answer.raw_output_contents[1], "<f8") == pytest.approx(wanted["score"], abs=1e-5)
        assert answer.raw_output_contents[0].endswith(wanted["label"].iloc[-1].encode())
    else:
        assert [label.decode() for label in answer.outputs[0].contents.bytes_contents] == wanted["label"].tolist()
        assert list(answer.outputs[1].contents.fp64_contents) == pytest.approx(wanted["score"], abs=1e-5)
    made = request("embedder", texts("good", "größer"), raw=raw)
    made.outputs.add(name="output")
    (output,), found = (answer := user("ModelInfer", made)).outputs, answer.raw_output_contents
    values = np.frombuffer(found[0], "<f4") if raw else np.array(output.contents.fp32_contents)
    embeddings = hfspec.load(both.artifacts["embedder"]).predict(["good", "größer"])
    assert values.reshape(output.shape) == pytest.approx(embeddings, abs=1e-5)


def test_files_and_the_full_form(both, user):
    image = request("vit", ("image", "BYTES", "bytes_contents", [PICTURE]))
    (label,) = user("ModelInfer", image).outputs[0].contents.bytes_contents
    assert label.decode() == hfspec.load(both.artifacts["vit"]).predict([PICTURE])["label"].tolist()[0]
    full = user("ModelInfer", request("sentiment", texts("good"), outputs="full"))
    assert set(json.loads(full.outputs[0].contents.bytes_contents[0])) >= {"labels", "scores"}


def unknown_output():
    made = request("sentiment", texts("good"))
    made.outputs.add(name="labels")
    return made


def raw_and_typed():
    made = request("sentiment", texts("good"))
    made.raw_input_contents.append(b"\x01\0\0\0a")
    return made


def of_shape(*shape):
    made = request("sentiment", texts("good"))
    made.inputs[0].shape[:] = shape
    return made


def too_few_raw():
    made = request("sentiment", texts("good"), texts("bad", name="text_pair"), raw=True)
    del made.raw_input_contents[1]
    return made


def broken_raw():
    made = request("sentiment", texts("good"), raw=True)
    made.raw_input_contents[0] = made.raw_input_contents[0][:-1]
    return made


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (request("sentiment"), "inputs"),
        (request("sentiment", texts("a", name="texts")), "text"),
        (request("sentiment", ("text", "", "bytes_contents", [b"a"])), "datatype"),
        (request("sentiment", ("text", "BYTES", "fp32_contents", [1.0])), "bytes_contents"),
        (request("sentiment", ("text", "FP16", "fp32_contents", [1.0])), "raw_input_contents"),
        (request("sentiment", ("text", "FP32", "fp32_contents", [1.0])), "text"),
        (request("sentiment", ("text", "INT8", "int_contents", [300])), "INT8"),
        (request("sentiment", ("text", "BYTES", "bytes_contents", [b"\xff"])), "UTF-8"),
        (request("sentiment", texts("a"), texts("a", "b", name="text_pair")), "rows"),
        (request("sentiment", texts("a"), texts("a")), "twice"),
        (request("sentiment", texts("a"), top_q=1), "top_q"),
        (request("sentiment", texts("a"), outputs="some"), "outputs"),
        (request("sentiment", texts("a"), timeout=-1), "timeout"),
        (unknown_output(), "label"),
        (raw_and_typed(), "raw_input_contents"),
        (too_few_raw(), "raw_input_contents"),
        (broken_raw(), "bytes"),
        (of_shape(), "shape"),
        (of_shape(2), "shape"),
        (of_shape(-1), "shape"),
        (of_shape(10_001), "10000"),
        (b"\x0a\xff\xff", "ModelInferRequest"),
    ],
)
def test_what_is_no_request_is_refused(user, made, said):
    error = user.refused("ModelInfer", made)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert said in error.details()
    assert "x-request-id" in dict(error.trailing_metadata())


def test_unknown_models_versions_and_methods(user):
    assert user.refused("ModelInfer", request("nobody", texts("a"))).code() is grpc.StatusCode.NOT_FOUND
    assert user.refused("ModelReady", name="nobody").code() is grpc.StatusCode.NOT_FOUND
    assert user.refused("ModelMetadata", name="sentiment", version="2").code() is grpc.StatusCode.NOT_FOUND
    missing = user.channel.unary_unary(f"/{messages.SERVICE}/TraceSetting")
    with pytest.raises(grpc.RpcError) as caught:
        missing(b"", timeout=SECONDS)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_keys_are_asked_for_and_have_scopes(both, user):
    good = request("sentiment", texts("good"))
    nobody, stranger = Caller(both.grpc), Caller(both.grpc, "a-key-that-nobody-has")
    for caller in (nobody, stranger):
        assert caller.refused("ModelInfer", good).code() is grpc.StatusCode.UNAUTHENTICATED
        assert caller.refused("RepositoryIndex").code() is grpc.StatusCode.UNAUTHENTICATED
    assert nobody("ModelInfer", good, metadata=[("x-api-key", USER)]).model_name == "sentiment"
    assert user.refused("RepositoryModelUnload", model_name="vit").code() is grpc.StatusCode.PERMISSION_DENIED


def test_a_model_is_unloaded_and_loaded_again(both, user):
    boss = Caller(both.grpc, ADMIN)
    boss("RepositoryModelUnload", model_name="vit")
    states = {model.name: model.state for model in user("RepositoryIndex").models}
    assert states == {"sentiment": "READY", "embedder": "READY", "vit": "UNAVAILABLE"}
    assert "vit" not in {model.name for model in user("RepositoryIndex", ready=True).models}
    image = request("vit", ("image", "BYTES", "bytes_contents", [PICTURE]))
    error = user.refused("ModelInfer", image)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert int(dict(error.trailing_metadata())["retry-after"]) >= 1
    given = MESSAGES["RepositoryModelLoadRequest"](model_name="vit")
    given.parameters["config"].string_param = "{}"
    assert boss.refused("RepositoryModelLoad", given).code() is grpc.StatusCode.INVALID_ARGUMENT
    boss("RepositoryModelLoad", model_name="vit", timeout=STARTS)
    assert user("ModelInfer", image).outputs
    assert boss.refused("RepositoryModelLoad", model_name="nobody").code() is grpc.StatusCode.NOT_FOUND


def test_a_message_that_is_too_large_is_refused(user):
    error = user.refused("ModelInfer", request("sentiment", texts("a" * (2 << 20))))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert user("ServerLive").live


def test_calls_are_counted_and_logged(both, user):
    def counted():
        found = both.get("/metrics").text.splitlines()
        path = 'endpoint="/inference.GRPCInferenceService/ModelInfer",model="embedder"'
        return [float(line.split()[-1]) for line in found if line.startswith(f"hfspec_requests_total{{{path}")]

    before = sum(counted())
    user("ModelInfer", request("embedder", texts("a")), metadata=[("x-request-id", "of-the-caller")])
    assert sum(counted()) == before + 1
    assert both.said("request=of-the-caller key=user")
    line = next(line for line in both.lines if "of-the-caller" in line)
    assert "/inference.GRPCInferenceService/ModelInfer status=200" in line
    assert not any(USER in line for line in both.lines)
    was = user("ModelStatistics", name="embedder").model_stats[0]
    user("ModelInfer", request("embedder", texts("a", "b")))
    assert eventually(lambda: user("ModelStatistics", name="embedder").model_stats[0].inference_count > 0)
    now = user("ModelStatistics", name="embedder").model_stats[0]
    assert now.inference_stats.success.count == was.inference_stats.success.count + 1
    assert now.inference_stats.compute_infer.ns > was.inference_stats.compute_infer.ns
    rest = both.get("/v2/models/embedder/stats", headers={"x-api-key": USER}).json()["model_stats"][0]
    assert rest["inference_stats"]["success"]["count"] == now.inference_stats.success.count


def is_idle(both):
    return both.meter("hfspec_queue_rows") == 0 and both.meter("hfspec_requests_in_flight") == 1  # /metrics itself


def many(count):
    return request("embedder", texts(*["a text of some words " * 20] * count))


def test_a_deadline_ends_the_call_and_its_rows(both, user):
    error = user.refused("ModelInfer", many(2000), timeout=0.05)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert eventually(lambda: is_idle(both))
    error = user.refused("ModelInfer", many(2000), metadata=[("x-request-timeout", "0.01")])
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    made = many(2000)
    made.parameters["timeout"].int64_param = 1000  # microseconds
    assert user.refused("ModelInfer", made).code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert user("ModelInfer", request("embedder", texts("a"))).outputs


def test_a_caller_that_leaves_ends_its_rows(both, user):
    call = user.method("ModelInfer", "ModelInferResponse").future(
        many(2000).SerializeToString(), metadata=user.metadata, timeout=SECONDS
    )
    assert eventually(lambda: both.meter("hfspec_queue_rows") >= 1)
    call.cancel()
    assert eventually(lambda: is_idle(both))
    assert both.said("ModelInfer status=499")


@pytest.mark.skipif("HFSPEC_TRITON_PYTHON" not in os.environ, reason="HFSPEC_TRITON_PYTHON names no Python")
def test_tritonclient_reads_it(both, tmp_path):
    image = tmp_path / "image.png"
    image.write_bytes(PICTURE)
    script = Path(__file__).with_name("triton_grpc_calls.py")
    command = [os.environ["HFSPEC_TRITON_PYTHON"], "-W", "ignore", script, both.grpc, image, USER]
    run = subprocess.run(command, check=False, capture_output=True, timeout=120)
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    sentiment, embedder = (hfspec.load(both.artifacts[name]) for name in ("sentiment", "embedder"))
    labels = sentiment.predict(["good", "a bad day"])["label"].tolist()
    assert (said["live"], said["ready"], said["model_ready"], said["id"]) == (True, True, True, "mine")
    assert said["labels"] == said["streamed"] == labels
    assert said["dtype"] == "float32"
    assert np.array(said["embeddings"]) == pytest.approx(embedder.predict(["good", "größer"]), abs=1e-5)
    assert said["image"] == hfspec.load(both.artifacts["vit"]).predict([PICTURE])["label"].tolist()
    assert "nobody" in said["error"]
    assert "nobody" in said["stream_error"]
    assert said["status"] == "StatusCode.NOT_FOUND"
    assert said["config"]["config"]["input"][0] == {"name": "text", "data_type": "TYPE_STRING", "dims": ["-1"]}
    assert said["model"]["outputs"] == [{"name": "output", "datatype": "FP32", "shape": ["-1", "32"]}]
    before, after = (successes(said[name]) for name in ("before", "statistics"))
    assert after == before + 3
    check_fields(said["fields"])


def successes(statistics):
    return int(statistics["model_stats"][0]["inference_stats"]["success"].get("count", 0))


def check_fields(published):
    """Each field of ours is one of the client's own, which come from Triton's files."""
    waiting = [message.DESCRIPTOR for message in MESSAGES.values()]
    while waiting:
        message = waiting.pop()
        waiting += message.nested_types
        for one in message.fields:
            label = 3 if one.is_repeated else 1
            of = (one.message_type or one.enum_type or message).full_name
            assert [one.number, one.name, one.type, label, of] in published[message.full_name], one.full_name


def test_sigterm_answers_what_is_in_flight(tmp_path, build, checkpoint):
    made = fleet_of(build, checkpoint, "embedder")
    with serving(tmp_path, {"models": entries(made), "server": {"grpc_port": 0}}, made) as served:
        caller, answers = Caller(served.grpc), []
        asking = threading.Thread(target=lambda: answers.append(caller("ModelInfer", many(1500))))
        asking.start()
        assert eventually(lambda: served.meter("hfspec_queue_rows") >= 1)
        served.signal(signal.SIGTERM)
        assert served.said("stopping")
        asking.join(SECONDS)
        assert served.process.wait(SECONDS) == 0
        assert list(answers[0].outputs[0].shape) == [1500, 32]


def test_a_port_that_is_taken_is_said_so(tmp_path, build, checkpoint, both):
    from hfspec.errors import UsageError
    from hfspec.serving.fleet.loading import fleet_of as fleet_from
    from hfspec.serving.server import run

    taken = both.grpc.rpartition(":")[2]
    folder = fleet_of(build, checkpoint, "embedder")["embedder"]
    with pytest.raises(UsageError, match=f"{taken} for gRPC"):
        run(fleet_from([folder], [f"server.grpc_port={taken}", "server.port=0"]))
