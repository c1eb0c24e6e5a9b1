"""A compile without examples answers one plain input of the task, and writes nothing where no request could work."""

from __future__ import annotations

import pytest
import transformers

import hfspec
from hfspec.runtime.golden.probing import probe_fault
from hfspec.tasks import table
from tests.checkpoint.test_text_parts import OWN, TEXT
from tests.checkpoints import vocabulary
from tests.compiling import refusal, write_spec
from tests.samples import SAMPLES

MOST_STEPS = 8  # of two tokens for a few rows; a whole answer has up to 256


class Asked:
    """A predictor that keeps how many answers it gave, and how many steps of its model they took."""

    def __init__(self, predictor):
        self.predictor, self.answers, self.steps = predictor, 0, 0
        model = predictor.components().get("model")
        if hasattr(model, "register_forward_hook"):
            model.register_forward_hook(self._count)

    def _count(self, *_):
        self.steps += 1

    def __getattr__(self, name):
        return getattr(self.predictor, name)

    def predict_plain(self, data, params=None, **options):
        answer = self.predictor.predict_plain(data, params, **options)
        self.answers += 1
        return answer


@pytest.mark.parametrize(("library", "task"), table.TASKS)
def test_the_input_is_one_that_the_task_answers(checkpoint, tmp_path, caplog, library, task):
    sample = SAMPLES[library, task]
    keys = {"library": library, "task": task, "model_config": sample.settings}
    spec = write_spec(tmp_path / "s", checkpoint(sample.checkpoint), **keys)
    predictor = Asked(hfspec.load(hfspec.compile(spec, output=tmp_path / "out", run=False).path))
    assert (probe_fault(predictor), predictor.answers) == ("", 1)
    assert predictor.steps <= MOST_STEPS
    assert [record.message for record in caplog.records if "the patch" in record.message] == []


@pytest.fixture
def linear(tmp_path):
    """A language model without a layer of attention, whose cache the library cannot ask for its length."""
    tokenizer = vocabulary.gpt2(128)
    config = transformers.Qwen3_5TextConfig(
        vocab_size=len(tokenizer), **TEXT, **OWN["qwen3_5"] | {"layer_types": ["linear_attention"] * 2}
    )
    folder = tmp_path / "linear"
    transformers.Qwen3_5ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.probes
def test_a_model_that_fails_over_every_input(linear, tmp_path):
    spec = write_spec(tmp_path / "s", linear, task="text-generation")
    (problem,) = refusal(spec).problems
    assert (problem.code, problem.path) == ("example-fails", ("task",))
    assert "answers no plain input of text-generation: ValueError" in problem.message
    predictor = hfspec.load(hfspec.compile(spec, output=tmp_path / "out", run=False).path)
    with pytest.raises(ValueError, match="get_seq_length"):
        predictor.predict("a film")


@pytest.mark.probes
def test_what_only_this_machine_lacks_is_no_fault(checkpoint, tmp_path):
    spec = write_spec(tmp_path / "s", checkpoint("bert-toxic"), runtime={"device": "cuda:7"})
    assert hfspec.compile(spec, output=tmp_path / "out").path.exists()
