"""Ray, seen from a job: joining a cluster, starting one on this machine, or giving the whole run to one as a job."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from engine.errors import InfrastructureError
from engine.objects import absolute
from jobs.spec import Spec

RAY_SETTINGS = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # a Ray of our own listens on loopback only
    "RAY_worker_niceness": "0",
    "RAY_idle_worker_killing_time_threshold_ms": "600000",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "1",
    "NUMBA_NUM_THREADS": "1",
}


def is_remote(spec: Spec) -> bool:
    """Whether the whole run is handed over to a cluster as a job."""
    return bool(spec.compute.address and spec.compute.address.startswith("http"))


def joins_cluster(spec: Spec) -> bool:
    """Whether the map stage runs on a Ray that is there already, rather than on one of our own."""
    return not spec.compute.in_process and (spec.compute.address is not None or "RAY_ADDRESS" in os.environ)


@contextmanager
def connected(spec: Spec) -> Iterator[None]:
    """Ray for the block: the cluster this process runs in, or one of our own on this machine."""
    if spec.compute.in_process:
        yield
        return
    for name, value in RAY_SETTINGS.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield
        return
    try:
        with _signals_kept():
            _join_or_start(spec)
    except Exception as error:  # Ray raises nothing more particular when a process of its own fails to start
        address = spec.compute.address
        raise InfrastructureError(
            f"no Ray: {error}",
            place=f"compute.address {address}" if address else "Ray on this machine",
            remedy=f"check it with tilth doctor, then: tilth resume {spec.output.uri}",
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _join_or_start(spec: Spec) -> None:
    """Join the cluster that the spec or the environment names, or start a Ray of our own."""
    import ray

    address = spec.compute.address
    if joins_cluster(spec):
        joined = address if address and not address.startswith("http") else "auto"
        ray.init(address=joined, log_to_driver=False, logging_level=logging.ERROR)
        return
    for last in (False, True):  # Ray gives its own processes 30 s to start, which a busy machine may exceed once
        try:
            ray.init(
                address="local",  # never a Ray that somebody else has started on this machine
                num_cpus=max(1, round(spec.most_workers() * spec.compute.cpus_per_worker)),
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                object_store_memory=200_000_000,
            )
            return
        except Exception as error:
            ray.shutdown()
            if last or "timed out" not in str(error):
                raise


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself, and ends the process on it: give it back to whoever drains the run."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def hand_over(spec: Spec, changes: Sequence[str] = ()) -> str:
    """Give a pinned run to a Ray cluster as a job; returns the job's id. The job is a ``resume`` of the pinned plan.

    ``changes``: to compute and budget, for this job alone.
    """
    words = ["resume", absolute(spec.output.uri), "--inside"]
    words += [word for change in changes for word in ("--set", change)]
    address = str(spec.compute.address)
    return start_job(address, "jobs", words, place=f"compute.address {address}")


def start_job(address: str, module: str, words: Sequence[str], *, place: str) -> str:
    """Have a Ray cluster run a module of ours as a job, with these arguments; returns the job's id."""
    from ray.job_submission import JobSubmissionClient

    command = [Path(sys.executable).name, "-m", module, *words]
    try:
        return str(JobSubmissionClient(address).submit_job(entrypoint=shlex.join(command)))
    except (ConnectionError, RuntimeError, OSError) as error:
        raise InfrastructureError(
            f"the cluster does not take the job: {error}",
            place=place,
            remedy="check the address (http://head:8265) and that the dashboard runs",
        ) from error
