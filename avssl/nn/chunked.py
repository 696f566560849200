"""Cached gradients: a contrastive batch that need not fit in memory.

Gao, Zhang, Han, Callan, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", RepL4NLP 2021,
arXiv:2101.06983: encode in chunks without keeping activations, compute the loss of the whole batch on the outputs, then
encode each chunk again to push the outputs' gradients through it. One more forward pass; memory of one chunk.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

WITHIN = "encoder."
"""what the wrapper adds to its encoder's parameter names, and takes out of the state dict again"""


def chunked(encoder: nn.Module, n: int, *x: Tensor) -> Any:
    """``encoder(*x)`` for x [B, ...] in at most ``n`` chunks whose activations are computed again in the backward pass.

    The outputs (a tensor, or nested tuples of tensors, all with the batch first) and gradients equal the plain ones up
    to rounding, unless the encoder normalizes over its batch. Randomness inside (dropout) is replayed.
    """
    if n <= 1 or not torch.is_grad_enabled():
        return encoder(*x)
    chunks = zip(*(each.chunk(n) for each in x), strict=True)
    return _join([checkpoint(encoder, *part, use_reentrant=False) for part in chunks])


def _join(parts: list[Any]) -> Any:
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(parts)
    joined = [_join(list(column)) for column in zip(*parts, strict=True)]
    return type(first)(*joined) if hasattr(first, "_fields") else type(first)(joined)


class Chunked(nn.Module):
    """An encoder that is always run in ``n`` chunks where gradients are wanted; its state dict is the encoder's own."""

    def __init__(self, encoder: nn.Module, n: int):
        super().__init__()
        self.encoder = encoder
        self.n = n
        self.register_state_dict_post_hook(_strip)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_restore)  # type: ignore[no-untyped-call]

    def forward(self, *x: Tensor) -> Any:
        """As the encoder's."""
        return chunked(self.encoder, self.n, *x)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("encoder"), name)


def unchunked(encoder: nn.Module) -> nn.Module:
    """The encoder itself."""
    return encoder.encoder if isinstance(encoder, Chunked) else encoder


def _strip(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Mapping[str, Any]) -> None:
    for key in [key for key in state if key.startswith(prefix + WITHIN)]:
        state[prefix + key.removeprefix(prefix + WITHIN)] = state.pop(key)


def _restore(module: nn.Module, state: dict[str, Any], prefix: str, *unused: Any) -> None:
    own = module.encoder.state_dict()  # type: ignore[union-attr]
    for key in own:
        if prefix + key in state:
            state[prefix + WITHIN + key] = state.pop(prefix + key)


def wrap(encoders: nn.ModuleDict, n: int, kinds: Mapping[str, str] | None = None) -> None:
    """Replace every encoder by its chunked form, in place.

    ``kinds`` names the section of the config that an encoder is built from, where it is not called so. Raises
    ValueError if one normalizes over its batch.
    """
    over = [name for name in encoders if any(isinstance(part, _BatchNorm) for part in encoders[name].modules())]
    if over:
        sections = dict.fromkeys((kinds or {}).get(name, name) for name in over)
        change = " ".join(f"encoders.{section}.norm=group" for section in sections)
        raise ValueError(
            f"optim.chunks={n}: the encoders of {', '.join(over)} normalize over their batch, which chunks would "
            f"change, and the gradients with it: set {change}, or optim.chunks=1"
        )
    for name, encoder in encoders.items():
        encoders[name] = Chunked(encoder, n)
