"""A training as people see it: on a terminal, in a log, from another process, and when it is asked to stop."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from engine.errors import Cancelled, TilthError
from engine.models import Folder
from engine.run import Progress
from engine.training import Checkpoint, Hooks, TrainOptions, fit
from jobs import lines
from jobs.control import progress_state
from jobs.epochs import Epochs
from jobs.follow import _table
from jobs.spec import _read_yaml as read_yaml
from jobs.spec import example, parse_spec
from tests.engine.made_models import MADE_CLASSES, MADE_RECIPE, made_samples

OPTIONS = TrainOptions(family="cnn1d", epochs=3, patience=3, block_m=500)


def train(told: Epochs, hooks: Hooks) -> None:
    fit(made_samples(150), MADE_RECIPE, MADE_CLASSES, OPTIONS, told.epoch, hooks=hooks)
    told.end()


def test_every_epoch_is_ticked_with_its_loss_and_score_and_the_end_is_whole() -> None:
    ticks: list[Progress] = []
    told = Epochs(3, print, lambda progress: ticks.append(replace(progress)), lambda: None)
    train(told, told.hooks())
    notes = [tick.note for tick in ticks]
    assert [note.split(",")[0] for note in notes if note.startswith("epoch")] == [
        f"epoch {i} of 3" for i in (1, 2, 3, 3)
    ]
    assert "loss" in notes[-1] and "validation macro-F1" in notes[-1]
    assert notes[0].endswith("of epoch 1 of 3")
    assert (ticks[-1].stage, ticks[-1].unit, ticks[-1].done, ticks[-1].total) == ("model", "epochs", 3, 3)


def test_a_run_that_is_to_end_ends_within_an_epoch_and_says_later_from_which_it_goes_on(tmp_path: Path) -> None:
    said: list[str] = []
    asked: list[TilthError] = []

    def tick(progress: Progress) -> None:
        if progress.done == 1:
            asked.append(Cancelled("stopped as asked"))

    told = Epochs(3, said.append, tick, lambda: asked[0] if asked else None)
    checkpoint = Checkpoint(Folder(str(tmp_path)))
    with pytest.raises(Cancelled):
        train(told, replace(told.hooks(), checkpoint=checkpoint))
    again = Epochs(3, said.append, lambda _: None, lambda: None)
    train(again, replace(again.hooks(), checkpoint=checkpoint))
    assert said == ["model: goes on from epoch 2: epochs up to 1 were in its checkpoint"]


def test_a_terminal_gets_a_bar_with_the_epoch_and_its_loss() -> None:
    progress = Progress("model", 30, written=7, unit="epochs", note="epoch 7 of 30, loss 0.412")
    screen = io.StringIO()
    with lines.Bar(Console(file=screen, force_terminal=True, width=120)) as bar:
        bar.update(progress)
        bar._live.refresh()
    assert "7/30" in screen.getvalue() and "epochs" in screen.getvalue() and "loss 0.412" in screen.getvalue()


def test_somebody_who_watches_sees_epochs_and_no_tiles() -> None:
    spec = parse_spec(read_yaml(example("template"), "template"))
    progress = Progress("model", 30, written=7, unit="epochs", note="epoch 7 of 30, loss 0.412")
    console = Console(file=io.StringIO(), width=120)
    console.print(_table(spec, progress_state(progress, 5.0) | {"driver_bytes": 1}, None))
    seen = console.file.getvalue()
    assert "model: 7 of 30 epochs" in seen and "loss 0.412" in seen
    assert "km2" not in seen and "tiles" not in seen
