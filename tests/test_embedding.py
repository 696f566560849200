"""Windows over recordings of any length, and vectors that are the same every time."""

import hashlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from contract import tiny
from torch import Tensor, nn

from avssl.config import InputsConfig, MethodConfig
from avssl.data.encode import write_clip
from avssl.data.manifest import Manifest, Recording
from avssl.data.narration import Phrase
from avssl.embedding import Embedder, Window, embed_recordings, query, windows
from avssl.inputs import Inputs, Vocabulary
from avssl.methods.base import Batch, Method, Space, Step
from avssl.ops import at_speed

FPS, HZ = 8.0, 16000


class Plain(Method[MethodConfig]):
    """Vectors that tell what was put in: mean color, mean power per band, and the words' ids."""

    Config = MethodConfig
    modalities = ("video", "audio", "text")

    def __init__(self, inputs: Inputs):
        super().__init__(MethodConfig(name="plain"), inputs, nn.ModuleDict(), 1)
        self.spaces = {"main": Space(("video", "audio", "text"), 4)}

    @classmethod
    def needs(cls, cfg, inputs):
        raise NotImplementedError

    @classmethod
    def transform(cls, cfg, inputs):
        raise NotImplementedError

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        raise NotImplementedError

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        if modality == "video":
            told = x.float().mean((1, 3, 4)) / 255
        elif modality == "audio":
            told = x.float().mean(1)[:, :3]
        else:
            told = x[:, :3].float()
        return nn.functional.normalize(torch.cat([told, torch.full((len(x), 1), 0.1)], 1), dim=1)


@pytest.fixture
def inputs() -> Inputs:
    cfg = InputsConfig(height=32, width=32, frames=4, fps=4.0, audio_seconds=1.0, tokens=8)
    return Inputs(cfg, Vocabulary.train(["the bell rings", "the dog barks"], 60))


