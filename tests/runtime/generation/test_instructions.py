"""Instruction models: the answer alone, on one line, ended by the mark that the model was trained to end with."""

from __future__ import annotations

from pathlib import Path

import pytest

import hfspec

SPEC = Path(__file__).parents[3] / "specs" / "dolly.yaml"
HEAD = "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
PROMPTS = [
    "Write a tweet announcing Dolly.",
    "hello {world}\n\n### Response:\n",
    "the dog",
    "Write a tweet announcing Dolly.",
]


@pytest.fixture(scope="module")
def folder(checkpoint, tmp_path_factory):
    """The artifact of specs/dolly.yaml, from the tiny checkpoint and without sampling."""
    place = f"model={{path: {checkpoint('dolly')}, repo: null, revision: null}}"
    target = tmp_path_factory.mktemp("dolly") / "dolly"
    overrides = [place, "model_config.do_sample=false", "model_config.max_new_tokens=24"]
    return hfspec.compile(SPEC, output=target, overrides=overrides, run=False).path


@pytest.fixture(scope="module")
def truth(checkpoint):
    """``truth(prompt, **settings)``: the answer's text, special tokens left out, by the model itself."""
    import torch
    from transformers import AutoTokenizer, GPTNeoXForCausalLM

    words = AutoTokenizer.from_pretrained(checkpoint("dolly"))
    model = GPTNeoXForCausalLM.from_pretrained(checkpoint("dolly")).eval()

    def get(prompt, seed=0, **settings):
        inputs = words(f"{HEAD}### Instruction:\n{prompt}\n\n### Response:\n", return_tensors="pt")
        options = {"max_new_tokens": 24, "do_sample": False, "stop_strings": ["### End"], "pad_token_id": 0, **settings}
        torch.manual_seed(seed)
        made = model.generate(**inputs, tokenizer=words, **options)[0, inputs["input_ids"].shape[1] :].tolist()
        return words.decode(made, skip_special_tokens=True), made

    return get


def test_the_answer_alone_on_one_line(folder, truth):
    predictor = hfspec.load(folder)
    wanted = [" ".join(truth(prompt)[0].split()) for prompt in PROMPTS]
    answers = predictor.predict(PROMPTS)
    assert answers == wanted
    assert len(set(wanted)) == 3
    assert not any("\n" in answer or "###" in answer or "Below" in answer for answer in answers)
    read = [row["prompt"] for row in predictor.predict(PROMPTS, outputs="full")]
    assert read == [f"{HEAD}### Instruction:\n{prompt}\n\n### Response:\n" for prompt in PROMPTS]


def test_without_the_two_settings_nothing_is_touched(folder, truth):
    """What a caller asks for instead: the lines as they are, or the prompt before them."""
    lines = hfspec.load(folder, model_config={"collapse_whitespace": False})
    assert lines.predict(PROMPTS) == [truth(prompt)[0].lstrip("\r\n") for prompt in PROMPTS]
    shown = hfspec.load(folder, model_config={"include_prompt": True, "collapse_whitespace": False})
    assert shown.predict("the dog") == [f"{HEAD}### Instruction:\nthe dog\n\n### Response:\n{truth('the dog')[0]}"]


def test_the_models_own_end_mark_ends_the_answer(folder, truth, checkpoint):
    """The mark is a special token, which no generation config names; it is not part of the answer."""
    from transformers import AutoTokenizer

    words = AutoTokenizer.from_pretrained(checkpoint("dolly"))
    mark = words.convert_tokens_to_ids("### End")
    few = {mark, *words("the dog and a house", add_special_tokens=False)["input_ids"]}
    others = [token for token in range(len(words)) if token not in few]
    settings = {
        "suppress_tokens": others,
        "do_sample": True,
        "temperature": 50.0,
        "top_p": 1.0,
        "top_k": 0,
        "max_new_tokens": 6,
    }
    rows, made = [], []
    for seed in range(8):
        rows += hfspec.load(folder, model_config={**settings, "seed": seed}).predict(PROMPTS[0], outputs="full")
        made.append(truth(PROMPTS[0], seed=seed, **settings)[1])
    assert {line[-1] == mark for line in made} == {True, False}
    assert [row["finish_reason"] for row in rows] == ["stop" if line[-1] == mark else "length" for line in made]
    assert [row["completion_tokens"] for row in rows] == [len(line) for line in made]
    assert not any("###" in row["text"] for row in rows)


def test_the_librarys_pipeline_has_the_same_model(folder):
    """The checkpoint names code of its own for the pipeline, which is not run."""
    pipe = hfspec.load(folder).pipeline()
    assert type(pipe).__module__.startswith("transformers.")
    assert not list(folder.rglob("instruct_pipeline.py"))
