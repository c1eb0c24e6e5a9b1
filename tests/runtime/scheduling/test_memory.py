"""Memory that runs out: batches are halved and tried again; a row that does not fit by itself is named."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import hfspec
from hfspec.errors import OutOfMemoryError
from hfspec.runtime.scheduling import memory
from hfspec.runtime.scheduling.memory import tokens_on_cpu
from tests.runtime.texts import MIXED, shuffled

CPU_SAYS = "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 TB."


@pytest.fixture
def small_device(artifact):
    """``small_device(name, tokens, error)``: a predictor whose model runs out of memory above so many tokens, and the
    shapes of the batches that it was given.
    """
    hooks = []

    def get(name, tokens, error, **config):
        predictor = hfspec.load(artifact(name), model_config={"batch_tokens": 10**6, **config})
        predictor.predict(["a", "a b"])  # the first time that lengths differ, the model is tried with padding
        shapes = []

        def refuse(module, args, options):
            shapes.append(tuple(options["input_ids"].shape))
            if options["input_ids"].numel() > tokens:
                raise error

        hooks.append(predictor.components()["model"].register_forward_pre_hook(refuse, with_kwargs=True))
        return predictor, shapes

    yield get
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError(CPU_SAYS), MemoryError()],
    ids=["cuda", "cpu", "python"],
)
def test_a_batch_that_is_too_large_is_halved_until_it_fits(artifact, small_device, error):
    texts = shuffled(MIXED) * 20
    truth = hfspec.load(artifact("bert-sentiment")).predict(texts)
    predictor, shapes = small_device("bert-sentiment", 256, error)
    answer = predictor.predict(texts)
    assert answer["label"].tolist() == truth["label"].tolist()
    assert answer["score"].tolist() == pytest.approx(truth["score"].tolist(), abs=1e-6)
    failed = [shape for shape in shapes if shape[0] * shape[1] > 256]
    assert len(failed) > 1
    assert [rows for rows, _ in failed] == [failed[0][0] // 2**step for step in range(len(failed))]
    assert sum(rows for rows, width in shapes if rows * width <= 256) == len(texts)


def test_the_smaller_budget_holds_for_the_rest_of_the_call_only(small_device):
    rows = [f"a fine film {number}" for number in range(600)]
    predictor, shapes = small_device("bert-sentiment", 256, MemoryError())
    for _ in range(2):
        shapes.clear()
        assert sum(1 for _ in predictor.predict_iter(rows, window=100)) == 600
        failed = [place for place, (count, width) in enumerate(shapes) if count * width > 256]
        assert 0 < len(failed) < 8
        assert max(failed) < len(shapes) // 2


def test_a_row_that_does_not_fit_by_itself_is_named(small_device):
    predictor, _ = small_device("bert-sentiment", 64, torch.OutOfMemoryError("CUDA out of memory. Tried 3 GiB."))
    with pytest.raises(OutOfMemoryError, match=r"row 2: the model needs more memory.*CUDA out of memory") as caught:
        predictor.predict(["a", "b", "a " * 80, "c"])
    assert caught.value.row == 2
    with pytest.raises(OutOfMemoryError, match="row 31: "):
        list(predictor.predict_iter(["a"] * 31 + ["a " * 80] + ["a"] * 5))
    assert len(predictor.predict(["a", "b"])) == 2


def test_other_errors_are_not_taken_for_it(small_device):
    predictor, shapes = small_device("bert-sentiment", 0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1"):
        predictor.predict(["a", "b"])
    assert len(shapes) == 1


def test_generation_is_halved_too(artifact, small_device):
    prompts = shuffled(MIXED)
    truth = hfspec.load(artifact("gpt2")).predict(prompts)
    predictor, shapes = small_device("gpt2", 200, MemoryError())
    assert predictor.predict(prompts) == truth
    assert any(rows * width > 200 for rows, width in shapes)


@pytest.mark.parametrize(
    ("said", "exhausted"),
    [
        ("could not create a primitive", True),
        (
            "could not create a primitive descriptor for the matmul primitive. Run workload with ONEDNN_VERBOSE=all",
            False,
        ),
        ("mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_what_onednn_does_not_have_is_no_lack_of_memory(said, exhausted):
    assert memory.is_exhausted(RuntimeError(said)) is exhausted


REAL = """
import resource, sys
import hfspec

texts = ["a " * 120] * 2000 + ["a fine film"] * 20
roomy = hfspec.load(sys.argv[1])
tight = hfspec.load(sys.argv[1], model_config={"batch_tokens": 10**7})
shapes = []
hook = lambda module, args, options: shapes.append(len(options["input_ids"]))
tight.components()["model"].register_forward_pre_hook(hook, with_kwargs=True)
truth = roomy.predict(texts)
tight.predict(["a", "a b"])
shapes.clear()
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 64_000_000, resource.RLIM_INFINITY))
answer = tight.predict(texts)
assert answer["label"].tolist() == truth["label"].tolist()
assert (answer["score"] - truth["score"]).abs().max() < 1e-6
print(shapes[0], max(shapes[len(shapes) // 2 :]), sum(shapes) > len(texts))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space as Linux counts it")
def test_memory_that_really_runs_out(artifact):
    made = subprocess.run(
        [sys.executable, "-c", REAL, str(artifact("bert-sentiment"))], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    first, later, retried = made.stdout.split()
    assert (int(first), retried) == (2000, "True")
    assert int(later) < 2000


@pytest.mark.parametrize(
    ("width", "size", "tokens"),
    [(768, 4, 512), (384, 4, 1024), (768, 2, 1024), (1024, 4, 384), (4096, 4, 256), (32, 4, 1024)],
)
def test_a_batch_holds_what_the_caches_hold_of_it(width, size, tokens):
    assert tokens_on_cpu(width, size) == tokens


def test_who_says_nothing_gets_a_budget_by_the_width_of_the_model(artifact, monkeypatch):
    monkeypatch.setattr(memory, "FEWEST_ON_CPU", 1)
    monkeypatch.setattr(memory, "CACHED_BYTES", 100 * 32 * 4)
    folder = artifact("bert-sentiment")  # 32 wide
    for keys, tokens in (({}, 100), ({"dtype": "bfloat16"}, 200), ({"model_config": {"batch_tokens": 7}}, 7)):
        assert hfspec.load(folder, device="cpu", **keys).settings()["batch_tokens"].value == tokens
