"""Every fault that hfspec is held to, one row each: what goes wrong, and what must be true after it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tests.faults import world
from tests.faults.world import World

COMPILE = ("compile", "{spec}", "-o", "{target}", "dtype=float16", "--quiet")
PERSIST = ("persist", "{target}", "--source", "model={model}", "--quiet")
KEPT, NEW = "kept", "new"  # the target holds what it held; it holds the new artifact
OWN_DISK = "size=16m,nr_inodes=2000"


@dataclass(frozen=True)
class Row:
    """``inject``: the fault, around the command. ``code``: the exit code; ``said``: what stderr must say, without a
    traceback. ``starts``: whether the target holds no artifact (0), an older one (1), one that refers to its weights
    (2), or each in turn. ``target``: what it holds after it. Nothing may lie beside the target then. ``disk``: options of
    the file system of its own that the target lies on.
    """

    fault: str
    inject: Callable[[World], AbstractContextManager[None]]
    code: int
    said: tuple[str, ...] = ()
    command: tuple[str, ...] = COMPILE
    starts: tuple[int, ...] = (0, 1)
    target: str = KEPT
    disk: str = ""


@dataclass(frozen=True)
class Elsewhere:
    """A fault whose test needs more than a command in a broken world. ``after``: what it holds hfspec to."""

    fault: str
    after: str
    test: str


# fmt: off
ROWS = [
    # the target's disk
    Row("disk full", world.full_disk, 3, ("{target} does not fit on its disk", "free some space"), disk=OWN_DISK),
    Row("no inodes left", world.no_inodes, 3, ("{target} does not fit on its disk", "free some"), disk=OWN_DISK, starts=(1,)),
    Row("largest file size", world.largest_file, 3, ("{target} does not fit on its disk (File too large)",)),
    Row("read-only file system", world.read_only_disk, 3, ("cannot be written (Read-only", "--output"), disk=OWN_DISK),
    Row("folder not writable", world.closed_folder, 3, ("cannot be written (Permission denied", "choose another --output")),
    Row("folder not searchable", world.hidden_folder, 3, ("{target} cannot be written (Permission denied", "--output"), starts=(1,)),
    Row("target on a file system of its own", world.nothing, 0, target=NEW, disk=OWN_DISK),
    Row("target is a mount point", world.mounted_target, 2, ("{target} is a mount point", "a folder in it"), starts=(0,)),
    Row("folder removed meanwhile", world.folder_removed, 3, ("{target} could not be written: No such file",), starts=(0,)),
    # the process
    Row("too few descriptors", world.few_descriptors, 3, ("Too many open files", "ulimit -n")),
    Row("current folder removed", world.lost_current_folder, 0, target=NEW, starts=(1,)),
    Row("no temporary folder", world.no_temporary_folder, 0, target=NEW, starts=(1,)),
    Row("umask that closes to others", world.closing_umask, 0, target=NEW, starts=(1,)),
    Row("clock at the beginning of time", world.old_clock, 0, target=NEW, starts=(1,)),
    Row("reader of stdout has left", world.no_reader, 141, target=NEW),
    Row("disk behind stdout full", world.full_stdout, 3, ("No space left on device: standard output; free",), target=NEW, starts=(1,)),
    # the source
    Row("weights not readable", world.closed_weights, 3, ("model.safetensors", "check its permissions"), starts=(1,)),
    Row("source not readable", world.closed_source, 3, ("cannot be read: Permission denied; check its",), starts=(1,)),
    Row("spec not readable", world.closed_spec, 2, ("{spec} cannot be read: Permission denied",), starts=(1,)),
    # persist, of an artifact that refers to its weights
    Row("persist: nothing wrong", world.nothing, 0, (), PERSIST, (2,), NEW),
    Row("persist: disk full", world.full_disk, 3, ("{target} does not fit on its disk",), PERSIST, (2,), disk=OWN_DISK),
    Row("persist: largest file size", world.largest_file, 3, ("{target} does not fit on its disk",), PERSIST, (2,)),
    Row("persist: folder not writable", world.closed_folder, 3, ("cannot be written (Permission",), PERSIST, (2,)),
    Row("persist: weights not readable", world.closed_weights, 3, ("model.safetensors may not be read; check",), PERSIST, (2,)),
    Row("persist: weights removed", world.no_weights, 3, ("model.safetensors is not there", "--source"), PERSIST, (2,)),
    Row("persist: reader left", world.no_reader, 141, (), PERSIST, (2,), NEW),
    # other commands
    Row("lock: folder not writable", world.closed_spec_folder, 3, ("spec.yaml.lock", "Permission denied"), ("lock", "{spec}"), (0,)),
    Row("lock: a folder in its place", world.lock_is_a_folder, 3, ("spec.yaml.lock",), ("lock", "{spec}"), (0,)),
    Row("lock: disk full", world.largest_file_of_nothing, 3, ("spec.yaml.lock",), ("lock", "{spec}"), (0,)),
    Row("init: folder not writable", world.closed_folder, 3, ("Permission denied",), ("init", "{parent}/new.yaml"), (0,)),
    Row("schema: folder not writable", world.closed_folder, 3, ("Permission denied",), ("schema", "-o", "{parent}/schemas"), (0,)),
    Row("validate: reader left", world.no_reader, 141, (), ("validate", "{spec}"), (0,)),
    Row("plan: reader left", world.no_reader, 141, (), ("plan", "{spec}"), (0,)),
    Row("diff: reader left", world.no_reader, 141, (), ("diff", "{spec}", "{target}/spec.yaml"), (1,)),
    Row("inspect: reader left", world.no_reader, 141, (), ("inspect", "{target}"), (1,)),
    Row("verify: reader left", world.no_reader, 141, (), ("verify", "{target}"), (1,)),
    Row("verify: stdout full", world.full_stdout, 3, ("No space left",), ("verify", "{target}"), (1,)),
    Row("verify: file not readable", world.closed_artifact_file, 4, ("model/config.json",), ("verify", "{target}"), (1,)),
    Row("verify: folder not readable", world.closed_artifact, 4, ("Permission denied",), ("verify", "{target}"), (1,)),
    Row("verify: nothing there", world.nothing, 4, ("{target} is not an artifact",), ("verify", "{target}"), (0,)),
    Row("predict: nothing can be remembered", world.closed_cache, 0, (), ("predict", "{target}", "a film"), (1,)),
    Row("predict: reader left", world.no_reader, 0, (), ("predict", "{target}", "a film"), (1,)),
    Row("predict: stdout full", world.full_stdout, 3, ("error: the answer cannot be written to standard",), ("predict", "{target}", "a film"), (1,)),
    Row("predict: file not readable", world.closed_artifact_file, 4, ("config.json",), ("predict", "{target}", "a"), (1,)),
    Row("diff: artifact not readable", world.closed_artifact, 4, ("Permission",), ("diff", "{target}", "{target}"), (1,)),
]
ATOMIC, HUB, FAULTS = "tests/artifact/test_staging.py", "tests/sources/test_hub_faults.py", "tests/faults"
ELSEWHERE = [
    Elsewhere("SIGKILL at any deed", "old or new, whole; the next run clears up", f"{ATOMIC}::test_killed_at_twenty_moments"),
    Elsewhere("persist: SIGKILL at any deed", "one or the other, whole", "tests/reference/test_persisting.py::test_killed_at_any_point"),
    Elsewhere("persist: SIGTERM, two at once", "one or the other, nothing beside; full", "tests/reference/test_persisting.py::test_asked_to_stop_and_two_at_once"),
    Elsewhere("persist: hub lost", "kept; goes on", "tests/reference/test_persisting.py::test_a_lost_hub_and_another_attempt"),
    Elsewhere("SIGTERM, SIGINT, SIGHUP at any deed", "old or new, whole, nothing beside", f"{ATOMIC}::test_asked_to_stop"),
    Elsewhere("two compiles of one target", "both succeed, whole", f"{ATOMIC}::test_two_compiles_of_one_target"),
    Elsewhere("no atomic exchange", "old comes back", f"{ATOMIC}::test_where_the_system_cannot_exchange_folders"),
    Elsewhere("source changes meanwhile", "refused, nothing left", f"{ATOMIC}::test_a_source_that_changes_meanwhile"),
    Elsewhere("target is something else", "left alone", f"{ATOMIC}::test_what_is_not_ours_is_left_alone"),
    Elsewhere("target holds the source", "refused", f"{ATOMIC}::test_a_source_in_the_target_is_not_lost"),
    Elsewhere("two targets share a cache", "same bytes", f"{FAULTS}/test_hub.py::test_two_compiles_share_an_empty_cache"),
    Elsewhere("hub lost at each request", "nothing left; goes on", f"{FAULTS}/test_hub.py::test_hub_lost_at_each_request"),
    Elsewhere("one request in three fails", "same bytes", f"{FAULTS}/test_hub.py::test_a_hub_that_fails_every_third_time"),
    Elsewhere("cache read-only, full", "said, nothing left", f"{FAULTS}/test_hub.py::test_a_cache_that_takes_nothing"),
    Elsewhere("cache damaged", "fetched again", f"{HUB}::test_a_file_damaged_in_the_cache_is_fetched_again"),
    Elsewhere("hub stalls, limits, breaks off", "tried again", f"{HUB}::test_passing_faults_are_overcome"),
    Elsewhere("bit flipped in a file", "refused by name", f"{FAULTS}/test_flips.py::test_flipped_bits_are_refused"),
    Elsewhere("file swapped after it was verified", "refused", "tests/integrity/test_swapped.py::test_what_is_swapped_between_verifying_and_loading_is_named"),
    Elsewhere("memory of digests forged", "not believed", "tests/integrity/test_verified_memory.py::test_a_memory_that_others_may_write_is_not_believed"),
    Elsewhere("stderr closed", "succeeds", "tests/cli/test_streams.py::test_a_closed_stderr_silences_progress_and_nothing_else"),
    Elsewhere("signing: place not writable", "said, nothing left", "tests/artifact/test_signing.py::test_places_that_are_not_written_to"),
]
