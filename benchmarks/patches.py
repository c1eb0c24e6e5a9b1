"""The worth of each patch: the same calls with it and without it, in one process, in turn.

    python -m benchmarks.patches [--rounds N] [--only NAME ...]

One thread, so that what else the machine does costs time and not a core. Processor time and wall time are medians over
the rounds. `first-values` is of the start of a process, which `make bench` measures; `masks` is for a GPU.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.machine import processor
from benchmarks.work import CHECKPOINTS, WORK

if TYPE_CHECKING:
    from collections.abc import Iterator

# Patch, work, rows: of the two works of decoding the answers are of unlike lengths, as real ones are.
CASES = (
    ("onednn", "classification", 32),
    ("onednn", "embeddings", 64),
    ("onednn", "generation", 8),
    ("t5-steps", "summarization", 8),
    ("decoding", "generation", 8),
    ("decoding", "summarization", 8),
    ("roomy-cache", "generation", 8),
    ("roomy-cache", "summarization", 8),
)
ONEDNNS = ("onednn", "t5-steps")  # of that backend
ENDING = 0.06  # of the rows end at each step, as answers of about 16 tokens do
WARM = 3  # calls: oneDNN puts weights in order at the third
NEVER = {"torch": ("0.0", "0.0")}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=[], help="the patches to measure")
    options = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(1)
    print(f"{processor()}, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}, 1 thread")
    print("| patch | work | rows | processor s without | with | gain | wall s without | with | gain |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, work, count in CASES:
        if not options.only or name in options.only:
            print(line(name, work, count, options.rounds), flush=True)
    return 0


def line(name: str, work: str, count: int, rounds: int) -> str:
    """A row of the table."""
    ways = [_call(name, work, count, is_on=is_on) for is_on in (False, True)]
    for way in ways * (WARM if name in ONEDNNS else 1):
        way()
    spent: tuple[list[tuple[float, float]], ...] = ([], [])
    for _ in range(rounds):
        for times, way in zip(spent, ways, strict=True):
            times.append(_seconds(way))
    figures = []
    for kind in (0, 1):
        without, with_it = (median(pair[kind] for pair in times) for times in spent)
        figures.append(f"{without:.3f} | {with_it:.3f} | {without / with_it:.2f}x")
    return f"| {name} | {work} | {count} | {' | '.join(figures)} |"


def _seconds(way: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of the processor, and of the clock."""
    cpu, wall = time.process_time(), time.perf_counter()
    way()
    return time.process_time() - cpu, time.perf_counter() - wall


def _call(name: str, work: str, count: int, *, is_on: bool) -> Callable[[], Any]:
    """A predict over the rows of a work by a predictor that was loaded with the patch or without."""
    import hfspec
    from benchmarks.contenders import ours
    from benchmarks.material import make_one

    checkpoint = WORK[work].checkpoint
    if checkpoint is not None:
        make_one(str(CHECKPOINTS), checkpoint)
    ours.prepare(work)
    with _untested(name, not is_on):
        predictor = hfspec.load(ours.artifact(work), backend="onednn" if name in ONEDNNS else "torch")
    patch = predictor.patches[name]
    if patch.on != is_on:
        raise SystemExit(f"{name} is {'on' if patch.on else 'off'} for {work}: {patch.why}")
    _end_at_random(predictor)
    rows = WORK[work].rows(count)
    return lambda: predictor.predict(rows)


def _end_at_random(predictor: Any) -> None:
    """Random weights hardly ever choose the end of an answer: let it be likeliest where a hash of a step says so."""
    runner = predictor._runner  # noqa: SLF001
    if not hasattr(runner, "decoder"):
        return
    model, head = runner.model, runner.model.get_output_embeddings()
    end = int(model.config.eos_token_id)
    steps = {"count": 0}

    def ending(_: Any, __: Any, logits: Any) -> Any:
        import torch

        steps["count"] += 1
        chances = torch.rand(len(logits), generator=torch.Generator().manual_seed(steps["count"]))
        logits[:, -1, end] = torch.where(chances < ENDING, 1e4, logits[:, -1, end])
        return logits

    head.register_forward_hook(ending)


@contextmanager
def _untested(name: str, is_off: bool) -> Iterator[None]:  # noqa: FBT001
    """While it lasts, a patch was tested with no version that exists, so that a load leaves it off."""
    from dataclasses import replace

    from hfspec.runtime.patches.table import PATCHES

    patch = PATCHES[name]
    if is_off:
        PATCHES[name] = replace(patch, tested=NEVER)
    try:
        yield
    finally:
        PATCHES[name] = patch


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main(sys.argv[1:]))
