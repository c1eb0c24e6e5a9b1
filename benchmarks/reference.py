"""A reference artifact of a large checkpoint in the hub's cache: how small, how fast to compile, what is read.

    python benchmarks/reference.py [--gigabytes N] [--runs N] [--folder DIR]

A checkpoint with sparse weights is put into a hub cache of its own, as the hub's client would leave it, with its
digests known by the names of the blobs. It is compiled offline in processes of their own; so is a tiny one of the same
architecture, whose time is start-up. No weight can have been read: only the header of the weight file is there, and
everything after it is a hole whose bytes do not have the digest.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import mmap
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HIDDEN, INTERMEDIATE, HEADS, VOCABULARY = 1024, 2816, 8, 64
COMPILE = """
import sys, time
import hfspec
started = time.perf_counter()
artifact = hfspec.compile(sys.argv[1], output=sys.argv[2])
seconds = time.perf_counter() - started
reads = dict(line.split(": ") for line in open("/proc/self/io").read().splitlines())
print(seconds, time.process_time(), reads["rchar"])
"""
SPEC = """spec_version: 1
library: transformers
task: text-generation
save_mode: reference
model: {{repo: {repo}, revision: main}}
"""
PARTS = {
    **{f"self_attn.{name}_proj.weight": (HIDDEN, HIDDEN) for name in "qkvo"},
    **{f"mlp.{name}_proj.weight": (INTERMEDIATE, HIDDEN) for name in ("gate", "up")},
    "mlp.down_proj.weight": (HIDDEN, INTERMEDIATE),
    "input_layernorm.weight": (HIDDEN,),
    "post_attention_layernorm.weight": (HIDDEN,),
}
ENDS = {
    "model.embed_tokens.weight": (VOCABULARY, HIDDEN),
    "model.norm.weight": (HIDDEN,),
    "lm_head.weight": (VOCABULARY, HIDDEN),
}


def bytes_of(shape: tuple[int, ...]) -> int:
    return 4 * shape[0] * (shape[1] if len(shape) > 1 else 1)


def layers_for(size: int) -> int:
    return max(1, size // sum(map(bytes_of, PARTS.values())))


def write_blob(blobs: Path, name: str, content: bytes, size: int | None = None) -> str:
    (blobs / name).write_bytes(content)
    if size is not None:
        os.truncate(blobs / name, size)
    return name


def write_weights(blobs: Path, layers: int, digest: str) -> int:
    shapes = {
        **ENDS,
        **{f"model.layers.{layer}.{part}": shape for layer in range(layers) for part, shape in PARTS.items()},
    }
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + bytes_of(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    write_blob(blobs, digest, len(text).to_bytes(8, "little") + text, 8 + len(text) + end)
    return 8 + len(text) + end


def small_files(layers: int) -> dict[str, bytes]:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"<s>": 0, "</s>": 1, "<unk>": 2, **{f"w{number}": number for number in range(3, VOCABULARY)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "num_hidden_layers": layers,
        "vocab_size": VOCABULARY,
        "tie_word_embeddings": False,
        "dtype": "float32",
    }
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return {
        "config.json": json.dumps(config).encode(),
        "tokenizer.json": tokenizer.to_str().encode(),
        "tokenizer_config.json": json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **special}).encode(),
    }


def put_in_cache(cache: Path, repo: str, layers: int) -> int:
    """The checkpoint as the hub's client keeps it; bytes of its weights."""
    folder = cache / f"models--{repo.replace('/', '--')}"
    blobs, snapshot = folder / "blobs", folder / "snapshots" / COMMIT
    for place in (blobs, snapshot, folder / "refs"):
        place.mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    digest = f"{layers:064x}"
    size = write_weights(blobs, layers, digest)
    names = {"model.safetensors": digest}
    for path, content in small_files(layers).items():
        of_git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
        names[path] = write_blob(blobs, of_git.hexdigest(), content)
    for path, name in names.items():
        (snapshot / path).symlink_to(os.path.relpath(blobs / name, snapshot))
    return size


