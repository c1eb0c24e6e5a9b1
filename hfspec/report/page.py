"""A report as one page that loads nothing, or as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

from hfspec.redaction import redacted
from hfspec.report.sections import Report, Section
from hfspec.report.sizes import in_bytes
from hfspec.report.table import plain_text

FORMATS = ("html", "md")
MOST_SIZES = 12
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
STYLE = """
:root { color-scheme: light dark; --text: #1c1e21; --page: #fff; --soft: #5b6470; --line: #d8dde3; --bar: #3b6fb5;
  --code: #f3f5f7; --less: #b3261e; --more: #1a7f37; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e7eb; --page: #15181c; --soft: #98a2ae; --line: #343b44;
  --bar: #6ea1e4; --code: #1f242a; --less: #ff8b80; --more: #6fd58a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 72rem; color: var(--text); background: var(--page);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.7rem; overflow-wrap: anywhere; }
h2 { margin: 2.2rem 0 .6rem; font-size: 1.1rem; }
p.about, p.note { margin: .2rem 0 0; color: var(--soft); }
table { width: 100%; border-collapse: collapse; }
th, td { padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top;
  overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: 500; }
td { white-space: pre-wrap; }
td:first-child { min-width: 7rem; color: var(--soft); }
pre { margin: 0; padding: .8rem; overflow-x: auto; background: var(--code); border-radius: 6px; white-space: pre-wrap;
  overflow-wrap: anywhere; font: 13px/1.5 ui-monospace, monospace; }
.less { color: var(--less); } .more { color: var(--more); }
.size { display: grid; grid-template-columns: minmax(8rem, 24rem) 1fr 6rem; gap: .8rem; align-items: center;
  padding: .15rem 0; }
.size span { overflow-wrap: anywhere; }
.size span:last-child { text-align: right; color: var(--soft); }
.bar { height: .8rem; min-width: 2px; background: var(--bar); border-radius: 2px; }
.side { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 0 2.5rem; }
@media (max-width: 40rem) { .size { grid-template-columns: 1fr 6rem; } .size .track { grid-column: 1 / 3; grid-row: 2; }
  table, tbody, tr, td { display: block; } thead { display: none; } tr { padding: .4rem 0; border-bottom: 1px solid
  var(--line); } td { padding: 0; border: 0; } }
"""


def render(reports: tuple[Report, ...], changed: Section | None, format: str) -> str:  # noqa: A002 - the option's name
    """Write a report for a reader.

    Args:
        reports: One report, or two that are compared.
        changed: What changed from the first to the second.
        format: ``html`` for one page that loads nothing from outside, ``md`` for a pull request's comment.

    Returns:
        The document.
    """
    return redacted(_page(reports, changed) if format == "html" else _markdown(reports, changed))


def _page(reports: tuple[Report, ...], changed: Section | None) -> str:
    title = escape(" → ".join(report.title for report in reports))
    body = "" if changed is None else _html(changed)
    columns = "".join(f"<div>{_column(report, alone=len(reports) == 1)}</div>" for report in reports)
    head = f"<h1>{title}</h1>" if len(reports) > 1 else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{head}{body}\n"
        f'<div class="side">{columns}</div>\n</body>\n</html>\n'
    )


def _column(report: Report, *, alone: bool) -> str:
    level = "h1" if alone else "h2"
    head = f"<{level}>{escape(report.title)}</{level}><p class=about>{escape(report.about)}</p>"
    return head + "\n".join(_html(section) for section in report.sections)


def _html(section: Section) -> str:
    parts = [f"<section><h2>{escape(section.title)}</h2>"]
    if section.rows:
        cells = "".join(f"<th>{escape(name)}</th>" for name in section.header)
        head = f"<thead><tr>{cells}</tr></thead>" if cells else ""
        rows = "\n".join(f"<tr>{''.join(f'<td>{_cell(cell)}</td>' for cell in row)}</tr>" for row in section.rows)
        parts.append(f"<table>{head}<tbody>{rows}</tbody></table>")
    if section.text:
        parts.append(f"<pre>{_lines(section)}</pre>")
    parts += [_bar(path, size, share) for path, size, share in _sizes(section)]
    if section.note:
        parts.append(f"<p class=note>{escape(section.note)}</p>")
    return "\n".join([*parts, "</section>"])


def _cell(text: str) -> str:
    return "\n".join(escape(plain_text(line)) for line in text.split("\n"))


def _lines(section: Section) -> str:
    """A text; in that of a difference each line that went or came is marked."""
    lines = [escape(plain_text(line.replace("\t", "    "))) for line in section.text.split("\n")]
    if section.header:
        marks = {"-": "less", "+": "more"}
        lines = [f'<span class="{marks[line[0]]}">{line}</span>' if line[:1] in marks else line for line in lines]
    return "\n".join(lines)


def _sizes(section: Section) -> Iterator[tuple[str, int, float]]:
    """The largest files, each with its share of the largest, and one row for the rest."""
    ordered = sorted(section.sizes, key=lambda file: (-file[1], file[0]))
    rows, rest = ordered[:MOST_SIZES], ordered[MOST_SIZES:]
    if rest:
        rows = [*rows, (f"{len(rest)} smaller files", sum(size for _, size in rest))]
    largest = max((size for _, size in rows), default=0) or 1
    for path, size in rows:
        yield path, size, 100 * size / largest


def _bar(path: str, size: int, share: float) -> str:
    bar = f'<div class="track"><div class="bar" style="width: {share:.2f}%"></div></div>'
    return f'<div class="size"><span>{escape(plain_text(path))}</span>{bar}<span>{in_bytes(size)}</span></div>'


def _markdown(reports: tuple[Report, ...], changed: Section | None) -> str:
    parts = [] if changed is None else [_of_section(changed)]
    for report in reports:
        sections = "\n\n".join(_of_section(section) for section in report.sections)
        body = f"{report.about}\n\n{sections}"
        opens = "" if changed is not None else " open"
        title = _mark(report.title)
        parts.append(f"<details{opens}><summary><b>{title}</b></summary>\n\n{body}\n\n</details>")
    return "\n\n".join(parts) + "\n"


def _of_section(section: Section) -> str:
    rows = section.rows or tuple((path, in_bytes(size)) for path, size, _ in _sizes(section))
    parts = [f"#### {section.title}"]
    if rows:
        header = section.header or ("",) * len(rows[0])
        lines = [header, ("---",) * len(rows[0]), *rows]
        parts.append("\n".join(f"| {' | '.join(map(_mark, line))} |" for line in lines))
    if section.text:
        longest = max((len(run) for run in re.findall(r"`+", section.text)), default=0)
        fence = "`" * max(3, longest + 1)
        parts.append(f"{fence}{'diff' if section.header else ''}\n{section.text}\n{fence}")
    return "\n\n".join([*parts, section.note] if section.note else parts)


def _mark(text: str) -> str:
    """A text in a table of Markdown, where nothing in it is markup."""
    if set(text) == {"-"}:
        return text
    escaped = escape(plain_text(text.replace("\n", " ")), quote=False)
    return re.sub(r"([\\`*_{}\[\]|~#])", r"\\\1", escaped)
