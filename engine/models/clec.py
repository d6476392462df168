"""CLEC (Kong et al. 2025, Remote Sensing 17, 1783): forecast the rest of the season, then classify all of it.

An LSTM encoder reads the early steps; two LSTM cells predict the later ones, one after the other, each from the value
before it and from what additive attention finds in the early ones; the 1D-CNN classifies early and predicted steps
together. The forecast is part of the graph: what the classifier wants reaches the forecaster. No weight depends on
where the season is cut off: one network can serve all cut-offs.

The paper states 2.38 M parameters and no sizes. ``paper`` is a reading that has them: a bidirectional encoder of 256
units a direction, W_q, W_k, W_v and v without biases, and a decoder whose states begin at zero. ``plain`` is an encoder
of two layers in one direction, without W_v; ``no_attention`` is that without attention, the decoder's states those the
encoder ends with. The decoder runs on its own predictions in training too, as it must when it maps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.models.card import Variant
from engine.models.cnn1d import CNN1D

UNITS = 256


class CLEC(nn.Module):
    """The network of the module's docstring. x: (n, t, f) float32 scaled to 0 to 1, the early steps -> logits (n, k)
    float32. ``predicted``: later steps; with 0 it is the 1D-CNN on x alone. t + predicted >= 4.

    ``any_cut_off``: t may be 1 to ``steps + predicted``, the rest is predicted. ``mask_channel``: the 1D-CNN gets one
    feature more, 0 at early and 1 at predicted steps.
    """

    def __init__(
        self, steps: int, features: int, classes: int, predicted: int = 0, *,
        variant: Variant = "paper", any_cut_off: bool = False, mask_channel: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if steps < 1 or predicted < 0:
            raise ValueError(f"steps {steps} and predicted {predicted}, expected 1 or more and 0 or more")
        self.predicted = predicted
        self.steps = steps + predicted
        self.mask_channel = mask_channel
        self.forecaster = Forecaster(features, variant) if predicted or any_cut_off else None
        self.classifier = CNN1D(self.steps, features + mask_channel, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.both(x)[1]

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The forecast (n, p, f) and the logits (n, k) that rest on it."""
        later = self.forecast(x)
        return later, self.classify(x, later)

    def forecast(self, x: Tensor) -> Tensor:
        """The later steps (n, p, f) float32, scaled as x; not clipped to 0 to 1."""
        steps = self.steps - x.shape[1]
        return self.forecaster(x, steps) if self.forecaster and steps else x[:, :0]

    def classify(self, x: Tensor, later: Tensor) -> Tensor:
        """Logits (n, k) of early steps (n, t, f) and later ones (n, p, f)."""
        series = torch.cat([x, later], dim=1)
        if self.mask_channel:
            mask = torch.cat([torch.zeros_like(x[..., :1]), torch.ones_like(later[..., :1])], dim=1)
            series = torch.cat([series, mask], dim=2)
        return self.classifier(series)


class Forecaster(nn.Module):
    """Encoder, attention and decoder: x (n, t, f) and how many steps -> the steps that follow (n, steps, f)."""

    def __init__(self, features: int, variant: Variant) -> None:
        super().__init__()
        paper = variant == "paper"
        width = 2 * UNITS if paper else UNITS
        self.encoder = nn.LSTM(features, UNITS, 1 if paper else 2, batch_first=True, bidirectional=paper)
        self.attention = None if variant == "no_attention" else Attention(width, projected=paper)
        self.lower = nn.LSTMCell(features + (width if self.attention else 0), UNITS)
        self.upper = nn.LSTMCell(UNITS, UNITS)
        self.out = nn.Linear(UNITS, features)

    def forward(self, x: Tensor, steps: int) -> Tensor:
        encoded, (hidden, cell) = self.encoder(x)
        if self.attention is None:
            keys, lower, upper = encoded, (hidden[0], cell[0]), (hidden[1], cell[1])
        else:
            nothing = x.new_zeros(len(x), UNITS)
            keys, lower, upper = self.attention.key(encoded), (nothing, nothing), (nothing, nothing)
        value, found = x[:, -1], []
        for _ in range(steps):
            given = [value] if self.attention is None else [value, self.attention(upper[0], encoded, keys)]
            lower = self.lower(torch.cat(given, dim=1), lower)
            upper = self.upper(lower[0], upper)
            value = self.out(upper[0])
            found.append(value)
        return torch.stack(found, dim=1)


class Attention(nn.Module):
    """Additive attention (Bahdanau et al. 2015) of one decoder state over all encoder outputs.

    state: (n, 256). encoded: (n, t, width). keys: (n, t, 256), ``key`` of encoded, the same for every state. Returns
    the context (n, width). No step is masked: the series a model gets have no gaps.
    """

    def __init__(self, width: int, projected: bool) -> None:
        super().__init__()
        self.query = nn.Linear(UNITS, UNITS, bias=False)
        self.key = nn.Linear(width, UNITS, bias=False)
        self.score = nn.Linear(UNITS, 1, bias=False)
        self.value = nn.Linear(width, width, bias=False) if projected else nn.Identity()

    def forward(self, state: Tensor, encoded: Tensor, keys: Tensor) -> Tensor:
        weight = torch.softmax(self.score(torch.tanh(self.query(state)[:, None] + keys)), dim=1)
        # W_v after the sum: the same by linearity, and once instead of once a step.
        return self.value((weight * encoded).sum(dim=1))
