"""Greedy answers of T5 (60M): exported graphs with a plain loop over ONNX Runtime, beside the artifact by torch.

The step is written for the exporter: one token a row, keys and values in and out, cross-attention's made once. Keys and
values stay ONNX Runtime's own between steps. Both make the same number of tokens, and the texts are compared.

Usage: python -m benchmarks.decoder_graphs [ROUNDS [ROWS]]     (files go to build/bench/decoder-graphs/)
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import hfspec
from benchmarks import machine, material

PLACE = Path(__file__).parent.parent / "build/bench/decoder-graphs"
TOKENS, MOST_WORDS, EOS, START = 64, 40, 1, 0
CONFIG = {"num_beams": 1, "do_sample": False, "min_new_tokens": TOKENS, "max_new_tokens": TOKENS}
SPEC = "spec_version: 1\nlibrary: transformers\ntask: text2text-generation\nmodel: {{path: {model}}}\n"


def modules(model: Any) -> tuple[Any, Any]:
    """The encoder, with cross-attention's keys and values of each layer, and a step of the decoder, for torch.onnx."""
    import torch

    config, blocks = model.config, model.decoder.block
    heads, width = config.num_heads, config.d_kv

    def split(values: Any) -> Any:
        return values.view(values.shape[0], -1, heads, width).transpose(1, 2)

    def attend(query: Any, keys: Any, values: Any, added: Any) -> Any:
        weights = torch.softmax(query @ keys.transpose(2, 3) + added, dim=-1)
        return (weights @ values).transpose(1, 2).flatten(2)

    class Encoder(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            states = model.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            pairs = [block.layer[1].EncDecAttention for block in blocks]
            return tuple(split(part(states)) for pair in pairs for part in (pair.k, pair.v))

    class Step(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, token: Any, attention_mask: Any, own: Any, cross: Any) -> Any:
            length = own[0].shape[2] + 1
            distances = torch.arange(length) - (length - 1)
            first = blocks[0].layer[0].SelfAttention
            buckets = first._relative_position_bucket(  # noqa: SLF001 - the library has no public one
                distances, False, config.relative_attention_num_buckets, config.relative_attention_max_distance
            )
            near = first.relative_attention_bias(buckets).transpose(0, 1)[None, :, None]
            hidden_padding = (1.0 - attention_mask[:, None, None].float()) * torch.finfo(torch.float32).min
            states, kept = model.shared(token), []
            for place, block in enumerate(blocks):
                mine, theirs, feed = block.layer[0], block.layer[1], block.layer[2]
                normed = mine.layer_norm(states)
                part = mine.SelfAttention
                keys = torch.cat([own[2 * place], split(part.k(normed))], dim=2)
                values = torch.cat([own[2 * place + 1], split(part.v(normed))], dim=2)
                kept += [keys, values]
                states = states + part.o(attend(split(part.q(normed)), keys, values, near))
                other, normed = theirs.EncDecAttention, theirs.layer_norm(states)
                query = split(other.q(normed))
                states = states + other.o(attend(query, cross[2 * place], cross[2 * place + 1], hidden_padding))
                states = states + feed.DenseReluDense(feed.layer_norm(states))
            final = model.decoder.final_layer_norm(states)
            scale = config.d_model**-0.5 if config.tie_word_embeddings else 1.0
            logits = model.lm_head(final * scale)[:, 0]
            logits[:, EOS] = float("-inf")
            return (logits.argmax(-1, keepdim=True), *kept)

    return Encoder().eval(), Step().eval()


def export(folder: Path) -> tuple[Path, Path]:
    """Both graphs, made where they are not there yet."""
    import torch
    from transformers import AutoModelForSeq2SeqLM

    paths = PLACE / "encoder.onnx", PLACE / "step.onnx"
    if paths[1].is_file():
        return paths
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, attn_implementation="eager").eval()
    encoder, step = modules(model)
    layers, heads, width = len(model.decoder.block), model.config.num_heads, model.config.d_kv
    ids = torch.randint(5, 100, (2, 7))
    mask = torch.ones_like(ids)
    cross = tuple(torch.randn(2, heads, 7, width) for _ in range(2 * layers))
    own = tuple(torch.randn(2, heads, 3, width) for _ in range(2 * layers))
    rows, texts, past = {0: "rows"}, {0: "rows", 1: "tokens"}, {0: "rows", 2: "past"}
    with torch.no_grad():
        torch.onnx.export(encoder, (ids, mask), dynamo=True, dynamic_shapes=(texts, texts), verbose=False).save(
            str(paths[0])
        )
        shapes = (rows, texts, (past,) * 2 * layers, ({0: "rows", 2: "tokens"},) * 2 * layers)
        torch.onnx.export(step, (ids[:, :1], mask, own, cross), dynamo=True, dynamic_shapes=shapes, verbose=False).save(
            str(paths[1])
        )
    return paths


