"""Frozen features of an encoder, and what a picture or a sound tells without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from avssl.methods.base import Method
from avssl.probe.decoded import Decoded

BATCH = 64
RAW_SIDE = 16
"""raw pixels: pictures are averaged down to this many along each side"""


def encoder_of(method: Method[Any], modality: str) -> nn.Module:
    """The encoder of a modality."""
    encoder: nn.Module = method.encoders[modality]
    return encoder


def vectors(
    method: Method[Any], data: Decoded, tell: Callable[[int, int], None] | None = None, pooled: str = "mean"
) -> NDArray[np.float32]:
    """The encoder's vector of each example, [N, D], averaged over its windows; not the projection of the loss.

    ``pooled``: "mean" is the encoder's own (of a pretrained tower its own pooling); "max" the maximum of its last map
    over places and moments, which methods with ``pooling: max`` train. Raises ValueError for the maximum of texts,
    whose maps are zero where padded.
    """
    if pooled == "max" and data.modality == "text":
        raise ValueError("--pooled max: words are not places or moments; it is for pictures, videos and sounds")
    return data.averaged(np.concatenate(list(seen(method, data, lambda out: out.pooled(pooled), tell))))


def seen(
    method: Method[Any],
    data: Decoded,
    look: Callable[[Any], Tensor],
    tell: Callable[[int, int], None] | None = None,
) -> Iterator[NDArray[np.float32]]:
    """``look`` at what the encoder gives for each batch, in eval mode, as the method itself embeds.

    The method's ``embed`` is asked and its encoder listened to, so that whatever the method does to its input (dropping
    the colour, say) is done here too. A video that the encoder sees frame by frame gives the mean over its frames.
    """
    device = next(method.parameters()).device
    training = method.training
    method.eval()
    try:
        for first in range(0, len(data.owner), BATCH):
            x = data.batch(slice(first, first + BATCH)).to(device)
            with torch.inference_mode():
                told = look(enter(method, data.modality, x)).float()
            if len(told) != len(x):
                told = told.unflatten(0, (len(x), -1)).mean(1)
            yield told.cpu().numpy()
            if tell is not None:
                tell(min(first + BATCH, len(data.owner)), len(data.owner))
    finally:
        method.train(training)


def enter(method: Method[Any], modality: str, x: Tensor) -> Any:
    """What the encoder gives for a batch: as ``embed`` has it see the batch where the method embeds this modality."""
    encoder = encoder_of(method, modality)
    with listening(encoder) as heard:
        for name, space in method.spaces.items():
            if modality in space.modalities:
                method.embed(modality, x, name)
                break
    return heard[-1] if heard else encoder(x)


@contextmanager
def listening(module: nn.Module) -> Iterator[list[Any]]:
    """What a module gives, each time it is called."""
    heard: list[Any] = []
    handle = module.register_forward_hook(lambda _, given, out: heard.append(out))
    try:
        yield heard
    finally:
        handle.remove()


def raw(data: Decoded) -> tuple[str, NDArray[np.float32]]:
    """What is there without any encoder: (its name, [N, D]).

    Pictures: pixels averaged down to 16 x 16. Videos: those of the mean frame, and of the mean change between frames.
    Sounds: mean, deviation and mean change of each log-mel band. Texts: how often each token is there.
    """
    name = {"image": "raw pixels", "video": "raw pixels", "audio": "log-mel statistics", "text": "token counts"}
    blocks = []
    for first in range(0, len(data.owner), BATCH):
        x = data.batch(slice(first, first + BATCH))
        blocks.append(_RAW[data.modality](x).numpy())
    if data.modality == "text":
        width = max(block.shape[1] for block in blocks)
        blocks = [np.pad(block, ((0, 0), (0, width - block.shape[1]))) for block in blocks]
    return name[data.modality], data.averaged(np.concatenate(blocks).astype(np.float32))


def _pixels(x: Tensor) -> Tensor:
    """uint8 [B, 3, H, W] -> [B, 3 * 16 * 16] in 0..1."""
    side = min(RAW_SIDE, *x.shape[-2:])
    return F.adaptive_avg_pool2d(x.float() / 255, side).flatten(1)


def _moving(x: Tensor) -> Tensor:
    """uint8 [B, T, 3, H, W] -> [B, 2 * 3 * 16 * 16]."""
    frames = torch.stack([_pixels(one) for one in x.unbind(1)])  # [T, B, D]
    change = frames.diff(dim=0).abs().mean(0) if len(frames) > 1 else torch.zeros_like(frames[0])
    return torch.cat([frames.mean(0), change], 1)


def _bands(x: Tensor) -> Tensor:
    """log-mel [B, M, F] -> [B, 3 F]; a wave [B, S] -> its level and change, [B, 3]."""
    x = x if x.ndim == 3 else x[..., None].abs()
    return torch.cat([x.mean(1), x.std(1), x.diff(dim=1).abs().mean(1)], 1)


def _counts(tokens: Tensor) -> Tensor:
    """tokens [B, L], padded with -1 -> [B, V], V the largest token and one."""
    width = int(tokens.max()) + 2
    counts = torch.zeros(len(tokens), width).scatter_add_(1, tokens.clamp_min(-1) + 1, torch.ones(tokens.shape))
    return counts[:, 1:]


_RAW = {"image": _pixels, "video": _moving, "audio": _bands, "text": _counts}
