"""`predict` of all texts in one process: python -m … ARTIFACT, with the texts as JSON on standard input.

Prints JSON: texts a second, processor milliseconds a text, and the milliseconds of each text alone.
"""

from __future__ import annotations

import json
import sys
import time


def main(artifact: str) -> None:
    import hfspec

    predictor, texts, alone = hfspec.load(artifact), json.load(sys.stdin), []
    predictor.predict(texts[:64])
    for text in texts[:100]:
        start = time.perf_counter()
        predictor.predict([text])
        alone.append(1000 * (time.perf_counter() - start))
    start, spent = time.perf_counter(), time.process_time()
    predictor.predict(texts)
    took, spent = time.perf_counter() - start, time.process_time() - spent
    print(json.dumps({"texts/s": len(texts) / took, "CPU ms": 1000 * spent / len(texts), "alone": alone}))


if __name__ == "__main__":
    main(sys.argv[1])
