"""Augmentations that two or more methods share; every draw comes from the generator that is given."""

from avssl.views.batched import POLICY, OneView, Shown, TwoViews, Views
from avssl.views.changes import Change
from avssl.views.draw import chance, integer, uniform
from avssl.views.pictures import color, contrast, crop, flip, gray, shift
from avssl.views.samples import NOWHERE, Apart, ClipAndSound, CroppedClip, Narrated, PictureAndSound
from avssl.views.sounds import SILENCE, gain, hide, hiss, late, noise, speed, tone

__all__ = [
    "NOWHERE",
    "POLICY",
    "SILENCE",
    "Apart",
    "Change",
    "ClipAndSound",
    "CroppedClip",
    "Narrated",
    "OneView",
    "PictureAndSound",
    "Shown",
    "TwoViews",
    "Views",
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
    "speed",
    "tone",
    "uniform",
]
