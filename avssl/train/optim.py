"""How parameters move: AdamW, SGD, LARS, one optimizer per turn, and a learning rate that is a function of the step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from avssl.config import EncoderConfig, OptimConfig
from avssl.train.distributed import plain, shared_like

TRUST = 0.001
"""LARS: the share of a layer's norm that one step at lr 1 may move it"""


class LARS(Optimizer):
    """Layer-wise adaptive rate scaling: You, Gitman, Ginsburg, "Large Batch Training of Convolutional Networks", 2017,
    arXiv:1708.03888.

    For weights w with gradient g, decay b and momentum m:

        local = trust * |w| / (|g| + b * |w|)        (1 where |w| or |g| is zero)
        v <- m * v + lr * local * (g + b * w)
        w <- w - v

    Groups with ``adapt`` False (biases, normalization) take local = 1, as in later practice (BYOL, SimCLR).
    """

    def __init__(self, params: Iterable[Any], lr: float, momentum: float, weight_decay: float):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "adapt": True})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move every parameter that has a gradient; ``closure`` is not supported."""
        assert closure is None, "LARS takes no closure"
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, group)
        return None

    def _move(self, weight: Tensor, group: Mapping[str, Any]) -> None:
        change = weight.grad + group["weight_decay"] * weight
        if group["adapt"]:
            size, slope = torch.linalg.vector_norm(weight), torch.linalg.vector_norm(weight.grad)
            local = TRUST * size / (slope + group["weight_decay"] * size)
            change = change * torch.where((size > 0) & (slope > 0), local, torch.ones_like(local))
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        velocity = state["momentum_buffer"]
        velocity.mul_(group["momentum"]).add_(change * group["lr"])
        weight.sub_(velocity)


Rates = Mapping[nn.Parameter, float]
"""parameter -> share of the learning rate that it moves at; 1 for those that are not named"""


def rates_of(named: Mapping[str, tuple[str, EncoderConfig]], towers: nn.ModuleDict) -> dict[nn.Parameter, float]:
    """Parameter of a tower -> its ``rate``. ``named``: as a method's ``towers`` gives it; those not built are left."""
    return {
        parameter: named[name][1].rate
        for name, tower in towers.items()
        for parameter in tower.parameters()
        if named[name][1].rate != 1
    }


def build(
    cfg: OptimConfig, turns: Mapping[str, list[nn.Parameter]], rates: Rates | None = None
) -> dict[str, Optimizer]:
    """Turn -> optimizer over that turn's parameters; those with one dimension (biases, scales) are not decayed.

    Raises ValueError for a ``turn_lr`` of a turn that the method does not have.
    """
    unknown = sorted(set(cfg.turn_lr) - set(turns))
    if unknown:
        raise ValueError(f"optim.turn_lr: no turn {', '.join(unknown)}; this method has {', '.join(turns)}")
    return {turn: _one(cfg, parameters, rates or {}) for turn, parameters in turns.items()}


def _one(cfg: OptimConfig, parameters: list[nn.Parameter], rates: Rates) -> Optimizer:
    alike: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for parameter in parameters:
        alike.setdefault((parameter.ndim <= 1, rates.get(parameter, 1.0)), []).append(parameter)
    groups: list[dict[str, Any]] = [
        {
            "params": alike[single, rate],
            "weight_decay": 0.0 if single else cfg.weight_decay,
            "rate": rate,
            "adapt": not single,
        }
        for single, rate in sorted(alike)
    ]
    if cfg.name == "sgd":
        return torch.optim.SGD(groups, cfg.lr, cfg.momentum)
    if cfg.name == "lars":
        return LARS(groups, cfg.lr, cfg.momentum, cfg.weight_decay)
    # the fused kernel makes one pass over memory; sharded tensors have no such kernel on a CPU
    plain = all(type(parameter) is nn.Parameter for parameter in parameters)
    return torch.optim.AdamW(groups, cfg.lr, (cfg.momentum, cfg.beta2), fused=plain and _fusible(parameters))


def _fusible(parameters: list[nn.Parameter]) -> bool:
    return all(p.device.type in ("cpu", "cuda", "mps") and p.is_floating_point() for p in parameters)


def schedule(step: int, steps: int, warmup: float) -> float:
    """Factor on the learning rate at ``step`` of ``steps``: linear warm-up over that share, then half a cosine to 0.

    A function of the step alone, so that resume needs no scheduler; it is above 0 at every step.
    """
    warm = round(warmup * steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """The learning rate of all groups, each its share of it."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["rate"]


def flatten(method: nn.Module, optimizers: Mapping[str, Optimizer]) -> dict[str, Tensor]:
    """What the optimizers remember, as full CPU tensors named turn/parameter/field. All ranks must ask."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in method.named_parameters()}
    found = {
        f"{turn}/{names[parameter]}/{key}": value
        for turn, optimizer in optimizers.items()
        for parameter, fields in optimizer.state.items()
        for key, value in fields.items()
        if isinstance(value, Tensor)
    }
    return plain(found)


def restore(method: nn.Module, optimizers: Mapping[str, Optimizer], stored: Mapping[str, Tensor]) -> None:
    """Put back what :func:`flatten` gave, in each parameter's own memory layout and sharding."""
    names = {parameter: name for name, parameter in method.named_parameters()}
    fields: dict[str, dict[str, Tensor]] = {}
    for key, value in stored.items():
        place, last = key.rsplit("/", 1)
        fields.setdefault(place, {})[last] = value
    for turn, optimizer in optimizers.items():
        state = optimizer.state_dict()
        moved = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for index, parameter in enumerate(moved):
            held = fields.get(f"{turn}/{names[parameter]}", {})
            # fused kernels walk memory: a moment laid out unlike its parameter would be applied to other weights
            state["state"][index] = {
                key: shared_like(value, parameter) if value.shape == parameter.shape and key != "step" else value
                for key, value in held.items()
            }
        state["state"] = {index: held for index, held in state["state"].items() if held}
        optimizer.load_state_dict(state)
