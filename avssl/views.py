"""Augmentations that two or more methods share; every draw comes from the generator that is given.

Pictures are uint8 [..., 3, H, W]; what is drawn is drawn once, so that all frames of a clip get the same view.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torchvision.transforms.v2 import functional as F

from avssl import ops
from avssl.inputs import Inputs
from avssl.sample import Needs, Sample

SILENCE = ops.MEL_SILENCE
"""what a hidden part of a log-mel spectrogram becomes: the value of silence (ops.log_mel)"""


def uniform(generator: Generator, low: float, high: float) -> float:
    """One number between ``low`` and ``high``."""
    return low + (high - low) * float(torch.rand((), generator=generator))


def integer(generator: Generator, count: int) -> int:
    """One of 0 .. count - 1."""
    return int(torch.randint(count, (), generator=generator))


def chance(generator: Generator, probability: float) -> bool:
    """True with this probability; always uses one draw."""
    return float(torch.rand((), generator=generator)) < probability


def crop(x: Tensor, generator: Generator, area: tuple[float, float], size: tuple[int, int] | None = None,
         ratio: tuple[float, float] = (3 / 4, 4 / 3)) -> Tensor:  # fmt: skip
    """A random rectangle of the picture, scaled bicubically (the crop of Szegedy et al., 2015).

    Args:
        x: uint8 [..., 3, H, W].
        generator: of all draws.
        area: least and greatest share of the picture's area.
        size: (height, width) of the result in pixels; default that of ``x``.
        ratio: least and greatest width / height of the rectangle.

    Returns:
        uint8 [..., 3, *size].
    """
    height, width = x.shape[-2:]
    size = size or (height, width)
    for _ in range(10):
        share = uniform(generator, *area) * height * width
        shape = math.exp(uniform(generator, math.log(ratio[0]), math.log(ratio[1])))
        h, w = round(math.sqrt(share / shape)), round(math.sqrt(share * shape))
        if 0 < h <= height and 0 < w <= width:
            break
    else:
        h, w = height, width
    top, left = integer(generator, height - h + 1), integer(generator, width - w + 1)
    cut: Tensor = F.resized_crop(
        x, top, left, h, w, list(size), interpolation=F.InterpolationMode.BICUBIC, antialias=True
    )
    return cut


def flip(x: Tensor, generator: Generator, probability: float = 0.5) -> Tensor:
    """Mirrors left and right."""
    return x.flip(-1) if chance(generator, probability) else x


def color(x: Tensor, generator: Generator, strength: float = 1.0, probability: float = 0.8) -> Tensor:
    """Brightness, contrast, saturation (factors 1 +- 0.8 strength) and hue (+- 0.2 strength), in random order.

    The policy of SimCLR (Chen et al., 2020), version 2: all four multiply, each result is clipped.
    """
    if not chance(generator, probability):
        return x
    wide, narrow = 0.8 * strength, 0.2 * strength
    low, high = max(0.0, 1 - wide), 1 + wide
    values = [uniform(generator, low, high) for _ in range(3)] + [uniform(generator, -narrow, narrow)]
    changes = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
    for index in torch.randperm(4, generator=generator).tolist():
        x = changes[index](x, values[index])
    return x


def gray(x: Tensor, generator: Generator, probability: float = 0.2) -> Tensor:
    """Drops the colour, keeps three planes."""
    return F.rgb_to_grayscale(x, 3) if chance(generator, probability) else x


def blur(x: Tensor, generator: Generator, probability: float = 0.5, sigma: tuple[float, float] = (0.1, 2.0)) -> Tensor:
    """Gaussian blur with a kernel of a tenth of the height, ``sigma`` in pixels."""
    if not chance(generator, probability):
        return x
    width = uniform(generator, *sigma)
    kernel = max(3, x.shape[-2] // 10 | 1)
    blurred: Tensor = F.gaussian_blur(x, [kernel, kernel], [width, width])
    return blurred


def solarize(x: Tensor, generator: Generator, probability: float = 0.2) -> Tensor:
    """Turns the brighter half of each plane's values, from 128 on, into its negative."""
    return torch.where(x < 128, x, 255 - x) if chance(generator, probability) else x


