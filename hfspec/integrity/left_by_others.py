"""The one file that may lie in an artifact without being in its manifest: a registry of MLflow writes the registered
name and version there (``mlflow/store/artifact/models_artifact_repo.py``). Nothing of hfspec reads it, nor does MLflow.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from hfspec.integrity.verified_memory import NO_SURPRISES

LEFT_BY_OTHERS = frozenset({"registered_model_meta"})
OTHER_TEXT = "is not the text that MLflow leaves"
LARGEST = 4096
FORM = re.compile(r"model_name: [^\x00-\x09\x0b-\x1f\x7f]+\nmodel_version: [^\x00-\x1f\x7f]+\n")


def foreign_fault(path: Path) -> str:
    """Check that a file which MLflow may leave in an artifact carries nothing else.

    Args:
        path: The file.

    Returns:
        Why it is not what MLflow leaves; empty when it is.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | NO_SURPRISES), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return "is not a plain file"
            text = file.read(LARGEST + 1).decode()
    except (OSError, UnicodeDecodeError):
        return OTHER_TEXT
    return "" if len(text) <= LARGEST and FORM.fullmatch(text) else OTHER_TEXT
