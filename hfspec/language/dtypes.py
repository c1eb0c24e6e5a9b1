"""Other names that the field has for dtypes: ``fp16``, ``half``, ``torch.bfloat16``."""

from __future__ import annotations

import re
from difflib import get_close_matches

NAMES = {
    "float16": ("fp16", "f16", "half", "halffloat", "float16", "16", "16bit", "fp16mixed"),
    "bfloat16": ("bf16", "bfloat", "bfloat16", "brainfloat", "brainfloat16", "bf", "bf16mixed"),
    "float32": ("fp32", "f32", "float", "single", "full", "float32", "32", "32bit", "tf32"),
    "float64": ("fp64", "f64", "double", "float64", "64", "64bit"),
    "auto": ("auto", "default", "none", "null", "asis"),
}
MEANT = {name: dtype for dtype, names in NAMES.items() for name in names}


def meant(name: str) -> str:
    """Find the dtype that a name means.

    Args:
        name: The name as the spec has it.

    Returns:
        The dtype in the spec's words; empty when none is meant, as by ``int8``.
    """
    plain = re.sub(r"^(torch|np|numpy|jnp|tf)\.|[\s_.-]", "", name.strip().lower())
    if plain in MEANT:
        return MEANT[plain]
    if re.fullmatch(r"u?int.*|bool|.*(4|8|8bit|4bit)", plain):
        return ""
    close = get_close_matches(plain, MEANT, n=1, cutoff=0.75)
    return MEANT[close[0]] if close else ""
