"""What every test may ask for."""

from __future__ import annotations

import gc
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock

from tests.hub.server import Hub
from tests.interpreters import interpreters

if TYPE_CHECKING:
    from xdist.scheduler import LoadFileScheduling

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# One thread a process: the workers share the cores, and tiny models gain nothing from more.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The hub's client reads these when it is imported: the developer's own token and settings stay out of the tests.
os.environ["HF_TOKEN_PATH"] = os.devnull
for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
    os.environ.pop(name, None)

# A job in the background and nohup ignore these for all that they start; tests send them to commands.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


# A minute or more each, alone: begun first, so that no worker is left with one of them at the end.
LONGEST = [
    *("serving/test_ray", "specs/test_specs", "batch/test_spark_elsewhere", "serving/test_faults", "batch/test_ray"),
    "serving/test_reload",
    *("examples/test_examples", "runtime/media/test_speech_recognition", "runtime/test_host", "faults/test_table"),
    *("export/test_rayserve", "libraries/test_onnx_tasks", "interop/test_mlflow", "artifact/test_staging"),
]


# The tests here ask one server of many models, which takes half a minute to start.
ONE_SERVER = "tests/serving/"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, then those of the one server; the others keep their order."""
    order = {f"tests/{name}.py": number for number, name in enumerate(LONGEST)}

    def place(item: pytest.Item) -> int:
        file = item.nodeid.partition("::")[0]
        return order.get(file, len(order) + (not file.startswith(ONE_SERVER)))

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Files go to workers as a whole, and those of the one server to one worker, which starts it."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class OneServer(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            is_long = file.removeprefix("tests/").removesuffix(".py") in LONGEST
            return file if is_long or not file.startswith(ONE_SERVER) else ONE_SERVER

    return OneServer(config, log)


@pytest.fixture(scope="session", autouse=True)
def _few_imports() -> Iterator[None]:
    """Compiles try their predictor in a fork, and, without an example, try no input unless the test is about that."""
    from hfspec.artifact.trial import Trial

    with interpreters(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("hfspec.stages.emit.probe", lambda *_: Trial())
        yield


@pytest.fixture(autouse=True)
def _probes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiles without an example try an input in this test."""
    if request.node.get_closest_marker("probes") is not None:
        from hfspec.artifact.trial import probe

        monkeypatch.setattr("hfspec.stages.emit.probe", probe)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this test run, the same one in every worker process."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def checkpoint(shared_folder: Path) -> Callable[[str], Path]:
    """``checkpoint(name)``: the folder of a tiny checkpoint, made once a run. Never write into it: copy it."""
    from tests.checkpoints import make

    def get(name: str) -> Path:
        folder = shared_folder / "checkpoints" / name
        folder.parent.mkdir(exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                made = make(name, folder.with_name(f"{name}.partial"))
                made.rename(folder)
        return folder

    return get


@pytest.fixture
def own_copy(tmp_path: Path, checkpoint: Callable[[str], Path]) -> Callable[[str], Path]:
    """``own_copy(name)``: a copy of a tiny checkpoint that the test may break."""
    return lambda name: Path(shutil.copytree(checkpoint(name), tmp_path / "own" / name))


@pytest.fixture(scope="session")
def hub_server(checkpoint: Callable[[str], Path]) -> Iterator[Hub]:
    """A running hub with the tiny checkpoints under the names that the specs use."""
    from tests.hub.published import publish_all

    server = Hub()
    publish_all(server, checkpoint)
    yield server
    server.close()


@pytest.fixture
def hub(hub_server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """The hub, with no faults and an empty log, and an environment that makes it the only one: for code in this
    process that reads its environment when it runs, and for every subprocess. The cache is empty and this test's own.
    """
    from huggingface_hub import close_session

    close_session()  # connections that an earlier test's faults left half dead
    hub_server.forget()
    monkeypatch.setenv("HF_ENDPOINT", hub_server.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf-cache"))
    monkeypatch.setenv("HFSPEC_HUB_FIRST_WAIT", "0.01")
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return hub_server


@pytest.fixture
def only_new_objects() -> Iterator[None]:
    """The garbage collector looks through what the test makes, and not through all that the process holds, which takes
    a second and a half after some hundred tests.
    """
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def permissions_enforced() -> Iterator[None]:
    """File modes hold in this test, even for the superuser."""
    from tests.permissions import enforced

    with enforced():
        yield
