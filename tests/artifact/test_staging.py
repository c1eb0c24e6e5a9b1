"""The target holds a whole artifact or what it held before, whatever happens meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import hfspec
from hfspec.ir.progress import Silent
from tests.compiling import tree_of, write_spec


def test_killed_at_twenty_moments(forks, spec_for, tmp_path):
    """At deeds from the first to the last that a compile does at its target; half of them on a first compile."""
    script = """
CAST = ("dtype=float16", "max_shard_size=4KB")
assert ended(start()) == 0
first = held()
assert ended(start(*CAST)) == 0
second = held()
assert ended(start(*CAST)) == 0
over_itself = deeds()
shutil.rmtree(target)
assert ended(start(*CAST)) == 0
last = min(over_itself, deeds())  # over another spec's artifact a compile does more: it says what it replaced
seen = []
for number in range(20):
    if number == 10:
        shutil.rmtree(target)
    overrides = () if number % 2 else CAST
    child = start(*overrides, at=1 + (last - 1) * (number % 10) // 9 if number % 2 == 0 else None)
    if number % 2:
        time.sleep(0.02 * number)
        os.kill(child, signal.SIGKILL)
    code = ended(child)
    allowed = (first, second) if number < 10 else (None, first, second)
    seen.append([number, code, code == -9 or number % 2 == 1, held() in allowed])
again = ended(start())
print(json.dumps([seen, again, held() == first, first != second, beside()]))
"""
    seen, *after = forks.run(script, spec_for("bert-sentiment"), tmp_path / "out" / "target")
    assert [kill for kill in seen if not (kill[2] and kill[3])] == []
    assert after == [0, True, True, []]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_asked_to_stop(name, forks, spec_for, tmp_path):
    """At any deed, those of cleaning up after the exchange included; nothing is left beside a whole artifact."""
    script = """
CAST = ("dtype=float16", "max_shard_size=4KB")
assert ended(start()) == 0
old = held()
assert ended(start(*CAST)) == 0
new = held()
assert ended(start(*CAST)) == 0
last = deeds()  # over another spec's artifact a compile does more: it says what it replaced
seen = []
for number in range(6):
    code = ended(start(*CAST, at=1 + (last - 1) * number // 5, signal=signal.NAME))
    seen.append([number, code, held() in (old, new), beside()])
print(json.dumps(seen))
"""
    seen = forks.run(script.replace("NAME", name), spec_for("bert-sentiment"), tmp_path / "out" / "target")
    assert all((code, whole, beside) == (7, True, []) for _, code, whole, beside in seen), seen


def test_two_compiles_of_one_target(forks, spec_for, tmp_path):
    script = """
codes = []
for _ in range(3):
    children = [start(), start("dtype=float16"), start("max_shard_size=4KB")]
    codes += [ended(child) for child in children]
    assert held()
print(json.dumps([codes, beside()]))
"""
    assert forks.run(script, spec_for("bert-sentiment"), tmp_path / "out" / "target") == [[0] * 9, []]


def test_full_disk(forks, spec_for, tmp_path):
    """An artifact that is there stays; of a first one not even the folders above it are left."""
    script = """
assert ended(start()) == 0
before = held()
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
again = ended(start("dtype=float64"))
kept = held() == before and not beside()
place = os.path.dirname(target)
target = os.path.join(place, "new", "er", "target")
print(json.dumps([again, kept, ended(start()), os.listdir(place)]))
"""
    assert forks.run(script, spec_for("bert-sentiment"), tmp_path / "out" / "target") == [3, True, 3, ["target"]]


def test_read_only_parent(spec_for, tmp_path, permissions_enforced):
    parent = tmp_path / "closed"
    parent.mkdir(mode=0o555)
    with pytest.raises(hfspec.StorageError, match="cannot be written"):
        hfspec.compile(spec_for("bert-sentiment"), output=parent / "target")
    assert list(parent.iterdir()) == []


def test_parent_is_a_file(spec_for, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(hfspec.StorageError, match="file"):
        hfspec.compile(spec_for("bert-sentiment"), output=tmp_path / "file" / "target")
    assert (tmp_path / "file").read_text() == "mine"


def foreign_folder(target: Path) -> None:
    target.mkdir()
    (target / "thesis.txt").write_text("mine")


def file(target: Path) -> None:
    target.write_text("mine")


def link(target: Path) -> None:
    target.with_name("real").mkdir()
    target.symlink_to("real")


def somebody_elses_json(target: Path) -> None:
    target.mkdir()
    (target / "artifact.json").write_text('{"name": "mine"}')


@pytest.mark.parametrize("make", [foreign_folder, file, link, somebody_elses_json])
def test_what_is_not_ours_is_left_alone(make, spec_for, tmp_path):
    place = tmp_path / "out"
    place.mkdir()
    make(place / "target")
    before = tree_of(place)
    with pytest.raises(hfspec.UsageError, match="choose another --output"):
        hfspec.compile(spec_for("bert-sentiment"), output=place / "target")
    assert tree_of(place) == before
    assert sorted(path.name for path in place.iterdir() if path.name.startswith(".")) == []


def test_an_artifact_with_a_users_file_in_it_is_left_alone(spec_for, artifact):
    (artifact / "notes.txt").write_text("mine")
    before = tree_of(artifact)
    with pytest.raises(hfspec.UsageError, match=r"notes\.txt"):
        hfspec.compile(spec_for("bert-sentiment"), output=artifact)
    assert tree_of(artifact) == before


def test_a_damaged_artifact_is_replaced(spec_for, artifact):
    (artifact / "model" / "model.safetensors").write_bytes(b"damaged")
    (artifact / "README.md").unlink()
    hfspec.compile(spec_for("bert-sentiment"), output=artifact)
    assert hfspec.verify(artifact)


def test_a_read_only_artifact_is_replaced_without_a_trace(spec_for, artifact, permissions_enforced):
    for place in [artifact, *artifact.rglob("*")]:
        place.chmod(0o555 if place.is_dir() else 0o444)
    made = hfspec.compile(spec_for("bert-sentiment"), output=artifact, overrides=["dtype=float16"])
    assert hfspec.verify(artifact).digest == made.digest
    assert not list(artifact.parent.glob(".*partial"))


def test_the_current_folder_is_not_replaced_under_ones_feet(spec_for, artifact, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    for place, output in ((artifact / "model", artifact), (artifact, "."), (tmp_path / "empty", ".")):
        monkeypatch.chdir(place)
        with pytest.raises(hfspec.UsageError, match="current folder"):
            hfspec.compile(spec_for("bert-sentiment"), output=output)
    assert hfspec.verify(artifact)


def test_a_source_in_the_target_is_not_lost(artifact, tmp_path):
    """Compiled from the model of an artifact into that artifact, the old weights would be gone."""
    (tmp_path / "link").symlink_to(artifact.name)
    for source, target in ((artifact / "model", artifact), (tmp_path / "link" / "model", artifact)):
        spec = write_spec(tmp_path / "s", source)
        with pytest.raises(hfspec.UsageError, match="holds the source"):
            hfspec.compile(spec, output=target, overrides=["dtype=float16", "task=text-classification"])
    assert hfspec.verify(artifact).deployment.dtype == "float32"
    assert hfspec.compile(spec, output=tmp_path / "beside").path.is_dir()


def test_a_target_inside_an_artifact(spec_for, tmp_path):
    """Writing there would make the artifact one that no longer verifies."""
    around = hfspec.compile(spec_for("bert-sentiment"), output=tmp_path / "around").path
    with pytest.raises(hfspec.UsageError, match="lies in the artifact"):
        hfspec.compile(spec_for("bert-sentiment"), output=around / "model" / "inner")
    hfspec.verify(around)


def test_a_target_in_the_source_is_no_part_of_it(own_copy, tmp_path):
    model = own_copy("bert-sentiment")
    first, again = (hfspec.compile(write_spec(tmp_path / "s", model), output=model / "build" / "x") for _ in range(2))
    assert first.digest == again.digest


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("x" * 300, hfspec.StorageError, "too long"),
        ("x\0y", hfspec.UsageError, "null character"),
        ("/proc/nowhere/x", hfspec.StorageError, "/proc/nowhere"),
    ],
    ids=["long", "null", "proc"],
)
def test_names_that_no_folder_can_have(name, error, message, spec_for, tmp_path):
    with pytest.raises(error, match=message):
        hfspec.compile(spec_for("bert-sentiment"), output=f"{tmp_path}/out/{name}" if name[0] == "x" else name)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 120, "a b\n*[x]"], ids=["longest", "wide", "odd"])
def test_names_that_a_folder_can_have(name, spec_for, tmp_path):
    assert hfspec.verify(hfspec.compile(spec_for("bert-sentiment"), output=f"{tmp_path}/out/{name}/").path)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]


def test_an_empty_folder_is_used(spec_for, tmp_path):
    (tmp_path / "empty").mkdir()
    artifact = hfspec.compile(spec_for("bert-sentiment"), output=tmp_path / "empty")
    assert hfspec.verify(tmp_path / "empty") == artifact.manifest


def test_default_place(spec_for, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert hfspec.compile(spec_for("bert-sentiment", name="mine")).path == tmp_path / "build" / "mine"


def grown(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def flipped(path: Path) -> None:
    """The same size and other bytes."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def replaced(path: Path) -> None:
    """The same size and times, and another file."""
    before = path.stat()
    other = path.with_name("other")
    other.write_bytes(bytes(before.st_size))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


@pytest.mark.parametrize("overrides", [[], ["dtype=float16"]], ids=["copied", "cast"])
@pytest.mark.parametrize("moment", ["model/config.json", "model/model.safetensors"])
@pytest.mark.parametrize("change", [grown, flipped, replaced, Path.unlink])
def test_a_source_that_changes_meanwhile(change, moment, overrides, own_copy, tmp_path):
    """The weights are no longer what was planned, before they are copied and while they are."""
    model = own_copy("bert-sentiment")

    class Meddling(Silent):
        done = False

        def start(self, what: str, total_bytes: int | None) -> None:
            self.what = what
            if what == moment == "model/config.json":
                change(model / "model.safetensors")

        def advance(self, bytes_done: int) -> None:
            if self.what == moment == "model/model.safetensors" and not self.done:
                self.done = True
                change(model / "model.safetensors")

    spec = write_spec(tmp_path / "s", model)
    with pytest.raises(hfspec.SourceError, match=r"model\.safetensors"):
        hfspec.compile(spec, output=tmp_path / "out" / "target", overrides=overrides, progress=Meddling())
    assert not (tmp_path / "out").exists()


def test_a_small_file_that_changes_after_it_was_examined(own_copy, tmp_path):
    """What was judged harmless is what is deployed."""
    model = own_copy("bert-sentiment")

    class Meddling(Silent):
        def start(self, what: str, total_bytes: int | None) -> None:
            if what == "LICENSE":
                config = (model / "config.json").read_text()
                (model / "config.json").write_text(config.replace("POSITIVE", "NEGATIVE"))

    with pytest.raises(hfspec.SourceError, match=r"config\.json was changed"):
        hfspec.compile(write_spec(tmp_path / "s", model), output=tmp_path / "target", progress=Meddling())


def test_an_example_that_fails(spec_for, tmp_path):
    spec = spec_for("bert-sentiment", input_example={"wrong_column": 1})
    with pytest.raises(hfspec.SpecError) as caught:
        hfspec.compile(spec, output=tmp_path / "out" / "target")
    (problem,) = caught.value.problems
    assert problem.path == ("input_example",)
    assert problem.origin.line == 5
    assert "wrong_column" in problem.message
    assert not (tmp_path / "out").exists()


def test_an_example_whose_answer_is_not_what_the_signature_says(spec_for, tmp_path):
    signature = {"outputs": [{"name": "verdict", "type": "string"}]}
    spec = spec_for("bert-sentiment", input_example="a fine film", signature=signature)
    with pytest.raises(hfspec.SpecError) as caught:
        hfspec.compile(spec, output=tmp_path / "out" / "target")
    assert "verdict" in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert hfspec.compile(spec, output=tmp_path / "out" / "target", run=False).path.is_dir()


@pytest.mark.parametrize("fails", [False, True])
def test_where_the_system_cannot_exchange_folders(fails, spec_for, artifact, monkeypatch):
    """The old artifact steps aside, and comes back when the new one cannot take its place."""
    from hfspec.artifact import staging

    monkeypatch.setattr(staging, "_exchange", lambda *_: False)
    before = hfspec.verify(artifact).digest
    rename = Path.rename

    def once(self: Path, target: Path) -> Path:
        if fails and self.name.endswith(".partial") and ".old." not in self.name:
            raise PermissionError(13, "Permission denied", str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", once)
    if fails:
        with pytest.raises(hfspec.StorageError, match="Permission denied"):
            hfspec.compile(spec_for("bert-sentiment"), output=artifact, overrides=["dtype=float16"])
        assert hfspec.verify(artifact).digest == before
    else:
        made = hfspec.compile(spec_for("bert-sentiment"), output=artifact, overrides=["dtype=float16"])
        assert hfspec.verify(artifact).digest == made.digest != before
    assert not list(artifact.parent.glob(".*partial"))
