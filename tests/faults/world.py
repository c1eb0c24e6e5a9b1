"""A world in which one thing is wrong, and what a command does in it. Runs in a fork: nothing of it outlasts a test."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import hfspec
from tests.permissions import enforced

NEW_MOUNTS, READ_ONLY, REMOUNT, PRIVATE, RECURSIVE = 0x20000, 1, 32, 1 << 18, 1 << 14


class NotPermittedError(Exception):
    """This machine does not let the fault be made."""


@dataclass
class World:
    """Where things are: a spec over a checkpoint of its own, the target, and a folder for scraps."""

    spec: Path
    model: Path
    target: Path
    scraps: Path
    stdout: int | None = None
    known: set[str] = field(default_factory=set)

    @property
    def parent(self) -> Path:
        return self.target.parent

    def beside(self) -> list[str]:
        """What lies beside the target and was not there before."""
        if not self.parent.is_dir():
            return []
        return sorted({path.name for path in self.parent.iterdir()} - self.known - {self.target.name})


def held(target: Path) -> str | None:
    """The digest of the artifact there; damaged when it is not whole, None when nothing is there."""
    if not os.path.lexists(target) or (target.is_dir() and not any(target.iterdir())):
        return None
    try:
        return hfspec.verify(target).digest
    except hfspec.VerificationError:
        return "damaged"


def command(world: World, *arguments: str) -> tuple[int, str, str]:
    """The hfspec command in a process of its own: exit code, stdout, stderr."""
    files = [world.scraps / name for name in ("stdout", "stderr")]
    child = os.fork()
    if not child:
        _become_command(world, files, arguments)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, *(file.read_text(encoding="utf-8", errors="replace") for file in files)


def _become_command(world: World, files: list[Path], arguments: tuple[str, ...]) -> None:
    code = 99
    try:
        from hfspec.cli.app import main

        for number, file in enumerate(files, start=1):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        if world.stdout is not None:
            os.dup2(world.stdout, 1)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
        sys.argv = ["hfspec", *arguments]
        main()
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stderr.flush()
        os._exit(code)


def mount(world: World, place: Path, options: str, flags: int = 0) -> None:
    """A file system in memory at ``place``, seen by this process and its children only."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "unshare") or (not flags and libc.unshare(NEW_MOUNTS)):
        raise NotPermittedError("unshare")
    if not flags:
        libc.mount(b"none", b"/", None, PRIVATE | RECURSIVE, None)
    place.mkdir(parents=True, exist_ok=True)
    if libc.mount(b"tmpfs", os.fsencode(place), b"tmpfs", flags, options.encode()):
        raise NotPermittedError("mount")


@contextlib.contextmanager
def nothing(world: World) -> Iterator[None]:
    yield


@contextlib.contextmanager
def full_disk(world: World) -> Iterator[None]:
    """The target's disk has 100 kB left. It is one of its own, which can be filled; see ``on_a_disk_of_its_own``."""
    left = os.statvfs(world.parent)
    filler = world.parent / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, left.f_bavail * left.f_frsize - 100_000)
    world.known.add(filler.name)
    yield


@contextlib.contextmanager
def no_inodes(world: World) -> Iterator[None]:
    """The disk has room, but for ten files only."""
    left = os.statvfs(world.parent).f_favail
    fillers = world.parent / "fillers"
    fillers.mkdir()
    for number in range(left - 11):
        (fillers / str(number)).touch()
    world.known.add(fillers.name)
    yield


@contextlib.contextmanager
def largest_file(world: World) -> Iterator[None]:
    """No file may grow beyond 50 kB, as a quota or `ulimit -f` has it."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextlib.contextmanager
def few_descriptors(world: World) -> Iterator[None]:
    """No more files can be opened than are open, and three."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 3, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextlib.contextmanager
def read_only_disk(world: World) -> Iterator[None]:
    """The target's file system was mounted read-only."""
    mount(world, world.parent, "", READ_ONLY | REMOUNT)
    yield


@contextlib.contextmanager
def closed_folder(world: World) -> Iterator[None]:
    """The target's folder may not be written to."""
    with enforced(), _mode(world.parent, 0o555):
        yield


