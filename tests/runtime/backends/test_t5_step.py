"""Steps of T5's decoder by oneDNN are the library's, in its cache; what they are not made for is the library's own."""

from __future__ import annotations

import copy
import io
import shutil
import traceback
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch
from transformers import (
    AutoModelForSeq2SeqLM,
    MT5Config,
    MT5ForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
    UMT5Config,
    UMT5ForConditionalGeneration,
)
from transformers.cache_utils import DynamicCache, DynamicLayer, EncoderDecoderCache, StaticCache

import hfspec
from hfspec.runtime.backends import onednn, t5
from hfspec.runtime.generation.roomy_cache import ROOM, make_room
from hfspec.runtime.patches.table import ALL
from tests.checkpoints.seq2seq import livelier
from tests.runtime.generation.test_decoding import ending
from tests.runtime.texts import MIXED, shuffled

TEXTS = [text for text in shuffled(MIXED) if text.strip()]
SIZES = {"vocab_size": 64, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 3, "num_heads": 4}
GATED = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
KINDS = {
    "t5": (T5Config, T5ForConditionalGeneration, {}),
    "t5 1.1": (T5Config, T5ForConditionalGeneration, GATED),
    "mt5": (MT5Config, MT5ForConditionalGeneration, {}),
    "umt5": (UMT5Config, UMT5ForConditionalGeneration, {}),
}
TOLERANCE = 2e-5  # of the largest logit
MASK = torch.ones(4, 20, dtype=torch.long)
MASK[1, 9:], MASK[2, :6] = 0, 0

pytestmark = pytest.mark.skipif(not onednn._runs("float32"), reason="no oneDNN here")


@pytest.fixture
def taken(monkeypatch):
    """The rows of every step that is taken."""
    rows, inner = [], t5.step

    def step(stack, layers, distances, given):
        if "tried" not in {frame.name for frame in traceback.extract_stack()}:  # in no trial of a load
            rows.append(len(given["input_ids"]))
        return inner(stack, layers, distances, given)

    monkeypatch.setattr(t5, "step", step)
    return rows


def stepping(model):
    return onednn.put(copy.deepcopy(model), SimpleNamespace(dtype="float32", patches=ALL)).model


@pytest.fixture
def both():
    """``both(kind)``: a model of the library, its norms not all ones, and its copy that takes steps."""

    def get(kind="t5", **keys):
        config, model, more = KINDS[kind]
        torch.manual_seed(1)
        made = model(config(**SIZES, **more, **keys, decoder_start_token_id=0)).eval()
        with torch.no_grad():
            for name, weight in made.named_parameters():
                if "layer_norm" in name:
                    weight.mul_(1 + torch.rand_like(weight))
        return made, stepping(made)

    return get


def caches():
    return EncoderDecoderCache(DynamicCache(), DynamicCache())


def tokens(count, rows=4):
    return torch.randint(2, 60, (count, rows, 1), generator=torch.Generator().manual_seed(3))


def logits(model, taken_tokens=None, cache=None, **more):
    """(steps, rows, vocabulary) after each of these tokens, over a source that is padded on both sides."""
    ids = torch.randint(2, 60, MASK.shape, generator=torch.Generator().manual_seed(2))
    cache, found = caches() if cache is None else cache, []
    states = model.encoder(input_ids=ids, attention_mask=MASK)
    for given in tokens(6) if taken_tokens is None else taken_tokens:
        asked = {"attention_mask": MASK, "past_key_values": cache, "use_cache": True, **more}
        output = model(encoder_outputs=states, decoder_input_ids=given, **asked)
        if not torch.is_grad_enabled():
            make_room(cache)
        found.append(output.logits[:, -1])
    return torch.stack(found)


def assert_alike(ours, theirs):
    assert float((ours - theirs).abs().max() / theirs.abs().max()) <= TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_the_librarys_beyond_the_room_of_the_cache(both, taken, kind):
    library, ours = both(kind)
    given = tokens(2 * ROOM + 5)
    with torch.inference_mode():
        assert_alike(logits(ours, given), logits(library, given))
    assert taken == [4] * len(given)


