"""The page at ``/``: each model's card, its rates, and a form to try it, which works without a script for one row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.responses import Response

from hfspec import __version__
from hfspec.ir.artifact import Manifest
from hfspec.ir.signature import Column, Tensor
from hfspec.runtime.io.answers import plain
from hfspec.serving.front.app import Endpoint, plain_error
from hfspec.serving.front.errors import RequestError
from hfspec.serving.front.exchange import Exchange, to_json
from hfspec.serving.front.model import Model
from hfspec.serving.page import calls, form, html
from hfspec.serving.page.html import Markup, element
from hfspec.serving.page.stats import stats
from hfspec.serving.protocols import schemas
from hfspec.serving.protocols.fields import CHATS
from hfspec.tasks.endpoints import PROTOCOLS

FOLDER = Path(__file__).parent
SHOWN = 12  # numbers of an array, and rows of a table
PLOTS = (("rate", "Requests a second"), ("latency", "Latency, median and 95 %"), ("tokens", "Tokens a second"))


async def index(exchange: Exchange) -> Response:
    """Every model."""
    _check(exchange)
    return html.response(_page(exchange))


async def trial(exchange: Exchange) -> Response:
    """The answer to a form that was sent without a script, within the page."""
    _check(exchange)
    if exchange.headers.get(b"sec-fetch-site", b"none") not in {b"same-origin", b"none"}:
        raise RequestError(403, "the form must be sent from this page.", "ForbiddenError")
    sent = await exchange.form()
    try:
        name = sent.get("model")
        model = exchange.model(name if isinstance(name, str) else None)
        row, params, outputs = await form.read(sent, model.manifest)
    finally:
        await sent.close()
    try:
        answer = await exchange.answer(model, exchange.asking(row, 1, params or None, outputs))
        result, status = answered(plain(answer)), 200
    except RequestError as error:
        result, status = element("p", error.text, class_="error", role="alert"), error.status
    texts = {key: value for key, value in row.items() if not isinstance(value, bytes)}
    return html.response(_page(exchange, {model.name: (texts, result)}), status)


async def numbers(exchange: Exchange) -> Response:
    """The numbers of the plots."""
    _check(exchange)
    return to_json(stats(exchange.app), headers={"cache-control": "no-store"})


async def style(exchange: Exchange) -> Response:
    """The style of this page and of /docs."""
    if not exchange.app.settings.page and not exchange.app.settings.docs:
        _check(exchange)
    return _file("page.css", "text/css; charset=utf-8")


async def script(exchange: Exchange) -> Response:
    """The page's script."""
    _check(exchange)
    return _file("page.js", "text/javascript; charset=utf-8")


def _file(name: str, kind: str) -> Response:
    headers = {"x-content-type-options": "nosniff", "cache-control": "no-cache"}
    return Response((FOLDER / name).read_bytes(), 200, headers, kind)


def _check(exchange: Exchange) -> None:
    if not exchange.app.settings.page:
        raise RequestError(404, "this server has no page.", "PathError")


def _page(exchange: Exchange, tried: Mapping[str, tuple[Mapping[str, Any], Markup]] | None = None) -> Markup:
    models = list(exchange.app.models)
    tried = tried or {}
    links = [element("li", element("a", model.name, href=f"#{model.name}")) for model in models]
    top = element(
        "header",
        element("a", "Skip to the models", class_="skip", href="#models"),
        element("h1", "hfspec"),
        element("p", f"{len(models)} model{'' if len(models) == 1 else 's'} at {_address(exchange)}", class_="quiet"),
        *([element("nav", element("ul", *links), aria_label="Models")] if len(models) > 1 else []),
    )
    sections = [_model(model, exchange, *tried.get(model.name, (None, Markup()))) for model in models]
    settings = exchange.app.settings
    ends = [
        ("/docs", settings.docs),
        ("/openapi.json", settings.docs),
        ("/metrics", settings.metrics),
        ("/ready", True),
    ]
    links = [html.joined([element("a", path, href=path), " "]) for path, is_there in ends if is_there]
    bottom = element("footer", element("p", f"hfspec {__version__} ", *links))
    return html.page("hfspec", top, element("main", *sections, id="models"), bottom, script=True)


