"""What happens in a world's clips: boxes around things, sound in its intervals, motion with sound, words about it."""

import itertools

import numpy as np
import pytest

from avssl.data.world import KINDS, LEVELS
from avssl.data.world.looks import sprite
from avssl.data.world.narration import ELSEWHERE, HEARD, MISHEARD, MOVING, NAMES, SEEN, SOUNDING, narrate
from avssl.data.world.render import draw, frames_of, sound_of
from avssl.data.world.scene import Scene, plan, rhythm
from avssl.data.world.sounds import HZ, STRUCK, voice


def scene(split: str, index: int, level: str = "easy", seconds: float = 4.0) -> Scene:
    return plan(0, split, index, level, 112, 12.5, seconds)


def of_case(case: str, level: str = "easy") -> Scene:
    return scene("test", LEVELS[level].held_out.index(case), level)


def test_three_things_sound_at_once_where_it_is_crowded() -> None:
    for index in range(20):
        s = scene("test", index, "crowded")
        assert sum(thing.sounding for thing in s.things) == {"three": 3, "two": 2, "one": 1}.get(s.case, 0)
        assert len({thing.kind for thing in s.things}) == len(s.things) <= 3
    mixture, parts = sound_of(of_case("three", "crowded"))
    assert len(parts) == 3
    assert all(np.abs(part).max() > 0.01 for part in parts)
    assert np.corrcoef(sum(parts), mixture)[0, 1] > 0.95


def test_scenes_hold_what_their_case_says() -> None:
    assert len(KINDS) >= 12
    for index in range(36):
        for split in ("train", "test"):
            s = scene(split, index, "hard" if split == "train" else "easy")
            sounding = [t.kind for t in s.things if t.sounding]
            assert len(sounding) == {"two": 2, "silent": 0, "offscreen": 0}.get(s.case, 1)
            assert len({t.kind for t in s.things}) == len(s.things) <= 3
            if s.case == "offscreen":
                assert s.offscreen is not None
                assert s.offscreen[0] not in {t.kind for t in s.things}
            assert s.case != "bystander" or len(s.things) >= 2
            for thing in s.things:
                assert 0.26 <= thing.instance["size"] <= 0.42
                assert (thing.boxes >= 0).all()
                assert (thing.boxes <= 1).all()
    for run in (0, 5):
        heard = [t.kind for k in range(12) for t in scene("train", 12 * run + k).things if t.sounding]
        assert sorted(heard) == sorted(KINDS)  # each kind as often as any other


def test_colors_and_places_say_nothing_about_who_sounds() -> None:
    """Over many clips, sounding and silent things have the same sizes, places and colors, on average."""
    heard, silent = [], []
    for index in range(150):
        s = scene("train", index)
        if s.case == "bystander":
            for thing in s.things:
                center = (thing.boxes[:, :2] + thing.boxes[:, 2:]).mean(0) / 2
                row = [thing.instance["size"], *center, *np.array(thing.instance["colors"][0]) / 255]
                (heard if thing.sounding else silent).append(row)
    a, b = np.array(heard), np.array(silent)
    error = np.sqrt(a.var(0) / len(a) + b.var(0) / len(b))
    assert (abs(a.mean(0) - b.mean(0)) < 4 * error).all()


@pytest.mark.parametrize("level", LEVELS)
def test_boxes_hold_the_things_and_little_else(level: str) -> None:
    for index in range(8):
        s = scene("test", index, level)
        for thing in s.things:
            # Drawn on black and on white, a pixel that is the thing's is the same on both.
            dark, light = np.zeros((50, 112, 112, 3), np.uint8), np.full((50, 112, 112, 3), 255, np.uint8)
            draw(thing, dark)
            draw(thing, light)
            own = light.astype(int).sum(-1) - dark.astype(int).sum(-1) < 3 * 128  # [T, H, W]
            for k in range(0, 50, 3):
                y, x = np.nonzero(own[k])
                tight = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1])
                box = thing.boxes[k] * 112
                assert (box[:2] <= tight[:2] + 0.01).all()
                assert (box[2:] >= tight[2:] - 0.01).all()
                assert abs(box - tight).max() < 3.2
                assert max(tight[2] - tight[0], tight[3] - tight[1]) >= 0.24 * 112 * 0.75


