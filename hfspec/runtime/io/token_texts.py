"""The text of tokens that a model made, of which its tokenizer may know fewer than the model does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hfspec.errors import OutputError

# What a tokenizer raises for a token that it does not have.
UNREADABLE = (AttributeError, LookupError, TypeError, ValueError)


def text_of(tokenizer: Any, ids: Sequence[int], **options: Any) -> str:
    """The text of these tokens, as the library decodes them.

    Args:
        tokenizer: The library's tokenizer.
        ids: The tokens.
        options: Those of ``tokenizer.decode``.

    Returns:
        The text.

    Raises:
        OutputError: The library's decode fails on one of the tokens.
    """
    try:
        return str(tokenizer.decode(list(ids), **options))
    except UNREADABLE as error:
        unknown = next((token for token in ids if not _is_known(tokenizer, token)), None)
        if unknown is None:
            raise
        raise OutputError(
            f"the model made the token {unknown}, and its tokenizer, which has {len(tokenizer)} tokens, has none of"
            f" that number ({type(error).__name__}: {error}); use the tokenizer that the model was trained with."
        ) from error


def _is_known(tokenizer: Any, token: int) -> bool:
    try:
        tokenizer.decode([token])
    except UNREADABLE:
        return False
    return True
