"""The tokenizer of a tokenizer.json, by the package tokenizers alone, with the methods that runners use."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from hfspec.errors import StorageError
from hfspec.libraries.onnxruntime_genai.chat_templates import rendered, templates

TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
LARGEST_LENGTH = 10**9
SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
# Replacements in the text of a tokenizer that asks for them, as transformers makes them.
SPACES = ((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"))
SHORT_FORMS = ((" n't", "n't"), (" 'm", "'m"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"))


class Tokenizer:
    """The tokenizer in a folder; raises StorageError where its files give none."""

    def __init__(self, folder: Path, pad: int | None = None) -> None:
        import tokenizers

        path = folder / TOKENIZER
        try:
            self._inner = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the package raises Exception itself
            raise StorageError(f"{TOKENIZER} makes no tokenizer: {error}.") from error
        self._inner.no_padding()
        self._inner.no_truncation()
        self._config = _json(folder / TOKENIZER_CONFIG)
        self._templates = templates(folder, self._config)
        self.pad_token_id = pad
        self.truncation_side = str(self._config.get("truncation_side", "right"))
        most = self._config.get("model_max_length")
        self.model_max_length = int(min(most, LARGEST_LENGTH)) if isinstance(most, int | float) else LARGEST_LENGTH
        is_bpe = type(self._inner.model).__name__ == "BPE"
        self._tidies = self._config.get("clean_up_tokenization_spaces") is True and not is_bpe

    def __len__(self) -> int:
        return int(self._inner.get_vocab_size(with_added_tokens=True))

    def __call__(
        self,
        text: str | Sequence[str],
        pairs: None = None,
        *,
        add_special_tokens: bool = True,
        **options: Any,
    ) -> dict[str, Any]:
        """The tokens of a text, or of each of several."""
        if isinstance(text, str):
            return {"input_ids": self._inner.encode(text, add_special_tokens=add_special_tokens).ids}
        encodings = self._inner.encode_batch(list(text), add_special_tokens=add_special_tokens)
        return {"input_ids": [one.ids for one in encodings]}

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """The text of tokens; an unknown token has none."""
        text = str(self._inner.decode(list(ids), skip_special_tokens=skip_special_tokens))
        for spaced, tidy in (*SPACES, *SHORT_FORMS) if self._tidies else ():
            text = text.replace(spaced, tidy)
        return text

    @property
    def size(self) -> int:
        """One more than the greatest id that it can give."""
        return max(self._inner.get_vocab(with_added_tokens=True).values(), default=-1) + 1

    @cached_property
    def all_special_ids(self) -> list[int]:
        """The tokens that are no text."""
        return sorted(token for token, added in self._inner.get_added_tokens_decoder().items() if added.special)

    def convert_ids_to_tokens(self, token: int) -> str | None:
        """The vocabulary's text of a token; None for an unknown one."""
        text: str | None = self._inner.id_to_token(token)
        return text

    @property
    def chat_template(self) -> str | None:
        """The template of conversations; None without one."""
        return self._templates.get("default") or next(iter(self._templates.values()), None)

    def get_chat_template(self, tools: Any = None) -> str:
        """The template for a conversation, with tools where it has one for them."""
        return (self._templates.get("tool_use") if tools else None) or self.chat_template or ""

    def apply_chat_template(self, messages: Sequence[Any], *, tools: Any = None, **options: Any) -> str:
        """The conversation as the template writes it; raises the template's errors."""
        special = {name: _token(self._config[name]) for name in SPECIAL if self._config.get(name)}
        return rendered(
            self.get_chat_template(tools),
            messages=messages,
            tools=tools,
            documents=None,
            add_generation_prompt=options.get("add_generation_prompt", True),
            **special,
        )


def _json(path: Path) -> dict[str, Any]:
    """The object in a file; empty where there is none."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise StorageError(f"{path.name} is no JSON: {error}.") from error
    return value if isinstance(value, dict) else {}


def _token(value: Any) -> str:
    return str(value.get("content", "")) if isinstance(value, dict) else str(value)
