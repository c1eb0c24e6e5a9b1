"""Bits flipped at random places of every file; benchmarks/bit_flips.py does it at 200 places each."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, os, sys, time
from pathlib import Path
import hfspec
from hfspec.integrity.verification import examine
from hfspec.integrity.verified_memory import default_memory
from tests.faults.flips import PARSERS, Flips, Watch

folder = Path(sys.argv[1])
flips, watch = Flips(folder, seed=1), Watch(folder)
time.sleep(0.12)
examine(folder, default_memory())
seen = []
for flipped in (flips.round, flips.manifest_round) * 3:
    for call in (hfspec.verify, hfspec.load):
        with flipped() as names:
            watch.is_on = True
            try:
                call(folder)
                seen.append(["accepted"])
            except hfspec.VerificationError as error:
                seen.append(sorted(set(names) ^ set(error.files)))
            watch.is_on = False
hfspec.verify(folder)
imported = [name for name in PARSERS if name in sys.modules]
print(json.dumps([len(seen), [found for found in seen if found], sorted(watch.parsed), imported, watch.opened > 0]))
"""


@pytest.mark.parametrize("name", ["bert-sentiment", "gpt2-sharded", "st-dense"])
def test_flipped_bits_are_refused(name, copied, tmp_path, monkeypatch):
    """A bit in every file at once: every one is named, none is parsed, by verify and by load alike."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    done = subprocess.run([sys.executable, "-c", SCRIPT, copied(name)], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert json.loads(done.stdout) == [12, [], [], [], True]
