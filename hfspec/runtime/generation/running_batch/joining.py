"""How prompts join a running batch: generate() prepares them as it would alone, and reads them once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hfspec.runtime.generation.causal_generation import Asked, CausalGeneration
from hfspec.runtime.generation.decoding import CACHE, Rows, looks_by_row, may_drop
from hfspec.runtime.generation.prefix_cache import PrefixCache
from hfspec.runtime.generation.running_batch.cohort import Cohort
from hfspec.runtime.generation.running_batch.rows import MASK, POSITIONS, RunningRows
from hfspec.runtime.text.token_batch import padded

# Inputs of a model's steps beside its tokens, with which its rows can go beside those of others.
KNOWN = frozenset({CACHE, MASK, POSITIONS, "use_cache", "logits_to_keep", "return_dict", "cache_position"})
LAYERS = frozenset({"DynamicLayer", "RoomyLayer"})  # layers with the keys and values of all tokens


class NotMergeableError(Exception):
    """The model keeps more between its steps than keys and values of all tokens, or keeps them in another form."""


def read_prompts(runner: CausalGeneration, prefixes: PrefixCache, prompts: Sequence[Asked]) -> PromptState:
    """Read prompts of the same settings, but for their seeds.

    Args:
        runner: The model.
        prefixes: Beginnings of prompts that need not be read again.
        prompts: One or more, which begin alike where one of ``prefixes`` is theirs.

    Returns:
        Their cohort, and the state of the model after them.

    Raises:
        NotMergeableError: For a model whose rows cannot be put beside others.
    """
    import torch
    from transformers import LogitsProcessorList, StoppingCriteriaList

    settings = prompts[0].settings
    config = runner.config(prompts[0].prompt, settings)
    rows = [{"input_ids": one.prompt.ids, MASK: [1] * len(one.prompt.ids)} for one in prompts]
    inputs = padded(rows, {"input_ids": config.pad_token_id}, "left", runner.device)
    width = inputs["input_ids"].shape[1]
    state = PromptState(list(prompts), runner.device)
    tools = runner.tools(settings, width)
    tools.setdefault("logits_processor", LogitsProcessorList())
    tools.setdefault("stopping_criteria", StoppingCriteriaList())
    with torch.inference_mode(), runner.turn:
        if (prefix := prefixes.begun([one.prompt.ids for one in prompts], prompts[0].answers)) is not None:
            inputs[CACHE] = prefix
        runner.model.generate(**inputs, generation_config=config, custom_generate=state, **tools)
    return state


class PromptState:
    """The callable in place of generate()'s loop: it reads the prompts, and keeps what the loop's next step needs.

    ``rows``: the state of the model; ``logits``: its scores after each row's last token.
    """

    cohort: Cohort
    rows: RunningRows
    logits: Any

    def __init__(self, prompts: list[Asked], device: str) -> None:
        self._asked, self._device = prompts, device

    def __call__(
        self,
        model: Any,
        input_ids: Any,
        logits_processor: Any,
        stopping_criteria: Any,
        generation_config: Any,
        **state: Any,
    ) -> Any:
        """The prompts as they are; raises NotMergeableError."""
        import torch

        seeds = [one.seed for one in self._asked for _ in range(one.answers)]
        generator_of: dict[int, Any] = {}
        generators = [
            None
            if seed is None
            else generator_of.setdefault(
                row // self._asked[0].answers, torch.Generator(device=self._device).manual_seed(seed)
            )
            for row, seed in enumerate(seeds)
        ]
        rows = Rows(input_ids, generators, generation_config)
        inputs = {name: value for name, value in state.items() if name not in {"synced_gpus", "streamer"}}
        outputs = model._prefill(input_ids, generation_config, inputs)  # noqa: SLF001 - the loop's own first step
        inputs = model._update_model_kwargs_for_generation(outputs, inputs, is_encoder_decoder=False)  # noqa: SLF001
        if inputs.get(MASK) is None:  # generate() leaves out a mask of ones alone
            inputs[MASK] = input_ids.new_ones((input_ids.shape[0], input_ids.shape[1] + 1))
        _check_mergeable(inputs)
        many = outputs.logits.shape[1] > 1
        self.logits = outputs.logits[:, -1].to(copy=many, dtype=torch.float32, device=input_ids.device)
        self.rows = RunningRows.of(inputs)
        self.cohort = Cohort(
            asked=self._asked,
            rows=rows,
            config=generation_config,
            processors=logits_processor,
            criteria=stopping_criteria,
            width=input_ids.shape[1],
            by_row=looks_by_row(logits_processor),
            drops=may_drop(logits_processor, stopping_criteria),
        )
        return input_ids


def _check_mergeable(inputs: Mapping[str, Any]) -> None:
    unknown = {name for name, value in inputs.items() if value is not None} - KNOWN
    layers = getattr(inputs.get(CACHE), "layers", [])
    kinds = {type(layer).__name__ for layer in layers}
    if unknown or not kinds or kinds - LAYERS or inputs[MASK].ndim != 2:
        raise NotMergeableError(", ".join(sorted(unknown | (kinds - LAYERS))) or "no cache of keys and values")
    positions = inputs.get(POSITIONS)
    if positions is not None and positions.ndim != 2:
        raise NotMergeableError(f"positions of {positions.ndim} dimensions")
