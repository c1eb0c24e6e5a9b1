"""Write artifacts with the hfspec of this checkout, and what they answer: ``python -m tests.released.make VERSION``.

It was run once for each folder of ``artifacts/``, which is never written again: every later hfspec must verify,
load and answer these. Run it for a new version of the manifest or a new task family, with a new folder's name.
The models are as small as their architectures allow. ``code/`` is left out of all but one artifact, to keep them small.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import hfspec
from hfspec.ir.artifact import Manifest
from tests.checkpoints import embedders, quiet, vocabulary
from tests.checkpoints.classifiers import labels
from tests.checkpoints.writing import write

ARTIFACTS = Path(__file__).parent / "artifacts"
BERT = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
TEXTS = ["a fine film with great acting", "boring"]


@dataclass(frozen=True)
class Case:
    """``make``: writes the checkpoint; ``keys``: more of the spec; ``calls``: what predict is given, and its params."""

    make: Callable[[Path], None]
    library: str
    task: str
    calls: list[tuple[Any, dict[str, Any]]]
    keys: dict[str, Any] = field(default_factory=dict)
    adapter: bool = False
    signed: bool = False
    with_code: bool = False


def classifier(folder: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    tokenizer = vocabulary.wordpiece(32)
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=32, **BERT, **labels(["bad", "good"]))
    write(folder, BertForSequenceClassification(config), tokenizer, seed=1, licence=True)


def embedder(folder: Path) -> None:
    from transformers import BertConfig, BertModel

    tokenizer = vocabulary.wordpiece(32)
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=32, **BERT)
    write(folder, BertModel(config), tokenizer, seed=2, licence=True)
    embedders.write_json(folder / "sentence_bert_config.json", {"max_seq_length": 16, "do_lower_case": False})
    embedders.modules(folder, ["Transformer", "Pooling", "Normalize"])
    modes = {f"pooling_mode_{name}": name == "mean_tokens" for name in ("cls_token", "mean_tokens", "max_tokens")}
    embedders.write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 8, **modes})


def generator(folder: Path) -> None:
    from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel

    tokenizer = vocabulary.gpt2(64)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=64, n_embd=8, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    model = GPT2LMHeadModel(config)
    model.generation_config = GenerationConfig(bos_token_id=0, eos_token_id=0, max_new_tokens=8, do_sample=False)
    write(folder, model, tokenizer, seed=3)


def chatter(folder: Path) -> None:
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    tokenizer = vocabulary.llama(64)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **sizes, **ends))
    model.generation_config = GenerationConfig(max_new_tokens=8, do_sample=False, **ends)
    write(folder, model, tokenizer, seed=4)


def add_adapter(base: Path, folder: Path) -> None:
    from peft import LoraConfig

    from tests.checkpoints.adapters import adapt

    config = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["c_attn"], fan_in_fan_out=True)
    adapt(base, folder, "GPT2LMHeadModel", config)


MESSAGES = [{"role": "user", "content": "hello world"}]
CASES = {
    "classifier": Case(
        classifier,
        "transformers",
        "text-classification",
        [(TEXTS, {}), (TEXTS, {"top_k": 2})],
        {
            "model_config": {"truncation": True},
            "signature": {"params": {"top_k": {"type": "long", "default": 1, "minimum": 1, "maximum": 2}}},
            "metadata": {"team": "search"},
        },
        with_code=True,
    ),
    "generator": Case(
        generator, "transformers", "text-generation", [(["world"], {})], {"prompt_template": "hello {prompt}"}
    ),
    "adapted": Case(
        generator,
        "transformers",
        "text-generation",
        [(["hello world"], {})],
        {"adapter": {"merge": False}},
        adapter=True,
    ),
    "chat": Case(
        chatter,
        "transformers",
        "llm/v1/chat",
        [({"messages": MESSAGES}, {})],
        {"model_config": {"max_tokens": 6}},
    ),
    "embedder": Case(embedder, "sentence-transformers", "feature-extraction", [(TEXTS, {})]),
    "signed": Case(classifier, "transformers", "text-classification", [(TEXTS, {})], signed=True),
}


def without_code(folder: Path) -> None:
    """The artifact without the runtime that it carries, and a manifest that says so."""
    manifest = Manifest.from_bytes((folder / "artifact.json").read_bytes())
    shutil.rmtree(folder / "code")
    files = tuple(record for record in manifest.files if not record.path.startswith("code/"))
    (folder / "artifact.json").write_bytes(replace(manifest, files=files).to_bytes())
    hfspec.verify(folder)


def sign(folder: Path) -> None:
    """A signature beside the artifact, and the public half of the key that nobody has any more."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    with tempfile.NamedTemporaryFile(suffix=".pem") as private:
        private.write(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        )
        private.flush()
        hfspec.sign(folder, private.name)
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    folder.with_name(f"{folder.name}.pub").write_bytes(public)


def plain(answer: Any) -> Any:
    """An answer as JSON; a table as its rows."""
    if hasattr(answer, "to_dict"):
        return answer.to_dict(orient="records")
    return answer.tolist() if hasattr(answer, "tolist") else answer


def write_case(name: str, case: Case, folder: Path, work: Path) -> None:
    checkpoint = work / name
    checkpoint.mkdir(parents=True)
    with quiet():
        case.make(checkpoint)
    document = {"spec_version": 1, "library": case.library, "task": case.task, "model": {"path": str(checkpoint)}}
    document.update(case.keys)
    if case.adapter:
        add_adapter(checkpoint, work / f"{name}-adapter")
        document["adapter"] = {"path": str(work / f"{name}-adapter"), **case.keys["adapter"]}
    spec = work / f"{name}.yaml"
    spec.write_text(json.dumps(document), encoding="utf-8")
    artifact = hfspec.compile(spec, output=folder / name)
    if not case.with_code:
        without_code(artifact.path)
    if case.signed:
        sign(artifact.path)
    predictor = hfspec.load(artifact.path)
    calls = [
        {"input": data, "params": params, "answer": plain(predictor.predict(data, params=params or None))}
        for data, params in case.calls
    ]
    digest = hashlib.sha256((artifact.path / "artifact.json").read_bytes()).hexdigest()
    record = {
        "hfspec": hfspec.__version__,
        "manifest_sha256": digest,
        "digest": hfspec.verify(artifact.path).digest,
        "task": case.task,
        "calls": calls,
    }
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    (folder / f"{name}.answers.json").write_text(text, encoding="utf-8")


def main(version: str, *names: str) -> None:
    folder = ARTIFACTS / version
    with tempfile.TemporaryDirectory() as work:
        for name in names or CASES:
            assert not (folder / name).exists(), f"{folder / name} was released: it is never written again"
            write_case(name, CASES[name], folder, Path(work))


if __name__ == "__main__":
    main(*sys.argv[1:])