@contextlib.contextmanager
def hidden_folder(world: World) -> Iterator[None]:
    """The target's folder may not even be looked into."""
    with enforced(), _mode(world.parent, 0o000):
        yield


@contextlib.contextmanager
def closed_weights(world: World) -> Iterator[None]:
    """The source's weights may not be read."""
    with enforced(), _mode(world.model / "model.safetensors", 0o000):
        yield


@contextlib.contextmanager
def no_weights(world: World) -> Iterator[None]:
    """The weights that an artifact refers to are gone."""
    (world.model / "model.safetensors").unlink()
    yield


@contextlib.contextmanager
def closed_source(world: World) -> Iterator[None]:
    with enforced(), _mode(world.model, 0o000):
        yield


@contextlib.contextmanager
def closed_spec(world: World) -> Iterator[None]:
    with enforced(), _mode(world.spec, 0o000):
        yield


@contextlib.contextmanager
def closed_spec_folder(world: World) -> Iterator[None]:
    """The folder of the spec may be read and not written to."""
    with enforced(), _mode(world.spec.parent, 0o555):
        yield


@contextlib.contextmanager
def closed_artifact_file(world: World) -> Iterator[None]:
    with enforced(), _mode(world.target / "model" / "config.json", 0o000):
        yield


@contextlib.contextmanager
def closed_artifact(world: World) -> Iterator[None]:
    with enforced(), _mode(world.target, 0o000):
        yield


@contextlib.contextmanager
def closed_cache(world: World) -> Iterator[None]:
    """Nothing can be remembered."""
    cache = world.scraps / "cache"
    cache.mkdir()
    os.environ["XDG_CACHE_HOME"] = str(cache)
    with enforced(), _mode(cache, 0o555):
        yield


@contextlib.contextmanager
def lost_current_folder(world: World) -> Iterator[None]:
    """The folder that the command was started in was removed."""
    place = world.scraps / "gone"
    place.mkdir()
    os.chdir(place)
    place.rmdir()
    yield


@contextlib.contextmanager
def no_reader(world: World) -> Iterator[None]:
    """Whoever should read stdout has left."""
    reading, world.stdout = os.pipe()
    os.close(reading)
    yield


@contextlib.contextmanager
def full_stdout(world: World) -> Iterator[None]:
    """The disk behind stdout is full."""
    world.stdout = os.open("/dev/full", os.O_WRONLY)
    yield


@contextlib.contextmanager
def no_temporary_folder(world: World) -> Iterator[None]:
    """There is no folder for temporary files."""
    os.environ["TMPDIR"] = "/nowhere"
    yield


@contextlib.contextmanager
def lock_is_a_folder(world: World) -> Iterator[None]:
    Path(f"{world.spec}.lock").mkdir()
    yield


@contextlib.contextmanager
def _mode(path: Path, mode: int) -> Iterator[None]:
    if not os.path.lexists(path):
        yield
        return
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)


@contextlib.contextmanager
def mounted_target(world: World) -> Iterator[None]:
    """The target is an empty folder that something is mounted at, as a container's volume is."""
    mount(world, world.target, "")
    yield


@contextlib.contextmanager
def folder_removed(world: World) -> Iterator[None]:
    """Somebody removes the target's folder, with what is being built in it, when the weights are written."""
    import shutil

    def hook(event: str, arguments: tuple) -> None:
        if event == "open" and str(arguments[0]).startswith(f"{world.parent}/") and "model.safetensors" in arguments[0]:
            shutil.rmtree(world.parent, ignore_errors=True)

    sys.addaudithook(hook)
    yield


@contextlib.contextmanager
def closing_umask(world: World) -> Iterator[None]:
    before = os.umask(0o077)
    with enforced():
        yield
    os.umask(before)


@contextlib.contextmanager
def old_clock(world: World) -> Iterator[None]:
    """Files are of a time before archives can say."""
    for file in (world.spec, *world.model.rglob("*")):
        os.utime(file, (0, 0))
    yield


@contextlib.contextmanager
def largest_file_of_nothing(world: World) -> Iterator[None]:
    """No file takes more than a kilobyte."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
