"""The folder of odd, broken and plain media through the manifest and the items: no crash, a reason for each."""

import csv
from pathlib import Path

import pytest

from avssl.data.dataset import Items, Source
from avssl.data.maker import generator
from avssl.data.manifest import Manifest, make
from avssl.data.subtitles import SUFFIXES
from avssl.sample import Needs


@pytest.fixture(scope="module")
def edge(recordings: Path) -> Path:
    folder = recordings / "edge-media"
    if not folder.is_dir():
        pytest.skip(f"no {folder}; set AVSSL_DATA to the folder of recordings")
    return folder


@pytest.fixture(scope="module")
def made(edge: Path) -> Manifest:
    return make(edge, workers=2)


def test_every_file_is_kept_or_has_its_reason(made: Manifest, edge: Path) -> None:
    files = {str(path.relative_to(edge)) for path in edge.rglob("*") if path.is_file()}
    kept, left_out = {r.path for r in made.recordings}, dict(made.left_out)
    assert not kept & left_out.keys()
    assert {path for path in files if not path.endswith(SUFFIXES)} <= kept | left_out.keys()
    assert all(reason and "\n" not in reason and str(edge) not in reason for reason in left_out.values())
    assert not [reason for reason in left_out.values() if "crashed" in reason or "took longer" in reason]


def test_what_plays_elsewhere_is_kept(made: Manifest, edge: Path) -> None:
    """Files of which PyAV decoded at least a second of sound, or that hold pictures and no error, are recordings."""
    kept = {r.path: r for r in made.recordings}
    reasons = dict(made.left_out)
    with open(edge / "INDEX.tsv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    heard = [
        row for row in rows if float(row["asec"] or 0) >= 1 and not reasons.get(row["path"], "").startswith("the same")
    ]
    assert len(heard) > 60
    for row in heard:
        sound = kept[row["path"]].audio
        assert sound is not None, row["path"]
        assert sound["seconds"] == pytest.approx(float(row["asec"]), abs=0.25), row["path"]


def test_problems_are_told(made: Manifest) -> None:
    problems = {r.path: r.problems for r in made.recordings}
    assert problems["openl3/audio/silence.wav"] == ("silent",)
    assert problems["androidx-media/mp4/silent-black-25s.mp4"] == ("silent", "still")
    assert "claims more than it holds" in problems["androidx-media/mp3/100kB-garbage-prefix.mp3"]
    assert "no sound" in problems["torchcodec/h265_video.mp4"]
    assert any("decode errors" in text for text in problems["decord/tests/test_data/corrupted.mp4"])
    said = {r.path: r.narration for r in made.recordings}
    assert len(said["torchcodec/nasa_13013.mp4"]) == 4, "embedded subtitles"


def test_every_recording_gives_samples(made: Manifest) -> None:
    for needs in (Needs(frames=3, fps=4.0, height=32, width=32), Needs(audio_seconds=1.0)):
        items = Items(made, None, 10.0, needs)
        source = Source(items, needs)
        done = set()
        for index, item in enumerate(items.items):
            if item.recording not in done:
                done.add(item.recording)
                source.get(index, generator(index))
        assert len(done) == len(items.recordings) > 60
