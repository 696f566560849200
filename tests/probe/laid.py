"""Small pictures laid out in folders, and what is told of them."""

from __future__ import annotations

from collections import Counter

import numpy as np
from PIL import Image


def picture(path, shade=100, also=None, side=8):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((side, side, 3), (shade, shade, shade if also is None else also), np.uint8)).save(path)


def touched(path, content="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def told(data):
    return Counter((one.part, one.label) for one in data.examples)


def shades(data):
    return {int(np.asarray(Image.open(one.path)).mean()) for one in data.examples}
