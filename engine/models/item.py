"""The card as a STAC item with the Machine Learning Model extension, and back.

STAC 1.1, MLM 1.4 (the version pystac reads), classification 2.0, file 2.1. The extension's fields are for catalogues
and people; what Tilth itself reads is ``tilth:card``, the card as it is. The JSON holds no clock and its keys are
sorted: equal cards and areas give equal bytes. What MLM has no word for (units, steps, spatial mode, cut-off days,
calibration, split, golden pair, domain, whose the accuracy is) stands beside it under ``tilth:`` names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, TypeVar

from pydantic import ValidationError

from engine.earth import lonlat_box, shape_of
from engine.errors import InputError
from engine.models.card import Card, ClassEntry
from engine.models.domain import Domain
from engine.models.familiarity import FAMILIARITY_NAME
from engine.models.golden import GOLDEN_NAME
from engine.models.whose import accuracy_of

T = TypeVar("T")
EXTENSIONS = (
    "https://stac-extensions.github.io/mlm/v1.4.0/schema.json",
    "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
)
_SHA256_MULTIHASH = "1220"  # multihash code of sha2-256 and its length, 32 bytes
_TORCH = ("PyTorch", "torch", "safetensors.torch.save_file")
_FRAMEWORKS = {
    "tempcnn": ("TempCNN", *_TORCH),
    "cnn1d": ("1D-CNN", *_TORCH),
    "dcm": ("DeepCropMapping", *_TORCH),
    "transformer": ("Transformer", *_TORCH),
    "agrispec": ("AgriSpec", *_TORCH),
    "clec": ("CLEC", *_TORCH),
    "convstar3d": ("3D-ConvSTAR", *_TORCH),
    "convstar": ("ConvSTAR", *_TORCH),
    "hybridsn": ("HybridSN", *_TORCH),
    "cnn3d": ("3D-CNN", *_TORCH),
    "twobranch": ("two-branch 3D-CNN", *_TORCH),
    "forest": ("Random Forest", "scikit-learn", "scikit-learn", "skops.io.dumps"),
    "onnx": ("ONNX graph", "ONNX", "onnxruntime", "onnx"),
    "svm": ("Support Vector Machine", "scikit-learn", "scikit-learn", "safetensors.numpy.save"),
}


def item_bytes(card: Card, domain: Domain) -> bytes:
    """``model.json``: the STAC item of a card, UTF-8 JSON with sorted keys."""
    return (json.dumps(_item(card, domain), indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def card_of(text: bytes, place: str) -> Card:
    """The card in the bytes of a ``model.json``; InputError where they are no such item."""
    return _opened(text, place, lambda item: Card.model_validate(item["properties"]["tilth:card"]))


def domain_of(text: bytes, place: str) -> Domain:
    """Where, when and from what the model was trained; what an older ``model.json`` does not say is not known.
    InputError where the bytes are no such item."""

    def read(item: dict[str, Any]) -> Domain:
        properties = item["properties"]
        when = {name: properties[f"{name}_datetime"] for name in ("start", "end")}
        return Domain.model_validate({**properties.get("tilth:domain", {}), **when, "geometry": item["geometry"]})

    return _opened(text, place, read)


def _opened(text: bytes, place: str, read: Callable[[dict[str, Any]], T]) -> T:
    """What ``read`` makes of the item in these bytes; InputError where it cannot."""
    try:
        return read(json.loads(text))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        said = str(first["msg"]).removeprefix("Value error, ")
        raise InputError(
            f"tilth:card.{where}: {said}" if where else said,
            expected="a card of this version of Tilth",
            place=place,
            remedy="train the model anew, or use the version of Tilth that wrote it; a model made elsewhere: mend its "
            "card, and tilth model add",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"no model item ({type(error).__name__}: {error})",
            expected="a STAC item in JSON with properties.tilth:card",
            place=place,
            remedy="point model.uri at a folder written by `tilth train`",
        ) from error


def _item(card: Card, domain: Domain) -> dict[str, Any]:
    architecture, framework, distribution, _ = _FRAMEWORKS[card.family]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(EXTENSIONS),
        "id": re.sub(r"[^A-Za-z0-9_.-]", "-", card.name),
        "geometry": domain.geometry,
        "bbox": lonlat_box(shape_of(domain.geometry)),
        "properties": {
            "datetime": None,
            "start_datetime": _utc(domain.start),
            "end_datetime": _utc(domain.end),
            "license": card.licence,
            "bands": _bands(card),
            "mlm:name": card.name,
            "mlm:architecture": architecture,
            "mlm:tasks": _tasks(card),
            "mlm:framework": framework,
            "mlm:framework_version": version(distribution),
            "mlm:total_parameters": card.parameters,
            "mlm:pretrained": True,
            "mlm:input": [_input(card)],
            "mlm:output": [_output(card)],
            **_beyond_mlm(card),
            "tilth:accuracy": accuracy_of(card, domain),
            "tilth:domain": domain.model_dump(mode="json", exclude={"geometry", "start", "end"}),
            "tilth:card": card.model_dump(mode="json"),
        },
        "links": [],
        "assets": {"weights": _asset(card), **_golden(card), **_familiarity(card)},
    }


def _beyond_mlm(card: Card) -> dict[str, Any]:
    """What of the card a catalogue may ask for and MLM does not name."""
    recipe, split = card.recipe, card.training.get("split") or {}
    return {
        "tilth:units": dict(zip(recipe.features, card.units, strict=True)),
        "tilth:steps": {"count": recipe.steps, "days": recipe.step_days, "season_start": recipe.season_start},
        "tilth:gap_filling": recipe.fill,
        "tilth:cut_offs": list(card.cut_offs),
        "tilth:mode": card.mode,
        "tilth:sampled": card.sampled,
        "tilth:patch_px": card.patch,
        "tilth:halo_px": card.halo,
        "tilth:temperature": card.temperature,
        **({"tilth:training_split_sha256": split["sha256"]} if "sha256" in split else {}),
    }


def _tasks(card: Card) -> list[str]:
    """MLM's word for one class per pixel, and for one class per parcel."""
    return ["classification" if card.mode == "parcel" else "semantic-segmentation"]


