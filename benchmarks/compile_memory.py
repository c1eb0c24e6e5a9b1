"""Peak memory of a compile on a 40 MB and on a 4 GB checkpoint: it must not grow with the model.

    python benchmarks/compile_memory.py [--large-layers N] [--folder DIR]

Random checkpoints are made in a temporary folder (about 8 GB with the artifact), compiled in processes of their own,
once copied as they are, once cast to bfloat16, once with an adapter merged into them, and removed. Exits with 1 when
the large one's peak is more than 100 MB above the small one's.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HIDDEN, INTERMEDIATE, VOCABULARY = 896, 2432, 64
SHARD_LAYERS = 25
RANK = 16
ALLOWED_MB = 100
SPEC = """spec_version: 1
library: transformers
task: text-generation
model: {{path: {name}}}
adapter: {{path: {name}-adapter}}
"""
WAYS = {
    "copied": ["adapter=null"],
    "cast": ["adapter=null", "dtype=bfloat16"],
    "merged": ["adapter.merge=true"],
}
COMPILE = """
import resource, sys, hfspec
artifact = hfspec.compile(sys.argv[1], output=sys.argv[2], overrides=sys.argv[3:])
assert artifact.digest
unit = 1 if sys.platform == "darwin" else 1024
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
"""


def layer_shapes(number: int) -> dict[str, tuple[int, ...]]:
    """A Llama layer's tensors, about 39 MB of float32."""
    square, wide = (HIDDEN, HIDDEN), (INTERMEDIATE, HIDDEN)
    parts = {
        **{f"self_attn.{name}_proj.weight": square for name in "qkvo"},
        **{f"mlp.{name}_proj.weight": wide for name in ("gate", "up")},
        "mlp.down_proj.weight": wide[::-1],
        **dict.fromkeys(("input_layernorm.weight", "post_attention_layernorm.weight"), (HIDDEN,)),
    }
    return {f"model.layers.{number}.{name}": shape for name, shape in parts.items()}


def write_safetensors(path: Path, shapes: dict[str, tuple[int, ...]], random: np.random.Generator) -> None:
    """Random float32 tensors, written one after the other."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for shape in shapes.values():
            file.write(random.standard_normal(shape, dtype=np.float32).tobytes())


def write_checkpoint(folder: Path, layers: int) -> int:
    """A random Llama of so many layers; returns its weights' bytes."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    folder.mkdir(parents=True)
    groups = [dict(pair for n in range(first, min(first + SHARD_LAYERS, layers)) for pair in layer_shapes(n).items())
              for first in range(0, layers, SHARD_LAYERS)]  # fmt: skip
    groups[0] |= {"model.embed_tokens.weight": (VOCABULARY, HIDDEN), "model.norm.weight": (HIDDEN,)}
    names = [f"model-{number:05d}-of-{len(groups):05d}.safetensors" for number in range(1, len(groups) + 1)]
    random = np.random.default_rng(0)
    for name, shapes in zip(names, groups, strict=True):
        write_safetensors(folder / name, shapes, random)
    weight_map = {tensor: name for name, shapes in zip(names, groups, strict=True) for tensor in shapes}
    size = sum((folder / name).stat().st_size for name in names)
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN, "vocab_size": VOCABULARY,
        "intermediate_size": INTERMEDIATE, "num_hidden_layers": layers, "num_attention_heads": 14,
        "num_key_value_heads": 14, "tie_word_embeddings": True, "torch_dtype": "float32",
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    words = Tokenizer(WordLevel({f"w{number}": number for number in range(VOCABULARY)}, unk_token="w0"))
    words.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    return size


def write_adapter(folder: Path, layers: int) -> None:
    """A random LoRA over the projections of every layer."""
    folder.mkdir()
    shapes = {
        f"base_model.model.model.layers.{layer}.{part}.{matrix}.weight": shape
        for layer in range(layers)
        for part, (out, into) in (("self_attn.q_proj", (HIDDEN, HIDDEN)), ("mlp.down_proj", (HIDDEN, INTERMEDIATE)))
        for matrix, shape in (("lora_A", (RANK, into)), ("lora_B", (out, RANK)))
    }
    write_safetensors(folder / "adapter_model.safetensors", shapes, np.random.default_rng(1))
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": RANK, "target_modules": ["q_proj", "down_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))


def peak(folder: Path, overrides: list[str]) -> tuple[int, float]:
    """Peak resident bytes and seconds of one compile in a process of its own."""
    spec, target = folder.with_suffix(".yaml"), folder.with_name(f"{folder.name}-artifact")
    spec.write_text(SPEC.format(name=folder.name))
    started = time.monotonic()
    command = [sys.executable, "-c", COMPILE, str(spec), str(target), *overrides]
    process = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.monotonic() - started
    shutil.rmtree(target)
    return int(process.stdout.split()[-1]), seconds


def main() -> int:
    """Measure, print, and say whether memory is flat."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large-layers", type=int, default=104, help="layers of about 39 MB each")
    parser.add_argument("--folder", help="where to make the checkpoints")
    options = parser.parse_args()
    flat = True
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        sizes = {"small": 1, "large": options.large_layers}
        folders = {name: Path(place) / name for name in sizes}
        for name, layers in sizes.items():
            write_adapter(folders[name].with_name(f"{name}-adapter"), layers)
            print(f"{name}: {write_checkpoint(folders[name], layers) / 1e6:,.0f} MB of weights", flush=True)
        for way, overrides in WAYS.items():
            peaks = {name: peak(folder, overrides) for name, folder in folders.items()}
            more = (peaks["large"][0] - peaks["small"][0]) / 1e6
            for name, (peak_bytes, seconds) in peaks.items():
                print(f"{way}: {name} peak {peak_bytes / 1e6:,.0f} MB, {seconds:.1f} s")
            print(f"{way}: difference {more:+,.0f} MB, at most {ALLOWED_MB} allowed", flush=True)
            flat = flat and more <= ALLOWED_MB
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
