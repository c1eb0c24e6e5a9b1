"""What tritonclient does with a server over gRPC, run by a Python that has it: HFSPEC_TRITON_PYTHON. Prints JSON."""

import json
import queue
import sys
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton
from tritonclient._plugin import InferenceServerClientPlugin
from tritonclient.grpc import model_config_pb2, service_pb2
from tritonclient.utils import InferenceServerException

SECONDS = 60


class Key(InferenceServerClientPlugin):
    def __init__(self, key):
        self._key = key

    def __call__(self, request):
        request.headers["x-api-key"] = self._key


def texts(*values):
    given = triton.InferInput("text", [len(values)], "BYTES")
    given.set_data_from_numpy(np.array([value.encode() for value in values], dtype=object))
    return given


def fields():
    """Every message of the client's own definition: name -> number, name and type of its fields."""
    found = {}
    waiting = [message for file in (service_pb2, model_config_pb2) for message in messages_of(file)]
    while waiting:
        message = waiting.pop()
        waiting += message.nested_types
        found[message.full_name] = [
            [one.number, one.name, one.type, one.label, (one.message_type or one.enum_type or message).full_name]
            for one in message.fields
        ]
    return found


def messages_of(file):
    return list(file.DESCRIPTOR.message_types_by_name.values())


def streamed(client):
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for text in ("good", "a bad day"):
        client.async_stream_infer("sentiment", [texts(text)])
    client.async_stream_infer("nobody", [texts("good")])
    got = [answers.get(timeout=SECONDS) for _ in range(3)]
    client.stop_stream()
    labels = [result.as_numpy("label")[0].decode() for result, _ in got[:2]]
    return labels, str(got[2][1])


def main(address, image, key):
    client = triton.InferenceServerClient(address)
    client.register_plugin(Key(key))
    before = client.get_inference_statistics("sentiment", as_json=True)
    said = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready("sentiment"),
        "server": client.get_server_metadata(as_json=True),
        "model": client.get_model_metadata("embedder", as_json=True),
        "config": client.get_model_config("sentiment", as_json=True),
        "index": client.get_model_repository_index(as_json=True),
        "fields": fields(),
    }
    answer = client.infer("sentiment", [texts("good", "a bad day")], request_id="mine", client_timeout=SECONDS)
    said["labels"] = [label.decode() for label in answer.as_numpy("label")]
    said["id"] = answer.get_response().id
    wanted = [triton.InferRequestedOutput("output")]
    answer = client.infer("embedder", [texts("good", "größer")], outputs=wanted, timeout=SECONDS * 10**6)
    said["embeddings"] = answer.as_numpy("output").tolist()
    said["dtype"] = str(answer.as_numpy("output").dtype)
    pixels = triton.InferInput("image", [1], "BYTES")
    pixels.set_data_from_numpy(np.array([Path(image).read_bytes()], dtype=object))
    said["image"] = [label.decode() for label in client.infer("vit", [pixels]).as_numpy("label")]
    said["streamed"], said["stream_error"] = streamed(client)
    said["before"] = before
    said["statistics"] = client.get_inference_statistics("sentiment", as_json=True)
    try:
        client.infer("nobody", [texts("good")])
    except InferenceServerException as error:
        said["error"], said["status"] = error.message(), error.status()
    print(json.dumps(said))


main(*sys.argv[1:])