def gain(wave: Tensor, generator: Generator, decibels: float = 6.0) -> Tensor:
    """Louder or softer by up to ``decibels``, clipped to -1..1; wave [..., S]."""
    return (wave * 10 ** (uniform(generator, -decibels, decibels) / 20)).clamp(-1, 1)


def late(wave: Tensor, generator: Generator, samples: int) -> Tensor:
    """Sooner or later by up to ``samples``, silence where nothing is known; wave [S]."""
    by = integer(generator, 2 * samples + 1) - samples
    kept = wave[max(0, -by) : len(wave) - max(0, by)]
    return torch.nn.functional.pad(kept, (max(0, by), max(0, -by)))


def speed(wave: Tensor, generator: Generator, most: float) -> Tensor:
    """Faster or slower by up to a factor of 1 + ``most``, its pitch with it; wave [S], silence after its end.

    Speed perturbation (Ko, Peddinti, Povey, Khudanpur: Audio Augmentation for Speech Recognition, Interspeech 2015).
    """
    places = torch.arange(len(wave)) * (1 + most) ** uniform(generator, -1, 1)
    before = places.long()
    known = torch.nn.functional.pad(wave, (0, 2))
    first, second = (known[(before + step).clamp(max=len(wave))] for step in (0, 1))
    changed: Tensor = first + (places - before) * (second - first)
    return changed


def tone(wave: Tensor, generator: Generator, decibels: float, bands: int = 8) -> Tensor:
    """Frequencies louder or softer by up to ``decibels``, as another microphone or room has them; wave [S].

    Levels are drawn at ``bands`` points, evenly apart in octaves over seven of them, and lie on lines in between.
    """
    drawn = torch.tensor([uniform(generator, -decibels, decibels) for _ in range(bands)])
    size = len(wave) // 2 + 1
    place = (1 + torch.log2(torch.arange(1, size + 1) / size) / 7).clamp(0, 1) * (bands - 1)  # [size]
    below = place.long().clamp(max=bands - 2)
    level = drawn[below] + (place - below) * (drawn[below + 1] - drawn[below])
    changed: Tensor = torch.fft.irfft(torch.fft.rfft(wave) * 10 ** (level / 20), n=len(wave))
    return changed


def hide(mel: Tensor, generator: Generator, times: float = 0.2, bands: float = 0.2) -> Tensor:
    """SpecAugment (Park et al., 2019) without warping: one stretch of time and one of bands become silence.

    Args:
        mel: [..., M, F] log-mel spectrogram.
        generator: of all draws.
        times, bands: greatest hidden share of M and of F.
    """
    mel = mel.clone()
    for axis, share in ((-2, times), (-1, bands)):
        count = mel.shape[axis]
        length = integer(generator, int(share * count) + 1)
        start = integer(generator, count - length + 1)
        mel.narrow(axis, start, length).fill_(SILENCE)
    return mel


def shift(x: Tensor, generator: Generator, share: float = 0.08) -> Tensor:
    """Moves the picture by up to ``share`` of its size, the edge repeated; x uint8 [..., H, W]."""
    height, width = x.shape[-2:]
    down = integer(generator, 2 * int(share * height) + 1) - int(share * height)
    right = integer(generator, 2 * int(share * width) + 1) - int(share * width)
    moved = x.roll((down, right), (-2, -1))
    edge = slice(0, down) if down > 0 else slice(height + down, height)
    moved[..., edge, :] = moved[..., down % height if down > 0 else height + down - 1, :].unsqueeze(-2)
    edge = slice(0, right) if right > 0 else slice(width + right, width)
    moved[..., edge] = moved[..., right % width if right > 0 else width + right - 1].unsqueeze(-1)
    return moved


def contrast(x: Tensor, generator: Generator, strength: float = 0.3) -> Tensor:
    """Contrast 1 +- strength and brightness +- strength / 2, by one table for all pixels; x uint8."""
    factor = uniform(generator, 1 - strength, 1 + strength)
    offset = uniform(generator, -strength / 2, strength / 2) * 255
    table = ((torch.arange(256) - 128) * factor + 128 + offset).clamp(0, 255).to(torch.uint8)
    return torch.from_numpy(table.numpy()[x.numpy()])


