"""The targets of `hfspec export`: for each the files that it writes, and what it cannot express."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of export. ``module`` has ``Options``, ``files(facts, options)`` and ``notes``."""

    name: str
    writes: str
    cannot: str
    module: str

    def part(self, name: str) -> Any:
        """Import the attribute ``name`` of the target's module."""
        return getattr(import_module(self.module), name)


TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        row.name: row
        for row in (
            Target(
                "docker",
                writes="`Dockerfile`, `compose.yaml`, `.dockerignore`, the packages with hashes, hfspec as a wheel, "
                "the artifact",
                cannot="weights that lie elsewhere",
                module="hfspec.export.docker",
            ),
            Target(
                "kserve",
                writes="`servingruntime.yaml`, `inferenceservice.yaml`",
                cannot="weights that lie elsewhere; a GPU for models that run on a CPU here",
                module="hfspec.export.kserve",
            ),
            Target(
                "rayserve",
                writes="of a fleet file: `rayservice.yaml`, `configmap.yaml`",
                cannot="weights that lie elsewhere; of the server `tls`, `unix_socket`, `grpc_port`; `signature_key`",
                module="hfspec.export.rayserve",
            ),
            Target(
                "vllm",
                writes="the model's folder with its tokenizer, chat template and adapter, and `serve.sh`, the command "
                "with its options",
                cannot="tasks other than text generation and chat, prompt templates, adapters other than plain LoRA, "
                "truncation, settings that vLLM has no default for (beams, stop texts, seeds …), float64, reviewed "
                "code",
                module="hfspec.export.vllm",
            ),
            Target(
                "tei",
                writes="the model's folder with its tokenizer, and `serve.sh`, the command with its options",
                cannot="tasks other than embeddings, sparse embeddings, ranking and text classification, model types "
                "that TEI does not load, adapters, prompt templates, settings that callers alone may give (`top_k`, "
                "`truncate_dim` …), embeddings that are not normalised, bfloat16, reviewed code",
                module="hfspec.export.tei",
            ),
            Target(
                "triton",
                writes="a model repository: `config.pbtxt` by the signature, `model.py` for the python backend, the "
                "artifact, a warm-up from the input example",
                cannot="several answers a row, reviewed code",
                module="hfspec.export.triton",
            ),
        )
    }
)
