"""Generation in batches: rows that have ended leave, prompts draw as they would alone; what is computed is counted."""

from __future__ import annotations

import pytest
import torch

import hfspec
from tests.runtime.texts import MIXED, shuffled

PROMPTS = [text for text in shuffled(MIXED) if text.strip()]


@pytest.fixture
def counted():
    """``counted(predictor)``: the rows of every decoder step that it takes from now on."""
    hooks = []

    def get(predictor):
        steps = []
        model = predictor.components()["model"]
        part = model.get_decoder()
        hooks.append(
            part.register_forward_pre_hook(
                lambda module, args, options: steps.append(len((args or [options["input_ids"]])[0])), with_kwargs=True
            )
        )
        return steps

    yield get
    for hook in hooks:
        hook.remove()


@pytest.fixture
def folders(artifact, build, checkpoint):
    def get(name, **keys):
        return build(checkpoint(name), "summarization", **keys) if name == "t5" else artifact(name, **keys)

    return get


def ending(folder, room=10):
    """Settings under which answers end at different lengths: some tokens that the model makes are end tokens."""
    settings = {"max_new_tokens": room, "min_new_tokens": 0, "num_beams": 1}
    predictor = hfspec.load(folder, model_config=settings)
    words = predictor.components()["tokenizer"]
    texts = [row["text"].removeprefix(row["prompt"]) for row in predictor.predict(PROMPTS, outputs="full")]
    made = [words(text, add_special_tokens=False)["input_ids"] for text in texts]
    ends = sorted({ids[place % len(ids)] for place, ids in enumerate(made) if ids})
    return {**settings, "eos_token_id": ends[: max(1, len(ends) // 2)]}


@pytest.mark.parametrize("name", ["gpt2", "llama-chat", "t5"])
@pytest.mark.parametrize(
    "more", [{}, {"no_repeat_ngram_size": 2}, {"use_cache": False}], ids=["plain", "ngrams", "no cache"]
)
def test_rows_that_have_ended_are_not_computed_on(folders, counted, name, more):
    folder = folders(name)
    settings = {**ending(folder), **more}
    predictor = hfspec.load(folder, model_config=settings)
    alone = [predictor.predict(prompt, outputs="full")[0] for prompt in PROMPTS]
    steps = counted(predictor)
    assert predictor.predict(PROMPTS, outputs="full") == alone
    assert len({row["completion_tokens"] for row in alone}) > 1
    assert sum(steps) == sum(row["completion_tokens"] for row in alone)
    assert max(steps) > 1


@pytest.mark.parametrize("name", ["gpt2", "llama-chat", "t5"])
@pytest.mark.parametrize("count", [1, 3])
def test_seeded_rows_share_a_batch_and_draw_as_they_would_alone(folders, counted, name, count):
    settings = {"do_sample": True, "num_beams": 1, "temperature": 1.4, "top_k": 0, "seed": 6, "max_new_tokens": 6}
    predictor = hfspec.load(folders(name), model_config={**settings, "num_return_sequences": count})
    rows = [PROMPTS[0], *PROMPTS]
    before = torch.random.get_rng_state()
    alone = [answer for prompt in rows for answer in predictor.predict(prompt)]
    steps = counted(predictor)
    together = predictor.predict(rows)
    assert together == alone
    assert together[:count] == together[count : 2 * count]
    assert steps[0] == len(rows) * count or len(steps) < 6 * len(rows)
    assert torch.equal(before, torch.random.get_rng_state())


def test_rows_without_a_seed_share_a_batch_and_differ(artifact, counted):
    settings = {"do_sample": True, "temperature": 2.0, "top_k": 0, "max_new_tokens": 8}
    predictor = hfspec.load(artifact("gpt2"), model_config=settings)
    steps = counted(predictor)
    assert len(set(predictor.predict(["the house"] * 8))) > 1
    assert steps == [8] * len(steps)


def test_draws_follow_the_odds_of_the_model(artifact):
    """Of many draws each likely token comes as often as the model's probability says, within five deviations."""
    count, settings = 4000, {"do_sample": True, "top_k": 0, "max_new_tokens": 1, "seed": 1, "batch_tokens": 10**6}
    predictor = hfspec.load(artifact("gpt2"), model_config={**settings, "num_return_sequences": count})
    parts = predictor.components()
    drawn = [row["text"].removeprefix("the house") for row in predictor.predict("the house", outputs="full")]
    with torch.inference_mode():
        ids = parts["tokenizer"]("the house", return_tensors="pt")
        odds = parts["model"](**ids).logits[0, -1].softmax(-1)
    for token in odds.topk(5).indices.tolist():
        text, chance = parts["tokenizer"].decode([token]), float(odds[token])
        assert abs(drawn.count(text) / count - chance) < 5 * (chance * (1 - chance) / count) ** 0.5


def test_choices_of_requests_with_seeds_of_their_own_share_a_batch(artifact, build, checkpoint, counted):
    predictor = hfspec.load(build(checkpoint("llama-chat"), "llm/v1/completions"))
    requests = [{"prompt": PROMPTS[:2], "n": 2, "seed": seed, "temperature": 1.2, "max_tokens": 5} for seed in (1, 8)]
    alone = [[choice["text"] for choice in predictor.predict(request)["choices"]] for request in requests]
    steps = counted(predictor)
    assert [[choice["text"] for choice in made["choices"]] for made in predictor.predict(requests)] == alone
    assert max(steps) > 2


def test_long_answers_are_what_the_model_says_alone(folders):
    """Longer than what the cache has room for at once."""
    predictor = hfspec.load(folders("llama-chat"), model_config={"max_new_tokens": 150, "do_sample": False})
    parts = predictor.components()
    for prompt, row in zip(PROMPTS, predictor.predict(PROMPTS, outputs="full"), strict=True):
        ids = parts["tokenizer"](prompt, return_tensors="pt")
        made = parts["model"].generate(**ids, max_new_tokens=150, do_sample=False)[0, ids["input_ids"].shape[1] :]
        assert row["text"] == prompt + parts["tokenizer"].decode(made, skip_special_tokens=True)
        assert row["completion_tokens"] == len(made)


class Copied(torch.utils._python_dispatch.TorchDispatchMode):
    """How many numbers were joined to larger tensors, or copied into them."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        if function.overloadpacket in {torch.ops.aten.cat, torch.ops.aten.copy_} and made.is_floating_point():
            self.numbers += made.numel()
        return made


@pytest.mark.parametrize("name", ["gpt2", "t5"])
def test_a_step_does_not_copy_what_the_steps_before_it_made(folders, name):
    """Twice as many steps copy about twice as much; each copying all before it, they would copy four times as much."""
    counts = []
    for new in (20, 40):
        settings = {"max_new_tokens": new, "min_new_tokens": new, "num_beams": 1, "do_sample": False}
        predictor = hfspec.load(folders(name), model_config=settings)
        with Copied() as copied:
            predictor.predict(["a"] * 8)
        counts.append(copied.numbers)
    assert counts[1] < 2.5 * counts[0]
