"""What each kind of thing sounds like: struck kinds repeat a hit at their onsets, steady ones open and close."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float32]
Rng = np.random.Generator

HZ = 16000


def _time(seconds: float) -> NDArray[np.float64]:
    return np.arange(round(seconds * HZ)) / HZ


def _partials(f0: float, weights: Sequence[tuple[float, float, float]], seconds: float) -> NDArray[np.float64]:
    """Sum of decaying sines: (ratio to f0, weight, decay in seconds) each; those above 7 kHz are left out."""
    t = _time(seconds)
    wave = np.zeros_like(t)
    for ratio, weight, decay in weights:
        if f0 * ratio < 7000:
            wave += weight * np.exp(-t / decay) * np.sin(2 * np.pi * f0 * ratio * t)
    return wave


def _shape(
    wave: NDArray[np.float64], gain: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Multiply the spectrum by a gain over frequency in hertz."""
    hertz = np.fft.rfftfreq(len(wave), 1 / HZ).astype(np.float64)
    return np.fft.irfft(np.fft.rfft(wave) * gain(hertz), len(wave))


def _peak(hertz: NDArray[np.float64], center: float, width: float) -> NDArray[np.float64]:
    return 1 / (1 + ((hertz - center) / width) ** 2)


def _phase(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    return 2 * np.pi * np.cumsum(hertz) / HZ


def _saw(phase: NDArray[np.float64], harmonics: int) -> NDArray[np.float64]:
    """A band-limited saw: no harmonic above the given number, so nothing folds back."""
    twice = 2 * np.cos(phase)
    below, current = np.zeros_like(phase), np.sin(phase)
    wave = current.copy()
    for h in range(2, harmonics + 1):  # sin((h+1)x) = 2 cos(x) sin(hx) - sin((h-1)x): no further sine to work out
        below, current = current, twice * current - below
        wave += current / h
    return wave


# Struck kinds. Each gives the hits that its onsets take turns with. p is pitch and c is color, in 0..1.


def bell(p: float, c: float, rng: Rng) -> list[NDArray[np.float64]]:
    """Inharmonic partials that ring on."""
    soft = [(0.5, 0.4, 0.25), (1, 1.0, 0.2), (1.19, 0.7, 0.18)]
    tones = [*soft, (2.0, 0.7, 0.14), (2.74, 0.4 + 0.3 * c, 0.1), (4.1, 0.3 + 0.3 * c, 0.07)]
    return [_partials(850 * 2 ** (0.8 * p), tones, 0.8)]


def drum(p: float, c: float, rng: Rng) -> list[NDArray[np.float64]]:
    """A low tone that falls, and a skin of noise."""
    t = _time(0.3)
    body = np.sin(_phase(90 * 2 ** (0.8 * p) * (1 + 1.5 * np.exp(-t / 0.03)))) * np.exp(-t / 0.09)
    skin = _shape(rng.standard_normal(len(t)), lambda f: _peak(f, 600, 500 + 500 * c)) * np.exp(-t / 0.04)
    return [body + 0.8 * skin]


def guitar(p: float, c: float, rng: Rng) -> list[NDArray[np.float64]]:
    """Plucked strings: harmonics, three notes in turn."""
    tones = [(h, abs(np.sin(h * np.pi * (0.12 + 0.15 * c))) / h**0.7, 0.35 / h**0.4) for h in range(1, 12)]
    return [_partials(150 * 2 ** (0.8 * p) * step, tones, 0.6) for step in (1, 1.25, 1.5)]


def bird(p: float, c: float, rng: Rng) -> list[NDArray[np.float64]]:
    """Fast high sweeps, up and down in turn."""
    t = _time(0.2)
    beat = (t * (16 + 10 * c)) % 1
    return [
        np.sin(_phase((2900 + 1500 * p) * (1 + turn * (beat - 0.5)))) * np.sin(np.pi * beat) ** 0.5
        for turn in (0.9, -0.9)
    ]


def clock(p: float, c: float, rng: Rng) -> list[NDArray[np.float64]]:
    """Very short high clicks, tick and tock."""
    tones = [(1, 1.0, 0.012), (1.7, 0.8, 0.008), (2.6, 0.4 + c, 0.005)]
    return [_partials((1500 + 900 * p) * step, tones, 0.08) for step in (1, 0.8)]


def dog(p: float, c: float, rng: Rng) -> list[NDArray[np.float64]]:
    """A rough, arched pitch through a mouth."""
    t = _time(0.22)
    contour = (260 + 160 * p) * (1 + 0.5 * np.sin(np.pi * np.minimum(t / 0.2, 1)))
    rough = _saw(_phase(contour), 12) * (1 + 0.8 * rng.standard_normal(len(t)))
    mouth = _shape(rough, lambda f: _peak(f, 750 + 250 * c, 180) + 0.6 * _peak(f, 1700, 250))
    return [mouth * np.sin(np.pi * np.minimum(t / 0.2, 1)) ** 0.6]


# Steady kinds. Each gives the whole length; the caller opens it during the phrases.


def siren(p: float, c: float, rng: Rng, t: NDArray[np.float64]) -> NDArray[np.float64]:
    """A pitch that sweeps up and down."""
    sweep = 2 ** (0.55 * np.sin(2 * np.pi * (1.4 + c) * t + rng.uniform(0, 6.28)))
    return _saw(_phase((650 + 400 * p) * sweep), 3)


def engine(p: float, c: float, rng: Rng, t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Low puffs of noise."""
    turn = _phase((26 + 20 * p) * (1 + 0.06 * np.sin(2 * np.pi * 0.7 * t)))
    puff = np.exp(-((turn / (2 * np.pi)) % 1) * 5)
    return _shape(puff * (1 + rng.standard_normal(len(t))), lambda f: _peak(f, 220, 130 + 120 * c) * (f > 60))


def rain(p: float, c: float, rng: Rng, t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hiss without any pitch, and drops."""
    drops = rng.standard_normal(len(t)) * (rng.random(len(t)) < 0.01 + 0.02 * c) * 6
    hiss = rng.standard_normal(len(t)) + drops
    return _shape(hiss, lambda f: np.clip((f - 800) / (1200 + 1500 * p), 0, 1))


def whistle(p: float, c: float, rng: Rng, t: NDArray[np.float64]) -> NDArray[np.float64]:
    """One high tone with a trill."""
    trill = np.sin(2 * np.pi * (24 + 12 * c) * t)
    return np.sin(_phase((2100 + 900 * p) * (1 + 0.02 * trill))) * (0.65 + 0.35 * trill)


def horn(p: float, c: float, rng: Rng, t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two notes with many harmonics."""
    f0 = 230 * 2 ** (0.5 * p)
    both = _saw(2 * np.pi * f0 * t, 9) + _saw(2 * np.pi * f0 * 1.26 * t, 9)
    return _shape(both, lambda f: 0.3 + _peak(f, 900 + 500 * c, 500))


def bee(p: float, c: float, rng: Rng, t: NDArray[np.float64]) -> NDArray[np.float64]:
    """A dense buzz that wobbles."""
    wobble = 1 + 0.06 * np.sin(2 * np.pi * (5 + 3 * c) * t) + 0.02 * np.sin(2 * np.pi * 11 * t)
    return _shape(_saw(_phase((150 + 70 * p) * wobble), 24), lambda f: f / (f + 1500))


STRUCK = {hit.__name__: hit for hit in (bell, drum, guitar, bird, clock, dog)}
STEADY = {tone.__name__: tone for tone in (siren, engine, rain, whistle, horn, bee)}
# How long one hit can be heard, in seconds; with it the intervals of the truth are known before any sound is made.
HIT_SECONDS = {"bell": 0.8, "drum": 0.3, "guitar": 0.6, "bird": 0.2, "clock": 0.08, "dog": 0.22}
KINDS: tuple[str, ...] = tuple(sorted(STRUCK | STEADY))


def voice(
    kind: str, pitch: float, color: float, onsets: list[tuple[float, float, float]], seconds: float, rng: Rng
) -> Wave:
    """The sound of one thing, float32 [S] at 16 kHz: zero outside its onsets' intervals, its loud parts at RMS 1.

    Args:
        pitch, color: this instance's, in 0..1.
        onsets: (start, end, strength) each, in seconds; a struck kind is hit at the start, a steady one open between.
        seconds: length of the whole.
    """
    length = round(seconds * HZ)
    wave = np.zeros(length)
    if kind in STRUCK:
        hits = STRUCK[kind](pitch, color, rng)
        for hit in hits:
            fade = min(len(hit) // 4, 400)
            hit[-fade:] *= np.linspace(1, 0, fade)
        for k, (start, _, strength) in enumerate(onsets):
            begin = min(int(np.ceil(start * HZ)), length)
            hit = hits[k % len(hits)][: length - begin]
            wave[begin : begin + len(hit)] += strength * hit
    else:
        steady = STEADY[kind](pitch, color, rng, np.arange(length) / HZ)
        for start, end, strength in onsets:
            begin, stop = int(np.ceil(start * HZ)), min(int(end * HZ), length)
            ramp = np.minimum(np.arange(stop - begin), np.arange(stop - begin)[::-1]) / (0.03 * HZ)
            wave[begin:stop] = steady[begin:stop] * strength * np.minimum(ramp, 1)
    loud = np.partition(wave**2, -(length // 8))[
        -(length // 8) :
    ].mean()  # the loudest eighth: clicks and hums then sound alike
    return np.asarray(wave / np.sqrt(loud + 1e-12), np.float32)
