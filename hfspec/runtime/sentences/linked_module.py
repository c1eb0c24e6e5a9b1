"""The modules of ``model/`` for MLflow's ``sentence_transformers`` flavor, which reads a folder beside it and no other.

sentence-transformers takes no path out of the folder that it is given, so that ``modules.json`` of that folder names
this class, and the modules come from ``model/`` as if it had been given.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TRANSFORMER = "sentence_transformers.models.Transformer"


class LinkedModule:
    """Stands in modules.json for a module of ``model/``; nothing is ever one."""

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **options: Any) -> Any:
        """The module that ``model/modules.json`` has at this path, loaded as sentence-transformers loads it; the
        Transformer where there is no such file. No code of the checkpoint is run.

        Args:
            model_name_or_path: The folder beside ``model/``.
            subfolder: The module's path.
            options: What sentence-transformers tells a module.

        Raises:
            KeyError: ``model/modules.json`` has no such module.
        """
        from sentence_transformers.util import import_from_string

        model = Path(model_name_or_path).parent / "model"
        listed = model / "modules.json"
        entries = json.loads(listed.read_text(encoding="utf-8")) if listed.is_file() else []
        kinds = {entry["path"]: entry["type"] for entry in entries} or {"": TRANSFORMER}
        module = import_from_string(kinds[subfolder])
        own = {"subfolder": subfolder, "local_files_only": True, "trust_remote_code": False}
        return module.load(str(model), **{**options, **own})
