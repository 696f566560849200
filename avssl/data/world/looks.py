"""What each kind of thing looks like: a shape and a texture drawn from signed distances; colors are the caller's."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = Any  # float32 [P, P]: signed distance (below 0 is inside), or a coordinate


class Canvas:
    """A square of P x P pixels over [-1, 1] x [-1, 1] (x right, y down) that shapes are painted onto, with alpha."""

    def __init__(self, pixels: int) -> None:
        axis = (np.arange(pixels, dtype=np.float32) + 0.5) * (2 / pixels) - 1
        self.x, self.y = np.meshgrid(axis, axis)
        self.step = 2 / pixels
        self.rgba = np.zeros((pixels, pixels, 4), np.float32)  # premultiplied

    def paint(self, distance: Plane, color: NDArray[np.float32]) -> None:
        """Cover what lies inside a shape with a color in 0..1."""
        cover = np.clip(0.5 - distance / self.step, 0, 1)[..., None]
        self.rgba += (np.append(color, np.float32(1)) - self.rgba) * cover

    def disc(self, x: float, y: float, radius: float) -> Plane:
        """A circle."""
        return np.hypot(self.x - x, self.y - y) - np.float32(radius)

    def oval(self, x: float, y: float, rx: float, ry: float) -> Plane:
        """An ellipse; exact only near its edge."""
        return (np.hypot((self.x - x) / rx, (self.y - y) / ry) - 1) * np.float32(min(rx, ry))

    def slab(self, x: float, y: float, hx: float, hy: float) -> Plane:
        """A rectangle of half widths hx, hy."""
        return np.maximum(abs(self.x - x) - np.float32(hx), abs(self.y - y) - np.float32(hy))

    def rod(self, ax: float, ay: float, bx: float, by: float, radius: float) -> Plane:
        """A thick line with round ends."""
        dx, dy = bx - ax, by - ay
        along = np.clip(((self.x - ax) * dx + (self.y - ay) * dy) / (dx * dx + dy * dy), 0, 1)
        return np.hypot(self.x - ax - along * dx, self.y - ay - along * dy) - np.float32(radius)

    def convex(self, *corners: tuple[float, float]) -> Plane:
        """A convex polygon; corners clockwise as seen on the screen."""
        sides = []
        for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
            length = np.hypot(bx - ax, by - ay)
            sides.append(((self.x - ax) * (by - ay) - (self.y - ay) * (bx - ax)) / length)
        return np.maximum.reduce(sides)

    def stripes(self, along: Plane, period: float, width: float) -> Plane:
        """Bands of the given width, one every period, across a coordinate."""
        return abs((along / period) % 1 - 0.5) * np.float32(period) - np.float32(width / 2)


Colors = Sequence[NDArray[Any]]  # main, second, mark: each [3] in 0..1
Look = Callable[[Canvas, Colors, float, float], None]  # the floats in 0..1 are this instance's proportions


def bell(c: Canvas, k: Colors, a: float, b: float) -> None:
    """A dome that widens to a rim, a band, a clapper."""
    flare, dome = 0.8 + 0.15 * a, 0.45 + 0.12 * b
    body = np.minimum(c.disc(0, -0.4, dome), c.convex((-dome, -0.4), (dome, -0.4), (flare, 0.55), (-flare, 0.55)))
    c.paint(c.disc(0, 0.75, 0.22), k[2])
    c.paint(body, k[0])
    c.paint(np.maximum(body, c.slab(0, 0.1, 1, 0.09)), k[1])
    c.paint(c.slab(0, 0.57, flare, 0.1), k[2])
    c.paint(c.disc(0, -0.88, 0.11), k[2])


def drum(c: Canvas, k: Colors, a: float, b: float) -> None:
    """A round box with a skin and a zigzag."""
    wide = 0.85 + 0.1 * a
    body = np.minimum(c.slab(0, 0.1, wide, 0.55), c.oval(0, 0.62, wide, 0.3))
    c.paint(body, k[0])
    zigzag = abs(c.y - 0.2 - 0.6 * (abs((c.x * (1.5 + b)) % 1 - 0.5) - 0.25)) - np.float32(0.09)
    c.paint(np.maximum(body, zigzag), k[2])
    c.paint(c.oval(0, -0.45, wide, 0.34), k[2])
    c.paint(c.oval(0, -0.45, wide - 0.1, 0.25), k[1])


def guitar(c: Canvas, k: Colors, a: float, b: float) -> None:
    """Two round parts, a hole, strings and a neck."""
    low, high = 0.52 + 0.1 * a, 0.36 + 0.08 * b
    turn = np.sqrt(0.5)
    at = [(-0.42, 0.42), (0.06, -0.06), (0.9, -0.9)]
    c.paint(c.rod(*at[1], *at[2], 0.1), k[2])
    c.paint(c.rod(0.78, -0.78, 0.9, -0.9, 0.18), k[1])
    c.paint(np.minimum(c.disc(*at[0], low), c.disc(*at[1], high)), k[0])
    c.paint(c.disc(-0.1, 0.1, 0.2), k[2])
    c.paint(c.rod(-0.62, 0.32, -0.32, 0.62, 0.06), k[1])
    across, along = (c.x + c.y) * turn, (c.x - c.y) * turn
    c.paint(np.maximum(abs(across) - np.float32(0.03), abs(along) - np.float32(0.62)), k[1])


def siren(c: Canvas, k: Colors, a: float, b: float) -> None:
    """A striped dome on a base, with rays."""
    dome = 0.5 + 0.08 * a
    for angle in np.linspace(-1.2, 1.2, 5) * (0.95 + 0.1 * b):
        sine, cosine = float(np.sin(angle)), float(np.cos(angle))
        c.paint(c.rod(0.75 * sine, 0.35 - 0.8 * cosine, 1.0 * sine, 0.35 - 1.2 * cosine, 0.08), k[1])
    body = np.maximum(np.minimum(c.disc(0, 0.25, dome), c.slab(0, 0.45, dome, 0.2)), c.y - np.float32(0.6))
    c.paint(body, k[0])
    c.paint(np.maximum(body, c.stripes(c.x, dome * 2 / 3, dome / 4)), k[1])
    c.paint(c.slab(0, 0.75, 0.8, 0.2), k[2])


def bird(c: Canvas, k: Colors, a: float, b: float) -> None:
    """Body, head, beak, tail, and a barred wing."""
    c.paint(np.minimum(c.rod(-0.1, 0.5, -0.15, 0.95, 0.05), c.rod(0.15, 0.5, 0.12, 0.95, 0.05)), k[2])
    c.paint(c.convex((-0.98, -0.35 + 0.2 * b), (-0.35, 0.0), (-0.35, 0.4), (-0.98, 0.3)), k[1])
    c.paint(c.convex((0.7, -0.55), (1.0, -0.38), (0.7, -0.2)), k[2])
    c.paint(np.minimum(c.oval(-0.05, 0.2, 0.65, 0.45 + 0.05 * a), c.disc(0.45, -0.4, 0.36)), k[0])
    wing = c.oval(-0.15, 0.12, 0.42, 0.24 + 0.06 * b)
    c.paint(wing, k[1])
    c.paint(np.maximum(wing, c.stripes(c.x + c.y, 0.25, 0.09)), k[2])
    c.paint(c.disc(0.52, -0.47, 0.09), k[2])


def engine(c: Canvas, k: Colors, a: float, b: float) -> None:
    """A toothed wheel with spokes."""
    angle, radius = np.arctan2(c.y, c.x), np.hypot(c.x, c.y)
    rim = 0.82 + np.clip(np.cos(angle * 8) * 3, -1, 1) * np.float32(0.15)
    c.paint((radius - rim).astype(np.float32), k[0])
    c.paint(c.disc(0, 0, 0.45 + 0.1 * a), k[1])
    c.paint(np.maximum(c.disc(0, 0, 0.45 + 0.1 * a), c.stripes(angle, float(np.pi / 3), 0.4)), k[2])
    c.paint(c.disc(0, 0, 0.18 + 0.08 * b), k[0])


def rain(c: Canvas, k: Colors, a: float, b: float) -> None:
    """A cloud with slanting drops."""
    for i in range(4):
        x = -0.62 + 0.42 * i
        low = 0.3 if i % 2 else 0.55
        c.paint(c.rod(x, low, x - 0.12, low + 0.33, 0.09), k[1])
        c.paint(c.rod(x, low, x - 0.12, low + 0.33, 0.03), k[2])
    cloud = np.minimum(c.disc(-0.55, -0.25, 0.38), c.disc(0.58, -0.25, 0.34 + 0.05 * a))
    cloud = np.minimum(cloud, c.disc(0, -0.5, 0.42 + 0.06 * b))
    c.paint(np.minimum(cloud, c.slab(0, -0.08, 0.6, 0.2)), k[0])


def clock(c: Canvas, k: Colors, a: float, b: float) -> None:
    """A dial with marks and hands."""
    c.paint(c.disc(0, 0, 0.95), k[2])
    c.paint(c.disc(0, 0, 0.78), k[0])
    for hour in np.arange(0, 12, 3 if b > 0.5 else 2) * (np.pi / 6):
        x, y = float(np.sin(hour)), float(np.cos(hour))
        c.paint(c.rod(0.56 * x, 0.56 * y, 0.68 * x, 0.68 * y, 0.06), k[2])
    for turn, length, radius in ((a * 6.28, 0.5, 0.07), (a * 6.28 + 1 + 3 * b, 0.32, 0.09)):
        c.paint(c.rod(0, 0, length * float(np.sin(turn)), -length * float(np.cos(turn)), radius), k[1])


def whistle(c: Canvas, k: Colors, a: float, b: float) -> None:
    """A round belly with a mouthpiece and a ring."""
    belly = 0.55 + 0.05 * a
    c.paint(c.disc(-0.75, -0.55, 0.22), k[2])
    c.paint(c.disc(-0.75, -0.55, 0.1), k[1])
    c.paint(np.minimum(c.disc(-0.38, 0.25, belly), c.slab(0.3, -0.12, 0.68, 0.2 + 0.04 * b)), k[0])
    c.paint(c.disc(-0.38, 0.25, 0.3), k[2])
    c.paint(c.disc(-0.3, 0.32, 0.13), k[1])
    c.paint(c.convex((0.05, -0.35), (0.4, -0.35), (0.18, -0.02)), k[2])
    c.paint(c.slab(0.85, -0.12, 0.12, 0.24), k[1])


def dog(c: Canvas, k: Colors, a: float, b: float) -> None:
    """A face with hanging ears and a muzzle."""
    head = c.oval(0, 0.0, 0.6, 0.72)
    c.paint(head, k[0])
    for side in (-1, 1):
        c.paint(c.oval(0.68 * side, -0.1 + 0.1 * b, 0.26, 0.58 + 0.1 * a), k[1])
        c.paint(c.disc(0.26 * side, -0.22, 0.11), k[2])
    c.paint(c.oval(0, 0.48, 0.46, 0.4), k[1])
    c.paint(c.oval(0, 0.3, 0.2, 0.14), k[2])
    c.paint(c.rod(0, 0.4, 0, 0.68, 0.04), k[2])


def horn(c: Canvas, k: Colors, a: float, b: float) -> None:
    """A tube that opens wide, a loop, three valves."""
    mouth = 0.7 + 0.15 * a
    c.paint(c.rod(-0.95, 0, 0.5, 0, 0.1), k[0])
    c.paint(c.convex((0.1, -0.1), (0.95, -mouth), (0.95, mouth), (0.1, 0.1)), k[0])
    c.paint(c.oval(0.9, 0, 0.1, mouth), k[1])
    loop = abs(c.oval(-0.25, 0.25, 0.5, 0.3 + 0.05 * b)) - np.float32(0.07)
    c.paint(loop, k[0])
    for i in range(3):
        c.paint(c.slab(-0.5 + 0.25 * i, -0.25, 0.07, 0.35), k[2])
    c.paint(c.slab(-0.93, 0, 0.06, 0.2), k[1])


def bee(c: Canvas, k: Colors, a: float, b: float) -> None:
    """A banded body with wings and a sting."""
    for x in (-0.2, 0.3):
        c.paint(c.oval(x, -0.45, 0.22 + 0.05 * b, 0.5), k[2])
        c.paint(c.oval(x, -0.45, 0.13 + 0.05 * b, 0.4), k[1])
    c.paint(c.convex((-0.98, 0.3), (-0.6, 0.15), (-0.6, 0.45)), k[2])
    body = c.oval(0, 0.3, 0.8, 0.42 + 0.06 * a)
    c.paint(body, k[0])
    c.paint(np.maximum(body, c.stripes(c.x + np.float32(0.1), 0.4, 0.2)), k[2])
    c.paint(c.disc(0.72, 0.2, 0.25), k[1])
    c.paint(c.disc(0.78, 0.15, 0.08), k[2])


LOOKS: dict[str, Look] = {
    look.__name__: look for look in (bell, drum, guitar, siren, bird, engine, rain, clock, whistle, dog, horn, bee)
}


def sprite(kind: str, instance: Mapping[str, Any], pixels: int) -> NDArray[np.uint8]:
    """One thing of a kind on a transparent square: uint8 [P, P, 4], color premultiplied by alpha.

    `instance` gives "colors" (three of three numbers in 0..255) and the proportions "build" (two numbers in 0..1).
    """
    canvas = Canvas(pixels)
    colors = [np.asarray(color, np.float32) / np.float32(255) for color in instance["colors"]]
    first, second = instance["build"]
    LOOKS[kind](canvas, colors, float(first), float(second))
    return np.rint(canvas.rgba * 255).astype(np.uint8)
