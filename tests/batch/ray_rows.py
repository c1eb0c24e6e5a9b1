"""An artifact over a Ray dataset, an actor of which is killed midway: ``ray_rows.py ADDRESS ARTIFACT OUTPUT ROWS``."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import ray

import hfspec.ray


class Counted(hfspec.ray.Predict):
    """Says which process it is, and takes its time until one was killed."""

    def __init__(self, artifact: str, folder: str) -> None:
        super().__init__(artifact, keep=["id"])
        self._folder = Path(folder)
        (self._folder / f"{os.getpid()}.actor").touch()

    def __call__(self, batch: pa.Table) -> pa.Table:
        if not (self._folder / "killed").exists():
            if batch.column("id")[0].as_py() > 0:
                (self._folder / "killed").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(0.2)
        return super().__call__(batch)


def main(address: str, artifact: str, output: str, rows: int) -> None:
    ray.init(address=address, log_to_driver=False)
    texts = [None if at % 7 == 3 else f"text number {at}" for at in range(rows)]
    table = pa.table({"id": list(range(rows)), "text": pa.array(texts, pa.string())})
    data = ray.data.from_arrow(table).repartition(8)
    found = data.map_batches(
        Counted,
        fn_constructor_args=(artifact, output),
        batch_format="pyarrow",
        batch_size=8,
        compute=ray.data.ActorPoolStrategy(size=1),
    )
    blocks = [ray.get(block) for block in found.to_arrow_refs()]
    pq.write_table(pa.concat_tables(blocks), Path(output) / "found.parquet")
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
