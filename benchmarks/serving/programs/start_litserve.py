"""LitServe around our predictor: python start_litserve.py PORT."""

import os
import sys

import litserve


class Embedder(litserve.LitAPI):
    def setup(self, device: str) -> None:
        import hfspec

        self.predictor = hfspec.load(os.environ["ARTIFACT"])

    def decode_request(self, request: dict) -> str:
        return request["text"]

    def batch(self, inputs: list[str]) -> list[str]:
        return list(inputs)

    def predict(self, texts: list[str]) -> list:
        return list(self.predictor.predict(texts))

    def unbatch(self, output: list) -> list:
        return output

    def encode_response(self, output: object) -> dict:
        return {"embedding": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Embedder(max_batch_size=32, batch_timeout=0.005), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
