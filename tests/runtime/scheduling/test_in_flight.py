"""Batches in flight: the next one is launched before the one before it is read, and the launch waits for nothing."""

from __future__ import annotations

import gc
import weakref
from contextlib import contextmanager

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import hfspec
from hfspec.errors import OutOfMemoryError
from hfspec.formats.sentence_modules import POOLING_FLAGS
from hfspec.runtime.io.transfer import Arriving
from hfspec.runtime.patches import masks as mask_patch
from hfspec.runtime.scheduling import memory
from hfspec.runtime.scheduling.batching import Budget, Item, run
from hfspec.runtime.sentences.sentence_layers import pool
from hfspec.runtime.text import masked_head
from hfspec.tasks import table
from tests.runtime.scheduling.test_alone_and_together import CASES, Case, known
from tests.runtime.scheduling.test_batching import items, patient
from tests.runtime.text.test_token_goldens import same

TARGETS = {"targets": ["the", "a"]}
AMONG = Case("fill-mask", "distilbert-mlm", lambda: ["a [MASK] film", "the [MASK]"] * 9, variants=(TARGETS,))


def generates(case):
    """Whether the task's answers are made token by token, or read from a table's cells."""
    task = table.find(case.library, case.task)
    names = {column.name for column in task.inputs} | {setting.name for setting in task.settings}
    return bool(names & {"max_new_tokens", "max_tokens", "table"}) and case.checkpoint != "wav2vec2-ctc"


READING = [*(case for case in CASES if not generates(case)), AMONG]
# What the library's own model asks the device for: this one finds each row's last end token by its values.
ASKED = {"bart-mnli": {"aten.unique_consecutive.default", "aten.index.Tensor by a mask"}}


class Made:
    """What a batch makes on the device."""


class Device:
    """A device that notes what it is asked to do. ``memory``: how many items' results it holds; ``reads``: how many can
    be read at once; ``fails``: a batch with this item cannot be read, as often as it is listed.
    """

    def __init__(self, memory=10**9, reads=10**9, fails=()):
        self.memory, self.reads, self.fails = memory, reads, list(fails)
        self.log, self.held, self.most = [], {}, 0
        self.alive = weakref.WeakSet()

    def launch(self, batch):
        rows = tuple(item.row for item in batch)
        self.log.append(("launch", rows))
        if sum(len(held) for held in self.held.values()) + len(rows) > self.memory:
            raise MemoryError
        made = Made()
        self.alive.add(made)
        self.held[id(made)] = rows
        self.most = max(self.most, len(self.held))

        def read():
            self.log.append(("read", rows))
            del self.held[id(made)]
            failing = next((row for row in rows if row in self.fails), None)
            if failing is not None:
                self.fails.remove(failing)
            if failing is not None or len(rows) > self.reads:
                raise MemoryError
            return [(row, weakref.ref(made)) for row in rows]

        return read

    def answer(self, rows, budget, ahead):
        return [row for row, _ in run(rows, Budget(budget), self.launch, ahead, None)]


def rows_of(count, length=1):
    return [Item(row, length, None) for row in range(count)]


@pytest.mark.parametrize(
    ("ahead", "order"),
    [
        (0, ["launch 0", "read 0", "launch 1", "read 1", "launch 2", "read 2", "launch 3", "read 3"]),
        (1, ["launch 0", "launch 1", "read 0", "launch 2", "read 1", "launch 3", "read 2", "read 3"]),
        (2, ["launch 0", "launch 1", "launch 2", "read 0", "launch 3", "read 1", "read 2", "read 3"]),
    ],
)
def test_the_next_batch_is_launched_before_one_is_read(ahead, order):
    device = Device()
    assert device.answer(rows_of(8), 2, ahead) == list(range(8))
    assert [f"{what} {rows[0] // 2}" for what, rows in device.log] == order


@patient
@given(items, st.integers(1, 200), st.integers(0, 3), st.integers(1, 8), st.integers(1, 8))
def test_answers_keep_their_order_whatever_fails(rows, budget, ahead, room, reads):
    device = Device(room, reads)
    assert device.answer(rows, budget, ahead) == list(range(len(rows)))
    assert device.most <= ahead + 1
    assert not device.held
    groups = {row.row: row.group for row in rows}
    assert all(len({groups[row] for row in batch}) == 1 for _, batch in device.log)


def test_what_is_in_flight_is_read_before_a_batch_that_did_not_fit_is_tried_again():
    device = Device(memory=3)
    device.answer([*rows_of(2, 4), *(Item(row, 2, None) for row in range(2, 8))], 8, 1)
    assert device.log[:4] == [("launch", (0, 1)), ("launch", (2, 3, 4, 5)), ("read", (0, 1)), ("launch", (2, 3))]


