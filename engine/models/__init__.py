"""Models as data: a card that says what a model needs and gives, and one file per family that runs its weights."""

from engine.models.card import Card, ClassEntry, Recipe
from engine.models.domain import Domain
from engine.models.package import (
    Classifier,
    Folder,
    load_model,
    model_digest,
    open_model,
    read_card,
    read_domain,
    read_model,
    write_model,
)
from engine.models.scaling import normalise

__all__ = [
    "Card",
    "ClassEntry",
    "Classifier",
    "Domain",
    "Folder",
    "Recipe",
    "load_model",
    "model_digest",
    "normalise",
    "open_model",
    "read_card",
    "read_domain",
    "read_model",
    "write_model",
]