def recording(folder: Path, name: str, seconds: float, *, sound: bool = True, phrases=()) -> Recording:
    """A clip that gets brighter and louder with time, so that every window has its own vector."""
    path = folder / f"{name}.mp4"
    count = round(seconds * FPS)
    frames = (np.full((32, 32, 3), (k * 255 // count, 40, 200 - k * 150 // count), np.uint8) for k in range(count))
    time = np.arange(round(seconds * HZ)) / HZ
    tone = (0.5 * time / seconds * np.sin(2 * np.pi * (300 + 400 * time / seconds) * time)).astype(np.float32)
    write_clip(path, frames, FPS, tone if sound else None, HZ)
    stream = {"seconds": seconds}
    return Recording(
        key=name, path=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest(), seconds=seconds, video=stream,
        audio=stream if sound else None, narration=tuple(phrases), labels={"kind": "bell"}, split="test",
    )  # fmt: skip


@pytest.fixture
def held(tmp_path) -> Manifest:
    said = (Phrase(0.2, 1.0, "the bell rings"), Phrase(2.0, 2.5, "the dog barks"), Phrase(2.0, 2.5, "the bell"))
    return Manifest((
        recording(tmp_path, "long", 3.3, phrases=said),
        recording(tmp_path, "short", 0.5),
        recording(tmp_path, "mute", 1.0, sound=False),
    ), root=tmp_path)  # fmt: skip


@pytest.mark.parametrize("seconds", [0.0, 0.3, 1.99, 2.0, 2.01, 3.0, 7.77, 3600.0])
@pytest.mark.parametrize(("window", "hop"), [(2.0, 1.0), (2.0, 2.0), (1.5, 0.4)])
def test_windows_cover_everything(seconds, window, hop):
    spans = windows(seconds, window, hop)
    assert spans == windows(seconds, window, hop)
    assert spans[0][0] == 0
    assert spans[-1][1] == pytest.approx(seconds, abs=0.051)
    for (a, b), (c, d) in pairwise(spans):
        assert 0 < c - a <= hop + 1e-6
        assert c <= b
        assert d > b
    assert all(end - start <= window + 1e-6 and end <= seconds + 1e-6 for start, end in spans)
    if seconds >= window:
        assert all(end - start == pytest.approx(window, abs=1e-3) for start, end in spans)


def test_windows_by_hand():
    assert windows(3.3, 1.0, 0.5) == [(0, 1), (0.5, 1.5), (1, 2), (1.5, 2.5), (2, 3), (2.3, 3.3)]
    assert windows(0.4, 1.0, 0.5) == [(0, 0.4)]
    assert windows(3.01, 1.0, 1.0) == [(0, 1), (1, 2), (2, 3)]


@pytest.mark.parametrize(("window", "hop", "told"), [(1.0, 1.5, "gaps"), (0.0, 1.0, "above 0"), (1.0, 0.0, "above 0")])
def test_wrong_windows(window, hop, told):
    with pytest.raises(ValueError, match=told):
        windows(10.0, window, hop)


def test_a_row_tells_what_is_said_there_and_no_more(tmp_path, inputs):
    said = (Phrase(0.0, 0.5, "the bell rings"), Phrase(9.0, 10.0, "the dog barks"))
    held = Manifest((recording(tmp_path, "long", 10.0, phrases=said),), root=tmp_path)
    rows = embed_recordings(Embedder(Plain(inputs), inputs), held, hop_seconds=1.0).rows["video"]
    told = {row["start"]: row["narration"] for row in rows}
    assert [told[start] for start in (0, 1, 2)] == ["the bell rings"] * 3, "within two seconds"
    assert [told[start] for start in (3, 4, 5)] == [""] * 3
    assert [told[start] for start in (6, 7, 8, 9)] == ["the dog barks"] * 4


def test_rows_and_vectors(held, inputs):
    done = embed_recordings(Embedder(Plain(inputs), inputs), held)
    assert {modality: len(vectors) for modality, vectors in done.vectors.items()} == {"video": 8, "audio": 7, "text": 2}
    assert done.skipped == {"without narration": 2, "without sound": 1}
    spans = [(row["recording"], row["start"], row["end"]) for row in done.rows["video"]]
    assert spans[:6] == [("long", *span) for span in windows(3.3, 1.0, 0.5)]
    assert spans[6:] == [("short", 0.0, 0.5), ("mute", 0.0, 1.0)]
    first, second = done.rows["text"]
    assert (first["start"], first["end"], first["narration"]) == (0.2, 1.0, "the bell rings")
    assert second["narration"] == "the dog barks the bell"
    assert done.rows["video"][0]["narration"] == "the bell rings"
    assert done.rows["video"][0]["extra"] == {"kind": "bell", "split": "test"}
    for vectors in done.vectors.values():
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    red = done.vectors["video"][:6, 0]
    assert (np.diff(red) > 0).all()


def test_windows_hold_what_lies_there(held, inputs):
    """A window read among others equals the same window read alone, in picture and sound."""
    window, path = Window(inputs), Path(held.recordings[0].path)
    starts = [start for start, _ in windows(3.3, 1.0, 0.5)]
    together = window.read(path, starts, video=True, audio=True)
    for index, start in enumerate(starts):
        alone = window.read(path, [start], video=True, audio=True)
        assert torch.equal(together.video[index], alone.video[0])
        assert torch.allclose(together.audio[index], alone.audio[0], atol=2e-4)
    brightness = together.video[0, :, 0].float().mean((1, 2))
    assert torch.allclose(brightness, torch.tensor([k * 2 * 255 // 26 for k in range(4)]).float(), atol=12)


def test_twice_is_bit_equal(held, inputs):
    first, second = (embed_recordings(Embedder(Plain(inputs), inputs), held) for _ in range(2))
    assert first.rows == second.rows
    for modality in first.vectors:
        assert np.array_equal(first.vectors[modality], second.vectors[modality])


def test_other_windows_and_parts(held, inputs):
    embedder = Embedder(Plain(inputs), inputs, window_seconds=2.0)
    done = embed_recordings(embedder, held, hop_seconds=2.0, modalities=["audio"])
    assert list(done.vectors) == ["audio"]
    assert [(row["start"], row["end"]) for row in done.rows["audio"]] == [(0.0, 2.0), (1.3, 3.3), (0.0, 0.5)]
    assert embedder.window.frames == 8


def test_wrong_requests(held, inputs, tmp_path):
    embedder = Embedder(Plain(inputs), inputs)
    with pytest.raises(ValueError, match="cannot embed image; it embeds video, audio, text"):
        embed_recordings(embedder, held, modalities=["image"])
    with pytest.raises(ValueError, match="no space side"):
        Embedder(Plain(inputs), inputs, space="side")
    mute = Manifest((held.recordings[2],), root=tmp_path)
    with pytest.raises(ValueError, match="nothing to embed in 1 recordings: 1 without sound"):
        embed_recordings(embedder, mute, modalities=["audio"])
    broken = replace(held.recordings[0], path=str(tmp_path / "gone.mp4"), narration=())
    done = embed_recordings(embedder, Manifest((broken, held.recordings[1]), root=tmp_path))
    assert done.skipped["unreadable"] == 1
    assert {row["recording"] for row in done.rows["video"]} == {"short"}


def test_queries(held, inputs, tmp_path):
    embedder = Embedder(Plain(inputs), inputs)
    done = embed_recordings(embedder, held)
    clip = Path(held.recordings[0].path)
    assert np.array_equal(query(embedder, "video", clip), done.vectors["video"][:6])
    assert np.allclose(query(embedder, "audio", clip), done.vectors["audio"][:6], atol=1e-5)
    assert np.array_equal(query(embedder, "text", "the bell rings"), done.vectors["text"][:1])
    assert query(embedder, "image", clip).shape == (1, 4)
    with pytest.raises(ValueError, match="has no sound"):
        query(embedder, "audio", held.recordings[2].path)
    with pytest.raises(ValueError, match="empty"):
        query(embedder, "text", "  ")


def test_augmented_sounds_are_the_mean_of_three_speeds_and_all_else_is_as_it_was(held, inputs):
    plain, slower = Embedder(Plain(inputs), inputs), Embedder(Plain(inputs), inputs, augment=True)
    wave = 0.3 * torch.sin(torch.arange(16000) * torch.tensor([[0.05], [0.11]]))
    each = [plain("audio", at_speed(wave, speed)) for speed in (0.85, 1.0, 1.15)]
    mean = np.mean(each, axis=0)
    wanted = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(slower("audio", wave), wanted, atol=1e-6)
    assert np.abs(plain("audio", wave) - wanted).max() > 1e-3
    first, second = (embed_recordings(one, held) for one in (plain, slower))
    assert first.rows == second.rows
    assert [np.array_equal(first.vectors[name], second.vectors[name]) for name in ("video", "text", "audio")] == [
        True, True, False,
    ]  # fmt: skip
    clip = Path(held.recordings[0].path)
    np.testing.assert_allclose(query(slower, "audio", clip), second.vectors["audio"][:6], atol=1e-5)


def test_a_slower_sound_that_ends_before_it_is_heard_does_not_count(inputs):
    """What begins late in a window is pushed out of it; silence itself stays what it is."""
    plain, slower = Embedder(Plain(inputs), inputs), Embedder(Plain(inputs), inputs, augment=True)
    late = torch.zeros(2, 16000)
    late[0, -1900:] = 0.3 * torch.sin(0.11 * torch.arange(1900))
    each = [plain("audio", at_speed(late, speed)) for speed in (1.0, 1.15)]
    mean = np.sum(each, axis=0)
    found = slower("audio", late)
    np.testing.assert_allclose(found[0], (mean / np.linalg.norm(mean, axis=1, keepdims=True))[0], atol=1e-6)
    np.testing.assert_allclose(found[1], plain("audio", late)[1], atol=1e-6)


def test_where_there_is_no_sound_nothing_is_augmented(inputs):
    method = Plain(inputs)
    method.spaces = {"main": Space(("video", "text"), 4)}
    with pytest.raises(ValueError, match="only sounds are augmented, and plain embeds none"):
        Embedder(method, inputs, augment=True)


@pytest.mark.parametrize("times", [0.5, 1.0, 2.0])
def test_texts_fit_windows_of_any_length(times):
    run = tiny.run("trimodal")
    seconds = times * run.inputs.cfg.seconds
    method = run.method()
    embedder = Embedder(method, run.inputs, window_seconds=seconds)
    cfg = run.inputs.cfg
    video = embedder("video", torch.zeros(1, embedder.window.frames, 3, cfg.height, cfg.width, dtype=torch.uint8))
    audio = embedder("audio", torch.zeros(1, round(embedder.window.audio_seconds * cfg.hz)))
    text = embedder.text(["a bell rings"])
    assert video.shape == audio.shape == text.shape == (1, embedder.width)
    own = Embedder(method, run.inputs).text(["a bell rings"])
    meaning = run.cfg.method.width
    assert np.array_equal(text[:, :meaning], own[:, :meaning])
    assert not text[:, meaning:].any()


def test_pictures_and_sound_of_a_window_must_be_equally_long_where_moments_are_compared():
    with pytest.raises(ValueError, match=r"inputs.audio_seconds=5: trimodal compares them moment by moment"):
        tiny.run("trimodal", "inputs.audio_seconds=5").method()


def test_words_never_read_are_refused(inputs):
    with pytest.raises(ValueError, match="read no word of '語'"):
        query(Embedder(Plain(inputs), inputs), "text", "語")
