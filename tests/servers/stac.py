"""Real STAC APIs: ``rustac serve`` over items in memory, or over pgstac in PostgreSQL."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers.ceph import fetch_packages, run_script
from tests.servers.process import LOOPBACK, answers, cache_folder, free_port, running, tail, wait_until

PGSTAC = Path(__file__).with_name("pgstac.sh")

Item = Mapping[str, Any]


def read_items(ndjson: Path, base: str | None = None) -> list[dict[str, Any]]:
    """Items of an NDJSON file with absolute asset hrefs: relative ones are taken under ``base``.

    ``base``: a URL such as ``s3://bucket/scenes`` or ``http://127.0.0.1:40001``; default: the file's own folder.
    """
    start = (base or str(ndjson.resolve().parent)).rstrip("/")
    items = [json.loads(line) for line in ndjson.read_text().splitlines() if line.strip()]
    for item in items:
        for asset in item["assets"].values():
            if "://" not in asset["href"] and not asset["href"].startswith("/"):
                asset["href"] = f"{start}/{asset['href'].removeprefix('./')}"
    return items


def collections_of(items: Iterable[Item]) -> list[dict[str, Any]]:
    """A minimal collection for every collection id that the items name."""
    extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
    return [
        {
            "type": "Collection",
            "stac_version": "1.1.0",
            "id": name,
            "description": f"{name}, for a test",
            "license": "other",
            "extent": extent,
            "links": [],
        }
        for name in sorted({item["collection"] for item in items})
    ]


@contextmanager
def stac_api(items: Sequence[Item], log: Path | None = None) -> Iterator[str]:
    """URL of a STAC API over the items, held in memory, for the length of the block.

    Paging, collections, bbox, datetime and ids work, by POST (as pystac-client asks); it silently finds nothing for
    ``query`` and ``filter`` and cannot page a GET: use ``pgstac_api`` for those.
    """
    with tempfile.TemporaryDirectory(prefix="tilth-stac-") as name:
        folder = Path(name)
        (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": list(items)}))
        files = [folder / "items.json"]
        for collection in collections_of(items):
            files.append(folder / f"{collection['id']}.json")
            files[-1].write_text(json.dumps(collection))
        with rustac([str(file) for file in files], log or folder / "rustac.log") as url:
            yield url


@contextmanager
def pgstac_api(items: Sequence[Item]) -> Iterator[str]:
    """URL of a STAC API over the items in pgstac, for the length of the block; ``query`` and ``filter`` work too.

    ServerUnavailable where the packages cannot be had; RuntimeError with the log's end where the database fails.
    """
    cache = cache_folder("pgstac")
    fetch_packages(PGSTAC, cache, sys.executable)
    with tempfile.TemporaryDirectory(prefix="tilth-pgstac-", dir="/tmp") as name:
        run, port = Path(name), free_port()
        log = run / "pgstac.log"
        try:
            pgstac(log, "start", str(cache), name, str(port))
            collections = write_ndjson(run / "collections.ndjson", collections_of(items))
            pgstac(log, "load", str(cache), str(port), collections, write_ndjson(run / "items.ndjson", items))
            dsn = f"postgresql://pg@{LOOPBACK}:{port}/stac"
            with rustac(["--pgstac", dsn], run / "rustac.log") as url:
                yield url
        finally:
            run_script(PGSTAC, log, 60, "stop", name)


def pgstac(log: Path, *arguments: str) -> None:
    if run_script(PGSTAC, log, 120, *arguments):
        raise RuntimeError(f"pgstac.sh {arguments[0]} failed; last of {log}:\n{tail(log)}")


def write_ndjson(path: Path, documents: Iterable[Item]) -> str:
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))
    return str(path)


@contextmanager
def rustac(arguments: Sequence[str], log: Path) -> Iterator[str]:
    port = free_port()
    program = Path(sys.executable).with_name("rustac")
    with running([str(program), "serve", "-a", f"{LOOPBACK}:{port}", *arguments], log, port):
        url = f"http://{LOOPBACK}:{port}"
        wait_until(lambda: answers(url), 20, f"the STAC API at {url}")
        yield url
