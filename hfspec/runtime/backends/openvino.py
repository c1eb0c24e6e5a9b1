"""The whole encoder by OpenVINO, converted by its own converter from the loaded model, in memory, at each load.

Nothing converted is kept: the artifact stays as it is, and no cache can be tampered with. It costs some seconds a
load (docs/backends.md).
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any

import torch

from hfspec.errors import UsageError
from hfspec.runtime.patches.states import Patched

if TYPE_CHECKING:
    from hfspec.runtime.loading.request import LoadRequest

# Relative to the largest value in an answer: above rounding, far below a wrong conversion.
TOLERANCE = 1e-3
IGNORED = frozenset({"return_dict", "use_cache"})  # runners of encoders pass them, without effect on the answer

_CONVERTING = Lock()  # filters of warnings are the process's: of two conversions one would put back the other's


class _Plain(torch.nn.Module):  # type: ignore[misc]
    """The model in the form that the converter takes: named tensors and one output."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, *tensors: Any, names: tuple[str, ...] = ()) -> Any:
        return self.model(**dict(zip(names, tensors, strict=True)))[0]


def put(model: Any, request: LoadRequest) -> Patched:  # noqa: ARG001 - as backends are called
    """Let OpenVINO answer the model's forward; torch answers anything but token inputs as before.

    Raises UsageError when it cannot be converted or gives other answers than torch.
    """
    names = _inputs(model)
    try:
        engine = _engine(model, names)
    except Exception as error:  # a converter may raise anything over a model that it does not know
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(f"OpenVINO could not convert this model: {reason}; load with backend='torch'.") from error
    inner = model.forward
    answering = _answering(inner, engine, names)
    _check(inner, answering, names)
    model.forward = answering
    return Patched(model, {})


def _inputs(model: Any) -> tuple[str, ...]:
    types = ("token_type_ids",) if getattr(model.config, "type_vocab_size", 0) > 0 else ()
    return ("input_ids", "attention_mask", *types)


def _example(names: tuple[str, ...], rows: int, width: int) -> dict[str, Any]:
    """Token ids from 1 on, the last row padded over its second half."""
    inputs = {name: torch.zeros((rows, width), dtype=torch.long) for name in names}
    inputs["input_ids"] += torch.arange(rows * width).reshape(rows, width) % 5 + 1
    inputs["attention_mask"] += 1
    inputs["attention_mask"][-1, width // 2 :] = 0
    return inputs


def _engine(model: Any, names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], Any]:
    import openvino

    plain = _Plain(model).eval()
    plain.forward = functools.partial(plain.forward, names=names)
    with _CONVERTING, warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # tracing warns, and a filter that raises would end it
        converted = openvino.convert_model(
            plain,
            example_input=tuple(_example(names, 2, 8).values()),
            input=[([-1, -1], openvino.Type.i64) for _ in names],
        )
    # By default OpenVINO rounds to bfloat16 where the processor has it.
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = openvino.compile_model(converted, "CPU", options)

    def engine(inputs: Mapping[str, Any]) -> Any:
        request = compiled.create_infer_request()  # two calls at once may not share one
        return torch.from_numpy(request.infer([inputs[name].numpy() for name in names])[0].copy())

    return engine


def _answering(inner: Any, engine: Callable[[Mapping[str, Any]], Any], names: tuple[str, ...]) -> Callable[..., Any]:
    with torch.inference_mode():
        answer = inner(**_example(names, 1, 4))
    output, kind = next(iter(answer)), type(answer)
    parameters = inspect.signature(inner).parameters
    ignored = IGNORED | ({"token_type_ids"} - parameters.keys())  # a tokenizer may give them to a model without

    @functools.wraps(inner)
    def forward(*args: Any, **inputs: Any) -> Any:
        tensors = {name: value for name, value in inputs.items() if name not in ignored}
        if args or torch.is_grad_enabled() or not {"input_ids", "attention_mask"} <= tensors.keys() <= {*names}:
            return inner(*args, **inputs)
        absent = {name: torch.zeros_like(tensors["input_ids"]) for name in names if name not in tensors}
        return kind(**{output: engine({**tensors, **absent})})

    return forward


def _check(inner: Any, answering: Any, names: tuple[str, ...]) -> None:
    """Raise UsageError for other answers than torch's, to another shape than the converter's example, of which the
    conversion may have kept something.
    """
    inputs = _example(names, 3, 14)
    with torch.inference_mode():
        theirs, ours = inner(**inputs)[0].float(), answering(**inputs)[0].float()
    if theirs.ndim > 2:
        mask = inputs["attention_mask"].bool()
        theirs, ours = theirs[mask], ours[mask]
    difference = float((theirs - ours).abs().max() / theirs.abs().max().clamp(min=1e-6))
    if not difference <= TOLERANCE:
        raise UsageError(
            f"OpenVINO answers this model otherwise than torch, by {difference:.2g} of the largest value; load with"
            " backend='torch'."
        )
