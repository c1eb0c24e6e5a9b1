"""export: artifacts as what docker, Kubernetes and other engines take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hfspec.cli.arguments import Folder
from hfspec.cli.progress import tell

Output = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="The folder to make.", show_default=False)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an export that lies there.")]
Anonymous = Annotated[bool, typer.Option("--allow-anonymous", help="Let whoever reaches the server use it.")]
Trust = Annotated[bool, typer.Option("--trust-remote-code", help="Let reviewed code that the artifact brings run.")]
export_app = typer.Typer(help="Write an artifact as what other tools deploy.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    export_app.command(short_help="A folder for `docker build`, and a compose file.")(docker)
    export_app.command(short_help="A ServingRuntime and an InferenceService.")(kserve)
    export_app.command(short_help="A RayService of a fleet file.")(rayserve)
    export_app.command(short_help="A folder and the command for vLLM.")(vllm)
    export_app.command(short_help="A folder and the command for Text Embeddings Inference.")(tei)
    export_app.command(short_help="A model repository for Triton.")(triton)
    app.add_typer(export_app, name="export")


def docker(
    folder: Folder,
    output: Output,
    base: Annotated[
        str | None, typer.Option(metavar="IMAGE", help="The image to begin with, with its digest.", show_default=False)
    ] = None,
    cuda: Annotated[bool, typer.Option("--cuda", help="Serve on a GPU, and begin with an image of CUDA.")] = False,
    requirements: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The packages with their hashes; by default pip is asked for them."),
    ] = None,
    allow_anonymous: Anonymous = False,
    trust_remote_code: Trust = False,
    overwrite: Overwrite = False,
) -> None:
    """Write a folder that `docker build` makes an image of, which serves the artifact without root.

    Weights have layers of their own; every byte of the artifact is verified when the container starts.
    """
    from hfspec.export.docker import Options

    _export("docker", folder, output, Options(base, cuda, requirements, allow_anonymous, trust_remote_code), overwrite)


def kserve(
    folder: Folder,
    output: Output,
    image: Annotated[str, typer.Option(metavar="IMAGE", help="The image that `export docker` made.")],
    storage_uri: Annotated[
        str,
        typer.Option("--storage-uri", metavar="URI", help="Where the artifact lies: s3://, gs://, pvc://, oci:// …"),
    ],
    namespace: Annotated[str | None, typer.Option(help="Where it is deployed; by default where kubectl does.")] = None,
    min_replicas: Annotated[int, typer.Option("--min-replicas", help="Replicas that there are at least.")] = 1,
    max_replicas: Annotated[int, typer.Option("--max-replicas", help="Replicas that there are at most.")] = 4,
    queue_rows: Annotated[
        int, typer.Option("--queue-rows", help="Rows that may wait for each replica before there is another.")
    ] = 16,
    prometheus: Annotated[
        str | None, typer.Option(metavar="URL", help="Which Prometheus KEDA asks.", show_default=False)
    ] = None,
    gpu: Annotated[
        bool | None,
        typer.Option("--gpu/--no-gpu", help="A GPU for each replica; by default where the model needs one."),
    ] = None,
    allow_anonymous: Anonymous = False,
    trust_remote_code: Trust = False,
    overwrite: Overwrite = False,
) -> None:
    """Write a ServingRuntime that is `hfspec serve`, and an InferenceService of the artifact."""
    from hfspec.export.kserve import PROMETHEUS, Options

    options = Options(
        image=image,
        storage_uri=storage_uri,
        namespace=namespace,
        min_replicas=min_replicas,
        max_replicas=max_replicas,
        queue_rows=queue_rows,
        prometheus=prometheus or PROMETHEUS,
        gpu=gpu,
        allow_anonymous=allow_anonymous,
        trust_remote_code=trust_remote_code,
    )
    _export("kserve", folder, output, options, overwrite)


def rayserve(
    fleet: Annotated[Path, typer.Argument(metavar="FLEET", help="A fleet file, or an artifact's folder.")],
    output: Output,
    image: Annotated[str, typer.Option(metavar="IMAGE", help="One with Ray, hfspec and the artifacts.")],
    models: Annotated[
        str, typer.Option(metavar="FOLDER", help="Where the image has the artifacts, each under its model's name.")
    ] = "/opt/hfspec/models",
    ray_version: Annotated[
        str | None, typer.Option("--ray-version", metavar="VERSION", help="The image's Ray.", show_default=False)
    ] = None,
    namespace: Annotated[str | None, typer.Option(help="Where it is deployed; by default where kubectl does.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a RayService whose application is the fleet, answered by Ray Serve's own HTTP proxies."""
    from hfspec.export.exporting import export_fleet
    from hfspec.export.rayserve import RAY, Options

    options = Options(image, models, ray_version or RAY, namespace)
    for note in export_fleet(fleet, output, options, overwrite=overwrite):
        tell(f"note: {note}")
    print(output)


def vllm(folder: Folder, output: Output, overwrite: Overwrite = False) -> None:
    """Write a folder that vLLM serves: the model, its chat template, its adapter, and the command with its settings.

    What vLLM cannot express is listed, and nothing is written.
    """
    from hfspec.export.engines import Options

    _export("vllm", folder, output, Options(), overwrite)


def tei(folder: Folder, output: Output, overwrite: Overwrite = False) -> None:
    """Write a folder that Text Embeddings Inference serves: the model, and the command with its settings.

    What it cannot express is listed, and nothing is written.
    """
    from hfspec.export.engines import Options

    _export("tei", folder, output, Options(), overwrite)


def triton(
    folder: Folder,
    output: Output,
    max_batch_size: Annotated[int, typer.Option("--max-batch-size", help="Rows of one batch at most.")] = 64,
    gpu: Annotated[
        bool | None, typer.Option("--gpu/--no-gpu", help="A GPU for the model; by default where it needs one.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a model repository for Triton: the python backend around the artifact's predictor."""
    from hfspec.export.triton import Options

    _export("triton", folder, output, Options(max_batch_size, gpu), overwrite)


def _export(target: str, folder: Path, output: Path, options: Any, overwrite: bool) -> None:
    from hfspec.export.exporting import export

    for note in export(target, folder, output, options, overwrite=overwrite):
        tell(f"note: {note}")
    print(output)
