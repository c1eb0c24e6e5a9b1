"""Whether a checkpoint's tensors fit an architecture, as the library itself sees it and without one weight.

The library's own loading code runs, renaming and merging included, over stand-ins that know a shape and no data, and
into a model on torch's meta device: nothing is allocated whatever the size of the model.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from hfspec.checkpoint.weights.saving import UNCHANGED
from hfspec.ir.dtypes import BY_TORCH_NAME, size_of, torch_dtype
from hfspec.ir.pins import TensorInfo
from hfspec.ir.plan import TensorMove

UNCAST: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A tensor whose shape in the checkpoint is not the one that the architecture has under its config."""

    name: str
    stored: tuple[int, ...]
    needed: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Fit:
    """How a checkpoint's tensors, and those of the adapter on it, go into the class that is to run them."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[Mismatch, ...]
    errors: tuple[str, ...]
    """Other messages of the library against loading them."""
    base_prefix: str
    """The prefix of the names of all tensors but the head's, without the dot."""
    dtypes: dict[str, str]
    """Tensor's name in the checkpoint -> torch's name of the dtype that the library loads it as."""
    vocabulary: int | None
    """Rows of the input embedding, None without one."""
    hidden: int | None
    """The width of the input embedding, None without one."""
    elements: Mapping[str, int]
    """Torch's name of a dtype -> elements of the loaded parameters and buffers of it, shared ones once."""
    labels: int | None = None
    """How many labels the adapter's head tells apart, where config.json says another number."""
    changes: Mapping[str, TensorMove] = UNCHANGED
    """The tensors that a merged adapter puts in place of the checkpoint's, by their names."""
    notes: tuple[str, ...] = ()
    """Notes of the plan on the adapter, each a whole sentence."""

    def memory_bytes(self, cast: Mapping[str, str] = UNCAST) -> int:
        """The memory of the loaded parameters and buffers. ``cast``: a dtype of theirs -> the one to cast it to."""
        return sum(count * size_of(BY_TORCH_NAME[cast.get(dtype, dtype)]) for dtype, count in self.elements.items())


class _StandIn:
    """A tensor that the library may shape-check, cast and move, as it does with a slice of a safetensors file."""

    def __init__(self, info: TensorInfo, note: Callable[[str, Any], None]) -> None:
        self.info = info
        self.shape = info.shape
        self.note = note

    def get_shape(self) -> list[int]:
        return list(self.info.shape)

    def get_dtype(self) -> str:
        return self.info.dtype

    def __getitem__(self, _: Any) -> _StandIn:
        return self

    def to(self, device: Any = None, dtype: Any = None, **_: Any) -> Any:
        import torch

        own = torch_dtype(self.info.dtype)
        tensor = torch.empty(self.info.shape, dtype=dtype or own, device="meta")
        self.note(self.info.name, tensor)
        return tensor


@dataclass(frozen=True, slots=True)
class MetaModel:
    """A model of shapes alone, on torch's meta device."""

    model: Any
    report: Mapping[str, Any]
    """The library's account of how it was loaded."""
    dtypes: dict[str, str]
    """As in Fit."""
    stored: dict[str, str]
    """Parameter's name in the model -> tensor's name in the checkpoint, where it is that tensor as it is."""


def meta_model(model_class: type[Any], config: Any, tensors: Iterable[TensorInfo], dtype: str) -> MetaModel:
    """Load tensors into a class, as shapes only.

    Args:
        model_class: A class of transformers.
        config: The library's config, which says the shapes that the class needs.
        tensors: Names, shapes and dtypes of the checkpoint's tensors.
        dtype: Torch's name of the dtype that the model is to have.

    Returns:
        The model without weights, and what the library said.

    Raises:
        Exception: Whatever an architecture raises over a config that makes no sense.
    """
    from hfspec.library_calls.making import making
    from hfspec.library_calls.quiet import quiet

    dtypes: dict[str, str] = {}
    tensors_at: dict[int, tuple[str, Any]] = {}  # they are kept, so that no other gets the place of one

    def note(name: str, tensor: Any) -> None:
        dtypes[name] = str(tensor.dtype).removeprefix("torch.")
        tensors_at[_place(tensor)] = (name, tensor)

    stand_ins = {info.name: _StandIn(info, note) for info in tensors}
    # The library's own reports would repeat, worse, what the plan says. The last of these is asked first: it must see
    # empty_like before making() answers it.
    with quiet(logging.CRITICAL), making(), _on_meta():
        model, report = model_class.from_pretrained(
            None,
            config=config,
            state_dict=stand_ins,
            dtype=torch_dtype(dtype),
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    places = {name: _place(tensor) for name, tensor in model.named_parameters(remove_duplicate=False)}
    stored = {name: tensors_at[place][0] for name, place in places.items() if place in tensors_at}
    return MetaModel(model, report, dtypes, stored)


def fit(meta: MetaModel) -> Fit:
    """How the checkpoint's own tensors fit, as the library said while it loaded them.

    Args:
        meta: The model without weights.

    Returns:
        The fit without an adapter.
    """
    model, report = meta.model, meta.report
    embedding = _embedding(model)
    return Fit(
        missing=tuple(sorted(report["missing_keys"])),
        unexpected=tuple(sorted(report["unexpected_keys"])),
        mismatched=tuple(
            Mismatch(name, tuple(stored), tuple(needed)) for name, stored, needed in sorted(report["mismatched_keys"])
        ),
        errors=tuple(str(message) for message in report["error_msgs"]),
        base_prefix=model.base_model_prefix if hasattr(model, model.base_model_prefix) else "",
        dtypes=meta.dtypes,
        vocabulary=None if embedding is None else int(embedding.shape[0]),
        hidden=None if embedding is None else int(embedding.shape[-1]),
        elements=_elements(model),
    )


def _place(tensor: Any) -> int:
    """A number that tells a tensor's memory from any other's, though on the meta device it has none."""
    return int(tensor.untyped_storage()._cdata)  # noqa: SLF001 - torch has no public name for it


def _embedding(model: Any) -> Any:
    try:
        return getattr(model.get_input_embeddings(), "weight", None)
    except (NotImplementedError, AttributeError):
        return None


def _elements(model: Any) -> dict[str, int]:
    distinct = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    counts: Counter[str] = Counter()
    for tensor in distinct.values():
        counts[str(tensor.dtype).removeprefix("torch.")] += tensor.numel()
    return dict(counts)


@contextmanager
def _on_meta() -> Iterator[None]:
    """Tensors that the library would allocate for what the checkpoint lacks are allocated nowhere."""
    import torch
    from torch.overrides import TorchFunctionMode

    class OnMeta(TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            options = dict(kwargs or {})
            if func is torch.empty_like:
                options["device"] = "meta"
            return func(*args, **options)

    with OnMeta():
        yield
