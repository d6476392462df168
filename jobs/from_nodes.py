"""A store, and Tilth itself, as every node of a Ray cluster sees them: tried there by one small job."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import PurePosixPath
from typing import Any

from engine.errors import TilthError
from engine.objects import absolute
from jobs.cluster import start_job
from jobs.ended import without_secrets
from jobs.findings import Finding, first_line, placed
from jobs.node_check import LEFT
from jobs.reach import own_folder

WAIT_S = 90.0
_POLL_S = 0.5
_UNDER_WAY = ("PENDING", "RUNNING")
_JOB = "cluster: job that asks the nodes"
_ANSWER = '{"node":'
"""How the job's lines begin that hold what a node said."""


def tried_from_nodes(address: str, nodes: Mapping[str, str], store: str | None, reached: bool) -> Iterator[Finding]:
    """Tilth's version on each living node and, where a store is given, whether it can be worked with from there.

    ``nodes``: names by Ray's id; ``reached``: whether the store can be written from here. Ends within ``WAIT_S`` and
    what a request takes; a job that is not over by then is stopped.
    """
    rows: dict[str, dict[str, Any]] = {}
    try:
        with _words(store, reached) as words:
            rows, trouble = _asked(address, words)
    except TilthError as error:
        trouble = Finding(_JOB, False, placed(error), error.remedy)
    except Exception as error:  # Ray's client raises many kinds
        trouble = Finding(_JOB, False, first_line(error), "check that the dashboard runs, and takes jobs")
    if trouble is not None:
        yield trouble
    for node, name in _told_apart(nodes).items():
        row = rows.get(node, {"failed": "no answer"})
        if "failed" not in row:
            yield from _of_node(name, row, store)
        elif rows or trouble is None:
            yield Finding(
                f"cluster: node {name}", False, row["failed"], "look at the node: its memory, its raylet's log"
            )


@contextmanager
def _words(store: str | None, reached: bool) -> Iterator[list[str]]:
    """The job's arguments; what is left below the store for the nodes to find lies there for the block."""
    if store is None:
        yield []
    elif not reached:
        yield ["--store", absolute(store)]
    else:
        with own_folder(absolute(store), LEFT) as folder:
            yield ["--store", absolute(store), "--folder", PurePosixPath(folder.uri).name]


def _asked(address: str, words: Sequence[str]) -> tuple[dict[str, dict[str, Any]], Finding | None]:
    """What the nodes said, by Ray's id; a finding where the job failed or was not over in time."""
    from ray.job_submission import JobSubmissionClient

    job = start_job(address, "jobs.node_check", words, place=address)
    client = JobSubmissionClient(address)
    until = time.monotonic() + WAIT_S
    try:
        while client.get_job_status(job).value in _UNDER_WAY and time.monotonic() < until:
            time.sleep(_POLL_S)
        info = client.get_job_info(job)
        log = client.get_job_logs(job).splitlines()
    finally:
        with suppress(RuntimeError, ConnectionError):  # one that is over already
            client.stop_job(job)
    answers = [line for line in log if line.startswith(_ANSWER)]
    rows = {row["node"]: row for row in map(json.loads, answers)}
    if info.status.value == "SUCCEEDED":
        return rows, None
    if info.status.value in _UNDER_WAY:
        told = f"{job} was not over within {WAIT_S:g} s, and is stopped"
        return rows, Finding(_JOB, False, told, "look whether jobs start there: ray job list, ray status")
    said = [line for line in log if line.strip() and not line.startswith(_ANSWER)] or (info.message or "").splitlines()
    told = f"{job} ended as {info.status.value}: {without_secrets(said[-1].strip() if said else 'no word why')}"
    remedy = f"is tilth {version('tilth')} installed on the head? ray job logs {job} --address {address} tells more"
    return rows, Finding(_JOB, False, told, remedy)


def _told_apart(nodes: Mapping[str, str]) -> dict[str, str]:
    """Names by id, with the beginning of the id where nodes share a name."""
    count = Counter(nodes.values())
    return {node: name if count[name] == 1 else f"{name} ({node[:8]})" for node, name in nodes.items()}


def _of_node(name: str, row: Mapping[str, Any], store: str | None) -> Iterator[Finding]:
    ours, theirs = version("tilth"), row["tilth"]
    told = f"{theirs} there, {ours} here" if theirs else f"not installed there, {ours} here"
    remedy = f"install tilth {ours} there, best one image for all nodes"
    yield Finding(f"cluster: tilth on node {name}", theirs == ours, told, remedy)
    if store is None:
        return
    found = f"cluster: store from node {name}"
    if row["error"] is None:
        yield Finding(found, True, "written, read back and deleted")
    else:
        yield Finding(found, False, row["error"], f"on that node: {row['remedy']}")
