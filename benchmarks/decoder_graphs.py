"""T5, BART, Marian and Whisper as graphs: by a greedy loop over ONNX Runtime, by hfspec's artifacts and by generate().

The dynamo exporter of torch.onnx makes two graphs of a checkpoint: the encoder, which also gives every layer's keys and
values for cross-attention, and the decoder's step, which takes a cache of any length, the empty one of the first step
included, and gives the likeliest token and the longer cache. The loop binds what a step gives to the next one, so that
nothing leaves ONNX Runtime but the token. All begin with texts (sounds of 30 s) and end with texts, by the same
tokenizer and the same features, with one thread, in one process, in turn. Random weights of the real shapes.

hfspec's own graphs (`format: onnx`) are of the first three, and transformers' generate() drives them.

    python -m benchmarks.decoder_graphs [--rounds N] [--only NAME ...] [--counts N ...] [--beams N] [--prepare]

``--prepare`` makes checkpoints, artifacts and graphs, and measures nothing. Needs `hfspec[onnx-build]`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import material
from benchmarks.machine import processor

PLACE = Path(__file__).parent.parent / "build/bench/decoder-graphs"
NEW_TOKENS, THREADS = 32, 1
FORCED = 8  # tokens drawn at random, after which caches are compared
LEAST_WORDS, MOST_WORDS = 20, 40
WINDOW, MELS = 480_000, 3_000  # of Whisper: samples, and frames of its spectrogram
SPEC = """\
spec_version: 1
library: transformers
task: {task}
model: {{path: {path}}}
model_config: {{max_new_tokens: {new}}}
format: {kind}
"""
PLAIN, GRAPHS = "safetensors", "onnx"
# Model -> its class in transformers, and its task.
MODELS = {
    "t5": ("T5ForConditionalGeneration", "summarization"),
    "bart": ("BartForConditionalGeneration", "summarization"),
    "marian": ("MarianMTModel", "translation"),
    "whisper": ("WhisperForConditionalGeneration", "automatic-speech-recognition"),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """The decoder of a model of transformers."""

    layers: int
    heads: int
    size: int
    """Features of a head."""

    @classmethod
    def of(cls, model: Any) -> Shape:
        config = model.config
        if hasattr(config, "d_kv"):
            return cls(config.num_decoder_layers, config.num_heads, config.d_kv)
        heads = config.decoder_attention_heads
        return cls(config.decoder_layers, heads, config.d_model // heads)


def load_model(name: str) -> Any:
    """The checkpoint by transformers."""
    import transformers

    return getattr(transformers, MODELS[name][0]).from_pretrained(PLACE / "checkpoints" / name).eval()


def artifact(name: str, kind: str = PLAIN) -> Path:
    """The artifact in a format, compiled where it is not there yet."""
    import hfspec
    from hfspec.libraries.onnxruntime import encoder_decoder_source

    encoder_decoder_source.MODEL_TYPES = ("bart", "marian", "t5")
    target = PLACE / f"artifact-{name}-{kind}"
    if not (target / "artifact.json").is_file():
        spec = PLACE / f"{name}.yaml"
        path = PLACE / "checkpoints" / name
        spec.write_text(SPEC.format(task=MODELS[name][1], path=path, new=NEW_TOKENS, kind=kind), encoding="utf-8")
        hfspec.compile(spec, output=target, run=False)
    return target


def export(name: str) -> Path:
    """The folder of the two graphs, exported where they are not there yet."""
    import torch

    target = PLACE / f"graphs-{name}"
    if (target / "made").is_file():
        return target
    target.mkdir(exist_ok=True)
    model, rows, past, positions = load_model(name), 2, 3, 7
    shape, hears = Shape.of(model), name == "whisper"
    several, free = torch.export.Dim.DYNAMIC, ["mask"] * (not hears)
    mask = torch.ones(rows, positions, dtype=torch.long)
    source = torch.randn(rows, model.config.num_mel_bins, MELS) if hears else torch.randint(3, 99, (rows, positions))
    positions = MELS // 2 if hears else positions
    lengths = {0: several} if hears else {0: several, 1: several}
    _write(
        _encoder(model, shape),
        {"source": source, **dict.fromkeys(free, mask)},
        [lengths] * (1 + len(free)),
        [f"cross{place}" for place in range(2 * shape.layers)],
        target / "encoder.onnx",
    )
    own = {f"own{at}": torch.randn(rows, shape.heads, past, shape.size) for at in range(2 * shape.layers)}
    cross = {f"cross{at}": torch.randn(rows, shape.heads, positions, shape.size) for at in range(2 * shape.layers)}
    _write(
        _step(model, shape),
        {"token": torch.full((rows, 1), 5), **dict.fromkeys(free, mask), **own, **cross},
        [
            {0: several},
            *[lengths] * len(free),
            *[{0: several, 2: several}] * len(own),
            *[{0: several} if hears else {0: several, 2: several}] * len(cross),
        ],
        ["next", *(f"new{place}" for place in range(len(own)))],
        target / "step.onnx",
    )
    (target / "made").touch()
    return target


def _write(module: Any, inputs: dict[str, Any], axes: list[Any], outputs: Sequence[str], path: Path) -> None:
    import torch

    with torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            dynamo=True,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=(tuple(axes),),
            verbose=False,
        )
    program.save(str(path), external_data=True)


def _encoder(model: Any, shape: Shape) -> Any:
    """A module: tokens and their mask, or a spectrogram -> keys and values of each layer, in turn."""
    import torch

    def heads(values: Any) -> Any:
        return values.view(values.shape[0], -1, shape.heads, shape.size).transpose(1, 2)

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Any) -> Any:
            named = {"attention_mask": inputs[1]} if len(inputs) > 1 else {}
            states = self.model.get_encoder()(inputs[0], **named)[0]
            return tuple(heads(layer(states)) for keys_values in _cross(self.model) for layer in keys_values)

    return Encoder()


def _cross(model: Any) -> list[tuple[Any, Any]]:
    """The layers for keys and values of the encoder's states, by layer of the decoder."""
    decoder = model.get_decoder()
    if hasattr(decoder, "block"):
        attentions = [block.layer[1].EncDecAttention for block in decoder.block]
        return [(attention.k, attention.v) for attention in attentions]
    return [(layer.encoder_attn.k_proj, layer.encoder_attn.v_proj) for layer in decoder.layers]


