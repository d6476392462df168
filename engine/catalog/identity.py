"""What changes when a scene's bytes change: size and mtime of local files, ETag and size of stored objects."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, NoCredentialsError

from engine.catalog.links import LOCAL, OBJECT_STORES, scheme_of
from engine.errors import InfrastructureError, InputError
from engine.objects import filesystem
from engine.types import Asset, Item

CONNECTIONS = 32


def identify(items: Sequence[Item]) -> tuple[tuple[Item, ...], tuple[str, ...]]:
    """(items whose assets carry the strongest identity to be had, one sentence for each item left out).

    Assets with a published checksum, and those behind http(s), keep what ``resolve`` gave them. Items with an asset
    that is not there are left out and named. Where a store does not let us look at an object the digest of the item's
    document stays. InfrastructureError: the store fails.
    """
    weak = {
        asset.href for item in items for asset in item.assets.values() if not asset.identity.startswith("checksum:")
    }
    found = _look(sorted(weak))
    kept: list[Item] = []
    problems: list[str] = []
    for item in items:
        lost = [f"{band} ({a.href})" for band, a in item.assets.items() if found.get(a.href, "") is None]
        if lost:
            problems.append(f"item {item.id}: not found: {', '.join(lost)}")
            continue
        assets = {band: _with(asset, found.get(asset.href)) for band, asset in item.assets.items()}
        kept.append(replace(item, assets=assets))
    return tuple(kept), tuple(problems)


def _with(asset: Asset, identity: str | None) -> Asset:
    if not identity or asset.identity.startswith("checksum:"):
        return asset
    return replace(asset, identity=identity)


def _look(hrefs: Sequence[str]) -> Mapping[str, str | None]:
    """Identity by link: None where nothing is there, an empty string where we may not look."""
    local = {href: _stat(href) for href in hrefs if scheme_of(href) == LOCAL}
    stored = [href for href in hrefs if scheme_of(href) in OBJECT_STORES]
    # One filesystem a bucket, made here: fsspec would make another for each thread, with its own connections.
    stores = {href: _bucket(href) for href in stored}
    systems = {bucket: _filesystem(bucket) for bucket in sorted(set(stores.values()))}
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        heads = pool.map(lambda href: _head(href, systems[stores[href]]), stored)
        return {**local, **dict(zip(stored, heads, strict=True))}


def _stat(path: str) -> str | None:
    try:
        info = os.stat(path)
    except OSError:
        return None
    return f"stat:{info.st_size}-{info.st_mtime_ns}"


def _bucket(href: str) -> str:
    return urlsplit(href)._replace(path="/", query="", fragment="").geturl()


def _filesystem(bucket: str) -> Any:
    try:
        return filesystem(bucket)[0]
    except ImportError as error:
        raise InputError(
            f"no reader for this store: {error}", place=bucket, remedy="install it beside tilth"
        ) from error


def _head(href: str, system: Any) -> str | None:
    try:
        info = system.info(href)
    except FileNotFoundError:
        return None
    except (PermissionError, NoCredentialsError):
        return ""
    except (OSError, BotoCoreError) as error:
        raise InfrastructureError(f"HEAD failed: {error}", place=href, remedy="try again later") from error
    tag = info.get("ETag") or info.get("etag")
    return f"etag:{str(tag).strip(chr(34))}-{info['size']}" if tag else ""
