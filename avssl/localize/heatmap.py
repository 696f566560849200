"""A method run over a whole recording: where its sound, or a query, is at every moment. In silence it is nowhere.

The recording is read once, in windows of the length the method was trained on. Windows overlap and their maps are
averaged with weights that fall towards a window's ends, so the map changes smoothly in time and, the weights being
symmetric, is never late. Moments of digital silence are dark by rule, not by the network's judgment: whether it stays
dark by itself is what the scores of silence and noise (:mod:`avssl.localize.score`) tell, which know no such rule.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avssl.data.media import decode, probe
from avssl.inputs import Inputs
from avssl.localize import calibration
from avssl.localize.enlarged import check_sizes, highest, in_sizes, unsqueezed
from avssl.localize.masks import Floats, as_scores
from avssl.localize.overlay import SILENCE_DB
from avssl.localize.reader import WINDOWS_AT_ONCE, Frames, Reader
from avssl.methods.base import HasHeads, Method, localizes

QUERY_SECONDS = 60.0  # of a sound given as a query, how much is searched for its loudest part
LOWEST = -1.0  # of a cosine
MOST_SECONDS = 600.0  # of a window: several are in memory whole

Query = str | Path | NDArray[np.float32] | None
"""None: the recording's own sound; str: a text; Path: a sound file; array [S]: a sound at the run's rate"""


@dataclass(frozen=True)
class Heat:
    """Scores of a recording: maps [T, h, w] at times [T] (seconds), loudness [T] (dB of full scale, floor -60)."""

    maps: Floats
    times: Floats
    loudness: Floats


def check_seconds(name: str, seconds: float | None) -> None:
    """Raise ValueError, one line, where this is no length of a window or of the way to the next (None: left out)."""
    if seconds is not None and not (math.isfinite(seconds) and 0.0 < seconds <= MOST_SECONDS):
        raise ValueError(f"{name} {seconds:g}: seconds above 0 and at most {MOST_SECONDS:g} are needed, such as 1.5")


def heatmap(
    method: Method[Any],
    inputs: Inputs,
    path: str | Path,
    *,
    query: Query = None,
    window_seconds: float | None = None,
    hop_seconds: float | None = None,
    device: str | torch.device = "cpu",
    progress: Callable[[float], None] | None = None,
) -> Heat:
    """Where the sound, or the query, is in a recording: `heatmaps` of a single query."""
    return heatmaps(
        method, inputs, path, [query],
        window_seconds=window_seconds, hop_seconds=hop_seconds, device=device, progress=progress,
    )[0]  # fmt: skip


def heatmaps(
    method: Method[Any],
    inputs: Inputs,
    path: str | Path,
    queries: Sequence[Query],
    *,
    window_seconds: float | None = None,
    hop_seconds: float | None = None,
    span: tuple[float, float] | None = None,
    heads: bool = False,
    sizes: Sequence[float] = (1.0,),
    keep_shape: bool = False,
    device: str | torch.device = "cpu",
    progress: Callable[[float], None] | None = None,
) -> list[Heat]:
    """Where each query is in a recording: one map per picture of the run's grid (k / fps seconds), read once for all.

    Args:
        method: a method that localizes queries of these kinds, already on `device`.
        inputs: the run's inputs; pictures are scaled to their size.
        path: the recording, or a still picture when no query is its own sound.
        queries: None for the recording's own sound, else a text, a sound file (its loudest part is used), or a sound.
        window_seconds: length of a window, at most 600; the run's own by default.
        hop_seconds: from one window to the next, at most a window; half a window by default.
        span: the part to look at, (start, end) in seconds; all of it by default.
        heads: give the maps of each of the method's heads, those of the first query first.
        sizes: in which each picture is looked at, in multiples of the run's; each place gets the highest of its scores.
        keep_shape: look at wide and at high pictures as they are, larger than the run's, where training squeezed them.
        device: where the method is.
        progress: called with the seconds done so far.

    Raises ValueError for a recording without pictures, for one without sound when that is a query, for a kind of query
    the method does not localize, for seconds that are no length, and for `heads` of a method that has none.
    """
    path, cfg = Path(path), inputs.cfg
    check_seconds("window_seconds", window_seconds)
    check_seconds("hop_seconds", hop_seconds)
    check_sizes(sizes)
    if heads and not isinstance(method, HasHeads):
        raise ValueError(f"{method.cfg.name} has no heads: there is one map for a query")
    for kind in map(calibration.kind_of, queries):
        if not localizes(method, kind):
            raise ValueError(f"{method.cfg.name} does not say where {'a text' if kind == 'text' else 'a sound'} is")
    header = probe(path)
    if not header.pictures:
        raise ValueError(f"{path}: has no picture to show a sound in; a video is needed")
    if any(query is None for query in queries) and not header.sounds:
        raise ValueError(f"{path}: has no sound; say what to look for with --text WORDS or --audio FILE")
    frames = cfg.frames if window_seconds is None else max(1, round(window_seconds * cfg.fps))
    hop = max(1, frames // 2) if hop_seconds is None else max(1, round(hop_seconds * cfg.fps))
    if hop > frames:
        raise ValueError(f"a hop of {hop_seconds} s leaves gaps between windows of {frames / cfg.fps:g} s")
    high, wide = cfg.height, cfg.width
    if keep_shape:
        high, wide = unsqueezed(high, wide, (header.pictures[0].height, header.pictures[0].width))
    shown = {"height": round(high * max(sizes)), "width": round(wide * max(sizes))}
    reader = Reader(path, header, cfg.model_copy(update=shown), frames, hop, span)
    asked = [(calibration.kind_of(query), _asked(inputs, query, reader.samples)) for query in queries]

    totals: list[Floats] = []  # of each picture, [Q, h, w]
    weights: list[float] = []
    levels: list[float] = []
    taper = np.minimum(np.arange(frames) + 1, frames - np.arange(frames)).astype(np.float64)
    training = method.training
    method.eval()
    try:
        for windows in _batches(iter(reader)):
            scored = _score(method, inputs, windows, asked, torch.device(device), heads, sizes)  # [B, T, Q, h, w]
            for window, maps in zip(windows, scored, strict=True):
                for k in range(window.real):
                    place = window.start + k - reader.first
                    if place == len(totals):
                        totals.append(np.zeros_like(maps[k]))
                        weights.append(0.0)
                        levels.append(float(window.levels[k]))
                    totals[place] += taper[k] * maps[k]
                    weights[place] += float(taper[k])
            if progress is not None:
                progress(len(totals) / cfg.fps)
    finally:
        method.train(training)
    stacks = (np.stack(totals) / np.array(weights)[:, None, None, None]).swapaxes(0, 1)  # [Q, T, h, w]
    times, loudness = (reader.first + np.arange(len(totals))) / cfg.fps, np.array(levels)
    silent = loudness <= SILENCE_DB
    for own, stack in zip(
        np.repeat([query is None for query in queries], len(stacks) // len(queries)), stacks, strict=True
    ):
        if own and silent.any():
            # a window reaches over a pause, in which nothing sounds, however bright the rest of it is
            stack[silent] = min(LOWEST, stack.min())
    return [Heat(as_scores(stack, (3,)), times, loudness) for stack in stacks]


def _batches(windows: Iterator[Frames]) -> Iterator[list[Frames]]:
    batch: list[Frames] = []
    for window in windows:
        batch.append(window)
        if len(batch) == WINDOWS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


@torch.inference_mode()
def _score(
    method: Method[Any],
    inputs: Inputs,
    windows: list[Frames],
    asked: Sequence[tuple[str, Tensor | None]],
    device: torch.device,
    heads: bool,
    sizes: Sequence[float],
) -> Floats:
    """Scores [B, T, Q, h, w] of some windows for each query, a (kind, tensor of batch 1) or (audio, None: its own).

    With ``heads`` there are as many of each query as the method has heads.
    """
    video = torch.from_numpy(np.stack([window.video for window in windows])).to(device)  # [B, T, 3, H, W]
    pictures = in_sizes(video, sizes)
    localize: Callable[[Tensor, Tensor, str], Tensor] = getattr(method, "heads" if heads else "localize")
    found = []
    with seen_once(method):
        for kind, query in asked:
            if query is None:
                given = inputs.audio(torch.from_numpy(np.stack([window.wave for window in windows])))
            else:
                given = query.expand(len(windows), *query.shape[1:])
            maps = highest([localize(one, given.to(device), kind).double() for one in pictures]).cpu().numpy()
            maps = maps if heads else maps[:, None]  # [B, K, T, h, w]
            assert maps.ndim == 5
            assert (len(maps), maps.shape[2]) == video.shape[:2], "localize gives one map per frame"
            found.append(maps)
    return np.concatenate(found, axis=1).swapaxes(1, 2)


@contextmanager
def seen_once(method: Method[Any]) -> Iterator[None]:
    """Within it, encoders of pictures remember what they made of a tensor, so that further queries cost little.

    For a batch: everything made is held until the end.
    """
    watched = [method.encoders[name] for name in ("image", "video") if name in method.encoders]
    for encoder in watched:
        # the tensors are held, so that no other one can take their place in memory
        known: list[tuple[Tensor, Any]] = []

        def seen(x: Tensor, known: Any = known, encode: Any = encoder.forward) -> Any:
            for other, made in known:
                if (x.data_ptr(), x.shape, x.stride(), x.dtype) == (
                    other.data_ptr(), other.shape, other.stride(), other.dtype,
                ):  # fmt: skip
                    return made
            known.append((x, encode(x)))
            return known[-1][1]

        encoder.forward = seen
    try:
        yield
    finally:
        for encoder in watched:
            del encoder.forward


def _asked(inputs: Inputs, query: Query, samples: int) -> Tensor | None:
    """A query as the method takes it, with a batch axis of 1: tokens [1, L], or what `Inputs.audio` gives of [1, S].

    None for a recording's own sound, which differs from window to window.
    """
    if query is None:
        return None
    if isinstance(query, str):
        if not query.strip():
            raise ValueError("the text to look for is empty")
        inputs.check_read(query)
        return inputs.tokens([query])
    if isinstance(query, Path):
        if not probe(query).sounds:
            raise ValueError(f"{query}: has no sound to look for")
        query = decode(query, audio=(0.0, QUERY_SECONDS), hz=inputs.cfg.hz).audio
    return inputs.audio(torch.from_numpy(loudest(query, samples))[None])


def loudest(sound: NDArray[np.float32], samples: int) -> NDArray[np.float32]:
    """The stretch of `samples` with the most energy of a sound [S], filled up with zeros where it is shorter."""
    if len(sound) <= samples:
        return np.pad(sound, (0, samples - len(sound)))
    energy = np.concatenate([[0.0], np.cumsum(sound.astype(np.float64) ** 2)])
    start = int(np.argmax(energy[samples:] - energy[:-samples]))
    return sound[start : start + samples]