def _step(model: Any, shape: Shape) -> Any:
    """A module: a token a row, the source's mask, both caches -> the next token, its own cache grown."""
    import torch
    from transformers.cache_utils import DynamicCache, EncoderDecoderCache

    count = 2 * shape.layers

    class Step(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Any) -> Any:
            mask = {"attention_mask": inputs[1]} if len(inputs) > 2 * count + 1 else {}
            own, cross, token, values = DynamicCache(), DynamicCache(), inputs[0], inputs[1 + len(mask) :]
            for place in range(shape.layers):
                own.update(values[2 * place], values[2 * place + 1], place)
                cross.update(values[count + 2 * place], values[count + 2 * place + 1], place)
            cache = EncoderDecoderCache(own, cross)
            cache.is_updated = dict.fromkeys(range(shape.layers), True)
            states = torch.zeros(token.shape[0], values[-1].shape[2], self.model.config.d_model)
            answer = self.model(
                decoder_input_ids=token, encoder_outputs=(states,), past_key_values=cache, use_cache=True, **mask
            )
            kept = [tensor for layer in own.layers for tensor in (layer.keys, layer.values)]
            return (answer.logits[:, -1].argmax(-1, keepdim=True), *kept)

    return Step()


class Graphs:
    """The greedy loop over the two graphs."""

    def __init__(self, folder: Path, prompt: Sequence[int], end: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = THREADS
        self.encoder, self.step = (
            onnxruntime.InferenceSession(folder / f"{name}.onnx", options, providers=["CPUExecutionProvider"])
            for name in ("encoder", "step")
        )
        self.prompt, self.end, self.value = prompt, end, onnxruntime.OrtValue.ortvalue_from_numpy
        self.outputs = [output.name for output in self.step.get_outputs()]
        self.shape = self.step.get_inputs()[-1].shape
        self.takes_mask = any(given.name == "mask" for given in self.step.get_inputs())

    def __call__(self, inputs: dict[str, Any]) -> Any:
        """The tokens of each row after the prompt, (rows, steps)."""
        rows = len(inputs["source"])
        binding, own = self._begun(inputs)
        ended, tokens = np.zeros((rows, 1), bool), []
        for token in self.prompt:  # one at a time; Whisper's has two
            chosen, *own = self._next(binding, self.value(np.full((rows, 1), token, np.int64)), own)
        while True:
            tokens.append(chosen.numpy())
            ended |= tokens[-1] == self.end
            if len(tokens) == NEW_TOKENS or ended.all():
                return np.concatenate(tokens, axis=1)
            chosen, *own = self._next(binding, chosen, own)

    def kept(self, inputs: dict[str, Any], tokens: Any) -> list[Any]:
        """Keys and values of each layer, in turn, after these tokens, (rows, steps)."""
        binding, own = self._begun(inputs)
        for column in tokens.T:
            _, *own = self._next(binding, self.value(np.ascontiguousarray(column[:, None])), own)
        return [value.numpy() for value in own]

    def _begun(self, inputs: dict[str, Any]) -> tuple[Any, list[Any]]:
        """The step's binding with what the encoder gives in it, and an empty cache."""
        binding = self.step.io_binding()
        for place, value in enumerate(self._encoded(inputs)):
            binding.bind_ortvalue_input(f"cross{place}", value)
        if self.takes_mask:
            binding.bind_cpu_input("mask", inputs["mask"])
        empty = self.value(np.zeros((len(inputs["source"]), self.shape[1], 0, self.shape[3]), np.float32))
        return binding, [empty] * (len(self.outputs) - 1)

    def _encoded(self, inputs: dict[str, Any]) -> list[Any]:
        binding = self.encoder.io_binding()
        for name, value in inputs.items():
            binding.bind_cpu_input(name, value)
        for output in self.encoder.get_outputs():
            binding.bind_output(output.name)
        self.encoder.run_with_iobinding(binding)
        return binding.get_outputs()

    def _next(self, binding: Any, token: Any, own: Sequence[Any]) -> list[Any]:
        binding.bind_ortvalue_input("token", token)
        for place, value in enumerate(own):
            binding.bind_ortvalue_input(f"own{place}", value)
        binding.clear_binding_outputs()
        for name in self.outputs:
            binding.bind_output(name)
        self.step.run_with_iobinding(binding)
        return binding.get_outputs()


def apart(model: Any, graphs: Graphs, inputs: dict[str, Any]) -> float:
    """The largest difference of keys and values from torch's, over the largest of them, after tokens drawn at random:
    answers of random weights say one word again and again, and would hide a graph that is a little wrong.
    """
    import torch

    tokens = np.random.default_rng(material.SEED).integers(3, 30_000, (len(inputs["source"]), FORCED))
    named = {"input_ids" if "mask" in inputs else "input_features": torch.from_numpy(inputs["source"])}
    named |= {"attention_mask": torch.from_numpy(inputs["mask"])} if "mask" in inputs else {}
    with torch.inference_mode():
        cache = model(**named, decoder_input_ids=torch.from_numpy(tokens), use_cache=True).past_key_values
    theirs = [values.numpy() for layer in cache.self_attention_cache.layers for values in (layer.keys, layer.values)]
    ours = graphs.kept(inputs, tokens)
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(ours, theirs, strict=True))