def test_a_batch_that_fails_when_it_is_read_is_halved():
    device = Device(fails=[2])
    assert device.answer(rows_of(8), 4, 1) == list(range(8))
    assert device.log[:5] == [
        ("launch", (0, 1, 2, 3)),
        ("launch", (4, 5, 6, 7)),
        ("read", (0, 1, 2, 3)),
        ("read", (4, 5, 6, 7)),
        ("launch", (0, 1)),
    ]


@pytest.mark.parametrize("ahead", [0, 1, 2])
def test_a_row_that_does_not_fit_is_named_once_it_was_tried_by_itself(ahead):
    rows = rows_of(6)
    with pytest.raises(OutOfMemoryError, match="row 3: the model needs more memory"):
        Device(fails=[3] * 10).answer(rows, 2, ahead)
    few = Device(memory=1)  # of one row: it is not the row's fault that another is in flight
    assert few.answer(rows, 1, ahead) == list(range(6))
    with pytest.raises(OutOfMemoryError, match="row 0: "):
        Device(memory=0).answer(rows, 1, ahead)


def test_an_item_longer_than_the_budget_does_not_raise_it():
    device = Device(memory=1)
    device.answer([Item(0, 9, None), Item(1, 9, None), *(Item(row, 1, None) for row in range(2, 8))], 2, 1)
    assert max(len(rows) for _, rows in device.log) == 2


def test_other_errors_of_reading_are_raised_as_they_are():
    def launch(batch):
        def read():
            raise ValueError(f"row {batch[0].row}")

        return read

    with pytest.raises(ValueError, match="row 0"):
        run(rows_of(4), Budget(1), launch, 1)


@pytest.mark.usefixtures("only_new_objects")
@pytest.mark.parametrize("ahead", [0, 1])
def test_no_more_is_kept_than_what_is_in_flight(ahead):
    device, alive = Device(), []

    def launch(batch):
        gc.collect()
        alive.append(len(device.alive))
        return device.launch(batch)

    run(rows_of(8), Budget(1), launch, ahead)
    assert max(alive) == ahead


class Asked(TorchDispatchMode):
    """Notes what cannot be known without waiting for the device."""

    NAMES = (
        "_local_scalar_dense",
        "is_nonzero",
        "nonzero",
        "masked_select",
        "unique",
        "aten.equal",
        "repeat_interleave",
    )

    def __init__(self, log):
        super().__init__()
        self.log = log

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if any(name in str(func) for name in self.NAMES):
            self.log.append(str(func))
        if str(func) == "aten.index.Tensor" and any(each is not None and each.dtype == torch.bool for each in args[1]):
            self.log.append("aten.index.Tensor by a mask")
        return func(*args, **(kwargs or {}))


class Fetched(TorchFunctionMode):
    """Notes what is brought to the host at once, and what is made on the host and brought to the device at once."""

    def __init__(self, log):
        super().__init__()
        self.log, self.sets_off = log, False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name in {"tolist", "numpy", "cpu"} and not self.sets_off:
            self.log.append(name)
        if name == "__getitem__" and any(isinstance(part, list) for part in args[1:2] + _of_several(args[1])):
            self.log.append("by a list")
        if func is torch.tensor and (kwargs or {}).get("device") is not None:
            self.log.append("made of the host's numbers")
        return func(*args, **(kwargs or {}))


def _of_several(index):
    return index if isinstance(index, tuple) else ()


@contextmanager
def watched(monkeypatch, log):
    fetched, start = Fetched(log), Arriving.__init__

    def set_off(self, made, *lengths, **options):
        fetched.sets_off = True
        start(self, made, *lengths, **options)
        fetched.sets_off = False

    with monkeypatch.context() as patch, Asked(log), fetched:
        patch.setattr(Arriving, "__init__", set_off)
        patch.setattr(Arriving, "here", lambda _: log.append("here"))
        yield


def as_on_a_gpu(monkeypatch):
    """Batches in flight, and masks that are not asked about, though the device is a CPU."""
    monkeypatch.setattr(memory, "ahead", lambda device: 1)
    monkeypatch.setattr(mask_patch, "put", mask_patch.try_on)


def name(case):
    return f"{case.name}-among" if case is AMONG else case.name


def folder_of(case, build, checkpoint):
    declared = {"params": {case.budget: case.budgets[-1]}}
    return build(checkpoint(case.checkpoint), case.task, library=case.library, signature=declared)


