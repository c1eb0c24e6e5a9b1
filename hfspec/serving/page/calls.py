"""A call of a model as a command of curl and as Python."""

from __future__ import annotations

import json
import shlex
from typing import Any


def curl(address: str, body: Any, *, asks_key: bool) -> str:
    """A command that sends the body."""
    key = '  -H "Authorization: Bearer $HFSPEC_API_KEY" \\\n' if asks_key else ""
    sent = shlex.quote(json.dumps(body, ensure_ascii=False))
    return f"curl {address} \\\n{key}  -H 'Content-Type: application/json' \\\n  -d {sent}"


def python(address: str, body: Any, *, asks_key: bool) -> str:
    """A Python program that sends the body with requests."""
    key = '    headers={"Authorization": f"Bearer {os.environ[\'HFSPEC_API_KEY\']}"},\n' if asks_key else ""
    lines = ["import os\n" if asks_key else "", "import requests\n\n", "answer = requests.post(\n"]
    lines += [
        f"    {json.dumps(address)},\n",
        key,
        f"    json={body!r},\n",
        ")\n",
        'print(answer.json()["predictions"])',
    ]
    return "".join(lines)
