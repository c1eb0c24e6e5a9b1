"""A lock's account of what a deployment is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hfspec.comparison.parts import account
from hfspec.errors import StorageError
from hfspec.ir.frozen import FrozenDict
from hfspec.ir.lock import Lock, LockedSource
from hfspec.locking.lock_file import lock_in

CODE = ".py"


def lock_account(file: Path) -> FrozenDict:
    """Tell what a lock says.

    Args:
        file: The lock.

    Returns:
        The account, group by group.

    Raises:
        LockError: The file is no lock.
        StorageError: The file cannot be read.
    """
    lock = _read(file)
    parts = {source.role: _source(source) for source in lock.sources}
    return account(
        {
            "name": lock.name,
            "task": {"library": lock.library, "task": lock.task},
            **{role: part for role, part in parts.items() if "/" not in role},
            "components": {role.partition("/")[2]: part for role, part in parts.items() if "/" in role},
            "chat template": {name: f"sha256 {digest}" for name, digest in lock.chat_templates.items()},
            "generation defaults": {"generation_config.json": lock.generation_config}
            if lock.generation_config
            else None,
            "calibration": {"sha256": lock.calibration} if lock.calibration else None,
            "library versions": lock.versions,
            "size": {source.role: sum(file.size for file in source.files) for source in lock.sources},
            "code files": {
                f"{source.role}/{file.path}": file.sha256
                for source in lock.sources
                for file in source.files
                if file.path.endswith(CODE)
            },
            "files": {
                source.role: {file.path: file.sha256 for file in source.files if not file.path.endswith(CODE)}
                for source in lock.sources
            },
            "spec digest": lock.spec_digest,
        }
    )


def _source(source: LockedSource) -> dict[str, Any]:
    fields = {
        source.kind: source.location,
        "revision": source.revision,
        "commit": source.commit,
        "version": source.version,
    }
    return {key: value for key, value in fields.items() if value is not None}


def _read(file: Path) -> Lock:
    try:
        return lock_in(file, file.read_bytes())
    except OSError as error:
        raise StorageError(f"{file} cannot be read: {error.strerror}.") from error
