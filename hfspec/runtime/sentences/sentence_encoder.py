"""Texts to sentence vectors: by hfspec itself where it knows every module, else by sentence-transformers.

Importing sentence_transformers takes many times as long as loading a small model, so only such checkpoints import it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol

from hfspec.formats.sentence_modules import Checkpoint, pooling_modes, read
from hfspec.ir.dtypes import torch_dtype
from hfspec.runtime.backends import putting as backends
from hfspec.runtime.loading.model import find_model_class, load_config, load_one_pass_model
from hfspec.runtime.loading.native import load_sentence_model
from hfspec.runtime.loading.positions import LARGEST_LENGTH, most_tokens, positions
from hfspec.runtime.loading.request import Loaded, LoadRequest
from hfspec.runtime.loading.tokenizer import load_tokenizer
from hfspec.runtime.sentences.sentence_layers import layer, pool
from hfspec.runtime.text.token_batch import pad_id, padded
from hfspec.runtime.text.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Text:
    """A text ready for the encoder. ``tokens``: how many the model reads; ``cut``: whether the text had more."""

    text: str
    inputs: Tokens
    tokens: int
    cut: bool


class Encoder(Protocol):
    """Texts to vectors. ``size``: the dimensions of a vector. ``loaded``: the libraries' objects that it uses."""

    size: int
    loaded: Loaded

    def prepare(self, texts: Sequence[str], prompt: str, *, whole: bool = False) -> list[Text]:
        """Each text with the prompt before it, as tokens, cut where the checkpoint says; ``whole``: only where the
        model has no more positions.
        """

    def encode(self, batch: Sequence[Text], prompt: str) -> Any:
        """(texts, size) of float32: a tensor, on whichever device made it, or a numpy array."""


def encoder(request: LoadRequest) -> Encoder:
    """The fastest encoder that knows every module of the checkpoint."""
    checkpoint = read(request.model_folder, causal=False)
    if checkpoint is None:
        return LibraryEncoder(request)
    config = load_config(request, checkpoint.transformer)
    architecture = (getattr(config, "architectures", None) or [""])[0]
    if config.is_encoder_decoder or (checkpoint.transformer / "adapter_config.json").is_file():
        return LibraryEncoder(request)
    causal = architecture.endswith("ForCausalLM") and getattr(config, "is_causal", True)
    return NativeEncoder(request, read(request.model_folder, causal=causal) or checkpoint)


def read_texts(tokenizer: Any, texts: Sequence[str], takes: Collection[str], limit: int | None = None) -> list[Text]:
    """Each text as tokens, cut to ``limit`` or else the tokenizer's own, with the inputs that the model ``takes``."""
    if not texts:
        return []
    batch = tokenizer(list(texts), truncation=True, max_length=limit, padding=False, verbose=False)
    names = [name for name in batch if name in takes]
    cut = _cut(tokenizer, texts, batch)
    rows = [{name: list(batch[name][place]) for name in names} for place in range(len(texts))]
    return [Text(text, row, len(row["input_ids"]), mine) for text, row, mine in zip(texts, rows, cut, strict=True)]


def _cut(tokenizer: Any, texts: Sequence[str], batch: Any) -> list[bool]:
    """Whether each text had more tokens than ``batch`` has; a tokenizer in Python has to read it again whole."""
    if batch.encodings is not None:
        return [bool(encoding.overflowing) for encoding in batch.encodings]
    whole = tokenizer(list(texts), truncation=False, padding=False, verbose=False)
    return [len(all_) > len(some) for all_, some in zip(whole["input_ids"], batch["input_ids"], strict=True)]


class NativeEncoder:
    """The Transformer, then the modules after it."""

    def __init__(self, request: LoadRequest, checkpoint: Checkpoint) -> None:
        import inspect

        self.device = request.device
        model_class = _model_class(request)
        unused = {"add_pooling_layer": False} if _has_pooler(model_class) else {}
        self.model, patches = load_one_pass_model(request, model_class, checkpoint.transformer, **unused)
        if hasattr(self.model.config, "use_cache"):
            self.model.config.use_cache = False
        self.tokenizer = load_tokenizer(request, checkpoint.transformer)
        self.loaded = Loaded(model=self.model, tokenizer=self.tokenizer, patches=patches)
        fit_tokenizer(self.tokenizer, request, checkpoint, self.model)
        self.most = most_tokens(request, self.model)
        self.pad = {"input_ids": pad_id(self.model, self.tokenizer)}
        self.takes = set(inspect.signature(self.model.forward).parameters)
        pooling, *rest = checkpoint.modules
        self.modes = pooling_modes(pooling.config)
        self.include_prompt = bool(pooling.config.get("include_prompt", True))
        cast = None if request.dtype == request.manifest.deployment.dtype else torch_dtype(request.dtype)
        self.layers = [function for module in rest if (function := layer(module, request.device, cast)) is not None]
        self.size = self._after_pooling(self._dimensions()).shape[1]

    def prepare(self, texts: Sequence[str], prompt: str, *, whole: bool = False) -> list[Text]:
        return read_texts(self.tokenizer, [prompt + text for text in texts], self.takes, self.most if whole else None)

    def encode(self, batch: Sequence[Text], prompt: str) -> Any:
        import torch

        inputs = padded([text.inputs for text in batch], self.pad, "right", self.device)
        mask = inputs.get("attention_mask", torch.ones_like(inputs["input_ids"]))
        left_out = 0 if self.include_prompt else prompt_tokens(self.tokenizer, prompt)
        with torch.inference_mode():
            vectors = self.model(**inputs, return_dict=True).last_hidden_state
            pooled = pool(vectors, mask, self.modes, left_out)
            return self._after_pooling(pooled).float()

    def _after_pooling(self, vectors: Any) -> Any:
        import torch

        with torch.inference_mode():
            for apply in self.layers:
                vectors = apply(vectors)
        return vectors

    def _dimensions(self) -> Any:
        import torch

        return torch.ones((1, len(self.modes) * self.model.config.hidden_size), device=self.device)


