"""Where a job is worked on, and where it stops by itself; light, for the spec."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from engine.types import Options


class Workers(Options):
    """How many workers. ``max`` None: one per core on this machine, 4 on a cluster."""

    min: Annotated[int, Field(ge=0)] = 0
    """Workers that are kept even when idle."""
    max: Annotated[int, Field(ge=1)] | None = None
    """The most workers at once; None: one per core on this machine, 4 on a cluster."""

    @model_validator(mode="after")
    def _ordered(self) -> Workers:
        if self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is more than max {self.max}; raise max or lower min")
        return self


class ComputeOptions(Options):
    """Where tiles are worked on."""

    address: str | None = None
    """Ray cluster: ``http://head:8265`` hands the job over to it; ``auto`` joins the Ray of this machine."""
    dask_address: str | None = None
    """Dask scheduler for the cube stage; None starts one beside the driver."""
    workers: Workers = Workers()
    """How many workers there are at once."""
    cpus_per_worker: Annotated[float, Field(gt=0)] = 1
    """Processor cores that each worker reserves."""
    gpus_per_worker: Annotated[float, Field(ge=0)] = 0
    """GPUs that each worker reserves, or a share of one; 0 computes without."""
    bytes_in_flight: Annotated[int, Field(ge=1_000_000)] | None = None
    """Projected bytes of all tiles under way; None: half of this machine's free memory, 2 GB per worker elsewhere."""
    retries: Annotated[int, Field(ge=0)] = 2
    """Of an error nobody foresaw; what passes by itself is retried without limit."""
    in_process: bool = False
    """Tiles one after the other in the driver itself, for looking closely."""


class BudgetOptions(Options):
    """Where the run stops by itself; what is committed stays and ``resume`` goes on."""

    max_hours: Annotated[float, Field(gt=0)] | None = None
    """Hours after which the run stops; None: no limit."""
    max_cost: Annotated[float, Field(gt=0)] | None = None
    """Cost after which the run stops, by worker_cost_per_hour; None: no limit."""
    worker_cost_per_hour: Annotated[float, Field(ge=0)] = 0.05
    """Assumed price of one worker for an hour, in the currency of ``max_cost``."""
