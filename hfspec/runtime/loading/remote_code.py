"""Reviewed code of an artifact: it runs only with the consent of whoever loads it, from the very bytes of the
manifest's digests.

transformers copies code into a cache that all models share, takes a file there for the same where size and time agree,
and reads byte code that it finds beside it (dynamic_module_utils). Here each file is read once, digested, and run from
memory: this reads no cache and writes nothing.
"""

from __future__ import annotations

import hashlib
import linecache
import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import decode_source, module_from_spec
from pathlib import Path, PurePosixPath
from types import CodeType
from typing import Any

from hfspec.errors import StorageError, UsageError, VerificationError
from hfspec.ir.artifact import FileRecord, Manifest, code_files
from hfspec.ir.canonical import digest_of
from hfspec.tasks.task import Task

CODE = ".py"
# transformers knows its own copies of remote code by this name, and some checkpoints ask for it.
PACKAGE = "transformers_modules.reviewed_"


def check_consent(root: Path, manifest: Manifest, *, trusted: bool) -> None:
    """Raises UsageError, with the files and their digests, when the artifact needs its code and nobody consents."""
    if not manifest.code or trusted:
        return
    files = "\n".join(f"  {record.path}  sha256 {record.sha256}" for record in code_files(manifest))
    raise UsageError(
        f"{root} runs Python code that came with its checkpoint. Read these files; then load it with"
        f" trust_remote_code=True, or predict with --trust-remote-code:\n{files}"
    )


def reviewed_classes(root: Path, manifest: Manifest, task: Task) -> Mapping[str, Any]:
    """The classes that the manifest names, imported: ``config``, ``model`` or a component's name -> class.

    Raises VerificationError when a file's bytes are not those of the manifest, StorageError when it cannot be imported
    or has no such class.
    """
    if not manifest.code:
        return {}
    content = {record.path: _verified(root, record) for record in code_files(manifest)}
    classes = {part: _imported(root, place, content) for part, place in sorted(manifest.code.items())}
    if "model" in classes:
        classes["model"] = _prepared(classes["model"], task)
    return classes


def _verified(root: Path, record: FileRecord) -> bytes:
    try:
        content = (root / record.path).read_bytes()
    except OSError as error:
        raise VerificationError(f"{root / record.path} cannot be read: {error.strerror}.", [record.path]) from error
    if hashlib.sha256(content).hexdigest() != record.sha256:
        raise VerificationError(
            f"{root / record.path} is not the code that was reviewed; it is not run.", [record.path]
        )
    return content


def _imported(root: Path, place: str, content: Mapping[str, bytes]) -> Any:
    """The class at ``place``, ``model/modeling_x.py:XModel``; its package is the file's folder."""
    path, _, name = place.partition(":")
    folder = PurePosixPath(path).parent
    package = _package(
        root / folder,
        {
            PurePosixPath(file).relative_to(folder).as_posix(): source
            for file, source in content.items()
            if PurePosixPath(file).is_relative_to(folder)
        },
    )
    try:
        kind = getattr(import_module(f"{package}.{PurePosixPath(path).stem}"), name)
    except Exception as error:  # the code may raise anything while it is imported
        reason = str(error).replace(f"{package}.", "") or type(error).__name__
        raise StorageError(f"the reviewed code in {path} could not be imported: {reason}") from error
    if not isinstance(kind, type):
        raise StorageError(f"{name} in {path} is not a class.")
    return kind


def _package(folder: Path, sources: Mapping[str, bytes]) -> str:
    """The name of the package of these files, which can be imported from now on, from these bytes and no others."""
    digests = {path: hashlib.sha256(source).hexdigest() for path, source in sources.items()}
    name = PACKAGE + digest_of({"folder": str(folder), "files": digests})
    if name not in sys.modules:
        finder = _Sources(name, folder, sources)
        # Set by hand, since the package around it, by its name, is that of transformers and need not exist.
        sys.modules[name] = module_from_spec(ModuleSpec(name, finder, is_package=True))
        sys.meta_path.insert(0, finder)
    return name


class _Sources(MetaPathFinder, InspectLoader):
    """The finder and loader of the modules of one package, from memory. The package itself and folders in it are empty
    where they have no ``__init__.py``; that of the outermost folder does not run, as in transformers.
    """

    def __init__(self, package: str, folder: Path, sources: Mapping[str, bytes]) -> None:
        self.package, self.folder, self.sources = package, folder, sources

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if not fullname.startswith(f"{self.package}."):
            return None
        file = self._file(fullname)
        if file is None and not self.is_package(fullname):
            return None
        spec = ModuleSpec(fullname, self, is_package=self.is_package(fullname))
        if file is not None:
            spec.origin, spec.has_location = str(self.folder / file), True
        return spec

    def is_package(self, fullname: str) -> bool:
        inner = self._inner(fullname)
        is_file = f"{inner}{CODE}" in self.sources
        return not inner or (not is_file and any(file.startswith(f"{inner}/") for file in self.sources))

    def get_source(self, fullname: str) -> str:
        file = self._file(fullname)
        return "" if file is None else decode_source(self.sources[file])

    def get_code(self, fullname: str) -> CodeType:
        source, file = self.get_source(fullname), self._file(fullname)
        name = str(self.folder / file) if file else f"<{fullname}>"
        # Code that reads a function's source later (inspect, torch.jit) gets these lines, not the file's.
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        return compile(source, name, "exec", dont_inherit=True)

    def _inner(self, fullname: str) -> str:
        return fullname.removeprefix(self.package).removeprefix(".").replace(".", "/")

    def _file(self, fullname: str) -> str | None:
        inner = self._inner(fullname)
        names = (f"{inner}{CODE}", f"{inner}/__init__{CODE}") if inner else ()
        return next((name for name in names if name in self.sources), None)


def _prepared(model_class: Any, task: Task) -> Any:
    """The model class as transformers prepares remote code before it loads it: marked as such, and with generation if
    it was written when every model had it.
    """
    from transformers import PreTrainedModel
    from transformers.models.auto.auto_factory import add_generation_mixin_to_remote_model

    if not issubclass(model_class, PreTrainedModel):
        raise StorageError(f"{model_class.__name__} of the reviewed code is not a model of transformers.")
    model_class.register_for_auto_class(task.auto_class or "AutoModel")
    return add_generation_mixin_to_remote_model(model_class)