def contenders(name: str, beams: int) -> dict[str, Callable[[Any], list[str]]]:
    """Functions from rows to texts, by the name of what computes; generate() is the first."""
    import torch

    import hfspec

    model = load_model(name)
    rivals: dict[str, Callable[[Any], list[str]]] = {}
    read, write = _reader(name)
    config = model.generation_config
    prompt = [config.decoder_start_token_id, *([config.no_timestamps_token_id] if name == "whisper" else [])]

    def generated(rows: Any) -> list[str]:
        inputs = {key: torch.from_numpy(value) for key, value in read(rows).items()}
        named = {"input_features" if name == "whisper" else "input_ids": inputs.pop("source")}
        masks = {"attention_mask": inputs["mask"]} if "mask" in inputs else {}
        with torch.inference_mode():
            output = model.generate(**named, **masks, max_new_tokens=NEW_TOKENS, num_beams=beams, do_sample=False)
        return write(output.numpy())

    rivals["generate()"] = generated
    settings: dict[str, Any] = {"model_config": {"num_beams": beams}, "threads": THREADS}
    for backend in ("torch", "onednn"):
        rivals[f"hfspec, {backend}"] = hfspec.load(artifact(name), backend=backend, **settings).predict
    if name != "whisper":
        rivals["hfspec, graphs"] = hfspec.load(artifact(name, GRAPHS), **settings).predict
    if beams == 1:
        graphs = Graphs(export(name), prompt, config.eos_token_id)
        largest = apart(model, graphs, read(rows_of(name, 3)))
        print(f"{name}: keys and values differ by {largest:.1e} at most", file=sys.stderr)
        rivals["loop over graphs"] = lambda rows: write(graphs(read(rows)))
    return rivals


