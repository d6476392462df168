"""Training: samples to a model with its card and its held-out accuracy. Light to import; torch comes with ``fit``."""

from engine.training.fit import Fitted, fit, training_key
from engine.training.options import TrainOptions
from engine.training.parts import Progress

__all__ = ["Fitted", "Progress", "TrainOptions", "fit", "training_key"]