@pytest.fixture(scope="module")
def folders(build, checkpoint, shared_folder):
    """``folders(kind)``: an artifact of the tiny T5, with its tokenizer."""

    def get(kind, **keys):
        source = checkpoint("t5")
        if kind != "t5":
            base, source = source, shared_folder / "t5-gated"
            if not source.exists():
                shutil.copytree(base, source)
                plain = T5Config.from_pretrained(base)
                names = ("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_heads")
                sizes = {name: getattr(plain, name) for name in names}
                torch.manual_seed(4)
                model = T5ForConditionalGeneration(T5Config(**sizes, **GATED, decoder_start_token_id=0))
                livelier(1, 2.5)(model)
                model.generation_config = AutoModelForSeq2SeqLM.from_pretrained(base).generation_config
                model.save_pretrained(source)
        return build(source, "text2text-generation", **keys)

    return get


@pytest.mark.parametrize("kind", ["t5", "t5 1.1"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"do_sample": True, "seed": 5, "temperature": 1.4, "top_k": 0, "num_return_sequences": 3},
        {"num_beams": 3},
        {"num_beams": 3, "num_return_sequences": 2},
        {"forced_bos_token_id": 11, "no_repeat_ngram_size": 2},
        {"stop_strings": ["R"]},
    ],
    ids="+".join,
)
def test_a_batch_says_what_the_library_says_of_each_text(folders, taken, kind, settings):
    folder = folders(kind)
    settings = {"max_new_tokens": 12, "num_beams": 1, **settings}
    theirs = hfspec.load(folder, backend="torch", model_config=settings)
    alone = [row for text in TEXTS for row in theirs.predict(text, outputs="full")]
    assert not taken
    ours = hfspec.load(folder, backend="onednn", model_config=settings)
    assert ours.predict(TEXTS, outputs="full") == alone
    # With stop strings the library gives its decoder a tokenizer, which could mean anything.
    assert max(taken, default=0) > 1 or "stop_strings" in settings


def test_a_batch_for_whose_step_there_is_no_memory_is_tried_in_halves(folders, taken, monkeypatch):
    folder, watched = folders("t5"), t5.step

    def step(stack, layers, distances, given):
        made = watched(stack, layers, distances, given)
        if len(given["input_ids"]) > 2 and len(taken) > 9:  # in the midst of an answer
            raise RuntimeError("could not create a memory object")
        return made

    settings = {"max_new_tokens": 12, "num_beams": 1}
    expected = hfspec.load(folder, backend="torch", model_config=settings).predict(TEXTS)
    monkeypatch.setattr(t5, "step", step)
    assert hfspec.load(folder, backend="onednn", model_config=settings).predict(TEXTS) == expected
    assert max(taken) > 2 >= taken[-1]


def test_rows_that_have_ended_leave(folders, taken):
    folder = folders("t5")
    settings = ending(folder, room=20)
    theirs = hfspec.load(folder, backend="torch", model_config=settings)
    alone = [theirs.predict(text, outputs="full")[0] for text in TEXTS]
    del taken[:]
    ours = hfspec.load(folder, backend="onednn", model_config=settings)
    assert ours.predict(TEXTS, outputs="full") == alone
    steps = taken[:]
    assert sum(steps) == sum(row["completion_tokens"] for row in alone)
    assert steps[0] == len(TEXTS) > steps[-1]


