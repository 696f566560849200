"""Which of K offsets: logits and loss against slow literal versions, labels that are where the sound was moved to."""

from __future__ import annotations

import math

import pytest
import torch
from contract import following, timed, tiny
from torch import Generator

from avssl.methods.audiovisual.sync_offset import meets
from avssl.methods.base import Captions
from avssl.sample import Sample


def correlation(seen, heard):
    """Of two lists of vectors, means over time removed, number by number."""
    steps, width = len(seen), len(seen[0])
    means = [[sum(x[s][e] for s in range(steps)) / steps for e in range(width)] for x in (seen, heard)]
    both = zip((seen, heard), means, strict=True)
    a, b = ([[x[s][e] - mean[e] for e in range(width)] for s in range(steps)] for x, mean in both)
    product = sum(a[s][e] * b[s][e] for s in range(steps) for e in range(width))
    sizes = [math.sqrt(sum(v * v for row in x for v in row)) + 1e-3 for x in (a, b)]
    return product / (sizes[0] * sizes[1])


def heard_from(sound, begin, steps, per):
    """The sound's mean over each of ``steps`` spans of ``per`` moments from moment ``begin`` on."""
    width = len(sound[0])
    spans = [sound[begin + s * per : begin + (s + 1) * per] for s in range(steps)]
    return [[sum(x[e] for x in span) / per for e in range(width)] for span in spans]


class Given(torch.nn.Module):
    """An encoder whose last map is known."""

    def __init__(self, maps):
        super().__init__()
        self.known = maps

    def forward(self, x):
        from avssl.encoders import Features

        return Features(self.known.flatten(2).mean(2), (self.known,))


def given(offsets, seen, heard, stride=1):
    """The method whose courses are these: seen [B, T', E], heard [B, t, E]."""
    run = tiny.run("sync_offset", f"method.offsets={offsets}", f"inputs.frames={seen.shape[1] * stride}",
                   f"inputs.audio_seconds={seen.shape[1] * stride / 8}", f"method.width={seen.shape[2]}")  # fmt: skip
    method = run.method()
    method.encoders["video"] = Given(seen.transpose(1, 2)[..., None, None])
    method.encoders["audio"] = Given(heard.transpose(1, 2))
    method.video_head = method.audio_head = torch.nn.Identity()
    method.attention = torch.nn.Linear(seen.shape[2], 1)
    return method


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("offsets", [3, 5])
@pytest.mark.parametrize("per", [1, 2])
@pytest.mark.parametrize("width", [1, 4])
def test_logits_are_correlations_and_the_loss_their_cross_entropy(batch, offsets, per, width):
    draw = Generator().manual_seed(batch)
    steps, whole = 6, 6 + offsets - 1
    seen = torch.randn(batch, steps, width, generator=draw)
    heard = torch.randn(batch, whole * per, width, generator=draw)
    method = given(offsets, seen, heard)
    video = torch.zeros(batch, steps, 3, 8, 8, dtype=torch.uint8)
    logits = method.logits(video, torch.zeros(batch, 1, 1))
    expected = [
        [10 * correlation(x, heard_from(y, k * per, steps, per)) for k in range(offsets)]
        for x, y in zip(seen.tolist(), heard.tolist(), strict=True)
    ]
    torch.testing.assert_close(logits, torch.tensor(expected), atol=2e-3, rtol=1e-3)
    offset = torch.arange(batch) % offsets
    given_all = {"video": video, "audio": torch.zeros(batch, 1, 1), "offset": offset}
    slow = [-row[k] + math.log(sum(math.exp(v) for v in row)) for row, k in zip(expected, offset.tolist(), strict=True)]
    for silent in range(batch + 1):
        loss = method({**given_all, "heard": torch.arange(batch) >= silent}).loss
        assert loss.item() == pytest.approx(sum(slow[silent:]) / max(1, batch - silent), abs=5e-3)


def test_the_correlation_is_numpys():
    """Computed once: x = np.sin(np.arange(6) * 1.3); y = np.cos(np.arange(8) * 0.7);
    [np.corrcoef(x, y[k : k + 6])[0, 1] for k in range(3)]
    """
    seen = (torch.arange(6) * 1.3).sin()[None, :, None]
    heard = (torch.arange(8) * 0.7).cos()[None, :, None]
    logits = given(3, seen, heard).logits(torch.zeros(1, 6, 3, 8, 8, dtype=torch.uint8), torch.zeros(1, 1, 1))
    expected = torch.tensor([[0.6050281356339327, 0.5549593068847438, 0.11070635316392237]])
    torch.testing.assert_close(logits / 10, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("pictures", "steps", "moments"), [(4, 4, 12), (4, 2, 12), (4, 2, 6), (5, 3, 7)])
