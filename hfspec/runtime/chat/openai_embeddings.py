"""Embeddings as the OpenAI API gives them: one object a request, as JSON values.

An embedding that is cut to ``dimensions`` is scaled to length 1 again where the model's own are of length 1. With the
library sentence-transformers a text longer than the model reads is cut, as there; with transformers it is refused
unless truncation is set.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hfspec.errors import InputError, ParamsError, about
from hfspec.inputs.cells import checked as checked_cell
from hfspec.inputs.cells import found
from hfspec.inputs.openai_requests import Request, checked, texts_of, to_requests
from hfspec.inputs.row import Row
from hfspec.ir.artifact import FULL
from hfspec.ir.signature import Column
from hfspec.runtime.io.finite import Computed
from hfspec.runtime.io.transfer import Arriving
from hfspec.runtime.loading.request import LoadRequest
from hfspec.runtime.scheduling.batching import Item
from hfspec.runtime.sentences.sentence_embedding import Embedded, SentenceEmbedding
from hfspec.runtime.text.tokens import OR_CUT
from hfspec.settings.precedence import Settings

FORMATS = ("float", "base64")


@dataclass(frozen=True, slots=True)
class Part:
    """One text of a request, ready for the encoder. ``content``: the text as the encoder has prepared it."""

    request: Request
    index: int
    settings: Settings
    content: Any


@dataclass(frozen=True, slots=True)
class Vector:
    """One text's embedding."""

    part: Part
    embedded: Embedded


Reply = tuple[Vector, ...]


class OpenAIEmbeddings(SentenceEmbedding):
    """A runner whose embeddings equal those of feature-extraction of sentence-transformers over the same checkpoint."""

    def take(self, request: LoadRequest) -> None:
        super().take(request)
        self.name = request.manifest.name
        self.signature = request.manifest.signature
        self.normalises = _ends_in_normalize(request)

    def rows(self, data: Any) -> list[Row]:
        return to_requests(data, "input")

    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[Any]]:
        requests = [checked(row, settings, self.task, self.signature) for row in rows]
        return [item for request in requests for item in self._items(request)]

    def _items(self, request: Request) -> list[Item[Part]]:
        settings = self._settings(request)
        with about("input"):
            texts = [Row(request.row, {"text": text}) for text in _texts(request)]
            items = super().preprocess(texts, settings)
        parts = [Part(request, index, settings, item.content) for index, item in enumerate(items)]
        if self.task.setting("truncation") is not None and not settings.get("truncation"):
            self._refuse_cut(parts)
        return [
            Item(request.row, item.length, part, (settings.fingerprint(), item.group))
            for item, part in zip(items, parts, strict=True)
        ]

    def _settings(self, request: Request) -> Settings:
        """The settings in force for the request; raises InputError naming the row."""
        settings, width = request.settings, request.settings.get("truncate_dim")
        if request.values.get("encoding_format", "float") not in FORMATS:
            value = found(request.values["encoding_format"])
            raise InputError(
                f"encoding_format: expected {' or '.join(FORMATS)}; found {value}.", request.row, "encoding_format"
            )
        if "dimensions" in request.values and width is not None and width > self.encoder.size:
            raise InputError(
                f"dimensions: the model's embeddings have {self.encoder.size}; ask for at most that.",
                request.row,
                "dimensions",
            )
        try:
            self.check(settings)
        except ParamsError as error:
            raise InputError(str(error), request.row, error.key) from error
        return settings.over({"normalize_embeddings": True}) if width and self.normalises else settings

    def _refuse_cut(self, parts: Sequence[Part]) -> None:
        for part in parts:
            if part.content.cut:
                raise InputError(
                    f"input {part.index} has more than the {part.content.tokens} tokens that the model reads; shorten"
                    f" it, {OR_CUT}.",
                    part.request.row,
                    "input",
                )

    def run(self, batch: Sequence[Item[Any]], settings: Settings) -> Arriving | Computed:
        return super().run(_texts_of(batch), batch[0].content.settings)

    def read(self, output: Arriving | Computed, batch: Sequence[Item[Any]], settings: Settings) -> list[Any]:
        embedded = super().read(output, _texts_of(batch), batch[0].content.settings)
        return [Vector(item.content, mine) for item, mine in zip(batch, embedded, strict=True)]

    def joined(self, parts: Sequence[Any], settings: Settings) -> Reply:
        return tuple(parts)

    def standard(self, results: Sequence[Any], settings: Settings) -> Any:
        if len(results) == 1 and results[0][0].part.request.single:
            return self._object(results[0])
        return [self._object(reply) for reply in results]

    def full(self, results: Sequence[Any], settings: Settings) -> list[dict[str, Any]]:
        return [
            {"request": vector.part.request.row, "index": vector.part.index, **more}
            for reply in results
            for vector in reply
            for more in super(OpenAIEmbeddings, self).full([vector.embedded], vector.part.settings)
        ]

    def answer(self, result: Any, settings: Settings, form: str) -> Any:
        """The object; in the full form a list, one a text."""
        return self.full([result], settings) if form == FULL else self._object(result)

    def _object(self, reply: Reply) -> dict[str, Any]:
        tokens = sum(vector.embedded.tokens for vector in reply)
        packed = reply[0].part.request.values.get("encoding_format") == "base64"
        data = [
            {
                "object": "embedding",
                "index": vector.part.index,
                "embedding": _base64(vector.embedded.vector) if packed else vector.embedded.vector.tolist(),
            }
            for vector in reply
        ]
        counts = {"prompt_tokens": tokens, "total_tokens": tokens}
        mark = self.mark(reply[0].part.settings)
        return {"object": "list", "data": data, "model": self.name, "usage": counts, "fingerprint": mark}


def _texts_of(batch: Sequence[Item[Part]]) -> list[Item[Any]]:
    return [Item(item.row, item.length, item.content.content) for item in batch]


def _texts(request: Request) -> list[str]:
    """The texts of a request; raises InputError naming the row."""
    column = Column("string", "input")
    return [checked_cell(text, column, request.row) for text in texts_of(request, "input", "texts")]


def _base64(vector: Any) -> str:
    """The vector's float32 values, least significant byte first, as the API packs them."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")


def _ends_in_normalize(request: LoadRequest) -> bool:
    """Whether the model's last module scales its embeddings to length 1."""
    file = request.model_folder / "modules.json"
    if not file.is_file():
        return False
    entries = json.loads(file.read_text(encoding="utf-8"))
    return bool(entries) and str(entries[-1]["type"]).endswith(".Normalize")
