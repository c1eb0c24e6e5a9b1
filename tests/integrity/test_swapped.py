"""What is loaded is what was verified: a file swapped in between is found out, and a refused one was never parsed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SWAPS = """
os.environ["XDG_CACHE_HOME"] = target + ".cache"
good, deed = target + ".good", None
hfspec.compile(spec, output=good)
WEIGHTS = "model/model.safetensors"

def place(name):
    return os.path.join(target, name)

def other(content):
    return content[:-1] + bytes([content[-1] ^ 1])

def changed(name):
    '''Another file by that name, of the same size and times.'''
    before = os.stat(place(name))
    with open(place(name), "rb") as file:
        content = file.read()
    with open(target + ".other", "wb") as file:
        file.write(other(content))
    os.utime(target + ".other", ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(target + ".other", place(name))

def written(name):
    '''The same file with other bytes, its times put back.'''
    before = os.stat(place(name))
    with open(place(name), "r+b") as file:
        content = file.read()
        file.seek(0)
        file.write(other(content))
    os.utime(place(name), ns=(before.st_atime_ns, before.st_mtime_ns))

def back(name):
    '''Another file by that name for as long as it is read; then the old one again.'''
    os.rename(place(name), target + ".old")
    shutil.copyfile(target + ".old", place(name))
    on("tokenizer.json", lambda: os.replace(target + ".old", place(name)))

def folder_back(name):
    os.rename(place("model"), target + ".model")
    shutil.copytree(target + ".model", place("model"))
    def put_back():
        shutil.rmtree(place("model"))
        os.rename(target + ".model", place("model"))
    on("tokenizer.json", put_back)

def linked(name):
    os.rename(place(name), target + ".old")
    os.symlink(target + ".old", place(name))

def gone(name):
    os.remove(place(name))

def added(name):
    with open(place("model/added_tokens.json"), "w") as file:
        file.write("{}")

def on(name, action):
    global deed
    deed = (os.sep + name, action)

def hook(event, arguments):
    '''At the first open of the file that is not the verification's, which opens descriptors.'''
    global deed
    if event == "open" and deed and arguments[1] is not None and str(arguments[0]).endswith(deed[0]):
        action, deed = deed[1], None
        action()

sys.addaudithook(hook)

def refused(swap, name):
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(good, target)
    time.sleep(0.12)
    on("model/config.json", lambda: swap(name))
    try:
        hfspec.load(target)
    except hfspec.VerificationError as error:
        return [*error.files]
    except Exception as error:
        return repr(error)
"""
CASES = [
    ("changed", "model/model.safetensors", {"model", "model/model.safetensors"}),
    ("changed", "model/tokenizer.json", {"model", "model/tokenizer.json"}),
    ("changed", "LICENSE", {".", "LICENSE"}),
    ("written", "model/model.safetensors", {"model/model.safetensors"}),
    ("back", "model/model.safetensors", {"model", "model/model.safetensors"}),
    ("folder_back", "model", {".", "model"}),
    ("linked", "model/config.json", {"model", "model/config.json"}),
    ("gone", "model/tokenizer_config.json", {"model", "model/tokenizer_config.json"}),
    ("added", "", {"model"}),
]


def test_what_is_swapped_between_verifying_and_loading_is_named(forks, spec_for, tmp_path):
    """At the library's own opening of the first file, with and without a memory of an earlier load."""
    script = SWAPS + "print(json.dumps([refused(globals()[how], name) for how, name in CASES]))"
    script = script.replace("CASES", repr([case[:2] for case in CASES]))
    found = forks.run(script, spec_for("bert-sentiment"), tmp_path / "out" / "target")
    assert [set(files) for files in found] == [expected for _, _, expected in CASES], found


def test_what_is_swapped_in_the_moment_it_was_made_is_found_out(forks, spec_for, tmp_path):
    """A file so young that its times may not show the change is read once more."""
    script = """
from hfspec.integrity import verification as integrity
hfspec.compile(spec, output=target)
verified = integrity.examine(__import__("pathlib").Path(target))
name = os.path.join(target, "model", "config.json")
with open(name, "r+b") as file:
    file.write(b"[")
states = {path: integrity._state_at(verified.folder / path) for path in verified.states}  # as if no time had passed
verified = integrity.Verified(verified.folder, verified.manifest, states, verified.began)
try:
    verified.check_unchanged()
except hfspec.VerificationError as error:
    print(json.dumps(error.files))
"""
    assert forks.run(script, spec_for("bert-sentiment"), tmp_path / "out" / "target") == ["model/config.json"]


def test_an_artifact_that_is_left_alone_loads_and_loads_again(forks, spec_for, tmp_path):
    script = SWAPS + "print(json.dumps([refused(lambda name: None, ''), refused(lambda name: None, '')]))"
    assert forks.run(script, spec_for("bert-sentiment"), tmp_path / "out" / "target") == [None, None]


@pytest.mark.parametrize("call", ["hfspec.verify(target)", "hfspec.load(target)"])
def test_nothing_of_a_refused_artifact_is_parsed(call, artifact, tmp_path, monkeypatch):
    """Of its files none is opened but by the reader of digests, and no library that would parse them is imported."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    weights = artifact / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    script = """
import json, sys, traceback
opened = []

def hook(event, arguments):
    if event == "open" and str(arguments[0]).startswith(sys.argv[1]):
        callers = [frame.filename for frame in traceback.extract_stack()]
        opened.append([str(arguments[0]), any(name.endswith("integrity/verification.py") for name in callers)])

sys.addaudithook(hook)
import hfspec
target = sys.argv[1]
try:
    CALL
except hfspec.VerificationError as error:
    parsers = {"transformers", "tokenizers", "safetensors", "torch", "yaml"} & set(sys.modules)
    print(json.dumps([list(error.files), opened, sorted(parsers)]))
""".replace("CALL", call)
    done = subprocess.run([sys.executable, "-c", script, str(artifact)], capture_output=True, text=True, check=False)
    files, opened, parsers = json.loads(done.stdout)
    assert files == ["model/model.safetensors"]
    assert len(opened) == sum(path.is_file() for path in artifact.rglob("*")), "each file once"
    assert [path for path, is_digesting in opened if not is_digesting] == []
    assert parsers == []
