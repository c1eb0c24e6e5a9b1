"""The program that makes a model of ONNX Runtime's generate() of a checkpoint, by the library's own model builder.

It runs in a process of its own and imports nothing of hfspec: the builder puts names such as ``builders`` on the import
path, prints its progress, and holds all weights in memory.

Usage: python -P building.py SOURCE TARGET PRECISION PROVIDER CACHE
"""

from __future__ import annotations

import json
import sys

# The builder runs no code of the checkpoint's, and asks nobody for missing files.
OPTIONS = ["hf_remote=false", "hf_token=false"]


def build(source: str, target: str, precision: str, provider: str, cache: str) -> None:
    """Make the model in a folder; raises the builder's errors."""
    from onnxruntime_genai.models.builder import create_model, parse_extra_options

    arguments = ("", source, target, precision, provider, cache)
    create_model(*arguments, **parse_extra_options(*arguments, OPTIONS))


def main(arguments: list[str]) -> int:
    """Build; where that fails, the last line on standard error says why, as JSON."""
    try:
        build(*arguments)
    except Exception as error:  # noqa: BLE001 - the builder raises whatever its parts do; the caller of this program reports it
        report = {"kind": type(error).__name__, "message": str(error)}
        print(f"\n{json.dumps(report)}", file=sys.stderr)  # noqa: T201 - it is how the two processes speak
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
