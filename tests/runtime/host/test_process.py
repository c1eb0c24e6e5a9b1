"""What a process that only answers loads, counted in modules, and that nothing else of it differs."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

import hfspec

# What transformers imports for training, compiling and models split over processes, and what that imports.
LEFT_OUT = {"torch._dynamo.symbolic_convert", "torch.distributed.tensor._api", "scipy", "sklearn", "sympy", "pandas"}
PREDICTOR = """
import atexit, json, runpy, sys
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0])
atexit.register(lambda: print("\\n" + json.dumps(sorted(sys.modules))))
runpy.run_path(sys.argv[0] + "/predictor.py", run_name="__main__")
"""
SETTLED = """
import gc
from hfspec.runtime.host.process import begin, settle
settle()
print(gc.get_freeze_count())
begin()
before = gc.get_threshold()[0]
settle()
print(gc.get_freeze_count() > 1000, before > gc.get_threshold()[0] >= 700)
"""
OURS = "from hfspec.runtime.host.process import begin, import_libraries; begin(); import_libraries(('transformers',))\n"


def run(program: str, *arguments: object) -> list[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", ["bert-sentiment", "gpt2", "minilm-like", "roberta-mnli"])
def test_a_predictor_loads_no_more_than_answering_takes(name, artifact):
    folder = artifact(name)
    *lines, modules = run(PREDICTOR, folder, "a fine film")
    answer = "\n".join(lines)
    assert sorted(LEFT_OUT & set(json.loads(modules))) == []
    assert len(json.loads(modules)) < 1900
    truth = hfspec.load(folder).predict_json(["a fine film"])
    if name in ("bert-sentiment", "roberta-mnli"):
        assert [row["label"] for row in json.loads(answer)] == [row["label"] for row in truth]
    elif name == "gpt2":
        assert json.loads(answer) == truth
    else:
        assert json.loads(answer)[0] == pytest.approx(truth[0], abs=1e-6)


def test_a_process_of_ours_that_has_loaded_all_looks_for_garbage_often_and_not_in_what_it_loaded():
    assert run(SETTLED) == ["0", "True True"]  # any other process is left as it is


def test_planning_loads_no_more_than_shapes_take(checkpoint, tmp_path):
    model = {"path": str(checkpoint("gpt2"))}
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        json.dumps({"spec_version": 1, "library": "transformers", "task": "text-generation", "model": model})
    )
    program = (
        "import atexit, json, sys\nfrom hfspec.__main__ import command\n"
        "atexit.register(lambda: print(json.dumps(sorted(sys.modules))))\ncommand()"
    )
    *_, modules = run(program, "plan", spec)
    assert sorted(LEFT_OUT & set(json.loads(modules))) == []


def test_the_compiler_of_torch_is_imported_when_something_uses_it():
    """By two threads at once, which both see the whole of it."""
    program = (
        "import sys, threading, torch, transformers.modeling_utils\n"
        "assert 'torch._dynamo.symbolic_convert' not in sys.modules\n"
        "import torch._dynamo\n"
        "found = []\n"
        "def look(): found.append(torch._dynamo.explain)\n"
        "threads = [threading.Thread(target=look) for _ in range(2)]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()\n"
        "assert len(found) == 2\n"
        "assert 'torch._dynamo.symbolic_convert' in sys.modules\n"
        "double = torch.compile(lambda x: x + x, backend='eager')\n"
        "print(double(torch.ones(2)).tolist(), torch._dynamo.is_compiling())\n"
    )
    assert run(OURS + program) == ["[2.0, 2.0] False"]


@pytest.mark.parametrize(
    "use",
    [
        "torch.distributed.tensor.DTensor",
        "__import__('torch.distributed.tensor._utils')",
        "__import__('peft').LoraModel",
    ],
)
def test_what_is_deferred_is_there_for_who_uses_it(use):
    """peft takes torch.distributed.tensor to be there after transformers is imported."""
    program = (
        "import sys, torch, transformers.modeling_utils\n"
        f"assert 'torch.distributed.tensor._api' not in sys.modules\n{use}\n"
        "print(isinstance(torch.ones(1), torch.distributed.tensor.DTensor))\n"
        "import torch._dynamo.config; print('torch._dynamo.symbolic_convert' in sys.modules)\n"
    )
    assert run(OURS + program) == ["False", "True"]


def test_what_the_library_asks_for_is_answered_truly_afterwards():
    program = (
        "import transformers.modeling_utils, transformers.utils as utils, torch.distributed\n"
        "from transformers.utils.import_utils import is_torch_distributed_available\n"
        "print(is_torch_distributed_available() == torch.distributed.is_available())\n"
        "from importlib.util import find_spec\n"
        "print(utils.is_scipy_available() == (find_spec('scipy') is not None))\n"
        "import sys; print(any('hfspec' in type(finder).__module__ for finder in sys.meta_path))\n"
        "import os; print(os.environ['OMP_WAIT_POLICY'])\n"
    )
    assert run(OURS * 2 + program) == ["True", "True", "False", "PASSIVE"]


def test_what_the_environment_says_of_waiting_threads_holds(monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert run(OURS + "import os; print(os.environ['OMP_WAIT_POLICY'])") == ["ACTIVE"]


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="reads /proc; ARM keeps the threads"
)
@pytest.mark.parametrize(("said", "threads"), [(None, 1), ("3", 3)])
def test_numpy_starts_threads_only_where_the_environment_says_so(monkeypatch, said, threads):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if said:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", said)
    assert run(OURS + "import numpy, os; print(len(os.listdir('/proc/self/task')))") == [
        str(min(threads, os.cpu_count()))
    ]


def test_only_a_process_of_ours_is_started_in_a_shorter_way():
    program = (
        "import sys; from hfspec.runtime.host.process import import_libraries; import_libraries(('transformers',))\n"
        "print('torch' in sys.modules, 'transformers' in sys.modules)\n"
    )
    assert run(program) == ["False False"]


def test_the_end_runs_what_is_registered_and_loses_no_output():
    program = (
        "import atexit, sys; from hfspec.runtime.host.process import leave\n"
        "atexit.register(print, 'registered')\n"
        "print('said'); sys.stdout.write('half a line'); leave(7)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "said\nhalf a lineregistered\n", "")
