"""A training goes on from its checkpoint to the very bytes of one that nobody disturbed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engine.errors import Cancelled
from engine.models import Folder
from engine.training import Checkpoint, Fitted, Hooks, TrainOptions, fit
from engine.training.checkpoint import CHECKPOINT_NAME, metadata
from engine.training.loop import descend
from engine.training.parts import Part, Trained
from tests.engine.killed_training import OPTIONS, RANDOM, train, train_random
from tests.engine.made_models import MADE_CLASSES, MADE_RECIPE, made_samples
from tests.servers.process import REPO_ROOT
from tests.servers.s3 import S3

QUICK = TrainOptions(epochs=5, patience=5, block_m=500, batch=64)


@pytest.mark.parametrize(
    ("kind", "train", "options"), [("plain", train, OPTIONS), ("random", train_random, RANDOM)], ids=["plain", "random"]
)
def test_a_killed_training_goes_on_to_the_same_bytes(
    kind: str, train: Callable[..., Fitted], options: TrainOptions, tmp_path: Path
) -> None:
    words = [sys.executable, "-m", "tests.engine.killed_training", str(tmp_path), kind]
    with subprocess.Popen(words, cwd=REPO_ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "epoch 4\n":
                process.kill()
                break
    assert process.wait() == -9
    assert (tmp_path / CHECKPOINT_NAME).exists()
    resumed: list[int] = []
    epochs: list[int] = []
    hooks = Hooks(resumed=resumed.append, checkpoint=Checkpoint(Folder(str(tmp_path))))
    again = train(hooks, lambda epoch, *_: epochs.append(epoch))
    assert resumed[0] >= 4
    assert epochs == list(range(resumed[0] + 1, options.epochs + 1))
    undisturbed = train(Hooks())
    assert again.weights == undisturbed.weights
    assert again.card == undisturbed.card
    assert again.report == undisturbed.report


def ending_in(epoch: int) -> Callable[[int, float], None]:
    """A hook that ends the training in the middle of an epoch."""

    def told(at: int, share: float) -> None:
        if at == epoch and share > 0.4:
            raise Cancelled("stopped as asked")

    return told


@pytest.mark.parametrize("family", ["tempcnn", "cnn1d", "dcm", "agrispec"])
def test_a_training_asked_to_end_within_an_epoch_goes_on_after_its_last_whole_one(family: str, tmp_path: Path) -> None:
    epochs, after = (2, 1) if family == "dcm" else (5, 3)
    options = QUICK.model_copy(update={"family": family, "epochs": epochs})
    resumed: list[int] = []

    def run(hooks: Hooks) -> Fitted:
        return fit(made_samples(200, steps=6), SHORT, MADE_CLASSES, options, hooks=hooks)

    with pytest.raises(Cancelled):
        run(Hooks(batch=ending_in(after + 1), checkpoint=Checkpoint(Folder(str(tmp_path)), every_s=1e9)))
    again = run(Hooks(resumed=resumed.append, checkpoint=Checkpoint(Folder(str(tmp_path)))))
    assert resumed == [after]
    assert again.weights == run(Hooks()).weights


SHORT = MADE_RECIPE.model_copy(update={"steps": 6})


def part(n: int, seed: int) -> Part:
    """Noise with labels."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Part(torch.rand(n, 6, 2).numpy(), torch.randint(0, 3, (n,)).numpy())


def short_descent(key: str, hooks: Hooks, epochs: int = 4) -> Trained:
    """A training of the loop alone."""
    options = QUICK.model_copy(update={"epochs": epochs})
    return descend(part(128, 1), part(64, 2), 3, options, key=key, hooks=hooks)


def test_a_checkpoint_of_another_key_of_another_torch_or_of_other_bytes_is_ignored(tmp_path: Path) -> None:
    checkpoint = Checkpoint(Folder(str(tmp_path)), every_s=0)
    whole = short_descent("mine", Hooks(checkpoint=checkpoint))
    kept = (tmp_path / CHECKPOINT_NAME).read_bytes()
    assert metadata(kept)["key"] == "mine"
    resumed: list[int] = []
    hooks = Hooks(resumed=resumed.append, checkpoint=checkpoint)
    assert short_descent("another", hooks).weights == whole.weights
    version = torch.__version__.encode()
    for other in (kept.replace(version, b"0" * len(version)), kept[:20], b"", b"\xff" * 40):
        (tmp_path / CHECKPOINT_NAME).write_bytes(other)
        assert short_descent("mine", hooks).weights == whole.weights
    assert resumed == []


def test_a_training_that_had_stopped_early_does_not_begin_another_epoch(tmp_path: Path) -> None:
    options = QUICK.model_copy(update={"epochs": 30, "patience": 1})
    epochs: list[int] = []

    def run() -> Trained:
        hooks = Hooks(checkpoint=Checkpoint(Folder(str(tmp_path)), every_s=0))
        return descend(part(128, 1), part(64, 2), 3, options, lambda e, *_: epochs.append(e), key="k", hooks=hooks)

    first = run()
    assert first.notes["epochs"] < 30
    assert run().weights == first.weights
    assert len(epochs) == first.notes["epochs"]


def test_a_checkpoint_is_written_no_oftener_than_asked_and_cleared_with_its_remnants(tmp_path: Path) -> None:
    checkpoint = Checkpoint(Folder(str(tmp_path)), every_s=1e9)
    checkpoint.offer(b"first")
    assert not list(tmp_path.iterdir())
    checkpoint.flush()
    assert (tmp_path / CHECKPOINT_NAME).read_bytes() == b"first"
    (tmp_path / f"{CHECKPOINT_NAME}.part").write_bytes(b"cut sho")
    checkpoint.clear()
    checkpoint.flush()
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_lies_in_a_bucket_as_on_a_disk(s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.env().items():
        monkeypatch.setenv(name, value)
    checkpoint = Checkpoint(Folder(f"s3://{bucket}/model"), every_s=0)
    assert checkpoint.load("mine") is None
    with pytest.raises(Cancelled):
        short_descent("mine", Hooks(batch=ending_in(3), checkpoint=checkpoint))
    resumed: list[int] = []
    again = short_descent("mine", Hooks(resumed=resumed.append, checkpoint=checkpoint))
    assert resumed == [2]
    assert again.weights == short_descent("mine", Hooks()).weights
    checkpoint.clear()
    assert checkpoint.load("mine") is None
