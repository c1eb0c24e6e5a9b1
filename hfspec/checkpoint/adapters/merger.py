"""An adapter merged into one module after the other, by peft's own layers: never more than a module in memory."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from hfspec.ir.frozen import thaw
from hfspec.ir.plan import Merge, Merging, TensorMove

# Keys that choose modules in a whole model; where there is one module alone, its name chooses it.
CHOOSING = ("modules_to_save", "layers_to_transform", "layers_pattern", "exclude_modules", "task_type")


class Merger:
    """Merges modules of one model. ``read``: the tensor of a move, in the move's dtype."""

    def __init__(self, merging: Merging, read: Callable[[TensorMove], Any]) -> None:
        self._merging = merging
        self._read = read
        self._skeleton: Any = None

    def merged(self, merge: Merge) -> Any:
        """The parameter as ``merge_and_unload`` leaves it, in the dtype that the model is loaded in."""
        from peft import PeftModel, set_peft_model_state_dict

        alone = holder(merge.module, self._module(merge))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about names and embeddings, which the plan has checked
            wrapped = PeftModel(alone, of_module(thaw(self._merging.adapter), merge.module))
            tensors = {move.stored_name: self._read(move) for move in merge.adapter}
            set_peft_model_state_dict(wrapped, tensors)
            wrapped.base_model._cast_adapter_dtype(adapter_name="default", autocast_adapter_dtype=True)  # noqa: SLF001
            merged_model = wrapped.eval().merge_and_unload()
        return merged_model.get_submodule(merge.module).get_parameter(merge.parameter).detach()

    def _module(self, merge: Merge) -> Any:
        """The module by itself, with the checkpoint's weights."""
        import torch

        module = copy.deepcopy(self._model().get_submodule(merge.module))
        for move in merge.parts:
            setattr(module, move.name, torch.nn.Parameter(self._read(move), requires_grad=False))
        return module

    def _model(self) -> Any:
        """The whole model, of shapes alone."""
        if self._skeleton is None:
            import torch
            import transformers
            from transformers.models.auto.configuration_auto import CONFIG_MAPPING

            raw = thaw(self._merging.config)
            with torch.device("meta"):
                model_class = getattr(transformers, self._merging.model_class)
                self._skeleton = model_class(CONFIG_MAPPING[raw["model_type"]].from_dict(raw))
        return self._skeleton


def of_module(raw: Mapping[str, Any], module: str) -> Any:
    """The config of an adapter, as peft's object, for a model of this one module."""
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING

    config = PEFT_TYPE_TO_CONFIG_MAPPING[raw["peft_type"]].from_peft_type(**raw)
    for key in CHOOSING:
        if hasattr(config, key):
            setattr(config, key, None)
    config.target_modules = {module}
    return config


def holder(name: str, module: Any) -> Any:
    """A model of this one module, under its full name, by which configs choose ranks and scales."""
    import torch

    *above, last = name.split(".")
    whole = place = torch.nn.Module()
    for part in above:
        child = torch.nn.Module()
        place.add_module(part, child)
        place = child
    place.add_module(last, module)
    return whole
