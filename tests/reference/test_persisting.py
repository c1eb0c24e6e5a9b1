"""A reference artifact made full in its place."""

from __future__ import annotations

import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import hfspec
from hfspec.ir.progress import Silent
from tests.reference.conftest import REPO, TEXTS, tree_of, weights_of, write

CASES = [
    ("bert-sentiment", {"input_example": TEXTS, "metadata": {"rate": 1e-05, "big": 1.5e300}}),
    ("bert-sentiment", {"dtype": "bfloat16", "max_shard_size": "30KB"}),
    ("gpt2-sharded", {}),
    ("gpt2-sharded", {"dtype": "bfloat16"}),
    ("st-dense", {}),
    ("st-dense", {"dtype": "float16"}),
]


@pytest.mark.parametrize(("name", "keys"), CASES, ids=str)
def test_equal_to_a_full_save_byte_for_byte(name, keys, both):
    full, reference = both(name, **keys)
    persisted = hfspec.persist(reference.path)
    assert tree_of(persisted.path) == tree_of(full.path)
    assert persisted.digest == full.digest
    assert hfspec.verify(reference.path).digest == full.digest


def test_golden_examples_too(both):
    golden = [{"input": TEXTS, "output": []}]
    full, reference = both("bert-sentiment", golden=golden)
    assert tree_of(hfspec.persist(reference.path).path) == tree_of(full.path)


def test_from_the_hub_at_the_recorded_commit(hub, on_hub, tmp_path):
    reference = on_hub()
    full = hfspec.compile(tmp_path / "specs" / "spec.yaml", tmp_path / "full", ["save_mode=full"])
    hub.publish(REPO, {"config.json": b"{}"})
    shutil.rmtree(tmp_path / "hf-cache")
    assert tree_of(hfspec.persist(reference.path).path) == tree_of(full.path)


def test_a_full_artifact_is_left_alone(both):
    full, _ = both("bert-sentiment")
    before = (full.path / "artifact.json").stat()
    assert hfspec.persist(full.path).digest == full.digest
    assert (full.path / "artifact.json").stat().st_ino == before.st_ino


def test_a_damaged_artifact_is_refused(reference):
    (reference / "model" / "config.json").write_text("{}")
    before = tree_of(reference)
    with pytest.raises(hfspec.VerificationError, match=r"config\.json"):
        hfspec.persist(reference)
    assert tree_of(reference) == before


def test_weights_that_are_gone(reference, tmp_path):
    shutil.rmtree(tmp_path / "sources")
    before = tree_of(tmp_path)
    with pytest.raises(hfspec.SourceError, match="not found with the bytes that it pins"):
        hfspec.persist(reference)
    assert tree_of(tmp_path) == before


def test_a_number_too_large_for_the_dtype(both, source):
    """A reference carries no weights, so only persist sees them; the artifact stays a reference."""
    from safetensors.torch import load_file, save_file

    file = source("bert-sentiment") / "model.safetensors"
    weights = load_file(file)
    weights["classifier.weight"][0, 0] = 1e30
    save_file(weights, file, metadata={"format": "pt"})
    spec = write(file.parents[2] / "specs", "bert", {"path": str(file.parent)}, save_mode="reference", dtype="float16")
    reference = hfspec.compile(spec, file.parents[2] / "mine")
    with pytest.raises(hfspec.SpecError, match="infinite in float16"):
        hfspec.persist(reference.path)
    assert hfspec.verify(reference.path).pointers


def test_a_lost_hub_and_another_attempt(hub, on_hub, tmp_path):
    reference = on_hub()
    hub.faults.add("cut", "GET /cdn/")
    hub.faults.add("drop", "GET /cdn/", times=100)
    before = tree_of(reference.path)
    with pytest.raises(hfspec.SourceError, match="what was downloaded is kept"):
        hfspec.persist(reference.path)
    assert tree_of(reference.path) == before
    hub.forget()
    hfspec.persist(reference.path)
    assert len(weights_of(reference.path)) == 1
    assert hub.bodies("/cdn/")[0].range.startswith("bytes=")


KILLED = """
def persist(at=None):
    child = os.fork()
    if child:
        return child
    code = 9
    found = watch(at, signal.SIGKILL)
    try:
        hfspec.persist(target)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError), open(os.path.dirname(target) + ".deeds", "w") as file:
            file.write(str(len(found)))
        os._exit(code)

kept = target + ".kept"
shutil.copytree(target, kept)
assert ended(persist()) == 0
full, total = hfspec.verify(target).digest, deeds()
assert full != hfspec.verify(kept).digest
outcomes = []
step = max(1, total // 12)
for at in [*range(1, total + 1, step), total - 1, total]:
    shutil.rmtree(target)
    shutil.copytree(kept, target)
    ended(persist(at))
    held = hfspec.verify(target)
    outcomes.append([held.digest == full, bool(held.pointers)])
assert ended(persist()) == 0
print(json.dumps([outcomes, hfspec.verify(target).digest == full, beside()]))
"""


