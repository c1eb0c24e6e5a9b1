"""Keys of documents for processes that have a model, on this machine or a cluster: the fleet file, the batch file."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BeforeValidator, Field

from hfspec.ir.spec_keys import Frozen, integral

Replicas: TypeAlias = Annotated[int, Field(ge=1, le=1024), BeforeValidator(integral)]
Gpus: TypeAlias = Annotated[float, Field(ge=0, le=1024, allow_inf_nan=False)]


class Bounds(Frozen):
    """Between which bounds a cluster adds and removes replicas."""

    min_replicas: Replicas = Field(default=1, description="Replicas that there are at least.")
    max_replicas: Replicas = Field(description="Replicas that there are at most.")
