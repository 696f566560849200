"""What a person is handed for one recording: an overlay video, a sheet of stills, and figures over time as JSON."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Full, Queue
from threading import Event, Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avssl.data.encode import write_clip
from avssl.data.media import Header, decode, probe
from avssl.data.still import PICTURE_FORMATS
from avssl.localize.boxes import boxes_of
from avssl.localize.calibration import Calibration, write_json
from avssl.localize.heatmap import Heat
from avssl.localize.overlay import HUES, SILENCE_DB, Layer, Picture, overlay_layers
from avssl.localize.stills import sheet
from avssl.localize.strip import LEGEND_PIXELS, legible, strip

MOST_FPS = 30.0
LEAST_FPS = 1.0  # headers of slide shows claim less; an overlay still shows when it lights
CHUNK_BYTES = 96 << 20
SOUND_HZ = (16000, 22050, 24000, 32000, 44100, 48000)  # rates every player takes; others become 44100
LONG_SECONDS, LONG_HZ = 1200.0, 16000  # sound is held in memory whole, so that of a long recording is thinned
STILLS, NAME_LETTERS = 6, 20
LEAST_HEIGHT = 240  # names and outlines are illegible on less
SMALLEST = 16  # pixels of height that may be asked for


@dataclass(frozen=True)
class Found:
    """What a method said of one query (in words, for people) about a recording, and the scale to read it on."""

    query: str
    heat: Heat
    scale: Calibration
    refined: bool = False
    """whether what is lit was fitted to the picture's edges, so that scores near the threshold are not the method's"""
    sizes: tuple[float, ...] = (1.0,)
    """in which the pictures were looked at, in multiples of the run's"""


def make(
    path: Path,
    video: Path,
    found: Sequence[Found],
    height: int = 480,
    *,
    boxes: bool = True,
    progress: Callable[[float], None] | None = None,
) -> list[Path]:
    """Write `video` (mp4), and beside it the sheet (.png) and the figures (.json); returns what was written.

    Args:
        path: the recording.
        video: where the overlay goes.
        found: one to four queries; several get a hue each, one the scale of many colours.
        height: of the picture in pixels, at most, and 16 at least; frame rates above 30 are thinned, and small
            pictures enlarged.
        boxes: draw outlines around what is lit.
        progress: called with the seconds drawn so far.

    What is shown begins with the first map and ends with the last, so that maps of a part make a film of that part.
    The sound is the recording's own, in stereo where that has it, else in one channel. A still picture gets no video.
    """
    if not 1 <= len(found) <= len(HUES):
        raise ValueError(f"{len(found)} queries; an overlay has colours for 1 to {len(HUES)}")
    check_height(height)
    header = probe(path)
    size = _size(header, height)
    fps = min(max(header.pictures[0].fps, LEAST_FPS), MOST_FPS)
    times = found[0].heat.times
    step = float(times[1] - times[0]) if len(times) > 1 else 1.0 / fps
    start, seconds = float(times[0]), float(times[-1] - times[0]) + step
    layers = [layer_of(one, None if len(found) == 1 else hue, boxes) for hue, one in enumerate(found)]
    written = []
    if header.format not in PICTURE_FORMATS:
        sound, hz = None, SOUND_HZ[-1]
        if header.sounds:
            hz = header.sounds[0].hz if header.sounds[0].hz in SOUND_HZ else 44100
            hz = min(hz, LONG_HZ) if seconds > LONG_SECONDS else hz
            apart = range(2) if header.sounds[0].channels == 2 else ()  # more are mixed to one
            sound = decode(path, audio=(start, seconds), hz=hz, channels=apart).audio
        frames = _frames(path, size, fps, start, max(1, round(seconds * fps)))
        render(video, frames, fps, [layer.since(start) for layer in layers], sound, hz, progress)
        written.append(video)
    # The figures first: by them a later run knows the sheet of one that was stopped here, and may replace it.
    write_json(video.with_suffix(".json"), figures(path, found))
    stills(path, video.with_suffix(".png"), found, height, boxes=boxes)
    return [*written, video.with_suffix(".png"), video.with_suffix(".json")]


def check_height(height: int) -> None:
    """Raise ValueError, one line, for a height that no picture can be drawn in."""
    if height < SMALLEST:
        raise ValueError(f"a height of {height} pixels is too small; {SMALLEST} at least are needed, such as 480")


def stills(path: Path, png: Path, found: Sequence[Found], height: int = 480, *, boxes: bool = True) -> None:
    """Write the sheet of a recording: its loudest moment, the highest score of each query, others spread over it."""
    times, picked = found[0].heat.times, moments([one.heat for one in found], names=[one.query for one in found])
    layers = [layer_of(one, None if len(found) == 1 else hue, boxes) for hue, one in enumerate(found)]
    chosen = times[sorted(picked)]
    pictures = decode(path, times=chosen.tolist(), size=_size(probe(path), height)).video.transpose(0, 2, 3, 1)
    title = path.name if len(found) > 1 else f"{path.name}: {found[0].query}"
    sheet(png, pictures, chosen.tolist(), layers, title, [picked[place] for place in sorted(picked)])


def layer_of(found: Found, hue: int | None, boxes: bool = True) -> Layer:
    """What is drawn for a query."""
    heat, scale = found.heat, found.scale
    return Layer(heat.maps, heat.times, scale.threshold, scale.ceiling, found.query, hue, boxes)


