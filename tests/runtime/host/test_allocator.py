"""Memory that a batch has freed is there for the next, unless whoever starts the process says otherwise."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from hfspec.runtime.host.allocator import SET_OUTSIDE, TUNABLES

GLIBC = platform.libc_ver()[0] == "glibc"
# Blocks that lie one beside the other, and how many megabytes of them the system gets back once all are freed.
BLOCKS = """
import gc, os, sys
import hfspec
if sys.argv[1:]:
    hfspec.load(sys.argv[1], keep_memory=sys.argv[2:] == ["keep"]).predict(["a text"])
def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
blocks = [bytearray(100_000) for _ in range(2_000)]
full = held()
del blocks
gc.collect()
print((full - held()) // 1_000_000)
"""


def given_back(*arguments, **environment):
    """Of 200 MB."""
    kept = {name: value for name, value in os.environ.items() if name not in {*SET_OUTSIDE, TUNABLES}}
    return int(
        subprocess.run(
            [sys.executable, "-c", BLOCKS, *map(str, arguments)],
            env={**kept, **environment},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
    )


@pytest.mark.skipif(not GLIBC, reason="another C library")
def test_who_asks_for_it_does_not_give_back_what_the_next_batch_needs(artifact):
    assert given_back(artifact("bert-sentiment"), "keep") < 10


@pytest.mark.skipif(not GLIBC, reason="another C library")
def test_a_load_leaves_the_allocator_as_it_is_unless_it_is_asked(artifact):
    assert given_back(artifact("bert-sentiment")) > 100


@pytest.mark.skipif(not GLIBC, reason="another C library")
@pytest.mark.parametrize(
    "environment", [{"MALLOC_MMAP_THRESHOLD_": "131072"}, {TUNABLES: "glibc.malloc.mmap_threshold=131072"}]
)
def test_what_the_environment_says_holds(artifact, environment):
    assert given_back(artifact("bert-sentiment"), "keep", **environment) > 100
