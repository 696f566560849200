"""Boxes from an index are those of the localizer's own maps, for an untrained network too."""

from pathlib import Path

import numpy as np
import pytest
import torch
from contract import tiny

from avssl.data.encode import write_clip
from avssl.embedding import Embedder
from avssl.embedding.regions import Span, embed_regions, places_of, sought
from retrieval.boxes import box_of
from retrieval.regions import RegionFile, write_regions

FPS, HZ, SECONDS = 8.0, 16000, 2.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """A bright square that moves over a dark ground, and a tone that rises."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    frames = np.zeros((round(SECONDS * FPS), 48, 48, 3), np.uint8)
    for number, frame in enumerate(frames):
        frame[10:22, 2 * number : 2 * number + 12] = (250, 120, 10 * number)
    time = np.arange(round(SECONDS * HZ)) / HZ
    write_clip(path, frames, FPS, (0.5 * np.sin(2 * np.pi * (300 + 200 * time) * time)).astype(np.float32), HZ)
    return path


def overlap(a, b):
    """Intersection over union of two boxes."""
    sides = [min(a[2 + axis], b[2 + axis]) - max(a[axis], b[axis]) for axis in (0, 1)]
    shared = max(sides[0], 0) * max(sides[1], 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return shared / (sum(areas) - shared)


@pytest.mark.parametrize("name", ["trimodal", "dense_av", "ave_net"])
def test_maps_and_boxes_are_the_localizers(name, clip, tmp_path):
    run = tiny.run(name)
    embedder = Embedder(run.method(), run.inputs)
    starts = [0.0, 0.4, 0.8, 1.2]
    done = []
    blocks = embed_regions(embedder, [Span(7 + n, clip, s) for n, s in enumerate(starts)], lambda *at: done.append(at))
    write_regions(tmp_path / "regions.sqlite", blocks, components=1000)
    assert done[-1] == (4, 4)
    file = RegionFile(tmp_path / "regions.sqlite")
    assert file.ids() == [7, 8, 9, 10]
    video = embedder.window.read(clip, starts, video=True, audio=False).video
    for kind in embedder.method.localizes:
        if kind == "text":
            given, asked = "bell drum", run.inputs.tokens(["bell drum"])
        else:
            # One window of sound, so that the query is as long as the windows that are searched.
            given = tmp_path / "sound.mp4"
            tone = np.sin(np.arange(round(run.inputs.cfg.audio_seconds * HZ)) / 9).astype(np.float32)
            write_clip(given, np.zeros((4, 48, 48, 3), np.uint8), FPS, tone, HZ)
            held = embedder.window.read(given, [0.0], video=False, audio=True).audio
            asked = run.inputs.audio(held)
        with torch.inference_mode():
            maps = embedder.method.localize(video, asked.expand(len(video), *asked.shape[1:]), kind).mean(1).numpy()
        found = file.maps([7, 8, 9, 10], *sought(embedder, kind, given))
        for number, wanted in enumerate(maps):
            # Bytes instead of floats, no more: all components are kept.
            assert abs(found[7 + number] - wanted).max() < 0.02 * np.ptp(wanted), kind
        boxes = [overlap(box_of(found[7 + n]).box, box_of(wanted).box) for n, wanted in enumerate(maps)]
        assert np.mean(boxes) > 0.9, kind
    assert sought(embedder, "video", clip) is None, "a clip is nowhere in a picture"


def test_a_method_without_places_says_so(clip):
    run = tiny.run("mil_nce")
    embedder = Embedder(run.method(), run.inputs)
    with pytest.raises(ValueError, match="mil_nce keeps no places"):
        places_of(embedder)
    assert sought(embedder, "text", "a bell") is None


def test_files_that_are_gone_are_passed_over(clip, tmp_path):
    run = tiny.run("trimodal")
    embedder = Embedder(run.method(), run.inputs)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    spans = [Span(1, tmp_path / "gone.mp4", 0.0), Span(2, tmp_path / "broken.mp4", 0.0), Span(3, clip, 0.0)]
    assert [ids for ids, _ in embed_regions(embedder, spans)] == [[3]]
