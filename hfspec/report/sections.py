"""A reviewer's account of an artifact or a plan, in parts that every format of a report is made from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hfspec.comparison.change import Change
from hfspec.ir.artifact import Manifest, SourceRecord, adapter_saved
from hfspec.ir.frozen import thaw
from hfspec.ir.golden import GOLDEN
from hfspec.ir.plan import Plan, SettingRow
from hfspec.ir.signature import Column, Param, Signature, Tensor
from hfspec.report.artifact import dtype_text, licence
from hfspec.report.diff import is_text, line_diff, told
from hfspec.report.graphs import measured_rows, planned_rows
from hfspec.report.pointers import pointer_rows, save_mode
from hfspec.report.sizes import in_bytes, in_count

Read = Callable[[str], str]
MOST_LABELS = 200
LONGEST = 2000  # characters of a cell
CONFIG, TEMPLATE = "model/tokenizer_config.json", "model/chat_template.jinja"
CONVERSATION = ({"role": "user", "content": "How are you?"}, {"role": "assistant", "content": "Fine."})


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report: a table, a text, or sizes as a picture."""

    title: str
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    text: str = ""
    sizes: tuple[tuple[str, int], ...] = ()
    note: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.rows or self.text or self.sizes or self.note)


@dataclass(frozen=True, slots=True)
class Report:
    """A report: its title, one line on what it is about, its parts."""

    title: str
    about: str
    sections: tuple[Section, ...]


def artifact_report(manifest: Manifest, labels: Sequence[str], settings: Sequence[SettingRow], read: Read) -> Report:
    """Tell a reviewer what an artifact is.

    Args:
        manifest: The artifact's.
        labels: Those that the model answers with.
        settings: The settings in force, each with where it comes from.
        read: The text of a file of the artifact by its path; empty for one that is not there.

    Returns:
        The report.
    """
    deployment = manifest.deployment
    files = tuple((file.path, file.size) for file in manifest.files)
    what = (
        ("digest", manifest.digest),
        ("embedding space", manifest.fingerprint or ""),
        ("task", f"{deployment.task} ({deployment.library})"),
        ("model class", deployment.model_class),
        ("dtype", dtype_text(deployment)),
        ("adapter", adapter_saved(manifest.sources, [path for path, _ in files])),
        ("save mode", save_mode(manifest.pointers)),
        *measured_rows(manifest),
        ("made by", ", ".join(f"{name} {version}" for name, version in sorted(manifest.makers.items()))),
    )
    return Report(
        manifest.name,
        f"artifact, {in_bytes(sum(size for _, size in files))} in {len(files)} files",
        _parts(
            _table("What it is", (), what),
            _sources(manifest.sources),
            *_signature(manifest.signature),
            _settings(settings),
            *_templates(deployment.prompt_template, read),
            _labels(labels),
            Section("Files and sizes", sizes=files),
            _table("Weights referred to", ("file", "size", "sha256", "when full"), pointer_rows(manifest.pointers)),
            _golden(read),
            _table("Planned for", ("package", "version"), sorted((k, str(v)) for k, v in manifest.versions.items())),
        ),
    )


def plan_report(plan: Plan, read: Read) -> Report:
    """Tell a reviewer what a spec compiles to.

    Args:
        plan: The spec's plan.
        read: The text of a file of the artifact to be, by its path; empty for one that is not there.

    Returns:
        The report.
    """
    deployment = plan.deployment
    what = (
        ("task", f"{deployment.task} ({deployment.library})"),
        ("model class", deployment.model_class),
        ("dtype", dtype_text(deployment)),
        ("parameters", in_count(plan.parameters)),
        ("memory for the weights", in_bytes(plan.memory_bytes)),
        ("adapter", adapter_saved(plan.sources, [step.target for step in plan.steps])),
        ("save mode", save_mode(plan.pointers)),
        *planned_rows(plan),
    )
    golden = [one.to_json() for one in plan.golden]
    return Report(
        plan.name,
        f"plan, {in_bytes(plan.weight_bytes)} of weights",
        _parts(
            _table("What it is", (), what),
            _table("Notes", (), ((note,) for note in plan.notes)),
            _sources(plan.sources),
            *_signature(plan.signature),
            _settings(plan.settings),
            *_templates(deployment.prompt_template, read),
            _labels(plan.labels),
            Section("Files and sizes", sizes=tuple((step.target, step.size) for step in plan.steps)),
            _table("Weights referred to", ("file", "size", "sha256", "when full"), pointer_rows(plan.pointers)),
            _golden(lambda _: json.dumps(golden)),
            _table("Requirements", (), ((line,) for line in plan.requirements)),
        ),
    )


