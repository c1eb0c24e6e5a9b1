"""hfspec's own loading, batches and answers, with another way to run the model between them."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import Any

from benchmarks.contenders.ours import artifact
from benchmarks.work import WORK

INPUTS = ("input_ids", "attention_mask")  # token types are zeros in this work


def predict(work: str, count: int, way: str = "torch", dtype: str = "float32") -> Callable[[], Any]:
    """All rows in one call; they are answered once before, so that what is compiled on the way counts as loading.

    A way that fails answers why, in a text.
    """
    os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"  # what an earlier run compiled
    import hfspec

    rows = WORK[work].rows(count)
    predictor = hfspec.load(artifact(work), dtype=dtype, backend="torch")
    runner = predictor._runner  # noqa: SLF001 - what is measured is what no setting offers
    try:
        WAYS[way](getattr(runner, "encoder", runner).model)
        predictor.predict(rows)
    except Exception as error:
        why = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        return lambda: why
    return lambda: predictor.predict(rows)


def _as_it_is(model: Any) -> None:
    pass


def _onednn(model: Any) -> None:
    """Every Linear by oneDNN, which torch itself takes for bfloat16 alone: it gives float32 to MKL."""
    import torch

    for module in model.modules():
        if type(module) is torch.nn.Linear:
            module.forward = _by_onednn(module)


def _by_onednn(module: Any) -> Callable[[Any], Any]:
    import torch

    return lambda values: torch.ops.mkldnn._linear_pointwise(values, module.weight, module.bias, "none", [], "")  # noqa: SLF001


def _compiled(model: Any) -> None:
    import torch

    model.forward = torch.compile(model.forward, dynamic=True)


def _compiled_bucketed(model: Any) -> None:
    """A graph a shape, over rows and tokens rounded up to few shapes."""
    import torch
    from torch.nn.functional import pad

    torch._dynamo.config.cache_size_limit = 64  # noqa: SLF001
    compiled = torch.compile(model.forward, dynamic=False)

    def forward(**inputs: Any) -> Any:
        rows, width = inputs["input_ids"].shape
        more = (0, -width % 32, 0, -rows % 16)
        wider = {name: pad(value, more) for name, value in inputs.items() if hasattr(value, "shape")}
        wider["attention_mask"][rows:, 0] = 1  # a row without a token has no softmax
        answer = compiled(**{**inputs, **wider})
        name = next(iter(answer))
        values = answer[name][:rows] if answer[name].ndim == 2 else answer[name][:rows, :width]
        return type(answer)(**{name: values})

    model.forward = forward


def _int8_dynamic(model: Any) -> None:
    """By torch itself: weights and, as they come, activations in 8 bits."""
    import torch

    smaller = torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), {torch.nn.Linear}, dtype=torch.qint8)
    model.forward = smaller.forward


def _int8_torchao(model: Any) -> None:
    """torchao's, compiled, as its documentation has it."""
    import torch
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    quantize_(model, Int8DynamicActivationInt8WeightConfig())
    model.forward = torch.compile(model.forward, dynamic=True)


def _packed(model: Any) -> None:
    """The rows of a batch one after the other as one sequence without padding, a mask keeping them apart."""
    import torch

    inner = model.forward

    def forward(input_ids: Any, attention_mask: Any, **_: Any) -> Any:
        lengths = attention_mask.sum(1)
        row = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
        apart = torch.where(row[:, None] == row[None], 0.0, torch.finfo(torch.float32).min)[None, None]
        mask = attention_mask.bool()
        places = torch.arange(input_ids.shape[1]).expand_as(input_ids)[mask][None]
        answer = inner(input_ids=input_ids[mask][None], position_ids=places, attention_mask=apart)
        states = answer.last_hidden_state[0]
        wide = states.new_zeros((*input_ids.shape, states.shape[-1]))
        wide[mask] = states
        return type(answer)(last_hidden_state=wide)

    model.forward = forward


def _traced(model: Any) -> tuple[Any, dict[str, Any]]:
    """The model of two inputs and one output, and an example whose second row is padded."""
    import torch

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.inner(input_ids=input_ids, attention_mask=attention_mask)[0]

    example = {name: torch.ones((2, 8), dtype=torch.long) for name in INPUTS}
    example["attention_mask"][1, 5:] = 0
    return Plain().eval(), example


def _openvino(model: Any) -> None:
    import openvino

    precision = {"torch.float32": "f32", "torch.bfloat16": "bf16"}[str(model.dtype)]
    plain, example = _traced(model.float())
    shapes = [(name, [-1, -1], openvino.Type.i64) for name in INPUTS]
    converted = openvino.convert_model(plain, example_input=example, input=shapes)
    request = openvino.compile_model(converted, "CPU", {"INFERENCE_PRECISION_HINT": precision}).create_infer_request()
    _answered_by(model, lambda inputs: request.infer(inputs)[0].copy())


def _onnxruntime(model: Any, *, quantized: bool = False) -> None:
    import tempfile

    import onnxruntime
    import torch

    plain, example = _traced(model)
    shape = dict.fromkeys((0, 1), torch.export.Dim.DYNAMIC)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/model.onnx"
        torch.onnx.export(
            plain, (), path, kwargs=example, dynamo=not quantized, external_data=False, verbose=False,
            input_names=list(INPUTS),
            **({"dynamic_axes": {name: {0: "rows", 1: "tokens"} for name in INPUTS}} if quantized
               else {"dynamic_shapes": dict.fromkeys(INPUTS, shape)}),
        )  # fmt: skip
        if quantized:  # its shape inference refuses what the newer exporter writes
            from onnxruntime.quantization import QuantType, quantize_dynamic

            quantize_dynamic(path, path + "8", weight_type=QuantType.QInt8, per_channel=True)
            path += "8"
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    _answered_by(model, lambda inputs: session.run(None, inputs)[0])


def _answered_by(model: Any, engine: Callable[[dict[str, Any]], Any]) -> None:
    import torch

    example = {name: torch.ones((1, 4), dtype=torch.long) for name in INPUTS}
    with torch.inference_mode():
        answer = model(**example)
    name, kind = next(iter(answer)), type(answer)

    def forward(input_ids: Any, attention_mask: Any, **_: Any) -> Any:
        answers = engine({"input_ids": input_ids.numpy(), "attention_mask": attention_mask.numpy()})
        return kind(**{name: torch.from_numpy(answers)})

    model.forward = forward


WAYS: dict[str, Callable[[Any], None]] = {
    "torch": _as_it_is,
    "onednn": _onednn,
    "compiled": _compiled,
    "compiled bucketed": _compiled_bucketed,
    "packed": _packed,
    "int8 torch": _int8_dynamic,
    "int8 torchao": _int8_torchao,
    "openvino": _openvino,
    "onnxruntime": _onnxruntime,
    "onnxruntime int8": lambda model: _onnxruntime(model, quantized=True),
}
