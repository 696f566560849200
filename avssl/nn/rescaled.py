"""Random weights made to fit the data: every channel speaks equally loudly, every layer learns equally quickly.

Philipp Krähenbühl, Carl Doersch, Jeff Donahue, Trevor Darrell: Data-dependent Initializations of Convolutional Neural
Networks, ICLR 2016, arXiv:1511.06856. Two parts: :func:`within`, which gives every output channel of every layer mean 0
and deviation 1 on a sample, and :func:`between`, after which a random gradient at the top changes every layer at the
same rate, its size over that of its weights.

The rescaled weights of a network without normalization give what they gave before, but for a factor. Where a layer's
scale is normalized away behind it, its rate still counts. Deviations: means are 0, where the authors' code has 0.1;
layers with a norm behind them have no bias, and the norm's own takes its place; no weights from clusters of patches.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Generator, Tensor, nn

from avssl.encoders.image import PlaceNorm

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
NORMS = (nn.GroupNorm, nn.LayerNorm, nn.modules.batchnorm._BatchNorm)
LEAST = 1e-6
"""deviation of a channel that says nothing: it is left as it is"""
ROWS = 16
"""inputs of which gradients are added up at once"""
ROUNDS, SPREAD = 10, 0.01
"""how often rates are made equal at most, and how far apart, relatively, they may stay"""

Inputs = tuple[Any, ...]
"""what an encoder is called with: tensors with the batch first"""


@torch.no_grad()
def within(encoder: nn.Module, given: Inputs) -> list[nn.Module]:
    """Gives every channel of every trained layer and norm mean 0 and deviation 1 on these inputs, from below upwards.

    Channels without a bias keep their mean, silent ones all. Gives the layers (no norms) in the order of their use.
    """
    used: list[nn.Module] = []
    kinds = (*LAYERS, *NORMS)

    def settle(module: nn.Module, x: Inputs, out: Tensor) -> Tensor | None:
        if module in used:
            return None
        used.append(module)
        axis = _axis(module)
        rows = out.float().movedim(axis, 0).flatten(1)  # [C, everything else]
        deviation = rows.std(1, correction=0)
        deviation = torch.where(deviation > LEAST, deviation, 1)
        weight, bias = _weight(module), module.bias
        weight.div_(deviation.view(-1, *[1] * (weight.ndim - 1)))
        moved = torch.zeros_like(deviation)
        if isinstance(bias, nn.Parameter):
            moved = rows.mean(1)
            bias.sub_(moved).div_(deviation)
        shape = [1] * out.ndim
        shape[axis] = -1
        return ((out - moved.view(shape)) / deviation.view(shape)).to(out.dtype)

    with _hooked(encoder, kinds, settle), _statistics_kept(encoder):
        encoder(*given)
    return [module for module in used if isinstance(module, LAYERS)]


def between(encoder: nn.Module, given: Inputs, layers: list[nn.Module], seed: int) -> float:
    """Makes the layers' rates equal: each one's weights are multiplied by the root of its rate over the geometric mean.

    Args:
        encoder: whose last map (or vector, where it has no map) gets the random gradient.
        given: the sample.
        layers: as :func:`within` gives them.
        seed: of the random gradients.

    Returns:
        The greatest rate over the least, less 1. Layers of zeros, and those of which the top hears nothing, have no
        rate and stay as they are.
    """
    rate = rates(encoder, given, layers, seed)
    moved = [layer for layer, own in zip(layers, rate.tolist(), strict=True) if 0 < own < math.inf]
    rate = rate[(rate > 0) & rate.isfinite()]
    best, power = _spread(rate), 0.5
    for _ in range(ROUNDS):
        if best < SPREAD:
            break
        before = [copy.deepcopy(layer.state_dict()) for layer in layers]
        with torch.no_grad():
            for layer, factor in zip(moved, (rate / rate.log().mean().exp()) ** power, strict=True):
                _weight(layer).mul_(factor)
        _center(encoder, given, layers)
        found = rates(encoder, given, moved, seed)
        if _spread(found) < best:
            rate, best = found, _spread(found)
        else:  # attention is not homogeneous in its weights: back, and on in smaller steps
            for layer, held in zip(layers, before, strict=True):
                layer.load_state_dict(held)
            power /= 2
    return best


def _spread(rate: Tensor) -> float:
    return float(rate.max() / rate.min() - 1) if len(rate) else 0.0


def rates(encoder: nn.Module, given: Inputs, layers: list[nn.Module], seed: int) -> Tensor:
    """Of each layer, how large its gradient is over its weights (roots of mean squares), [layers].

    The gradient at the top is Gaussian and of the same draw each time.
    """
    weights = [_weight(layer) for layer in layers]
    totals = [torch.zeros_like(weight) for weight in weights]
    draw = Generator().manual_seed(seed)
    with _statistics_kept(encoder), torch.enable_grad():
        for part in zip(*(x.split(ROWS) for x in given), strict=True):
            out = encoder(*part)
            top = (out.maps[-1] if out.maps else out.vector).float()
            noise = torch.randn(top.shape, generator=draw).to(top.device)
            found = torch.autograd.grad((top * noise).sum(), weights, allow_unused=True)
            for total, gradient in zip(totals, found, strict=True):
                if gradient is not None:
                    total += gradient
    sizes = [(one.square().mean(), w.detach().square().mean()) for one, w in zip(totals, weights, strict=True)]
    return torch.stack([(gradient / weight).sqrt() for gradient, weight in sizes])


@torch.no_grad()
def _center(encoder: nn.Module, given: Inputs, layers: list[nn.Module]) -> None:
    """Sets biases anew so that means are 0: in a network without norms this is the factor of all that is below."""
    seen: list[nn.Module] = []

    def settle(module: nn.Module, x: Inputs, out: Tensor) -> Tensor | None:
        if module in seen or not isinstance(module.bias, nn.Parameter):
            return None
        seen.append(module)
        shape = [1] * out.ndim
        shape[_axis(module)] = -1
        moved = out.float().movedim(_axis(module), 0).flatten(1).mean(1)
        module.bias.sub_(moved)
        return out - moved.view(shape).to(out.dtype)

    with _hooked(encoder, LAYERS, settle), _statistics_kept(encoder):
        encoder(*given)


def _axis(module: nn.Module) -> int:
    """Where the channels of a module's output are."""
    return -1 if isinstance(module, nn.Linear | nn.LayerNorm) and not isinstance(module, PlaceNorm) else 1


@contextmanager
def _hooked(
    encoder: nn.Module, kinds: tuple[type[nn.Module], ...], hook: Callable[[nn.Module, Inputs, Tensor], Tensor | None]
) -> Iterator[None]:
    """``hook`` sees, and may replace, what each trained module of these kinds gives."""
    chosen = [one for one in encoder.modules() if isinstance(one, kinds) and _trained(one)]
    handles = [one.register_forward_hook(hook) for one in chosen]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _trained(module: nn.Module) -> bool:
    return isinstance(module.weight, nn.Parameter) and module.weight.requires_grad


def _weight(module: nn.Module) -> nn.Parameter:
    assert isinstance(module.weight, nn.Parameter)
    return module.weight


@contextmanager
def _statistics_kept(encoder: nn.Module) -> Iterator[None]:
    """What the network counts and averages itself is afterwards as it was."""
    before = {name: value.clone() for name, value in encoder.named_buffers()}
    try:
        yield
    finally:
        for name, value in encoder.named_buffers():
            value.copy_(before[name])
