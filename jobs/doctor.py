"""``tilth doctor``: does this machine, an object store and a cluster have what Tilth needs? Tried, not asked."""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, requires, version

import obstore
import psutil
from packaging.requirements import Requirement
from packaging.version import Version

from engine.environment import TRIALS, faults
from engine.errors import InfrastructureError, TilthError
from engine.ledger.lease import TTL_S
from engine.objects import Objects
from jobs.cluster import RAY_SETTINGS
from jobs.findings import Finding, first_line, placed
from jobs.from_nodes import tried_from_nodes
from jobs.reach import check_address, check_s3, own_folder

_TESTED_BELOW = {
    "dask": "2027",
    "distributed": "2027",
    "numba": "0.70",
    "numpy": "3",
    "obstore": "0.13",
    "ray": "3",
    "rasterio": "1.5",
    "torch": "3",
    "xarray": "2027",
    "zarr": "3.2",
}
"""First versions that this release has not been tested with; the oldest are the package's own requirements."""
_MEMORY_BYTES, _DISK_BYTES = 4e9, 5e9
_SKEW_S = TTL_S / 3
"""A lease is judged by the store's clock and this machine's: beyond this a living driver may be taken for dead."""
_RACERS = 16
_LARGE_BYTES = 12_000_000
_MOST_NODES = 10_000  # as many as Ray lists
_PART_BYTES = 5 * 1024 * 1024


def examine(store: str | None, address: str | None) -> list[Finding]:
    """Everything that can be told of this machine and, where given, of a store and of a Ray cluster, whose nodes then
    try the store too.

    Writes a few small objects and one of 12 MB below ``store`` and deletes them again.
    """
    found = [*_versions(), *_gdal(), *_machine(), _gpu()]
    stored = [Finding("store", None, "not tried", "tilth doctor --store s3://bucket/prefix")]
    if store is not None:
        stored = _store(store)
    found += stored
    if address is None:
        found.append(Finding("cluster", None, "not tried", "tilth doctor --address http://head:8265"))
    else:
        found += _cluster(address, store, bool(stored[0].ok))
    return found


def _versions() -> Iterator[Finding]:
    """Python, and each required package that is too old, too new to have been tested, or not there."""
    yield Finding("python", True, platform.python_version())
    needed = [Requirement(text) for text in requires("tilth") or ()]
    for need in (need for need in needed if need.marker is None):
        try:
            have = version(need.name)
        except PackageNotFoundError:
            yield Finding(need.name, False, "not installed", f"pip install '{need}'")
            continue
        if not need.specifier.contains(have, prereleases=True):
            yield Finding(need.name, False, f"{have}, needed is {need.specifier}", f"pip install '{need}'")
        elif need.name in _TESTED_BELOW:
            beyond = Version(have) >= Version(_TESTED_BELOW[need.name])
            yield Finding(need.name, True, f"{have}, newer than any tested" if beyond else have)


def _gdal() -> Iterator[Finding]:
    import rasterio
    from rasterio.session import DummySession

    broken = {fault.name: fault for fault in faults()}
    for name in TRIALS:
        fault = broken.get(name)
        yield Finding(name, fault is None, fault.error if fault else "work", fault.remedy if fault else "")
    with rasterio.Env(session=DummySession()) as env:  # asks no account of AWS
        drivers = env.drivers()
    yield Finding("GDAL", True, rasterio.__gdal_version__)
    for name, use in (("COG", "to write the map"), ("GTI", "to open the mosaic"), ("GPKG", "to write the mosaic")):
        there = name in drivers
        remedy = "" if there else "install rasterio's own wheel, or build GDAL 3.9 or later with it"
        yield Finding(f"GDAL driver {name}", there, "there" if there else f"missing; needed {use}", remedy)
    zarr = "there" if "Zarr" in drivers else "missing: QGIS will not open the cube, xarray will"
    yield Finding("GDAL driver Zarr", True if "Zarr" in drivers else None, zarr)


def _machine() -> Iterator[Finding]:
    yield Finding("cores", True, str(len(os.sched_getaffinity(0))))
    free = psutil.virtual_memory().available
    yield Finding("memory", free >= _MEMORY_BYTES, f"{free / 1e9:.1f} GB free", "free some, or use a smaller tile_px")
    disk, place = shutil.disk_usage(tempfile.gettempdir()).free, tempfile.gettempdir()
    yield Finding("disk", disk >= _DISK_BYTES, f"{disk / 1e9:.0f} GB free in {place}", "free some, or set TMPDIR")


def _gpu() -> Finding:
    try:
        import torch

        if not torch.cuda.is_available():
            return Finding("GPU", None, "none; models run on the CPU")
        total = float(torch.ones(1000, device="cuda").sum())
        properties = torch.cuda.get_device_properties(0)
    except (ImportError, OSError, RuntimeError) as error:
        return Finding("GPU", False, first_line(error), "check the driver and torch's CUDA build, or run on the CPU")
    told = f"{torch.cuda.device_count()} x {properties.name}, {properties.total_memory / 1e9:.0f} GB"
    return Finding("GPU", total == 1000, told, "it computes wrongly: do not use it")


