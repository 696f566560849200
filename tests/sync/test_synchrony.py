"""avssl sync on made recordings: a light that flickers and a noise that follows it, moved, dubbed, dark, silent."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch

from avssl.cli import run
from avssl.config import InputsConfig, MethodConfig
from avssl.data.encode import write_clip
from avssl.data.manifest import make
from avssl.data.media import probe, scan
from avssl.inputs import Inputs
from avssl.methods.base import HasCourse, Method, Step, TellsAligned, TellsOffset
from avssl.sample import Needs
from avssl.sync.recording import reach_of, spread, synchrony

HZ, FPS = 8000, 12.5
CFG = InputsConfig(height=32, width=32, frames=10, fps=FPS, hz=HZ, audio_seconds=0.8, audio="wave")


class Simple(Method[MethodConfig]):
    """Nothing to learn."""

    Config, modalities = MethodConfig, ("video", "audio")

    def __init__(self):
        super().__init__(MethodConfig(name="simple"), Inputs(CFG), torch.nn.ModuleDict(), 1)

    @classmethod
    def needs(cls, cfg, inputs):
        return Needs(frames=CFG.frames, fps=FPS, audio_seconds=0.8, hz=HZ)

    @classmethod
    def transform(cls, cfg, inputs):
        raise NotImplementedError

    def forward(self, batch, turn="main"):
        return Step(torch.zeros(()))


class Flicker(Simple):
    """Brightness of two pictures at a time against loudness of 40 ms."""

    time_stride = 2

    def course(self, modality, x):
        if modality == "video":
            bright = x.float().mean((2, 3, 4))
            return bright[:, : bright.shape[1] // 2 * 2].unflatten(1, (-1, 2)).mean(2)[..., None]
        return x.unflatten(1, (-1, HZ // 25)).square().mean(2).sqrt()[..., None]


class Names(Simple):
    """Says the offset that it is told to, and keeps what it is shown."""

    offsets = (-0.2, 0.0, 0.2, 0.4)
    shown: list
    heard: list

    def offset_logits(self, video, audio):
        self.shown = [*getattr(self, "shown", []), (tuple(video.shape), tuple(audio.shape))]
        self.heard = [*getattr(self, "heard", []), audio[0, -200:].abs().max().item()]
        return torch.tensor([[0.0, 1.0, 6.0, 1.0]])


class InStep(Simple):
    """Correlation of the brightness of a clip's pictures with the loudness of sounds."""

    def in_step(self, video, audio):
        assert video.shape[1] == CFG.frames
        assert audio.shape[1] == round(HZ * CFG.seconds)
        bright = video.float().mean((2, 3, 4))
        loud = audio.unflatten(1, (CFG.frames, -1)).square().mean(2).sqrt()
        return torch.nn.functional.cosine_similarity(
            (bright - bright.mean(1, keepdim=True))[:, None], (loud - loud.mean(1, keepdim=True))[None], dim=2
        )


def flicker(times, seed):
    """Levels 0..1 at times from -1 s on, smooth."""
    drawn = np.random.default_rng(seed).uniform(0, 1, 200)
    return np.interp(times, np.arange(200) * 0.16 - 1, drawn)


def recording(path, seconds=4.0, late=0.0, *, light=1, sound=1, noise=0.4):
    """A light whose flicker is drawn by the seed ``light``, and a noise that follows that of the seed ``sound``.

    A picture has the brightness of the middle of its time.
    """
    seen = (
        flicker((np.arange(round(seconds * FPS)) + 0.5) / FPS, light) if light else np.full(round(seconds * FPS), 0.5)
    )
    frames = (np.full((32, 32, 3), 255 * level, np.uint8) for level in seen)
    times = np.arange(round(seconds * HZ)) / HZ
    hiss = np.random.default_rng(9).standard_normal(len(times)).clip(-2, 2)
    wave = (noise * flicker(times - late, sound) * hiss).astype(np.float32)
    write_clip(path, frames, FPS, wave if sound else None, HZ)
    return path


