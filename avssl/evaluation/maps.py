"""The maps that a network makes of clips of known truth: with their own sound, another, and each sound alone."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avssl.data.manifest import Manifest, Recording
from avssl.embedding.window import Window
from avssl.evaluation.locating import SINGLE, Boxes, Judged
from avssl.evaluation.middles import middle_of, read_middle
from avssl.inputs import Inputs
from avssl.methods.base import Method

BATCH = 16
"""clips that go through the network together"""

Truth = Mapping[str, Any]


def read_truth(path: Path) -> dict[str, Truth]:
    """``truth.jsonl`` of a made-up world: id -> its line. Raises ValueError naming the line that is none."""
    found: dict[str, Truth] = {}
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                record = json.loads(line)
                found[record["id"]] = {key: record[key] for key in ("case", "kinds", "things", "fps")}
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path}, line {number}: no truth about a clip ({error!r})") from None
    return found


def judged(
    method: Method[Any], inputs: Inputs, manifest: Manifest, split: str, truth: Mapping[str, Truth], root: Path
) -> list[Judged]:
    """The clips of a split that the truth knows and that have picture and sound, with their maps.

    Args:
        method: one that localizes sounds.
        inputs: its inputs.
        manifest: the recordings; a clip is known by the stem of its file.
        split: of the manifest.
        truth: from :func:`read_truth`.
        root: the world's folder; ``solo/ID.N.wav`` is what thing N of clip ID sounds like alone.

    Raises ValueError when there is no such clip.
    """
    window = Window(inputs)
    clips: list[tuple[Recording, Truth, Tensor, Tensor]] = []
    for recording in manifest.split(split):
        known = truth.get(Path(recording.path).stem)
        got = None if known is None else read_middle(manifest, recording, window, video=True, audio=True)
        if known is not None and got is not None and got.video is not None and got.audio is not None:
            clips.append((recording, known, got.video, got.audio))
    if not clips:
        raise ValueError(f"the truth knows none of the clips in the {split} split; was it made for other recordings?")
    pictures, sounds = torch.cat([clip[2] for clip in clips]), torch.cat([clip[3] for clip in clips])
    own = _localize(method, inputs, pictures, sounds)
    others = [_other(index, [clip[1] for clip in clips]) for index in range(len(clips))]
    paired = [index for index, other in enumerate(others) if other is not None]
    swapped = dict(zip(paired, _localize(method, inputs, pictures[paired], sounds[_known(others)]), strict=True))
    alone = _alone(clips, window, root)
    each = _localize(
        method,
        inputs,
        pictures[[index for index, _, _ in alone]],
        torch.cat([sound for _, _, sound in alone] or [sounds[:0]]),
    )
    noise = torch.from_numpy(np.random.default_rng(0).normal(scale=0.1, size=(1, sounds.shape[1])).astype(np.float32))
    noisy = _localize(method, inputs, pictures, noise.expand(len(pictures), -1))
    solo: dict[int, dict[int, NDArray[np.float64]]] = {}
    for (index, thing, _), maps in zip(alone, each, strict=True):
        solo.setdefault(index, {})[thing] = maps
    return [
        Judged(str(known["case"]), _things(known, middle_of(recording, window), window.seconds), own[index],
               swapped.get(index), solo.get(index, {}), noisy[index])
        for index, (recording, known, _, _) in enumerate(clips)
    ]  # fmt: skip


def _known(values: Sequence[int | None]) -> list[int]:
    return [value for value in values if value is not None]


def _other(index: int, truth: Sequence[Truth]) -> int | None:
    """The next clip with one sounding thing, of another kind; None where it is not asked for or there is none."""
    if truth[index]["case"] not in SINGLE:
        return None
    for step in range(1, len(truth)):
        other = (index + step) % len(truth)
        if truth[other]["case"] in SINGLE and not set(truth[other]["kinds"]) & set(truth[index]["kinds"]):
            return other
    return None


def _alone(
    clips: Sequence[tuple[Recording, Truth, Tensor, Tensor]], window: Window, root: Path
) -> list[tuple[int, int, Tensor]]:
    """(index of a clip, index of a thing, its sound [1, S]) for the clips with two sounding things."""
    found = []
    for index, (recording, known, _, _) in enumerate(clips):
        if known["case"] == "two":
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
def _localize(method: Method[Any], inputs: Inputs, pictures: Tensor, sounds: Tensor) -> list[NDArray[np.float64]]:
    """Maps [T, h, w] of each picture [T, 3, H, W] with its sound [S]."""
    first = next(method.parameters(), None)
    device = torch.device("cpu") if first is None else first.device
    found: list[NDArray[np.float64]] = []
    for index in range(0, len(pictures), BATCH):
        video = pictures[index : index + BATCH].to(device)
        heard = inputs.audio(sounds[index : index + BATCH]).to(device)
        found += list(method.localize(video, heard, "audio").double().cpu().numpy())  # type: ignore[operator]
    return found
