"""Whether a model class reads a text by itself and answers with the hidden state of each token.

The class says so: by what its forward must be given, and by the fields of the output that it declares. Encoders of two
kinds of input (CLIP, SigLIP, CLAP and their kin) have a text tower, but their forward needs both sides and gives scores
of pairs.
"""

from __future__ import annotations

import inspect
import typing
from dataclasses import fields
from typing import Any

READ = "input_ids"
GIVEN = frozenset({READ, "attention_mask", "token_type_ids"})
STATES = "last_hidden_state"
# Arguments that the forward asks for when it runs, though its signature does not.
ASKED_FOR = {
    "bros": "bbox",
    "layoutlmv2": "image",
    "tvp": "pixel_values",
    "vilt": "pixel_values",
}


def why_not(model_class: type[Any], model_type: str) -> str:
    """Why texts alone do not give the class what it needs, or it gives no states of tokens; empty when they do."""
    parameters = inspect.signature(model_class.forward).parameters
    if READ not in parameters:
        return f"it reads {model_class.main_input_name} and no tokens of a text"
    loose = {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}
    required = [
        name
        for name, parameter in parameters.items()
        if parameter.default is inspect.Parameter.empty and parameter.kind not in loose and name not in {"self", *GIVEN}
    ]
    other_inputs = required or [ASKED_FOR[name] for name in (model_type,) if name in ASKED_FOR]
    if other_inputs:
        return f"it needs {' and '.join(other_inputs)} beside a text"
    outputs = _outputs(model_class)
    if outputs and not any(_gives_states(output, model_class) for output in outputs):
        return f"it gives {' or '.join(sorted(output.__name__ for output in outputs))}, which has no {STATES}"
    return ""


def _outputs(model_class: type[Any]) -> list[type[Any]]:
    """The kinds of output that the class declares; none where that cannot be read."""
    from transformers.utils import ModelOutput

    forward = model_class.forward
    try:
        annotation = typing.get_type_hints(forward).get("return")
    except (NameError, TypeError, AttributeError):
        return []
    parts = typing.get_args(annotation) or (annotation,)
    return [part for part in parts if isinstance(part, type) and issubclass(part, ModelOutput)]


def _gives_states(output: type[Any], model_class: type[Any]) -> bool:
    """Some bare models (Fuyu, Emu3) declare the output of their causal kin, and give states all the same."""
    is_bare = model_class.__name__.endswith("Model")
    is_causal = output.__name__.startswith("CausalLM") and output.__module__ == "transformers.modeling_outputs"
    return any(field.name == STATES for field in fields(output)) or (is_bare and is_causal)
