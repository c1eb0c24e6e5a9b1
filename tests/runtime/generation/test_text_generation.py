"""Continuations equal those of the library's own pipeline, one prompt at a time, token for token."""

from __future__ import annotations

import pytest

import hfspec
from hfspec.errors import InputError, ParamsError
from tests.runtime.texts import MIXED, shuffled

GREEDY = {"do_sample": False, "max_new_tokens": 12}


def pipeline_of(folder):
    from transformers import pipeline

    return pipeline("text-generation", str(folder), device="cpu")


def truths(folder, prompts, **settings):
    pipe = pipeline_of(folder)
    return [entry["generated_text"] for prompt in prompts for entry in pipe(prompt, **{**GREEDY, **settings})]


@pytest.mark.parametrize("name", ["gpt2", "llama-chat"])
@pytest.mark.parametrize("batch_tokens", [1, 200, 100_000])
def test_greedy_answers_equal_the_pipeline(artifact, checkpoint, name, batch_tokens):
    prompts = shuffled(MIXED, seed=batch_tokens)
    predictor = hfspec.load(artifact(name), model_config={"batch_tokens": batch_tokens})
    assert predictor.predict(prompts) == truths(checkpoint(name), prompts)


@pytest.mark.parametrize("name", ["gpt2", "llama-chat"])
@pytest.mark.parametrize(
    "settings",
    [
        {"repetition_penalty": 1.3},
        {"no_repeat_ngram_size": 2},
        {"min_new_tokens": 12},
        {"num_beams": 3},
        {"num_beams": 2, "num_return_sequences": 2, "length_penalty": 0.5},
        {"max_new_tokens": 3},
        {"bad_words_ids": [[5], [6, 7]]},
        {"suppress_tokens": [5, 6]},
        {"return_full_text": False},
        {"add_special_tokens": False},
    ],
    ids="+".join,
)
def test_settings_mean_what_they_mean_to_the_library(artifact, checkpoint, name, settings):
    prompts = ["hello there", "a", "the house on the hill was sold", "hello there", "b c"]
    answer = hfspec.load(artifact(name, model_config=settings)).predict(prompts)
    assert answer == truths(checkpoint(name), prompts, **settings)


def test_prompts_of_several_lengths_share_a_batch(artifact):
    predictor = hfspec.load(artifact("llama-chat"))
    calls = []
    generate = predictor._runner.model.generate
    predictor._runner.model.generate = lambda **inputs: (calls.append(inputs["input_ids"].shape), generate(**inputs))[1]
    prompts = ["a b c d e f g", "a", "a b c", "hello"]
    assert len(predictor.predict(prompts)) == 4
    assert [rows for rows, _ in calls] == [4]