def difference(changes: Sequence[Change], names: tuple[str, str]) -> Section:
    """The changes from one side to the other, side by side; the first part of a report on two."""
    rows = []
    for change in changes:
        before, after = told(change)
        rows.append((f"{change.group} {change.key}".strip(), before, after))
    texts = [f"{change.group} {change.key}\n" + "\n".join(line_diff(change)) for change in changes if is_text(change)]
    note = "" if changes else "Both mean the same."
    return Section("What changed", ("", *names), tuple(rows), "\n\n".join(texts), note=note)


def _parts(*sections: Section) -> tuple[Section, ...]:
    return tuple(section for section in sections if not section.is_empty)


def _table(title: str, header: tuple[str, ...], rows: Any) -> Section:
    texts = (tuple(str(cell) for cell in row) for row in rows)
    return Section(title, header, tuple(row for row in texts if row[-1]))


def _sources(sources: Sequence[SourceRecord]) -> Section:
    rows = ((source.role, f"{source.kind} {source.location}", _version(source), licence(source)) for source in sources)
    return _table("Sources", ("part", "from", "version", "licence"), rows)


def _version(source: SourceRecord) -> str:
    pinned = source.commit or source.version or "by its bytes"
    return f"{source.revision} = {pinned}" if source.revision and source.revision != pinned else pinned


def _signature(signature: Signature) -> Iterator[Section]:
    rows = [*_side("input", signature.inputs), *_side("output", signature.outputs)]
    yield _table("Signature", ("", "name", "type"), rows)
    params = ((each.name, each.type, _json(each.default), _limits(each)) for each in signature.params)
    yield Section("Params that callers may set", ("name", "type", "default", "limits"), tuple(params))


def _side(side: str, columns: tuple[Column, ...] | Tensor) -> Iterator[tuple[str, str, str]]:
    if isinstance(columns, Tensor):
        shape = ", ".join("any" if size < 0 else str(size) for size in columns.shape)
        yield side, "", f"array of {columns.dtype}, shape ({shape})"
    else:
        yield from ((side, column.name or "", _described(column)) for column in columns)


def _described(column: Column) -> str:
    return column.described() + ("" if column.required else " (optional)")


def _limits(param: Param) -> str:
    limits = (
        "" if param.minimum is None else f"at least {param.minimum:g}",
        "" if param.maximum is None else f"at most {param.maximum:g}",
        "" if param.choices is None else "one of " + ", ".join(map(str, param.choices)),
    )
    return ", ".join(filter(None, limits))


def _settings(rows: Sequence[SettingRow]) -> Section:
    return _table(
        "Settings", ("setting", "value", "where it comes from"), ((r.key, _json(r.value), r.origin) for r in rows)
    )


def _templates(prompt_template: str | None, read: Read) -> Iterator[Section]:
    yield Section("Prompt template", text=prompt_template or "")
    config = _object(read(CONFIG))
    template = read(TEMPLATE) or config.get("chat_template")
    if isinstance(template, str) and template:
        yield Section("Chat template on an example", text=_rendered(template, config))
        yield Section("Chat template", text=template)


def _rendered(template: str, config: Mapping[str, Any]) -> str:
    """The template with a short conversation, in the sandbox of transformers."""
    from transformers.utils.chat_template_utils import render_jinja_template

    tokens = {name: _token(value) for name, value in config.items() if name.endswith("_token")}
    try:
        rendered, _ = render_jinja_template(
            [list(CONVERSATION)], chat_template=template, add_generation_prompt=True, **tokens
        )
    except Exception as error:  # noqa: BLE001 - a template is a program of the checkpoint's, and may fail in any way
        return f"It does not take this example: {' '.join(str(error).split())}"
    return str(rendered[0])


def _token(value: Any) -> Any:
    return value.get("content") if isinstance(value, Mapping) else value


def _labels(labels: Sequence[str]) -> Section:
    more = f"{len(labels) - MOST_LABELS} more" if len(labels) > MOST_LABELS else ""
    rows = tuple((str(number), label) for number, label in enumerate(labels[:MOST_LABELS]))
    return Section("Labels", ("", "label"), rows, note=more)


def _golden(read: Read) -> Section:
    golden = json.loads(read(GOLDEN) or "[]")
    rows = (
        (
            _json(one["input"]),
            _json(one["output"]),
            "the dtype's" if one["tolerance"] is None else f"{one['tolerance']:g}",
        )
        for one in golden
    )
    return Section("Golden examples", ("input", "answer it is held to", "tolerance"), tuple(rows))


def _object(text: str) -> Mapping[str, Any]:
    value = json.loads(text or "{}")
    return value if isinstance(value, dict) else {}


def _json(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(thaw(value), ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
