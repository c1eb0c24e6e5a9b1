"""The texts of a reference artifact as those of a full one."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from hfspec.artifact.mlmodel import WHEN_FULL, identity
from hfspec.artifact.texts import MLMODEL, SPEC, is_generated
from hfspec.artifact.yaml_text import to_yaml
from hfspec.ir.artifact import FileRecord

SAVE_MODE = "save_mode"
# The files whose text depends on how weights are saved.
REWRITTEN = (SPEC, MLMODEL)


def persisted_texts(texts: dict[str, str], spec_digest: str, files: Sequence[FileRecord]) -> dict[str, bytes]:
    """REWRITTEN files as a full save writes them. ``texts``: as the reference artifact has them; ``spec_digest``: of
    the full save's spec; ``files``: what the full artifact holds, sorted by path.
    """
    own = [record for record in files if not is_generated(record.path)]
    return {
        SPEC: _with(texts[SPEC], {SAVE_MODE: "full"}).encode(),
        MLMODEL: _with(_with_flavors(texts[MLMODEL]), identity(spec_digest, own)).encode(),
    }


def _with_flavors(text: str) -> str:
    """MLmodel with the flavors that only an artifact with its weights has."""
    entry = re.search(rf"^ +{WHEN_FULL}: (.*)\n", text, flags=re.MULTILINE)
    if entry is None:
        return text
    _, *lines = to_yaml({"flavors": json.loads(json.loads(entry[1]))}).splitlines(keepends=True)
    without = text[: entry.start()] + text[entry.end() :]
    return re.sub(r"^flavors:\n(?: .*\n)+", lambda match: match[0] + "".join(lines), without, flags=re.MULTILINE)


def _with(text: str, values: dict[str, Any]) -> str:
    """A text of to_yaml with other values for keys at its top, each of which it writes on one line."""
    for key, value in values.items():
        line = to_yaml({key: value}).rstrip("\n")
        text = re.sub(rf"^{re.escape(key)}: .*$", lambda _, line=line: line, text, count=1, flags=re.MULTILINE)  # type: ignore[misc]
    return text
