"""What tritonclient does with a server, run by a Python that has it: HFSPEC_TRITON_PYTHON. Prints JSON."""

import json
import sys
from pathlib import Path

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException


def texts(*values):
    given = triton.InferInput("text", [len(values)], "BYTES")
    given.set_data_from_numpy(np.array([value.encode() for value in values], dtype=object))
    return given


def main(address, image):
    client = triton.InferenceServerClient(address, network_timeout=60, connection_timeout=60)
    said = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready("sentiment"),
        "server": client.get_server_metadata(),
        "model": client.get_model_metadata("embedder"),
        "config": client.get_model_config("embedder"),
        "index": client.get_model_repository_index(),
    }
    answer = client.infer(
        "sentiment",
        [
            texts("good", "a bad day"),
        ],
        request_id="mine",
    )
    said["labels"] = [label.decode() for label in answer.as_numpy("label")]
    said["scores"] = answer.as_numpy("score").tolist()
    said["id"] = answer.get_response()["id"]
    answer = client.infer("embedder", [texts("good", "größer")], outputs=[triton.InferRequestedOutput("output")])
    said["embeddings"] = answer.as_numpy("output").tolist()
    said["dtype"] = str(answer.as_numpy("output").dtype)
    plain = triton.InferRequestedOutput("output", binary_data=False)
    said["embeddings_json"] = client.infer("embedder", [texts("good")], outputs=[plain]).as_numpy("output").tolist()
    pixels = triton.InferInput("image", [1], "BYTES")
    pixels.set_data_from_numpy(np.array([Path(image).read_bytes()], dtype=object))
    said["image"] = [label.decode() for label in client.infer("vit", [pixels]).as_numpy("label")]
    said["statistics"] = client.get_inference_statistics("sentiment")
    said["all_statistics"] = client.get_inference_statistics()
    try:
        client.infer("nobody", [texts("good")])
    except InferenceServerException as error:
        said["error"] = error.message()
    print(json.dumps(said))


main(*sys.argv[1:])
