"""An item's document before it is an item: whether it is one, and its time and place."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from engine.earth import box_shape, shape_of

Document = dict[str, Any]


def sound(documents: list[Document]) -> tuple[list[Document], list[str]]:
    """Documents that can be asked for time and place, and one sentence for each that cannot."""
    faults = [_fault(document) for document in documents]
    problems = [
        f"{d.get('id')}: no valid STAC item ({fault})" for d, fault in zip(documents, faults, strict=True) if fault
    ]
    return [d for d, fault in zip(documents, faults, strict=True) if not fault], problems


def _fault(document: Document) -> str:
    """What keeps a document from being an item; empty where nothing does."""
    for key, kind in (("properties", dict), ("assets", dict), ("links", list)):
        if document.get(key) is not None and not isinstance(document[key], kind):
            return f"{key} {document[key]!r}"[:200]
    if when(document) is None:
        properties = document.get("properties") or {}
        return f"datetime {properties.get('datetime')!r}, start_datetime {properties.get('start_datetime')!r}"[:200]
    shape = footprint(document)
    if shape.is_empty or not all(map(math.isfinite, shape.bounds)):
        return f"geometry {document.get('geometry')!r}, bbox {document.get('bbox')!r}"[:200]
    return ""


def when(document: Document) -> datetime | None:
    """The item's time in UTC: ``datetime``, else ``start_datetime``; None where neither can be read."""
    properties = document.get("properties") or {}
    text = properties.get("datetime") or properties.get("start_datetime")
    try:
        return utc(datetime.fromisoformat(text)) if isinstance(text, str) else None
    except ValueError:
        return None


def footprint(document: Document) -> BaseGeometry:
    """The item's geometry in EPSG:4326, else its bbox; an empty polygon, which intersects nothing, without both."""
    try:
        shape = shape_of(document["geometry"]) if document.get("geometry") else shapely.Polygon()
        if not shape.is_empty:
            return shape
        box = list(document.get("bbox") or ())
        if len(box) in (4, 6):
            return box_shape(box[0], box[1], box[len(box) // 2], box[len(box) // 2 + 1])
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, shapely.errors.ShapelyError):
        return shapely.Polygon()
    return shapely.Polygon()


def utc(moment: datetime) -> datetime:
    """The moment in UTC; one that names no zone is in UTC already."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
