"""What the assistant says equals what the model says after the library's own rendering of the conversation."""

from __future__ import annotations

import json
import random

import pytest

import hfspec
from hfspec.errors import InputError, SpecError
from hfspec.runtime.command import main
from tests.runtime.chats import CHATS, HELLO, answer, loaded, prompt_ids

NAMES = ["llama-chat", "qwen-chat", "phi3-chat", "dialogpt"]


@pytest.fixture
def chat(build, checkpoint):
    def load(name, **keys):
        return hfspec.load(build(checkpoint(name), "conversational", **keys))

    return load


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch_tokens", [1, 100_000])
def test_answers_equal_the_model_called_directly(chat, checkpoint, name, batch_tokens):
    chats = list(CHATS)
    random.Random(batch_tokens).shuffle(chats)
    predictor = chat(name, model_config={"batch_tokens": batch_tokens})
    assert predictor.predict(chats) == [answer(checkpoint(name), messages) for messages in chats]


@pytest.mark.parametrize("name", NAMES)
def test_full_output_accounts_for_the_prompt_as_the_library_renders_it(chat, checkpoint, name):
    _, words = loaded(checkpoint(name))
    rows = chat(name).predict(list(CHATS), outputs="full")
    for row, messages in zip(rows, CHATS, strict=True):
        assert row["prompt"] == words.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        assert row["prompt_tokens"] == len(prompt_ids(checkpoint(name), messages))
        assert row["text"] == answer(checkpoint(name), messages)
        assert row["finish_reason"] in {"stop", "length"}
        assert (row["completion_tokens"] == 12) >= (row["finish_reason"] == "length")


def tokens_read(predictor, data):
    """The tokens that the model reads, without padding."""
    read = []
    generate = predictor._runner.model.generate

    def spy(**inputs):
        for line, mask in zip(inputs["input_ids"].tolist(), inputs["attention_mask"].tolist(), strict=True):
            read.append([token for token, kept in zip(line, mask, strict=True) if kept])
        return generate(**inputs)

    predictor._runner.model.generate = spy
    predictor.predict(data)
    return read


def test_a_template_with_a_bos_gives_one_and_one_without_gives_none(chat, checkpoint):
    for name, count in (("llama-chat", 1), ("phi3-chat", 0), ("qwen-chat", 0)):
        words = loaded(checkpoint(name))[1]
        for line, messages in zip(tokens_read(chat(name), CHATS[1]), [CHATS[1]], strict=True):
            assert line == prompt_ids(checkpoint(name), messages)
            assert line.count(words.bos_token_id) == count


def test_every_form_of_input_is_the_same_conversations(chat, checkpoint):
    import pandas as pd

    predictor = chat("llama-chat")
    two = [CHATS[0], CHATS[2]]
    truth = [answer(checkpoint("llama-chat"), messages) for messages in two]
    assert predictor.predict("hello") == predictor.predict(HELLO) == truth[:1]
    assert predictor.predict(("hello", CHATS[2])) == truth
    assert predictor.predict({"messages": HELLO}) == truth[:1]
    assert predictor.predict({"messages": two}) == truth
    assert predictor.predict([{"messages": messages} for messages in two]) == truth
    assert predictor.predict(pd.Series(two)) == truth
    assert predictor.predict(pd.DataFrame({"id": [1, 2], "messages": two})) == truth
    assert predictor.predict([{"role": "user", "content": [{"type": "text", "text": "hello"}]}]) == truth[:1]
    assert predictor.predict([]) == []
    assert predictor.predict([], outputs="full") == []


def test_the_command_takes_messages_as_json(build, checkpoint, tmp_path, capsysbinary):
    file = tmp_path / "messages.json"
    file.write_text(json.dumps(CHATS[2]), encoding="utf-8")
    assert main(build(checkpoint("llama-chat"), "conversational"), ["--json", str(file)]) == 0
    assert json.loads(capsysbinary.readouterr().out) == [answer(checkpoint("llama-chat"), CHATS[2])]


BAD = [
    (None, "expected a text, a list of messages"),
    (5, "expected a text, a list of messages"),
    (["hello", None], "row 1: expected a list of messages"),
    (["hello", 5], "row 1: expected a list of messages"),
    ([HELLO, []], "row 1: the conversation has no messages"),
    ([HELLO, ["hello"]], "row 1: message 0: expected a mapping"),
    ([{"role": "user"}], "row 0: message 0: the content is missing"),
    ([{"role": "user", "content": None}], "row 0: message 0: the content is missing"),
    ([{"content": "hello"}], "row 0: message 0: the role must be a text"),
    ([{"role": 5, "content": "hello"}], "row 0: message 0: the role must be a text"),
    ([*HELLO, {"role": "user", "content": 5}], "row 0: message 1: the content must be text"),
    ([{"role": "user", "content": [{"type": "image_url"}]}], "reads text only.*'image_url'"),
    ([{"role": "user", "content": "\ud800"}], "message 0: the text is not valid Unicode"),
    ({"message": HELLO}, "'messages' is missing.*did you mean 'message'"),
    ([{"messages": HELLO}, {"mesages": HELLO}], "row 1: 'messages' is missing"),
]


