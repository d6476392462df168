"""How near CLEC's forecast of the rest of a season comes to it (Kong et al. 2025, Fig. 10): figures and the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load

from engine.models import Card
from engine.models.scaling import normalise
from engine.models.series import Shape, build
from engine.types import Samples

FORECAST = ("ndvi", "evi", "lswi")
"""Features whose forecast is looked at, where there are such."""
_SCATTERED, _SERIES = 300, 4
"""Values and series of a forecast kept for the picture."""


@dataclass(frozen=True)
class Forecast:
    """Of some test pixels, (n, p, f) float32 each in physical units, NaN = not known; early (n, t, f)."""

    early: NDArray[np.float32]
    truth: NDArray[np.float32]
    made: NDArray[np.float32]
    held: NDArray[np.float32]
    """The last value seen, held."""
    mean: NDArray[np.float32]
    """What followed on average in training, whatever the crop."""


def mean_season(later: NDArray[np.float32]) -> NDArray[np.float32]:
    """What follows on average, (p, f), of samples (n, p, f); NaN where nothing of it was ever seen."""
    known = ~np.isnan(later)
    count = known.sum(axis=0)
    mean = np.full(later.shape[1:], np.nan, np.float32)
    return np.divide(np.where(known, later, 0).sum(axis=0), count, out=mean, where=count > 0)


def forecast_of(card: Card, weights: bytes, samples: Samples, mean: NDArray[np.float32]) -> Forecast:
    """mean: (p, f), what follows on average."""
    assert samples.later is not None
    shape = Shape(card.recipe.steps, len(card.recipe.features), len(card.classes), 1, card.later_steps, card.variant)
    network = build("clec", shape)
    network.load_state_dict(load(weights))
    with torch.inference_mode():
        scaled = network.eval().forecast(torch.from_numpy(normalise(samples.x, card))).numpy()
    lower, upper = np.float32(card.lower), np.float32(card.upper)
    held = np.broadcast_to(samples.x[:, -1:], samples.later.shape)
    mean = np.broadcast_to(mean, samples.later.shape)
    return Forecast(samples.x, samples.later, lower + scaled * (upper - lower), held, mean)


def forecast_figures(parts: Sequence[Forecast], features: Sequence[str]) -> dict[str, Any]:
    """Root mean square error and R2 of each feature looked at, beside holding the last value and the mean season; and
    some series and values to draw."""
    found: dict[str, Any] = {}
    drawn: dict[str, Any] = {}
    rng = np.random.default_rng(0)
    for name in FORECAST:
        if name not in features:
            continue
        at = features.index(name)
        truth = np.concatenate([part.truth[:, :, at] for part in parts])
        known = ~np.isnan(truth)
        spread = truth[known].var()
        for way, label in (("made", ""), ("held", ", last value held"), ("mean", ", mean season")):
            said = np.concatenate([getattr(part, way)[:, :, at] for part in parts])
            square = float(((said - truth)[known] ** 2).mean())
            found |= {f"RMSE {name}{label}": square**0.5, f"R2 {name}{label}": 1 - square / float(spread)}
        made = np.concatenate([part.made[:, :, at] for part in parts])
        few = rng.permutation(int(known.sum()))[:_SCATTERED]
        series = np.linspace(0, len(parts[0].truth) - 1, _SERIES).astype(int)
        drawn[name] = {
            "scatter": [_short(truth[known][few]), _short(made[known][few])],
            "early": [_short(row) for row in parts[0].early[series, :, at]],
            "truth": [_short(row) for row in parts[0].truth[series, :, at]],
            "made": [_short(row) for row in parts[0].made[series, :, at]],
        }
    return {**found, "drawn": drawn}


def draw(drawn: Mapping[str, Any], path: Path, title: str) -> None:
    """Series of some pixels, seen, forecast and true, and forecasts over true values, one row per feature; a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        len(drawn), _SERIES + 1, figsize=(3 * (_SERIES + 1), 2.3 * len(drawn)), squeeze=False, layout="constrained"
    )
    for row, (name, own) in zip(axes, drawn.items(), strict=True):
        for axis, early, truth, made in zip(row, own["early"], own["truth"], own["made"], strict=False):
            seen = len(early)
            later = range(seen, seen + len(truth))
            axis.plot(range(seen), early, color="0.2", label="seen")
            axis.plot(later, _floats(truth), color="tab:green", label="truth")
            axis.plot(later, _floats(made), color="tab:red", linestyle="--", label="forecast")
            axis.axvline(seen - 0.5, color="0.7", linewidth=0.8)
            axis.set_xlabel("step")
        row[0].set_ylabel(name.upper())
        row[-1].plot(*own["scatter"], ".", markersize=2)
        ends = [min(map(min, own["scatter"])), max(map(max, own["scatter"]))]
        row[-1].plot(ends, ends, color="0.5", linewidth=0.8)
        row[-1].set(xlabel="truth", ylabel="forecast")
    axes[0][0].legend(fontsize="small")
    figure.suptitle(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _floats(values: Sequence[float | None]) -> list[float]:
    return [np.nan if value is None else value for value in values]


def _short(values: NDArray[np.float32]) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 3) for value in values]
