"""All models of a server, by their names."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator

from hfspec.serving.fleet.values import Fleet, FleetModel
from hfspec.serving.front.errors import RequestError
from hfspec.serving.front.generation import Engine, FailedError, Log, State
from hfspec.serving.front.model import Model
from hfspec.serving.front.processes import Local


class Models:
    """``fleet``: the present fleet; ``again``: reads it anew; ``engine``: starts replicas; ``fault``: why the last
    reload did not take the whole fleet.
    """

    def __init__(
        self, fleet: Fleet, log: Log, again: Callable[[], Fleet] | None = None, engine: Engine | None = None
    ) -> None:
        self.fleet, self.again, self.fault = fleet, again, ""
        self._engine = engine or Local()
        self._loading = asyncio.Lock()
        self._log = log
        self._models: dict[str, Model] = {}
        for entry in fleet.models:
            self._models[entry.name] = Model(entry, log, self._engine)

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    @property
    def is_ready(self) -> bool:
        """Whether every model answers, but for models that somebody unloaded."""
        return all(model.is_ready for model in self if model.state is not State.UNLOADED)

    def find(self, name: str | None) -> Model:
        """The model of this name or alias; the only one where no name is given. Raises RequestError (404, 400)."""
        if name is None:
            if len(self._models) == 1:
                return next(iter(self))
            raise RequestError(400, f"say which model: {', '.join(self._models)}.", "ModelError")
        for model in self:
            if name in model.entry.names:
                return model
        raise _unknown(name, self._models)

    async def start(self) -> None:
        """Load all models; raises FailedError naming the first that cannot be loaded."""
        threads = self._engine.threads(self.fleet)

        async def loaded(model: Model) -> None:
            try:
                await model.start(threads(model.entry))
            except FailedError as error:
                raise FailedError(f"{model.name}: {error}") from error
            self._log("info", f"{model.name} is ready")

        await asyncio.gather(*map(loaded, self))

    async def reload(self, fleet: Fleet, grace: float) -> list[str]:
        """Take another fleet: new models are loaded, changed ones replaced, others unloaded. A model that fails leaves
        the one before it; returns why, one sentence a model.
        """
        failed = []
        names = {entry.name for entry in fleet.models}
        async with self._loading:
            for entry in fleet.models:
                try:
                    await self._load(entry, fleet, grace)
                except FailedError as error:
                    failed.append(f"{entry.name}: {error}")
            for name in [name for name in self._models if name not in names]:
                await self._models.pop(name).unload(grace)
            self.fleet, self.fault = fleet, "; ".join(failed)
        return failed

    async def _load(self, entry: FleetModel, fleet: Fleet, grace: float) -> None:
        """Load the entry's artifact, beside the one that answers under its name; raises FailedError."""
        model = self._models.get(entry.name) or Model(entry, self._log, self._engine)
        await model.replace(entry, self._engine.threads(fleet)(entry), grace)
        self._models[entry.name] = model
        self._log("info", f"{entry.name} answers from {entry.artifact}")

    async def load_again(self, name: str, grace: float) -> None:
        """Read the fleet anew, and load the model of this name as its entry now says.

        Raises RequestError: 404 where the fleet has no such model, 400 where it cannot be loaded; HfspecError.
        """
        fleet = self.fleet if self.again is None else await asyncio.to_thread(self.again)
        entry = fleet.model(name)
        if entry is None:
            raise _unknown(name, (entry.name for entry in fleet.models))
        try:
            async with self._loading:  # two callers that load a new model at once would each make one
                await self._load(entry, fleet, grace)
        except FailedError as error:
            self._log("error", f"not loaded, what was there goes on: {entry.name}: {error}")
            raise RequestError(400, f"{entry.name} cannot be loaded: {error}", "LoadError") from error

    async def stop(self, grace: float) -> None:
        """End all replicas."""
        await asyncio.gather(*(model.unload(grace) for model in self))


def _unknown(name: str, names: Iterable[str]) -> RequestError:
    return RequestError(404, f"there is no model {name!r}; there are: {', '.join(names)}.", "ModelError")
