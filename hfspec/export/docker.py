"""A folder from which `docker build` makes an image that serves the artifact by `hfspec serve`, without root."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hfspec.artifact.yaml_text import to_yaml
from hfspec.errors import UsageError
from hfspec.export.facts import MIB, Facts
from hfspec.export.requirements import requirements
from hfspec.export.wheel import wheel, wheel_name
from hfspec.export.writing import Files
from hfspec.serving.fleet.values import ServerSettings

PORT = 8000
USER = "10001:10001"
ROOT = "/opt/hfspec"
KEYS = "HFSPEC_API_KEYS"  # the variable with the API keys
BASE = "python:{python}-slim-bookworm"
# Images of CUDA whose distribution has the version of Python.
CUDA = MappingProxyType({"3.11": "nvidia/cuda:12.9.1-base-ubuntu22.04", "3.12": "nvidia/cuda:12.9.1-base-ubuntu24.04"})
IMAGE = re.compile(
    r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?::[0-9]+)?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
ENVIRONMENT = MappingProxyType(
    {
        "PATH": f"{ROOT}/venv/bin:/usr/local/bin:/usr/bin:/bin",
        "HOME": "/tmp",  # noqa: S108 - the one folder of a container that can be written to
        "USER": "hfspec",
        "HF_HUB_OFFLINE": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
)
PLAIN = re.compile(r"[\w./-]+")
LAYERS = 64  # the most weight files that get a layer each; an image has at most 127 layers


@dataclass(frozen=True, slots=True)
class Options:
    """How the image is made. ``base``: another image to begin with. ``requirements``: a file with the packages."""

    base: str | None = None
    cuda: bool = False
    requirements: Path | None = None
    allow_anonymous: bool = False
    trust_remote_code: bool = False


def files(facts: Facts, options: Options) -> Files:
    """List the files of the folder.

    Args:
        facts: The artifact's facts.
        options: How the image is made.

    Returns:
        Path -> content.

    Raises:
        UsageError: For options that cannot be, and for an artifact that a container cannot have.
        SourceError: Pip does not find the packages.
    """
    base = _base(facts, options)
    check_code(facts, trust_remote_code=options.trust_remote_code)
    paths = {record.path for record in facts.weights}
    return {
        "Dockerfile": _dockerfile(facts, base, options),
        ".dockerignore": _dockerignore(),
        "compose.yaml": to_yaml(_compose(facts, options)),
        "fleet.yaml": to_yaml(_fleet(facts, options)),
        "requirements.txt": requirements(facts, options.requirements),
        wheel_name(): wheel(),
        **{f"weights/{path}" if path in paths else f"artifact/{path}": file for path, file in facts.under("").items()},
        "artifact/artifact.json": facts.folder / "artifact.json",
    }


def notes(_: Facts, options: Options) -> Iterator[str]:
    """Remarks on the image, each a sentence."""
    if options.base is None or "@" not in options.base:
        yield "the base is named by a tag, which can move; `docker buildx imagetools inspect` has the digest for --base"
    if options.allow_anonymous:
        yield "whoever reaches the port may use the model: it asks for no API key"


def check_code(facts: Facts, *, trust_remote_code: bool) -> None:
    """Raises UsageError where the artifact brings reviewed code, and nobody consents to run it."""
    if facts.manifest.code and not trust_remote_code:
        raise UsageError(
            f"{facts.folder} brings reviewed code that the server would run; give --trust-remote-code to consent to it"
        )


def _base(facts: Facts, options: Options) -> str:
    if options.cuda:
        facts.check_gpu("--cuda")
    if options.base is not None:
        match = IMAGE.fullmatch(options.base)
        if match is None:
            raise UsageError(f"--base {options.base!r} is no name of an image, such as python:3.11-slim@sha256:…")
        if match["tag"] == "latest" or (match["tag"] is None and match["digest"] is None):
            raise UsageError(f"--base {options.base} can be another image tomorrow; give a version or a digest with it")
        return options.base
    if not options.cuda:
        return BASE.format(python=facts.python)
    if facts.python not in CUDA:
        raise UsageError(
            f"--cuda has images for Python {', '.join(CUDA)}, and the artifact was planned for Python {facts.python};"
            " give a --base that has both"
        )
    return CUDA[facts.python]


def _dockerfile(facts: Facts, base: str, options: Options) -> str:
    python, place = f"python{facts.python}", f"{ROOT}/models/{facts.name}"
    health = f"import urllib.request as r; r.urlopen('http://127.0.0.1:{PORT}/ready', timeout=4)"
    return "\n".join(
        [
            f"# The model {facts.name}, artifact {facts.manifest.digest[:12]}, served by hfspec.",
            f"FROM {base} AS base",
            *(_distribution_python(python) if options.cuda and options.base is None else ()),
            "",
            "FROM base AS packages",
            "ARG PIP_INDEX_URL",
            "ARG PIP_EXTRA_INDEX_URL",
            f"WORKDIR {ROOT}/build",
            f"COPY {_list('requirements.txt', wheel_name(), './')}",
            f"RUN {python} -m venv {ROOT}/venv \\",
            f"    && {ROOT}/venv/bin/pip install --no-cache-dir --require-hashes -r requirements.txt \\",
            f"    && {ROOT}/venv/bin/pip install --no-cache-dir --no-deps ./{wheel_name()}",
            "",
            "FROM base",
            f"COPY --from=packages {_list(f'{ROOT}/venv', f'{ROOT}/venv')}",
            *(f"COPY {_list(source, target)}" for source, target in _weight_layers(facts, place)),
            f"COPY {_list('artifact/', f'{place}/')}",
            f"COPY {_list('fleet.yaml', f'{ROOT}/fleet.yaml')}",
            *_environment(options),
            f"WORKDIR {ROOT}",
            f"USER {USER}",
            f"EXPOSE {PORT}",
            "STOPSIGNAL SIGTERM",
            "HEALTHCHECK --interval=10s --timeout=5s --start-period=300s --retries=3 \\",
            f"    CMD {_list(f'{ROOT}/venv/bin/python', '-c', health)}",
            f"ENTRYPOINT {_list(f'{ROOT}/venv/bin/hfspec')}",
            f"CMD {_list('serve', f'{ROOT}/fleet.yaml')}",
            "",
        ]
    )


def _distribution_python(python: str) -> list[str]:
    return [
        "# The distribution keeps one version of it, which gets its fixes.",
        "# hadolint ignore=DL3008",
        "RUN apt-get update \\",
        f"    && apt-get install -y --no-install-recommends {python} {python}-venv \\",
        "    && rm -rf /var/lib/apt/lists/*",
    ]


def _environment(options: Options) -> list[str]:
    values = {**ENVIRONMENT, **({"NVIDIA_VISIBLE_DEVICES": "all"} if options.cuda else {})}
    first, *rest = (f"{name}={value}" for name, value in values.items())
    return [" \\\n    ".join([f"ENV {first}", *rest])]


def _weight_layers(facts: Facts, place: str) -> Iterator[tuple[str, str]]:
    """A layer for each weight file, largest first, so that a change of the rest moves none of them again."""
    if len(facts.weights) > LAYERS or not all(PLAIN.fullmatch(record.path) for record in facts.weights):
        yield "weights/", f"{place}/"
        return
    for record in sorted(facts.weights, key=lambda record: (-record.size, record.path)):
        yield f"weights/{record.path}", f"{place}/{record.path}"


def _list(*parts: str) -> str:
    return json.dumps(list(parts), ensure_ascii=False)


def _dockerignore() -> str:
    """The .dockerignore: the exported files alone go to the builder, and all of them, ``__pycache__`` folders too."""
    names = ("requirements.txt", wheel_name(), "fleet.yaml", "weights", "artifact")
    return "\n".join(["# Nothing but what the Dockerfile copies.", "*", *(f"!{name}" for name in names), ""])


def _fleet(facts: Facts, options: Options) -> dict[str, Any]:
    entry: dict[str, Any] = {"artifact": f"models/{facts.name}"}
    if options.cuda:
        entry["device"] = "cuda"
    if options.trust_remote_code and facts.manifest.code:
        entry["trust_remote_code"] = True
    access: dict[str, Any] = (
        {"allow_anonymous": True} if options.allow_anonymous else {"api_keys": {"environment": KEYS}}
    )
    return {
        "models": {facts.name: entry},
        "server": {"host": "0.0.0.0", "port": PORT, **access, "logs": {"format": "json"}},  # noqa: S104 - a container
    }


def _compose(facts: Facts, options: Options) -> dict[str, Any]:
    needed, most = (f"{count // MIB}m" for count in facts.memory)
    reserved: dict[str, Any] = {"memory": needed}
    if options.cuda:
        reserved["devices"] = [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]
    keys = {} if options.allow_anonymous else {KEYS: f"${{{KEYS}:?a list of API keys, see docs/fleet.md}}"}
    service: dict[str, Any] = {
        "image": f"hfspec/{facts.label}:{facts.manifest.digest[:12]}",
        "build": {"context": "."},
        "user": USER,
        "read_only": True,
        "tmpfs": ["/tmp:mode=1777"],  # noqa: S108 - a container's own
        "init": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "ports": [f"127.0.0.1:{PORT}:{PORT}"],
        **({"environment": keys} if keys else {}),
        "stop_grace_period": f"{int(ServerSettings().grace) + 10}s",
        "restart": "unless-stopped",
        "deploy": {"resources": {"limits": {"memory": most}, "reservations": reserved}},
    }
    return {"name": facts.label, "services": {facts.label: service}}
