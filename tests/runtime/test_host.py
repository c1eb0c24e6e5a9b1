"""A load leaves the process that it happens in as it was: other imports, threads, forks, warnings and torch's modes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import pytest
import torch

import hfspec
from tests.runtime.texts import close

LONGEST = 600  # seconds, for what hangs where it fails
TEXTS = ["a fine film", "the house on the hill was sold", "no film at all"]


def run(program: str, *arguments: object, **environment: str) -> list[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=LONGEST, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


IMPORTING = """
import importlib, sys, threading
import torch  # two threads that import torch itself for the first time crash without hfspec too
import hfspec
folder, *names = sys.argv[1:]
go, wrong, answers = threading.Barrier(2 + len(names)), [], []
def load():
    go.wait()
    answers.append(hfspec.load(folder).predict_json(["a fine film"]))
def bring(name):
    go.wait()
    importlib.import_module(name)
def kept(work, *given):
    try:
        work(*given)
    except BaseException as error:
        wrong.append(f"{given}: {error!r}")
threads = [threading.Thread(target=kept, args=(load,)) for _ in range(2)]
threads += [threading.Thread(target=kept, args=(bring, name)) for name in names]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not wrong, wrong
assert answers[0] == answers[1]
import torch, torch._dynamo, torch.distributed.tensor, scipy.optimize
from importlib.util import find_spec
from transformers import utils
from transformers.generation import candidate_generator
print(torch.distributed.is_available(), utils.is_scipy_available(), candidate_generator.is_sklearn_available())
print(isinstance(torch.ones(1), torch.distributed.tensor.DTensor), callable(scipy.optimize.linear_sum_assignment))
print(torch.compile(lambda x: x + x, backend="eager")(torch.ones(2)).tolist(), torch._dynamo.is_compiling())
"""


@pytest.mark.parametrize(
    "names",
    [
        ("torch._dynamo", "torch.distributed.tensor", "scipy.optimize", "accelerate"),
        ("scipy.optimize._lsap", "torch._dynamo.config", "torch.distributed.tensor._utils", "sklearn.metrics"),
    ],
    ids=["packages", "their modules"],
)
def test_threads_may_load_while_others_import(artifact, names):
    """None waits for another for good, and the process is told the truth of what is installed afterwards."""
    for name in names:
        pytest.importorskip(name.partition(".")[0])
    assert run(IMPORTING, artifact("bert-sentiment"), *names) == ["True True True", "False True", "[2.0, 2.0] False"]


LEFT = """
import gc, json, logging, os, sys, warnings
import pandas, torch, transformers
import hfspec
warnings.filterwarnings("error", message="never said")
transformers.utils.logging.set_verbosity_info()
torch._dynamo
filters = list(warnings.filters)  # imports add their own
def state():
    library = logging.getLogger("transformers")
    return {
        "garbage": gc.get_threshold(), "finders": list(map(repr, sys.meta_path)),
        "warnings": [one for one in warnings.filters if one in filters],
        "level": library.level, "handlers": [(repr(handler), handler.filters) for handler in library.handlers],
        "bars": transformers.utils.logging.is_progress_bar_enabled(), "threads": torch.get_num_threads(),
        "environment": dict(os.environ), "grad": torch.is_grad_enabled(), "dtype": str(torch.get_default_dtype()),
        "random": torch.initial_seed(), "hook": repr(sys.excepthook), "marks": torch.compiler.disable.__module__,
    }
before = state()
for folder in sys.argv[1:]:
    hfspec.load(folder).predict(["a fine film"])
after = state()
changed = {name for name in before if before[name] != after[name]}
assert not changed, {name: (before[name], after[name]) for name in changed}
doubled = torch.compile(lambda x: x + x, backend="eager")(torch.ones(2)).tolist()
print(doubled)
"""


def test_loads_and_calls_leave_the_process_as_it_was(artifact):
    assert run(LEFT, artifact("bert-sentiment"), artifact("gpt2")) == ["[2.0, 2.0]"]


MEANWHILE = """
import json, logging, sys, threading, warnings
import transformers
import hfspec
heard, seen = [], []
class Keep(logging.Handler):
    def emit(self, record): heard.append(record.getMessage())
library = logging.getLogger("transformers")
library.addHandler(Keep())
warnings.showwarning = lambda message, *_: seen.append(str(message))
warnings.simplefilter("always")
going, told = threading.Event(), []
def speak():
    while not going.is_set():
        told.append(len(told))
        library.warning("of the host's %d", told[-1])
        warnings.warn(f"of the host's {told[-1]}", stacklevel=1)
        going.wait(0.01)
thread = threading.Thread(target=speak); thread.start()
for _ in range(2): hfspec.load(sys.argv[1])
going.set(); thread.join()
wanted = [f"of the host's {number}" for number in told]
print(len(told) > 3, [text for text in heard if "host" in text] == wanted, [t for t in seen if "host" in t] == wanted)
"""


def test_what_other_threads_say_during_a_load_is_heard(artifact):
    assert run(MEANWHILE, artifact("bert-sentiment")) == ["True True True"]


FORKED = """
import json, os, sys
import hfspec
folder, texts = sys.argv[1], json.loads(sys.argv[2])
predictor = hfspec.load(folder)
expected = predictor.predict_json(texts)
for _ in range(2):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            try:
                predictor.predict(texts)
            except hfspec.UsageError as error:
                assert "spawn" in str(error)
            try:
                hfspec.load(folder, threads=2)
            except hfspec.UsageError as error:
                assert "forked" in str(error)
                found = hfspec.load(folder).predict_json(texts)
                code = 0 if [row["label"] for row in found] == [row["label"] for row in expected] else 3
        finally:
            os._exit(code)
    print(os.waitpid(child, 0)[1])
