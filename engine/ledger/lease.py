"""Who may drive a run, or build a cube: a renewable lease with an epoch, made of create-only objects.

``lease/{epoch}.json`` is created by the driver that takes the turn; only one can. Its holder rewrites
``lease/{epoch}.beat`` every few seconds; a beat older than ``TTL_S`` by the store's own clock, or one whose process is
known to be gone, means that the turn is over and the next epoch may be taken.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import psutil

from engine.errors import InfrastructureError, LeaseHeld, TilthError
from engine.objects import Objects

TTL_S = 30.0
DRIVING, BUILDING = "drives this run", "builds this cube"
_BEAT_S = 5.0


class Lease:
    """A driver's turn. ``take`` it, look at ``lost`` now and then, ``release`` it at the end.

    ``doing``: what the holder is said to do where another asks for it.
    """

    def __init__(self, objects: Objects, doing: str = DRIVING) -> None:
        self.objects, self.doing = objects, doing
        self.epoch = 0
        self.lost = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self) -> Lease:
        """Become the driver; LeaseHeld names the one who is."""
        epoch = self._newest() + 1
        refuse_if_held(self.objects, self.doing, _store_now(self.objects))
        # The nonce tells apart two of one process: a create-only PUT of bytes that are there already counts as done.
        mine = _me() | {"nonce": secrets.token_hex(8)}
        if not self.objects.put_new(f"lease/{epoch:08d}.json", json.dumps(mine).encode()):
            refuse_if_held(self.objects, self.doing)
            raise LeaseHeld("another driver came first a moment ago", place=self.objects.uri, remedy="try again")
        self.epoch = epoch
        self._beat()
        old = [e.key for e in self.objects.entries("lease") if int(e.key.split("/")[-1].split(".")[0]) < self.epoch]
        self.objects.delete(old)
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()
        return self

    def release(self) -> None:
        """Give the turn back, so that the next driver need not wait."""
        self._stop.set()
        if self._thread:
            self._thread.join()
        if self.epoch and not self.lost.is_set():
            with suppress(TilthError):  # a courtesy: without it the turn ends by itself
                self.objects.put(f"lease/{self.epoch:08d}.beat", json.dumps({"released": True}).encode())

    def __enter__(self) -> Lease:
        return self.take()

    def __exit__(self, *_: object) -> None:
        self.release()

    def _keep(self) -> None:
        missed_since: float | None = None
        while not self._stop.wait(_BEAT_S):
            try:
                if self._newest() > self.epoch:
                    self.lost.set()
                    return
                self._beat()
                missed_since = None
            except InfrastructureError:  # the store may be back before the lease is up
                missed_since = missed_since or time.monotonic()
                if time.monotonic() - missed_since > TTL_S:
                    self.lost.set()
                    return
            except TilthError:  # the store refuses us, and will go on doing so
                self.lost.set()
                return

    def _beat(self) -> None:
        self.objects.put(f"lease/{self.epoch:08d}.beat", json.dumps(_me()).encode())

    def _newest(self) -> int:
        epochs = [int(e.key.split("/")[-1].split(".")[0]) for e in self.objects.entries("lease")]
        return max(epochs, default=0)


def refuse_if_held(objects: Objects, doing: str = DRIVING, now: datetime | None = None) -> None:
    """LeaseHeld, naming the driver and what it is ``doing``, where somebody has the lease; ``now``: see ``holder``."""
    held = holder(objects, now)
    if held is None:
        return
    raise LeaseHeld(
        f"{held['user']} {doing} from {held['host']} (process {held['pid']}, turn {held['epoch']}), "
        f"last heard {held['age_s']:.0f} s ago",
        place=objects.uri,
        remedy=f"watch or cancel it; a dead driver's turn ends {TTL_S:.0f} s after its last beat",
    )


def holder(objects: Objects, now: datetime | None = None) -> dict[str, Any] | None:
    """Who holds the lease (host, pid, user, epoch, age_s), or None when it is free.

    ``now``: by the store's clock, for who acts on the answer; None: this machine's, good enough to show.
    """
    entries = list(objects.entries("lease"))
    epoch = max((int(e.key.split("/")[-1].split(".")[0]) for e in entries), default=0)
    mine = [e for e in entries if e.key.startswith(f"lease/{epoch:08d}.")]
    if not mine:
        return None
    newest = max(mine, key=lambda e: e.modified)
    data = objects.find(f"lease/{epoch:08d}.beat") or objects.find(f"lease/{epoch:08d}.json")
    if data is None:  # swept up this very moment, because the next turn was taken
        return holder(objects, now)
    who = json.loads(data)
    age_s = max(0.0, ((now or datetime.now(UTC)) - newest.modified).total_seconds())
    if who.get("released") or age_s > TTL_S or _is_gone(who):
        return None
    return {**who, "epoch": epoch, "age_s": age_s}


def _store_now(objects: Objects) -> datetime:
    """The store's own clock: the drivers' may differ by more than a turn lasts."""
    objects.put("clock/now", b"")
    return max(entry.modified for entry in objects.entries("clock"))


def _me() -> dict[str, Any]:
    process = psutil.Process()
    return {
        "host": socket.gethostname(),
        "boot": int(psutil.boot_time()),
        "pid": os.getpid(),
        "started": process.create_time(),
        "user": process.username(),
    }


def _is_gone(who: dict[str, Any]) -> bool:
    """True only when the holder ran on this very machine and its process no longer does."""
    me = _me()
    if who.get("host") != me["host"] or abs(who.get("boot", 0) - me["boot"]) > 2:
        return False
    try:
        process = psutil.Process(who["pid"])
        return process.status() == psutil.STATUS_ZOMBIE or abs(process.create_time() - who["started"]) > 1
    except psutil.NoSuchProcess:
        return True
