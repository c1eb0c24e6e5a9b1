"""``python -m hfspec``: the command line."""

from __future__ import annotations

from hfspec.cli.app import main

if __name__ == "__main__":
    main()
