"""The maps that a network makes of clips of known truth: with their own sound, another, each sound alone, and none."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avssl.data.manifest import Manifest, Recording
from avssl.embedding.window import Window
from avssl.evaluation.judged import SINGLE, Boxes, Judged
from avssl.evaluation.middles import middle_of, read_middle
from avssl.inputs import Inputs
from avssl.localize.enlarged import highest, in_sizes
from avssl.methods.base import Method

BATCH = 16
"""clips that go through the network together"""

Truth = Mapping[str, Any]


@dataclass(frozen=True)
class Clips:
    """Clips of known truth, one window of each, decoded at a run's sizes.

    Attributes:
        truth: of each clip.
        things: what is visible in each, with the boxes of the window.
        pictures: uint8 [N, T, 3, H, W].
        sounds: float32 [N, S].
        alone: (index of a clip, index of a thing, its sound [1, S]) for the clips with several sounding things.
        sizes: in which pictures are looked at, in multiples of the run's; ``pictures`` have the largest.
    """

    truth: tuple[Truth, ...]
    things: tuple[tuple[Boxes, ...], ...]
    pictures: Tensor
    sounds: Tensor
    alone: tuple[tuple[int, int, Tensor], ...]
    sizes: tuple[float, ...] = (1.0,)


def read_truth(path: Path) -> dict[str, Truth]:
    """``truth.jsonl`` of a made-up world or of mosaics: id -> what it says. Raises ValueError naming a wrong line."""
    found: dict[str, Truth] = {}
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                record = json.loads(line)
                known = {key: record[key] for key in ("case", "kinds", "things", "fps")}
                found[record["id"]] = {**known, "sources": record.get("sources", [])}
            except (ValueError, KeyError, TypeError) as error:
                why = f"no {error.args[0]}" if isinstance(error, KeyError) else str(error)
                raise ValueError(f"{path}, line {number}: no truth about a clip ({why})") from None
    return found


def read(inputs: Inputs, manifest: Manifest, split: str, truth: Mapping[str, Truth], root: Path) -> Clips:
    """The clips of a split that the truth knows and that have picture and sound.

    Args:
        inputs: a run's; networks of the same inputs can be judged on what is read once.
        manifest: the recordings; a clip is known by the stem of its file.
        split: of the manifest.
        truth: from :func:`read_truth`.
        root: the world's folder; ``solo/ID.N.wav`` is what thing N of clip ID sounds like alone.

    Raises ValueError when there is no such clip.
    """
    window = Window(inputs)
    found: list[tuple[Recording, Truth, Tensor, Tensor]] = []
    for recording in manifest.split(split):
        known = truth.get(Path(recording.path).stem)
        got = None if known is None else read_middle(manifest, recording, window, video=True, audio=True)
        if known is not None and got is not None and got.video is not None and got.audio is not None:
            found.append((recording, known, got.video, got.audio))
    if not found:
        raise ValueError(f"the truth knows none of the clips in the {split} split; was it made for other recordings?")
    return Clips(
        tuple(known for _, known, _, _ in found),
        tuple(_things(known, middle_of(recording, window), window.seconds) for recording, known, _, _ in found),
        torch.cat([pictures for _, _, pictures, _ in found]),
        torch.cat([sound for _, _, _, sound in found]),
        tuple(_alone([(recording, known) for recording, known, _, _ in found], window, root)),
    )


def judged(method: Method[Any], inputs: Inputs, clips: Clips) -> list[Judged]:
    """The clips with the maps of a method that localizes sounds.

    Where no clip is silent by itself, each picture is shown with digital silence too; where none has its sound off
    screen, another clip's sound, of a kind that the picture does not show, stands for one.
    """
    sounds, count = clips.sounds, len(clips.truth)
    cases = {str(known["case"]) for known in clips.truth}
    others = [_other(index, clips.truth) for index in range(count)]
    paired = {index: other for index, other in enumerate(others) if other is not None}
    noise = torch.from_numpy(np.random.default_rng(0).normal(scale=0.1, size=(1, sounds.shape[1])).astype(np.float32))
    asked = {"own": sounds, "noise": noise.expand(count, -1)}
    if paired:
        asked["swapped"] = sounds[[paired.get(index, index) for index in range(count)]]
    if "silent" not in cases:
        asked["silence"] = torch.zeros_like(noise).expand(count, -1)
    found = _localize(method, inputs, clips.pictures, asked, clips.sizes)
    swapped = {index: found["swapped"][index] for index in paired}
    silent = found.get("silence")
    alone = {"alone": torch.cat([sound for _, _, sound in clips.alone] or [sounds[:0]])}
    shown = clips.pictures[[index for index, _, _ in clips.alone]]
    each = _localize(method, inputs, shown, alone, clips.sizes)["alone"]
    solo: dict[int, dict[int, NDArray[np.float64]]] = {}
    for (index, thing, _), maps in zip(clips.alone, each, strict=True):
        solo.setdefault(index, {})[thing] = maps
    foreign = {
        index: swapped[index]
        for index, other in paired.items()
        if "offscreen" not in cases and _apart(clips.truth[index], clips.truth[other])
    }
    return [
        Judged(str(known["case"]), clips.things[index], found["own"][index], swapped.get(index), solo.get(index, {}),
               found["noise"][index], silent[index] if silent else None, foreign.get(index))
        for index, known in enumerate(clips.truth)
    ]  # fmt: skip


def _other(index: int, truth: Sequence[Truth]) -> int | None:
    """The next clip with one sounding thing, of another kind; None where it is not asked for or there is none."""
    own = truth[index]
    if own["case"] not in SINGLE:
        return None
    for step in range(1, len(truth)):
        other = truth[(index + step) % len(truth)]
        shared = set(other["kinds"]) & set(own["kinds"]) or set(other["sources"]) & set(own["sources"])
        if other["case"] in SINGLE and not shared:
            return (index + step) % len(truth)
    return None


def _apart(own: Truth, other: Truth) -> bool:
    """Whether nothing that a clip shows is of the kind that sounds in the other."""
    return not {thing["kind"] for thing in own["things"]} & set(other["kinds"])


def _alone(clips: Sequence[tuple[Recording, Truth]], window: Window, root: Path) -> list[tuple[int, int, Tensor]]:
    found = []
    for index, (recording, known) in enumerate(clips):
        if sum(bool(thing["sounding"]) for thing in known["things"]) > 1:
            for thing, told in enumerate(known["things"]):
                path = root / "solo" / f"{Path(recording.path).stem}.{thing}.wav"
                if told["sounding"] and path.exists():
                    start = middle_of(recording, window)
                    sound = window.read(path, [start], video=False, audio=True).audio
                    assert sound is not None
                    found.append((index, thing, sound))
    return found


def _things(known: Truth, start: float, seconds: float) -> tuple[Boxes, ...]:
    """What is visible, with the boxes of the frames that lie in the window."""
    first, last = round(start * known["fps"]), max(1, round((start + seconds) * known["fps"]))
    return tuple(
        Boxes(bool(thing["sounding"]), np.asarray(thing["boxes"], np.float64)[first:last]) for thing in known["things"]
    )


@torch.inference_mode()
def _localize(
    method: Method[Any], inputs: Inputs, pictures: Tensor, asked: Mapping[str, Tensor], sizes: Sequence[float]
) -> dict[str, list[NDArray[np.float64]]]:
    """Maps [T, h, w] of each picture [T, 3, H, W] with its sound [S], for each name of sounds [N, S]."""
    first = next(method.parameters(), None)
    device = torch.device("cpu") if first is None else first.device
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in asked}
    with _seen_once(method):
        for index in range(0, len(pictures), BATCH):
            made: dict[str, list[Tensor]] = {name: [] for name in asked}
            for video in in_sizes(pictures[index : index + BATCH].to(device), sizes):
                for name, sounds in asked.items():
                    heard = inputs.audio(sounds[index : index + BATCH]).to(device)
                    made[name].append(method.localize(video, heard, "audio").double())  # type: ignore[operator]
            for name, maps in made.items():
                found[name] += list(highest(maps).cpu().numpy())
    return found


class _Last:
    """A tower's forward that remembers its last pictures and what it made of them."""

    def __init__(self, forward: Callable[[Tensor], Any]):
        self.forward = forward
        self.pictures: Tensor | None = None  # kept, so that no other tensor can come to lie in the same memory
        self.made: Any = None

    def __call__(self, x: Tensor, *more: Any) -> Any:
        if more:
            return self.forward(x, *more)
        last = self.pictures
        if last is None or (last.data_ptr(), last.shape, last.stride()) != (x.data_ptr(), x.shape, x.stride()):
            self.pictures, self.made = x, self.forward(x)
        return self.made


@contextmanager
def _seen_once(method: Method[Any]) -> Iterator[None]:
    """Several sounds are asked of the same pictures, whose towers are most of the work: they work once for all."""
    towers = [tower for kind, tower in method.encoders.items() if kind in ("image", "video")]
    for tower in towers:
        tower.forward = _Last(tower.forward)
    try:
        yield
    finally:
        for tower in towers:
            del tower.forward
