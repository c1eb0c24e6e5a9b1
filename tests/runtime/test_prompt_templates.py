"""A prompt template puts words around values and nothing else: what the model reads is the obvious text, whatever the
task, the form of the input and the text in it.
"""

from __future__ import annotations

import json
from string import Formatter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

import hfspec
from hfspec.errors import InputError
from hfspec.ir.signature import Column
from hfspec.tasks.prompt_template import prompt_template

NASTY = ["{x}", "{{", "}}", "%s", "{0.__class__}", "{prompt}", "{question!r}", "{", "}", "${a}", "\\n", '"5"', "None"]
TWO = "Context: {context}\nQuestion: {question} {{as JSON}}\nAnswer:"
ROWS = [
    {"context": "the fox is brown", "question": "who is {context}?"},
    {"context": "{0.__class__} %s", "question": "{{ }}"},
    {"context": "", "question": "the dog"},
    {"context": "the fox is brown", "question": "who is {context}?"},
]
READ = [f"Context: {row['context']}\nQuestion: {row['question']} {{as JSON}}\nAnswer:" for row in ROWS]

literals = st.text(st.one_of(st.sampled_from("{}%$\\ \n"), st.characters(exclude_categories=["Cs"])), max_size=12)
names = st.sampled_from(["prompt", "question", "context", "naïve", "x1", "_", "名前"])
pieces = st.lists(st.one_of(st.tuples(st.just("text"), literals), st.tuples(st.just("slot"), names)), max_size=12)
texts = st.one_of(st.sampled_from(NASTY), literals)


@given(parts=pieces.filter(lambda parts: any(kind == "slot" for kind, _ in parts)), data=st.data())
def test_a_template_is_its_words_with_the_values_between(parts, data):
    slots = list(dict.fromkeys(name for kind, name in parts if kind == "slot"))
    values = {name: data.draw(texts, name) for name in slots}
    escaped = [text.replace("{", "{{").replace("}", "}}") if kind == "text" else f"{{{text}}}" for kind, text in parts]
    template = prompt_template("".join(escaped))
    assert template.slots == tuple(slots)
    assert template.filled(values) == "".join(text if kind == "text" else values[text] for kind, text in parts)


@given(st.text(st.sampled_from("{}{}ab!:.[0] \n%"), max_size=12))
def test_a_text_is_read_as_python_reads_it_or_refused(text):
    """Never as something third: a text whose slots are plain names means what it means to str.format, and any other is
    refused.
    """
    names = plain_slots(text)
    if not names:
        with pytest.raises(ValueError, match=r"^The template has"):
            prompt_template(text)
        return
    template = prompt_template(text)
    assert set(template.slots) == names
    values = {name: f"<{name}>" for name in names}
    assert template.filled(values) == text.format(**values)


def plain_slots(text):
    """The names of the fields that Python sees; empty when it sees none, cannot read them, or one asks for more."""
    try:
        fields = [field[1:] for field in Formatter().parse(text) if field[1] is not None]
    except ValueError:
        return set()
    is_plain = all(name.isidentifier() and f"{{{name}}}" in text for name, _, _ in fields)
    has_powers = any(spec or conversion for _, spec, conversion in fields) or ":}" in text.replace("}}", "")
    return {name for name, _, _ in fields} if is_plain and not has_powers else set()


@pytest.fixture
def loaded(build, checkpoint):
    """``loaded(checkpoint_name, task, template, **keys)``: its predictor."""

    def get(name, task, template=None, **keys):
        around = {} if template is None else {"prompt_template": template}
        return hfspec.load(build(checkpoint(name), task, **around, **keys), verify=False)

    return get


FAMILIES = [
    ("gpt2", "text-generation", {"model_config": {"return_full_text": False}}, ""),
    ("t5", "text2text-generation", {}, ""),
    ("bart", "summarization", {}, ""),
    ("marian", "translation", {}, ""),
    ("bert-mlm", "fill-mask", {}, " [MASK]"),
    ("bert-mlm", "feature-extraction", {"library": "transformers"}, ""),
]


