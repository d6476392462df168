"""Cubes and labels -> samples -> a model, written where the spec says."""

from engine.train.collect import collect, later_steps
from engine.train.request import TrainRequest
from engine.train.story import domain_of, is_trained, train
from engine.train.target import target_of

__all__ = ["TrainRequest", "collect", "domain_of", "is_trained", "later_steps", "target_of", "train"]
