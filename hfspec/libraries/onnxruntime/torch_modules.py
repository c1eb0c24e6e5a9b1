"""What a graph computes, as a module of torch over a runner that has loaded its model by torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hfspec.errors import SpecError
from hfspec.ir.problem import Problem, one_of
from hfspec.libraries.onnxruntime.runners import POOLING_MASK
from hfspec.runtime.loading.positions import cut_length
from hfspec.runtime.runner import Runner
from hfspec.runtime.sentences.sentence_encoder import NativeEncoder
from hfspec.runtime.sentences.text_ranking import FUNCTIONS
from hfspec.runtime.text.padding import Padding

# What a runner of a graph has from the one that it was made of, as far as that has it.
ATTRIBUTES = (
    *("activation", "entailment", "fast", "knows_words", "labels", "limit", "most", "question_first", "size", "takes"),
    "takes_use_cache",
)
# What runners read of a config.
CONFIG = (
    *("eos_token_id", "hidden_size", "id2label", "is_encoder_decoder", "label2id", "model_type", "num_labels"),
    *("pad_token_id", "problem_type", "vocab_size"),
)
TOKENIZER = (
    *("all_special_ids", "cls_token_id", "model_input_names", "model_max_length", "pad_token_id"),
    *("padding_side", "truncation_side", "unk_token_id"),
)

Compute = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Source:
    """A loaded model and what a graph of it is to compute. ``owner``: what holds model, tokenizer and their limits: the
    runner, or its encoder; ``inputs``: beside the tokens; ``modules``: further ones that ``compute`` calls.
    """

    owner: Any
    compute: Compute
    inputs: tuple[str, ...] = ()

    @property
    def pad(self) -> Mapping[str, int]:
        """Model input -> the value that fills a batch."""
        found: Mapping[str, int] = self.owner.pad
        return found

    def sees_padding(self) -> bool:
        """Whether padding changes an answer, as the model was tried or is known to."""
        padding: Padding | None = getattr(self.owner, "padding", None)
        return padding is not None and padding.is_seen

    def attributes(self) -> dict[str, Any]:
        """What the graph's runner takes over."""
        found = {name: getattr(self.owner, name) for name in ATTRIBUTES if hasattr(self.owner, name)}
        return {name: sorted(value) if isinstance(value, set | frozenset) else value for name, value in found.items()}

    def config(self) -> dict[str, Any]:
        """What runners read of the config, as JSON has it."""
        config = self.owner.model.config
        return {
            name: getattr(config, name) for name in CONFIG if getattr(config, name, None) is not None or name in NULL
        }

    def tokenizer(self) -> dict[str, Any]:
        """What runners ask of the tokenizer."""
        return {name: getattr(self.owner.tokenizer, name, None) for name in TOKENIZER}

    @property
    def most(self) -> int:
        """The tokens of the longest text that is read."""
        cut = cut_length(self.owner.model, self.owner.tokenizer)
        return int(min(cut, getattr(self.owner, "most", cut)))


NULL = ("eos_token_id", "label2id", "pad_token_id", "problem_type")


def module(names: Sequence[str], compute: Compute, models: Iterable[Any]) -> Any:
    """A module of torch that takes the named tensors in their order."""
    import torch

    def forward(_: Any, *tensors: Any) -> Any:
        return compute(dict(zip(names, tensors, strict=True)))

    made: Any = type("Named", (torch.nn.Module,), {"forward": forward})()
    made.held = torch.nn.ModuleList(models)
    return made.eval()


def _logits(runner: Any) -> Source:
    options = {"use_cache": False} if runner.takes_use_cache else {}
    return Source(runner, lambda inputs: runner.model(**inputs, **options).logits.float())


def _scores(runner: Any) -> Source:
    """Raises SpecError for a cross-encoder that only torch or transformers can do all of."""
    if runner.pair_template is not None:
        raise refusal("The tokenizer puts pairs through a chat template, which transformers renders.")
    if runner.activation not in FUNCTIONS:
        message = f"The checkpoint makes scores by {runner.activation}, which torch computes."
        raise refusal(message, expected=one_of(FUNCTIONS), found=runner.activation)
    return _logits(runner)


def _token_logits(runner: Any) -> Source:
    return Source(runner, lambda inputs: runner.model(**inputs).logits.float())


def _states(runner: Any) -> Source:
    return Source(runner, lambda inputs: runner.model(**inputs, **runner.options)[0].float())


def _spans(runner: Any) -> Source:
    options = {"use_cache": False} if "use_cache" in runner.takes else {}

    def compute(inputs: dict[str, Any]) -> Any:
        made = runner.model(**inputs, **options)
        return made.start_logits.float(), made.end_logits.float()

    return Source(runner, compute)


def _sparse_weights(runner: Any) -> Source:
    from hfspec.runtime.sentences.sentence_layers import splade

    def compute(inputs: dict[str, Any]) -> Any:
        return splade(runner.model(**inputs).logits, inputs["attention_mask"], runner.pooling).float()

    return Source(runner, compute)


def _sentence_vectors(runner: Any) -> Source:
    from hfspec.runtime.sentences.sentence_layers import pool

    encoder = runner.encoder
    if not isinstance(encoder, NativeEncoder):
        raise refusal("The checkpoint has modules that only sentence-transformers computes.")

    def compute(inputs: dict[str, Any]) -> Any:
        mask = inputs.pop(POOLING_MASK, None)
        vectors = encoder.model(**inputs, return_dict=True).last_hidden_state
        made = pool(vectors, inputs["attention_mask"] if mask is None else mask, encoder.modes, 0)
        for layer in encoder.layers:
            made = layer(made)
        return made.float()

    return Source(encoder, compute, () if encoder.include_prompt else (POOLING_MASK,))


COMPUTES: Mapping[str, Callable[[Runner], Source]] = {
    "logits": _logits,
    "scores": _scores,
    "sentence vectors": _sentence_vectors,
    "spans": _spans,
    "sparse weights": _sparse_weights,
    "states": _states,
    "token logits": _token_logits,
}


def refusal(message: str, *, expected: str = "", found: str = "") -> SpecError:
    """Why a model is not made a graph."""
    remedy = "Leave out `format`, so that torch computes this model."
    return SpecError([Problem("format", message, path=("format",), expected=expected, found=found, remedy=remedy)])
