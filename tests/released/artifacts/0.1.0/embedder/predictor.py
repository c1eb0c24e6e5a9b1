"""Run this model: python predictor.py "a text", or --help. It needs what requirements.txt lists."""

import sys
from pathlib import Path, PurePosixPath

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE / "code/hfspec.zip"), *(place for place in sys.path if Path(place or ".").resolve() != HERE)]

from hfspec.runtime.command import main  # noqa: E402
from hfspec.runtime.process import inference_only, leave  # noqa: E402

if __name__ == "__main__":
    inference_only()
    leave(main(HERE, sys.argv[1:]))