def prompt_tokens(tokenizer: Any, prompt: str) -> int:
    """How many tokens at the front of each row a prompt makes: its own, with the tokenizer's first special tokens,
    without its last. A pooling that leaves the prompt out leaves these out.
    """
    if not prompt:
        return 0
    ids = tokenizer(prompt, truncation=True, verbose=False)["input_ids"]
    return len(ids) - (bool(ids) and ids[-1] in tokenizer.all_special_ids)


class LibraryEncoder:
    """sentence_transformers itself, for modules that only it knows."""

    def __init__(self, request: LoadRequest) -> None:
        backends.refuse(request, "its modules are run by sentence-transformers itself")
        self.model = load_sentence_model(request)
        self.loaded = Loaded(sentence_model=self.model)
        self.size = int(self.model.get_embedding_dimension() or 0)
        self._turn = Lock()  # it tokenizes while it encodes, and a tokenizer serves one call at a time

    def prepare(self, texts: Sequence[str], prompt: str, *, whole: bool = False) -> list[Text]:
        with self._turn:
            features = [self.model.preprocess([prompt + text]) for text in texts]
        counts = [int(inputs["input_ids"].numel()) if "input_ids" in inputs else 1 for inputs in features]
        limit = self.model.max_seq_length or LARGEST_LENGTH
        return [Text(text, {}, count, count >= limit) for text, count in zip(texts, counts, strict=True)]

    def encode(self, batch: Sequence[Text], prompt: str) -> Any:
        import torch

        texts = [text.text for text in batch]
        with self._turn:
            vectors = self.model.encode(texts, prompt=prompt, batch_size=len(texts), show_progress_bar=False)
        return torch.from_numpy(vectors).float()


def _model_class(request: LoadRequest) -> Any:
    """The class that the plan chose, or the library's own choice where the plan names a class of another library."""
    import transformers

    is_known = "model" in request.code or hasattr(transformers, request.manifest.deployment.model_class)
    return find_model_class(request) if is_known else transformers.AutoModel


def _has_pooler(model_class: Any) -> bool:
    import inspect

    return "add_pooling_layer" in inspect.signature(model_class.__init__).parameters


def fit_tokenizer(tokenizer: Any, request: LoadRequest, checkpoint: Checkpoint, model: Any) -> None:
    """Set the tokenizer's limit: the spec's option, else the checkpoint's max_seq_length, else what tokenizer and
    model's positions allow. Let it lower the case where the checkpoint says so.
    """
    limit = getattr(model.config, "max_position_embeddings", -1)
    if "model_max_length" in request.manifest.deployment.options.get("tokenizer", {}):
        pass
    elif checkpoint.max_seq_length is not None:
        tokenizer.model_max_length = checkpoint.max_seq_length
    elif limit != -1:
        tokenizer.model_max_length = min(tokenizer.model_max_length, limit)
    tokenizer.model_max_length = min(tokenizer.model_max_length, positions(model))
    if checkpoint.lower_case:
        _lower(tokenizer)


def _lower(tokenizer: Any) -> None:
    """Make a tokenizer lower case as sentence-transformers does: in Python by its setting, which it may lack."""
    if not tokenizer.is_fast:
        try:
            tokenizer.do_lower_case = True
        except AttributeError:
            tokenizer.basic_tokenizer.do_lower_case = True
        return
    from tokenizers.normalizers import Lowercase, Sequence

    before = tokenizer.backend_tokenizer.normalizer
    steps: list[Any] = [] if before is None else [before]
    if isinstance(before, Sequence):
        steps = [before[place] for place in range(len(before))]
    if not any(isinstance(step, Lowercase) for step in steps):
        tokenizer.backend_tokenizer.normalizer = Sequence([Lowercase(), *steps])
