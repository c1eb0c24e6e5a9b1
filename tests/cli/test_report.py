"""hfspec report: one page about an artifact or a spec, or on two of them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from transformers import AutoTokenizer

import hfspec
from hfspec.cli.app import app
from tests.compiling import write_spec

Command = Callable[..., str]
TALKS_BACK = """{% for message in messages %}{% if message.role == 'assistant' %}
{{ raise_exception('no <b>such</b> talk') }}{% endif %}{{ message.content }}{% endfor %}"""


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> str:
        capsys.readouterr()
        app(["report", *map(str, arguments)], standalone_mode=False)
        return capsys.readouterr().out

    return run


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory, checkpoint: Callable[[str], Path]) -> tuple[Path, Path]:
    """A spec of a chat with a prompt that looks like markup, and its artifact."""
    place = tmp_path_factory.mktemp("chat")
    settings = {"model_config": {"max_tokens": 4}, "signature": {"params": {"temperature": 0.5}}}
    spec = write_spec(place, checkpoint("llama-chat"), task="llm/v1/chat", name="small-talk", **settings)
    return spec, hfspec.compile(spec, output=place / "artifact", run=False).path


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory, checkpoint: Callable[[str], Path]) -> tuple[Path, Path]:
    """Two artifacts of one checkpoint, the first with a golden example and labels that look like markup."""
    place = tmp_path_factory.mktemp("films")
    model = Path(shutil.copytree(checkpoint("bert-sentiment"), place / "model"))
    config = json.loads((model / "config.json").read_text())
    names = ["<script>alert(1)</script>", "good | `b`"]
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: n for n, name in enumerate(names)}}
    (model / "config.json").write_text(json.dumps({**config, **labels}))
    golden = [{"input": ["a fine film"], "output": [{"label": names[0], "score": 0.5}], "tolerance": 0.4}]
    first = hfspec.compile(write_spec(place / "1", model, golden=golden, name="a"), output=place / "a", run=False)
    keys = {"dtype": "bfloat16", "name": "b", "model_config": {"top_k": 1}}
    second = hfspec.compile(write_spec(place / "2", model, **keys), output=place / "b", run=False)
    return first.path, second.path


class Page(HTMLParser):
    """What a page shows, and what it would load."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.shown = ""
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        self.loads += [f"{tag} {name}" for name, _ in attrs if name in {"src", "href", "srcset", "data"}]

    def handle_data(self, data: str) -> None:
        self.shown += data


def test_a_page_about_an_artifact_loads_nothing_and_shows_what_matters(films, command, tmp_path) -> None:
    assert command(films[0], "-o", "in/report.html") == "in/report.html\n"
    page = Page(tmp_path / "in" / "report.html")
    assert page.loads == []
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert "url(" not in page.shown
    assert "@import" not in page.shown
    manifest = hfspec.verify(films[0])
    for part in (manifest.digest, "<script>alert(1)</script>", "good | `b`", "model/model.safetensors", "a fine film"):
        assert part in page.shown
    for part in ("text-classification", "apache-2.0", "top_k", "hfspec default", "default-src"):
        assert part in (tmp_path / "in" / "report.html").read_text()


def test_the_chat_template_is_shown_as_the_tokenizer_renders_it(chat, command, tmp_path) -> None:
    spec, folder = chat
    conversation = [{"role": "user", "content": "How are you?"}, {"role": "assistant", "content": "Fine."}]
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    expected = tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
    for side in (folder, spec):
        command(side)
        assert expected.strip() in Page(tmp_path / "report.html").shown
    assert f"{spec}:" in Page(tmp_path / "report.html").shown


def test_two_artifacts_side_by_side(films, command, tmp_path) -> None:
    command(*films)
    page = Page(tmp_path / "report.html")
    for change in hfspec.diff(*films):
        assert f"{change.group} {change.key}".strip() in page.shown
    said = command(*films, "--format", "md")
    assert said.startswith("#### What changed")
    assert re.search(r"\| dtype \| float32 \| bfloat16 \|", said)


def test_markdown_holds_no_markup_of_the_checkpoint(films, command) -> None:
    said = command(films[0], "--format", "md")
    assert "<script>" not in said
    assert r"good \| \`b\`" in said


def test_a_template_that_does_not_take_the_example_is_told(chat, command, tmp_path) -> None:
    folder = Path(shutil.copytree(chat[0].parent, tmp_path / "own"))
    model = Path(
        shutil.copytree(json.loads(chat[0].read_text().split("model: ")[1].split("\n")[0])["path"], folder / "m")
    )
    (model / "chat_template.jinja").write_text(TALKS_BACK)
    spec = write_spec(folder / "specs", model, task="llm/v1/chat")
    command(spec)
    assert "It does not take this example: no <b>such</b> talk" in Page(tmp_path / "report.html").shown


@pytest.mark.parametrize("arguments", [["nowhere"], ["SPEC", "nowhere"], ["SPEC", "ARTIFACT"]])
def test_sides_that_are_refused(arguments, chat, command) -> None:
    sides = [{"SPEC": str(chat[0]), "ARTIFACT": str(chat[1])}.get(each, each) for each in arguments]
    with pytest.raises(hfspec.UsageError):
        command(*sides)


def test_a_damaged_artifact_is_refused(films, command, tmp_path) -> None:
    copy = Path(shutil.copytree(films[0], tmp_path / "copy"))
    (copy / "golden.json").write_text("[]")
    with pytest.raises(hfspec.VerificationError, match=r"golden\.json"):
        command(copy)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium is installed")
def test_a_browser_shows_it_narrow_and_wide(films, command, tmp_path) -> None:
    """Nothing sticks out of the page, whose width the browser is given."""
    command(*films)
    for width in (360, 1400):
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
        picture = tmp_path / f"{width}.png"
        shot = [f"--screenshot={picture}", f"--window-size={width},900", (tmp_path / "report.html").as_uri()]
        subprocess.run(["chromium", *options, *shot], check=True, capture_output=True, timeout=120)
        assert picture.stat().st_size > 10_000
