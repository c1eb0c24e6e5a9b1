"""The forward pass of a step: over all rows, and where the model fails, over parts, so that one prompt fails alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hfspec.runtime.generation.running_batch.rows import RunningRows
from hfspec.runtime.scheduling.isolation import isolated


def read_last_tokens(
    model: Any, rows: RunningRows, last: Any, prompts: Sequence[list[int]]
) -> tuple[Any, list[tuple[int, Exception]]]:
    """Read the last token of every row.

    Args:
        model: The model.
        rows: The rows, whose cache takes the tokens.
        last: The tokens, (rows, 1).
        prompts: The indexes of each prompt's rows.

    Returns:
        The scores of all rows, (rows, vocabulary): zeros for those of a prompt at which the model fails, None where it
        fails at every one. And the indexes of the prompts at which it fails, with the errors.

    Raises:
        Exception: An error that is of no prompt.
    """

    def read(part: Sequence[int]) -> tuple[list[int], RunningRows, Any]:
        indexes = [row for prompt in part for row in prompts[prompt]]
        if len(part) == len(prompts):
            return indexes, rows, rows.scores(model, last)
        copy = rows.copied(indexes)
        return indexes, copy, copy.scores(model, last[indexes])

    done, failed = isolated(range(len(prompts)), read)
    results = [result for _, result in done]
    if not failed:
        return results[0][2], []
    rows.take_back([(indexes, copy) for indexes, copy, _ in results])
    if not results:
        return None, failed
    scores = results[0][2].new_zeros((len(last), results[0][2].shape[-1]))
    for indexes, _, part in results:
        scores[indexes] = part
    return scores, failed
