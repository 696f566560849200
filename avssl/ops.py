"""Pure tensor functions: no state, no modules, plain arguments."""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor


def unit(x: Tensor, dim: int = -1) -> Tensor:
    """x / |x| along ``dim``, in float32; a zero vector stays zero."""
    return F.normalize(x.float(), dim=dim, eps=1e-6)


def picture(x: Tensor) -> Tensor:
    """uint8 0..255 or float 0..1, any shape -> float about -1..1 in the autocast dtype's road (float32)."""
    return x.float().mul_(1 / 127.5).sub_(1.0) if x.dtype == torch.uint8 else x * 2 - 1


@functools.lru_cache(maxsize=8)
def mel_matrix(hz: int, fft: int, mels: int, low_hz: float = 30.0) -> Tensor:
    """HTK mel filter bank [fft // 2 + 1, mels], from torchaudio."""
    from torchaudio.functional import melscale_fbanks

    bank: Tensor = melscale_fbanks(fft // 2 + 1, low_hz, hz / 2, mels, hz)
    return bank


@functools.lru_cache(maxsize=8)
def _hann(length: int) -> Tensor:
    return torch.hann_window(length)


MEL_FLOOR = 1e-6
"""power added before the log: about -60 dB below a full-scale tone, so that silence is the lowest value, not loud"""


MEL_SILENCE = -1.0
"""what :func:`log_mel` makes of silence"""


def log_mel(wave: Tensor, hz: int, mels: int, hop_seconds: float, window_seconds: float) -> Tensor:
    """Waveform [..., S] in -1..1 -> log-mel [..., M, F], scaled so that silence is -1 and loud sound about +1.

    M = round(S / hop). The waveform is padded with zeros (never the logarithm), so padding is silence.
    """
    hop, window = round(hop_seconds * hz), round(window_seconds * hz)
    fft = 1 << math.ceil(math.log2(window))
    frames = round(wave.shape[-1] / hop)
    flat = F.pad(wave.reshape(-1, wave.shape[-1]).float(), (fft // 2, fft // 2))
    spectrum = torch.stft(flat, fft, hop, window, _hann(window).to(wave.device), center=False, return_complex=True)
    power = spectrum.real.square() + spectrum.imag.square()  # [*, fft/2+1, M']
    level = torch.log(power.transpose(1, 2) @ mel_matrix(hz, fft, mels).to(wave.device) + MEL_FLOOR)
    floor = math.log(MEL_FLOOR)
    level = (level - floor) / 9.0 - 1.0
    if level.shape[1] < frames:
        level = F.pad(level, (0, 0, 0, frames - level.shape[1]), value=-1.0)
    return level[:, :frames].reshape(*wave.shape[:-1], frames, mels)


INAUDIBLE = 1e-4
"""greatest sample of what is silence to a listener (-80 dB)"""


def is_silent(wave: Tensor) -> bool:
    """Whether nothing can be heard in wave [..., S] in -1..1."""
    return bool(wave.abs().max() < INAUDIBLE)


def at_speed(wave: Tensor, speed: float) -> Tensor:
    """A sound [..., S] played ``speed`` times as fast, its pitch with it: cut at S, or silence after its end."""
    places = torch.arange(wave.shape[-1], device=wave.device) * speed
    before = places.long()
    known = F.pad(wave, (0, 2))
    first, second = (known[..., (before + step).clamp(max=wave.shape[-1])] for step in (0, 1))
    return first + (places - before) * (second - first)


def soft_max(x: Tensor, sharpness: float, dim: int | tuple[int, ...]) -> Tensor:
    """Log-mean-exp: a smooth maximum between the mean (sharpness 0) and the maximum (infinity)."""
    dims = (dim,) if isinstance(dim, int) else dim
    count = math.prod(x.shape[d] for d in dims)
    return (torch.logsumexp(x * sharpness, dims) - math.log(count)) / sharpness


TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
"""linear sRGB -> CIE XYZ, under daylight (D65)"""
WHITE = (0.95047, 1.0, 1.08883)
"""XYZ of white in daylight (D65)"""


def lab(x: Tensor) -> Tensor:
    """sRGB float 0..1 or uint8 [..., 3, H, W] -> CIE Lab: L 0..100, a and b about -110..110. Always float32."""
    x = x.float() / 255 if x.dtype == torch.uint8 else x.float()
    linear = torch.where(x > 0.04045, ((x + 0.055) / 1.055).clamp_min(0) ** 2.4, x / 12.92)
    xyz = torch.einsum("ij,...jhw->...ihw", x.new_tensor(TO_XYZ) / x.new_tensor(WHITE)[:, None], linear)
    f = torch.where(xyz > 0.008856, xyz.clamp_min(0.008856) ** (1 / 3), 7.787 * xyz + 4 / 29)
    x, y, z = f.unbind(-3)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -3)


def rgb(x: Tensor) -> Tensor:
    """CIE Lab [..., 3, H, W] -> sRGB float 0..1; colours that a screen cannot show are clipped."""
    x = x.float()
    light, a, b = x.unbind(-3)
    middle = (light + 16) / 116
    f = torch.stack([middle + a / 500, middle, middle - b / 200], -3)
    xyz = torch.where(f > 0.2068966, f**3, (f - 4 / 29) / 7.787)
    linear = torch.einsum("ij,...jhw->...ihw", torch.linalg.inv(x.new_tensor(TO_XYZ)) * x.new_tensor(WHITE), xyz)
    bright = 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, bright, 12.92 * linear).clamp(0, 1)