def noise(generator: Generator, samples: int, quietest: float = -50.0, loudest: float = -10.0) -> Tensor:
    """Gaussian noise [S] at a random level (dB of full scale), white to brown: a sound that nothing visible makes."""
    wave = torch.randn(samples, generator=generator)
    keep = uniform(generator, 0.0, 0.95)
    wave[1:] = wave[1:] + keep * wave[:-1]
    level = 10 ** (uniform(generator, quietest, loudest) / 20)
    return (wave * (level / wave.std())).clamp(-1, 1)


class TwoViews:
    """One picture -> two views of it: cropped, mirrored, re-coloured, blurred (the views of Chen et al., 2020).

    ``area`` is the least share of the picture that a view shows, ``strength`` that of the colour changes, ``blurred``
    and ``solarized`` the chances of each view to be so; ``draws`` large numbers with which negatives are drawn.
    """

    def __init__(
        self,
        area: float,
        strength: float,
        blurred: tuple[float, float] = (0.0, 0.0),
        solarized: tuple[float, float] = (0.0, 0.0),
        draws: int = 0,
    ):
        self.area, self.strength, self.draws = area, strength, draws
        self.blurred, self.solarized = blurred, solarized

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """first and second uint8 [3, H, W], draw int64 [K]; all from one generator."""
        picture = sample.video[0, 0]  # [3, H, W]
        made = {name: self.view(picture, generator, which) for which, name in enumerate(("first", "second"))}
        if self.draws:
            made["draw"] = torch.randint(1 << 62, (self.draws,), generator=generator)
        return made

    def view(self, x: Tensor, generator: Generator, which: int = 0) -> Tensor:
        """uint8 [3, H, W] -> another view of it, the first or the second."""
        x = flip(crop(x, generator, (self.area, 1.0)), generator)
        x = gray(color(x, generator, self.strength), generator)
        if self.blurred[which]:
            x = blur(x, generator, self.blurred[which])
        return solarize(x, generator, self.solarized[which]) if self.solarized[which] else x


class PictureAndSound:
    """One picture and the sound around it: the picture cropped, mirrored and re-coloured, the sound's level changed.

    ``area`` is the least share of the picture that is shown, ``strength`` that of the colours, ``decibels`` the most by
    which the level changes; ``noise`` adds a sound that nothing makes, ``seed`` a number for draws inside the network.
    """

    def __init__(
        self, inputs: Inputs, area: float, strength: float, decibels: float, *, noise: bool = False, seed: bool = False
    ):
        self.inputs = inputs
        self.area, self.strength, self.decibels = area, strength, decibels
        self.noise, self.seed = noise, seed

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """picture uint8 [3, H, W], sound (and noise) [M, F], seed int64; Needs centre the sound on the picture."""
        picture = flip(crop(sample.video[0, 0], generator, (self.area, 1.0)), generator)
        wave = gain(sample.audio[0], generator, self.decibels)
        if self.strength:
            picture = color(picture, generator, self.strength)
        result = {"picture": picture, "sound": self.inputs.audio(wave)}
        if self.noise:
            result["noise"] = self.inputs.audio(noise(generator, wave.shape[-1]))
        if self.seed:
            result["seed"] = torch.randint(2**62, (), generator=generator)
        return result


class ClipAndSound:
    """One window: pictures moved, mirrored and re-toned; sound made louder or softer; a noise; its sentences.

    ``hidden`` is the greatest share of time and of bands that is hidden from the sound, ``slack_seconds`` the most by
    which it is sooner or later than the picture.
    """

    def __init__(self, inputs: Inputs, hidden: float = 0.0, slack_seconds: float = 0.0):
        self.inputs = inputs
        self.hidden = hidden
        self.slack = round(slack_seconds * inputs.cfg.hz)

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """video uint8 [T, 3, H, W], audio and noise [M, F]; tokens [K, L] when the run has narration."""
        video = contrast(flip(shift(sample.video[0], generator), generator), generator)
        wave = gain(sample.audio[0], generator)
        if self.slack:
            wave = late(wave, generator, self.slack)
        sound = self.inputs.audio(wave)
        if self.hidden:
            sound = hide(sound, generator, self.hidden, self.hidden)
        result = {"video": video, "audio": sound}
        result["noise"] = self.inputs.audio(noise(generator, wave.shape[-1]))
        if self.inputs.vocabulary is not None and sample.has("text"):
            result["tokens"] = self.inputs.tokens(sample.text)
        return result


NOWHERE = -1e4
"""seconds: when a phrase is said that is none, long before any window"""


