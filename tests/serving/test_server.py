"""The server as a process: it becomes ready, and answers as predict does."""

from __future__ import annotations

import hfspec


def test_the_server_is_ready_and_answers(served):
    assert served.get("/ready").json()["ready"]
    answer = served.post("/models/sentiment/predict", {"inputs": ["good", "bad"]}).json()["predictions"]
    wanted = hfspec.load(served.artifacts["sentiment"]).predict(["good", "bad"])
    assert [row["label"] for row in answer] == wanted["label"].tolist()
