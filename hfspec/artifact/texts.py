"""The files of an artifact that the compiler writes itself: spec, requirements, environments, MLmodel, predictor."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import hfspec
from hfspec.artifact.mlmodel import CODE, mlmodel
from hfspec.artifact.yaml_text import to_yaml
from hfspec.ir.artifact import FileRecord
from hfspec.ir.frozen import thaw
from hfspec.ir.golden import GOLDEN, INPUT_EXAMPLE
from hfspec.ir.plan import Plan
from hfspec.ir.source_kinds import SOURCE_KINDS
from hfspec.tasks.libraries import LIBRARIES, Library
from hfspec.tasks.weight_formats import WEIGHT_FORMATS, WeightFormat

PREDICTOR = "predictor.py"
SPEC = "spec.yaml"
MLMODEL = "MLmodel"
# In the environments that MLflow makes for its server, which is part of it; python predictor.py needs no MLflow.
MLFLOW = "mlflow>=3.1,<4"
PREDICTOR_TEXT = '''"""Run this model: python predictor.py "a text", or --help. It needs what requirements.txt lists."""

import sys
import zipimport
from pathlib import Path


class Archive(zipimport.zipimporter):
    """An archive that says where a module lies without compiling it, which Python would do once more to run it."""

    def get_filename(self, fullname):
        name = fullname.rpartition(".")[2] + ("/__init__.py" if self.is_package(fullname) else ".py")
        return str(Path(self.archive, self.prefix, name))


sys.dont_write_bytecode = True
sys.path_hooks.insert(0, Archive)
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE / "code/hfspec.zip"), *(place for place in sys.path if Path(place or ".").resolve() != HERE)]

from hfspec.runtime.command import main  # noqa: E402
from hfspec.runtime.host.process import begin, leave  # noqa: E402

if __name__ == "__main__":
    begin()
    leave(main(HERE, sys.argv[1:]))
'''
# The half of hfspec that runs an artifact: these files, and some rooms whole.
RUNTIME_FILES = (
    "__init__.py",
    "errors.py",
    "redaction.py",
    "ir/__init__.py",
    "ir/artifact.py",
    "ir/backends.py",
    "ir/canonical.py",
    "ir/dtypes.py",
    "ir/field_types.py",
    "ir/frozen.py",
    "ir/golden.py",
    "ir/lazy.py",
    "ir/manifest_versions.py",
    "ir/patterns.py",
    "ir/pins.py",
    "ir/problem.py",
    "ir/progress.py",
    "ir/safetensors_header.py",
    "ir/signature.py",
    "ir/source_kinds.py",
    "ir/weight_index.py",
    "sources/__init__.py",
    "sources/hub_access.py",
    "sources/hub_cache.py",
    "sources/hub_errors.py",
    "sources/kinds.py",
    "sources/patience.py",
    "sources/pinned.py",
    "sources/small.py",
    "sources/transfer.py",
)
RUNTIME_FOLDERS = ("runtime", "integrity", "library_calls", "inputs", "settings", "formats", "tasks")
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip archive can name


WRITTEN = (SPEC, "requirements.txt", "conda.yaml", "python_env.yaml", MLMODEL, PREDICTOR, INPUT_EXAMPLE, GOLDEN)


def generated(plan: Plan, files: Sequence[FileRecord]) -> dict[str, bytes]:
    """Path -> content of everything but the manifest and the files in ``files``, which are the plan's."""
    texts = {
        SPEC: to_yaml(thaw(plan.spec_document)),
        "requirements.txt": "".join(f"{line}\n" for line in plan.requirements),
        "conda.yaml": to_yaml(_conda(plan)),
        "python_env.yaml": to_yaml(_python_env(plan)),
        MLMODEL: to_yaml(mlmodel(plan, files)),
        PREDICTOR: PREDICTOR_TEXT,
    }
    contents = {path: text.encode() for path, text in texts.items()}
    if plan.input_example is not None:
        contents[INPUT_EXAMPLE] = _json(thaw(plan.input_example))
    if plan.golden:
        contents[GOLDEN] = _json([golden.to_json() for golden in plan.golden])
    return {**contents, CODE: code_archive()}


def is_generated(path: str) -> bool:
    """Whether a file of an artifact is one that ``generated`` gives."""
    return path.startswith("code/") or path in WRITTEN


def code_archive() -> bytes:
    """The runtime's files as they are installed, in one archive that Python imports as it is.

    Python writes no byte code beside an archive, and a tool that copies an artifact without ``__pycache__``
    copies all of it. The texts are stored and not compressed: they can be searched, and the bytes do not depend on the
    version of zlib.
    """
    package = Path(hfspec.__file__).parent
    folders = [path for name in RUNTIME_FOLDERS for path in (package / name).rglob("*.py")]
    paths = {path.relative_to(package.parent).as_posix(): path for path in folders}
    rows: tuple[Library | WeightFormat, ...] = (*LIBRARIES.values(), *WEIGHT_FORMATS.values())
    compiling = {package / "libraries" / row.folder / f"{stem}.py" for row in rows for stem in row.compiling}
    libraries = set((package / "libraries").rglob("*.py")) - compiling
    paths |= {path.relative_to(package.parent).as_posix(): path for path in libraries}
    paths |= {f"{package.name}/{name}": package / name for name in (*RUNTIME_FILES, *_source_files())}
    return _archived(tuple(sorted(paths.items())))


@lru_cache(maxsize=1)
def _archived(paths: tuple[tuple[str, Path], ...]) -> bytes:
    """The archive of these files. A process that compiles several artifacts reads them once."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for name, path in paths:
            member = zipfile.ZipInfo(name, LONG_AGO)
            member.create_system, member.external_attr = 3, 0o100644 << 16  # the same on every system
            file.writestr(member, path.read_bytes())
    return archive.getvalue()


def _source_files() -> Iterator[str]:
    """The module of each kind of source, by which a reference artifact finds its weights."""
    for kind in SOURCE_KINDS.values():
        module = kind.opened_by.partition(":")[0]
        yield f"{module.removeprefix(f'{hfspec.__name__}.').replace('.', '/')}.py"


def _conda(plan: Plan) -> dict[str, Any]:
    return {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [f"python={plan.versions['python']}", "pip", {"pip": [*plan.requirements, MLFLOW]}],
    }


def _python_env(plan: Plan) -> dict[str, Any]:
    return {
        "python": plan.versions["python"],
        "build_dependencies": ["pip"],
        "dependencies": ["-r requirements.txt", MLFLOW],
    }


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