def loop(paths: tuple[Path, Path], tokenizer: Any, threads: int) -> Callable[[list[str]], list[str]]:
    """Texts to texts by the graphs."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    encoder, step = (ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]) for path in paths)
    names = [value.name for value in step.get_inputs()]
    outputs = [value.name for value in step.get_outputs()]
    shape = step.get_inputs()[2].shape
    many = (len(names) - 2) // 2

    def answer(texts: list[str]) -> list[str]:
        given = tokenizer(texts, padding=True, return_tensors="np")
        inputs = [given["input_ids"].astype(np.int64), given["attention_mask"].astype(np.int64)]
        taken = [value.name for value in encoder.get_inputs()]
        cross = encoder.run_with_ort_values(
            None, {name: ort.OrtValue.ortvalue_from_numpy(value) for name, value in zip(taken, inputs, strict=True)}
        )
        mask = ort.OrtValue.ortvalue_from_numpy(inputs[1])
        empty = np.zeros((len(texts), shape[1], 0, shape[3]), np.float32)
        own = [ort.OrtValue.ortvalue_from_numpy(empty) for _ in range(many)]
        token = ort.OrtValue.ortvalue_from_numpy(np.full((len(texts), 1), START, np.int64))
        made = []
        for _ in range(TOKENS):
            values = dict(zip(names, (token, mask, *own, *cross), strict=True))
            token, *own = step.run_with_ort_values(outputs, values)
            made.append(token.numpy())
        return list(tokenizer.batch_decode(np.concatenate(made, axis=1), skip_special_tokens=True))

    return answer


def main(rounds: int, rows: int, threads: int = 1) -> None:
    from transformers import AutoTokenizer

    PLACE.mkdir(parents=True, exist_ok=True)
    material.make_one(str(PLACE), "t5")
    folder, artifact = PLACE / "t5", PLACE / "artifact"
    if not artifact.is_dir():
        (PLACE / "t5.yaml").write_text(SPEC.format(model=folder))
        hfspec.compile(PLACE / "t5.yaml", output=artifact, run=False)
    rivals: dict[str, Callable[[list[str]], Any]] = {
        "graphs": loop(export(folder), AutoTokenizer.from_pretrained(folder), threads)
    }
    for backend in ("torch", "onednn"):
        rivals[f"torch: {backend}"] = hfspec.load(
            artifact, threads=threads, backend=backend, model_config=CONFIG
        ).predict
    texts = material.texts(rows, most=MOST_WORDS)
    answers = {name: list(predict(texts)) for name, predict in rivals.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in rivals}
    for _ in range(rounds):
        for name, predict in rivals.items():
            begun = time.process_time(), time.perf_counter()
            predict(texts)
            times[name].append((time.process_time() - begun[0], time.perf_counter() - begun[1]))
    print(f"{machine.processor()}, {rows} texts, {TOKENS} tokens each, {threads} thread, {rounds} rounds in turn")
    for name, found in times.items():
        processor, wall = (statistics.median(column) for column in zip(*found, strict=True))
        same = sum(one == other for one, other in zip(answers[name], answers["torch: torch"], strict=True))
        print(f"| {name} | {processor:.2f} | {wall:.2f} | {same} of {rows} |")


if __name__ == "__main__":
    given = [*sys.argv[1:], *("5", "16")[len(sys.argv) - 1 :]]
    main(int(given[0]), int(given[1]))
