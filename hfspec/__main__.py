"""``hfspec`` and ``python -m hfspec``: the command line, in a process of its own."""

from __future__ import annotations

from hfspec.cli.app import main
from hfspec.runtime.host.process import begin, leave


def command() -> None:
    """Run the command in sys.argv and end the process with its exit code, as ``main`` has them."""
    begin()
    try:
        main()
    except SystemExit as left:
        leave(left.code if isinstance(left.code, int) else 0)


if __name__ == "__main__":
    command()
