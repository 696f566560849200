"""What several methods make of a whole sample, and ask for: a picture or a clip with its sound or words."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Generator, Tensor

from avssl.inputs import Inputs
from avssl.sample import Needs, Sample
from avssl.views.draw import integer
from avssl.views.pictures import color, contrast, crop, flip, shift
from avssl.views.sounds import gain, hide, late, noise, speed, tone


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
    which it is sooner or later than the picture; ``again`` gives the sound once more, as another room and another
    microphone would have it.
    """

    def __init__(self, inputs: Inputs, hidden: float = 0.0, slack_seconds: float = 0.0, again: bool = False):
        self.inputs = inputs
        self.hidden, self.again = hidden, again
        self.slack = round(slack_seconds * inputs.cfg.hz)

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """video uint8 [T, 3, H, W], audio, noise and again [M, F], heard (whether the recording has sound); tokens
        [K, L] when the run has narration."""
        video = contrast(flip(shift(sample.video[0], generator), generator), generator)
        wave = gain(sample.audio[0], generator)
        if self.slack:
            wave = late(wave, generator, self.slack)
        sound = self.inputs.audio(wave)
        if self.hidden:
            sound = hide(sound, generator, self.hidden, self.hidden)
        result = {"video": video, "audio": sound, "heard": torch.tensor("audio" not in sample.lacks)}
        result["noise"] = self.inputs.audio(noise(generator, wave.shape[-1]))
        if self.again:
            changed = gain(tone(speed(wave, generator, 0.1), generator, 6.0), generator)
            result["again"] = hide(self.inputs.audio(changed), generator, 0.3, 0.3)
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
        Beside audio, heard: whether the recording has sound.

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
            result["heard"] = torch.tensor("audio" not in sample.lacks)
        if sample.has("times"):
            result["times"] = sample.times.nan_to_num(NOWHERE)
        return result

    def words(self, example: Mapping[str, Tensor]) -> dict[str, str]:
        """When phrases are said."""
        if "times" not in example:
            return {}
        times = [f"{a:.1f} to {b:.1f} s" for a, b in example["times"].reshape(-1, 2).tolist() if a > NOWHERE / 2]
        return {"times": ", ".join(times) or "nothing is said"}


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
