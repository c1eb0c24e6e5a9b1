"""Tests that try every task take them from the registry: nothing names a task that it does not have."""

from __future__ import annotations

from hfspec.tasks import table
from tests.mlflow.deployments import OWN as DEPLOYED
from tests.runtime.scheduling.test_alone_and_together import OWN as CASES
from tests.samples import SAMPLES


def test_every_task_has_a_sample():
    assert set(SAMPLES) == set(table.TASKS)


def test_what_tests_say_of_a_task_by_its_name_is_of_one_that_there_is():
    assert {(each.library, each.task) for each in DEPLOYED} | set(CASES) <= set(table.TASKS)
