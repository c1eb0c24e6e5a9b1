"""Serving, as MLflow's tutorials tell it: an artifact behind HTTP, asked by MLflow's protocol and by OpenAI's.

Usage: python examples/serving.py ARTIFACT

ARTIFACT embeds sentences, as build/minilm does. Needs hfspec[serve].
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Any

import numpy as np

START = 200  # seconds that a server may take to load
SENTENCES = ["I enjoy pies of both apple and cherry.", "I prefer cookies."]


def main(artifact: str) -> None:
    """Print how many numbers each protocol gives for a sentence, and that they are the same ones."""
    with served(artifact) as port:
        frame = {"dataframe_split": {"columns": ["text"], "data": [[text] for text in SENTENCES]}}
        by_mlflow = asked(port, "/invocations", frame)["predictions"]
        model = asked(port, "/v1/models")["data"][0]["id"]
        answer = asked(port, "/v1/embeddings", {"model": model, "input": SENTENCES})
    by_openai = [row["embedding"] for row in answer["data"]]
    print(f"/invocations: {len(by_mlflow)} sentences, {len(by_mlflow[0])} numbers each")
    print(f"/v1/embeddings: {len(by_openai)} sentences, {len(by_openai[0])} numbers each")
    furthest = abs(np.array(by_mlflow) - np.array(by_openai)).max()
    print(f"the same to 5 digits: {furthest < 1e-5}")


@contextmanager
def served(artifact: str) -> Iterator[int]:
    """The port of a server of the artifact, which is stopped in the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-m", "hfspec", "serve", artifact, "--port", str(port)])
    patience = time.monotonic() + START
    try:
        while not ready(port):
            if server.poll() is not None or time.monotonic() > patience:
                raise SystemExit("the server has not started; its last lines say why")
            time.sleep(0.2)
        yield port
    finally:
        server.terminate()
        server.wait(60)


def ready(port: int) -> bool:
    """Whether the server answers that its model is loaded."""
    try:
        asked(port, "/ready")
    except (OSError, HTTPException):
        return False
    return True


def asked(port: int, path: str, body: dict[str, Any] | None = None) -> Any:
    """What the server answers to a JSON body, or where there is none to GET."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("POST" if body else "GET", path, json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
    if answer.status != HTTPStatus.OK:
        raise HTTPException(f"{path}: {answer.status} {content.decode()}")
    return json.loads(content)


if __name__ == "__main__":
    main(*sys.argv[1:])
