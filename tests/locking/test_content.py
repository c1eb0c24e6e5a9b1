"""What is not a lock is refused by its name and place, and never passed over."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

import hfspec
from hfspec.errors import LockError, StorageError
from hfspec.ir.lock import Lock
from hfspec.locking.schema import lock_schema

VALIDATOR = Draft202012Validator(lock_schema())
HEX = "0123456789abcdef" * 4
GOOD = {
    "lock_version": 1,
    "name": "mine",
    "spec_digest": HEX,
    "library": "transformers",
    "task": "text-classification",
    "sources": [
        {
            "role": "model",
            "kind": "repo",
            "location": "locks/sentiment",
            "revision": "main",
            "commit": HEX[:40],
            "files": [
                {"path": "config.json", "size": 3, "sha256": HEX},
                {"path": "onnx/config.json", "size": 0, "sha256": HEX},
            ],
        }
    ],
    "chat_templates": {"default": HEX},
    "generation_config": None,
    "versions": {"torch": "2.13.0"},
}


def changed(path, value):
    """GOOD with another value at a path such as ``sources.0.kind``; ``...`` takes the key away."""
    document = json.loads(json.dumps(GOOD))
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
    place = document
    for part in parents:
        place = place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return document


# Path, value, whether the JSON Schema alone finds it too.
WRONG = [
    ("lock_version", 2, True),
    ("lock_version", "1", True),
    ("lock_version", True, True),
    ("name", "", True),
    ("name", None, True),
    ("spec_digest", HEX[:-1], True),
    ("spec_digest", HEX.upper(), True),
    ("spec_digest", HEX + "\n", True),
    ("task", ["text-classification"], True),
    ("sources", [], True),
    ("sources", {}, True),
    ("sources.0", "model", True),
    ("sources.0.kind", "git", True),
    ("sources.0.commit", "main", True),
    ("sources.0.commit", HEX, True),
    ("sources.0.commit", None, False),
    ("sources.0.commit", ..., True),
    ("sources.0.files", ..., True),
    ("sources.0.files.0.size", -1, True),
    ("sources.0.files.0.size", "3", True),
    ("sources.0.files.0.size", 3.5, True),
    ("sources.0.files.0.size", True, True),
    ("sources.0.files.0.sha256", None, True),
    ("sources.0.files.0.mode", "0644", True),
    ("sources.0.files.0.path", "../../etc/passwd", False),
    ("sources.0.files.0.path", "/etc/passwd", False),
    ("sources.0.files.0.path", "a//b", False),
    ("sources.0.files.0.path", "./config.json", False),
    ("sources.0.files.0.path", "..\\config.json", False),
    ("sources.0.files.0.path", "con\x00fig.json", False),
    ("sources.0.files.0.path", "", True),
    ("sources.0.files.0.path", "z.json", False),
    ("sources.0.files.0.path", "onnx/config.json", False),
    ("chat_templates", [HEX], True),
    ("chat_templates.default", "{{ messages }}", True),
    ("generation_config", "", True),
    ("versions.torch", 2.13, True),
    ("versions.torch", "", True),
    ("written_at", "2026-01-01", True),
]


def test_the_form_is_good_and_any_layout_of_it_reads_the_same():
    lock = Lock.from_bytes(json.dumps(GOOD).encode())
    VALIDATOR.validate(json.loads(lock.to_bytes()))
    backwards = json.dumps(dict(reversed(GOOD.items())), indent=4).replace("\n", "\r\n").encode()
    assert Lock.from_bytes(backwards) == lock
    assert Lock.from_bytes(backwards).to_bytes() == lock.to_bytes()
    assert json.loads(lock.to_bytes()) == GOOD


@pytest.mark.parametrize(("path", "value", "by_schema"), WRONG, ids=[f"{path}={value!r}" for path, value, _ in WRONG])
def test_what_is_wrong_is_named_by_its_place(path, value, by_schema):
    document = changed(path, value)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words are looked at below
        Lock.from_bytes(json.dumps(document).encode())
    parts = path.split(".")
    places = [".".join(parts[:length]) for length in range(len(parts), max(0, len(parts) - 3), -1)]
    assert str(caught.value).startswith(tuple(f"{place}: " for place in places)), str(caught.value)
    assert ";" not in str(caught.value), "one mistake is told once"
    assert VALIDATOR.is_valid(document) is not by_schema


def test_a_role_and_a_path_of_a_machine_are_no_source():
    twice = {**GOOD, "sources": GOOD["sources"] * 2}
    with pytest.raises(ValueError, match="each role has one"):
        Lock.from_bytes(json.dumps(twice).encode())
    source = {**GOOD["sources"][0], "kind": "path", "commit": None, "location": "/home/me/model"}
    with pytest.raises(ValueError, match="belongs to one machine"):
        Lock.from_bytes(json.dumps({**GOOD, "sources": [source]}).encode())


TEXTS = {
    "empty": b"",
    "yaml": b"lock_version: 1\nname: mine\n",
    "merge": b"<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> other\n",
    "cut": json.dumps(GOOD).encode()[:-20],
    "latin": json.dumps(GOOD).replace("mine", "mi\xf1e").encode("latin-1"),
    "twice": json.dumps(GOOD).replace('"name": "mine"', '"name": "mine", "name": "yours"').encode(),
    "nan": json.dumps(GOOD).replace("2.13.0", "x").replace('"x"', "NaN").encode(),
    "huge": json.dumps(GOOD).replace('"size": 3', '"size": ' + "9" * 5000).encode(),
    "deep": b"[" * 100_000,
    "list": b"[]",
    "null": b"null",
    "bom": b"\xef\xbb\xbf" + json.dumps(GOOD).encode(),
    "pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07builtin\x94.",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_file_that_is_no_lock_stops_every_command(write, folder, name):
    spec = write(model={"path": "model"})
    lock = spec.with_name("mine.yaml.lock")
    lock.write_bytes(TEXTS[name])
    for call in (hfspec.lock, hfspec.check_lock, hfspec.plan, lambda spec: hfspec.plan(spec, locked=True)):
        with pytest.raises(LockError) as caught:
            call(spec)
        assert str(caught.value).startswith(f"{lock} is not a lock that this hfspec reads: ")
        assert "Traceback" not in str(caught.value)
    assert lock.read_bytes() == TEXTS[name]


def test_where_json_breaks_is_said_by_line_and_column():
    with pytest.raises(ValueError, match="line 1, column 1"):
        Lock.from_bytes(TEXTS["merge"])
    with pytest.raises(ValueError, match="the key 'name' is there twice"):
        Lock.from_bytes(TEXTS["twice"])


def test_a_folder_in_the_locks_place_is_a_fault_of_the_disk(write, folder):
    spec = write(model={"path": "model"})
    spec.with_name("mine.yaml.lock").mkdir()
    with pytest.raises(StorageError, match=r"mine\.yaml\.lock cannot be read"):
        hfspec.lock(spec)


@pytest.mark.parametrize("version", [2, 99])
def test_a_lock_of_a_newer_hfspec_is_refused_as_that(version, write, folder):
    spec = write(model={"path": "model"})
    lock = spec.with_name("mine.yaml.lock")
    lock.write_text(json.dumps({**GOOD, "lock_version": version}))
    for refused in (lambda: hfspec.plan(spec), lambda: hfspec.check_lock(spec), lambda: hfspec.diff(lock, lock)):
        with pytest.raises(LockError, match="made by a newer hfspec") as caught:
            refused()
        assert "pip install --upgrade hfspec" in str(caught.value)
