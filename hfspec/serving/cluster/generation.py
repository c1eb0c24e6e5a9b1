"""The replicas of one artifact as actors: the HTTP process asks Ray Serve, which chooses the actor."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ray import serve
from ray.exceptions import RayActorError, RayError
from ray.serve.exceptions import DeploymentUnavailableError, RayServeException, ReplicaUnavailableError
from ray.serve.schema import ApplicationStatus

from hfspec.integrity.verification import read_manifest
from hfspec.ir.artifact import Manifest
from hfspec.serving.cluster.deployment import FAILED, ModelActor
from hfspec.serving.fleet.values import FleetModel
from hfspec.serving.front.errors import RequestError
from hfspec.serving.front.generation import DiedError, FailedError, Log, State, Totals
from hfspec.serving.front.replica import config_of
from hfspec.serving.replica import wire
from hfspec.serving.replica.job import Form

DEPLOYMENT = "model"
LOOK, OFTEN = 1.0, 0.1  # seconds between two looks at the application, and before it is ready
PATIENCE = 30.0  # seconds after which the log says why a model is not ready
# Ray Serve registers modules for pickling, for the whole process, while it reads a deployment.
DEPLOYING = threading.Lock()
LOST = (RayActorError, ReplicaUnavailableError, DeploymentUnavailableError)  # a replica ended, or its node


def bound_model(entry: FleetModel, threads: int, grace: float, name: str) -> Any:
    """The deployment of an entry's replicas, as Ray Serve starts it by this name."""
    gpus, scaling = entry.gpus or 0, entry.autoscaling
    config = config_of(entry, threads)
    if gpus and entry.device is None:
        config["device"] = "cuda"
    options: dict[str, Any] = {"num_replicas": entry.replicas}
    if scaling is not None:
        options = {
            "autoscaling_config": {
                "min_replicas": scaling.min_replicas,
                "max_replicas": scaling.max_replicas,
                "target_ongoing_requests": scaling.requests,
                "upscale_delay_s": scaling.up_seconds,
                "downscale_delay_s": scaling.down_seconds,
            }
        }
    deployment = serve.deployment(
        ModelActor,
        name=name,
        user_config=config,
        ray_actor_options={"num_cpus": threads, "num_gpus": gpus},
        max_ongoing_requests=entry.limits.queue_rows,
        health_check_period_s=LOOK,
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=grace,
        max_constructor_retry_count=3,
        **options,
    )
    return deployment.bind(entry.limits.step_seconds, entry.limits.memory)


class Deployed(Protocol):
    """The deployment that Ray Serve starts for an entry."""

    def deploy(self, entry: FleetModel) -> Any:
        """Have it started; return a handle for requests."""

    def status(self) -> tuple[ApplicationStatus, str]:
        """Its status, and Ray Serve's message on it."""

    def delete(self) -> None:
        """End it, once its replicas' work is done."""


@dataclass(frozen=True, slots=True)
class Application:
    """An application of Ray Serve. ``grace``: seconds that its replicas have to end their work."""

    name: str
    threads: int
    grace: float

    def deploy(self, entry: FleetModel) -> Any:
        """Have Ray Serve start it; return a handle for requests."""
        with DEPLOYING:
            bound = bound_model(entry, self.threads, self.grace, DEPLOYMENT)
            target = serve.RunTarget(bound, name=self.name, route_prefix=None)
            return serve.run_many([target], wait_for_applications_running=False)[0]

    def status(self) -> tuple[ApplicationStatus, str]:
        """Its status, and Ray Serve's message on it."""
        application = serve.status().applications.get(self.name)
        if application is None:
            return ApplicationStatus.NOT_STARTED, ""
        messages = [application.message, *(deployment.message for deployment in application.deployments.values())]
        return application.status, "\n".join(filter(None, messages))

    def delete(self) -> None:
        """End it, once its replicas' work is done."""
        with suppress(RayServeException, TimeoutError):
            serve.delete(self.name)


@dataclass(slots=True)
class Report:
    """A replica as it was last seen. ``facts``: its report when it became ready; ``beat``: its latest one."""

    facts: dict[str, Any] = field(default_factory=dict)
    beat: dict[str, Any] = field(default_factory=dict)
    is_ready: bool = True


