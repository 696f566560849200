"""Sound against every place of a picture: similarities, their aggregation, and losses that need more than pairs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avssl import ops
from avssl.nn.gather import gather


def similarity_volume(video: Tensor, audio: Tensor) -> Tensor:
    """video [V, T, D, h, w], audio [A, T, D] -> [V, A, T, h, w], the inner product at each time and place."""
    return torch.einsum("vtdhw,atd->vathw", video, audio)


def place_then_time(volume: Tensor, sharpness: float) -> Tensor:
    """Smooth maximum over places, mean over time (Hamilton et al., 2024): [V, A, T, h, w] -> [V, A]."""
    return ops.soft_max(volume.flatten(3), sharpness, 3).mean(2)


def time_then_place(video: Tensor, audio: Tensor, sharpness: float) -> Tensor:
    """Sum over time, then a smooth maximum over places: the sound must agree with one place over the whole window.

    With vectors that are unit over the window the sum is a cosine. One matrix product instead of a volume over time:
    video [V, T, D, h, w], audio [A, T, D] -> [V, A].
    """
    places = torch.einsum("vtdhw,atd->vahw", video, audio)
    return ops.soft_max(places.flatten(2), sharpness, 2)


def window_unit(x: Tensor, remove_mean: bool) -> Tensor:
    """Features over time -> unit length over the whole window, at each place on its own.

    Args:
        x: [B, T, D, ...].
        remove_mean: take the mean over time away first, so that only what changes is compared.
    """
    x = x.float()
    if remove_mean:
        x = x - x.mean(1, keepdim=True)
    length: Tensor = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
    return x / (length + 1e-3)


class Calibration(nn.Module):
    """Binary logistic loss on similarities (the form of SigLIP; Zhai et al., 2023): puts all scores on one scale.

    Contrast only orders candidates; one threshold for all recordings needs scores that mean the same everywhere.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor([10.0]).log())
        self.bias = nn.Parameter(torch.tensor([-5.0]))

    def forward(self, similarity: Tensor, positive: Tensor, valid: Tensor) -> Tensor:
        """similarity [V, A], bool masks [V, A] -> mean of both classes' losses, classes weighted equally."""
        logits = similarity * self.log_scale.exp() + self.bias
        loss = F.binary_cross_entropy_with_logits(logits, positive.float(), reduction="none")
        negative = valid & ~positive
        return 0.5 * (loss[positive].mean() + loss[negative].mean())


def at_steps(sound: Tensor, steps: int, filled: float) -> Tensor:
    """Means of [B, D, t] over the time of each of an encoder's steps, [B, D, steps].

    A picture's last step may reach beyond the window (25 frames in steps of 4 make 7, as 28 would): the sound fills
    the share ``filled`` of them all, and a sound stretched over all of them would run ever further ahead.
    """
    missing = max(0, round(sound.shape[2] * (1 / filled - 1)))
    return F.adaptive_avg_pool1d(F.pad(sound, (0, missing), mode="replicate"), steps)


def per_frame(scores: Tensor, frames: int, stride: int) -> Tensor:
    """Scores [B, T', ...], one per ``stride`` frames -> [B, T, ...], each frame with those of its step."""
    return scores.index_select(1, step_of(frames, scores, stride))


def step_of(frames: int, each: Tensor, stride: int) -> Tensor:
    """The step of [B, T', ...] that shows each of so many frames, int64 [T]."""
    return (torch.arange(frames, device=each.device) // stride).clamp_max(each.shape[1] - 1)


def frame_shares(each: Tensor, frames: int, stride: int) -> Tensor:
    """The share of ``frames`` that shows each of an encoder's steps, of ``each`` [B, T', ...]; [1, T', 1, ...]."""
    steps = each.shape[1]
    shown = step_of(frames, each, stride)
    shares = torch.bincount(shown, minlength=steps).to(each.dtype) / frames
    return shares.view(1, steps, *[1] * (each.ndim - 2))


def unheard(noise: Tensor, silence: float) -> Tensor:
    """Sounds that no clip makes: every eighth noise of the whole batch, and silence; [B / R, ...] -> [X, ...].

    Each rank encodes all of them, so that ranks agree whatever their share of the batch is.
    """
    chosen = gather(noise)[::8]
    return torch.cat([chosen, torch.full_like(chosen[:1], silence)])