def test_shares_are_of_the_time_that_a_step_covers(pictures, steps, moments):
    whole, starts = pictures + 2, (0.0, 1.0, 2.0)
    shares = meets(pictures, steps, moments, starts, whole)
    torch.testing.assert_close(shares.sum(2), torch.ones(3, steps))
    fine = 420  # of each picture: the share of a moment is counted
    for k, start in enumerate(starts):
        for step in range(steps):
            inside = torch.zeros(moments)
            for n in range(fine * pictures // steps):
                time = start + step * pictures / steps + (n + 0.5) / fine
                inside[int(time * moments / whole)] += 1
            torch.testing.assert_close(shares[k, step], inside / inside.sum(), atol=2e-3, rtol=0)


def test_the_label_is_where_the_pictures_lie_in_the_sound():
    run = tiny.run("sync_offset")
    needs, half = run.needs, 10
    assert needs.frames == 4 + 20
    assert needs.audio_seconds == needs.frames / 8
    flash = torch.zeros(1, needs.frames, 3, 32, 32, dtype=torch.uint8)
    flash[:, 12] = 255  # the middle picture
    wave = torch.zeros(1, round(needs.audio_seconds * needs.hz))
    sample = Sample("a", 0, (0.0,), {"video": flash, "audio": wave})
    transform, seen = run.kind.transform(run.cfg.method, run.inputs), set()
    for seed in range(60):
        made = transform(sample, Generator().manual_seed(seed), 0.0)
        bright = made["video"].float().mean((1, 2, 3))
        offset = int(made["offset"])
        seen.add(offset)
        lit = [k for k in range(4) if bright[k] > 128]
        assert lit == ([12 - offset] if 0 <= 12 - offset < 4 else [])
    assert len(seen) > 15
    method = run.method()
    assert method.offsets[half] == 0
    assert method.offsets[-1] == pytest.approx(10 / 8)


@pytest.mark.parametrize("level", [0.0, 1e-5, 0.1])
def test_a_clip_in_which_nothing_is_heard_is_left_out(level):
    run = tiny.run("sync_offset")
    sample = timed.flickering(run.needs, 0, follows=True)
    quiet = Sample("q", 0, (0.0,), {"video": sample.video, "audio": level * sample.audio})
    made = run.kind.transform(run.cfg.method, run.inputs)(quiet, Generator().manual_seed(0), 0.0)
    assert bool(made["heard"]) == (level > 1e-4)


def test_a_preview_says_the_offset_in_seconds():
    run = tiny.run("sync_offset")
    transform = run.kind.transform(run.cfg.method, run.inputs)
    assert isinstance(transform, Captions)
    told = [transform.words({"offset": torch.tensor(k)})["offset"] for k in (0, 10, 12)]
    assert told == ["the sound is 1.25 s early", "in step", "the sound is 0.25 s late"]


@pytest.mark.parametrize("late", [-3, 0, 7])
def test_a_late_sound_is_told_by_its_offset_in_seconds(late):
    """Pictures and sound of one time, the sound moved by whole pictures: brightness against loudness."""
    draw = Generator().manual_seed(4)
    level = torch.rand(60, generator=draw)
    method = given(21, torch.zeros(1, 10, 1), torch.zeros(1, 30, 1))
    method.encoders["audio"] = Given(level[20 - late :][:30][None, None])
    shown = level[20:][:30]
    method.seen = lambda video: video.float().mean((2, 3, 4))[..., None]
    video = (shown * 255)[None, :, None, None, None].expand(-1, -1, 3, 8, 8)
    logits = method.offset_logits(video, torch.zeros(1, 1, 1))
    assert method.offsets[int(logits.argmax())] == pytest.approx(late / 8)


def test_an_even_number_of_offsets_is_refused():
    with pytest.raises(ValueError, match="an odd number is needed"):
        tiny.run("sync_offset", "method.offsets=20").method()
    with pytest.raises(ValueError, match="make them equal"):
        tiny.run("sync_offset", "inputs.audio_seconds=1.5").method()


SMALL = (
    "method.offsets=5", "method.width=16", "inputs.frames=12", "inputs.audio_seconds=1.5", "inputs.hz=4000",
    "inputs.height=16", "inputs.width=16", "encoders.video.time_stride=1",
)  # fmt: skip


def test_learns_offsets_from_what_both_have_in_common_and_from_nothing_else():
    run = tiny.run("sync_offset", *SMALL)
    unseen, unrelated = following.accuracies(run, steps=20, size=16, lr=5e-3)
    assert unseen > 0.9
    assert unrelated < 0.4, "chance is 0.2: neither edges nor levels tell an offset"
