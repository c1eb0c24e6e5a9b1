"""A Dockerfile's own steps, done by hand: each stage a folder, COPY and RUN as they are written."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = "/opt/hfspec"


@dataclass
class Image:
    """What is left of a Dockerfile's last stage. ``folder`` stands for ROOT in it."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    user: str = ""


def build(context: Path, folder: Path) -> Image:
    """Build in ``folder`` what ``docker build context`` would build in ROOT."""
    text = (context / "Dockerfile").read_text().replace("\\\n", " ").replace(ROOT, str(folder))
    text = re.sub(r"\bpython3\.\d+\b(?! AS)", sys.executable, text) if "FROM python" in text else text
    image = Image(folder)
    work = folder
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        if word == "WORKDIR":
            work = Path(rest)
            work.mkdir(parents=True, exist_ok=True)
        elif word == "COPY" and not rest.startswith("--from"):
            *sources, target = json.loads(rest)
            for source in sources:
                _copy(context / source, work / target, is_folder=target.endswith("/"))
        elif word == "RUN":
            subprocess.run(["sh", "-c", rest], cwd=work, check=True, timeout=120, capture_output=True)
            _overlay(folder)
        elif word == "ENV":
            image.environment |= dict(part.split("=", 1) for part in rest.split())
        elif word == "HEALTHCHECK":
            image.health = json.loads(rest[rest.index("[") :])
        elif word in {"ENTRYPOINT", "CMD"}:
            setattr(image, {"ENTRYPOINT": "entrypoint", "CMD": "command"}[word], json.loads(rest))
        elif word == "USER":
            image.user = rest
    return image


def _copy(source: Path, target: Path, *, is_folder: bool) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
        return
    place = target / source.name if is_folder else target
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, place)


def _overlay(folder: Path) -> None:
    """The packages were installed without content: what they hold is this environment's."""
    site = next((folder / "venv" / "lib").glob("python*/site-packages"))
    found = [path for path in sys.path if path.endswith("site-packages")]
    (site / "overlay.pth").write_text("".join(f"{path}\n" for path in found))
