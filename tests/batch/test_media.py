"""Folders of images and sounds through a batch: what the library's own pipeline answers, and bad files as errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import hfspec
from hfspec.cli.app import app
from tests.compiling import write_spec
from tests.runtime.images import file_of, picture
from tests.runtime.sounds import encoded, tone

pa = pytest.importorskip("pyarrow", reason="the extra `batch` is not installed")

import pyarrow.parquet as pq  # noqa: E402

from hfspec.batch.finding import find  # noqa: E402
from hfspec.batch.job import Job  # noqa: E402
from hfspec.batch.rows import InputRows  # noqa: E402
from hfspec.batch.run import run  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of a standard deviation inside the library


@pytest.fixture(scope="module")
def of_task(tmp_path_factory: pytest.TempPathFactory, checkpoint: Callable[[str], Path]) -> Callable[[str, str], str]:
    def made(name: str, task: str) -> str:
        folder = tmp_path_factory.mktemp(name)
        return str(hfspec.compile(write_spec(folder, checkpoint(name), task=task), output=folder / "artifact").path)

    return made


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images or sounds each call of a model has."""
    from transformers import ViTForImageClassification

    found: list[int] = []
    forward = ViTForImageClassification.forward

    def counted(self: Any, pixel_values: Any, **more: Any) -> Any:
        found.append(len(pixel_values))
        return forward(self, pixel_values=pixel_values, **more)

    monkeypatch.setattr(ViTForImageClassification, "forward", counted)
    return found


def answered(output: Path) -> list[dict[str, Any]]:
    return pq.read_table(sorted(output.glob("part-*"))).to_pylist()


def test_a_folder_of_images_as_the_pipeline_labels_them(
    of_task: Callable[[str, str], str], checkpoint: Callable[[str], Path], tmp_path: Path, calls: list[int]
) -> None:
    from transformers import pipeline

    artifact = of_task("vit", "image-classification")
    pictures = {f"{place % 2}/{place}.png": picture(place, (30 + place, 40)) for place in range(6)}
    (tmp_path / "in" / "0").mkdir(parents=True)
    (tmp_path / "in" / "1").mkdir()
    for name, image in pictures.items():
        (tmp_path / "in" / name).write_bytes(file_of(image))
    bad = {"0/a.png": b"no image", "1/half.jpeg": file_of(picture(9), "JPEG")[:300], "1/none.gif": b""}
    for name, data in bad.items():
        (tmp_path / "in" / name).write_bytes(data)
    (tmp_path / "in" / "notes.md").write_text("of no format")
    calls.clear()
    command = ["batch", artifact, str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--keep", "path"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert max(calls) > 1, "images of several files are one batch"
    pipe = pipeline("image-classification", str(checkpoint("vit")), device="cpu")
    rows = {str(Path(row["path"]).relative_to(tmp_path / "in")): row for row in answered(tmp_path / "out")}
    assert [*rows] == sorted([*pictures, *bad])
    for name, image in pictures.items():
        best = pipe(image)[0]
        assert (rows[name]["label"], rows[name]["error"]) == (best["label"], None)
        assert rows[name]["score"] == pytest.approx(best["score"], abs=1e-5)
    for name in bad:
        assert rows[name]["label"] is None
        assert rows[name]["error"]["kind"] == "InputError"


def test_a_folder_of_sounds_as_the_pipeline_transcribes_them(
    of_task: Callable[[str, str], str], checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    from transformers import pipeline

    artifact = of_task("wav2vec2-ctc", "automatic-speech-recognition")
    sounds = {f"{place}.wav": tone(220 + 110 * place, 0.5 + place / 4) for place in range(4)}
    for name, sound in sounds.items():
        (tmp_path / name).write_bytes(encoded([sound], "wav-float"))
    (tmp_path / "cut.flac").write_bytes(encoded([tone(300, 1, 22050)], "flac")[:40])
    (tmp_path / "empty.mp3").write_bytes(b"")
    run(Job(artifact, (str(tmp_path),), str(tmp_path / "out"), keep=("path",)))
    pipe = pipeline("automatic-speech-recognition", str(checkpoint("wav2vec2-ctc")), device="cpu")
    rows = {Path(row["path"]).name: row for row in answered(tmp_path / "out")}
    assert [*rows] == sorted([*sounds, "cut.flac", "empty.mp3"])
    for name, sound in sounds.items():
        assert (rows[name]["answer"], rows[name]["error"]) == (pipe(sound.copy())["text"], None)
    assert {rows[name]["error"]["kind"] for name in ("cut.flac", "empty.mp3")} == {"InputError"}


def test_a_file_that_is_gone_is_the_error_of_its_row(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(name.encode())
    rows = InputRows(find([str(tmp_path)]))
    part = rows.parts()[0]
    (tmp_path / "a.png").unlink()
    first, second = rows.read(part)
    assert "cannot be read" in first.faults[0]
    assert (second.faults, second.table.column("bytes").to_pylist()) == ({}, [b"b.png"])