@pytest.mark.parametrize("case", READING, ids=name)
def test_a_launch_asks_the_device_for_nothing(build, checkpoint, monkeypatch, case):
    folder, rows, settings = folder_of(case, build, checkpoint), case.rows(), case.variants[0]
    few = {case.budget: case.budgets[0]}
    truth = hfspec.load(folder, model_config=settings, device="cpu", backend="torch")
    as_on_a_gpu(monkeypatch)
    predictor = hfspec.load(folder, model_config=settings, device="cpu", backend="torch")
    predictor.predict(rows, few)  # the first time the model is tried
    runner, events, log = predictor._runner, [], []
    launch, read = runner.run, runner.read

    def launching(batch, settings):
        events.append("launch")
        with watched(monkeypatch, log):
            return launch(batch, settings)

    def reading(made, batch, settings):
        events.append("read")
        return read(made, batch, settings)

    monkeypatch.setattr(runner, "run", launching)
    monkeypatch.setattr(runner, "read", reading)
    answer = known(predictor.predict(rows, few, outputs="full"))
    assert set(log) == ASKED.get(case.checkpoint, set())
    # Of each window, at the end of which nothing is in flight.
    steps = " ".join(events).replace("read read launch", "read read. launch").split(". ")
    assert all(step == " ".join(["launch", *["launch", "read"] * (step.count("launch") - 1), "read"]) for step in steps)
    assert steps[0].count("launch") > 1
    monkeypatch.undo()
    assert same(answer, known(truth.predict(rows, few, outputs="full")))


@pytest.mark.parametrize("mode", POOLING_FLAGS.values())
def test_pooling_asks_the_device_for_nothing(mode, monkeypatch):
    log = []
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])
    with watched(monkeypatch, log):
        pool(torch.ones(2, 3, 4), mask, [mode], 1)
    assert not log


def test_vectors_of_another_shape_are_refused_by_their_shape():
    """A GPU that is given a place beyond the end fails for good."""
    places = torch.tensor([0]), torch.tensor([1])
    token = masked_head._KEPT.set((torch.Size([1, 6]), places))
    try:
        with pytest.raises(IndexError, match="hidden vectors of shape"):
            masked_head._keep(None, (torch.ones(6, 7, 3),))
        (kept,) = masked_head._keep(None, (torch.ones(1, 6, 3),))
    finally:
        masked_head._KEPT.reset(token)
    assert kept.shape == (1, 3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("case", [case for case in READING if case.checkpoint not in ASKED], ids=name)
def test_a_gpu_is_not_waited_for_by_a_launch(build, checkpoint, monkeypatch, case):
    folder, rows, settings = folder_of(case, build, checkpoint), case.rows(), case.variants[0]
    few = {case.budget: case.budgets[0]}
    on_cpu = hfspec.load(folder, model_config=settings, device="cpu").predict(rows, few, outputs="full")
    predictor = hfspec.load(folder, model_config=settings, device="cuda")
    predictor.predict(rows, few)  # the first time the model is tried
    runner = predictor._runner
    launch = runner.run

    def launching(batch, settings):
        torch.cuda.set_sync_debug_mode("error")
        try:
            return launch(batch, settings)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(runner, "run", launching)
    assert same(known(predictor.predict(rows, few, outputs="full")), known(on_cpu))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_tensor_of_a_gpu_arrives_in_memory_of_its_own():
    made = torch.arange(6, device="cuda").reshape(2, 3)
    found = Arriving(made.T).here()
    assert found.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert not found.is_pinned()


def test_a_tensor_of_the_host_is_the_tensor_itself():
    made = torch.ones(3)
    assert Arriving(made).here() is made


def test_nothing_is_launched_ahead_on_a_cpu(artifact):
    predictor = hfspec.load(artifact("bert-sentiment"), device="cpu")
    assert predictor._runner.ahead == 0
    assert (memory.ahead("cpu"), memory.ahead("mps"), memory.ahead("cuda"), memory.ahead("cuda:1")) == (0, 0, 1, 1)
    assert predictor.components()["model"].config._attn_implementation == "sdpa"


@pytest.mark.parametrize("name", ["bert-sentiment", "st-dense"])
def test_a_mask_is_made_where_something_is_masked(artifact, monkeypatch, name):
    as_on_a_gpu(monkeypatch)
    predictor = hfspec.load(artifact(name), device="cpu", backend="torch")
    masks, attention = [], torch.nn.functional.scaled_dot_product_attention

    def noted(*tensors, attn_mask=None, **options):
        masks.append(attn_mask)
        return attention(*tensors, attn_mask=attn_mask, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", noted)
    predictor.predict(["a", "a b"])
    masks.clear()
    predictor.predict(["a a a", "b b b"])
    assert masks
    assert all(mask is None for mask in masks)
    masks.clear()
    predictor.predict(["a a a", "b"])
    assert masks
    assert all(mask is not None and not mask.all() for mask in masks)
    inner = getattr(predictor._runner.loaded.model, "distilbert", predictor._runner.loaded.model)
    predictor.predict(["a a a", "b b b"])
    masks.clear()
    inner(input_ids=torch.ones((1, 4), dtype=torch.long), attention_mask=torch.tensor([[1, 1, 0, 0]]))
    assert all(mask is not None for mask in masks)  # what was known of another batch is forgotten
