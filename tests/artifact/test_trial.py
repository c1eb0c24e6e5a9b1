"""What a compile says of its trial run: which backend answered, and which one a server takes."""

from __future__ import annotations

import os
import sys

import pytest
import torch

import hfspec
from hfspec.runtime.backends import onednn
from tests import interpreters
from tests.compiling import write_spec

EXAMPLE = {"input_example": "a fine film"}


def said(folder, model, **keys):
    """The notes of a compile that speak of the trial run."""
    notes = hfspec.compile(write_spec(folder / "s", model, **keys), output=folder / "out").notes
    return [note for note in notes if "trial run" in note]


def test_the_backend_that_answered_is_noted(checkpoint, tmp_path):
    (note,) = said(tmp_path, checkpoint("bert-sentiment"), **EXAMPLE)
    predictor = hfspec.load(tmp_path / "out")
    assert predictor.backend in ("onednn", "torch")
    assert note.startswith(f"The trial run took the backend {predictor.backend} on {predictor.device}; a server takes ")
    assert note == predictor.trial_note()
    assert predictor.backend == ("onednn" if predictor.patches["onednn"].on else "torch")


@pytest.mark.parametrize(
    ("instructions", "taken", "elsewhere"),
    [
        ("AVX2", "torch", "onednn on a processor with AVX-512"),
        ("AVX512", "onednn", "torch on a processor without AVX-512"),
    ],
)
def test_which_one_a_server_with_another_processor_takes(
    checkpoint, tmp_path, monkeypatch, instructions, taken, elsewhere
):
    spec = write_spec(tmp_path / "s", checkpoint("bert-sentiment"))
    folder = hfspec.compile(spec, output=tmp_path / "out", run=False).path
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: instructions)
    onednn.is_faster.cache_clear()
    try:
        note = hfspec.load(folder).trial_note()
    finally:
        onednn.is_faster.cache_clear()
    assert f"took the backend {taken} on cpu; a server takes {elsewhere}" in note


@pytest.mark.parametrize(
    ("runtime", "options", "expected"),
    [
        ({"backend": "torch"}, {}, "The trial run took the backend torch on cpu."),
        ({"backend": "onednn"}, {}, "The trial run took the backend onednn on cpu."),
        ({}, {"backend": "torch"}, "The trial run took the backend torch on cpu."),
        ({}, {"patches": "none"}, "The trial run took the backend torch on cpu."),
        ({}, {"dtype": "float16"}, "The trial run took the backend torch on cpu."),
        ({"device": "cpu"}, {}, None),
    ],
    ids=["torch", "onednn", "asked", "no patches", "float16", "device"],
)
def test_what_is_fixed_is_the_same_on_a_server(checkpoint, tmp_path, runtime, options, expected):
    spec = write_spec(tmp_path / "s", checkpoint("bert-sentiment"), **({"runtime": runtime} if runtime else {}))
    made = hfspec.compile(spec, output=tmp_path / "out", run=False)
    assert not [note for note in made.notes if "trial run" in note]  # of a run that was not
    note = hfspec.load(made.path, **options).trial_note()
    assert "GPU" not in note
    assert expected is None or note.partition(" Products in ")[0] == expected


@pytest.mark.probes
def test_a_plain_input_is_a_trial_run_too(checkpoint, tmp_path):
    spec = write_spec(tmp_path / "s", checkpoint("gpt2"))
    done = interpreters.run(
        [sys.executable, "-m", "hfspec", "compile", spec, "-o", tmp_path / "out"],
        env={**os.environ, "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert f"note: {hfspec.load(tmp_path / 'out').trial_note()}" in done.stderr.splitlines()


@pytest.mark.parametrize("options", [["a text"], ["--json", "-"]], ids=" ".join)
def test_the_backend_is_told_with_a_check_only(checkpoint, tmp_path, options, capsys):
    from hfspec.runtime.command import main

    assert main(tmp_path, [*options, "--say-backend"]) == 2
    assert "--say-backend is of use with --check only." in capsys.readouterr().err
