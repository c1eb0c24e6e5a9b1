"""A corpus embedded by `hfspec batch`, an index that knows its embedding space, and queries of that space alone.

Usage: python examples/retrieval.py build BATCH_OUTPUT INDEX      (BATCH_OUTPUT: of `hfspec batch`, with the texts kept)
       python examples/retrieval.py ask ARTIFACT INDEX QUERY...

Needs faiss: pip install faiss-cpu
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import faiss
import numpy as np
import pyarrow.parquet as pq

import hfspec


def build(output: Path, index: Path) -> None:
    """Put the embeddings of a batch's output into an index, with the fingerprint of their space beside it.

    Rows that could not be answered are left out.
    """
    manifest = json.loads((output / "_manifest.json").read_text(encoding="utf-8"))
    found, texts = None, []
    for part in manifest["parts"]:
        table = pq.read_table(output / part["file"], columns=["text", "embedding"])
        table = table.filter(table.column("embedding").is_valid())
        if table.num_rows:
            vectors = np.stack(table.column("embedding").to_numpy()).astype(np.float32)
            faiss.normalize_L2(vectors)
            found = faiss.IndexFlatIP(vectors.shape[1]) if found is None else found
            found.add(vectors)
            texts += table.column("text").to_pylist()
    index.mkdir(parents=True, exist_ok=True)
    faiss.write_index(found, str(index / "vectors.faiss"))
    about = {"fingerprint": manifest["fingerprint"], "texts": texts}
    (index / "about.json").write_text(json.dumps(about), encoding="utf-8")
    print(f"{found.ntotal} texts of the space {manifest['fingerprint'][:12]}")


def ask(artifact: Path, index: Path, queries: list[str]) -> None:
    """Print the nearest text to each query; a predictor of another space raises VerificationError before it loads."""
    about = json.loads((index / "about.json").read_text(encoding="utf-8"))
    predictor = hfspec.load(artifact, expect_fingerprint=about["fingerprint"])
    vectors = predictor.predict(queries).astype(np.float32)
    faiss.normalize_L2(vectors)
    scores, places = faiss.read_index(str(index / "vectors.faiss")).search(vectors, 1)
    for query, score, place in zip(queries, scores[:, 0], places[:, 0], strict=True):
        print(f"{query}: {about['texts'][place]} ({score:.2f})")


if __name__ == "__main__":
    verb, first, second, *rest = sys.argv[1:]
    if verb == "build":
        build(Path(first), Path(second))
    else:
        ask(Path(first), Path(second), rest)