def in_memory(file: Path) -> int:
    """Bytes of a file that the system holds in memory: what was read of it in any way, and what it read ahead."""
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        pages = (ctypes.c_ubyte * -(-len(mapped) // mmap.PAGESIZE))()
        start = ctypes.c_char.from_buffer(mapped)
        failed = ctypes.CDLL(None).mincore(ctypes.byref(start), ctypes.c_size_t(len(mapped)), pages)
        del start
    if failed:
        raise OSError(f"mincore does not say what is in memory of {file}")
    return sum(page & 1 for page in pages) * mmap.PAGESIZE


def compiled(place: Path, name: str) -> tuple[float, ...]:
    """Seconds, of them on a CPU, and bytes that the process read with read calls, its own modules among them."""
    environment = {**os.environ, "HF_HUB_CACHE": str(place / "cache"), "HF_HUB_OFFLINE": "1"}
    environment["XDG_CACHE_HOME"] = str(place / "memory")
    process = subprocess.run(
        [sys.executable, "-c", COMPILE, str(place / f"{name}.yaml"), str(place / name)],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return tuple(map(float, process.stdout.split()[-3:]))


class Measured(NamedTuple):
    """``seconds``, ``seconds_of_cpu`` and ``read`` are the least of the compiles; all else is in bytes."""

    weights: int
    seconds: float
    seconds_of_cpu: float
    read: int
    weights_in_memory: int
    artifact: int
    tokenizer: int


def prepare(place: Path, name: str, layers: int) -> int:
    """The checkpoint in the cache and a spec over it; bytes of its weights."""
    (place / f"{name}.yaml").write_text(SPEC.format(repo=f"bench/{name}"))
    return put_in_cache(place / "cache", f"bench/{name}", layers)


def measured(place: Path, name: str, weights: int, results: list[tuple[float, ...]]) -> Measured:
    seconds, of_cpu, bytes_read = (min(column) for column in zip(*results, strict=True))
    in_cache = in_memory(place / "cache" / f"models--bench--{name}" / "snapshots" / COMMIT / "model.safetensors")
    sizes = {path: path.stat().st_size for path in (place / name).rglob("*") if path.is_file()}
    tokenizer = sum(size for path, size in sizes.items() if path.name.startswith("tokenizer"))
    return Measured(weights, seconds, of_cpu, int(bytes_read), in_cache, sum(sizes.values()), tokenizer)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to work; its file system must know sparse files")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        place = Path(folder)
        layers = {"tiny": 1, "large": layers_for(int(arguments.gigabytes * 1e9))}
        weights = {name: prepare(place, name, count) for name, count in layers.items()}
        # In turn, so that whatever else the machine does slows both.
        rounds = [{name: compiled(place, name) for name in layers} for _ in range(arguments.runs)]
        tiny, large = (measured(place, name, weights[name], [results[name] for results in rounds]) for name in layers)
    print(f"{'':24}{'tiny':>16}{'large':>16}")
    for field, one, other in zip(Measured._fields, tiny, large, strict=True):
        print(f"{field.replace('_', ' '):24}{one:>16.10g}{other:>16.10g}")
    beyond, longer, more = large.artifact - large.tokenizer, large.seconds - tiny.seconds, large.read - tiny.read
    print(f"artifact beyond the tokenizer's files: {beyond / 1e6:.2f} MB (target: under 1 MB)")
    print(f"compile beyond start-up: {longer:.2f} s (target: at most 1 s)")
    print(
        f"read beyond start-up: {more / 1e6:.2f} MB; in memory of the weights: {large.weights_in_memory / 1e6:.2f} MB"
    )
    return 1 if beyond >= 1e6 or longer > 1 or max(more, large.weights_in_memory) > large.weights / 100 else 0


if __name__ == "__main__":
    sys.exit(main())
