"""One process that imports hfspec and its libraries once, and runs scripts in forks of itself.

A fork has what a fresh interpreter would take seconds to import, so that whatever befalls a compile befalls the compile
and not its imports.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SERVER = """
import contextlib, json, os, resource, shutil, signal, sys, threading, time, traceback
import hfspec, hfspec.cli.app, hfspec.stages.emit, tqdm, transformers
from hfspec.artifact.trial import Trial

hfspec.stages.emit.probe = lambda *_: Trial()  # as in the tests' own process
tqdm.tqdm.set_lock(threading.RLock())  # its own is one for all forks, and a killed one would never give it back
tqdm.tqdm.monitor_interval = 0  # nor is there a thread that may hold it while a fork begins
hfspec.plan(sys.argv[1])  # warms up what is imported late
target = ""
spec = ""

def start(*overrides, at=None, signal=signal.SIGKILL):
    '''A compile in a fork; ``at``: the signal hits it at its so-manyth deed at the target.'''
    child = os.fork()
    if child:
        return child
    code = 9
    deeds = watch(at, signal)
    try:
        hfspec.compile(spec, output=target, overrides=overrides)
        code = 0
    except hfspec.StorageError as error:
        code = 3
    except BaseException as error:
        code = 7
    finally:
        with contextlib.suppress(OSError), open(os.path.dirname(target) + ".deeds", "w") as file:
            file.write(str(len(deeds)))
        os._exit(code)

def watch(at, signal):
    '''What is opened, made, renamed and removed in the target's folder, as it grows.'''
    found = []
    place = os.path.dirname(target) + os.sep

    def hook(event, arguments):
        if any(isinstance(item, (str, os.PathLike)) and str(item).startswith(place) for item in arguments[:2]):
            found.append(event)
            if len(found) == at:
                os.kill(os.getpid(), signal)

    sys.addaudithook(hook)
    return found

def deeds():
    '''How many the last compile did.'''
    with open(os.path.dirname(target) + ".deeds") as file:
        return int(file.read())

def ended(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def held():
    return hfspec.verify(target).digest if os.path.lexists(target) else None

def beside():
    return sorted(set(os.listdir(os.path.dirname(target))) - {os.path.basename(target)})

print("ready", flush=True)
for line in sys.stdin:
    script, spec, target, said = json.loads(line)
    child = os.fork()
    if not child:
        code = 1
        try:
            out = os.open(said, os.O_WRONLY)
            os.dup2(out, 1)
            os.dup2(out, 2)
            exec(script)
            sys.stdout.flush()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    print(ended(child), flush=True)
"""


class ForkServer:
    """``warm_spec``: a spec whose plan imports what others need too. It is close()d at last."""

    def __init__(self, warm_spec: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(warm_spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONHASHSEED": "0"},
        )
        assert self._answer() == "ready"

    def run(self, script: str, spec: Path, target: Path) -> Any:
        """What the script, run in a fork with the names above, prints as JSON on its last line."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("r") as said:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps([script, str(spec), str(target), said.name]) + "\n")
            self._process.stdin.flush()
            code, text = self._answer(), said.read()
        assert code == "0", text
        return json.loads(text.splitlines()[-1])

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()