def _input(card: Card) -> dict[str, Any]:
    recipe = card.recipe
    return {
        "name": f"{card.mode} time series",
        "bands": list(recipe.features),
        "input": {
            "shape": [-1, *card.input_shape],
            "dim_order": ["batch", "time", "bands", "height", "width"][: 1 + len(card.input_shape)],
            "data_type": "float32",
        },
        "value_scaling": [
            {"type": "min-max", "minimum": low, "maximum": high}
            for low, high in zip(card.lower, card.upper, strict=True)
        ],
    }


def _output(card: Card) -> dict[str, Any]:
    return {
        "name": "class probabilities",
        "tasks": _tasks(card),
        "result": {"shape": [-1, len(card.classes)], "dim_order": ["batch", "class"], "data_type": "float32"},
        "classification:classes": [_class(index, entry) for index, entry in enumerate(card.classes)],
    }


def _class(index: int, entry: ClassEntry) -> dict[str, Any]:
    slug = re.sub(r"[^0-9A-Za-z_-]+", "-", entry.name).strip("-")
    return {
        "value": index,
        "name": slug or f"class-{entry.code}",
        "description": f"{entry.name} (code {entry.code})",
        "color_hint": entry.colour[1:].upper(),
    }


def _asset(card: Card) -> dict[str, Any]:
    return {
        "href": f"./{card.weights}",
        "title": "Weights",
        "type": "application/octet-stream",
        "roles": ["mlm:model", "mlm:weights"],
        "mlm:artifact_type": _FRAMEWORKS[card.family][3],
        "file:checksum": _SHA256_MULTIHASH + card.weights_sha256,
        "file:size": card.weights_bytes,
        "bands": _bands(card),
    }


def _golden(card: Card) -> dict[str, Any]:
    """The asset of the golden pair, where the model has one."""
    if card.golden_sha256 is None:
        return {}
    return {
        "golden": {
            "href": f"./{GOLDEN_NAME}",
            "title": "Input rows and the probabilities this model gave them",
            "type": "application/octet-stream",
            "roles": ["tilth:golden"],
            "file:checksum": _SHA256_MULTIHASH + card.golden_sha256,
        }
    }


def _familiarity(card: Card) -> dict[str, Any]:
    """The asset of what tells the familiar, where the model has it."""
    if card.familiarity_sha256 is None:
        return {}
    return {
        "familiarity": {
            "href": f"./{FAMILIARITY_NAME}",
            "title": "Where the training's samples lie, by which land unlike them is told",
            "type": "application/octet-stream",
            "roles": ["tilth:familiarity"],
            "file:checksum": _SHA256_MULTIHASH + card.familiarity_sha256,
        }
    }


def _bands(card: Card) -> list[dict[str, str]]:
    """The inputs as STAC bands; MLM wants them in the properties, and STAC 1.1 allows that only beside an asset's."""
    return [{"name": name, "unit": unit} for name, unit in zip(card.recipe.features, card.units, strict=True)]


def _utc(moment: datetime) -> str:
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.strftime("%Y-%m-%dT%H:%M:%SZ")