STOPPED = """
def again(at=None):
    shutil.rmtree(target)
    shutil.copytree(kept, target)
    return persist(at)

kept = target + ".kept"
shutil.copytree(target, kept)
ended(persist())
total, stopped = deeds(), []
for at in (total // 2, total * 3 // 4, total - 5):
    code = ended(again(at))
    assert hfspec.verify(target)
    stopped.append([code, beside()])
codes = [ended(child) for child in (again(), persist())]
print(json.dumps([stopped, codes, not hfspec.verify(target).pointers]))
"""


def test_killed_at_any_point(forks, both, tmp_path):
    """What is there is the reference artifact or the full one, and another attempt makes the full one."""
    both("bert-sentiment")
    target = tmp_path / "place" / "artifact"
    shutil.copytree(tmp_path / "reference", target)
    os.environ["XDG_CACHE_HOME"] = str(tmp_path / "memory")
    script = f"os.environ['XDG_CACHE_HOME'] = {str(tmp_path / 'memory')!r}\n{KILLED}"
    outcomes, is_full, beside = forks.run(script, tmp_path / "specs" / "spec.yaml", target)
    assert all(full != refers for full, refers in outcomes)
    assert [False, True] in outcomes
    assert is_full
    assert beside == ["artifact.kept"]


def test_asked_to_stop_and_two_at_once(forks, both, tmp_path):
    """SIGTERM leaves one artifact or the other and nothing beside it; two attempts at once make the full one."""
    both("bert-sentiment")
    target = tmp_path / "place" / "artifact"
    shutil.copytree(tmp_path / "reference", target)
    persist = KILLED[: KILLED.index("kept = ")].replace("signal.SIGKILL", "signal.SIGTERM")
    script = f"os.environ['XDG_CACHE_HOME'] = {str(tmp_path / 'memory')!r}\n{persist}{STOPPED}"
    stopped, codes, is_full = forks.run(script, tmp_path / "specs" / "spec.yaml", target)
    assert [beside for _, beside in stopped] == [["artifact.kept"]] * 3
    # How many deeds a run takes depends on how long ago the files were written: the last signal may come too late.
    assert [code for code, _ in stopped] in ([9, 9, 9], [9, 9, 0])
    assert codes == [0, 0]
    assert is_full


class Meanwhile(Silent):
    """Does something once, when the weights are to be copied."""

    def __init__(self, deed):
        self.deed = deed

    def start(self, what, size):
        deed, self.deed = self.deed, lambda: None
        deed()


class Turns(Silent):
    """Tells when a persist starts a part of its work, and lets it go on when it is told."""

    def __init__(self):
        self.started, self.goes_on = threading.Event(), threading.Event()
        self.parts = []

    def start(self, what, size):
        self.parts.append(what)
        self.started.set()
        assert self.goes_on.wait(60)


def test_somebody_else_was_faster(both):
    """The second persist waits for the first, and takes the artifact that it has made full."""
    full, reference = both("bert-sentiment")
    first, second = Turns(), Turns()
    second.goes_on.set()
    with ThreadPoolExecutor(2) as threads:
        makes = threads.submit(hfspec.persist, reference.path, progress=first)
        assert first.started.wait(60)
        waits = threads.submit(hfspec.persist, reference.path, progress=second)
        assert second.started.wait(60)
        first.goes_on.set()
        made = [makes.result(60), waits.result(60)]
    assert second.parts == [f"waiting for another compile of {reference.path}"]
    assert {each.digest for each in made} == {full.digest}
    assert hfspec.verify(reference.path).digest == full.digest
    assert sorted(path.name for path in reference.path.parent.iterdir() if "partial" in path.name) == []


@pytest.mark.parametrize("name", ["MLmodel", "spec.yaml"])
def test_a_text_that_is_changed_meanwhile(name, reference):
    """Nothing of it is in the artifact that a new manifest vouches for."""
    text = (reference / name).read_text()
    with pytest.raises(hfspec.VerificationError, match=f"{name} was changed after it was verified"):
        hfspec.persist(reference, progress=Meanwhile(lambda: (reference / name).write_text(f"{text}# planted\n")))
    assert weights_of(reference) == []


def test_the_manifest_of_a_full_artifact_has_no_pointers(both):
    full, reference = both("bert-sentiment")
    assert "pointers" not in json.loads((full.path / "artifact.json").read_text())
    assert "pointers" in json.loads((reference.path / "artifact.json").read_text())
