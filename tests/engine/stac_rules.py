"""STAC checked without a network: the core by the schemas that pystac ships, extensions by the rules of their texts.

Neither pystac nor rustac ships the extensions' schemas, so what their specifications ask of the fields that Tilth
writes is stated here: classification 2.0, projection 2.0, processing 1.2, file 2.1.
"""

from __future__ import annotations

from typing import Any

import jsonschema
import pystac
from pystac.validation.stac_validator import JsonSchemaSTACValidator

_NUMBERS = {"type": "array", "items": {"type": "number"}}
_CLASSES = {
    "type": "array",
    "minItems": 1,
    "uniqueItems": True,
    "items": {
        "type": "object",
        "required": ["value", "name"],
        "properties": {
            "value": {"type": "integer"},
            "name": {"type": "string", "pattern": r"^[0-9A-Za-z\-_]+$"},
            "title": {"type": "string", "minLength": 1},
            "description": {"type": "string", "minLength": 1},
            "color_hint": {"type": "string", "pattern": "^[0-9A-F]{6}$"},
            "nodata": {"type": "boolean"},
        },
        "additionalProperties": False,
    },
}
_SOFTWARE = {"type": "object", "minProperties": 1, "additionalProperties": {"type": "string"}}
_FIELDS: dict[str, dict[str, Any]] = {
    "classification": {"classification:classes": _CLASSES},
    "projection": {
        "proj:code": {"type": ["string", "null"], "pattern": "^[A-Z]+:[0-9]+$"},
        "proj:shape": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
        "proj:transform": _NUMBERS | {"minItems": 6, "maxItems": 9},
    },
    "processing": {"processing:software": _SOFTWARE, "processing:lineage": {"type": "string", "minLength": 1}},
    "file": {
        "file:size": {"type": "integer", "minimum": 0},
        "file:checksum": {"type": "string", "pattern": "^[a-f0-9]+$"},
    },
}
_PREFIX = {"classification": "classification", "projection": "proj", "processing": "processing", "file": "file"}


def validate(document: dict[str, Any]) -> None:
    """Raise where an item or collection breaks a rule of the core or of an extension it names or uses."""
    kind = pystac.STACObjectType.ITEM if document["type"] == "Feature" else pystac.STACObjectType.COLLECTION
    JsonSchemaSTACValidator().validate_core(document, kind, "1.1.0", "here")
    places = _places(document)
    for name, fields in _FIELDS.items():
        used = [place for place in places if any(key.startswith(f"{_PREFIX[name]}:") for key in place)]
        named = any(f"/{name}/v" in uri for uri in document["stac_extensions"])
        assert named == bool(used), f"{name} is {'named' if named else 'used'} and not {'used' if named else 'named'}"
        known = {
            "properties": fields,
            "patternProperties": {f"^(?!{_PREFIX[name]}:)": {}},
            "additionalProperties": False,
        }
        for place in used:
            jsonschema.validate(place, known)
    if kind is pystac.STACObjectType.COLLECTION and any("/processing/v" in uri for uri in document["stac_extensions"]):
        roles = {role for provider in document["providers"] for role in provider["roles"]}
        assert roles & {"producer", "processor"}, "processing wants a provider who processes"


def _places(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Every object of a document that may carry extension fields."""
    places = [document.get("properties", {}), *document.get("assets", {}).values()]
    return [*places, *document.get("item_assets", {}).values(), *document.get("providers", [])]
