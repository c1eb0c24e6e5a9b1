"""Pages for users: their links lead somewhere, the commands are all there, and nothing is told twice."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import typer.main

from hfspec.cli.app import app
from hfspec.tasks import generation, table

ROOT = Path(__file__).parent.parent.parent
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks/NOTES.md", *DOCS]
LINK = re.compile(r"\[[^\]]*\]\((?!https?:)([^)#]*)(#[^)]*)?\)")


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {"#" + re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def shared(task):
    """The settings of a task, whichever models can use them."""
    return {replace(setting, models="*") for setting in table.find(*task).settings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page):
    for path, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = page.parent / path if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), anchor


def test_the_readme_links_every_page():
    linked = {path for path, _ in LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))}
    assert {f"docs/{page.name}" for page in DOCS} <= linked


def test_the_page_of_commands_has_every_command():
    text = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `hfspec ([a-z]+)", text, re.MULTILINE)) == set(typer.main.get_command(app).commands)


def test_the_page_of_tasks_says_each_generation_setting_once():
    text = (ROOT / "docs/tasks.md").read_text(encoding="utf-8")
    for setting in generation.SETTINGS:
        default = "" if setting.default is None else f"`{setting.default}`"
        assert text.count(f"\n| `{setting.name}` | {setting.expected()} | {setting.description} | {default} |") == 1
    generating = [task for task in table.TASKS if set(generation.SETTINGS) & shared(task)]
    assert text.count("(#generation-settings)") == len(generating)


def test_the_guide_for_contributors_names_files_that_exist():
    """But for those of its examples, which are there to be written."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:hfspec|docs|tests)/[\w/.]+)`", text))
    examples = {"hfspec/tasks/object_detection.py", "hfspec/runtime/media/object_detection.py", "hfspec/sources/s3.py"}
    assert {path for path in named - examples if not (ROOT / path).exists()} == set()
    assert examples <= named