class Counted(torch.utils._python_dispatch.TorchDispatchMode):
    """How many operators are called."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


def counts_of_a_step(model):
    """(operators, modules) that a step calls."""
    modules, found = [], []
    hook = torch.nn.modules.module.register_module_forward_pre_hook(lambda *_: modules.append(1))
    with torch.inference_mode():
        logits(model)
        for steps in (10, 20):
            del modules[:]
            with Counted() as counted:
                logits(model, tokens(steps))
            found.append((counted.count, len(modules)))
    hook.remove()
    return [(last - first) / 10 for first, last in zip(*found, strict=True)]


def test_a_step_calls_few_operators_and_modules(both):
    (operators, modules), (few, fewer) = (counts_of_a_step(model) for model in both())
    assert few < 0.7 * operators
    assert fewer < 0.1 * modules


def test_two_threads_at_once(folders):
    settings = {"max_new_tokens": 12, "num_beams": 1}
    theirs = hfspec.load(folders("t5"), backend="torch", model_config=settings).predict(TEXTS)
    ours = hfspec.load(folders("t5"), backend="onednn", model_config=settings)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(ours.predict, [TEXTS, TEXTS[::-1]] * 4)) == [theirs, theirs[::-1]] * 4


def hooked(model):
    seen = []
    model.decoder.block[1].register_forward_hook(lambda *_: seen.append(1))
    return seen


def test_hooks_on_layers_are_called(both, taken):
    _, ours = both()
    with torch.inference_mode():
        before = logits(ours)
        del taken[:]
        seen = hooked(ours)
        assert_alike(logits(ours), before)
    assert len(seen) == 6
    assert not taken


class Doubled(torch.nn.Linear):
    def forward(self, values):
        return 2 * super().forward(values)


def doubled(attention):
    attention.v.__class__ = Doubled


def scaled(attention):
    with torch.no_grad():
        attention.q.weight.mul_(1.5)


def given_anew(attention):
    attention.o.weight = torch.nn.Parameter(torch.ones_like(attention.o.weight))


def biased(attention):
    attention.v.bias = torch.nn.Parameter(torch.ones(attention.v.out_features))


@pytest.mark.parametrize(("change", "steps"), [(doubled, 0), (scaled, 1), (given_anew, 1), (biased, 0)])
@pytest.mark.parametrize("part", ["SelfAttention", "EncDecAttention"])
def test_what_is_changed_after_the_first_answer_answers(both, taken, change, steps, part):
    """Other weights are taken as they are, other layers called by the library."""
    library, ours = both()
    with torch.inference_mode():
        before = logits(ours)
    del taken[:]
    for model in (library, ours):
        layer = model.decoder.block[1].layer[part == "EncDecAttention"]
        change(getattr(layer, part))
    with torch.inference_mode():
        theirs = logits(library)
        assert_alike(logits(ours), theirs)
        with pytest.raises(AssertionError):
            assert_alike(before, theirs)
    assert bool(taken) is bool(steps)


@pytest.mark.parametrize("change", [given_anew, doubled])
def test_what_is_changed_answers_a_generation_of_several_first_tokens(both, taken, change):
    """Of which the first pass is the library's."""
    library, ours = both()
    with torch.inference_mode():
        logits(ours)
    for model in (library, ours):
        change(model.decoder.block[1].layer[0].SelfAttention)
    del taken[:]
    given = [torch.cat(list(tokens(3)), dim=1), *tokens(4)]
    with torch.inference_mode():
        assert_alike(logits(ours, given), logits(library, given))


def test_distances_that_are_changed_answer(both, taken):
    library, ours = both()
    with torch.inference_mode():
        logits(ours)
    with torch.no_grad():
        for model in (library, ours):
            model.decoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight.mul_(-3)
    with torch.inference_mode():
        assert_alike(logits(ours), logits(library))
    assert taken


def test_a_copy_has_weights_of_its_own(both, taken):
    _, ours = both()
    with torch.inference_mode():
        before = logits(ours)
    twin, file = copy.deepcopy(ours), io.BytesIO()
    torch.save(ours, file)
    file.seek(0)
    read = torch.load(file, weights_only=False)
    with torch.no_grad():
        ours.decoder.block[0].layer[2].DenseReluDense.wo.weight.zero_()
    with torch.inference_mode():
        for model in (twin, read):
            del taken[:]
            assert model.decoder.forward.stack is model.decoder
            assert torch.equal(logits(model), before)
            assert taken
        assert not torch.equal(logits(ours), before)


