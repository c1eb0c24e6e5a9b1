"""A backend whose row says that it loads the model itself: torch reads no weights; what it does not run is refused."""

from __future__ import annotations

import pytest
import torch
import transformers
from transformers.modeling_outputs import SequenceClassifierOutput

import hfspec
from hfspec.errors import UsageError
from hfspec.ir.backends import BACKENDS, Backend
from hfspec.runtime.patches.states import Patched
from tests.compiling import write_spec

TEXTS = ["a fine film", "dull"]
TASKS = frozenset({("transformers", "text-classification")})


class Counter(torch.nn.Module):
    """Answers with how many tokens a row has; it holds no weights."""

    dtype, device = torch.float32, torch.device("cpu")

    def __init__(self, folder):
        super().__init__()
        self.config = transformers.AutoConfig.from_pretrained(folder)

    def forward(self, input_ids, attention_mask, token_type_ids=None):
        counts = attention_mask.sum(dim=1).float()
        return SequenceClassifierOutput(logits=torch.stack([-counts, counts], dim=1))


def load(request, model_class, folder):
    return Patched(Counter(folder), {})


@pytest.fixture
def folders(artifact):
    """Compiled while torch may still load what it likes."""
    return {name: artifact(name) for name in ("bert-sentiment", "gpt2")}


@pytest.fixture
def counting(folders, monkeypatch):
    row = Backend(
        ("float32",),
        load=f"{__name__}:load",
        tasks=TASKS,
        model_types=frozenset({"distilbert", "gpt2"}),
        devices=("cpu",),
    )
    monkeypatch.setitem(BACKENDS, "counting", row)
    monkeypatch.setattr(
        transformers.PreTrainedModel, "from_pretrained", lambda *_, **__: pytest.fail("torch has loaded the model")
    )


def test_the_backend_reads_the_model(folders, counting):
    predictor = hfspec.load(folders["bert-sentiment"], backend="counting")
    answer = predictor.predict_json(TEXTS)
    tokenizer = predictor.components()["tokenizer"]
    counts = torch.tensor([float(len(tokenizer(text)["input_ids"])) for text in TEXTS])
    expected = torch.stack([-counts, counts], dim=1).softmax(dim=1)[:, 1]
    assert [row["score"] for row in answer] == pytest.approx(expected.tolist())
    assert (predictor.backend, predictor.device) == ("counting", "cpu")
    assert not any(state.on for state in predictor.patches.values())


@pytest.mark.parametrize(
    ("name", "options", "refused"),
    [
        ("bert-sentiment", {"dtype": "float16"}, "runs float32 weights, and these are float16"),
        ("bert-sentiment", {"device": "cuda"}, "the backend counting runs on the CPU"),
        ("gpt2", {}, "the backend counting does not run the task text-generation"),
    ],
)
def test_what_its_row_does_not_say_is_refused(folders, counting, name, options, refused):
    with pytest.raises(UsageError, match=refused):
        hfspec.load(folders[name], backend="counting", **options)


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_devices_are_those_of_the_row(monkeypatch, checkpoint, tmp_path, device):
    both = Backend(("float32",), load=f"{__name__}:load", devices=("cpu", "cuda"))
    monkeypatch.setitem(BACKENDS, "openvino", both)  # whose name specs know
    spec = write_spec(tmp_path, checkpoint("bert-sentiment"), runtime={"backend": "openvino", "device": device})
    said = [str(problem) for problem in hfspec.validate(spec)]
    assert len(said) == (device == "mps")
    assert all("The backend openvino runs on the CPU or cuda." in text for text in said)