def _store(uri: str) -> list[Finding]:
    """The store, tried with objects below a folder of its own, which is removed."""
    trials: list[tuple[str, Callable[[Objects], str], str]] = [
        ("create-only PUT", _race, "use a store that honours If-None-Match: * (S3, Ceph, MinIO) or a local folder"),
        ("range GET", _range, "use a store that answers range requests; scenes and cubes are read by them"),
        ("multipart upload", _multipart, "allow multipart uploads in the bucket's policy"),
        ("list after write", _list, "use a store whose listings are consistent"),
        ("delete", _delete, "allow deleting in the bucket's policy"),
        ("clock", _clock, "set this machine's clock (NTP)"),
    ]
    try:
        check_s3([uri])
        with own_folder(uri, "first") as folder:
            tried = [_tried(name, trial, folder, remedy) for name, trial, remedy in trials]
    except TilthError as error:
        return [Finding("store", False, placed(error), error.remedy)]
    return [Finding("store", True, uri), *tried]


def _tried(name: str, trial: Callable[[Objects], str], folder: Objects, remedy: str) -> Finding:
    try:
        return Finding(f"store: {name}", True, trial(folder))
    except Exception as error:  # whatever a store does is a finding
        return Finding(f"store: {name}", False, first_line(error), remedy)


def _race(folder: Objects) -> str:
    """Many at once create one object: exactly one may win, and what is there must be the winner's."""
    bodies = [f"racer {number}".encode() for number in range(_RACERS)]
    with ThreadPoolExecutor(_RACERS) as pool:
        won = list(pool.map(lambda body: folder.put_new("race", body), bodies))
    winners = [body for body, first in zip(bodies, won, strict=True) if first]
    if len(winners) != 1:
        raise InfrastructureError(f"not usable: {len(winners)} of {_RACERS} writers were told they are the first")
    if folder.get("race") != winners[0]:
        raise InfrastructureError("not usable: the object is not the winner's")
    return f"one winner of {_RACERS}"


def _range(folder: Objects) -> str:
    folder.put("range", bytes(range(256)) * 4)
    part = bytes(obstore.get_range(folder.obstore, "range", start=100, end=200))
    if part != bytes(range(100, 200)):
        raise InfrastructureError(f"asked for 100 bytes, got {len(part)}, not the ones asked for")
    return "exact"


def _multipart(folder: Objects) -> str:
    data = secrets.token_bytes(_LARGE_BYTES)
    began = time.monotonic()
    obstore.put(folder.obstore, "large", data, use_multipart=True, chunk_size=_PART_BYTES)
    written = time.monotonic()
    back = folder.get("large")
    read = time.monotonic()
    if back != data:
        raise InfrastructureError("what comes back is not what was written")
    rates = [_LARGE_BYTES / 1e6 / max(seconds, 1e-6) for seconds in (written - began, read - written)]
    return f"{_LARGE_BYTES / 1e6:.0f} MB, written at {rates[0]:.0f} and read at {rates[1]:.0f} MB/s"


def _list(folder: Objects) -> str:
    keys = {f"listed/{number}" for number in range(20)}
    for key in keys:
        folder.put(key, b"")
    missing = keys - {entry.key for entry in folder.entries("listed")}
    if missing:
        raise InfrastructureError(f"{len(missing)} of {len(keys)} objects just written are not listed")
    return f"{len(keys)} of {len(keys)} objects"


def _delete(folder: Objects) -> str:
    folder.put("gone", b"")
    folder.delete(["gone"])
    if folder.find("gone") is not None:
        raise InfrastructureError("the object is still there")
    return "gone at once"


def _clock(folder: Objects) -> str:
    before = datetime.now(UTC)
    folder.put("clock", b"")
    after = datetime.now(UTC)
    stamp = next(entry.modified for entry in folder.entries() if entry.key == "clock")
    # Stores round to whole seconds, so a second of difference says nothing.
    skew = min((stamp - before).total_seconds() + 1, 0) or max((stamp - after).total_seconds(), 0)
    if abs(skew) > _SKEW_S:
        raise InfrastructureError(f"the store's clock is {skew:+.0f} s off this machine's")
    return f"within {max(abs(skew), 1):.0f} s of this machine's"


def _cluster(address: str, store: str | None, reached: bool) -> list[Finding]:
    """Whether a cluster takes jobs, runs the same Ray, what it has; then what its nodes say."""
    for name, value in RAY_SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        check_address(address, "cluster", ("http", "https"), "http://head:8265")
        from ray.job_submission import JobSubmissionClient
        from ray.util.state import list_nodes

        # Its own get_version tells the version of the API, not Ray's; this request carries the token.
        theirs = str(JobSubmissionClient(address)._do_request("GET", "/api/version").json()["ray_version"])
        ours = version("ray")
        nodes = [node for node in list_nodes(address=address, detail=True, limit=_MOST_NODES) if node.state == "ALIVE"]
    except TilthError as error:
        return [Finding("cluster", False, placed(error), error.remedy)]
    except Exception as error:  # Ray's clients raise many kinds
        remedy = "check the address, RAY_AUTH_TOKEN_PATH and that the dashboard runs"
        return [Finding("cluster", False, f"{address}: {first_line(error)}", remedy)]
    total = {key: sum((node.resources_total or {}).get(key, 0) for node in nodes) for key in ("CPU", "GPU", "memory")}
    names = {node.node_id: node.node_name or node.node_ip for node in nodes}
    told = f"{len(nodes)} nodes, {total['CPU']:g} CPUs, {total['GPU']:g} GPUs, {total['memory'] / 1e9:.0f} GB"
    return [
        Finding("cluster", True, address),
        Finding("cluster: Ray", theirs == ours, f"{theirs} there, {ours} here", "install one version on both sides"),
        Finding("cluster: resources", total["CPU"] > 0 or None, told),
        *tried_from_nodes(address, names, store, reached),
    ]