@pytest.mark.parametrize("late", [-0.4, 0.0, 0.28])
def test_a_moved_sound_is_found_and_flagged(tmp_path, late):
    found = synchrony(Flicker(), Inputs(CFG), recording(tmp_path / "a.mp4", late=late))
    assert found.offset == pytest.approx(late, abs=0.04)
    assert found.verdict == ("shifted" if late else "in sync")
    assert found.confidence > 0.5
    assert found.looked_at_seconds == pytest.approx(4.0, abs=0.2)


@pytest.mark.parametrize("late", [-0.4, 0.0, 0.28])
def test_a_method_that_tells_what_is_in_step_tries_the_sounds_around_a_clip(tmp_path, late):
    found = synchrony(InStep(), Inputs(CFG), recording(tmp_path / "a.mp4", 12, late=late))
    assert found.offset == pytest.approx(late, abs=0.04)
    assert found.verdict == ("shifted" if late else "in sync")
    assert found.looked_at_seconds == pytest.approx(12, abs=2.9)
    other = synchrony(InStep(), Inputs(CFG), recording(tmp_path / "b.mp4", 16, light=1, sound=2))
    assert (other.verdict, other.confidence < 0.5) == ("dubbed", True)


def test_a_short_recording_leaves_less_to_try(tmp_path):
    late = recording(tmp_path / "a.mp4", 1.44, late=0.24)
    assert synchrony(InStep(), Inputs(CFG), late).offset == pytest.approx(0.24, abs=0.05)
    near = synchrony(InStep(), Inputs(CFG), recording(tmp_path / "b.mp4", 1.12, late=0.24))
    assert abs(near.offset) <= 0.16 + 1e-6, "no sound further away is whole"
    with pytest.raises(ValueError, match=r"for 0\.96 s; at least 1\.12 s are needed"):
        synchrony(InStep(), Inputs(CFG), recording(tmp_path / "c.mp4", 0.96))


def test_the_sound_of_another_fits_nowhere(tmp_path):
    found = synchrony(Flicker(), Inputs(CFG), recording(tmp_path / "a.mp4", 16, light=1, sound=2))
    assert found.verdict == "dubbed"
    assert found.confidence < 0.5


def test_a_sound_that_begins_later_than_the_picture_is_compared_where_it_is(tmp_path):
    """The container says the sound starts 0.24 s late; the silence before it is no sound."""
    path = remuxed(recording(tmp_path / "a.mp4"), tmp_path / "late.mkv", late=0.24)
    assert synchrony(Flicker(), Inputs(CFG), path).offset == pytest.approx(0.24, abs=0.04)