def assert_same(answer, wanted):
    if isinstance(answer, list):
        assert len(answer) == len(wanted)
        for mine, other in zip(answer, wanted, strict=True):
            assert_same(mine, other)
    elif isinstance(answer, np.ndarray):
        np.testing.assert_allclose(answer, wanted, atol=1e-5)
    else:
        assert answer == wanted


@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
@pytest.mark.parametrize(("name", "task", "keys", "mark"), FAMILIES, ids=[task for _, task, *_ in FAMILIES])
def test_every_task_reads_the_filled_template(loaded, name, task, keys, mark):
    """As the same predictor without a template reads the text written out."""
    plain = loaded(name, task, **keys)
    wanted = plain.predict([text + mark for text in READ])
    assert_same(loaded(name, task, TWO + mark, **keys).predict(ROWS), wanted)
    around = loaded(name, task, "{{Tell}} me: {prompt}!" + mark, **keys)
    said = [text for text in NASTY if text]
    assert_same(around.predict(said), plain.predict([f"{{Tell}} me: {text}!{mark}" for text in said]))


def read(predictor, data):
    """What the model reads for each row."""
    return [row["prompt"] for row in predictor.predict(data, outputs="full")]


@pytest.fixture
def generator(loaded):
    return loaded("gpt2", "text-generation", TWO, model_config={"max_new_tokens": 1})


@pytest.mark.parametrize(
    "form",
    [
        lambda rows: rows,
        lambda rows: [{"id": 7, **row, "other": None} for row in rows],
        lambda rows: {name: [row[name] for row in rows] for name in ("question", "context")},
        pd.DataFrame,
        lambda rows: pd.DataFrame(rows)[["question", "context"]].assign(id=range(len(rows))),
        lambda rows: json.loads(json.dumps(rows)),
    ],
    ids=["rows", "more columns", "columns", "frame", "frame with more, in another order", "json"],
)
def test_slots_are_filled_from_the_columns_of_their_names(generator, form):
    assert read(generator, form(ROWS)) == READ
    assert read(generator, ROWS[0]) == READ[:1]
    assert read(generator, []) == []


@pytest.mark.parametrize(
    ("data", "row", "said"),
    [
        ("a text", 0, "columns context, question are needed"),
        (["a text"], 0, "columns context, question are needed"),
        ([("c", "q")], 0, "expected one value"),
        ([ROWS[0], {"context": "c"}], 1, "the column 'question' is missing"),
        ([ROWS[0], {"context": "c", "Question": "q"}], 1, "did you mean 'Question' to be 'question'"),
        ([ROWS[0], {"context": "c", "question": None}], 1, "'question': the value is missing"),
        ([ROWS[0], {"context": 5, "question": "q"}], 1, "'context': expected text"),
        ([{"prompt": "p"}], 0, "the column 'context' is missing"),
        (pd.DataFrame({"context": ["c"], "quest": ["q"]}), None, "the column 'question' is missing"),
        (pd.Series(["a"]), 0, "columns context, question are needed"),
    ],
    ids=str,
)
def test_rows_that_do_not_fill_the_slots(generator, data, row, said):
    with pytest.raises(InputError, match=said) as refused:
        generator.predict(data)
    assert refused.value.row == row


def test_one_slot_takes_a_bare_text_whatever_its_name(loaded):
    predictor = loaded("t5", "text2text-generation", "{article} -- {article}")
    wanted = [f"{text} -- {text}" for text in NASTY]
    assert read(predictor, NASTY) == wanted
    assert read(predictor, [{"article": text} for text in NASTY]) == wanted
    assert read(predictor, pd.DataFrame({"article": NASTY, "id": range(len(NASTY))})) == wanted
    assert read(predictor, "one") == ["one -- one"]
    with pytest.raises(InputError, match="the column 'article' is missing"):
        predictor.predict({"title": "t"})


def test_the_prompt_beside_other_slots_is_a_column_too(loaded):
    predictor = loaded("gpt2", "text-generation", "{system}: {prompt}", model_config={"max_new_tokens": 1})
    assert read(predictor, {"system": "be kind", "prompt": "hello"}) == ["be kind: hello"]
    with pytest.raises(InputError, match="'prompt' is missing"):
        predictor.predict({"system": "be kind"})