def _address(exchange: Exchange) -> str:
    scheme = "https" if exchange.app.settings.tls else "http"
    return f"{scheme}://{exchange.headers.get(b'host', b'localhost').decode('latin-1')}"


def _model(model: Model, exchange: Exchange, row: Mapping[str, Any] | None, answer: Markup) -> Markup:
    state = element("span", model.state.value, class_=f"state {model.state.value}", data_show="state")
    title = element("div", element("h2", model.name), state, class_="title")
    generation = model.generation
    if generation is None:
        note = element("p", "It is not loaded.", class_="quiet")
        return element("section", title, note, class_="card", id=model.name)
    manifest = generation.manifest
    task = schemas.task_of(manifest)
    parts = [title, element("p", task.summary if task else manifest.deployment.task, class_="quiet")]
    if model.reason:
        parts.append(element("p", model.reason, class_="error"))
    talk = element("ol", class_="talk", data_show="talk", aria_live="polite")
    trial_side = element("div", talk, _form(model, manifest, row), _answer(answer), _calls(model, manifest, exchange))
    facts_side = element("div", _card(model, manifest, generation.facts()), *_details(model, manifest))
    kind = manifest.deployment.task
    return element(
        "section",
        *parts,
        _plots(),
        element("div", trial_side, facts_side, class_="two"),
        class_="card",
        id=model.name,
        data_model=model.name,
        data_chat=kind in CHATS,
        data_streams="openai" in model.protocols and kind in CHATS,
        data_key=_asks_key(exchange),
    )


def _asks_key(exchange: Exchange) -> bool:
    keys = exchange.app.settings.api_keys
    return keys is not None and bool(keys.keys)


def _form(model: Model, manifest: Manifest, row: Mapping[str, Any] | None) -> Markup:
    sample = schemas.example(manifest, Path(model.entry.artifact)) if row is None else row
    if "hfspec" not in model.protocols:
        return element("p", "This model is not offered by hfspec's own protocol, which the form uses.", class_="quiet")
    submit = element("button", "Send" if manifest.deployment.task in CHATS else "Try it", type="submit")
    return element(
        "form",
        element("input", type="hidden", name="model", value=model.name),
        *form.fields(manifest, model.name, sample),
        element("div", submit, element("span", class_="quiet", data_show="spent", aria_live="polite"), class_="row"),
        action=f"/try#{model.name}",
        method="post",
        enctype="multipart/form-data",
        aria_label=f"Try {model.name}",
    )


def _answer(content: Markup) -> Markup:
    return element("div", content, class_="answer", data_show="answer", aria_live="polite")


def _calls(model: Model, manifest: Manifest, exchange: Exchange) -> Markup:
    address = f"{_address(exchange)}/models/{model.name}/predict"
    body = {"inputs": schemas.example(manifest, Path(model.entry.artifact))}
    asks_key = _asks_key(exchange)
    copy = element("button", "Copy", type="button", class_="plain", data_copy=True, hidden=True)
    return html.joined(
        element(
            "details",
            element("summary", title),
            _code(text, name),
            copy,
        )
        for title, name, text in (
            ("This call with curl", "curl", calls.curl(address, body, asks_key=asks_key)),
            ("This call in Python", "python", calls.python(address, body, asks_key=asks_key)),
        )
    )


def _code(text: str, name: str) -> Markup:
    return element("pre", element("code", text, data_show=name), tabindex="0")


def _plots() -> Markup:
    plots = [
        element("div", element("span", title), element("b", "–"), class_="plot", data_plot=name)
        for name, title in PLOTS
    ]
    return element("div", *plots, class_="plots", hidden=True)