def test_all_answers_of_all_prompts_come_in_order(artifact, checkpoint):
    prompts = ["hello", "the house on the hill"]
    settings = {"num_beams": 3, "num_return_sequences": 3}
    predictor = hfspec.load(artifact("llama-chat", model_config=settings))
    answer = predictor.predict(prompts)
    assert answer == truths(checkpoint("llama-chat"), prompts, **settings)
    assert [text.startswith(prompts[place // 3]) for place, text in enumerate(answer)] == [True] * 6
    assert [row["text"] for row in predictor.predict(prompts, outputs="full")] == answer


def test_sampled_answers_of_all_prompts_come_in_order(artifact):
    settings = {"do_sample": True, "num_return_sequences": 2, "seed": 5}
    answer = hfspec.load(artifact("llama-chat", model_config=settings)).predict(["hello", "the house"])
    assert [text.startswith(prompt) for text, prompt in zip(answer, ["hello"] * 2 + ["the house"] * 2, strict=True)]
    assert len(set(answer)) == 4


def test_a_seeded_row_gets_what_it_would_get_alone(artifact, checkpoint):
    import torch

    settings = {"do_sample": True, "temperature": 1.5, "top_k": 0, "seed": 11}
    predictor = hfspec.load(artifact("llama-chat", model_config=settings))
    pipe = pipeline_of(checkpoint("llama-chat"))
    prompts = ["hello", "the house on the hill", "hello"]
    before = torch.random.get_rng_state()
    answer = predictor.predict(prompts)
    assert torch.equal(before, torch.random.get_rng_state())
    for prompt, mine in zip(prompts, answer, strict=True):
        torch.manual_seed(11)
        truth = pipe(prompt, do_sample=True, temperature=1.5, top_k=0, max_new_tokens=12)[0]["generated_text"]
        assert mine == truth == predictor.predict(prompt)[0]
    assert predictor.predict(prompts) == answer
    assert hfspec.load(artifact("llama-chat"), model_config={**settings, "seed": 12}).predict(prompts) != answer


def test_what_nobody_sets_is_not_sampled(artifact):
    predictor = hfspec.load(artifact("llama-chat"))
    assert predictor.predict("hello") == predictor.predict("hello")
    assert "do_sample" not in predictor.settings()


@pytest.fixture
def sampling_checkpoint(checkpoint, tmp_path):
    """A checkpoint that samples unless told otherwise."""
    import json
    import shutil

    folder = tmp_path / "llama-sampling"
    shutil.copytree(checkpoint("llama-chat"), folder)
    stated = json.loads((folder / "generation_config.json").read_text())
    stated |= {"do_sample": True, "temperature": 0.6, "top_k": 7, "top_p": 0.9, "max_length": 30}
    stated.pop("max_new_tokens")
    (folder / "generation_config.json").write_text(json.dumps(stated))
    return folder


def test_the_checkpoints_own_generation_config_is_the_lowest_layer(build, sampling_checkpoint):
    import torch

    predictor = hfspec.load(build(sampling_checkpoint, "text-generation", model_config={"seed": 3}))
    assert predictor.settings()["temperature"] == (0.6, "checkpoint")
    torch.manual_seed(3)
    truth = pipeline_of(sampling_checkpoint)("hello")[0]["generated_text"]
    assert predictor.predict("hello") == [truth]
    row = predictor.predict("hello", outputs="full")[0]
    assert row["prompt_tokens"] + row["completion_tokens"] <= 30


def test_sampling_can_be_turned_off_without_the_library_complaining(build, sampling_checkpoint, library_log):
    settings = {"do_sample": False, "max_new_tokens": 5}
    predictor = hfspec.load(build(sampling_checkpoint, "text-generation", model_config=settings))
    library_log.clear()
    answer = predictor.predict(["hello", "a b"])
    assert library_log == []
    assert answer == truths(sampling_checkpoint, ["hello", "a b"], **settings)


@pytest.fixture
def library_log():
    """What the library logs while a test runs."""
    import logging

    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


def test_full_output_says_how_the_answer_ended(artifact, checkpoint):
    from transformers import AutoTokenizer

    words = AutoTokenizer.from_pretrained(str(checkpoint("llama-chat")))
    predictor = hfspec.load(artifact("llama-chat"))
    row = predictor.predict("hello", outputs="full")[0]
    prompt_tokens = len(words("hello")["input_ids"])
    assert (row["prompt"], row["prompt_tokens"]) == ("hello", prompt_tokens)
    assert (row["completion_tokens"], row["finish_reason"]) == (12, "length")
    ids = words(row["text"].removeprefix("hello"), add_special_tokens=False)["input_ids"]
    ended = hfspec.load(artifact("llama-chat"), model_config={"eos_token_id": _third_token(checkpoint, "hello")})
    row = ended.predict(["hello", "something longer to pad against"], outputs="full")[0]
    assert (row["completion_tokens"], row["finish_reason"]) == (3, "stop")
    assert ids


def _third_token(checkpoint, prompt):
    """The third token that the model says after the prompt, different from those before it."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    words = AutoTokenizer.from_pretrained(str(checkpoint("llama-chat")))
    model = AutoModelForCausalLM.from_pretrained(str(checkpoint("llama-chat")))
    inputs = words(prompt, return_tensors="pt")
    made = model.generate(**inputs, max_new_tokens=3, do_sample=False)[0, inputs["input_ids"].shape[1] :].tolist()
    assert made[2] not in made[:2]
    return made[2]


def test_stop_strings_end_the_answer_as_in_the_library(artifact, checkpoint):
    prompts = ["hello", "a b", "hello", "the house on the hill"]
    free = truths(checkpoint("llama-chat"), ["hello"])[0].removeprefix("hello")
    stop = free[4:6]
    model, words = pipeline_of(checkpoint("llama-chat")).model, pipeline_of(checkpoint("llama-chat")).tokenizer
    predictor = hfspec.load(artifact("llama-chat", model_config={"stop_strings": [stop]}))
    answer = predictor.predict(prompts, outputs="full")
    for prompt, mine in zip(prompts, answer, strict=True):
        inputs = words(prompt, return_tensors="pt")
        made = model.generate(**inputs, **GREEDY, stop_strings=[stop], tokenizer=words)[
            0, inputs["input_ids"].shape[1] :
        ]
        assert mine["text"] == prompt + words.decode(made, skip_special_tokens=True)
        assert mine["completion_tokens"] == len(made)
    assert answer[0]["finish_reason"] == "stop"
    assert len(answer[0]["text"]) < len("hello" + free)


TEMPLATE = "Q: {prompt}\n{{A}}:"


def test_a_template_is_put_around_each_prompt_and_left_out_of_the_answer(artifact, checkpoint):
    prompts = ["hello", "{prompt} {0}", "a {brace"]
    predictor = hfspec.load(artifact("llama-chat", prompt_template=TEMPLATE))
    filled = [f"Q: {prompt}\n{{A}}:" for prompt in prompts]
    assert predictor.predict(prompts) == truths(checkpoint("llama-chat"), filled, return_full_text=False)
    assert [row["prompt"] for row in predictor.predict(prompts, outputs="full")] == filled
    whole = hfspec.load(artifact("llama-chat", prompt_template=TEMPLATE, model_config={"return_full_text": True}))
    assert whole.predict(prompts) == truths(checkpoint("llama-chat"), filled)


@pytest.fixture
def line_breaking(build, checkpoint, tmp_path):
    """An artifact whose model says two line breaks first, whatever it is asked, and white space in its answer."""
    import shutil

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path / "gpt2-line-breaks"
    shutil.copytree(checkpoint("gpt2"), folder)
    words = AutoTokenizer.from_pretrained(str(folder))
    newline, letter, space = (words.encode(text)[-1] for text in ("\n", "x", " "))
    model = AutoModelForCausalLM.from_pretrained(str(folder))
    follows = {newline: letter, letter: space, space: newline}
    with torch.no_grad():
        # The position after a prompt decides nothing: the last token alone does, by a table in the embeddings.
        for weights in model.parameters():
            weights.zero_()
        size = model.config.n_embd
        for place, (token, after) in enumerate(follows.items()):
            model.transformer.wte.weight[token, place * 2] = 1.0
            model.transformer.wte.weight[token, place * 2 + 1] = -1.0
            assert after
        model.transformer.ln_f.weight.fill_(1.0)
        head = torch.nn.Linear(size, len(words), bias=False)
        head.weight.zero_()
        for place, after in enumerate(follows.values()):
            head.weight[after, place * 2] = 1.0
            head.weight[after, place * 2 + 1] = -1.0
        model.config.tie_word_embeddings = False
        model.lm_head = head
    model.save_pretrained(folder)

    def load(**settings):
        return hfspec.load(build(folder, "text-generation", model_config={"max_new_tokens": 7, **settings}))

    return load


def test_include_prompt_false_drops_the_prompt_and_the_line_breaks_after_it(line_breaking):
    prompt = "say x "
    assert line_breaking().predict(prompt) == [prompt + "\nx \nx \n"]
    assert line_breaking(include_prompt=False).predict(prompt) == ["x \nx \n"]
    assert line_breaking(include_prompt=True, return_full_text=False).predict(prompt) == ["\nx \nx \n"]
    assert line_breaking(include_prompt=False, return_full_text=True).predict(prompt) == ["x \nx \n"]


def test_collapse_whitespace_makes_one_space_of_each_run(line_breaking):
    assert line_breaking(collapse_whitespace=True).predict("say  x ") == ["say x x x"]
    assert line_breaking(collapse_whitespace=True, include_prompt=False).predict("say  x ") == ["x x"]


def test_a_prompt_that_leaves_no_room_is_refused_by_row(artifact):
    predictor = hfspec.load(artifact("gpt2"))
    with pytest.raises(InputError) as caught:
        predictor.predict(["hello", "a b c d e f " * 60])
    assert caught.value.row == 1
    assert "12 more are asked for" in str(caught.value)
    assert "at most 256" in str(caught.value)


def test_truncation_makes_room_for_the_answer(artifact):
    predictor = hfspec.load(artifact("gpt2", model_config={"truncation": True}))
    row = predictor.predict("a b c d e f " * 60, outputs="full")[0]
    assert (row["prompt_tokens"], row["completion_tokens"]) == (256 - 12, 12)


def test_a_hole_is_made_on_the_left_as_in_the_library(artifact, checkpoint):
    prompt = " ".join(str(number) for number in range(200))
    pipe = pipeline_of(checkpoint("gpt2"))
    pipe.tokenizer.model_max_length = 256
    truth = pipe(prompt, **GREEDY, handle_long_generation="hole")[0]["generated_text"]
    settings = {"handle_long_generation": "hole"}
    assert hfspec.load(artifact("gpt2", model_config=settings)).predict(prompt) == [truth]


def test_hfspecs_own_number_of_new_tokens_gives_way_to_the_room_there_is(build, checkpoint, tmp_path):
    import json
    import shutil

    folder = tmp_path / "gpt2-plain"
    shutil.copytree(checkpoint("gpt2"), folder)
    (folder / "generation_config.json").write_text(json.dumps({"bos_token_id": 0, "eos_token_id": 0}))
    predictor = hfspec.load(build(folder, "text-generation"))
    rows = predictor.predict(["a b c", "a b c d e f g h i"], outputs="full")
    assert [row["prompt_tokens"] + row["completion_tokens"] for row in rows] == [256, 256]


def test_max_length_counts_the_prompt_too(artifact, checkpoint):
    prompts = ["hello", "a b c d e f"]
    predictor = hfspec.load(artifact("llama-chat"), model_config={"max_length": 14})
    rows = predictor.predict(prompts, outputs="full")
    assert [row["prompt_tokens"] + row["completion_tokens"] for row in rows] == [14, 14]
    with pytest.raises(InputError, match=r"row 1: .*max_length is 14"):
        predictor.predict(["hello", "a b c d e f " * 9])


def test_settings_that_do_not_go_together_are_refused(artifact):
    with pytest.raises(ParamsError, match="num_return_sequences is 3"):
        hfspec.load(artifact("gpt2"), model_config={"num_return_sequences": 3}).predict("hello")


def test_no_prompts_get_no_answers(artifact):
    predictor = hfspec.load(artifact("gpt2"))
    assert predictor.predict([]) == []
    assert predictor.predict([], outputs="full") == []


def test_an_empty_prompt_is_a_prompt(artifact, checkpoint):
    for name in ("gpt2", "llama-chat"):
        predictor = hfspec.load(artifact(name))
        assert predictor.predict("") == truths(checkpoint(name), [""])
    assert hfspec.load(artifact("gpt2")).predict("", outputs="full")[0]["prompt_tokens"] == 0


def test_an_empty_prompt_without_a_token_to_begin_with_is_refused(build, checkpoint, tmp_path):
    import json
    import shutil

    folder = tmp_path / "gpt2-no-bos"
    shutil.copytree(checkpoint("gpt2"), folder)
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        value = json.loads((folder / name).read_text())
        value["bos_token_id" if name != "tokenizer_config.json" else "bos_token"] = None
        (folder / name).write_text(json.dumps(value))
    predictor = hfspec.load(build(folder, "text-generation"))
    with pytest.raises(InputError, match="row 1: the prompt is empty"):
        predictor.predict(["hello", ""])


def test_a_chat_is_refused_with_what_to_do_where_there_is_no_template(artifact):
    predictor = hfspec.load(artifact("gpt2"))
    with pytest.raises(InputError, match=r"row 0: .*list of chat messages.*no chat template.*give the prompt as text"):
        predictor.predict([{"role": "user", "content": "hi"}])
    with pytest.raises(InputError, match=r"row 1: .*no chat template"):
        predictor.predict(["hello", [{"role": "user", "content": "hi"}]])


CHATS = [
    [{"role": "user", "content": "user"}],
    [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}],
]


def chat_truths(folder, chats):
    """What the library's pipeline makes the assistant say."""
    pipe = pipeline_of(folder)
    return [pipe(list(chat), **GREEDY)[0]["generated_text"][-1]["content"] for chat in chats]


def test_messages_are_a_conversation_and_no_prompt(artifact, checkpoint):
    predictor = hfspec.load(artifact("llama-chat"))
    truth = chat_truths(checkpoint("llama-chat"), CHATS)
    assert predictor.predict(CHATS[1]) == truth[1:]
    assert predictor.predict(CHATS) == truth
    assert predictor.predict([{"messages": chat} for chat in CHATS]) == truth
    assert predictor.predict(["hello", CHATS[0]]) == [*truths(checkpoint("llama-chat"), ["hello"]), truth[0]]


def test_a_template_is_put_around_the_last_user_message(artifact, checkpoint):
    predictor = hfspec.load(artifact("llama-chat", prompt_template="Q: {prompt}"))
    asked = [CHATS[1][0], {"role": "user", "content": "Q: hello"}]
    assert predictor.predict(CHATS[1]) == chat_truths(checkpoint("llama-chat"), [asked])
