"""Memory that a batch has freed is there for the next, unless whoever starts the process says otherwise."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from hfspec.runtime.host.allocator import SET_OUTSIDE, TUNABLES

GLIBC = platform.libc_ver()[0] == "glibc"
# Blocks as a layer makes them, and how many pages the system had to give anew for them.
LAYERS = """
import resource, sys
import torch
import hfspec
if sys.argv[1:]:
    hfspec.load(sys.argv[1], keep_memory=sys.argv[2:] == ["keep"]).predict(["a text"])
def run():
    held = torch.ones(2_000_000)
    for _ in range(20):
        held = held + 1
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        held = held * 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
run()
print(run())
"""


def pages(*arguments, **environment):
    kept = {name: value for name, value in os.environ.items() if name not in {*SET_OUTSIDE, TUNABLES}}
    return int(
        subprocess.run(
            [sys.executable, "-c", LAYERS, *map(str, arguments)],
            env={**kept, **environment},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
    )


@pytest.mark.skipif(not GLIBC, reason="another C library")
def test_who_asks_for_it_does_not_give_back_what_the_next_batch_needs(artifact):
    assert pages(artifact("bert-sentiment"), "keep") < 100


@pytest.mark.skipif(not GLIBC, reason="another C library")
def test_a_load_leaves_the_allocator_as_it_is_unless_it_is_asked(artifact):
    assert pages(artifact("bert-sentiment")) > 1000


@pytest.mark.skipif(not GLIBC, reason="another C library")
@pytest.mark.parametrize(
    "environment", [{"MALLOC_MMAP_THRESHOLD_": "131072"}, {TUNABLES: "glibc.malloc.mmap_threshold=131072"}]
)
def test_what_the_environment_says_holds(artifact, environment):
    assert pages(artifact("bert-sentiment"), "keep", **environment) > 1000
