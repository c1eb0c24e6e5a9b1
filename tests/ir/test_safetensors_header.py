"""Headers: what the library writes is read, what is unsound is refused with the reason."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfspec.ir.safetensors_header import ITEM_BITS, header_length, parse_header


def file_of(entries: object, data: bytes = b"") -> bytes:
    header = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return len(header).to_bytes(8, "little") + header + data


def entry(dtype="U8", shape=(1,), start=0, end=1) -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


def parse(content: bytes):
    return parse_header(content, len(content))


def test_every_dtype_that_the_library_writes(tmp_path):
    import torch
    from safetensors.torch import save

    dtypes = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16]
    dtypes += [torch.int8, torch.uint8, torch.bool, torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64]
    tensors = {str(dtype): torch.zeros(2, 3).to(dtype) for dtype in dtypes} | {"empty": torch.zeros(0, 4)}
    content = save(tensors, metadata={"format": "pt"})
    header = parse(content)
    assert {tensor.name: tensor.shape for tensor in header.tensors} == {n: tuple(t.shape) for n, t in tensors.items()}
    assert {t.name: t.end - t.start for t in header.tensors} == {n: t.nbytes for n, t in tensors.items()}
    assert header.metadata == {"format": "pt"}
    assert header.length + sum(tensor.nbytes for tensor in tensors.values()) == len(content)


def test_offsets_find_the_bytes(checkpoint):
    from safetensors import safe_open

    content = (checkpoint("bert-sentiment") / "model.safetensors").read_bytes()
    header = parse(content)
    with safe_open(checkpoint("bert-sentiment") / "model.safetensors", "np") as file:
        for tensor in header.tensors:
            stored = content[header.length + tensor.start : header.length + tensor.end]
            assert stored == file.get_tensor(tensor.name).tobytes()


def test_no_tensors_at_all():
    assert parse(file_of({})).tensors == ()


def test_the_header_alone_is_enough():
    content = file_of({"a": entry(end=1)}, b"x")
    length = header_length(content[:8], len(content))
    assert parse_header(content[:length], len(content)) == parse(content)


BROKEN = {
    "empty file": (b"", "too few"),
    "seven bytes": (b"\1" * 7, "too few"),
    "length beyond the file": (b"\xff\0\0\0\0\0\0\0{}", "has only 10"),
    "length beyond reason": (b"\xff" * 20, "more than the format's limit"),
    "not JSON": (file_of(b"{{}}"), "not JSON"),
    "not UTF-8": (file_of(b'{"\xff": 1}'), "not JSON"),
    "a list": (file_of([]), "not a JSON object"),
    "nested too deep": (file_of(b"[" * 100_000), "not JSON"),
    "a name twice": (file_of(b'{"a": {}, "a": {}}'), "twice"),
    "metadata of numbers": (file_of({"__metadata__": {"a": 1}}), "metadata"),
    "metadata a list": (file_of({"__metadata__": []}), "metadata"),
    "entry a number": (file_of({"a": 1}), "'a' is not one of dtype, shape and data_offsets"),
    "entry without shape": (file_of({"a": {"dtype": "U8", "data_offsets": [0, 0]}}), "is not one of dtype"),
    "entry with more": (file_of({"a": {**entry(), "x": 1}}, b"x"), "is not one of dtype"),
    "unknown dtype": (file_of({"a": entry("Q4")}, b"x"), "unknown dtype 'Q4'"),
    "dtype a list": (file_of({"a": entry(["U8"])}, b"x"), "unknown dtype"),
    "negative shape": (file_of({"a": entry(shape=(-1,))}, b"x"), "impossible shape"),
    "shape of booleans": (file_of({"a": entry(shape=(True,))}, b"x"), "impossible shape"),
    "shape of floats": (file_of({"a": entry(shape=(1.0,))}, b"x"), "impossible shape"),
    "offsets backwards": (file_of({"a": entry(start=1, end=0)}, b"x"), "impossible offsets"),
    "one offset": (file_of({"a": {"dtype": "U8", "shape": [], "data_offsets": [0]}}), "impossible offsets"),
    "negative offset": (file_of({"a": entry(start=-1, end=0)}), "impossible offsets"),
    "too few bytes": (file_of({"a": entry("F32", (2,), 0, 4)}, b"x" * 4), "does not fit its 4 bytes"),
    "half a byte": (file_of({"a": entry("F4", (3,), 0, 1)}, b"x"), "does not fit"),
    "a gap": (file_of({"a": entry(), "b": entry(start=2, end=3)}, b"xyz"), "'b' leaves a gap"),
    "a gap at the start": (file_of({"a": entry(start=1, end=2)}, b"xy"), "'a' leaves a gap"),
    "an overlap": (file_of({"a": entry(shape=(2,), end=2), "b": entry(start=1, end=2)}, b"xy"), "'b' overlaps"),
    "cut short": (file_of({"a": entry(shape=(9,), end=9)}, b"x"), "cut short: its tensors need 9 bytes, but only 1"),
    "more than it needs": (file_of({"a": entry()}, b"xy"), "1 bytes more"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_unsound_headers(name):
    content, reason = BROKEN[name]
    with pytest.raises(ValueError, match=reason):
        parse(content)


def test_a_prefix_that_is_too_short():
    content = file_of({"a": entry()}, b"x")
    with pytest.raises(ValueError, match="only 20 of its header's"):
        parse_header(content[:20], len(content))


@given(st.data())
def test_any_change_is_read_or_refused_but_never_crashes(data):
    good = file_of({"a": entry("F32", (2, 2), 0, 16), "b": entry("U8", (3,), 16, 19)}, b"x" * 19)
    position = data.draw(st.integers(0, len(good) - 1))
    changed = bytearray(good)
    changed[position] = data.draw(st.integers(0, 255))
    cut = data.draw(st.just(len(good)) | st.integers(0, len(good)))
    try:
        header = parse(bytes(changed[:cut]))
    except ValueError:
        return
    assert all(tensor.dtype in ITEM_BITS for tensor in header.tensors)
    assert header.length + sum(tensor.end - tensor.start for tensor in header.tensors) == cut
