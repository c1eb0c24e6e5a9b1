"""BentoML around our predictor: `bentoml serve bentoml_service:Embedder`."""

import os

import bentoml


@bentoml.service(traffic={"timeout": 300, "concurrency": 64}, workers=1)
class Embedder:
    def __init__(self) -> None:
        import hfspec

        self.predictor = hfspec.load(os.environ["ARTIFACT"])

    @bentoml.api(batchable=True, batch_dim=0, max_batch_size=32, max_latency_ms=60_000)
    def embed(self, texts: list[str]) -> list[list[float]]:
        return self.predictor.predict(texts).tolist()
