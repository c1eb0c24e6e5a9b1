"""The tests of Spark in the environment that HFSPEC_SPARK_PYTHON names, where this one is without pyspark."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest


def test_the_tests_of_spark_pass_where_pyspark_is() -> None:
    python = os.environ.get("HFSPEC_SPARK_PYTHON")
    if python is None or importlib.util.find_spec("pyspark") is not None:
        pytest.skip("HFSPEC_SPARK_PYTHON names no environment, or pyspark is in this one")
    command = [
        python,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "tests/batch/test_spark.py",
    ]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=560, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