def remuxed(made, path, late=0.0, **options):
    """The same packets in another file, the sound ``late`` seconds later."""
    with av.open(str(made)) as source, av.open(str(path), "w", options=options) as target:
        streams = {stream: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == "audio":
                moved = round(late / packet.time_base)
                packet.pts, packet.dts = packet.pts + moved, packet.dts + moved
            packet.stream = streams[packet.stream]
            target.mux(packet)
    return path


def test_what_lies_behind_a_broken_end_is_not_looked_at(tmp_path):
    whole = remuxed(recording(tmp_path / "a.mp4", 6), tmp_path / "cut.mp4", movflags="faststart")
    data = whole.read_bytes()
    whole.write_bytes(data[: (data.rindex(b"mdat") + len(data)) // 2])
    there = scan(whole)
    length = min(there.video_seconds, there.audio_seconds)
    assert 1.5 < length < 5
    assert probe(whole).duration == pytest.approx(6, abs=0.1), "what the header claims"
    method = Names()
    found = synchrony(method, Inputs(CFG), whole)
    assert found.looked_at_seconds <= length + 0.01
    assert len(method.shown) == round(length / 0.8 + 0.45)
    assert min(method.heard) > 0
    assert synchrony(Flicker(), Inputs(CFG), whole).verdict == "in sync"


def test_a_header_that_claims_five_hours_over_four_seconds(tmp_path):
    path = remuxed(recording(tmp_path / "a.mp4", late=0.3), tmp_path / "claims.mkv")
    honest = synchrony(Flicker(), Inputs(CFG), path)
    assert honest.verdict == "shifted"
    claimed = path.read_bytes()
    place = claimed.index(b"\x44\x89\x88") + 3  # Matroska's Duration, milliseconds as a double
    path.write_bytes(claimed[:place] + struct.pack(">d", 5 * 3600e3) + claimed[place + 8 :])
    assert probe(path).duration == pytest.approx(5 * 3600)
    found = synchrony(Flicker(), Inputs(CFG), path)
    assert (found.offset, found.verdict) == (pytest.approx(honest.offset, abs=0.02), "shifted")
    assert found.looked_at_seconds == pytest.approx(4.0, abs=0.2)


def test_picture_and_sound_that_never_meet_are_refused(tmp_path):
    path = remuxed(recording(tmp_path / "a.mp4", 1.0), tmp_path / "apart.mkv", late=2.0)
    with pytest.raises(ValueError, match=r"picture and sound together for 0\.00 s; at least 0\.5 s"):
        synchrony(Flicker(), Inputs(CFG), path)


def test_nothing_to_see_or_to_hear(tmp_path):
    still = synchrony(Flicker(), Inputs(CFG), recording(tmp_path / "still.mp4", light=0))
    silent = synchrony(Flicker(), Inputs(CFG), recording(tmp_path / "silent.mp4", noise=0.0))
    assert (still.verdict, silent.verdict) == ("still", "silent")
    assert still.offset is silent.offset is None
    assert json.loads(json.dumps(silent.row()))["offset"] is None


def test_a_method_that_names_offsets_is_asked_window_by_window(tmp_path):
    method = Names()
    found = synchrony(method, Inputs(CFG), recording(tmp_path / "a.mp4"))
    assert (found.offset, found.verdict) == (0.2, "shifted")
    odds = np.exp([0.0, 1.0, 6.0, 1.0])
    assert found.confidence == pytest.approx(odds[2] / odds.sum() - np.median(odds / odds.sum()), abs=1e-3)
    assert method.shown == [((1, 10, 3, 32, 32), (1, 6400))] * 5


def test_no_offset_beyond_the_reach_is_found(tmp_path):
    late = recording(tmp_path / "a.mp4", late=0.4)
    assert synchrony(Flicker(), Inputs(CFG), late, reach_seconds=0.5).offset == pytest.approx(0.4, abs=0.04)
    found = synchrony(Flicker(), Inputs(CFG), late, reach_seconds=0.24)
    assert abs(found.offset) <= 0.24 + 1e-6
    assert found.confidence < 0.5
    found = synchrony(Names(), Inputs(CFG), late, reach_seconds=0.2)
    odds = np.exp([0.0, 1.0, 6.0])
    assert found.offset == 0.2
    assert found.confidence == pytest.approx(odds[2] / odds.sum() - np.median(odds / odds.sum()), abs=1e-3)


def test_the_reach_of_a_method_that_names_offsets_is_its_own():
    assert (reach_of(Flicker()), reach_of(Flicker(), 0.3)) == (1.0, 0.3)
    assert (reach_of(Names()), reach_of(Names(), 0.2)) == (0.4, 0.2)
    for asked in (1.0, 0.1):
        with pytest.raises(ValueError, match=f"a reach of {asked:g} s; .* trained to name offsets of 0.2 to 0.4 s"):
            reach_of(Names(), asked)


def test_the_protocols_are_told_apart():
    assert isinstance(Flicker(), HasCourse)
    assert not isinstance(Flicker(), TellsOffset)
    assert isinstance(Names(), TellsOffset)
    assert isinstance(InStep(), TellsAligned)
    assert not isinstance(Simple(), HasCourse | TellsOffset | TellsAligned)


@pytest.mark.parametrize(("seconds", "count"), [(0.9, 1), (2.0, 1), (2.05, 1), (3.9, 2), (4.0, 2), (100, 5)])
def test_stretches_are_spread_over_all_of_a_recording(seconds, count):
    for began in (0.0, 1.234):
        starts = spread(began, began + seconds, 2.0, 10.0)
        assert len(starts) == count
        assert starts[0] == pytest.approx(began, abs=0.01)
        assert starts[-1] == pytest.approx(began + (max(0.0, seconds - 2.0) if count > 1 else 0.0), abs=0.01)
        assert all(start >= began for start in starts)


@pytest.fixture
def model(tmp_path, monkeypatch):
    """Loads as the flickering method."""
    loaded = SimpleNamespace(
        method=Flicker().eval(), inputs=Inputs(CFG), digest="abc", step=7, cfg=SimpleNamespace(steps=600), manifest=None
    )
    monkeypatch.setattr("avssl.train.checkpoint.load_run", lambda folder: loaded)
    return loaded


def call(*words):
    return run(["sync", "RUN", *map(str, words), "--device", "cpu"])


def test_the_command_tells_a_table_and_json(tmp_path, model, capsys):
    (tmp_path / "in").mkdir()
    late, good = (recording(tmp_path / "in" / f"{name}.mp4", late=by) for name, by in (("a", 0.32), ("b", 0.0)))
    (tmp_path / "in" / "notes.txt").write_text("no recording")
    assert call(tmp_path / "in") == 0
    told = capsys.readouterr()
    assert re.search(r"shifted +(3\d\d|29\d) ms late", told.out)
    assert "in sync" in told.out
    assert told.err.count("passed over") == 1
    assert call(late, good, "--json", "--tolerance", 0.5) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["verdict"] for row in rows] == ["in sync", "in sync"]
    assert rows[0]["offset"] == pytest.approx(0.32, abs=0.04)
    assert call(good, "--json", "--confidence", 1.9) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "dubbed"


def test_where_no_sound_fits_the_run_itself_is_doubted(tmp_path, model, capsys):
    dubbed = [recording(tmp_path / f"{seed}.mp4", 16, light=1, sound=seed) for seed in (2, 3)]
    silent = recording(tmp_path / "silent.mp4", noise=0.0)
    hint = "no sound fits anywhere: is RUN trained enough, and on recordings like these? it is at step 7 of 600"
    for more in ([], ["--json"]):
        assert call(*dubbed, silent, *more) == 0
        assert hint in capsys.readouterr().err
    assert call(*dubbed, recording(tmp_path / "good.mp4")) == 0
    assert "trained" not in capsys.readouterr().err
    assert call(silent) == 0
    assert "trained" not in capsys.readouterr().err


def test_a_folder_or_a_manifest_stands_for_its_recordings(tmp_path, model, capsys):
    folder = tmp_path / "films"
    folder.mkdir()
    for seed, name in enumerate(("a.mp4", "b c.mp4"), 1):
        recording(folder / name, light=seed, sound=seed)
    recording(folder / "short.mp4", 0.24)
    (folder / "notes.txt").write_text("no film")
    (folder / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    assert call(folder) == 0
    told = capsys.readouterr()
    assert told.out.count("in sync") == 2
    for name, reason in (("gone.mp4", "a link that leads nowhere"), ("notes.txt", "by its name no video")):
        assert f"passed over {folder / name}: {reason}" in told.err
    assert "1 of 3 recordings were passed over:" in told.err
    listed = make(folder, out=tmp_path / "x.jsonl", workers=1)
    assert len(listed.recordings) == 2
    assert call(tmp_path / "x.jsonl", "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(row["path"]).name for row in rows] == ["a.mp4", "b c.mp4"]


def test_wrong_requests_are_one_line(tmp_path, model, capsys):
    mute = recording(tmp_path / "mute.mp4", 1, sound=0)
    short = recording(tmp_path / "short.mp4", 0.24)
    (tmp_path / "empty").mkdir()
    for words, said in (
        ((mute,), "has no sound"),
        ((short,), "at least 0.5 s"),
        ((tmp_path / "none.mp4",), "no such file"),
        ((tmp_path / "empty",), "an empty folder"),
        ((mute, "--reach", 0), "--reach is 0; it must be above 0"),
        ((mute, "--confidence", 7), "--confidence is 7; nothing is surer than 2"),
        ((mute, mute), "not one of 2 recordings could be compared"),
    ):
        assert call(*words) == 2
        errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
        assert len(errors) == 1
        assert said in errors[0]
    model.method = Names().eval()
    assert call(mute, "--reach", 1) == 2
    assert "trained to name offsets of 0.2 to 0.4 s" in capsys.readouterr().err
    model.method = Simple().eval()
    assert call(short) == 2
    assert "does not tell whether sound and picture are of one time" in capsys.readouterr().err