print(predictor.predict_json(texts) == expected)
"""


def test_a_forked_child_of_a_process_with_a_loaded_model_loads_its_own(artifact):
    """Whose threads do not live on: a pass over several would hang."""
    ran = run(FORKED, artifact("bert-sentiment"), json.dumps(TEXTS * 200), OMP_NUM_THREADS="2")
    assert ran == ["0", "0", "True"]


SPAWNED = """
import json, sys
from multiprocessing import get_context
import hfspec

def answer(folder, texts):
    return hfspec.load(folder).predict_json(texts)

if __name__ == "__main__":
    folder, texts = sys.argv[1], json.loads(sys.argv[2])
    predictor = hfspec.load(folder)
    with get_context("spawn").Pool(2) as pool:
        found = pool.starmap(answer, [(folder, texts)] * 2, chunksize=1)
    print(all(one == predictor.predict_json(texts) for one in found))
"""


def test_spawned_children_of_a_process_with_a_loaded_model_load_their_own(artifact, tmp_path):
    script = tmp_path / "spawned.py"
    script.write_text(SPAWNED, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script), str(artifact("bert-sentiment")), json.dumps(TEXTS)],
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST,
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


@pytest.mark.parametrize("backend", ["torch", "onednn"])
@pytest.mark.parametrize("name", ["bert-sentiment", "gpt2", "minilm-like", "ce-msmarco"])
def test_a_model_loaded_in_inference_mode_answers_every_call(artifact, name, backend):
    """Changes of weights that are made in inference mode are not counted, and must not be asked for."""
    data = [("a fine film", text) for text in TEXTS] if name == "ce-msmarco" else TEXTS
    expected = hfspec.load(artifact(name), backend=backend).predict_json(data)
    with torch.inference_mode():
        predictor = hfspec.load(artifact(name), backend=backend)
        inside = [predictor.predict_json(data) for _ in range(20)]
    for answer in (*inside, predictor.predict_json(data)):
        assert answer == close(expected)


@pytest.mark.parametrize("name", ["bert-sentiment", "gpt2"])
def test_weights_that_were_given_in_inference_mode_answer_every_call(artifact, name):
    """The same of those that somebody else puts in later."""
    predictor = hfspec.load(artifact(name), backend="onednn")
    expected = predictor.predict_json(TEXTS)
    model = predictor.components()["model"]
    with torch.inference_mode():
        for module in model.modules():
            for key, weight in list(module._parameters.items()):
                if weight is not None:
                    module._parameters[key] = torch.nn.Parameter(weight.clone(), requires_grad=False)
    for _ in range(20):
        assert predictor.predict_json(TEXTS) == close(expected)


APPLICATION = """
import json, os, threading
import hfspec

FOLDER = os.environ["ARTIFACT"]
MASTER = hfspec.load(FOLDER)  # as --preload does, in the process that the workers are forked from
MASTER.predict(["a fine film"] * 100)
loaded, turn = {}, threading.Lock()

def application(environ, start_response):
    with turn:
        if os.getpid() not in loaded:
            loaded[os.getpid()] = hfspec.load(FOLDER)
    texts = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    body = json.dumps({"process": os.getpid(), "answer": loaded[os.getpid()].predict_json(texts)}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
"""


def test_gunicorn_with_a_preloaded_application_answers_from_two_workers(artifact, tmp_path):
    pytest.importorskip("gunicorn")
    (tmp_path / "served.py").write_text(APPLICATION, encoding="utf-8")
    bound = tmp_path / "socket"
    options = ["--preload", "--workers", "2", "--threads", "1", "--timeout", str(LONGEST), "--bind", f"unix:{bound}"]
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", *options, "served:application"],
        cwd=tmp_path,
        env={**os.environ, "ARTIFACT": str(artifact("bert-sentiment")), "OMP_NUM_THREADS": "2"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: asked(bound, TEXTS), range(16)))
    finally:
        server.terminate()
        said = server.communicate(timeout=LONGEST)[1]
    assert len({answer["process"] for answer in found}) == 2, said
    expected = hfspec.load(artifact("bert-sentiment")).predict_json(TEXTS)
    for answer in found:
        assert answer["answer"] == close(expected)


def asked(path, texts):
    """What a server behind a socket answers, once it is there."""
    until = time.monotonic() + LONGEST
    while True:
        try:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(LONGEST)
                line.connect(str(path))
                connection = HTTPConnection("localhost")
                connection.sock = line
                connection.request("POST", "/", json.dumps(texts))
                return json.loads(connection.getresponse().read())
        except (FileNotFoundError, ConnectionRefusedError):
            assert time.monotonic() < until, "the server does not come up"
            time.sleep(0.2)
