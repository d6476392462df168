"""Training: samples to a model with its card and its held-out accuracy. Light to import; torch comes with ``fit``."""

from engine.training.checkpoint import Checkpoint
from engine.training.fit import Fitted, fit, training_key
from engine.training.options import TrainOptions
from engine.training.parent import Parent, refuse_unlike
from engine.training.parts import Hooks, Progress

__all__ = [
    "Checkpoint",
    "Fitted",
    "Hooks",
    "Parent",
    "Progress",
    "TrainOptions",
    "fit",
    "refuse_unlike",
    "training_key",
]
