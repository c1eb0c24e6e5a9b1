"""The modules of ``model/`` for MLflow's ``sentence_transformers`` flavor, which reads a folder beside it and no other.

sentence-transformers takes no path out of the folder that it loads, so that ``modules.json`` of that folder names this
class, which loads the modules from ``model/``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TRANSFORMER = "sentence_transformers.models.Transformer"


class LinkedModule:
    """The stand-in, in modules.json, for a module of ``model/``; it has no instances."""

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **options: Any) -> Any:
        """The module that ``model/modules.json`` has at this path, loaded as sentence-transformers loads it; the
        Transformer where there is no such file. It runs no code of the checkpoint.

        Args:
            model_name_or_path: The folder beside ``model/``.
            subfolder: The module's path.
            options: The options that sentence-transformers gives a module.

        Raises:
            KeyError: ``model/modules.json`` has no such module.
        """
        from sentence_transformers.util import import_from_string

        model = Path(model_name_or_path).parent / "model"
        file = model / "modules.json"
        entries = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
        kinds = {entry["path"]: entry["type"] for entry in entries} or {"": TRANSFORMER}
        module = import_from_string(kinds[subfolder])
        own = {"subfolder": subfolder, "local_files_only": True, "trust_remote_code": False}
        return module.load(str(model), **{**options, **own})
