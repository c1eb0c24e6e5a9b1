"""What an editor shows of a spec: the real yaml-language-server with our JSON Schema."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.language.language_server import LanguageServer, missing

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())
SPEC = """# yaml-language-server: $schema=../schemas/spec.schema.json
spec_version: 1
library: transformers
task: text-classification
model:
  repo: org/name
  revision: main
model_config:
  top_k: 2
dtype: float32
"""
# What is written in the place of a line -> the line that is marked, counted from 1, and what the mark says.
MISTAKES = {
    "a key": ("  revision: main", "  revison: main", 7, "revison is not allowed"),
    "a value": ("dtype: float32", "dtype: float23", 10, '"bfloat16"'),
    "a setting's value": ("  top_k: 2", "  top_k: many", 9, "integer"),
    "a setting of another task": ("  top_k: 2", "  max_new_tokens: 2", 9, "max_new_tokens is not allowed"),
    "a task": ("task: text-classification", "task: text-clasification", 4, '"text-classification"'),
    "a task of another library": ("task: text-classification", "task: text-ranking", 4, "Valid values"),
    "a library": ("library: transformers", "library: transfomers", 3, '"sentence-transformers"'),
    "a level": ("dtype: float32", "top_k: 2", 10, "top_k is not allowed"),
    "two sources": ("  repo: org/name", "  repo: org/name\n  path: ./x", 6, "only one must validate"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanguageServer]:
    folder = tmp_path_factory.mktemp("editor")
    shutil.copytree(ROOT / "schemas", folder / "schemas")
    shutil.copytree(ROOT / "specs", folder / "specs")
    (folder / "own").mkdir()
    server = LanguageServer(folder)
    yield server
    server.close()


@pytest.fixture
def spec(server: LanguageServer, request: pytest.FixtureRequest) -> Path:
    """The place of a spec beside the others, another one for each test."""
    return server.folder / "own" / f"{abs(hash(request.node.name))}.yaml"


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_marked_where_it_is(mistake: str, server: LanguageServer, spec: Path) -> None:
    line, written, marked, said = MISTAKES[mistake]
    spec.write_text(SPEC.replace(line, written))
    (found,) = server.diagnostics(spec)
    assert found["range"]["start"]["line"] + 1 == marked
    assert said in found["message"]


def test_every_spec_is_good(server: LanguageServer) -> None:
    files = sorted((server.folder / "specs").rglob("*.yaml"))
    files = [file for file in files if file.read_text().startswith("# yaml-language-server")]
    assert len(files) > 20
    assert {file.name: server.diagnostics(file) for file in files} == {file.name: [] for file in files}


@pytest.mark.parametrize(
    ("line", "character", "expected", "other"),
    [
        (3, 6, {"text-classification", "ner", "llm/v1/chat"}, {"text-ranking"}),
        (6, 2, {"revision", "path", "mlflow"}, {"dtype"}),
        (8, 2, {"top_k", "function_to_apply"}, {"max_new_tokens"}),
        (9, 7, {"float32", "bfloat16"}, {"fp16"}),
        (10, 0, {"signature", "input_example", "golden", "adapter"}, {"top_k"}),
    ],
)
def test_completion(line, character, expected, other, server: LanguageServer, spec: Path) -> None:
    """Of a word that is not begun; the rest of the spec says which task it is."""
    lines = f"{SPEC}\n".splitlines(keepends=True)
    cut = f"{lines[line][:character]}\n"
    spec.write_text("".join([*lines[:line], cut, *lines[line + 1 :]]))
    server.diagnostics(spec)
    offered = server.at("completion", spec, line, character)
    names = {item["label"] for item in (offered["items"] if isinstance(offered, dict) else offered)}
    assert expected <= names
    assert not other & names


@pytest.mark.parametrize(
    ("line", "said"), [(3, "The task, by the name the field uses"), (8, "How many labels to give"), (9, "`bfloat16`")]
)
def test_hover(line: int, said: str, server: LanguageServer, spec: Path) -> None:
    spec.write_text(SPEC)
    server.diagnostics(spec)
    assert said in server.at("hover", spec, line, 3)["contents"]["value"]
