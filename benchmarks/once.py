"""One call in a process of its own: python -m benchmarks.once MODULE:FUNCTION '{"settings": ...}'."""

from __future__ import annotations

import json
import sys
from importlib import import_module

if __name__ == "__main__":
    module, name = sys.argv[1].split(":")
    said = getattr(import_module(module), name)(**json.loads(sys.argv[2]))
    if said is not None:
        print(json.dumps(said), flush=True)
