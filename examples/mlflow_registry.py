"""Experiment and registry, as MLflow's tutorials tell them: log an artifact, name a champion, load it by that name.

Usage: python examples/mlflow_registry.py [SPEC]

The server is the one that MLFLOW_TRACKING_URI names; without it a database in a temporary folder. Needs hfspec[mlflow].
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import mlflow

import hfspec
from hfspec.integrity.verification import examine
from hfspec.interop.mlflow.account import account_of
from hfspec.interop.mlflow.log import Names, log
from hfspec.interop.mlflow.pull import pull

SPEC = Path(__file__).parent.parent / "specs" / "minilm.yaml"
SENTENCES = ["I enjoy pies of both apple and cherry.", "I prefer cookies."]


def main(spec: Path) -> None:
    """Print what is logged, what the champion answers in MLflow, and that the pulled artifact is the compiled one."""
    with tempfile.TemporaryDirectory() as folder:
        server = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder}/mlflow.db"
        mlflow.set_tracking_uri(server)
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            mlflow.create_experiment("Introduction", artifact_location=(Path(folder) / "store").as_uri())
        artifact = hfspec.compile(spec, output=Path(folder) / "artifact")

        verified = examine(artifact.path)
        account = account_of(verified, files={})
        names = Names(server, experiment="Introduction", register=artifact.manifest.name, alias="champion")
        logged = log(verified, account, names)
        print(f"{len(account.params)} params; metrics: {', '.join(account.metrics)}")
        print(*logged.lines(), sep="\n")

        champion = f"models:/{logged.name}@champion"
        model = mlflow.pyfunc.load_model(champion)  # what `mlflow models serve -m models:/NAME@champion` serves
        answers = model.predict(SENTENCES)
        print(f"{champion} answers {len(answers)} sentences")

        pulled = pull(champion, Path(folder) / "pulled", server)
        print(f"pulled and verified: {pulled.digest == artifact.digest}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else SPEC)
