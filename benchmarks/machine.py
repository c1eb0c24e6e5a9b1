"""The machine and the libraries, in words that name no host and no path."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "transformers", "sentence-transformers", "mlflow", "numpy", "pandas")
VERSIONS = """
import json
import sys
from importlib.metadata import PackageNotFoundError, version
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps(found))
"""
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


def describe(pythons: dict[str, str], more: Sequence[str] = ()) -> dict[str, Any]:
    """Processor, cores, memory, system, and each environment's versions of PACKAGES and of ``more``."""
    flags = _processor("flags").split()
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "instructions": [flag for flag in FLAGS if flag in flags],
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "versions": {name: _versions(python, (*PACKAGES, *more)) for name, python in pythons.items()},
    }


def processor() -> str:
    """Its name, as the system has it."""
    return _processor("model name") or platform.processor()


def _versions(python: str, packages: Sequence[str]) -> dict[str, str]:
    command = [python, "-c", VERSIONS, *packages]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _processor(field: str) -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), "")
