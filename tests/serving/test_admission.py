"""What may wait for a model, and what is told to a caller for whom there is no room."""

from __future__ import annotations

import pytest

from hfspec.serving.fleet.values import Limits
from hfspec.serving.front.admission import Admission, Load
from hfspec.serving.front.errors import RequestError


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def admission():
    return Admission(Limits(rows=10, queue_rows=20), Clock())


def answered(admission, count, seconds):
    """So many requests of 100 bytes, answered together after so many seconds."""
    loads = [Load(1, 100) for _ in range(count)]
    for load in loads:
        admission.take(load)
    admission._clock.now += seconds
    for load in loads:
        admission.give_back(load)
        admission.measured(load, 25)


@pytest.mark.parametrize("idle", [0, 3600])
@pytest.mark.parametrize("batches", [1, 12])
def test_the_wait_is_what_waits_by_the_rate_of_all_that_is_answered(admission, batches, idle):
    admission.take(Load(1, 100))  # so that the model is never idle
    for _ in range(batches):
        answered(admission, 10, 1.0)
    admission.give_back(Load(1, 100))
    admission._clock.now += idle
    admission.take(Load(10, 5000))
    admission.take(Load(10, 5000))
    with pytest.raises(RequestError) as refused:
        admission.take(Load(1, 100))
    assert refused.value.status == 429
    told = int(refused.value.headers["retry-after"])
    assert told == (1 if batches == 1 else pytest.approx(10, abs=2))  # a second of work is too little to know


def test_a_request_that_is_too_large_by_itself_is_told_so(admission):
    with pytest.raises(RequestError) as refused:
        admission.take(Load(11, 100))
    assert refused.value.status == 413
    assert (admission.rows, admission.size) == (0, 0)


def test_room_comes_back(admission):
    loads = [Load(10, 100), Load(10, 100)]
    for load in loads:
        admission.take(load)
    with pytest.raises(RequestError):
        admission.take(Load(1, 1))
    admission.give_back(loads[0])
    admission.take(Load(10, 100))
