"""What keeps a sound's map honest beside the contrast: the regularizers of DenseAV, and sounds with a foreign stretch.

Hamilton, Zisserman, Hershey, Freeman, CVPR 2024 (arXiv:2406.05629). Each is a mean of one number per score, so that
its weight means the same at every size. ``paired`` are the scores [B, K, T, h, w] of each clip with its own sound.
"""

from __future__ import annotations

import torch
from torch import Tensor

from avssl import ops


def unit_heads(x: Tensor, heads: int) -> Tensor:
    """Each head's part of vectors [B, T, D, ...] made unit; a head has its own D / K of the D numbers."""
    return ops.unit(x.unflatten(2, (heads, -1)), 3).flatten(2, 3)


def by_head(video: Tensor, audio: Tensor, heads: int) -> Tensor:
    """Each head's scores of all pairs: video [V, T, D, h, w], audio [A, T, D] -> [V, A, K, T, h, w]."""
    return torch.einsum("vtkdhw,atkd->vakthw", video.unflatten(2, (heads, -1)), audio.unflatten(2, (heads, -1)))


def head_maps(video: Tensor, audio: Tensor, heads: int) -> Tensor:
    """Each head's scores of each clip with its own sound: [B, T, D, h, w], [B, T, D] -> [B, T, K, h, w]."""
    return torch.einsum("btkdhw,btkd->btkhw", video.unflatten(2, (heads, -1)), audio.unflatten(2, (heads, -1)))


def below_zero(volume: Tensor) -> Tensor:
    """Mean square of what is negative in scores [V, A, K, T, h, w]: a place may fit a sound or not, no more."""
    return volume.clamp_max(0).square().mean()


def restless(paired: Tensor) -> Tensor:
    """Mean square of the change from each moment to the next (total variation); 0 for a single moment."""
    change = paired.diff(dim=2)
    return change.square().mean() if change.numel() else paired.new_zeros(())


def alike(paired: Tensor) -> Tensor:
    """Mean of |a| |b| over all pairs of heads, so that heads light different places; 0 for a single head."""
    size, heads = paired.abs(), paired.shape[1]
    if heads == 1:
        return paired.new_zeros(())
    # the square of a sum holds every pair twice, and the squares
    pairs = (size.sum(1).square() - size.square().sum(1)) / (heads * (heads - 1))
    return pairs.mean()


def spliced(sounds: Tensor, recording: Tensor, stretch: Tensor) -> tuple[Tensor, Tensor]:
    """A stretch of each sound replaced by the same stretch of the next item's sound: a sound from off screen.

    Args:
        sounds: [B, M, F] spectrograms (or [B, S] waves) of the whole batch.
        recording: [B]; an item whose next one is of the same recording stays as it is.
        stretch: [B, 2], beginning and length as shares of the sound.

    Returns:
        The sounds, and which of their M steps are foreign, bool [B, M].
    """
    count = sounds.shape[1]
    at = torch.arange(count, device=sounds.device) / count
    begin, length = stretch[:, :1], stretch[:, 1:]
    foreign = (at >= begin) & (at < begin + length) & (recording != recording.roll(-1))[:, None]  # [B, M]
    return torch.where(foreign.view(*foreign.shape, *[1] * (sounds.ndim - 2)), sounds.roll(-1, 0), sounds), foreign


def heard_off_screen(paired: Tensor, foreign: Tensor) -> Tensor:
    """Mean square of the scores at moments whose sound is foreign; 0 where there are none.

    Args:
        paired: [B, K, T, h, w].
        foreign: [B, T], the share of each moment's sound that is foreign; moments weigh as much.
    """
    each = paired.square().mean((1, 3, 4))  # [B, T]
    return (each * foreign).sum() / foreign.sum().clamp_min(1e-6)
