"""A training that is there to be killed: python -m tests.engine.killed_training FOLDER [random], which prints every
epoch."""

from __future__ import annotations

import sys

from engine.models import Folder
from engine.training import Checkpoint, Fitted, Hooks, TrainOptions, fit
from tests.engine.made_models import MADE_CLASSES, MADE_RECIPE, SEASONS_RECIPE, made_samples, made_seasons

OPTIONS = TrainOptions(epochs=12, patience=12, block_m=500)
RANDOM = TrainOptions.model_validate(
    {"family": "clec", "epochs": 6, "patience": 6, "block_m": 500, "batch": 32, "learning_rate": 3e-3,
     "cascade": {"cutoff": "random", "from_step": 5, "mask_channel": True}}
)  # fmt: skip


def train(hooks: Hooks, progress: object = None) -> Fitted:
    """The training that is killed, gone on with and compared."""
    return fit(made_samples(), MADE_RECIPE, MADE_CLASSES, OPTIONS, progress, hooks=hooks)


def train_random(hooks: Hooks, progress: object = None) -> Fitted:
    """The same for one whose batches are cut off at random."""
    return fit(made_seasons(), SEASONS_RECIPE, MADE_CLASSES, RANDOM, progress, hooks=hooks)


if __name__ == "__main__":
    chosen = train_random if "random" in sys.argv[2:] else train
    chosen(
        Hooks(checkpoint=Checkpoint(Folder(sys.argv[1]), every_s=0)),
        lambda epoch, *_: print("epoch", epoch, flush=True),
    )
