import itertools

import pytest
import torch

from avssl.data import windows
from avssl.data.maker import generator
from avssl.data.narration import Phrase
from avssl.sample import Needs


def places(starts: tuple[float, ...], start: float, fps: float) -> list[int]:
    found = [(s - start) * fps for s in starts]
    assert all(abs(place - round(place)) < 1e-6 for place in found), "a window begins off the grid"
    return [round(place) for place in found]


@pytest.mark.parametrize("fps", [4.0, 25.0, 29.97])
@pytest.mark.parametrize("clips", [1, 2, 3])
@pytest.mark.parametrize("window", ["random", "narration", "inside", "all"])
def test_windows_are_on_the_grid_and_inside(fps: float, clips: int, window: str) -> None:
    needs = Needs(clips=clips, frames=8, fps=fps, window=window)  # type: ignore[arg-type]
    phrases = [Phrase(12.0, 13.0, "a"), Phrase(15.0, 15.5, "b")]
    for seed in range(40):
        starts = windows.choose(11.3, 18.2, needs, generator(seed), phrases)
        assert len(starts) == clips
        assert list(starts) == sorted(starts)
        assert all(place >= 0 for place in places(starts, 11.3, fps))
        assert all(s + 8 / fps <= 18.2 + 1 / fps for s in starts)


def test_every_place_is_drawn_equally_often() -> None:
    needs = Needs(frames=2, fps=2.0)
    drawn = [places(windows.choose(5.0, 8.0, needs, generator(seed)), 5.0, 2.0)[0] for seed in range(2000)]
    counts = torch.bincount(torch.tensor(drawn))
    assert len(counts) == 5
    assert counts.min() > 320


def test_gap_is_kept_where_it_fits() -> None:
    needs = Needs(clips=3, frames=4, fps=4.0, clip_gap_seconds=2.0)
    for seed in range(50):
        starts = windows.choose(0.0, 8.0, needs, generator(seed))
        assert all(b - a >= 2.0 - 1e-9 for a, b in itertools.pairwise(starts))
    short = windows.choose(0.0, 3.0, needs, generator(0))
    assert all(b - a >= 1.0 - 1e-9 for a, b in itertools.pairwise(short)), "the largest gap that fits"


def test_too_short_an_item_gives_its_beginning() -> None:
    needs = Needs(clips=2, frames=30, fps=10.0, clip_gap_seconds=5.0)
    assert windows.choose(7.5, 8.0, needs, generator(0)) == (7.5, 7.5)
    assert windows.choose(0.0, 0.0, Needs(frames=1), generator(0)) == (0.0,)


def test_all_begins_at_the_beginning_and_draws_nothing() -> None:
    draw = generator(3)
    before = draw.get_state()
    assert windows.choose(2.0, 5.0, Needs(frames=75, fps=25.0, window="all"), draw) == (2.0,)
    assert windows.choose(2.0, 6.0, Needs(clips=3, frames=8, fps=4.0, window="all"), draw) == (2.0, 3.0, 4.0)
    assert torch.equal(before, draw.get_state())


def test_narration_windows_are_around_phrases() -> None:
    needs = Needs(clips=2, frames=8, fps=4.0, window="narration", clip_gap_seconds=3.0)
    phrases = [Phrase(3.0, 4.0, "a"), Phrase(3.5, 4.5, "b"), Phrase(12.0, 13.0, "c")]
    seen = set()
    for seed in range(30):
        starts = windows.choose(0.0, 20.0, needs, generator(seed), phrases)
        middles = [s + 1.0 for s in starts]
        assert all(min(abs(m - phrase.middle) for phrase in phrases) <= 0.25 for m in middles)
        assert starts[1] - starts[0] >= 3.0
        seen.update(starts)
    assert len(seen) == 3
    one = windows.choose(0.0, 20.0, needs, generator(0), phrases[:1])
    assert one[1] - one[0] >= 3.0, "the second window keeps its distance though there is one phrase"


def test_inside_windows_have_their_middle_anywhere_in_a_phrase() -> None:
    needs = Needs(frames=8, fps=4.0, window="inside")
    phrases = [Phrase(3.0, 6.0, "a"), Phrase(10.0, 11.0, "b")]
    middles = [windows.choose(0.0, 20.0, needs, generator(seed), phrases)[0] + 1.0 for seed in range(80)]
    assert all(any(phrase.start - 0.125 <= m <= phrase.end + 0.125 for phrase in phrases) for m in middles)
    assert len({m for m in middles if m < 7}) > 8, "not its middle alone"
