"""A model made elsewhere: weights and a card that a person wrote become a package that has proved itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.models.card import Card
from engine.models.contract import Clause, examine_model, made_rows
from engine.models.golden import golden_bytes, golden_rows, with_golden
from engine.models.package import open_model

_SAMPLES = 64


@dataclass(frozen=True, slots=True)
class Package:
    """What ``write_model`` writes, and how the model kept its contract."""

    card: Card
    golden: bytes
    clauses: list[Clause]


def packed(weights: bytes, suffix: str, fields: Mapping[str, Any], place: str) -> Package:
    """The package of some weights.

    suffix: of the weights' file, such as ``.onnx``, which is of family onnx. fields: those of ``Card``; file name,
    size and SHA-256 are filled in, for ONNX the family and the number of parameters as well. The golden pair is what
    the model makes now of rows drawn within its scaling. Raises pydantic's ValidationError for a wrong card,
    InputError for weights that are not the card's.
    """
    own: dict[str, Any] = {
        "weights": f"model{suffix}",
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "weights_bytes": len(weights),
        "golden_sha256": None,
        "familiarity_sha256": None,
    }
    if suffix == ".onnx":
        from engine.models.onnx import count_parameters  # an extra, not there everywhere

        own |= {"family": "onnx", "parameters": count_parameters(weights, place)}
    card = Card.model_validate({**fields, **own})
    model = open_model(card.cut(card.takes[0]), weights)
    golden = golden_bytes(model, golden_rows(made_rows(model.card, _SAMPLES)))
    return Package(with_golden(card, golden), golden, examine_model(model, golden, place))
