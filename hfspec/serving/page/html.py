"""HTML as values: elements whose texts are escaped, and whole pages with the headers that keep them to themselves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from hfspec.serving.front.errors import RequestError
from hfspec.tasks.endpoints import PROTOCOLS

if TYPE_CHECKING:
    from hfspec.serving.front.exchange import Exchange

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
ASK_KEY = {"www-authenticate": 'Basic realm="hfspec: an API key as the password", charset="UTF-8"'}
VOID = frozenset({"input", "link", "meta", "br"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: Any) -> Markup:
    """An element. A child that is no Markup is escaped. In an attribute's name an underscore at the end is dropped, and
    others become hyphens; False and None leave the attribute out.
    """
    text = "".join(_attribute(key, value) for key, value in attributes.items() if value not in (None, False))
    if name in VOID:
        return Markup(f"<{name}{text}>")
    return Markup(f"<{name}{text}>{joined(children)}</{name}>")


def joined(children: Iterable[str]) -> Markup:
    """The children one after the other."""
    return Markup("".join(child if isinstance(child, Markup) else escape(child) for child in children))


def _attribute(key: str, value: Any) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


def page(title: str, *body: str, script: bool = False) -> Markup:
    """A whole page."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("link", rel="icon", href="data:,"),
        element("link", rel="stylesheet", href="/page.css"),
        *([element("script", src="/page.js", defer=True)] if script else []),
    )
    return Markup(f'<!doctype html><html lang="en">{head}{element("body", *body)}</html>')


def response(whole: Markup, status: int = 200) -> Response:
    """The page as a response."""
    return Response(whole, status, dict(HEADERS), "text/html; charset=utf-8")


def error(error: RequestError, exchange: Exchange) -> Response:
    """An error as a page; a browser asks for the key that is missing."""
    if error.status == 401:
        error.headers = ASK_KEY
    body = element(
        "main",
        element("h1", "That did not work"),
        element("p", error.text, role="alert"),
        element("p", f"Request {exchange.id}", class_="quiet"),
        element("p", element("a", "Back to the models", href="/")),
    )
    return response(page("hfspec", body), error.status)


def table(rows: Iterable[Iterable[str]], head: Iterable[str] = ()) -> Markup:
    """A table that scrolls by itself where it is wide."""
    titles = [element("th", title, scope="col") for title in head]
    lines = [element("tr", *(element("td", cell) for cell in row)) for row in rows]
    top = [element("thead", element("tr", *titles))] if titles else []
    return element("div", element("table", *top, element("tbody", *lines)), class_="scroll", tabindex="0")


def code(value: Any) -> Markup:
    """A value as JSON, or a text as it is."""
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return element("pre", element("code", text), tabindex="0")


def docs(document: Mapping[str, Any]) -> Markup:
    """An OpenAPI document as a page."""
    paths = document["paths"]
    by_tag: dict[str, list[Markup]] = {tag["name"]: [] for tag in document["tags"]}
    for path, operations in paths.items():
        for method, operation in operations.items():
            by_tag[operation["tags"][0]].append(_operation(method, path, operation))
    sections = [
        element("section", element("h2", PROTOCOLS[tag].title), *parts, class_="card", id=tag)
        for tag, parts in by_tag.items()
        if parts
    ]
    links = [
        element("li", element("a", PROTOCOLS[tag].title, href=f"#{tag}")) for tag, parts in by_tag.items() if parts
    ]
    top = element(
        "header",
        element("h1", "What this server offers"),
        element("p", "The same for programs: ", element("a", "/openapi.json", href="/openapi.json"), "."),
        element("nav", element("ul", element("li", element("a", "Models", href="/")), *links), aria_label="Protocols"),
    )
    details = [
        element("details", element("summary", element("code", name)), code(schema))
        for name, schema in document["components"]["schemas"].items()
    ]
    rest = element("section", element("h2", "Schemas"), *details, class_="card")
    return page("hfspec: what this server offers", top, element("main", *sections, rest))


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Markup:
    parts: list[Markup] = []
    for title, content in (
        ("Request", operation.get("requestBody", {}).get("content", {})),
        ("Answer", operation["responses"]["200"].get("content", {})),
    ):
        for kind, media in content.items():
            parts.append(element("h3", f"{title}, {kind}"))
            parts += [code(example["value"]) for example in media.get("examples", {}).values()]
            parts.append(code(media.get("schema") or {}))
    name = element("code", f"{method.upper()} {path}")
    return element("details", element("summary", name, f" {operation['summary']}"), *parts)
