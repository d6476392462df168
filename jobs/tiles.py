"""What tiles' records say beside their state: what they were built without, and where no scene reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the command line shows tiles, and is to start fast
    from engine.ledger import Ledger, Record
    from engine.plan import Plan

BARE = "without scenes"
"""State of a written tile that no scene reaches, as people are told it: no data, and no failure."""


def bare(record: Record) -> bool:
    """Whether a written tile is no data because no scene reaches it: of a map's tile none of the layers by which its
    model sees, of a cube's tile none at all."""
    without = record.body.get("unreached", ())
    return bool(without) and ("steps" not in record.body or len(without) == len(record.body["steps"]))


def reason(record: Record) -> str:
    """Why a tile is as it is, in a few words; empty where there is nothing to tell."""
    body, told = record.body, []
    if "reason" in body:
        told.append(str(body["reason"]))
    if "left_out" in body:
        told += [f"built without {scene}: {why}" for scene, why in body["left_out"].items()]
    if "unreached" in body:
        told.append(f"no {' or '.join(body['unreached'])} scene reaches it")
    return "; ".join(told)


def damaged(built: Ledger, plan: Plan) -> dict[str, Any]:
    """scenes: id of each scene that a cube tile of the plan was built without -> the reason; tiles: those tiles."""
    scenes: dict[str, str] = {}
    tiles = []
    for index, tile in enumerate(plan.tiles):
        record = built.latest.get(tile.id)
        if record is None or not plan.stands(index, record) or "left_out" not in record.body:
            continue
        tiles.append(tile.id)
        scenes = record.body["left_out"] | scenes
    return {"scenes": dict(sorted(scenes.items())), "tiles": tiles}