def test_the_model_is_the_librarys_and_learns(both, taken):
    library, ours = both()
    assert type(ours.decoder) is type(library.decoder)
    assert ours.state_dict().keys() == library.state_dict().keys()
    for model in (library, ours):
        logits(model).sum().backward()
    assert not taken
    weight = "decoder.block.1.layer.0.SelfAttention.q.weight"
    theirs, mine = (dict(model.named_parameters())[weight].grad for model in (library, ours))
    torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize(
    "more",
    [
        {"output_attentions": True},
        {"output_hidden_states": True},
        {"decoder_attention_mask": torch.ones(4, 1, dtype=torch.long)},
    ],
    ids=lambda more: next(iter(more)),
)
def test_what_else_is_asked_for_is_the_librarys(both, taken, more):
    library, ours = both(attn_implementation="eager")
    with torch.inference_mode():
        logits(ours)
        del taken[:]
        assert_alike(logits(ours, tokens(1), **more), logits(library, tokens(1), **more))
        states = ours.encoder(input_ids=tokens(1)[0])
        made = ours(encoder_outputs=states, decoder_input_ids=tokens(1)[0], use_cache=True, **more)
        if "decoder_attention_mask" not in more:
            name = next(iter(more)).replace("output_", "decoder_")
            assert made[name][-1] is not None
    assert not taken


def test_other_passes_and_caches_are_the_librarys(both, taken):
    library, ours = both()
    many = tokens(3).permute(2, 1, 0)
    config = ours.config

    def static():
        return EncoderDecoderCache(*(StaticCache(config=config, max_cache_len=size) for size in (8, MASK.shape[1])))

    with torch.inference_mode():
        assert_alike(logits(ours, many), logits(library, many))
        assert_alike(logits(ours, cache=static()), logits(library, cache=static()))
        ours.train()
        logits(ours)
        ours.eval()
    assert not taken
    with torch.inference_mode():
        cache = caches()
        assert_alike(logits(ours, [*many, *tokens(3)], cache), logits(library, [*many, *tokens(3)]))


class Other(DynamicLayer):
    """Of a cache that may do anything."""


@pytest.mark.parametrize("part", ["self_attention_cache", "cross_attention_cache"])
def test_a_cache_with_a_layer_of_another_kind_is_the_librarys(both, taken, part):
    _, ours = both()
    cache = caches()
    with torch.inference_mode():
        logits(ours, tokens(1), cache)
        assert taken
        del taken[:]
        getattr(cache, part).layers[0].__class__ = Other
        logits(ours, tokens(1), cache)
    assert not taken


@pytest.mark.parametrize("keys", [{"backend": "torch"}, {"backend": "onednn", "dtype": "bfloat16"}])
def test_where_no_steps_are_taken(folders, taken, keys):
    if keys.get("dtype") == "bfloat16" and not onednn._runs("bfloat16"):
        pytest.skip("no bfloat16 on this processor")
    predictor = hfspec.load(folders("t5"), **keys, model_config={"max_new_tokens": 4})
    assert len(predictor.predict(TEXTS[:2])) == 2
    assert not taken
    assert "forward" not in predictor.components()["model"].decoder.__dict__


def test_models_whose_weights_are_not_held_twice_take_none(monkeypatch, both, taken):
    monkeypatch.setattr(onednn, "MOST_BYTES", 1000)
    library, ours = both()
    with torch.inference_mode():
        assert_alike(logits(ours), logits(library))
    assert not taken


def test_steps_that_mean_something_else_are_not_taken(both, monkeypatch):
    """As they would if a version of the library scaled its scores."""
    inner = t5.step
    wrong = []

    def step(*args):
        made = inner(*args)
        wrong.append(made)
        made.last_hidden_state.mul_(1.1)
        return made

    monkeypatch.setattr(t5, "step", step)
    library, ours = both()
    with torch.inference_mode():
        assert_alike(logits(ours), logits(library))
    assert len(wrong) == t5.STEPS
