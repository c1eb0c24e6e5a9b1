"""The check that the installed runtime knows a graph's sets of operators."""

from __future__ import annotations

from hfspec.checkpoint.graphs.header import LENGTH, VARINT, Graph

NAME = "x"
FLOAT = 1


def check_opsets(graph: Graph) -> None:
    """Raises ValueError, saying why, when onnxruntime refuses graphs of these opsets and this version of the format."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(_smallest(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises errors of its own, all below Exception
        reason = str(error).strip().splitlines()[0].rpartition(") ")[2]  # behind the place in onnxruntime's own code
        raise ValueError(f"onnxruntime {onnxruntime.__version__} does not know its operators: {reason}") from error


def _smallest(graph: Graph) -> bytes:
    """A model of one operator, Identity, with the graph's opsets and version of the format."""
    shape = _field(2, _field(1, _number(1, FLOAT) + _field(2, b"")))
    value, output = _field(1, NAME.encode()) + shape, _field(1, b"y") + shape
    node = _field(1, NAME.encode()) + _field(2, b"y") + _field(4, b"Identity")
    body = _field(1, node) + _field(2, b"g") + _field(11, value) + _field(12, output)
    opsets = (_field(8, _field(1, name.encode()) + _number(2, number)) for name, number in sorted(graph.opsets.items()))
    return _number(1, graph.ir_version) + _field(7, body) + b"".join(opsets)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | LENGTH) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3 | VARINT) + _varint(value)


def _varint(value: int) -> bytes:
    content = bytearray()
    while value > 0x7F:
        content.append(value & 0x7F | 0x80)
        value >>= 7
    content.append(value)
    return bytes(content)