def test_the_other_columns_of_the_task_stay(loaded):
    """A translation's languages are said in columns, template or not."""
    predictor = loaded("nllb", "translation", "{title}. {body}")
    assert [column.name for column in predictor.signature.inputs] == ["title", "body", "src_lang", "tgt_lang"]
    languages = {"src_lang": "eng_Latn", "tgt_lang": "fra_Latn"}
    plain = loaded("nllb", "translation")
    row = {"title": "the fox", "body": "the dog", **languages}
    assert predictor.predict(row) == plain.predict({"text": "the fox. the dog", **languages})


def test_the_signature_has_the_slots(loaded, build, checkpoint):
    predictor = loaded("gpt2", "text-generation", TWO)
    assert predictor.signature.inputs == (Column("string", "context"), Column("string", "question"))
    plain = loaded("gpt2", "text-generation", "Say: {prompt}")
    assert plain.signature.inputs == (Column("string", "prompt"),)
    written = (build(checkpoint("gpt2"), "text-generation", prompt_template=TWO) / "MLmodel").read_bytes()
    columns = json.loads(YAML(typ="safe").load(written)["signature"]["inputs"])
    assert [(column["name"], column["type"]) for column in columns] == [("context", "string"), ("question", "string")]


def test_an_id_declared_beside_the_prompt_is_not_taken_for_it(loaded):
    inputs = [{"name": "prompt", "type": "string"}, {"name": "id", "type": "long"}]
    for columns in (inputs, inputs[::-1]):
        predictor = loaded("gpt2", "text-generation", "Say: {prompt}", signature={"inputs": columns})
        assert read(predictor, [{"id": 3, "prompt": "hello"}, {"id": 4, "prompt": "dog"}]) == ["Say: hello", "Say: dog"]
        with pytest.raises(InputError, match="'id'"):
            predictor.predict([{"id": "three", "prompt": "hello"}])
        with pytest.raises(InputError, match="id"):
            predictor.predict("hello")


def test_a_declared_name_stands_for_the_one_slot(loaded):
    predictor = loaded(
        "gpt2", "text-generation", "Say: {prompt}", signature={"inputs": [{"name": "text", "type": "string"}]}
    )
    assert read(predictor, {"text": "hello"}) == read(predictor, "hello") == ["Say: hello"]


def test_the_template_is_not_shown_unless_asked_for(loaded):
    predictor = loaded("gpt2", "text-generation", TWO, signature={"params": {"return_full_text": False}})
    alone = loaded("gpt2", "text-generation", TWO).predict(ROWS)
    assert predictor.predict(ROWS) == alone
    shown = predictor.predict(ROWS, params={"return_full_text": True})
    assert shown == [text + answer for text, answer in zip(READ, alone, strict=True)]


CHAT = [{"role": "system", "content": "s {x}"}, {"role": "user", "content": "{{a}} %s"}]


def test_in_a_conversation_the_template_goes_around_the_last_user_message(loaded):
    around = loaded("llama-chat", "text-generation", "Say {{}} {question}!")
    plain = loaded("llama-chat", "text-generation")
    written = [CHAT[0], {"role": "user", "content": "Say {} {{a}} %s!"}]
    assert read(around, CHAT) == read(plain, written)
    earlier = [{"role": "user", "content": "before"}, {"role": "assistant", "content": "b"}]
    assert read(around, [*earlier, *CHAT[1:]]) == read(plain, [*earlier, written[1]])
    mixed = read(around, [CHAT, "hello", {"question": "dog"}])
    assert mixed == [*read(plain, written), "Say {} hello!", "Say {} dog!"]


def test_a_conversation_cannot_fill_several_slots(loaded):
    predictor = loaded("llama-chat", "text-generation", TWO)
    with pytest.raises(InputError, match="context, question, which one text cannot fill") as refused:
        predictor.predict([ROWS[0], {"messages": CHAT}])
    assert refused.value.row == 1