def _card(model: Model, manifest: Manifest, facts: Mapping[str, Any]) -> Markup:
    deployment, comma = manifest.deployment, ", "
    sources = "; ".join(
        f"{source.location}{f' at {source.revision}' if source.revision else ''}"
        f"{f' ({comma.join(source.licences)})' if source.licences else ''}"
        for source in manifest.sources
    )
    entries = {
        "Task": deployment.task,
        "Also called": ", ".join(model.entry.aliases),
        "Library": deployment.library,
        "Class": deployment.model_class,
        "Runs in": f"{facts.get('dtype', deployment.dtype)} on {facts.get('device', 'its device')}",
        "Replicas": str(model.entry.replicas),
        "From": sources,
        "Digest": manifest.digest[:16],
        "Fingerprint": (facts.get("fingerprint") or "")[:16],
        "Prompts": "join and leave at every step" if facts.get("joins") else "",
        "Protocols": ", ".join(PROTOCOLS[name].title for name in model.protocols),
    }
    pairs = [part for key, value in entries.items() if value for part in (element("dt", key), element("dd", value))]
    return element("dl", *pairs)


def _details(model: Model, manifest: Manifest) -> list[Markup]:
    signature = manifest.signature
    rows = [*_side("in", signature.inputs), *_side("out", signature.outputs)]
    rows += [("param", param.name, param.type, f"default {param.default}") for param in signature.params]
    limits = [(key.replace("_", " "), str(value)) for key, value in model.entry.limits if value is not None]
    return [
        element("details", element("summary", "Signature"), html.table(rows, ("", "name", "type", ""))),
        element("details", element("summary", "Limits"), html.table(limits)),
    ]


def _side(word: str, side: tuple[Column, ...] | Tensor) -> list[tuple[str, str, str, str]]:
    if isinstance(side, Tensor):
        shape = " × ".join("any" if size < 0 else str(size) for size in side.shape)
        return [(word, "", f"{side.dtype} [{shape}]", "")]
    return [(word, column.name or "", column.described(), "" if column.required else "optional") for column in side]


def answered(answer: Any) -> Markup:
    """The answer to one row, in plain values, as HTML."""
    if isinstance(answer, dict) and isinstance(answer.get("choices"), list):
        texts = [choice.get("message", choice).get("content", choice.get("text")) for choice in answer["choices"]]
        return html.joined(element("p", str(text), class_="text") for text in texts)
    if isinstance(answer, str):
        return element("p", answer, class_="text")
    if isinstance(answer, list) and answer and all(isinstance(item, str) for item in answer):
        return html.joined(element("p", item, class_="text") for item in answer)
    if isinstance(answer, list) and answer and all(isinstance(item, dict) for item in answer):
        names = list(answer[0])
        if all(not isinstance(cell, list | dict) for item in answer for cell in item.values()):
            return html.table([[_cell(item.get(name)) for name in names] for item in answer[:SHOWN]], names)
    if _numbers(answer):
        return _array(answer)
    return html.code(answer)


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "" if value is None else str(value)


def _numbers(value: Any) -> bool:
    while isinstance(value, list) and value:
        value = value[0]
    return isinstance(value, int | float)


def _array(answer: Any) -> Markup:
    shape, inner = [], answer
    while isinstance(inner, list) and inner:
        shape.append(len(inner))
        last, inner = inner, inner[0]
    if not shape:
        return element("p", _cell(answer), class_="text")
    if shape == [1]:
        return element("p", _cell(answer[0]), class_="text")
    begin = ", ".join(map(_cell, last[:SHOWN])) + (", …" if len(last) > SHOWN else "")
    size = " × ".join(map(str, shape))
    return html.joined([element("p", f"{size} numbers", class_="quiet"), html.code(f"[{begin}]")])


ENDPOINTS = (
    Endpoint("GET", "/", index, html.error, summary="The page"),
    Endpoint("POST", "/try", trial, html.error, summary="The page's form, without a script"),
    Endpoint("GET", "/stats", numbers, plain_error, summary="What the page's plots are drawn from"),
    Endpoint("GET", "/page.css", style, plain_error, scope="", summary="The page's style"),
    Endpoint("GET", "/page.js", script, plain_error, scope="", summary="The page's script"),
)
