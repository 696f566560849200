"""Augmentations that two or more methods share; every draw comes from the generator that is given."""

from avssl.views.draw import chance, integer, uniform
from avssl.views.pictures import blur, color, contrast, crop, flip, gray, shift, solarize
from avssl.views.samples import NOWHERE, Apart, ClipAndSound, CroppedClip, Narrated, PictureAndSound, TwoViews
from avssl.views.sounds import SILENCE, gain, hide, hiss, late, noise, speed, tone

__all__ = [
    "NOWHERE",
    "SILENCE",
    "Apart",
    "ClipAndSound",
    "CroppedClip",
    "Narrated",
    "PictureAndSound",
    "TwoViews",
    "blur",
    "chance",
    "color",
    "contrast",
    "crop",
    "flip",
    "gain",
    "gray",
    "hide",
    "hiss",
    "integer",
    "late",
    "noise",
    "shift",
    "solarize",
    "speed",
    "tone",
    "uniform",
]
