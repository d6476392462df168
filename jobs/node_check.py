"""``python -m jobs.node_check``: the job by which ``tilth doctor`` looks at every node of a Ray cluster from inside.

Prints one line of JSON for each living node: ``node`` (Ray's id), ``tilth`` (the version there, null: none), ``error``
and ``remedy`` of the store as it is reached from there (null: all is well), ``failed`` where nothing could be run.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Any

from engine.errors import InputError, TilthError
from engine.objects import Objects
from jobs.cluster import RAY_SETTINGS
from jobs.findings import first_line, placed
from jobs.reach import ANSWER_S, check_s3, probe, within

NODES_S = 75.0
"""The job gives up on a node that has not answered by then."""
LEFT = "left-here"
"""Object that the doctor has left in the folder, for the nodes to find."""


def store_trouble(store: str, folder: str | None) -> dict[str, str | None]:
    """Write, read back and delete a small object below ``store``; ``error`` and ``remedy``, None where all is well.

    ``folder``: one below the store that holds ``LEFT``; a node that does not find it has another store before it.
    """

    def attempt() -> None:
        check_s3([store])
        place = Objects(store).child(folder) if folder else Objects(store)
        probe(place)
        if folder and place.find(LEFT) is None:
            raise InputError(
                "what the doctor wrote from its own machine is not there: this is another store, or a disk of the "
                "node's own",
                place=store,
                remedy="give the same endpoint everywhere; a folder must lie on a disk that all nodes share",
            )

    try:
        within(ANSWER_S, store, [attempt])
    except Exception as error:  # whatever a store does is a finding
        remedy = error.remedy if isinstance(error, TilthError) else ""
        return {"error": placed(error), "remedy": remedy or "look at the store's settings there"}
    return {"error": None, "remedy": None}


def look(store: str | None, folder: str | None) -> dict[str, Any]:
    """What can be told of the node that this runs on. Travels by value: nothing of Tilth need be there."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        row: dict[str, Any] = {"tilth": version("tilth")}
    except PackageNotFoundError:
        row = {"tilth": None}
    if store is None:
        return row
    try:
        from jobs.node_check import store_trouble
    except ImportError as error:
        return {**row, "error": f"not tried: {error}", "remedy": "install tilth"}
    return {**row, **store_trouble(store, folder)}


def main() -> None:
    """Look at every living node at once, and print what each says as soon as it has."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--store")
    parser.add_argument("--folder")
    words = parser.parse_args()
    for name, value in RAY_SETTINGS.items():
        os.environ.setdefault(name, value)
    import logging

    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
    task = ray.remote(num_cpus=0, max_retries=0)(look)
    ids = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    asked = {
        task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
            words.store, words.folder
        ): node
        for node in ids
    }
    until = time.monotonic() + NODES_S
    while asked:
        ready, _ = ray.wait(list(asked), timeout=max(0.0, until - time.monotonic()))
        if not ready:
            break
        node = asked.pop(ready[0])
        try:
            row = ray.get(ready[0])
        except Exception as error:  # a node that is lost, or a worker that does not start there
            row = {"failed": first_line(error)}
        print(json.dumps({"node": node, **row}), flush=True)


if __name__ == "__main__":
    main()
