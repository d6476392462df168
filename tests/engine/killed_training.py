"""A training that is there to be killed: python -m tests.engine.killed_training FOLDER, which prints every epoch."""

from __future__ import annotations

import sys

from engine.models import Folder
from engine.training import Checkpoint, Fitted, Hooks, TrainOptions, fit
from tests.engine.made_models import MADE_CLASSES, MADE_RECIPE, made_samples

OPTIONS = TrainOptions(epochs=12, patience=12, block_m=500)


def train(hooks: Hooks, progress: object = None) -> Fitted:
    """The training that is killed, gone on with and compared."""
    return fit(made_samples(), MADE_RECIPE, MADE_CLASSES, OPTIONS, progress, hooks=hooks)


if __name__ == "__main__":
    train(
        Hooks(checkpoint=Checkpoint(Folder(sys.argv[1]), every_s=0)),
        lambda epoch, *_: print("epoch", epoch, flush=True),
    )
