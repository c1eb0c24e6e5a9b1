"""The combinations of a multirun compiled: one after another, or by a launcher of Hydra's, in other processes."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hfspec.cli.arguments import quoted
from hfspec.cli.exit_codes import WORLD, exit_code, message
from hfspec.cli.progress import tell
from hfspec.errors import HfspecError, UsageError, WorldError
from hfspec.ir.artifact import Artifact
from hfspec.ir.frozen import FrozenDict
from hfspec.ir.golden import GOLDEN
from hfspec.ir.progress import Progress, Silent
from hfspec.redaction import redacted

GROUP, KEYS = "hydra/launcher", "hydra.launcher."
# Hydra's own application writes nothing beside an artifact, and logs nothing.
QUIET = ("hydra.output_subdir=null", "hydra.job.chdir=false", "hydra/job_logging=none", "hydra/hydra_logging=none")


@dataclass(frozen=True, slots=True)
class Made:
    """The outcome of a combination. ``fault``: why it has no artifact, with the exit code for that."""

    place: str
    notes: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    unchecked: bool = False
    fault: str = ""
    code: int = 0


@dataclass(frozen=True)
class Sweep:
    """The combinations of a spec, each with its place. It travels to the processes that compile them.

    ``options``: further arguments of ``hfspec.compile``. ``folder``: the current one, which paths are from.
    """

    spec: Path
    combinations: tuple[tuple[Path, tuple[str, ...]], ...]
    options: Mapping[str, Any] = field(default_factory=FrozenDict)
    folder: Path = field(default_factory=Path.cwd)

    def __call__(self, config: Any) -> Made:
        """Compile the combination that Hydra's job has the number of."""
        os.chdir(self.folder)
        return self.compiled(int(config.combination), Silent())

    def compiled(self, number: int, progress: Progress) -> Made:
        """Compile one combination; a fault is a value."""
        from hfspec import compiler

        target, overrides = self.combinations[number]
        try:
            artifact = compiler.compile(
                self.spec, output=target, overrides=overrides, progress=progress, **dict(self.options)
            )
        except HfspecError as error:
            return Made(str(target), fault=message(error), code=exit_code(error))
        except OSError as error:
            return Made(str(target), fault=f"hfspec: {error.strerror or error}: {error.filename}", code=WORLD)
        return made(artifact, self.options)


def made(artifact: Artifact, options: Mapping[str, Any]) -> Made:
    """The outcome of a compile with these options."""
    checks = options.get("run", True) and options.get("check_golden", True)
    has_golden = any(record.path == GOLDEN for record in artifact.manifest.files)
    unchecked = has_golden and not checks
    return Made(str(artifact.path), tuple(artifact.notes), tuple(artifact.replaced), unchecked=unchecked)


def split_launcher(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part the overrides that choose a launcher of Hydra's from those of the spec.

    Raises UsageError for one that names what is to be imported.
    """
    own = [text for text in overrides if _is_launchers(text)]
    for text in own:
        if "_target_" in text:
            raise UsageError(f"{text}: nothing is imported by name; choose a launcher with {GROUP}=NAME")
    return own, [text for text in overrides if text not in own]


def _is_launchers(text: str) -> bool:
    key = text.lstrip("+~").partition("=")[0]
    return key == GROUP or key.startswith(KEYS)


def compile_all(
    sweep: Sweep, launcher: Sequence[str], progress: Callable[[], Progress], show: Callable[[Made], None]
) -> Iterator[Made]:
    """Compile every combination, and show each as soon as it is known.

    Args:
        sweep: The combinations.
        launcher: Overrides that choose one of Hydra's launchers and set it up; none: one after another, here.
        progress: Makes what is told how far a compile here is.
        show: Is given what became of each.

    Yields:
        What became of each, in order.

    Raises:
        UsageError: There is no such launcher.
        WorldError: The launcher fails.
    """
    numbers = range(len(sweep.combinations))
    outcomes = launched(sweep, launcher) if launcher else (sweep.compiled(number, progress()) for number in numbers)
    for outcome in outcomes:
        show(outcome)
        yield outcome


def launched(sweep: Sweep, launcher: Sequence[str]) -> list[Made]:
    """Compile every combination by a launcher of Hydra's, which has a folder beside the artifacts for its own files
    meanwhile; raises as compile_all.
    """
    own = sweep.combinations[0][0].absolute().parent / f".launcher-{uuid.uuid4().hex[:8]}"
    started = _launcher(sweep, [*launcher, f"hydra.sweep.dir={quoted(own)}"])
    own.mkdir(parents=True)
    try:
        jobs = started.launch([[f"+combination={number}"] for number in range(len(sweep.combinations))], 0)
    except Exception as error:
        if isinstance(error, HfspecError):
            raise
        reason = redacted(" ".join(str(error).split()))
        raise WorldError(f"the launcher failed: {type(error).__name__}: {reason}; its files are in {own}") from error
    shutil.rmtree(own, ignore_errors=True)
    return [job.return_value for job in jobs]


def _launcher(sweep: Sweep, overrides: list[str]) -> Any:
    from hydra._internal.callbacks import Callbacks
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.utils import create_config_search_path
    from hydra.core.plugins import Plugins
    from hydra.core.utils import JobRuntime
    from hydra.errors import HydraException
    from hydra.types import HydraContext, RunMode
    from omegaconf.errors import OmegaConfBaseException

    JobRuntime.instance().set("name", "hfspec")
    plugins = Plugins.instance()  # whose launchers have configs in Hydra's store
    loader = ConfigLoaderImpl(config_search_path=create_config_search_path(None))
    try:
        config = loader.load_configuration(None, [*QUIET, *overrides], run_mode=RunMode.MULTIRUN)
        context = HydraContext(config_loader=loader, callbacks=Callbacks())
        return plugins.instantiate_launcher(hydra_context=context, task_function=sweep, config=config)
    except (HydraException, OmegaConfBaseException) as error:
        names = ", ".join(sorted(loader.get_group_options(GROUP)))
        reason = str(error).strip().splitlines()[0]
        remedy = "others are packages such as hydra-joblib-launcher"
        raise UsageError(f"{' '.join(overrides[:-1])}: {reason}; launchers here: {names}; {remedy}") from error


def tell_table(outcomes: Sequence[Made]) -> None:
    """Say what became of all combinations, on stderr."""
    from hfspec.report.table import aligned

    failed = [outcome for outcome in outcomes if outcome.fault]
    rows = [("failed" if outcome.fault else "compiled", outcome.place) for outcome in outcomes]
    tell(aligned(rows))
    tell(f"hfspec: {len(outcomes) - len(failed)} of {len(outcomes)} combinations compiled")
