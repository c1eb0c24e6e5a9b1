"""Models of ONNX Runtime's generate(), which the library's own model builder makes of tiny seeded checkpoints."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.checkpoints import vocabulary
from tests.checkpoints.writing import CARD, LICENSE, quiet, write

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,  # the runtime's attention takes heads whose size is a multiple of 16
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
}
KINDS = ("llama", "phi3", "qwen2")


def checkpoint(kind: str, folder: Path) -> Path:
    """A checkpoint of transformers of which ``build`` can make a model."""
    import transformers

    with quiet():
        tokenizer = {"llama": vocabulary.llama, "phi3": vocabulary.phi3, "qwen2": vocabulary.chatml}[kind](512)
        end = tokenizer.eos_token_id
        ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": end, "pad_token_id": end}
        # Without it the builder fails.
        own = {"original_max_position_embeddings": 512} if kind == "phi3" else {}
        name = {"llama": "Llama", "phi3": "Phi3", "qwen2": "Qwen2"}[kind]
        config = getattr(transformers, f"{name}Config")(vocab_size=len(tokenizer), **SIZES, **ends, **own)
        model = getattr(transformers, f"{name}ForCausalLM")(config)
        model.generation_config = transformers.GenerationConfig(**ends)
        write(folder, model, tokenizer, seed=KINDS.index(kind) + 40)
    return folder


def build(source: Path, folder: Path, precision: str = "fp32") -> Path:
    """The model that the builder makes of a checkpoint."""
    from onnxruntime_genai.models.builder import create_model, parse_extra_options

    logging.getLogger("onnxruntime.quantization").setLevel(logging.WARNING)
    said = io.StringIO()
    with tempfile.TemporaryDirectory() as cache, contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        arguments = ("", str(source), str(folder), precision, "cpu", cache)
        create_model(*arguments, **parse_extra_options(*arguments, []))
    return folder


def greedy(
    folder: Path, prompts: list[str], new: int, ends: list[int] | None = None, dtype: str = "auto"
) -> list[tuple[str, int]]:
    """The text that transformers adds to each prompt alone, and of how many tokens it is."""
    import transformers

    with quiet():
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
        return [_made(model, tokenizer, tokenizer(prompt)["input_ids"], new, ends) for prompt in prompts]


def greedy_chat(
    folder: Path, messages: list[dict[str, str]], new: int, processor: Callable[[int], object] | None = None
) -> tuple[list[tuple[str, int]], int]:
    """The same for a conversation, and of how many tokens its prompt is. ``processor``: of the prompt's width."""
    import transformers

    with quiet():
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        model = transformers.AutoModelForCausalLM.from_pretrained(folder)
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        tools = {} if processor is None else {"logits_processor": [processor(len(ids))]}
        return [_made(model, tokenizer, ids, new, None, **tools)], len(ids)


def _made(
    model: Any, tokenizer: Any, ids: list[int], new: int, ends: list[int] | None, **tools: Any
) -> tuple[str, int]:
    import torch

    given = {} if ends is None else {"eos_token_id": ends}
    with torch.inference_mode():
        made = model.generate(torch.tensor([ids]), max_new_tokens=new, do_sample=False, **given, **tools)
    line = made[0, len(ids) :].tolist()
    return tokenizer.decode(line, skip_special_tokens=True), len(line)


def _built(kind: str, folder: Path, precision: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        build(checkpoint(kind, Path(place) / "checkpoint"), folder, precision)


def llama(folder: Path) -> None:
    _built("llama", folder, "fp32")


def qwen2(folder: Path) -> None:
    _built("qwen2", folder, "fp32")


def phi3_repository(folder: Path) -> None:
    """As Microsoft publishes them: a folder a device, card and licence at the top."""
    _built("phi3", folder / "cpu_and_mobile/cpu-int4-rtn-block-32-acc-level-4", "int4")
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    (folder / "LICENSE").write_text(LICENSE, encoding="utf-8")


def qwen2_to_convert(folder: Path) -> None:
    """A checkpoint of transformers, of a size that the builder takes."""
    checkpoint("qwen2", folder)


MAKERS = {
    "genai-llama": llama,
    "genai-qwen2": qwen2,
    "genai-phi3-repository": phi3_repository,
    "qwen2-to-convert": qwen2_to_convert,
}
