"""Why a run ended, for who was not there: its driver leaves word beside its notes, and a cluster knows its job."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from engine.errors import LeaseHeld, TilthError
from engine.objects import Objects
from engine.work import LEDGER
from jobs.reach import answers

_ENDED, _JOB = f"{LEDGER}/ended.json", f"{LEDGER}/job.json"
_UNDER_WAY = ("PENDING", "RUNNING")
_LOG_LINES = 12
_SECRET = ("SECRET", "TOKEN", "PASSWORD", "ACCESS_KEY")


@contextmanager
def leaves_word(uri: str, run: str | None = None) -> Iterator[None]:
    """An error that ends the block is written beside the run's notes and goes on; ``run``: the spec's digest.

    Not that somebody else drives the run: this says nothing of how that one ends.
    """
    try:
        yield
    except LeaseHeld:
        raise
    except TilthError as error:
        told = {name: getattr(error, name) for name in ("value", "expected", "place", "remedy")}
        _write(uri, {**told, "exit_code": error.exit_code, "run": run})
        raise
    except KeyboardInterrupt:
        _write(uri, {"value": "interrupted", "exit_code": 130, "run": run})
        raise
    except Exception as error:
        _write(uri, {"value": f"{type(error).__name__}: {error}", "exit_code": 1, "run": run})
        raise


def _write(uri: str, told: dict[str, Any]) -> None:
    safe = {key: without_secrets(value) if isinstance(value, str) else value for key, value in told.items()}
    with suppress(TilthError):  # where the store is what failed, the error itself says so
        Objects(uri).put(_ENDED, json.dumps({**safe, "at": time.time()}).encode())


def without_secrets(text: str) -> str:
    """Text without user names and queries of addresses, which may sign them, and without secrets of the environment."""
    for name, value in os.environ.items():
        if any(word in name.upper() for word in _SECRET) and len(value) >= 8:
            text = text.replace(value, "***")
    text = re.sub(r"(\w+://)[^/\s@]+@", r"\1", text)
    return re.sub(r"(\w+://[^\s?'\"]+)\?[^\s;'\")]*", r"\1?***", text)


def begins(output: Objects) -> None:
    """A driver has begun: what the last one left does not hold any more."""
    output.delete([_ENDED])


def begins_here(output: Objects) -> None:
    """The run is started from here, on no cluster yet."""
    output.delete([_ENDED, _JOB])


def handed_over(output: Objects, job: str, address: str) -> None:
    """Keep which job of which cluster drives the run."""
    output.put(_JOB, json.dumps({"id": job, "address": address}).encode())


def how(output: Objects, run: str) -> dict[str, Any] | None:
    """How a run that nobody drives ended with an error (value, expected, place, remedy, exit_code), from its driver's
    word, else from the cluster that it was handed over to; None where neither knows of an error."""
    data = output.find(_ENDED)
    word = json.loads(data) if data else None
    if word and word["run"] in (None, run):
        return dict(word)
    job = job_of(output)
    if job is None or job["state"] not in ("FAILED", "STOPPED"):
        return None
    log = "; its log ends:" + "".join(f"\n  {line}" for line in job["log"]) if job["log"] else ""
    return {
        "value": f"job {job['id']} ended as {job['state']}: {job['message']}"
        + (f"; its log ends:{log}" if log else ""),
        "expected": "",
        "place": job["address"],
        "remedy": f"mend the cause there, then: tilth resume {output.uri}",
        "exit_code": 4,
    }


def state(output: Objects) -> str | None:
    """Of a run that nobody drives: ``over`` where its driver left word or its job has ended, ``under way`` where the
    cluster has its job waiting or running; None where nobody knows."""
    if output.find(_ENDED):
        return "over"
    job = job_of(output)
    return None if job is None else "under way" if job["state"] in _UNDER_WAY else "over"


def job_of(output: Objects) -> dict[str, Any] | None:
    """What the cluster says of the run's job (id, address, state, message, log); None where there is none, or where
    the cluster does not answer or has forgotten it."""
    data = output.find(_JOB)
    if data is None:
        return None
    job = json.loads(data)
    parts = urlsplit(job["address"])
    if not answers(parts.hostname or "", parts.port or {"https": 443}.get(parts.scheme, 80)):
        return None
    from ray.job_submission import JobSubmissionClient

    try:
        client = JobSubmissionClient(job["address"])
        info = client.get_job_info(job["id"])
        ended = info.status.value not in _UNDER_WAY
        log = client.get_job_logs(job["id"]).splitlines()[-_LOG_LINES:] if ended else []
    except (ConnectionError, RuntimeError, OSError):
        return None
    message = without_secrets((info.message or "").strip().split("\n")[0])
    return {**job, "state": info.status.value, "message": message, "log": [without_secrets(line) for line in log]}
