"""Our predictor as a runtime of MLServer."""

import os

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Embedder(MLModel):
    async def load(self) -> bool:
        import hfspec

        self.predictor = hfspec.load(os.environ["ARTIFACT"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        texts = StringCodec.decode_input(payload.inputs[0])
        answers = np.asarray(self.predictor.predict(texts))
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("embeddings", answers)])
