"""The servers that are compared, and how each is asked."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.serving import environments

THREADS = 1  # of the model in each server, so that the clients and HTTP have a core too
PROGRAMS = Path(__file__).parent / "programs"
Body = Callable[[list[str]], Any]


@dataclass(frozen=True)
class Server:
    """``command``: with PORT where the port stands; ``body``: of a request with these texts; ``environment``: variables
    over those of the benchmark.
    """

    name: str
    command: Callable[[], list[str]]
    ready: str
    path: str
    body: Body
    environment: dict[str, str] = field(default_factory=dict)

    def bytes_of(self, texts: list[str]) -> bytes:
        return json.dumps(self.body(texts)).encode()


def _inputs(texts: list[str]) -> Any:
    return {"inputs": texts}


def hfspec(artifact: Path, *, threads: int | None = THREADS) -> Server:
    """`hfspec serve` with so many threads of the model, or as many as it takes by itself."""
    name = json.loads((artifact / "artifact.json").read_text(encoding="utf-8"))["name"]
    command = [
        sys.executable,
        "-m",
        "hfspec",
        "serve",
        str(artifact),
        "--port",
        "PORT",
    ]
    if threads is not None:
        command.append(f"models.{name}.threads={threads}")
    return Server("`hfspec serve`", lambda: command, "/ready", f"/models/{name}/predict", _inputs)


def mlflow(artifact: Path) -> Server:
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(artifact), "--env-manager", "local"]
    command += ["--port", "PORT", "--host", "127.0.0.1", "--workers", "1"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # it starts uvicorn by its name
    return Server("`mlflow models serve`", lambda: command, "/ping", "/invocations", _inputs, {"PATH": path})


def embedders(artifact: Path, checkpoint: Path, *, threads: int | None = THREADS) -> list[Server]:
    """Servers of sentence embeddings: ours, MLflow's, others around our predictor, and one of its own."""
    around = {"ARTIFACT": str(artifact)}

    def program(environment: str, *more: str) -> Callable[[], list[str]]:
        return lambda: [environments.python(environment), *more]

    tensor = {"name": "inputs", "datatype": "BYTES"}
    return [
        hfspec(artifact, threads=threads),
        mlflow(artifact),
        Server(
            "MLServer 1.7 around `predict`",
            program("mlserver", str(PROGRAMS / "start_mlserver.py"), "PORT"),
            "/v2/models/minilm/ready",
            "/v2/models/minilm/infer",
            lambda texts: {"inputs": [{**tensor, "shape": [len(texts), 1], "data": texts}]},
            around,
        ),
        Server(
            "LitServe 0.2 around `predict`",
            program("litserve", str(PROGRAMS / "start_litserve.py"), "PORT"),
            "/health",
            "/predict",
            lambda texts: {"text": texts[0]},
            around,
        ),
        Server(
            "BentoML 1.4 around `predict`",
            program(
                "bentoml",
                *("-m", "bentoml", "serve", "bentoml_service:Embedder", "--working-dir", str(PROGRAMS)),
                *("--host", "127.0.0.1", "--port", "PORT"),
            ),
            "/readyz",
            "/embed",
            lambda texts: {"texts": texts},
            {**around, "BENTOML_DO_NOT_TRACK": "1"},
        ),
        Server(
            "infinity-emb 0.0.78",
            program(
                "infinity",
                *(
                    "-c",
                    "from infinity_emb.cli import cli; cli()",
                    "v2",
                    "--model-id",
                    str(checkpoint),
                    "--device",
                    "cpu",
                ),
                *("--engine", "torch", "--served-model-name", "minilm", "--host", "127.0.0.1", "--port", "PORT"),
                *("--no-bettertransformer", "--no-model-warmup"),
            ),
            "/health",
            "/embeddings",
            lambda texts: {"input": texts, "model": "minilm"},
            {"INFINITY_ANONYMOUS_USAGE_STATS": "0", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"},
        ),
    ]


def nothing(artifact: Path) -> list[Server]:
    """HTTP alone: our way of a request with a model that does nothing, and starlette bare."""

    def program(name: str, *more: str) -> Callable[[], list[str]]:
        return lambda: [sys.executable, "-m", f"benchmarks.serving.programs.{name}", "PORT", *more]

    path = hfspec(artifact).path
    return [
        Server("starlette bare", program("bare_starlette"), "/ready", path, _inputs),
        Server("`hfspec serve`, a model that does nothing", program("nothing"), "/ready", path, _inputs),
        Server("the same, in a process of its own", program("nothing", "replica"), "/ready", path, _inputs),
    ]


def generators(artifact: Path, checkpoint: Path, tokens: int) -> list[Server]:
    """Servers of chat and completions; MLflow's has no chats for this task, and no streams."""
    most = {"max_tokens": tokens, "stream": True, "stream_options": {"include_usage": True}, "temperature": 0}

    def chat(model: str) -> Body:
        return lambda texts: {"model": model, "messages": [{"role": "user", "content": texts[0]}], **most}

    ours = hfspec(artifact)
    theirs = mlflow(artifact)
    name = ours.path.split("/")[2]
    serve = ["-m", "transformers.cli.transformers", "serve", str(checkpoint), "--device", "cpu", "--port", "PORT"]
    return [
        Server("`hfspec serve`, chat", ours.command, "/ready", "/v1/chat/completions", chat(name)),
        Server(
            "`hfspec serve`, completions",
            ours.command,
            "/ready",
            "/v1/completions",
            lambda texts: {"model": name, "prompt": texts[0], **most},
        ),
        Server(
            "`mlflow models serve`, completions",
            theirs.command,
            "/ping",
            "/invocations",
            lambda texts: {"inputs": texts, "params": {"max_new_tokens": tokens}},
            theirs.environment,
        ),
        Server(
            "`transformers serve`, chat",
            lambda: [sys.executable, *serve],
            "/health",
            "/v1/chat/completions",
            chat(str(checkpoint)),
            {"HF_HUB_OFFLINE": "1"},
        ),
    ]