@pytest.mark.parametrize(("data", "message"), BAD)
def test_bad_input_is_refused_by_row(chat, data, message):
    with pytest.raises(InputError, match=message):
        chat("llama-chat").predict(data)


def test_what_the_template_refuses_is_said_to_be_refused_by_it(chat):
    with pytest.raises(InputError, match=r"row 1: the model's chat template refuses.*Unexpected role: critic"):
        chat("qwen-chat").predict([HELLO, [{"role": "critic", "content": "hello"}]])


@pytest.mark.parametrize("task", ["conversational", "llm/v1/chat"])
def test_a_checkpoint_without_a_template_is_refused_at_plan_time(checkpoint, tmp_path, task):
    spec = tmp_path / "spec.yaml"
    text = {"spec_version": 1, "library": "transformers", "task": task, "model": {"path": str(checkpoint("gpt2"))}}
    spec.write_text(json.dumps(text), encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        hfspec.plan(spec)
    (problem,) = caught.value.problems
    assert problem.code == "no-chat-template"
    assert "components.tokenizer" in problem.remedy


def test_a_tokenizer_with_a_template_from_elsewhere_will_do(build, checkpoint):
    source = {"path": str(checkpoint("dialogpt"))}
    predictor = hfspec.load(build(checkpoint("gpt2"), "conversational", components={"tokenizer": source}))
    ids = prompt_ids(checkpoint("dialogpt"), HELLO)
    from tests.runtime.chats import said, text_of

    assert predictor.predict("hello") == [text_of(checkpoint("gpt2"), said(checkpoint("gpt2"), ids))]


def test_the_prompt_template_goes_around_the_last_user_message(chat, checkpoint):
    predictor = chat("llama-chat", prompt_template="Q: {prompt}\n{{A}}:")
    asked = [*CHATS[2][:2], {"role": "user", "content": "Q: 数 ☕ and 'quotes'\n{A}:"}]
    assert predictor.predict(CHATS[2]) == [answer(checkpoint("llama-chat"), asked)]


def test_stop_texts_are_cut(chat, checkpoint):
    free = answer(checkpoint("dialogpt"), CHATS[1])
    stop = next(free[at : at + 3] for at in range(2, len(free)) if "�" not in free[at : at + 3])
    (row,) = chat("dialogpt", model_config={"stop": stop}).predict(CHATS[1], outputs="full")
    assert (row["text"], row["finish_reason"]) == (free[: free.index(stop)], "stop")


def test_settings_are_those_of_generation(chat, checkpoint):
    settings = {"do_sample": True, "temperature": 1.5, "top_k": 0, "seed": 4, "max_new_tokens": 6}
    predictor = chat("qwen-chat", model_config=settings)
    truth = answer(checkpoint("qwen-chat"), HELLO, 6, seed=4, temperature=1.5, top_k=0)
    assert predictor.predict([CHATS[1], HELLO])[1] == truth


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ raise_exception('no users here') }}", "no users here"),
        ("{{ messages[7].content }}", "chat template refuses"),
        ("{% for message in messages %}", "chat template refuses"),
        ("{{ nothing.at_all }}", "chat template refuses"),
    ],
)
@pytest.mark.parametrize("task", ["llm/v1/chat", "conversational"])
def test_a_template_that_refuses_every_conversation_is_refused_at_plan(
    build, checkpoint, tmp_path, template, reason, task
):
    import shutil

    folder = shutil.copytree(checkpoint("llama-chat"), tmp_path / "model")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        build(folder, task)
    (problem,) = caught.value.problems
    assert problem.code == "broken-chat-template"
    assert reason in problem.message


def test_a_template_that_wants_a_system_message_first_is_taken(build, checkpoint, tmp_path):
    import shutil

    folder = shutil.copytree(checkpoint("llama-chat"), tmp_path / "model")
    template = (
        "{% if messages[0].role != 'system' %}{{ raise_exception('system first') }}{% endif %}{{ messages[1].content }}"
    )
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    messages = [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]
    assert isinstance(hfspec.load(build(folder, "llm/v1/chat")).predict({"messages": messages, "max_tokens": 2}), dict)
