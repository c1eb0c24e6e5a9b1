"""A tokenizer by the package tokenizers alone, called as the runners call those of transformers.

Its tokenizer.json is the one that transformers had in use when the graph was made, with the options of the spec; what
else the runners ask of a tokenizer is recorded beside the graph.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hfspec.errors import StorageError

TOKENIZER = "tokenizer.json"
STRATEGIES = {True: "longest_first", "longest_first": "longest_first", "only_first": "only_first"}
LARGEST_LENGTH = 10**9


class Encoded(Mapping[str, Any]):
    """The tokens of texts, by the names of model inputs, and the tokenizer's own account of each."""

    def __init__(self, encodings: Sequence[Any], columns: Mapping[str, Any]) -> None:
        self.encodings = encodings
        self._columns = columns

    def __getitem__(self, name: str) -> Any:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def word_ids(self, place: int = 0) -> list[int | None]:
        """The word of each token of a text, None for special ones."""
        words: list[int | None] = self.encodings[place].word_ids
        return words


class GraphTokenizer:
    """The tokenizer in a folder. ``facts``: what was recorded of it. Raises StorageError where its file makes none."""

    is_fast = True
    unk_token_id: int | None
    cls_token_id: int | None
    pad_token_id: int | None

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        import tokenizers

        try:
            self.backend_tokenizer = tokenizers.Tokenizer.from_file(str(folder / TOKENIZER))
        except Exception as error:  # the package raises Exception itself
            raise StorageError(f"{TOKENIZER} makes no tokenizer: {error}.") from error
        self.model_max_length = int(facts["model_max_length"])
        self.model_input_names: Sequence[str] = facts["model_input_names"]
        self.padding_side: str = facts["padding_side"]
        self.truncation_side: str = facts["truncation_side"]
        self.all_special_ids: Sequence[int] = facts["all_special_ids"]
        for name in ("unk_token_id", "cls_token_id", "pad_token_id"):
            setattr(self, name, facts[name])

    def __len__(self) -> int:
        return int(self.backend_tokenizer.get_vocab_size(with_added_tokens=True))

    def __call__(
        self,
        texts: str | Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        add_special_tokens: bool = True,
        truncation: bool | str = False,
        max_length: int | None = None,
        stride: int = 0,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        padding: bool = False,
        verbose: bool = False,
    ) -> Encoded:
        """The tokens of a text, or of each of several, or of pairs."""
        self._cut(STRATEGIES.get(truncation, ""), max_length, stride)
        firsts = [texts] if isinstance(texts, str) else list(texts)
        inputs: list[Any] = firsts if pairs is None else list(zip(firsts, pairs, strict=True))
        whole = self.backend_tokenizer.encode_batch(inputs, add_special_tokens=add_special_tokens)
        rests = [one.overflowing if return_overflowing_tokens else [] for one in whole]
        encodings = [part for one, rest in zip(whole, rests, strict=True) for part in (one, *rest)]
        columns = {name: [getattr(one, self._field(name)) for one in encodings] for name in self.model_input_names}
        if return_overflowing_tokens:
            columns["overflow_to_sample_mapping"] = [place for place, rest in enumerate(rests) for _ in (0, *rest)]
        if return_special_tokens_mask:
            columns["special_tokens_mask"] = [one.special_tokens_mask for one in encodings]
        if return_offsets_mapping:
            columns["offset_mapping"] = [one.offsets for one in encodings]
        if isinstance(texts, str) and not return_overflowing_tokens:
            columns = {name: rows[0] for name, rows in columns.items()}
        return Encoded(encodings, columns)

    @staticmethod
    def _field(name: str) -> str:
        return {"input_ids": "ids", "token_type_ids": "type_ids"}.get(name, name)

    def _cut(self, strategy: str, max_length: int | None, stride: int) -> None:
        most = self.model_max_length if max_length is None else max_length
        if not strategy or most >= LARGEST_LENGTH:
            self.backend_tokenizer.no_truncation()
            return
        self.backend_tokenizer.enable_truncation(most, stride=stride, strategy=strategy, direction=self.truncation_side)

    def num_special_tokens_to_add(self, pair: bool = False) -> int:  # noqa: FBT001 - as transformers calls it
        """How many special tokens a text, or a pair, gets."""
        return int(self.backend_tokenizer.num_special_tokens_to_add(pair))

    def convert_ids_to_tokens(self, ids: int | Sequence[int]) -> Any:
        """Tokens as the vocabulary has them."""
        to_token = self.backend_tokenizer.id_to_token
        return to_token(ids) if isinstance(ids, int) else [to_token(number) for number in ids]

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """The text that tokens are of."""
        decoder = self.backend_tokenizer.decoder
        return " ".join(tokens) if decoder is None else str(decoder.decode(list(tokens)))
