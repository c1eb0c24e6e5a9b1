"""The text of a model's tokens, of which its tokenizer may know fewer than the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hfspec.errors import OutputError

# The errors of a tokenizer for a token that it does not have.
UNREADABLE = (AttributeError, LookupError, TypeError, ValueError)


def text_of(tokenizer: Any, ids: Sequence[int], **options: Any) -> str:
    """The text of these tokens, as transformers decodes them.

    Args:
        tokenizer: The tokenizer of transformers.
        ids: The tokens.
        options: Options of ``tokenizer.decode``.

    Returns:
        The text.

    Raises:
        OutputError: ``tokenizer.decode`` fails on one of the tokens.
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