class Replicas:
    """The replicas of an entry's artifact."""

    def __init__(self, entry: FleetModel, application: Deployed, log: Log, totals: Totals) -> None:
        self.entry, self.application, self.log, self.totals = entry, application, log, totals
        self.manifest: Manifest = read_manifest(Path(entry.artifact))
        self.state, self.reason = State.LOADING, ""
        self._handle: Any = None
        self._reports: dict[str, Report] = {}
        self._first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._looking: asyncio.Task[None] | None = None

    @property
    def replicas(self) -> list[Report]:
        """The replicas that answered at the last look."""
        return list(self._reports.values())

    def start(self) -> None:
        """Have Ray Serve start them, and look at them from then on."""
        self._looking = asyncio.create_task(self._look())

    async def ready(self) -> None:
        """Wait until all have been ready once; raises FailedError."""
        await asyncio.shield(self._first)

    def choose(self) -> Replicas | None:
        """Itself, while Ray Serve has a replica to choose; else None."""
        return self if self.state is State.READY else None

    async def wait_for_one(self, seconds: float) -> Replicas | None:
        """As ``choose``, after a wait while replicas are started."""
        last = time.monotonic() + seconds
        while self.state is State.LOADING and time.monotonic() < last:
            await asyncio.sleep(OFTEN)
        return self.choose()

    async def stop(self, seconds: float) -> None:
        """End all replicas once their work is done."""
        self.state = State.UNLOADED
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await self._hear()
        await asyncio.to_thread(self.application.delete)
        for replica in self._reports.values():
            self.totals.count(replica.beat)
        self._reports = {}

    def facts(self) -> dict[str, Any]:
        """The report of a replica when it became ready."""
        return next((replica.facts for replica in self._reports.values()), {})

    async def answer(self, ask: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The whole answer, and its cost; raises RequestError, DiedError."""
        body = wire.body({**ask, "form": Form.WHOLE.value})
        response = self._handle.answer.remote(body)
        try:
            value, used = _read(await response)
        except LOST as error:
            raise DiedError from error
        except asyncio.CancelledError:
            response.cancel()
            raise
        return value, used

    async def pieces(self, ask: Mapping[str, Any], form: Form) -> AsyncIterator[Any]:
        """The pieces of an answer as they come, then its cost; raises the same."""
        responses = self._handle.options(stream=True).pieces.remote(wire.body(dict(ask), form.value))
        try:
            async for response in responses:
                yield _read(response)[0]
        except LOST as error:
            raise DiedError from error
        finally:
            responses.cancel()

    async def _look(self) -> None:
        """Deploy, then look at the application again and again."""
        start, is_told, message = time.monotonic(), False, ""
        try:
            self._handle = await asyncio.to_thread(self.application.deploy, self.entry)
        except (RayError, RayServeException, ValueError) as error:
            self._fail(f"Ray Serve does not take it: {str(error).strip()}")
            return
        while True:
            try:
                status, message = await asyncio.to_thread(self.application.status)
                await self._take(status, message)
            except (RayError, RayServeException, TimeoutError) as error:
                self.log("warning", f"the cluster does not say how {self.entry.name} is: {type(error).__name__}")
            if not self._first.done() and not is_told and time.monotonic() - start > PATIENCE:
                self.log("warning", f"{self.entry.name} is still not ready: {message or 'it is being deployed'}")
                is_told = True
            await asyncio.sleep(LOOK if self._first.done() else OFTEN)

    async def _take(self, status: ApplicationStatus, message: str) -> None:
        """Take the state from the application's status."""
        if status is ApplicationStatus.DEPLOY_FAILED:
            self._fail(_reason(message))
            return
        if self._handle is not None and status in {ApplicationStatus.RUNNING, ApplicationStatus.UNHEALTHY}:
            await self._hear()
        if status is ApplicationStatus.RUNNING:
            self.state, self.reason = State.READY, ""
            if not self._first.done() and self._reports:
                self._first.set_result(None)
        elif self._first.done() and not self._reports:
            self.state, self.reason = State.CRASHING, _reason(message)

    async def _hear(self) -> None:
        """Take each replica's report, and count the work of those that have ended in the totals."""
        if self._handle is None:
            return
        with suppress(RayError, RayServeException, TimeoutError):
            answers = await self._handle.broadcast("said").results_async(timeout_s=PATIENCE, return_exceptions=True)
            reports = [report for report in answers if isinstance(report, dict)]
            heard = {report["number"]: Report(report["facts"], report["beat"]) for report in reports}
            if len(reports) < len(answers):  # one does not answer: Ray Serve will say whether it has ended
                self._reports |= heard
                return
            for number in self._reports.keys() - heard.keys():
                self.totals.count(self._reports[number].beat)
                self.totals.restarts += len(self._reports) <= self._least
            self._reports = heard

    @property
    def _least(self) -> int:
        """How many replicas Ray Serve keeps at least."""
        scaling = self.entry.autoscaling
        return self.entry.replicas if scaling is None else scaling.min_replicas

    def _fail(self, reason: str) -> None:
        if not self._first.done():
            self.state, self.reason = State.FAILED, reason
            self._first.set_exception(FailedError(reason))
            self._first.exception()


def _read(body: bytes) -> list[Any]:
    """The values of an actor's answer; raises its RequestError."""
    kind, *values = wire.content(body)
    if kind == wire.ERROR:
        raise RequestError(**values[0])
    return values


def _reason(message: str) -> str:
    """Why replicas do not start: the error of loading the artifact, or else Ray Serve's whole message."""
    _, mark, rest = message.partition(FAILED)
    if mark:
        with suppress(ValueError):
            return str(json.JSONDecoder().raw_decode(rest)[0])
    return message.strip() or "Ray Serve does not say why"
