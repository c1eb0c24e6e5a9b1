"""Models whose vocabulary is larger than their tokenizer's: the library's decode raises, hfspec says why."""

from __future__ import annotations

import pytest
import torch
import transformers

import hfspec
from hfspec.errors import OutputError
from tests.checkpoints import sentencepieces

pytestmark = pytest.mark.filterwarnings("ignore:Recommended")
TEXTS = ["the house", "a film", "the garden was sold", "Paris and London", "English to French", "no film at all"]
ROWS = 260
GREEDY = {"max_new_tokens": 3, "do_sample": False, "num_beams": 1}


def gpt_sw3(folder):
    made = transformers.GPTSw3Tokenizer(str(folder / "spiece.model"))
    sizes = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64, "initializer_range": 1.0}
    ends = {"bos_token_id": 1, "eos_token_id": 2}
    config = transformers.GPT2Config(vocab_size=ROWS, tie_word_embeddings=False, **sizes, **ends)
    return made, transformers.GPT2LMHeadModel(config)


def plbart(folder):
    made = transformers.PLBartTokenizer(str(folder / "spiece.model"), language_codes="base")
    layers = {f"{side}_{name}": 1 for side in ("encoder", "decoder") for name in ("layers", "attention_heads")}
    widths = {"encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "max_position_embeddings": 64, "init_std": 1.0}
    config = transformers.PLBartConfig(vocab_size=ROWS, d_model=16, tie_word_embeddings=False, **layers, **widths)
    return made, transformers.PLBartForConditionalGeneration(config)


CASES = {gpt_sw3: "text-generation", plbart: "text2text-generation"}


@pytest.fixture(scope="module", params=CASES, ids=lambda make: make.__name__)
def case(request, tmp_path_factory, build):
    """The predictor, and what the library answers each text: None where its decode raises."""
    folder = tmp_path_factory.mktemp(request.param.__name__)
    sentencepieces.write_model(folder / "spiece.model")
    torch.manual_seed(5)
    tokenizer, model = request.param(folder)
    tokenizer.save_pretrained(folder)
    model.eval().save_pretrained(folder)
    alone = {"return_full_text": False} if CASES[request.param] == "text-generation" else {}
    predictor = hfspec.load(build(folder, CASES[request.param], model_config={**GREEDY, **alone}), verify=False)
    return predictor, [answered(tokenizer, model, text) for text in TEXTS]


def answered(tokenizer, model, text):
    inputs = tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        made = model.generate(**inputs, **GREEDY)[0]
    try:
        if model.config.is_encoder_decoder:
            return tokenizer.decode(made[1:], skip_special_tokens=True)
        return tokenizer.decode(made[inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    except IndexError:
        return None


def test_the_row_and_the_cause_are_named(case):
    predictor, truth = case
    readable = [text for text, answer in zip(TEXTS, truth, strict=True) if answer is not None]
    assert 0 < len(readable) < len(TEXTS)
    assert list(predictor.predict(readable)) == [answer for answer in truth if answer is not None]
    with pytest.raises(OutputError, match=r"row \d: the model made the token 2\d\d, and its tokenizer") as raised:
        predictor.predict(TEXTS)
    assert truth[raised.value.row] is None


def test_it_costs_no_other_row_its_answer(case):
    predictor, truth = case
    answers = list(predictor.predict_iter(TEXTS, errors="return"))
    assert [None if isinstance(answer, OutputError) else answer for answer in answers] == truth
    rows = [answer.row for answer in answers if isinstance(answer, OutputError)]
    assert rows == [row for row, answer in enumerate(truth) if answer is None]


def test_a_stream_ends_with_the_cause(case):
    predictor, truth = case
    if predictor.task.name != "text-generation":
        pytest.skip("it does not stream")
    completions = predictor.over_task("llm/v1/completions")
    for text, answer in zip(TEXTS, truth, strict=True):
        request = {"prompt": text, "max_tokens": GREEDY["max_new_tokens"], "temperature": 0}
        chunks = completions.predict({**request, "stream": True})
        if answer is None:
            with pytest.raises(OutputError, match="row 0: the model made the token"):
                list(chunks)
            with pytest.raises(OutputError, match="row 0: the model made the token"):
                completions.predict(request)
        else:
            assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == answer
