"""What a job asks of a model's familiarity: refused before work where the model cannot tell it, reported in the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.errors import InputError
from engine.ledger import Record
from engine.models import Card
from engine.output import OutputOptions
from jobs.spec import Spec

_REMEDY = (
    "use a model that Tilth trained of late, or train this one anew: its package then holds what tells the familiar"
)


def output_of(spec: Spec, card: Card) -> OutputOptions:
    """The output as this model can give it: without the layer familiarity where it cannot tell it.

    InputError where unfamiliar pixels are to be no data, and the model cannot tell them.
    """
    output = spec.output
    if card.familiarity_sha256 is not None:
        return output
    if output.unfamiliar == "mask":
        raise InputError(
            f"the model {card.name} cannot tell what it is not familiar with",
            expected="output.unfamiliar: keep, or a model with familiarity.safetensors",
            place=spec.model.uri,
            remedy=f"leave output.unfamiliar out, or {_REMEDY}",
        )
    known = tuple(product for product in output.products if product != "familiarity")
    return output.model_copy(update={"products": known})


def refuse_untold(spec: Spec, card: Card) -> None:
    """InputError where the spec names a layer, or asks for a mask, that this model cannot give."""
    named = "products" in spec.output.model_fields_set and "familiarity" in spec.output.products
    if (named and card.familiarity_sha256 is None) or not output_of(spec, card).products:
        raise InputError(
            f"the model {card.name} cannot tell what it is familiar with",
            expected="a model with familiarity.safetensors",
            place=f"output.products, model {spec.model.uri}",
            remedy=f"take familiarity out of output.products, or {_REMEDY}",
        )


def said_before(spec: Spec, card: Card) -> Iterator[str]:
    """In a sentence, where the layer is left out."""
    if spec.output.products != output_of(spec, card).products:
        yield (
            f"no layer familiarity: the model {card.name} does not hold what its training's samples were like, so land "
            "of kinds unknown to it cannot be told"
        )


def unfamiliar_report(
    spec: Spec, records: Sequence[Record], card: Card, pixel_km2: Mapping[str, float]
) -> dict[str, Any] | None:
    """Of the land mapped, the masked with it, how much was told unfamiliar, whole and by the class it was given; None
    where it was not asked. ``pixel_km2``: what a pixel of each tile covers."""
    found = [record for record in records if "unfamiliar" in record.body]
    told = [record.body for record in found]
    if not told:
        return None
    masked = spec.output.unfamiliar == "mask"
    rows = {}
    for index, (entry, title) in enumerate(zip(card.classes, card.titles, strict=True)):
        strange = sum(body["unfamiliar"].get(str(index), 0) for body in told)
        km2 = sum(r.body["unfamiliar"].get(str(index), 0) * pixel_km2[r.tile] for r in found)
        mapped = sum(body["pixels"].get(str(index), 0) for body in told) + (strange if masked else 0)
        rows[title] = {"code": entry.code, "km2": round(km2, 6), "share": _share(strange, mapped)}
    strange = sum(sum(body["unfamiliar"].values()) for body in told)
    known = sum(sum(n for index, n in body["pixels"].items() if index != "255") for body in told)
    return {
        "below": spec.output.unfamiliar_below,
        "masked": masked,
        "km2": round(sum(sum(r.body["unfamiliar"].values()) * pixel_km2[r.tile] for r in found), 6),
        "share": _share(strange, known + (strange if masked else 0)),
        "by_class": rows,
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None