@pytest.mark.parametrize("kind", KINDS)
def test_sound_is_in_its_intervals(kind: str) -> None:
    rng = np.random.default_rng(5)
    onsets = rhythm(kind, 4.0, rng)
    sound = voice(kind, 0.4, 0.6, list(onsets), 4.0, rng)
    t = np.arange(len(sound)) / HZ
    inside = np.zeros(len(sound), bool)
    for start, end, _ in onsets:
        inside |= (t >= start) & (t <= end)
        assert np.abs(sound[(t >= start) & (t < start + 0.06)]).max() > 0.2  # it begins at once
    assert 0 < inside.mean() < 1
    assert (sound[~inside] == 0).all()
    assert np.isfinite(sound).all()
    gaps = np.diff([start for start, _, _ in onsets])
    assert gaps.std() > 0.02  # irregular, so that time tells clips apart
    if kind in STRUCK:
        assert 1.0 < len(onsets) / 4 < 5


def bands(sound: np.ndarray) -> np.ndarray:
    """Loudness in 24 bands of equal ratio, and how it changes from frame to frame: [48]."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, 512)[::160] * np.hanning(512)
    power = np.abs(np.fft.rfft(frames)) ** 2
    edges = np.searchsorted(np.fft.rfftfreq(512, 1 / HZ), np.geomspace(60, 8000, 25))
    level = np.log(np.stack([power[:, a : max(b, a + 1)].sum(1) for a, b in itertools.pairwise(edges)], 1) + 1e-2)
    loud = level[power.sum(1) > np.quantile(power.sum(1), 0.7)]
    return np.concatenate([loud.mean(0) - loud.mean(), level.std(0)])


def test_kinds_sound_distinct_and_instances_vary() -> None:
    """The nearest average spectrum names the kind of an unseen instance; two instances of a kind differ."""
    rng = np.random.default_rng(0)

    def instances(count: int) -> np.ndarray:
        return np.array(
            [
                [bands(voice(k, *rng.random(2), list(rhythm(k, 4.0, rng)), 4.0, rng)) for _ in range(count)]
                for k in KINDS
            ]
        )

    known, unseen = instances(4).mean(1), instances(4)  # [K, 48], [K, 4, 48]
    distance = ((unseen[:, :, None] - known) ** 2).sum(-1)
    correct = distance.argmin(-1) == np.arange(len(KINDS))[:, None]
    assert correct.mean() >= 0.9
    assert (unseen.std(1).max(1) > 0.1).all()


def test_kinds_look_distinct_whatever_their_color() -> None:
    """Outlines of two kinds overlap less than those of two instances of one kind."""
    rng = np.random.default_rng(0)
    colors = [[200, 0, 0], [0, 200, 0], [0, 0, 200]]
    shapes = np.array(
        [[sprite(k, {"colors": colors, "build": rng.random(2)}, 40)[..., 3] > 127 for _ in range(3)] for k in KINDS]
    )
    both = np.einsum("aihw,bjhw->abij", shapes.astype(int), shapes.astype(int))
    either = shapes.sum((2, 3))[:, None, :, None] + shapes.sum((2, 3))[None, :, None, :] - both
    overlap = both / either  # [K, K, 3, 3]
    same = np.array([overlap[k, k][~np.eye(3, dtype=bool)].min() for k in range(len(KINDS))])
    other = np.array([max(overlap[a, b].max() for b in range(len(KINDS)) if b != a) for a in range(len(KINDS))])
    assert (same > other).all()


def test_a_thing_moves_with_its_own_sound_and_not_with_another() -> None:
    """Change of picture in the box against the rhythm: high for the thing's own onsets, near none for a bystander's."""
    own, other = [], []
    for index in range(24):
        s = scene("train", index)
        if s.case != "bystander":
            continue
        frames = frames_of(s).astype(int)
        sounding = next(t for t in s.things if t.sounding)
        x0, y0, x1, y1 = (
            *np.floor(sounding.boxes[:, :2].min(0) * 112).astype(int),
            *np.ceil(sounding.boxes[:, 2:].max(0) * 112).astype(int),
        )
        change = np.abs(np.diff(frames[:, y0:y1, x0:x1], axis=0)).mean((1, 2, 3))
        for thing, found in ((sounding, own), (next(t for t in s.things if not t.sounding), other)):
            active = np.zeros(len(change))
            for start, end, _ in thing.onsets:
                until = start + 0.16 if thing.kind in STRUCK else end
                active[(s.frame_times[1:] >= start) & (s.frame_times[:-1] < until)] = 1
            if 0 < active.mean() < 1:
                found.append(np.corrcoef(change, active)[0, 1])
    assert len(own) >= 6
    assert np.mean(own) > 0.4
    assert np.mean(own) > np.mean(other) + 0.3


def test_sounds_of_the_cases() -> None:
    mixture, parts = sound_of(of_case("two"))
    np.testing.assert_allclose(mixture, sum(parts), atol=1e-6)
    assert all(np.abs(part).max() > 0.02 for part in parts)
    assert np.abs(mixture).max() <= 1
    assert not sound_of(of_case("silent", "hard"))[0].any()
    mixture, parts = sound_of(of_case("offscreen"))
    assert np.abs(mixture).max() > 0.02
    assert not any(part.any() for part in parts)


@pytest.mark.parametrize(("level", "snr_db"), [("medium", 20.0), ("hard", 10.0)])
def test_noise_is_as_loud_as_stated(level: str, snr_db: float) -> None:
    s = of_case("bystander", level)
    mixture, parts = sound_of(s)
    clean = np.sum(parts, axis=0)
    heard = np.sqrt(np.mean(clean[clean != 0] ** 2))
    assert 20 * np.log10(heard / (mixture - clean).std()) == pytest.approx(snr_db, abs=0.2)


def edits(said: list[str], written: list[str]) -> int:
    """The least number of words dropped, added or replaced between two sentences."""
    row = list(range(len(written) + 1))
    for i, a in enumerate(said, 1):
        left, row[0] = row[0], i
        for j, b in enumerate(written, 1):
            left, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, left + (a != b))
    return row[-1]


def test_narration() -> None:
    """Names the right thing about when it acts, strays by half a second, errs in 8 % of words, a quarter is chatter."""
    errors = words = chatter = sentences = 0
    strays, vocabulary = [], set()
    for index in range(200):
        s = scene("test" if index % 4 == 0 else "train", index)
        told = narrate(s)
        assert told == narrate(s)
        assert 2 <= len(told) <= 4
        assert [t["start"] for t in told] == sorted(t["start"] for t in told)
        leads = {t.kind for t in s.things if t.sounding} or {t.kind for t in s.things}
        assert leads & {t["kind"] for t in told}
        onsets = {t.kind: {start for start, _, _ in t.onsets} for t in s.things}
        for t in told:
            sentences += 1
            chatter += t["kind"] is None
            assert 0 <= t["start"] < t["end"] <= 4.001
            assert t["text"] == " ".join(w["text"] for w in t["words"])
            assert all(t["start"] - 2e-3 <= w["start"] < w["end"] <= t["end"] + 2e-3 for w in t["words"])
            errors += edits(t["said"].split(), t["text"].split())
            words += len(t["said"].split())
            vocabulary.update(t["text"].split())
            if t["kind"]:
                assert t["true_time"] in onsets[t["kind"]]
                assert set(NAMES[t["kind"]]) & set(t["said"].split())
                if 1.5 < t["true_time"] < 2.5:
                    strays.append((t["start"] + t["end"]) / 2 - t["true_time"])
    assert 0.06 < errors / words < 0.10
    assert 0.2 < chatter / sentences < 0.3
    assert 0.35 < np.std(strays) < 0.6
    assert len(vocabulary) <= 150
    every = " ".join([*ELSEWHERE, *HEARD, *SEEN, *MISHEARD.values(), *SOUNDING.values(), *MOVING.values()]).split()
    assert len(set(every) | {n for names in NAMES.values() for n in names}) <= 175
