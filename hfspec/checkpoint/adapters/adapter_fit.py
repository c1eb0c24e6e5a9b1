"""Whether an adapter's tensors fit a model, as peft itself sees it: its layers are put into the model of shapes alone,
and its own code says which tensor goes where.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hfspec.checkpoint.adapters.adapter import Adapter
from hfspec.checkpoint.weights.weight_files import listed
from hfspec.formats.adapter_config import BEFORE_NAMES, CONFIG
from hfspec.ir.dtypes import torch_dtype
from hfspec.ir.pins import TensorInfo
from hfspec.ir.problem import Problem

OWN_MODEL = "name the model that the adapter was trained on under `model`"
NAME = "default"
# Parts of a module's name that peft puts in between, and that no adapter's file has.
IN_BETWEEN = (f".modules_to_save.{NAME}", f".{NAME}")
# Parameters that several layers share and that are stored once, as PeftModel.from_pretrained knows them.
SHARED = ("vblora_vector_bank", "prompt_encoder", ".tinylora_v.", ".unilora_theta_d.")


@dataclass(frozen=True, slots=True)
class Adapted:
    """A model of shapes with the adapter's layers in it. ``given``: name in it -> the tensor that is loaded there.
    ``stored``: the same name -> the adapter's own tensor, where it is that tensor as it is.
    """

    model: Any
    given: Mapping[str, Any]
    stored: Mapping[str, TensorInfo]


def adapt(adapter: Adapter, model: Any) -> Adapted:
    """``model``, on the meta device, with the adapter in it; the model is changed.

    Raises SpecError when peft cannot put it there: no target module, prompts of another size.
    """
    stand_ins = {info.name: (info, _stand_in(info)) for info in adapter.weights.tensors}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters in them is an error here
            wrapped = _wrapped(adapter, model)
            tensors = _given(wrapped, {name: tensor for name, (_, tensor) in stand_ins.items()})
    except KeyError as error:
        raise adapter.files.refusal(
            "missing-tensors", f"the adapter lacks a tensor that its config asks for: {_shown(str(error.args[0]))}"
        ) from error
    except Exception as error:  # peft may raise anything over a config that does not fit the model
        raise adapter.files.refusal(*_refused(error)) from error
    by_tensor = {id(tensor): info for info, tensor in stand_ins.values()}
    return Adapted(wrapped, tensors, {name: by_tensor[id(t)] for name, t in tensors.items() if id(t) in by_tensor})


def adapter_problems(adapter: Adapter, adapted: Adapted, vocabulary: int | None) -> Iterator[Problem]:
    """Tensors that the model has no place for, that have another shape there, or that are not there."""
    files, parameters = adapter.files, adapted.model.state_dict()
    homeless = [_shown(name) for name in adapted.given if name not in parameters]
    if homeless and not adapter.is_prompt:
        unmatched = unmatched_targets(adapter, adapted)
        targets = f" ({CONFIG} targets {listed(unmatched)}, of which it has none)" if unmatched else ""
        yield files.problem(
            "adapter-target",
            f"the model has no module for these tensors of the adapter: {listed(sorted(homeless))}{targets};"
            " peft would leave them out without a word",
            remedy=OWN_MODEL,
        )
    lacking = sorted(_shown(name) for name in parameters if _is_lacking(name, adapted))
    if lacking:
        yield files.problem(
            "missing-tensors",
            f"the adapter lacks tensors that its config asks for: {listed(lacking)}; peft would initialise them anew,"
            " with only a warning",
        )
    yield from _shape_problems(adapter, adapted, parameters, vocabulary)


def brought(adapter: Adapter) -> frozenset[str]:
    """The names of the model's own tensors that the adapter replaces, such as those of a head."""
    return frozenset(tensor.name.removeprefix(BEFORE_NAMES) for tensor in adapter.weights.tensors)


def head_labels(adapter: Adapter, model: Any, config: Any) -> int | None:
    """How many labels the adapter's own head tells apart, where the model's config says another number."""
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    for tensor in adapter.weights.tensors:
        shape = shapes.get(tensor.name.removeprefix(BEFORE_NAMES), ())
        is_head = shape[:1] == (config.num_labels,) and shape[0] != getattr(config, "vocab_size", None)
        if is_head and tensor.shape[1:] == shape[1:] and tensor.shape != shape:
            return tensor.shape[0]
    return None


def unmatched_targets(adapter: Adapter, adapted: Adapted) -> tuple[str, ...]:
    """The target modules, listed by name, that the model does not have."""
    targets = adapter.config.get("target_modules")
    if not isinstance(targets, list):
        return ()
    there = getattr(adapted.model.base_model, "targeted_module_names", [])
    return tuple(sorted(name for name in targets if not any(f".{module}".endswith(f".{name}") for module in there)))


