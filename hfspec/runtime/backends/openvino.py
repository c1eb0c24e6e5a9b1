"""The whole encoder by OpenVINO, converted by its own converter from the loaded model, in memory, at each load.

Nothing converted is kept: the artifact stays what it is, and no cache can be tampered with. It costs some seconds a
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

# Of the largest value in an answer: above what rounding does, far below what a wrong conversion does.
TOLERANCE = 1e-3
IGNORED = frozenset({"return_dict", "use_cache"})  # as the tasks of encoders give them, without effect on the answer


_CONVERTING = Lock()  # filters of warnings are the process's: of two at once one would put back the other's


class _Plain(torch.nn.Module):  # type: ignore[misc]
    """The model of named tensors and one output, as the converter takes it."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, *tensors: Any, names: tuple[str, ...] = ()) -> Any:
        return self.model(**dict(zip(names, tensors, strict=True)))[0]


def put(loaded: Any, request: LoadRequest) -> Patched:  # noqa: ARG001 - as backends are called
    """The model, its forward answered by OpenVINO; anything but token inputs is answered by torch as before.

    Raises UsageError when it cannot be converted or gives other answers than torch.
    """
    names = _inputs(loaded)
    try:
        engine = _engine(loaded, names)
    except Exception as error:  # a converter may raise anything over a model that it does not know
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(f"OpenVINO could not convert this model: {reason}; load with backend='torch'.") from error
    inner = loaded.forward
    answering = _answering(inner, engine, names)
    _check(inner, answering, names)
    loaded.forward = answering
    return Patched(loaded, {})


def _inputs(loaded: Any) -> tuple[str, ...]:
    types = ("token_type_ids",) if getattr(loaded.config, "type_vocab_size", 0) > 0 else ()
    return ("input_ids", "attention_mask", *types)


def _example(names: tuple[str, ...], rows: int, width: int) -> dict[str, Any]:
    """Token ids from 1 on, the last row padded over its second half."""
    made = {name: torch.zeros((rows, width), dtype=torch.long) for name in names}
    made["input_ids"] += torch.arange(rows * width).reshape(rows, width) % 5 + 1
    made["attention_mask"] += 1
    made["attention_mask"][-1, width // 2 :] = 0
    return made


def _engine(loaded: Any, names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], Any]:
    import openvino

    plain = _Plain(loaded).eval()
    plain.forward = functools.partial(plain.forward, names=names)
    with _CONVERTING, warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of tracing, which a filter that raises would end
        converted = openvino.convert_model(
            plain,
            example_input=tuple(_example(names, 2, 8).values()),
            input=[([-1, -1], openvino.Type.i64) for _ in names],
        )
    # Unasked it rounds to bfloat16 where the processor has it.
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
    known = inspect.signature(inner).parameters
    ignored = IGNORED | ({"token_type_ids"} - known.keys())  # a tokenizer may give them to a model without

    @functools.wraps(inner)
    def forward(*given: Any, **inputs: Any) -> Any:
        taken = {name: value for name, value in inputs.items() if name not in ignored}
        if given or torch.is_grad_enabled() or not {"input_ids", "attention_mask"} <= taken.keys() <= {*names}:
            return inner(*given, **inputs)
        absent = {name: torch.zeros_like(taken["input_ids"]) for name in names if name not in taken}
        return kind(**{output: engine({**taken, **absent})})

    return forward


def _check(inner: Any, answering: Any, names: tuple[str, ...]) -> None:
    """Of another shape than the converter was shown, since it may keep what it should not."""
    inputs = _example(names, 3, 14)
    with torch.inference_mode():
        theirs, ours = inner(**inputs)[0].float(), answering(**inputs)[0].float()
    if theirs.ndim > 2:
        seen = inputs["attention_mask"].bool()
        theirs, ours = theirs[seen], ours[seen]
    difference = float((theirs - ours).abs().max() / theirs.abs().max().clamp(min=1e-6))
    if not difference <= TOLERANCE:
        raise UsageError(
            f"OpenVINO answers this model otherwise than torch, by {difference:.2g} of the largest value; load with"
            " backend='torch'."
        )
