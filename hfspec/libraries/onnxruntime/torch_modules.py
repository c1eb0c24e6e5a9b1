"""The computations of graphs, as modules of torch over a runner that has loaded its model by torch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hfspec.ir.problem import one_of
from hfspec.libraries.onnxruntime.encoder_decoder_source import EncoderDecoderSource
from hfspec.libraries.onnxruntime.examples import TEXTS, Compute, Drawing, Examples
from hfspec.libraries.onnxruntime.loading import GRAPH
from hfspec.libraries.onnxruntime.media_sources import MediaSource, image_logits, sound_logits
from hfspec.libraries.onnxruntime.refusal import refusal
from hfspec.libraries.onnxruntime.runners.sentences import POOLING_MASK
from hfspec.libraries.onnxruntime.tokenizer import TOKENIZER as TOKENIZER_FILE
from hfspec.runtime.loading.positions import cut_length
from hfspec.runtime.runner import Runner
from hfspec.runtime.sentences.sentence_encoder import NativeEncoder
from hfspec.runtime.sentences.text_ranking import FUNCTIONS
from hfspec.runtime.text.padding import Padding
from hfspec.runtime.text.token_batch import filled
from hfspec.runtime.text.tokens import Tokens, encode

# Attributes that a graph's runner takes over from torch's, where that has them.
ATTRIBUTES = (
    *("activation", "entailment", "fast", "knows_words", "labels", "limit", "most", "question_first", "size", "takes"),
    "takes_use_cache",
)
# Keys of a config that runners read.
CONFIG = (
    *("eos_token_id", "hidden_size", "id2label", "is_encoder_decoder", "label2id", "model_type", "num_labels"),
    *("pad_token_id", "problem_type", "vocab_size"),
)
TOKENIZER = (
    *("all_special_ids", "cls_token_id", "model_input_names", "model_max_length", "pad_token_id"),
    *("padding_side", "truncation_side", "unk_token_id"),
)


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
        values: Mapping[str, int] = self.owner.pad
        return values

    def sees_padding(self) -> bool:
        """Whether padding changes an answer, as the model was tried or is known to."""
        padding: Padding | None = getattr(self.owner, "padding", None)
        return padding is not None and padding.is_seen

    def attributes(self) -> dict[str, Any]:
        """The attributes that the graph's runner takes over."""
        values = {name: getattr(self.owner, name) for name in ATTRIBUTES if hasattr(self.owner, name)}
        return {name: sorted(value) if isinstance(value, set | frozenset) else value for name, value in values.items()}

    def config(self) -> dict[str, Any]:
        """The keys of the config that runners read, as JSON has them."""
        config = self.owner.model.config
        return {
            name: getattr(config, name) for name in CONFIG if getattr(config, name, None) is not None or name in NULL
        }

    def tokenizer(self) -> dict[str, Any]:
        """The attributes of the tokenizer that runners read."""
        return {name: getattr(self.owner.tokenizer, name, None) for name in TOKENIZER}

    def facts(self) -> dict[str, Any]:
        """The facts that the graph's runner needs."""
        return {
            "attributes": self.attributes(),
            "config": self.config(),
            "pad": dict(self.pad),
            "sees_padding": self.sees_padding(),
            "tokenizer": self.tokenizer(),
        }

    def files(self) -> dict[str, bytes]:
        """The other files beside the graph: the tokenizer as torch's runner used it."""
        tokenizer = self.owner.tokenizer.backend_tokenizer
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return {TOKENIZER_FILE: tokenizer.to_str(pretty=True).encode()}

    def drawings(self, computes: str) -> tuple[Drawing]:
        """The graph, whose outputs are of the kind ``computes``. It is compared with torch on each text alone, on all
        together and on the shorter ones.
        """
        names, rows = self._rows()
        batches = [filled(batch, self.pad, "right", names) for batch in (*([row] for row in rows), rows, rows[:2])]
        example = filled(rows[1:3], self.pad, "right", names)
        axes = {name: {0: "rows", 1: "tokens"} for name in names}
        examples = Examples("texts of several lengths", example, axes, batches)
        return (Drawing(GRAPH, self.compute, examples, computes),)

    def _rows(self) -> tuple[list[str], list[Tokens]]:
        """The names of the graph's inputs, and rows of tokens of several lengths."""
        takes = inspect.signature(self.owner.model.forward).parameters
        encodings = encode(self.owner.tokenizer, TEXTS, truncation=True, max_length=self.most)
        rows = [{name: ids for name, ids in row.items() if name in takes} for row in encodings]
        for row in rows:
            length = len(row["input_ids"])
            row.update({name: [1] * length for name in self.inputs})
            if "token_type_ids" in row:
                second = length - length // 2 if self._has_two_types() else 0
                row["token_type_ids"] = [0] * (length - second) + [1] * second
        return list(rows[0]), rows

    def _has_two_types(self) -> bool:
        return int(getattr(self.owner.model.config, "type_vocab_size", 0) or 0) > 1

    @property
    def most(self) -> int:
        """The tokens of the longest text that is read."""
        cut = cut_length(self.owner.model, self.owner.tokenizer)
        return int(min(cut, getattr(self.owner, "most", cut)))


NULL = ("eos_token_id", "label2id", "pad_token_id", "problem_type")


def module(drawing: Drawing, models: Iterable[Any]) -> Any:
    """A module of torch that computes what a graph does. It takes the tensors of the inputs in their order."""
    import torch

    def forward(_: Any, *tensors: Any) -> Any:
        return drawing.compute(dict(zip(drawing.examples.names, tensors, strict=True)))

    instance: Any = type("Named", (torch.nn.Module,), {"forward": forward})()
    instance.held = torch.nn.ModuleList(models)
    return instance.eval()


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
        answer = runner.model(**inputs, **options)
        return answer.start_logits.float(), answer.end_logits.float()

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
        answer = pool(vectors, inputs["attention_mask"] if mask is None else mask, encoder.modes, 0)
        for layer in encoder.layers:
            answer = layer(answer)
        return answer.float()

    return Source(encoder, compute, () if encoder.include_prompt else (POOLING_MASK,))


AnySource = Source | MediaSource | EncoderDecoderSource
COMPUTES: Mapping[str, Callable[[Runner], AnySource]] = {
    "image logits": image_logits,
    "logits": _logits,
    "next tokens": EncoderDecoderSource,
    "scores": _scores,
    "sentence vectors": _sentence_vectors,
    "sound logits": sound_logits,
    "spans": _spans,
    "sparse weights": _sparse_weights,
    "states": _states,
    "token logits": _token_logits,
}
