"""Which tensors an adapter changes when it is merged, and whether it can be: decided from shapes and headers alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hfspec.checkpoint.adapters.adapter import Adapter
from hfspec.checkpoint.adapters.adapter_fit import NAME, Adapted
from hfspec.checkpoint.adapters.trial import PLAIN_STARTS, unmergeable
from hfspec.checkpoint.source_files import SourceFiles
from hfspec.checkpoint.weights.fit import MetaModel
from hfspec.checkpoint.weights.weight_files import WeightGroup, listed
from hfspec.errors import SpecError
from hfspec.formats.adapter_config import BEFORE_NAMES
from hfspec.ir.dtypes import BY_TORCH_NAME
from hfspec.ir.pins import TensorInfo
from hfspec.ir.plan import Merge, TensorMove
from hfspec.ir.problem import Problem, one_of

# Types whose layers change only the weights of their own module, each by itself.
MERGEABLE = ("ADALORA", "IA3", "LOHA", "LOKR", "LORA", "OFT")
# Options with which an adapter changes more than the weights of its target modules, or needs all of them at once.
BEYOND = ("arrow_config", "layer_replication", "target_parameters", "trainable_token_indices", "use_bdlora")
KEY = ("adapter", "merge")
REMEDY = "keep the adapter beside the model (`merge: false`)"
KEPT = f".modules_to_save.{NAME}."
BASE = ".base_layer."


@dataclass(frozen=True, slots=True)
class Stored:
    """The weights of a source, by the names they have there. ``dtypes``: the one that the library loads each as."""

    files: SourceFiles
    places: Mapping[str, tuple[str, TensorInfo]]
    dtypes: Mapping[str, str]

    def move(self, name: str, tensor_name: str) -> TensorMove:
        """The tensor ``tensor_name``, to be called ``name``, in the dtype that it is loaded as."""
        path, info = self.places[tensor_name]
        ends = (info.start, info.end)
        return TensorMove(
            name, self.files.role, path, *ends, info.shape, info.dtype, self.dtype(tensor_name), True, tensor_name
        )

    def dtype(self, tensor_name: str) -> str:
        """By safetensors' name."""
        return (
            BY_TORCH_NAME[self.dtypes[tensor_name]] if tensor_name in self.dtypes else self.places[tensor_name][1].dtype
        )


def merged_tensors(
    adapter: Adapter, adapted: Adapted, base: Stored, base_model: MetaModel, dtype: str
) -> dict[str, TensorMove]:
    """The tensors of the merged model that are not the checkpoint's, by their names in it. ``base``: the checkpoint's;
    ``dtype``, by safetensors' name, is that of those which it lacks.

    Raises SpecError when a changed weight is shared with another module, or put together from several tensors.
    """
    own = stored_in(adapter.files, adapter.weights, {})
    targets = dict(_targets(adapted.model))
    problems = tuple(_shared(adapter, adapted, base_model, targets))
    if problems:
        raise SpecError(problems)
    moves: dict[str, TensorMove] = {}
    for place in targets:
        moves |= _of_module(place, adapted, base, own, base_model)
    for place, info in adapted.stored.items():
        if not any(place.startswith(f"{module}.") for module in targets):
            parameter = _in_model(place)
            name = base_model.stored.get(parameter, parameter)
            target_dtype = base.dtype(name) if name in base.places else dtype
            moves[name] = replace(own.move(name, info.name), dtype=target_dtype)
    return moves


def stored_in(files: SourceFiles, group: WeightGroup, dtypes: Mapping[str, str]) -> Stored:
    """The weights of ``group`` in ``files``."""
    return Stored(files, {info.name: (path, info) for path, info in group.placed()}, dtypes)


def merge_problems(adapter: Adapter, *, is_quantised: bool) -> Iterator[Problem]:
    """Why no weights can hold the adapter."""
    if is_quantised:
        message = "the checkpoint is quantised, and nothing can be merged into its weights"
        yield adapter.files.problem("cannot-merge", message, at=KEY, remedy=REMEDY)
    if adapter.kind not in MERGEABLE:
        why = "a learned prompt is not a weight" if adapter.is_prompt else "hfspec merges module by module"
        yield adapter.files.problem(
            "cannot-merge",
            f"an adapter of type {adapter.kind} cannot be merged: {why}",
            at=KEY,
            expected=one_of(MERGEABLE),
            found=adapter.kind,
            remedy=REMEDY,
        )
    options = [name for name in BEYOND if adapter.config.get(name)]
    if adapter.config.get("init_lora_weights") not in PLAIN_STARTS:
        options.append("init_lora_weights")
    for name in options:
        message = f"the adapter changes more than the weights of its modules ({name})"
        yield adapter.files.problem("cannot-merge", message, at=KEY, found=str(adapter.config[name]), remedy=REMEDY)


def refused_merges(adapter: Adapter, wrapped: Any) -> Iterator[Problem]:
    """The problem of an adapter that peft itself refuses to merge. ``wrapped``: a model of shapes with the adapter's
    layers in it.
    """
    why = unmergeable(adapter, wrapped)
    if why:
        yield adapter.files.problem("cannot-merge", f"peft cannot merge the adapter: {why}", at=KEY, remedy=REMEDY)


def _targets(wrapped: Any) -> Iterator[tuple[str, str]]:
    """Each target module: its name in the wrapped model, and in the model."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in wrapped.named_modules():
        if isinstance(module, BaseTunerLayer) and KEPT not in f"{name}.":
            yield name, name.removeprefix(BEFORE_NAMES)


def _of_module(place: str, adapted: Adapted, base: Stored, own: Stored, base_model: MetaModel) -> dict[str, TensorMove]:
    """Every parameter of a target module, by its tensor's name."""
    name, layer = place.removeprefix(BEFORE_NAMES), adapted.model.get_submodule(place).get_base_layer()
    tensors = {parameter: base_model.stored[f"{name}.{parameter}"] for parameter, _ in layer.named_parameters()}
    parts = tuple(base.move(parameter, tensor) for parameter, tensor in tensors.items())
    names = sorted(
        info.name for parameter_name, info in adapted.stored.items() if parameter_name.startswith(f"{place}.")
    )
    adapter_moves = tuple(own.move(tensor, tensor) for tensor in names)
    return {
        tensor: replace(base.move(tensor, tensor), merge=Merge(name, parameter, parts, adapter_moves))
        for parameter, tensor in tensors.items()
    }


def _shared(adapter: Adapter, adapted: Adapted, base_model: MetaModel, targets: Mapping[str, str]) -> Iterator[Problem]:
    """Parameters of target modules that are not one tensor of the checkpoint each, and of no other module."""
    uses = Counter(base_model.stored.values())
    by_fault: dict[str, list[str]] = {"shared with another module": [], "put together from several tensors": []}
    shared, rearranged = by_fault.values()
    for place, name in targets.items():
        for parameter, _ in adapted.model.get_submodule(place).get_base_layer().named_parameters():
            tensor = base_model.stored.get(f"{name}.{parameter}")
            if tensor is None:
                rearranged.append(f"{name}.{parameter}")
            elif uses[tensor] > 1:
                shared.append(f"{name}.{parameter}")
    for why, names in by_fault.items():
        if names:
            message = f"the adapter changes weights that are {why}: {listed(sorted(names))}"
            yield adapter.files.problem("cannot-merge", message, at=KEY, remedy=REMEDY)


def _in_model(place: str) -> str:
    return place.removeprefix(BEFORE_NAMES).replace(KEPT, ".").replace(BASE, ".")
