"""Writing a world to disk: in parallel, resumable, the same for any number of workers."""

import io
import json
import os
import wave
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from avssl.data.apart import deaf_to_ctrl_c
from avssl.data.audit import NO_MEDIA
from avssl.data.encode import write_clip, write_deep
from avssl.data.narration import Phrase
from avssl.data.subtitles import webvtt
from avssl.data.world import sensors as further
from avssl.data.world.narration import narrate
from avssl.data.world.render import frames_of, sound_of
from avssl.data.world.scene import LEVELS, SPLITS, plan, truth
from avssl.data.world.sounds import HZ, KINDS

VERSION = 2  # raise it when the same parameters no longer give the same world


def make_world(
    out: str | Path,
    *,
    clips: int = 1200,
    level: str = "easy",
    seed: int = 0,
    side: int = 112,
    fps: float = 12.5,
    seconds: float = 4.0,
    sensors: Sequence[str] = (),
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Write a world of sounding, moving things under `out` and return its truth, one record per clip.

    The folder holds `videos/{train,val,test}/ID.mp4` with `ID.vtt` beside it, `solo/ID.N.wav` (what thing N of a
    held-out clip with two or more sounding things sounds like alone: truth and no recordings, so that the folder holds
    a file `.nomedia` and is passed over by who lists recordings), `truth.jsonl`, `labels.tsv` and `world.json`.
    Clips are a function of (seed, split, index): a larger world holds the smaller one. Clips that are there already
    are kept, so an interrupted call goes on where it stopped and a repeated one does nothing.

    Args:
        clips: of all splits together; 80 % train, 8 % val, 12 % test, at least one each.
        level: one of "easy", "medium", "hard", "crowded".
        side: of the square picture, in pixels.
        seconds: length of each clip.
        sensors: further ones: "stereo" makes two channels, panned by where things are; "depth" writes `ID.depth.mkv`
            beside each clip, 16 bits of millimeters; "infrared" `ID.infrared.mp4`, a second camera that sees heat.
        workers: processes; None takes one per usable core.
        progress: called with (clips done, clips in all) after each clip.

    Raises:
        ValueError: an unknown level, numbers out of range, or a folder that holds a world of other parameters.
    """
    if level not in LEVELS:
        raise ValueError(f"there is no level {level!r}; the levels are {', '.join(LEVELS)}")
    if clips < 3:
        raise ValueError(f"clips is {clips}; a world needs at least 3, one for each of {', '.join(SPLITS)}")
    if side < 32 or side % 2:
        raise ValueError(f"side is {side}; it must be an even number of at least 32 pixels")
    if not (1 <= fps <= 60 and 1 <= seconds <= 600):
        raise ValueError(f"fps is {fps} and seconds {seconds}; they must lie in 1..60 and 1..600")
    if unknown := sorted(set(sensors) - set(further.SENSORS)):
        raise ValueError(f"there is no sensor {unknown[0]!r}; the sensors are {', '.join(further.SENSORS)}")
    held = tuple(name for name in further.SENSORS if name in sensors)
    out = Path(out)
    settings = {
        "version": VERSION,
        "clips": clips,
        "level": level,
        "seed": seed,
        "side": side,
        "fps": fps,
        "seconds": seconds,
        "hz": HZ,
        "kinds": list(KINDS),
        "sensors": list(held) or None,
    }
    _claim(out, settings)

    jobs = [
        (out, seed, split, index, level, side, fps, seconds, held)
        for split, count in split_sizes(clips).items()
        for index in range(count)
    ]
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    records: list[dict[str, Any]] = []
    if workers <= 1:
        for job in jobs:
            records.append(_make_clip(job))
            if progress:
                progress(len(records), len(jobs))
    else:
        # Spawned, not forked: a fork of a process with running threads can hang.
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            with deaf_to_ctrl_c():
                made = pool.map(_make_clip, jobs, chunksize=max(1, min(16, len(jobs) // (4 * workers))))
            for record in made:
                records.append(record)
                if progress:
                    progress(len(records), len(jobs))

    _put(out / "truth.jsonl", "".join(json.dumps(record) + "\n" for record in records).encode())
    rows = [f"{r['split']}/{r['id']}.mp4\t{r['split']}\t{r['kind'] or ''}\t{r['case']}\n" for r in records]
    _put(out / "labels.tsv", ("path\tsplit\tkind\tcase\n" + "".join(rows)).encode())
    return records


def split_sizes(clips: int) -> dict[str, int]:
    """How many clips each split gets."""
    val, test = max(1, round(0.08 * clips)), max(1, round(0.12 * clips))
    return {"train": clips - val - test, "val": val, "test": test}


def cases_per_split(records: list[dict[str, Any]]) -> dict[str, Counter[str]]:
    """How often each case occurs in each split."""
    return {split: Counter(r["case"] for r in records if r["split"] == split) for split in SPLITS}


def lacking_cases(records: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """(split, case) that validation and test should hold and, in a world this small, do not."""
    held = cases_per_split(records)
    known = {case for record in records for case in LEVELS[record["level"]].held_out}
    return [(split, case) for split in ("val", "test") for case in sorted(known - set(held[split]))]


def _claim(out: Path, settings: dict[str, Any]) -> None:
    """Make the folder ours, or refuse it."""
    stated = out / "world.json"
    if stated.exists():
        found = json.loads(stated.read_text())
        for name, value in settings.items():
            if found.get(name) != value:
                raise ValueError(
                    f"{out} holds a world with {name} {found.get(name)}, not {value}: "
                    f"choose another folder, or delete this one"
                )
    elif out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} holds other files and no world.json: choose an empty or new folder")
    for folder in ("solo", *(f"videos/{split}" for split in SPLITS)):
        (out / folder).mkdir(parents=True, exist_ok=True)
    (out / "solo" / NO_MEDIA).touch()
    for scrap in out.rglob(".*.partial*"):  # of a world that was being made when it was killed
        scrap.unlink(missing_ok=True)
    if not stated.exists():
        told = {name: value for name, value in settings.items() if value is not None}
        _put(stated, (json.dumps(told, indent=2) + "\n").encode())


def _make_clip(job: tuple[Path, int, str, int, str, int, float, float, tuple[str, ...]]) -> dict[str, Any]:
    """Plan one clip, write those of its files that are missing, and return its truth."""
    out, seed, split, index, level, side, fps, seconds, sensors = job
    scene = plan(seed, split, index, level, side, fps, seconds)
    sentences = narrate(scene)
    video = out / "videos" / split / f"{scene.id}.mp4"
    words = video.with_suffix(".vtt")
    alone = {}
    if split != "train" and sum(thing.sounding for thing in scene.things) > 1:
        alone = {k: out / "solo" / f"{scene.id}.{k}.wav" for k, thing in enumerate(scene.things) if thing.sounding}
    if not all(path.exists() for path in (video, words, *alone.values())):
        mixture, parts = sound_of(scene)
        for k, path in alone.items():
            _put(path, _as_wav(parts[k]))
        _put(words, webvtt(Phrase(s["start"], s["end"], s["text"]) for s in sentences).encode())
        sound = further.panned(scene, mixture, parts) if "stereo" in sensors else mixture
        write_clip(video, iter(frames_of(scene)), fps, sound, HZ, preset="superfast")
    found = truth(scene, sentences)
    if "depth" in sensors:
        found["distances_mm"] = further.distances(scene)
        if not (deep := video.with_suffix(".depth.mkv")).exists():
            write_deep(deep, iter(further.depths(scene)), fps)
    if "infrared" in sensors and not (warm := video.with_suffix(".infrared.mp4")).exists():
        write_clip(warm, iter(further.heat(scene)), fps, preset="superfast")
    return found


def _as_wav(sound: np.ndarray[Any, np.dtype[np.float32]]) -> bytes:
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(HZ)
        file.writeframes(np.rint(np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    return data.getvalue()


def _put(path: Path, data: bytes) -> None:
    """Write a file that is there whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with open(partial, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
