"""Parcels of a run on the driver: the register dealt out once, each tile's share of it, and what the report says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from engine.accuracy import COUNTED
from engine.errors import InputError
from engine.keys import needed
from engine.ledger import Record
from engine.models import Card
from engine.objects import Objects
from engine.parcels import Register, held, look_at_register, register_identity, take_in
from engine.pipeline import ParcelTask
from engine.plan import Plan
from engine.types import Tile
from engine.work import LEDGER
from jobs.pinned import pinned_register
from jobs.reach import about
from jobs.spec import Spec

_FOLDER = f"{LEDGER}/parcels"


def dealt_uri(spec: Spec) -> str:
    """Where the parcels of a pinned run lie, dealt out to tiles; empty for a run without."""
    if spec.parcels is None:
        return ""
    return Objects(spec.output.uri).child(_FOLDER, pinned_register(spec.output.uri)[:16]).uri


def dealt_out(spec: Spec, plan: Plan) -> Register | None:
    """The register as it was when the run was pinned, dealt out to tiles by the first driver; others' are removed.

    InputError for a register that cannot be used, or that has changed before it was dealt out.
    """
    if spec.parcels is None:
        return None
    pinned = pinned_register(spec.output.uri)
    store, output = Objects(dealt_uri(spec)), Objects(spec.output.uri)
    register = held(store)
    if register is None:
        if register_identity(spec.parcels, plan.grid, plan.area) != pinned:
            raise InputError(
                "the register is another file than when the run was submitted, and had not been taken in yet",
                place=f"parcels.uri = {spec.parcels.uri}",
                remedy="submit the job again: only what the change touches is computed anew",
            )
        register = take_in(spec.parcels, plan.grid, plan.area, plan.tiles, store)
        mine = f"{_FOLDER}/{pinned[:16]}/"
        output.delete([entry.key for entry in output.entries(_FOLDER) if not entry.key.startswith(mine)])
    return register


def with_register(spec: Spec, plan: Plan) -> Plan:
    """The plan, its audit told what becomes of the register's rows; InputError for a register that a run would refuse.

    The whole register is read once, in batches: names that stand there twice are not found otherwise.
    """
    if spec.parcels is None:
        return plan
    with about(f"parcels.uri = {spec.parcels.uri}"):
        told = account(look_at_register(spec.parcels, plan.grid, plan.area, plan.tiles))
    return replace(plan, audit=(*plan.audit, *told))


def described(register: Register) -> str:
    """The register in a sentence."""
    return f"{account(register.about)[0]}; on {len(register.parts)} tiles"


def account(facts: Mapping[str, Any]) -> list[str]:
    """What became of a register's rows, in sentences: the first counts every row."""
    fates = [f"{facts['outside']} outside the area"] if facts["outside"] else []
    fates += [f"{row['parcels']} left out ({why})" for why, row in facts["left_out"].items()]
    told = [f"parcels: {facts['kept']} of {facts['rows']} rows" + "".join(f"; {fate}" for fate in fates)]
    if facts["cut"]["parcels"]:
        told.append(f"parcels: {facts['cut']['parcels']} are cut by the area and judged by the part in it")
    return told + [f"parcels: {row['parcels']} changed ({why})" for why, row in facts["changed"].items()]


def shares(
    plan: Plan, register: Register | None, built: Mapping[str, Record], card: Card
) -> Callable[[Tile], tuple[ParcelTask | None, int]]:
    """For each tile its parcels with the cube tiles that they reach into, and the bytes of memory they ask for."""
    tiles = {tile.id: tile for tile in plan.tiles} if register else {}

    def share(tile: Tile) -> tuple[ParcelTask | None, int]:
        part = register.parts.get(tile.id) if register else None
        if part is None:
            return None, 0
        around = [
            (tiles[name], needed(built[name].body.get("checksums", {}), card.recipe.layers))
            for name in part.reaches
            if name in built and built[name].state == "written"
        ]
        memory = plan.parcel_memory_bytes(part.pixels, part.largest, len(card.recipe.features), card.recipe.steps)
        return ParcelTask(part.sha256, tuple(around)), memory

    return share


def parcel_report(register: Register | None, records: Sequence[Record], card: Card) -> dict[str, Any] | None:
    """Parcels, area and share for review per crop over all written tiles; and what was left out, with its reason."""
    if register is None:
        return None
    names = {str(entry.code): title for entry, title in zip(card.classes, card.titles, strict=True)}
    crops: dict[str, list[float]] = {}
    sources: dict[str, int] = {}
    for table in [record.body["parcels"] for record in records if "parcels" in record.body]:
        for code, numbers in table["by_code"].items():
            crops[code] = [a + b for a, b in zip(crops.get(code, [0, 0.0, 0]), numbers, strict=True)]
        for source, number in table["from"].items():
            sources[source] = sources.get(source, 0) + number
    return {
        "area_km2_is": COUNTED,
        "by_crop": {
            names.get(code, "no observation"): {
                "parcels": int(number),
                "area_km2": round(area_m2 / 1e6, 6),
                "review_share": round(review / number, 4),
            }
            for code, (number, area_m2, review) in sorted(crops.items())
        },
        "parcels": int(sum(row[0] for row in crops.values())),
        "review": int(sum(row[2] for row in crops.values())),
        "pixels_from": sources,
        "register": dict(register.about),
    }