class Narrated:
    """Windows and the phrases around them: pictures cropped and mirrored, sound (if asked for) made louder or softer.

    ``area`` is the least share of the picture that is shown, ``decibels`` the most by which the level changes.
    """

    def __init__(self, inputs: Inputs, area: float, decibels: float = 6.0):
        self.inputs = inputs
        self.area, self.decibels = area, decibels

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """video uint8 [T, 3, H, W], tokens [K, L], audio [M, F], times [K, 2]; of several windows, [N, ...] each.

        Times are seconds from the beginning of the window, ``NOWHERE`` where there is no phrase.
        """
        clips = [flip(crop(clip, generator, (self.area, 1.0)), generator) for clip in sample.video]
        tokens, count = self.inputs.tokens(sample.text), len(clips)
        if count == 1:
            result = {"video": clips[0], "tokens": tokens}
        else:
            result = {"video": torch.stack(clips), "tokens": tokens.unflatten(0, (count, -1))}
        if sample.has("audio"):
            sounds = [self.inputs.audio(gain(wave, generator, self.decibels)) for wave in sample.audio]
            result["audio"] = torch.stack(sounds) if count > 1 else sounds[0]
        if sample.has("times"):
            result["times"] = sample.times.nan_to_num(NOWHERE)
        return result


class CroppedClip:
    """One window and its sound: pictures cropped, mirrored and re-coloured alike; the sound's level changed, a stretch
    of its time and one of its bands hidden; ``draws`` large numbers with which negatives are drawn from a bank.

    ``area`` is the least share of the picture that is shown, ``strength`` that of the colours, ``decibels`` the most by
    which the level changes, ``hidden`` the greatest share of time and of bands that is hidden.
    """

    def __init__(
        self, inputs: Inputs, area: float, strength: float, decibels: float, hidden: float = 0.0, draws: int = 0
    ):
        self.inputs = inputs
        self.area, self.strength, self.decibels, self.hidden = area, strength, decibels, hidden
        self.draws = draws

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """video uint8 [T, 3, H, W], audio [M, F] (or the wave), draw int64 [K], which knows nothing of other ranks."""
        video = flip(crop(sample.video[0], generator, (self.area, 1.0)), generator)
        sound = self.inputs.audio(gain(sample.audio[0], generator, self.decibels))
        if self.inputs.cfg.audio == "mel":
            sound = hide(sound, generator, self.hidden, self.hidden)
        draw = torch.randint(1 << 62, (self.draws,), generator=generator)
        made = {"video": color(video, generator, self.strength), "audio": sound}
        return {**made, "draw": draw} if self.draws else made


class Apart:
    """Windows of the run's length, cut out of one that is ``seconds`` longer: picture and sound of moments of one
    recording that are a known time apart. All of it is recorded, so that no silent edge gives the time away.
    """

    def __init__(self, inputs: Inputs, seconds: float):
        inputs.same_seconds("moments of the one are compared with moments of the other")
        self.inputs = inputs
        self.room = math.ceil(seconds * inputs.cfg.fps - 1e-6)

    def needs(self) -> Needs:
        """The longer window. A recording that is shorter than this ends in a still picture and in silence."""
        frames = self.inputs.cfg.frames + self.room
        return self.inputs.needs(frames=frames, audio_seconds=frames / self.inputs.cfg.fps)

    def begins(self, generator: Generator, late: int) -> tuple[int, int]:
        """Where picture and sound begin, so that the sound is ``late`` pictures late (early where negative)."""
        first = integer(generator, self.room - abs(late) + 1)
        return first + max(late, 0), first + max(-late, 0)

    def picture(self, sample: Sample, begin: int, generator: Generator) -> Tensor:
        """uint8 [T, 3, H, W] from picture ``begin`` on, moved, mirrored and re-toned."""
        clip = sample.video[0][begin : begin + self.inputs.cfg.frames]
        return contrast(flip(shift(clip, generator), generator), generator)

    def cut(self, wave: Tensor, begin: int) -> Tensor:
        """Of the longer window's wave, what is heard from picture ``begin`` on, [S]."""
        cfg = self.inputs.cfg
        first = round(begin / cfg.fps * cfg.hz)
        return wave[first : first + round(cfg.audio_seconds * cfg.hz)]
