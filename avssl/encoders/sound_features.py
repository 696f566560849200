"""Waveforms -> what each pretrained sound tower takes; always padded in the waveform, never after the logarithm.

Padding after the logarithm, as the towers' own preprocessing does it for spectrogram transformers, makes silence louder
than speech.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

LONGEST_SECONDS = {"audio-spectrogram-transformer": 10.24, "clap": 10.0, "clap_audio_model": 10.0, "whisper": 30.0}
"""what a tower sees at once; CLAP draws a random part of longer sounds"""


class Prepared(NamedTuple):
    """What a tower takes, and which share of the time axis it gives back is sound and not padding."""

    x: Tensor
    share: float


def prepare(kind: str, extractor: Any, wave: Tensor) -> Prepared:
    """wave float32 [B, S] at the tower's own rate -> its input. Raises ValueError if it is too long for this tower."""
    seconds = wave.shape[1] / extractor.sampling_rate
    longest = LONGEST_SECONDS.get(kind, seconds)
    if seconds > longest + 1e-3:
        raise ValueError(
            f"inputs.audio_seconds: this tower takes at most {longest} s of sound at once, got {seconds:.1f}"
        )
    if kind == "audio-spectrogram-transformer":
        return _filter_bank(extractor, wave)
    if kind in ("clap", "clap_audio_model"):
        made = extractor(list(wave.cpu().numpy()), sampling_rate=extractor.sampling_rate, return_tensors="pt")
        return Prepared(made["input_features"].to(wave.device), seconds / longest)
    if kind == "whisper":
        made = extractor(list(wave.cpu().numpy()), sampling_rate=extractor.sampling_rate, return_tensors="pt")
        return Prepared(made["input_features"].to(wave.device), seconds / extractor.chunk_length)
    if extractor.do_normalize:
        deviation, mean = torch.std_mean(wave, 1, keepdim=True, correction=0)
        wave = (wave - mean) / (deviation.square() + 1e-7).sqrt()
    return Prepared(wave, 1.0)


def _filter_bank(extractor: Any, wave: Tensor) -> Prepared:
    """[B, S] -> Kaldi's log filter banks [B, M, F], scaled as the tower was trained."""
    from torchaudio.compliance.kaldi import fbank

    hop, window = extractor.sampling_rate // 100, extractor.sampling_rate // 40
    frames: int = extractor.max_length
    real = min(1.0, wave.shape[1] / hop / frames)
    wave = F.pad(wave, (0, max(0, window + hop * (frames - 1) - wave.shape[1])))
    rows = [
        fbank(
            one[None],
            sample_frequency=extractor.sampling_rate,
            window_type="hanning",
            num_mel_bins=extractor.num_mel_bins,
        )
        for one in wave
    ]
    bank = torch.stack(rows)[:, :frames]
    if extractor.do_normalize:
        bank = (bank - extractor.mean) / (extractor.std * 2)
    return Prepared(bank, real)
