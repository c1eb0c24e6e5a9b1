"""A good engineer's code for one model: sort by length, fill a budget of tokens, restore the order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.work import WORK

BUDGET = 1024  # tokens in a batch; the best of 512 to 8,192 on the machine of the first results


def classify(count: int, dtype: str = "float32", budget: int = BUDGET) -> Callable[[], Any]:
    """[label, score] a text."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    work = WORK["classification"]
    texts = work.rows(count)
    words = AutoTokenizer.from_pretrained(work.model)
    model = AutoModelForSequenceClassification.from_pretrained(work.model, dtype=getattr(torch, dtype)).eval()

    def answer() -> list[list[Any]]:
        ids = words(texts)["input_ids"]
        answers: dict[int, list[Any]] = {}
        with torch.inference_mode():
            for places in _batches(ids, budget):
                padded, mask = _padded([ids[place] for place in places])
                scores = model(input_ids=padded, attention_mask=mask).logits.float().softmax(-1).max(-1)
                for place, score, best in zip(places, scores.values.tolist(), scores.indices.tolist(), strict=True):
                    answers[place] = [model.config.id2label[best], score]
        return [answers[place] for place in range(len(texts))]

    return answer


def generate(count: int) -> Callable[[], Any]:
    """One batch, padded on the left, in one call of generate."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    work = WORK["generation"]
    texts = work.rows(count)
    words = AutoTokenizer.from_pretrained(work.model, padding_side="left")
    words.pad_token = words.eos_token
    model = AutoModelForCausalLM.from_pretrained(work.model).eval()

    def answer() -> list[str]:
        batch = words(texts, return_tensors="pt", padding=True)
        batch.pop("token_type_ids", None)
        with torch.inference_mode():
            tokens = model.generate(**batch, max_new_tokens=32, do_sample=False, pad_token_id=words.pad_token_id)
        return words.batch_decode(tokens[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)

    return answer


def _batches(ids: list[list[int]], budget: int) -> Iterator[list[int]]:
    order = sorted(range(len(ids)), key=lambda place: -len(ids[place]))
    start = 0
    while start < len(order):
        size = max(1, budget // len(ids[order[start]]))
        yield order[start : start + size]
        start += size


def _padded(rows: list[list[int]]) -> tuple[Any, Any]:
    import torch

    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return ids, mask
