"""All that changes from epoch to epoch of a training, and its form as bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from engine.training.checkpoint import metadata
from engine.training.objective import Objective

MIN_GAIN = 1e-3
"""A smaller rise of the validation score is kept, but does not keep training going."""
_COUNTERS = ("epoch", "best_epoch", "best_f1", "gained_epoch", "gained_f1")


@dataclass
class Descent:
    """A training under way. What it holds, with torch's random numbers, decides every later bit of it."""

    network: nn.Module
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    objective: Objective
    epoch: int = 0
    """Epochs done."""
    best_epoch: int = 0
    best_f1: float = -1.0
    gained_epoch: int = 0
    """The last epoch that was better by ``MIN_GAIN``."""
    gained_f1: float = -1.0
    best: dict[str, Tensor] = field(default_factory=dict)
    """The network's state of the best epoch."""

    def __post_init__(self) -> None:
        self.best = _copy(self.network)

    def judge(self, f1: float) -> None:
        """Take in the validation macro-F1 of the epoch just done."""
        if f1 > self.best_f1:
            self.best_epoch, self.best_f1, self.best = self.epoch, f1, _copy(self.network)
        if f1 > self.gained_f1 + MIN_GAIN:
            self.gained_epoch, self.gained_f1 = self.epoch, f1

    def to_bytes(self, key: str) -> bytes:
        """Safetensors bytes from which a descent made alike goes on as this one would have."""
        optimiser = self.optimiser.state_dict()
        tensors = {
            **{f"network/{name}": value for name, value in self.network.state_dict().items()},
            **{f"best/{name}": value for name, value in self.best.items()},
            **{f"objective/{name}": value for name, value in self.objective.state().items()},
            **{f"optimiser/{i}/{name}": v for i, own in optimiser["state"].items() for name, v in own.items()},
            **_random_state(self._device()),
        }
        facts = {
            "counters": {name: getattr(self, name) for name in _COUNTERS},
            "groups": optimiser["param_groups"],
            "schedule": self.schedule.state_dict(),
        }
        whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        return save(whole, {"key": key, "torch": torch.__version__, "facts": json.dumps(facts)})

    def restore(self, data: bytes) -> bool:
        """Go on from what ``to_bytes`` gave; False, and nothing changed, where another torch wrote it: it may round
        otherwise."""
        header = metadata(data)
        if header.get("torch") != torch.__version__:
            return False
        tensors, facts = load(data), json.loads(header["facts"])
        self.network.load_state_dict(_below("network", tensors))
        self.best = {name: value.to(self._device()) for name, value in _below("best", tensors).items()}
        self.objective.restore({n: v.to(self._device()) for n, v in _below("objective", tensors).items()})
        self.optimiser.load_state_dict({"state": self._moments(tensors), "param_groups": facts["groups"]})
        self.schedule.load_state_dict(facts["schedule"])
        for name in _COUNTERS:
            setattr(self, name, facts["counters"][name])
        torch.set_rng_state(tensors["random/cpu"])
        if "random/cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random/cuda"], self._device())
        return True

    def _moments(self, tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
        """The optimiser's state by parameter, in the parameters' memory order: another may round otherwise."""
        parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for path, value in _below("optimiser", tensors).items():
            index, name = path.split("/")
            parameter = parameters[int(index)]
            like = torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
            state.setdefault(int(index), {})[name] = like.detach()
        return state

    def _device(self) -> torch.device:
        return next(self.network.parameters()).device


def _below(part: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(f"{part}/"): v for name, v in tensors.items() if name.startswith(f"{part}/")}


def _random_state(device: torch.device) -> dict[str, Tensor]:
    state = {"random/cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["random/cuda"] = torch.cuda.get_rng_state(device)
    return state


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}