def _wrapped(adapter: Adapter, model: Any) -> Any:
    from peft import MODEL_TYPE_TO_PEFT_MODEL_MAPPING, PeftModel

    config = adapter.library_config()
    if hasattr(config, "init_lora_weights"):
        config.init_lora_weights = False  # numbers are none of a shape's business
    if getattr(config, "mask_fn", None) is not None:
        config.mask_fn = _any_mask
    for parameter in model.parameters():  # accelerate hands marks of transformers on to torch's class of parameters
        vars(parameter).pop("_is_hf_initialized", None)
    kind = MODEL_TYPE_TO_PEFT_MODEL_MAPPING.get(config.task_type, PeftModel)
    return kind(model, config, NAME, low_cpu_mem_usage=True)


def _any_mask(base_layer: Any, r: int, **_: Any) -> Any:
    """As many weights of a SHiRA layer as its rank says; the adapter's file says which."""
    import torch

    rows, columns = base_layer.weight.shape
    mask = torch.zeros(rows * columns, dtype=torch.bool)
    mask[: r * (rows + columns)] = True
    return mask.view(rows, columns)


def _given(wrapped: Any, tensors: dict[str, Any]) -> dict[str, Any]:
    """The tensors that peft would load, by the names of the wrapped model."""
    from peft import set_peft_model_state_dict

    state_dict: dict[str, Any] = {}

    def keep(state: dict[str, Any], **_: Any) -> Any:
        state_dict.update(state)
        return ((), ())

    wrapped.load_state_dict = keep
    set_peft_model_state_dict(wrapped, tensors, adapter_name=NAME)
    return state_dict


def _stand_in(info: TensorInfo) -> Any:
    import torch

    return torch.empty(info.shape, dtype=torch_dtype(info.dtype), device="meta")


def _is_lacking(name: str, adapted: Adapted) -> bool:
    """As PeftModel.from_pretrained warns of it."""
    from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING

    if name in adapted.given or any(part in name for part in SHARED):
        return False
    prefix = PEFT_TYPE_TO_PREFIX_MAPPING.get(adapted.model.active_peft_config.peft_type, "")
    is_own = bool(prefix) and prefix in name and f".{NAME}" in name
    return is_own or f".modules_to_save.{NAME}." in name


def _shape_problems(
    adapter: Adapter, adapted: Adapted, parameters: Mapping[str, Any], vocabulary: int | None
) -> Iterator[Problem]:
    misfits = {
        name: (tuple(tensor.shape), tuple(parameters[name].shape))
        for name, tensor in sorted(adapted.given.items())
        if name in parameters and tensor.shape != parameters[name].shape
    }
    resized = [name for name, (_, shape) in misfits.items() if shape[:1] == (vocabulary,)]
    if resized:
        adapter_shape, shape = misfits[resized[0]]
        yield adapter.files.problem(
            "wrong-shape",
            f"the adapter brings an embedding of another vocabulary ({_shown(resized[0])}): tokens were added to the"
            " base before it was trained",
            expected=f"{shape[0]} rows",
            found=str(adapter_shape[0]),
            remedy="resize the base, save it with the tokenizer, and name that as `model`",
        )
    others = [name for name in misfits if name not in resized]
    if others:
        adapter_shape, shape = misfits[others[0]]
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        yield adapter.files.problem(
            "wrong-shape",
            f"tensor {_shown(others[0])}{more} of the adapter has not the shape that its config and the model make it",
            expected=str(list(shape)),
            found=str(list(adapter_shape)),
            remedy=_rank(adapter, adapter_shape, shape),
        )


def _rank(adapter: Adapter, adapter_shape: tuple[int, ...], model_shape: tuple[int, ...]) -> str:
    rank = adapter.config.get("r")
    differ = [(have, want) for have, want in zip(adapter_shape, model_shape, strict=False) if have != want]
    if len(differ) == 1 and differ[0][1] == rank:
        return f"adapter_config.json says the rank r is {rank}, the tensor's is {differ[0][0]}"
    return OWN_MODEL


def _refused(error: Exception) -> tuple[str, str]:
    reason = " ".join(str(error).split()) or type(error).__name__
    if "arget module" in reason or "arget_modules" in reason:
        return "adapter-target", f"the adapter's target modules are not in the model: {reason}"
    return "wrong-tensors", f"peft cannot put the adapter on the model: {reason}"


def _shown(name: str) -> str:
    """A name as the adapter's file has it."""
    for part in IN_BETWEEN:
        name = name.replace(part, "")
    return name
