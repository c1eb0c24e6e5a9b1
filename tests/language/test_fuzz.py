"""Whatever bytes are in the file: a spec, or problems whose places lie in the file; nothing else, and never a hang."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from hfspec.errors import SpecError
from hfspec.ir.problem import Origin
from hfspec.ir.tree import Tree
from hfspec.stages.load import load
from hfspec.stages.validate import problems

SPECS = sorted((Path(__file__).parents[2] / "specs").rglob("*.yaml"))
DOCUMENTS_A_SEED = 650
SEEDS = range(8)
SOUP = [
    *"{}[]:,-?&*!|>'\"%@`#\t\n\r\\~<=$. ",
    "\n  ",
    "\n- ",
    ": ",
    "&a ",
    "*a",
    "<<: ",
    "!!int ",
    "!!python/name:os.system ",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    "|\n  x\n",
    ">-\n  y\n",
    "? ",
    "'it''s'",
    '"\\x41\\ud800"',
    '"\\0"',
    "\u0085",
    "\u2028",
    "\ufeff",
    "é",
    "很好",
    "🎬",
    "\x00",
    "\x07",
    "0123",
    "0x1F",
    "0o17",
    "1e999",
    ".nan",
    "-.inf",
    "9" * 30,
    "9" * 5000,
    "true",
    "null",
    "~",
    "???",
    "defaults:\n",
    "- _self_\n",
    "- /_base/x\n",
    "- a: b\n",
    "${name}",
    "${oc.env:HOME}",
    "${",
    "\\${x}",
    "${${a}}",
    "_target_: x\n",
    "spec_version: 1\n",
    "library: transformers\n",
    "task: text-generation\n",
    "model: {repo: a/b}\n",
    "model_config: ",
    "signature: ",
    "params: ",
    "prompt_template: ",
    "{prompt}",
    "name: ",
    "golden: ",
    "components: {tokenizer: ",
    "trust_remote_code: ",
    "top_k: ",
]


def noise(chance: random.Random) -> bytes:
    return chance.randbytes(chance.randrange(60))


def soup(chance: random.Random) -> bytes:
    return "".join(chance.choices(SOUP, k=chance.randrange(1, 40))).encode("utf-8", "surrogatepass")


def nested(chance: random.Random) -> bytes:
    opening = chance.choice(["[", "{a: ", "- ", "? ", "a:\n ", "[{b: "])
    return (opening * chance.randrange(1, 300)).encode()


def huge(chance: random.Random) -> bytes:
    piece = chance.choice(["x", "a b ", "[],", "\n", "'", "é", "a: 1\n", "- - ", "${a}", "\\"])
    return (chance.choice(["", "a: ", "a: '", "a: [", "a: |\n "]) + piece * chance.randrange(2000)).encode()


def spoiled(chance: random.Random) -> bytes:
    data = bytearray(chance.choice(SPECS).read_bytes())
    for _ in range(chance.randrange(1, 6)):
        place = chance.randrange(len(data) + 1)
        size = chance.choice([0, 0, 1, 5, 40])
        new = chance.choice([b"", soup(chance), chance.randbytes(2), bytes(data[place : place + 30])])
        data[place : place + size] = new
    return bytes(data)


def lines(chance: random.Random) -> bytes:
    pool = [line for file in SPECS for line in file.read_bytes().splitlines(keepends=True)]
    return b"".join(chance.choices(pool, k=chance.randrange(1, 25)))


KINDS = (noise, soup, soup, nested, huge, spoiled, spoiled, spoiled, lines, lines)


@pytest.mark.parametrize("seed", SEEDS)
def test_any_bytes_are_a_spec_or_have_problems_with_places(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    folder = tmp_path / "specs"
    (folder / "_base").mkdir(parents=True)
    (folder / "_base" / "x.yaml").write_text("# @package _global_\nspec_version: 1\n", encoding="utf-8")
    file = folder / "spec.yaml"
    for _ in range(DOCUMENTS_A_SEED):
        data = chance.choice(KINDS)(chance)
        file.write_bytes(data)
        check(file, data)


def check(file: Path, data: bytes) -> None:
    try:
        tree = load(file)
        found = problems(tree)
    except SpecError as error:
        found = error.problems
        assert found
    except Exception as error:
        raise AssertionError(f"{type(error).__name__} for {data!r}") from error
    else:
        assert isinstance(tree, Tree)
    for problem in found:
        assert problem.message, data
        assert lies_in(problem.origin, file, data), (problem, data)


def lies_in(origin: Origin, file: Path, data: bytes) -> bool:
    if Path(origin.file).name == "x.yaml":
        return True
    # Form feeds, U+0085 and the like are line breaks to Python and some of them to YAML: the most lines there can be.
    lines_at_most = len(data.decode("utf-8", "replace").splitlines()) + 1
    return origin.file == str(file) and 0 <= origin.line <= lines_at_most and 0 <= origin.column <= len(data) + 1
