"""MLServer around our predictor, with adaptive batches, in its own process: python start_mlserver.py PORT."""

import asyncio
import sys
from pathlib import Path

from mlserver import MLServer, ModelSettings, Settings

sys.path.insert(0, str(Path(__file__).parent))


async def main(port: int) -> None:
    from mlserver_runtime import Embedder

    settings = Settings(
        host="127.0.0.1",
        http_port=port,
        grpc_port=port + 1,
        metrics_port=port + 2,
        parallel_workers=0,
        debug=False,
        use_structured_logging=False,
    )
    model = ModelSettings(name="minilm", implementation=Embedder, max_batch_size=32, max_batch_time=0.005)
    await MLServer(settings).start([model])


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