def render(
    path_out: str | Path,
    frames: Iterable[Picture],
    fps: float,
    layers: Sequence[Layer],
    sound: NDArray[np.float32] | None,
    hz: int,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Write the overlay video: frames uint8 [H, W, 3] with what is lit, the sound kept, a strip below.

    Frame k is shown at k / fps seconds; maps are interpolated linearly in time, and outlines are those of the
    interpolated map. The strip (see `strip`) spans the whole length, with the present moment as a line. `sound` is
    float32 [S] or [C, S] at `hz`, or None. Raises ValueError for frames that are no pictures.
    """
    heard = 0.0 if sound is None else np.shape(sound)[-1] / hz
    named = LEGEND_PIXELS if len(layers) > 1 else 0  # the line of the present moment leaves the names alone
    seconds = max(heard, max(float(layer.times[-1]) for layer in layers), 1.0 / fps)

    def drawn() -> Iterator[Picture]:
        below: Picture | None = None
        for index, frame in enumerate(frames):
            now, width = index / fps, frame.shape[1]
            out = overlay_layers(frame, layers, now)
            if below is None:
                below = strip(width, seconds, sound, hz, layers)
            moment = below.copy()
            moment[: len(below) - named, min(int(now / seconds * width), width - 1)] = 255
            if progress is not None:
                progress(now)
            yield np.concatenate([out, moment])

    write_clip(path_out, ahead(drawn()), fps, sound, hz)


def ahead(items: Iterator[Picture], most: int = 8) -> Iterator[Picture]:
    """The same, made in a thread beside whoever takes them, at most so many ahead; a failure is raised to the taker."""
    ready: Queue[Picture | BaseException | None] = Queue(most)
    stop = Event()

    def put(item: Picture | BaseException | None) -> None:
        while not stop.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except Full:
                continue

    def run() -> None:
        try:
            for item in items:
                put(item)
                if stop.is_set():
                    return
            put(None)
        except BaseException as error:
            put(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()


def moments(heats: Sequence[Heat], count: int = STILLS, names: Sequence[str] = ()) -> dict[int, str]:
    """Which maps make a sheet, and why: each query's highest score, the loudest moment, others spread evenly.

    `names` of the queries, where there are several, tell whose score it is.
    """
    picked: dict[int, str] = {}
    loud = heats[0].loudness
    if loud.max() > SILENCE_DB:
        picked[int(loud.argmax())] = "loudest"
    for place, heat in enumerate(heats):
        best = int(heat.maps.max(axis=(1, 2)).argmax())
        why = f"highest, {legible(names[place])[:NAME_LETTERS]}" if len(names) > 1 else "highest score"
        told = [picked[best]] if best in picked else []
        picked[best] = "\n".join([*told, why]) if len(names) > 1 else ", ".join([*told, why])
    spread = np.linspace(0, len(loud) - 1, max(count - len(picked), 1)).round().astype(np.int64)
    for place in spread.tolist():
        picked.setdefault(place, "")
    return picked


def figures(path: Path, found: Sequence[Found]) -> dict[str, Any]:
    """What is told of a recording: of one query at the top, of several as a list under "queries".

    "sizes" are there where the pictures were not looked at in the run's own size alone.
    """
    told = [_told(one) for one in found]
    sizes = {} if found[0].sizes == (1.0,) else {"sizes": list(found[0].sizes)}
    return {"recording": str(path), **sizes, **(told[0] if len(told) == 1 else {"queries": told})}


def _told(found: Found) -> dict[str, Any]:
    """The scale, the share of time that is lit, and each moment's peak: its score, its place where lit, the lit area.

    `x` and `y` are fractions of the picture, the middle of the highest cell; None where the moment is dark. `boxes`
    holds a box (x0, y0, x1, y1, fractions) with its highest score for each part that is lit.
    """
    heat, scale = found.heat, found.scale
    rows, columns = heat.maps.shape[1:]
    told = []
    for seconds, scores, level in zip(heat.times, heat.maps, heat.loudness, strict=True):
        peak = float(scores.max())
        lit = peak >= scale.threshold
        y, x = divmod(int(scores.argmax()), columns)
        told.append({
            "seconds": round(float(seconds), 3),
            "peak": peak,
            "x": (x + 0.5) / columns if lit else None,
            "y": (y + 0.5) / rows if lit else None,
            "lit_area": float(np.mean(scores >= scale.threshold)),
            "boxes": [
                {"box": [round(side, 4) for side in one.box], "peak": one.peak}
                for one in boxes_of(scores, scale.threshold)
            ],
            "loudness_db": round(float(level), 1),
        })  # fmt: skip
    return {
        "query": found.query,
        "edges_from_picture": found.refined,
        "threshold": scale.threshold,
        "ceiling": scale.ceiling,
        "threshold_is": scale.chosen,
        "lit_time": lit_time(found),
        "moments": told,
    }


def lit_time(found: Found) -> float:
    """The share of the moments at which anything is lit."""
    return float(np.mean(found.heat.maps.max(axis=(1, 2)) >= found.scale.threshold))


def _size(header: Header, height: int) -> tuple[int, int]:
    """(H, W), even, at most `height` high, in the displayed shape; what is tiny is enlarged by a whole number."""
    picture = header.pictures[0]
    factor = min(1.0, height / picture.height)
    if picture.height < LEAST_HEIGHT:
        factor = max(factor, float(min(LEAST_HEIGHT, height) // picture.height))
    return tuple(max(2, 2 * round(factor * side / 2)) for side in (picture.height, picture.width))  # type: ignore[return-value]


def _frames(path: Path, size: tuple[int, int], fps: float, start: float, count: int) -> Iterator[Picture]:
    """The pictures shown at start + k / fps, uint8 [H, W, 3], read a bounded number at a time."""
    chunk = max(1, CHUNK_BYTES // (3 * size[0] * size[1]))
    for first in range(0, count, chunk):
        times = start + np.arange(first, min(first + chunk, count)) / fps
        yield from decode(path, times=times.tolist(), size=size).video.transpose(0, 2, 3, 1)
