"""Jobs on a Ray cluster: ``python -m tests.batch.ray_jobs ADDRESS JOBS.json``; what became of each, a line of JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import ray

from hfspec.batch.job import Job
from hfspec.batch.run import run
from hfspec.batch.spans import Sizes
from hfspec.errors import HfspecError


def main(address: str, jobs: str) -> None:
    ray.init(address=address, log_to_driver=False)
    for given in json.loads(Path(jobs).read_text(encoding="utf-8")):
        sizes, inputs = Sizes(*given.pop("sizes")), tuple(given.pop("inputs"))
        try:
            found = run(Job(inputs=inputs, sizes=sizes, engine="ray", **given))
            print(json.dumps({"rows": (found.manifest or {}).get("rows")}), flush=True)
        except HfspecError as error:
            print(json.dumps({"kind": type(error).__name__, "said": str(error)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
