"""The agreement of a converted model with its checkpoint: the same tokens after the same prompts.

The original goes on greedily, in float32; at each of its tokens the converted model gives the likeliest one after all
tokens before it. So one difference counts once, however much the answers would part after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hfspec.errors import PredictionError
from hfspec.ir.artifact import FileRecord, Manifest
from hfspec.ir.frozen import FrozenDict, thaw
from hfspec.ir.plan import Plan
from hfspec.libraries.onnxruntime_genai.config import CONFIG
from hfspec.libraries.onnxruntime_genai.loading import CPU, load
from hfspec.library_calls.quiet import quiet
from hfspec.runtime.generation.causal_generation import Prompt
from hfspec.runtime.golden.probing import plain_row
from hfspec.runtime.loading.request import LoadRequest
from hfspec.runtime.predictor import Predictor
from hfspec.tasks.task import Task

LONGEST = 64  # tokens of an answer


@dataclass(frozen=True, slots=True)
class Agreement:
    """The result of a comparison."""

    tokens: int
    """How many tokens of the original's were compared."""
    same: int
    """How many of them the converted model gives too."""
    prompts: int
    """How many prompts they follow."""
    other_prompt: str = ""
    """A prompt that the two tokenizers read otherwise; empty where there is none."""

    @property
    def differing(self) -> float:
        """The part of the tokens that are others."""
        return 1 - self.same / self.tokens if self.tokens else 0.0


def agreement(plan: Plan, task: Task, converted: Path, original: Path) -> Agreement:
    """Compare a converted model with its original.

    Args:
        plan: The converted model's, with the examples to answer; a plain input of the task where it has none.
        task: The task of the library that it is converted to.
        converted: The folder in which ``model`` is the converted model.
        original: The folder of the checkpoint.

    Returns:
        The agreement.

    Raises:
        HfspecError: The converted model cannot be loaded or run.
    """
    predictor = _predictor(plan, task, converted)
    prompts = _prompts(predictor, plan)
    tokenizer, model = _original(original)
    other = next((one.text for one in prompts if not _reads(tokenizer, one)), "")
    pairs = [(line, _likeliest(predictor, one.ids, line)) for one in prompts for line in [_greedy_tokens(model, one)]]
    return Agreement(
        tokens=sum(len(line) for line, _ in pairs),
        same=sum(a == b for line, answers in pairs for a, b in zip(line, answers, strict=True)),
        prompts=len(prompts),
        other_prompt=other,
    )


def _predictor(plan: Plan, task: Task, folder: Path) -> Predictor:
    """The converted model, which is no artifact yet."""
    manifest = Manifest(
        name=plan.name,
        spec_digest=plan.spec_digest,
        sources=plan.sources,
        deployment=plan.deployment,
        signature=plan.signature,
        files=(FileRecord(f"model/{CONFIG}", 0, ""),),
        versions=plan.versions,
        made_by=FrozenDict(),
        metadata=plan.metadata,
    )
    request = LoadRequest(folder, manifest, task, plan.deployment.dtype, CPU, backend=task.library)
    return Predictor(load(request), {}, plan.deployment.outputs)


def _prompts(predictor: Predictor, plan: Plan) -> tuple[Prompt, ...]:
    """Each prompt of the examples once; the trial of the artifact reports an example that the predictor refuses."""
    examples: list[tuple[Any, Mapping[str, Any]]] = [(thaw(one.input), thaw(one.params)) for one in plan.golden]
    if plan.input_example is not None:
        examples.insert(0, (thaw(plan.input_example), {}))
    prompts = tuple(prompt for data, params in examples for prompt in _prompts_of(predictor, data, params))
    prompts = prompts or _prompts_of(predictor, [plain_row(predictor)], {})
    return tuple({tuple(prompt.ids): prompt for prompt in prompts}.values())


def _prompts_of(predictor: Predictor, data: Any, params: Mapping[str, Any]) -> tuple[Prompt, ...]:
    with suppress(PredictionError):
        call = predictor.begin(data, params)
        return tuple(getattr(item.content, "prompt", item.content) for item in call.call.prepare(call.rows))
    return ()


def _original(folder: Path) -> tuple[Any, Any]:
    """The checkpoint's tokenizer and its model, in float32, which decodes greedily without any other setting."""
    import torch
    import transformers

    with quiet():
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    ends = model.generation_config.eos_token_id
    pad = (ends[0] if isinstance(ends, list) else ends) or 0
    model.generation_config = transformers.GenerationConfig(eos_token_id=ends, pad_token_id=pad)
    return tokenizer, model.eval()


def _reads(tokenizer: Any, prompt: Prompt) -> bool:
    """Whether the original's tokenizer gives the prompt's tokens, or more of them where the prompt was cut."""
    if not prompt.shown:
        return True
    count = len(prompt.ids)
    wholes = [tokenizer(prompt.text, add_special_tokens=special)["input_ids"] for special in (True, False)]
    return any(prompt.ids in (whole[:count], whole[-count:]) for whole in wholes)


def _greedy_tokens(model: Any, prompt: Prompt) -> list[int]:
    import torch

    ids = torch.tensor([prompt.ids])
    with torch.inference_mode(), quiet():
        output = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=min(prompt.room, LONGEST),
            do_sample=False,
        )
    line: list[int] = output[0, len(prompt.ids) :].tolist()
    return line


def _likeliest(predictor: Predictor, ids: list[int], line: list[int]) -> list[int]:
    """The converted model's likeliest token at each place of the original's answer."""
    import numpy as np
    import onnxruntime_genai

    model = predictor.components()["model"]
    params = onnxruntime_genai.GeneratorParams(model)
    params.set_search_options(batch_size=1, max_length=len(ids) + len(line) + 1, do_sample=False, num_beams=1)
    generator = onnxruntime_genai.Generator(model, params)
    generator.append_tokens(np.array(ids, dtype=np.int32))
    tokens = []
    for token in line:
        tokens.append(int(np.asarray(generator.get_logits()).reshape(-1).argmax()))
        generator.append_tokens(np.array([token], dtype=np.int32))
    return tokens
