"""What a process that only answers loads, counted in modules, and that nothing else of it differs."""

from __future__ import annotations

import gc
import json
import subprocess
import sys

import pytest

import hfspec
from hfspec.runtime import matching, starting
from hfspec.runtime.starting import seldom

# What transformers imports for training, compiling and models split over processes, and what that imports.
LEFT_OUT = {"torch._dynamo.symbolic_convert", "torch.distributed.tensor._api", "scipy", "sklearn", "sympy", "pandas"}
PREDICTOR = """
import atexit, json, runpy, sys
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0])
atexit.register(lambda: print("\\n" + json.dumps(sorted(sys.modules))))
runpy.run_path(sys.argv[0] + "/predictor.py", run_name="__main__")
"""
ONLY_ANSWERING = "from hfspec import inference_only; inference_only()\n"


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
    assert run(ONLY_ANSWERING + program) == ["[2.0, 2.0] False"]


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
    assert run(ONLY_ANSWERING + program) == ["False", "True"]


def test_a_module_of_what_is_deferred_is_made_once():
    """Importing it has its package run, which imports it."""
    program = (
        "import sys, importlib, torch, transformers.modeling_utils\n"
        "import torch._dynamo.config as config, torch._dynamo.eval_frame as code\n"
        "print(config is torch._dynamo.config, config.__spec__.name, importlib.reload(code) is code)\n"
        "config.suppress_errors = True\n"
        "from torch._dynamo import convert_frame\n"
        "print(convert_frame.config.suppress_errors, code is torch._dynamo.eval_frame)\n"
    )
    assert run(ONLY_ANSWERING + program) == ["True torch._dynamo.config True", "True True"]


def test_what_the_library_asks_for_is_answered_truly_afterwards():
    program = (
        "import transformers.modeling_utils, transformers.utils as utils, torch.distributed\n"
        "from transformers.utils.import_utils import is_torch_distributed_available\n"
        "print(is_torch_distributed_available() == torch.distributed.is_available())\n"
        "from importlib.util import find_spec\n"
        "print(utils.is_scipy_available() == (find_spec('scipy') is not None))\n"
        "import sys; print(sum('runtime.process' in type(finder).__module__ for finder in sys.meta_path))\n"
        "import gc; print(gc.get_threshold()[0])\n"
    )
    assert run(ONLY_ANSWERING * 2 + program) == ["True", "True", "1", "50000"]


def test_the_end_runs_what_is_registered_and_loses_no_output():
    program = (
        "import atexit, sys; from hfspec.runtime.process import leave\n"
        "atexit.register(print, 'registered')\n"
        "print('said'); sys.stdout.write('half a line'); leave(7)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "said\nhalf a lineregistered\n", "")


AFTER_LOADING = (
    "import gc, sys, hfspec\n"
    "threshold, finders = gc.get_threshold(), list(sys.meta_path)\n"
    "hfspec.load(sys.argv[1]).predict(['a fine film'])\n"
    "assert gc.get_threshold() == threshold, gc.get_threshold()\n"
    "assert [finder for finder in sys.meta_path if finder in finders] == finders, sys.meta_path\n"
    "assert not any('hfspec' in type(finder).__module__ for finder in sys.meta_path), sys.meta_path\n"
)
COMPILING = """
import torch, torch._dynamo
double = torch.compile(lambda x: x + x, backend="eager")
print(double(torch.ones(2)).tolist(), torch._dynamo.is_compiling())
"""
DISTRIBUTED = """
import torch
from torch.distributed.tensor import DTensor
from transformers.distributed.utils import is_dtensor
print(isinstance(torch.ones(1), DTensor), is_dtensor(torch.ones(1)))
"""
ASSISTED = """
from importlib.util import find_spec
from transformers.generation import candidate_generator as module
print(module.is_sklearn_available() == (find_spec("sklearn") is not None))
"""


def test_loading_in_any_process_imports_no_scipy_or_scikit_learn(artifact):
    program = "print(sorted({'scipy', 'sklearn', 'torch._inductor.compile_fx'} & set(sys.modules)))\n"
    assert run(AFTER_LOADING + program, artifact("bert-sentiment")) == ["[]"]


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (COMPILING, "[2.0, 2.0] False"),
        (DISTRIBUTED, "False False"),
        (ASSISTED, "True"),
    ],
    ids=["compiler", "tensors over processes", "assisted generation"],
)
def test_a_process_that_has_loaded_may_do_anything_else(program, expected, artifact):
    assert run(AFTER_LOADING + program, artifact("bert-sentiment")) == [expected]


@pytest.mark.parametrize("first", ["", "import scipy.optimize\n"], ids=["imported when used", "imported before"])
def test_the_losses_of_detectors_match_boxes_by_scipy(first, artifact):
    """By scipy's own function where somebody has imported it before; what they say of themselves is the same."""
    pytest.importorskip("scipy")
    program = (
        "import inspect, torch\nfrom transformers.loss import loss_for_object_detection as losses\n"
        "print('scipy' in sys.modules)\n"
        "matcher = losses.HungarianMatcher(class_cost=1, bbox_cost=1, giou_cost=1)\n"
        "boxes = torch.tensor([[.2, .2, .1, .1], [.7, .7, .1, .1]])\n"
        "given = {'logits': torch.zeros(1, 2, 3), 'pred_boxes': boxes[None]}\n"
        "wanted = [{'class_labels': torch.tensor([0, 1]), 'boxes': boxes.flip(0)}]\n"
        "print([[side.tolist() for side in pair] for pair in matcher(given, wanted)])\n"
        "import scipy.optimize\n"
        "print(losses.linear_sum_assignment is scipy.optimize.linear_sum_assignment, losses.is_scipy_available())\n"
        "print(type(losses.__spec__.loader).__name__, 'scipy' in inspect.getsource(losses))\n"
    )
    assert run(first + AFTER_LOADING + program, artifact("bert-sentiment")) == [
        str(bool(first)),
        "[[[0, 1], [1, 0]]]",
        f"{bool(first)} True",
        "SourceFileLoader True",
    ]


def test_the_stand_in_for_scipy_has_the_rest_of_it():
    optimize = pytest.importorskip("scipy.optimize")
    assert matching.minimize is optimize.minimize
    assert matching.linear_sum_assignment([[2, 1], [1, 2]])[1].tolist() == [1, 0]
    with pytest.raises(AttributeError, match="__path__"):
        _ = matching.__path__


def test_garbage_is_looked_for_as_before_when_the_last_load_has_ended():
    before = gc.get_threshold()
    with seldom(), seldom():
        assert gc.get_threshold() == (starting.OBJECTS, *before[1:])
    assert gc.get_threshold() == before


def test_what_the_caller_sets_about_garbage_meanwhile_stays():
    before = gc.get_threshold()
    try:
        with seldom():
            gc.set_threshold(900, 9, 9)
        assert gc.get_threshold() == (900, 9, 9)
        gc.set_threshold(0)
        with seldom():
            assert gc.get_threshold()[0] == 0
    finally:
        gc.set_threshold(*before)
