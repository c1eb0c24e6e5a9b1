"""A checkpoint that MLflow's transformers or sentence_transformers flavor logged: from its registry, or from a run.

The flavors save a pipeline as ``MLmodel`` beside a folder with the model and one for each component. Here the files of
these folders are those of one checkpoint; where two have a file of one name, the model's stands.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hfspec.errors import SourceError
from hfspec.ir.artifact import MANIFEST_NAME
from hfspec.ir.pins import FilePin, Opened, SourceName, WeightHeader
from hfspec.sources.folder import FolderSource, open_folder

MLMODEL = "MLmodel"
# The keys of a flavor that name folders beside MLmodel, the model's first.
FOLDERS: Mapping[str, tuple[str, ...]] = {
    "transformers": ("model_binary",),
    "sentence_transformers": ("data",),
}
COMPONENTS = "components"


@dataclass(frozen=True, slots=True)
class MlflowSource:
    """The folders of a logged model as one checkpoint; a Reader.

    ``parts``: the folder that each file is in. ``task``: the one that the model was logged for, empty where MLmodel
    states none. ``is_artifact``: whether it is an artifact of hfspec, which its own library's flavor loads too.
    """

    parts: Mapping[str, FolderSource]
    task: str = ""
    is_artifact: bool = False

    @property
    def files(self) -> tuple[FilePin, ...]:
        return tuple(next(f for f in self.parts[path].files if f.path == path) for path in sorted(self.parts))

    def small(self, path: str) -> Path:
        return self._part(path).small(path)

    def header(self, path: str) -> WeightHeader:
        return self._part(path).header(path)

    def fetch(self, path: str) -> Path:
        return self._part(path).fetch(path)

    def _part(self, path: str) -> FolderSource:
        if path not in self.parts:
            raise SourceError(f"the model that MLflow logged has no file {path}.")
        return self.parts[path]


def open_source(name: SourceName) -> Opened:
    """The logged model, at the version that its alias or stage stands for now.

    The tracking server is the one that MLflow's own settings name (``MLFLOW_TRACKING_URI``). A model that lies on
    another machine is downloaded once into the user's cache folder.

    Raises SourceError when MLflow is not installed, does not know the model, or logged no checkpoint.
    """
    mlflow = _mlflow(name.location)
    version = _version(mlflow, name.location)
    folder = _download(mlflow, version)
    flavor = _flavor(mlflow, name.location, folder)
    is_artifact = (folder / MANIFEST_NAME).is_file()
    source = MlflowSource(_parts(flavor, name.location, folder), stated_task(flavor), is_artifact)
    return Opened(source, source.files, version=version)


def _mlflow(location: str) -> Any:
    try:
        import mlflow
    except ImportError as error:
        raise SourceError(
            f"{location}: MLflow is not installed here; `pip install 'hfspec[mlflow]'` brings it."
        ) from error
    return mlflow


def _version(mlflow: Any, location: str) -> str:
    """The location with its alias, or ``latest``, as the version that it stands for."""
    scheme, _, rest = location.partition(":/")
    if scheme != "models" or rest.startswith("m-"):
        return location
    client = mlflow.MlflowClient()
    try:
        if "@" in rest:
            name, _, alias = rest.partition("@")
            return f"models:/{name}/{client.get_model_version_by_alias(name, alias).version}"
        name, _, version = rest.partition("/")
        if version.isdigit():
            client.get_model_version(name, version)
            return location
        numbers = [int(one.version) for one in client.search_model_versions(f"name={name!r}")]
    except mlflow.exceptions.MlflowException as error:
        raise SourceError(f"{location}: MLflow at {mlflow.get_tracking_uri()} says: {_line(error)}") from error
    if version not in {"", "latest"} or not numbers:
        raise SourceError(
            f"{location}: MLflow at {mlflow.get_tracking_uri()} has {len(numbers)} versions of {name!r};"
            " name a version (`models:/name/3`), an alias (`models:/name@champion`) or `latest`."
        )
    return f"models:/{name}/{max(numbers)}"


def _download(mlflow: Any, version: str) -> Path:
    """The folder of the logged model, on this machine: where it lies, or in the cache."""
    folder = _cache() / sha256(f"{mlflow.get_tracking_uri()} {version}".encode()).hexdigest()
    if (folder / MLMODEL).is_file():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(mkdtemp(prefix=".partial-", dir=folder.parent))
    try:
        download = Path(mlflow.artifacts.download_artifacts(artifact_uri=version, dst_path=str(partial)))
        root = next((place.parent for place in sorted(download.rglob(MLMODEL))), None)
        if root is None:
            raise SourceError(f"{version}: what MLflow has there holds no {MLMODEL}, so it is not a logged model.")
        if not folder.exists():
            root.rename(folder)
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise SourceError(f"{version}: MLflow at {mlflow.get_tracking_uri()} says: {_line(error)}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hfspec" / "mlflow"


def stated_task(flavor: Mapping[str, Any]) -> str:
    """The task in the words of MLmodel: of a chat, a completion or an embedding it is not the pipeline's."""
    return str(flavor.get("inference_task") or flavor.get("task") or "")


def _flavor(mlflow: Any, location: str, folder: Path) -> Mapping[str, Any]:
    flavors = mlflow.models.Model.load(str(folder)).flavors
    name = next((name for name in FOLDERS if name in flavors), None)
    if name is None:
        raise SourceError(
            f"{location}: MLflow logged it with {', '.join(sorted(flavors))}; hfspec compiles what the flavors"
            f" {' and '.join(FOLDERS)} logged."
        )
    # sentence_transformers states `data` under python_function only.
    return {"name": name, **flavors.get("python_function", {}), **flavors[name]}


def _parts(flavor: Mapping[str, Any], location: str, folder: Path) -> dict[str, FolderSource]:
    if "peft_adaptor" in flavor:
        raise SourceError(
            f"{location}: MLflow logged a PEFT adapter beside the name of its base{_base_remedy(flavor)}, and the"
            " adapter's folder as `adapter:`."
        )
    sources = [open_folder(location, place) for place in _folders(folder, flavor, FOLDERS[flavor["name"]])]
    if not sources:
        raise SourceError(f"{location}: MLflow logged the model's name and not its weights{_base_remedy(flavor)}.")
    parts: dict[str, FolderSource] = {}
    for source in sources:
        for file in source.files:
            parts.setdefault(file.path, source)
    return parts


def _folders(folder: Path, flavor: Mapping[str, Any], keys: tuple[str, ...]) -> Iterator[Path]:
    """The folders that the flavor names, inside the logged model: the model's, then those of its components."""
    places = [folder / str(flavor[key]) for key in keys if isinstance(flavor.get(key), str)]
    folders = [place for place in places if place.is_dir() and place.resolve().is_relative_to(folder.resolve())]
    if folders:
        yield from (*folders, *sorted(place for place in (folder / COMPONENTS).glob("*") if place.is_dir()))


def _base_remedy(flavor: Mapping[str, Any]) -> str:
    repo, commit = flavor.get("source_model_name"), flavor.get("source_model_revision")
    if not repo:
        return ""
    at = f', revision: "{commit}"' if commit else ""
    return f"; write `repo: {repo}{at}` instead"


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
