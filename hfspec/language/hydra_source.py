"""Hydra's view of a folder of specs: its config-source plugin interface, over the one YAML dialect.

The source is handed to Hydra's own repository directly, so that nothing is registered anywhere: no plugins are scanned,
and no state of Hydra's is left behind.
"""

from __future__ import annotations

from typing import Any

from hydra._internal.config_repository import ConfigRepository
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from omegaconf import OmegaConf

from hfspec.ir.frozen import thaw
from hfspec.language.documents import Folder

SCHEME = "hfspec"


class SpecSource(ConfigSource):  # type: ignore[misc]
    """Configs read by hfspec. The spec itself is always at the top level, wherever its file lies below the root."""

    def __init__(self, folder: Folder) -> None:
        super().__init__(provider="main", path=f"{SCHEME}://{folder.root}")
        self.folder = folder

    @staticmethod
    def scheme() -> str:
        return SCHEME

    def load_config(self, config_path: str) -> ConfigResult:
        document = self.folder.document(config_path)
        # Hydra stops looking at the first ordinary comment, such as an editor's schema line; a spec may begin with one.
        marked = [line for line in document.head.splitlines() if line.lstrip("# \t").startswith("@")]
        header = self._get_header_dict("\n".join(marked))
        if config_path == self.folder.name:
            header["package"] = "_global_"
        config = OmegaConf.create(thaw(document.value))
        return ConfigResult(provider=self.provider, path=self.full_path(), config=config, header=header)

    def available(self) -> bool:
        return True

    def is_group(self, config_path: str) -> bool:
        return self.folder.is_group(config_path)

    def is_config(self, config_path: str) -> bool:
        return self.folder.has(config_path)

    def list(self, config_path: str, results_filter: Any) -> list[str]:
        names = self.folder.names(config_path)
        if results_filter is None:
            return [name.rstrip("/") for name in names]
        return [name.rstrip("/") for name in names if name.endswith("/") == (results_filter == ObjectType.GROUP)]


class SpecRepository(ConfigRepository):  # type: ignore[misc]
    """Hydra's repository over that one source; each config is loaded once."""

    def __init__(self, folder: Folder) -> None:
        self.sources = [SpecSource(folder)]
        self._loaded: dict[str, Any] = {}

    def load_config(self, config_path: str) -> Any:
        if config_path not in self._loaded:
            self._loaded[config_path] = super().load_config(config_path)
        return self._loaded[config_path]

    def get_schema_source(self) -> Any:
        """None: a spec is checked by its own schema, whatever the process keeps in Hydra's ConfigStore."""
        raise ConfigLoadError("specs have no schema in Hydra's ConfigStore")
