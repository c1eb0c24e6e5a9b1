"""Dense sentence embeddings: what SentenceTransformer.encode answers, text by text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hfspec.errors import ParamsError
from hfspec.runtime.batching import Item
from hfspec.runtime.family import Family, Place, Row
from hfspec.runtime.sentence_encoder import Text, encoder
from hfspec.runtime.sentence_modules import settings as stated
from hfspec.runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class Embedded:
    """A row's result; ``vector`` a numpy array (dimensions,), float32."""

    vector: Any
    tokens: int
    cut: bool


class SentenceEmbedding(Family):
    """Texts longer than the model reads are cut, as users of sentence-transformers expect; full output says so."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.encoder = encoder(place)
        self.stated = stated(place.model)
        self.prompts: dict[str, str] = {
            name: text for name, text in (self.stated.get("prompts") or {}).items() if text is not None
        }

    def own_settings(self) -> dict[str, Any]:
        own = {"prompt_name": self.stated.get("default_prompt_name"), "truncate_dim": self.stated.get("truncate_dim")}
        return {name: value for name, value in own.items() if value is not None}

    def check(self, settings: Settings) -> None:
        name = settings.get("prompt_name")
        if name is not None and name not in self.prompts:
            known = ", ".join(sorted(self.prompts)) or "none"
            raise ParamsError(f"prompt_name {name!r} is not one of the model's prompts; they are: {known}.")

    def _prompt(self, settings: Settings) -> str:
        """The text before each text: of prompt and prompt_name the one set in the higher layer, prompt in the same."""
        if "prompt" in settings and settings.rank("prompt") >= settings.rank("prompt_name"):
            return str(settings["prompt"] or "")
        name = settings.get("prompt_name")
        return "" if name is None else self.prompts[name]

    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[Text]]:
        texts = self.encoder.prepare([row.values["text"] for row in rows], self._prompt(settings))
        return [Item(row.number, text.tokens, text) for row, text in zip(rows, texts, strict=True)]

    def run(self, batch: Sequence[Item[Text]], settings: Settings) -> list[Embedded]:
        texts = [item.content for item in batch]
        vectors = self.encoder.encode(texts, self._prompt(settings))
        if settings.get("truncate_dim"):
            vectors = vectors[:, : settings["truncate_dim"]]
        if settings.get("normalize_embeddings"):
            vectors = vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1e-12)
        return [Embedded(row, text.tokens, text.cut) for row, text in zip(vectors.numpy(), texts, strict=True)]

    def standard(self, results: Sequence[Embedded], settings: Settings) -> Any:
        """(rows, dimensions), float32; one text is one row."""
        import numpy as np

        if not results:
            return np.empty((0, min(self.encoder.size, settings.get("truncate_dim") or self.encoder.size)), np.float32)
        return np.stack([result.vector for result in results])

    def full(self, results: Sequence[Embedded], settings: Settings) -> list[dict[str, Any]]:  # noqa: ARG002
        return [{"embedding": row.vector, "tokens": row.tokens, "truncated": row.cut} for row in results]
