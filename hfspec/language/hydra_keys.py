"""Keys of an application of Hydra's, with what hfspec has in their place, and keys of which a part has dots."""

from __future__ import annotations

from hfspec.ir.problem import KeyPath, Origin, Problem
from hfspec.language.kind import SPEC, DocumentKind

NO_LOG = "hfspec keeps no log; `--quiet` leaves out its progress, `--debug` shows an error's traceback."
# The beginning of a key of a spec, without ``hydra.`` -> the remedy; the first that fits.
REMEDIES = (
    ("verbose", "Give `--debug` for the traceback of an error."),
    ("job_logging", NO_LOG),
    ("hydra_logging", NO_LOG),
    ("run", "Give `--output DIR` for the artifact's folder."),
    ("sweep", "Give `-m --output DIR` for the folder that holds the artifact of each combination."),
    ("mode", "Give `-m` (--multirun) to compile every combination."),
    ("launcher", "It goes with `hfspec compile -m`, which compiles the combinations with that launcher."),
    ("job.name", "Write `name=…` for the deployment's name."),
    ("searchpath", "Configs are looked up from the nearest folder named specs above the spec, else from its own."),
    ("output_subdir", "Leave it out: hfspec writes nothing but the artifact."),
    ("help", "Give `--help`."),
)


def is_hydras(key: str) -> bool:
    """Whether a key, or a config group, is one of Hydra's own application."""
    return key.partition("/")[0].partition(".")[0] == "hydra"


def problem(key: str, origin: Origin, path: KeyPath, kind: DocumentKind) -> Problem:
    """Say that a key of Hydra's own has no effect.

    Args:
        key: The key, or config group.
        origin: Where it was written.
        path: Its key path.
        kind: What kind of document it stands in.

    Returns:
        The problem, with what has that effect here.
    """
    rest = key.removeprefix("hydra").lstrip("./").replace("/", ".")
    remedies = REMEDIES if kind is SPEC else ()
    remedy = next((remedy for name, remedy in remedies if f"{rest}.".startswith(f"{name}.")), "Leave it out.")
    label = "hydra" if not rest else key
    message = f"`{label}` is a setting of Hydra's own applications; hfspec uses Hydra only to compose {kind.plural}."
    return Problem("dead-key", message, origin, path, remedy=remedy)


def braced(before: str, name: str, after: str, value: str) -> str:
    """The override, quoted for a shell, of a key of which a part, ``name``, has dots of its own."""
    for part in reversed(after.strip(".").split(".") if after else ()):
        value = f"{{{part}: {value}}}"
    return f"'{before}={{{name}: {value}}}'"
