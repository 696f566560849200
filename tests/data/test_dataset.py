import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from few_clips import FPS, clip, number

from avssl.data import cache
from avssl.data.audit import describe, look
from avssl.data.dataset import Items, Source, cut
from avssl.data.maker import generator
from avssl.data.manifest import Manifest, Recording
from avssl.data.media import Unreadable, decode
from avssl.data.narration import Phrase
from avssl.sample import Missing, Needs

SIZE = {"height": 24, "width": 32}


def recording(key: str, seconds: float, *, video: bool = True, audio: bool = True, split: str = "train") -> Recording:
    return Recording(
        key=key, path=f"{key}.mp4", sha256=key * 8, seconds=seconds, split=split,
        video={"seconds": seconds} if video else None, audio={"seconds": seconds} if audio else None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """A film of 7 s in mkv (its sound stored exactly) and a clip of 1.5 s."""
    folder = tmp_path_factory.mktemp("clips")
    held = []
    for name, seconds, seed in (("film.mkv", 7.0, 1), ("clip.mkv", 1.5, 2)):
        clip(folder / name, seconds, seed, audio_codec="flac")
        held.append(describe(name, Path(name).stem, look(str(folder / name))))
    return Manifest(tuple(held), (), folder)


def test_twenty_one_hour_films_are_a_data_set() -> None:
    films = tuple(recording(f"film{k}", 3600.0) for k in range(20))
    items = Items(Manifest(films), "train", 10.0, Needs(frames=8, audio_seconds=2.0))
    assert len(items) == 7200
    assert items[360] == (1, 0.0, 10.0)
    assert {round(item.end - item.start, 6) for item in items.items} == {10.0}


def test_items_that_hold_no_whole_window_are_counted() -> None:
    films = (recording("short", 4.0), recording("long", 25.0))
    items = Items(Manifest(films), "train", 10.0, Needs(frames=8, audio_seconds=2.0))
    assert [items.shorter_than(seconds) for seconds in (2.0, 4.0, 4.4, 5.52, 12.0)] == [0, 0, 0, 1, 4]


def test_cut_in_equal_pieces() -> None:
    assert cut(25.0, 10.0) == [(0.0, 25 / 3), (25 / 3, 50 / 3), (50 / 3, 25.0)]
    assert cut(10.001, 10.0) == [(0.0, 10.001)], "a hair more is not another item"
    assert cut(0.0, 10.0) == [(0.0, 0.0)]


def test_who_is_passed_over_and_why() -> None:
    picture = Recording(key="p", path="p.png", sha256="p", seconds=0.0, video={"seconds": 0.0})
    mute, blind = recording("mute", 3.0, audio=False), recording("blind", 3.0, video=False)
    whole = recording("whole", 3.0)
    manifest = Manifest((picture, mute, blind, whole, recording("other", 3.0, split="val")))
    items = Items(manifest, "train", 10.0, Needs(frames=4, audio_seconds=1.0, narrations=2))
    assert [r.key for r in items.recordings] == ["whole"]
    assert items.report == {"without sound": 2, "without picture": 1}
    assert [r.key for r in Items(manifest, "train", 10.0, Needs(frames=1)).recordings] == ["p", "mute", "whole"]
    assert Items(manifest, "train", 10.0, Needs(frames=4)).report == {"a single picture": 1, "without picture": 1}
    with pytest.raises(ValueError, match="no recording with sound and picture in the test split"):
        Items(manifest, "test", 10.0, Needs(frames=4, audio_seconds=1.0))


def test_span_is_where_everything_is() -> None:
    odd = Recording(
        key="o", path="o.mp4", sha256="o", seconds=60.0, video={"seconds": 20.0}, audio={"seconds": 60.0}
    )  # fmt: skip
    manifest = Manifest((odd,))
    assert len(Items(manifest, None, 10.0, Needs(frames=4, audio_seconds=1.0))) == 2
    assert len(Items(manifest, None, 10.0, Needs(audio_seconds=1.0))) == 6


def test_stray_streams_do_not_count() -> None:
    cover = Recording(key="c", path="c", sha256="c", seconds=9.0, video={"seconds": 0.04}, audio={"seconds": 9.0})
    manifest = Manifest((cover,))
    with pytest.raises(ValueError, match="1 with hardly any picture"):
        Items(manifest, None, 10.0, Needs(frames=4))
    assert Items(manifest, None, 10.0, Needs(frames=1)).items == [(0, 0.0, 0.04)]
    assert Items(manifest, None, 10.0, Needs(audio_seconds=1.0)).items == [(0, 0.0, 9.0)]


def test_sample_holds_what_was_asked_and_nothing_else(real: Manifest) -> None:
    needs = Needs(clips=2, frames=4, fps=5.0, audio_seconds=1.5, hz=8000, **SIZE)
    sample = Source(Items(real, None, 4.0, needs), needs).get(0, generator(1))
    assert (sample.video.dtype, tuple(sample.video.shape)) == (torch.uint8, (2, 4, 3, 24, 32))
    assert (sample.audio.dtype, tuple(sample.audio.shape)) == (torch.float32, (2, 12000))
    with pytest.raises(Missing, match=r"Needs\.narrations"):
        _ = sample.text
    sound = Needs(audio_seconds=1.0, narrations=2)
    sample = Source(Items(real, None, 4.0, sound), sound).get(0, generator(1))
    assert sample.text == ("", "")
    with pytest.raises(Missing, match=r"Needs\.frames"):
        _ = sample.video


def test_pictures_and_sound_are_of_the_same_moment(real: Manifest) -> None:
    needs = Needs(frames=5, fps=FPS, audio_seconds=1.0, height=48, width=64)
    items = Items(real, None, 4.0, needs)
    source = Source(items, needs)
    sound = torch.from_numpy(decode(items.path(0), audio=(0.0, 7.0)).audio)
    for seed in range(6):
        sample = source.get(1, generator(seed))
        first = round(sample.start * FPS)
        assert [number(picture) for picture in sample.video[0].numpy()] == list(range(first, first + 5))
        begin = round((sample.start + 0.25 - 0.5) * 16000)  # centred on the pictures
        heard = sound[begin : begin + 16000]
        assert torch.allclose(sample.audio[0, : len(heard)], heard, atol=1e-4)
    first = source.at(0, [0.0]).audio
    assert torch.equal(first[0, :4000], torch.zeros(4000)), "before the recording is silence"


def test_sound_beyond_the_item_is_real_and_beyond_the_recording_is_zero(real: Manifest) -> None:
    needs = Needs(frames=2, fps=5.0, audio_seconds=2.0, hz=8000, **SIZE)
    items = Items(real, None, 3.5, needs)
    source = Source(items, needs)
    early, late = source.at(0, [items[0].end - 0.5]), source.at(1, [items[1].start])
    assert early.audio[0, -4000:].abs().max() > 0.2, "the next item's sound is heard"
    assert late.audio[0, :4000].abs().max() > 0.2, "and that of the item before"
    end = source.at(1, [items[1].end - 0.4])
    assert end.audio[0, -5000:].abs().max() == 0
    assert end.audio[0, :7000].abs().max() > 0.2


@pytest.mark.parametrize("clips", [1, 2])
def test_cached_equals_decoded(real: Manifest, tmp_path: Path, clips: int) -> None:
    needs = Needs(clips=clips, frames=6, fps=5.0, audio_seconds=2.0, hz=16000, **SIZE)
    items = Items(real, None, 4.0, needs)
    folder = cache.folder(items, needs, 1.0, tmp_path)
    assert folder is not None
    plain, stored = Source(items, needs), Source(items, needs, folder)
    for index in range(len(items)):
        for seed in range(5):
            a, b = plain.get(index, generator(seed)), stored.get(index, generator(seed))
            assert a.starts == b.starts
            assert torch.equal(a.video, b.video)
            assert float((a.audio - b.audio).abs().max()) < 1e-3
    files = sorted(folder.glob("??/*.item"))
    assert sum(file.stat().st_size for file in files) == cache.estimate_bytes(items, needs)
    assert not list(folder.rglob("*.partial"))


def test_a_damaged_cache_file_is_made_anew(real: Manifest, tmp_path: Path) -> None:
    needs = Needs(frames=3, fps=5.0, **SIZE)
    source = Source(Items(real, None, 4.0, needs), needs, tmp_path)
    before = source.get(0, generator(0)).video
    file = next(tmp_path.glob("??/*.item"))
    file.write_bytes(file.read_bytes()[:-7])
    assert torch.equal(source.get(0, generator(0)).video, before)


def test_many_may_write_the_same_item(real: Manifest, tmp_path: Path) -> None:
    needs = Needs(frames=3, fps=5.0, audio_seconds=1.0, **SIZE)
    source = Source(Items(real, None, 4.0, needs), needs, tmp_path)
    found = []
    threads = [threading.Thread(target=lambda: found.append(source.get(1, generator(5)).video)) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(found) == 4
    assert all(torch.equal(video, found[0]) for video in found)


def test_cache_goes_on_without_disk(real: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs = Needs(frames=3, fps=5.0, audio_seconds=1.0, **SIZE)
    items = Items(real, None, 4.0, needs)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "_write", full)
    a, b = Source(items, needs, tmp_path).get(0, generator(3)), Source(items, needs).get(0, generator(3))
    assert torch.equal(a.video, b.video)
    assert float((a.audio - b.audio).abs().max()) < 1e-3


def test_whether_to_cache_is_decided_by_size(real: Manifest, tmp_path: Path) -> None:
    needs = Needs(frames=3, fps=5.0, **SIZE)
    items = Items(real, None, 4.0, needs)
    size = cache.estimate_bytes(items, needs)
    assert cache.folder(items, needs, 0.0, tmp_path) is None
    assert cache.folder(items, needs, (size - 1) / 1e9, tmp_path) is None
    old = tmp_path / "ab" / "old.item"
    old.parent.mkdir()
    old.write_bytes(bytes(size))
    assert cache.folder(items, needs, 3 * size / 1e9, tmp_path) == tmp_path
    assert old.exists()
    assert cache.folder(items, needs, (size + 1) / 1e9, tmp_path) == tmp_path
    assert not old.exists(), "other runs make room"


def test_text_is_of_the_window(real: Manifest) -> None:
    said = (Phrase(0.0, 1.0, "first"), Phrase(3.0, 4.0, "second"), Phrase(6.0, 7.0, "third"), Phrase(99, 100, "far"))
    film = Recording(**{**vars(real.recordings[0]), "narration": said})
    needs = Needs(frames=1, fps=5.0, narrations=4, window="narration", **SIZE)
    items = Items(Manifest((film,), (), real.root), None, 4.0, needs)
    assert [phrase.text for phrase in items.phrases(1)] == ["second", "third"]
    assert Source(items, needs).at(0, [0.4]).text == ("first", "second", "third", "")


def test_every_window_has_its_phrases_and_their_times(real: Manifest) -> None:
    said = (Phrase(0.2, 0.4, "first"), Phrase(2.2, 2.6, "second"))
    film = Recording(**{**vars(real.recordings[0]), "narration": said})
    needs = Needs(clips=2, frames=4, fps=4.0, narrations=1, narrations_each=True, narration_times=True, **SIZE)
    items = Items(Manifest((film,), root=real.root), None, 10.0, needs)
    sample = Source(items, needs).at(0, [0.0, 2.0])
    assert sample.text == ("first", "second")
    torch.testing.assert_close(sample.times, torch.tensor([[0.2, 0.4], [0.2, 0.6]]))
    few = Needs(frames=4, fps=4.0, narrations=3, narration_times=True, **SIZE)
    sample = Source(Items(Manifest((film,), root=real.root), None, 10.0, few), few).at(0, [2.0])
    assert sample.text == ("second", "first", "")
    torch.testing.assert_close(sample.times[:2], torch.tensor([[0.2, 0.6], [-1.8, -1.6]]))
    assert sample.times[2].isnan().all()


def test_what_may_lack_is_black_or_silent(real: Manifest) -> None:
    film = real.recordings[0]
    mute, unseen = (Recording(**{**vars(film), "key": key, key: None}) for key in ("audio", "video"))
    wanted = {"frames": 4, "fps": 4.0, "audio_seconds": 1.0, **SIZE}
    strict = Needs(**wanted)
    assert len(Items(Manifest((film, mute, unseen), root=real.root), None, 10.0, strict).recordings) == 1
    needs = Needs(**wanted, may_lack=("video", "audio"))
    source = Source(Items(Manifest((film, mute, unseen), root=real.root), None, 10.0, needs), needs)
    assert [one.key for one in source.items.recordings] == [film.key, "audio", "video"]
    first = [next(n for n, item in enumerate(source.items.items) if item.recording == k) for k in range(3)]
    full, silent, dark = (source.at(index, [0.5]) for index in first)
    assert full.video.shape == silent.video.shape == dark.video.shape
    assert full.audio.shape == silent.audio.shape == dark.audio.shape
    assert torch.equal(full.video, silent.video)
    assert not silent.audio.any()
    assert torch.equal(full.audio, dark.audio)
    assert not dark.video.any()
    assert (full.lacks, silent.lacks, dark.lacks) == ((), ("audio",), ("video",))
    told = replace(needs, narrations=1)
    spoken = [replace(one, narration=(Phrase(0.0, 1.0, "a word"),)) for one in (mute, unseen)]
    held = Items(Manifest((film, mute, unseen, *spoken), root=real.root), None, 10.0, told)
    assert held.recordings == [film, *spoken], "one modality by itself matches nothing"
    assert held.report == {"without sound": 1, "without picture": 1}
    held = Items(Manifest((mute, spoken[0], spoken[1]), root=real.root), None, 10.0, replace(told, may_lack=("audio",)))
    assert held.recordings == [spoken[0]]
    neither = Recording(**{**vars(film), "video": None, "audio": None})
    with pytest.raises(ValueError, match="no recording with sound and picture"):
        Items(Manifest((neither,), root=real.root), None, 10.0, needs)


def test_text_is_cut_to_the_window_where_words_are_timed(real: Manifest) -> None:
    words = ((0.2, 0.6, "one"), (0.6, 1.0, "two"), (1.0, 1.4, "three"))
    film = Recording(**{**vars(real.recordings[0]), "narration": (Phrase(0.2, 1.4, "one two three", words),)})
    items = Items(Manifest((film,), (), real.root), None, 4.0, Needs())
    for inside, text in ((True, "two three"), (False, "one two three")):
        needs = Needs(frames=5, fps=5.0, narrations=1, words_inside=inside, **SIZE)
        assert Source(items, needs).at(0, [0.6]).text == (text,)


def test_pictures_are_recordings(tmp_path: Path) -> None:
    import av

    path = tmp_path / "a%d.png"
    image = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as out:
        stream = out.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 50, 40, "rgb24"
        out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))
    held = describe(path.name, "a", look(str(path)))
    assert held.is_picture
    needs = Needs(frames=1, height=40, width=50)
    manifest = Manifest((held,), (), tmp_path)
    for folder in (None, tmp_path / "cache"):
        sample = Source(Items(manifest, None, 10.0, needs), needs, folder).get(0, generator(0))
        assert np.array_equal(sample.video[0, 0].numpy(), image.transpose(2, 0, 1))


def test_bad_media_is_unreadable(real: Manifest, tmp_path: Path) -> None:
    file = tmp_path / "film.mkv"
    data = (real.root / "film.mkv").read_bytes()
    file.write_bytes(data[: len(data) // 3])
    needs = Needs(frames=4, fps=5.0, **SIZE)
    source = Source(Items(Manifest(real.recordings[:1], (), tmp_path), None, 10.0, needs), needs)
    with pytest.raises(Unreadable, match="no picture at"):
        source.at(0, [6.0])
    os.unlink(file)
    with pytest.raises(Unreadable, match="No such file"):
        source.at(0, [0.0])