def _reader(name: str) -> tuple[Callable[[Any], dict[str, Any]], Callable[[Any], list[str]]]:
    """Functions from rows to the model's inputs, and from tokens to texts."""
    import transformers

    folder = PLACE / "checkpoints" / name
    if name == "whisper":
        hearing = transformers.WhisperProcessor.from_pretrained(folder)

        def heard(rows: Any) -> dict[str, Any]:
            return {"source": hearing(rows, sampling_rate=16_000, return_tensors="np")["input_features"]}

        return heard, lambda tokens: hearing.batch_decode(tokens, skip_special_tokens=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    def tokens_of(rows: Any) -> dict[str, Any]:
        inputs = tokenizer(rows, padding=True, return_tensors="np")
        return {"source": inputs["input_ids"].astype(np.int64), "mask": inputs["attention_mask"].astype(np.int64)}

    return tokens_of, lambda tokens: tokenizer.batch_decode(tokens, skip_special_tokens=True)


def rows_of(name: str, count: int) -> list[Any]:
    """Texts, or noise of 30 s that rises and falls."""
    if name != "whisper":
        return material.texts(count, least=LEAST_WORDS, most=MOST_WORDS)
    random, clock = np.random.default_rng(material.SEED), np.arange(WINDOW) / 16_000
    waves = [
        np.sin(clock * random.uniform(200, 2_000) * 6.28) * np.sin(clock * random.uniform(1, 9)) for _ in range(count)
    ]
    return [(wave * 0.3 + random.standard_normal(WINDOW) * 0.02).astype(np.float32) for wave in waves]


def measure(name: str, counts: Sequence[int], rounds: int, beams: int) -> None:
    """Print a line for each count and contender."""
    rivals = contenders(name, beams)
    for count in counts:
        rows = rows_of(name, count)
        answers = {way: [text.strip() for text in rival(rows)] for way, rival in rivals.items()}
        for _ in range(2):  # oneDNN puts weights in order at the third call
            rivals["hfspec, onednn"](rows[:1])
        spent: dict[str, list[tuple[float, float]]] = {way: [] for way in rivals}
        for _ in range(rounds):
            for way, rival in rivals.items():
                begun = time.process_time(), time.perf_counter()
                rival(rows)
                spent[way].append((time.process_time() - begun[0], time.perf_counter() - begun[1]))
        taken = {way: [median(kind) for kind in zip(*times, strict=True)] for way, times in spent.items()}
        for way, (cpu, wall) in taken.items():
            same = sum(map(str.__eq__, answers[way], answers["generate()"]))
            ratios = " | ".join(
                f"{time / own:.2f}x" for time, own in zip(taken["hfspec, torch"], (cpu, wall), strict=True)
            )
            print(f"| {name} | {beams} | {count} | {way} | {cpu:.3f} | {wall:.3f} | {ratios} | {same} |", flush=True)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--counts", nargs="*", type=int, default=[1, 16])
    parser.add_argument("--beams", type=int, default=1)
    parser.add_argument("--prepare", action="store_true", help="make what is measured, and stop")
    options = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(THREADS)
    for name in options.only:
        material.make_one(str(PLACE / "checkpoints"), name)
        artifact(name)
        if name != "whisper":
            artifact(name, GRAPHS)
        if options.beams == 1:
            export(name)
    if options.prepare:
        return 0
    print(
        f"{processor()}, {torch.backends.cpu.get_cpu_capability()}, {THREADS} thread, {options.rounds} rounds in turn"
    )
    columns = (
        "model",
        "beams",
        "rows",
        "by",
        "processor s",
        "wall s",
        "of hfspec, torch: processor",
        "wall",
        "same answers",
    )
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for name in options.only:
        measure(name, options.counts, options.rounds, options.beams)
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main(sys.argv[1:]))
