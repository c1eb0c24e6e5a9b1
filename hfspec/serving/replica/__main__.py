"""``python -m hfspec.serving.replica DESCRIPTOR``: a replica, as the server starts it."""

import sys

from hfspec.serving.replica.process import main

main(int(sys.argv[1]))
