"""The command line as its users run it."""

from tests.cli.conftest import hfspec

__all__ = ["hfspec"]
