"""What the localizers of one picture share: silence and noise as negatives, dropout, the map and the vectors."""

from __future__ import annotations

import math

import pytest
import torch
from contract import tiny

from avssl.methods.base import catalogue, find
from avssl.methods.sounding import SoundingPlaces

NAMES = [name for name in catalogue() if issubclass(find(name), SoundingPlaces)]
every_one = pytest.mark.parametrize("name", NAMES)


def test_there_are_some():
    assert {"ez_vsl", "lvs", "avol_net"} <= set(NAMES)


@every_one
def test_silence_and_noise_are_negatives_when_asked_for(name):
    words = ("method.dropout=0", "encoders.image.norm=group")
    asked, plain = tiny.run(name, "method.negatives=true", *words), tiny.run(name, "method.negatives=false", *words)
    batch = asked.batch(progress=1.0)
    assert "noise" not in plain.batch()
    method = asked.method().eval()
    with torch.no_grad():
        sounds = method.sounds(batch)
        assert len(sounds) == tiny.ITEMS + 2
        silent = torch.full_like(batch["sound"][:1], asked.inputs.silence)
        torch.testing.assert_close(sounds[-1:], method.heard(silent))
        torch.testing.assert_close(sounds[-2:-1], method.heard(batch["noise"][:1]))
        louder = {**batch, "noise": batch["noise"] + 1}
        assert method(batch).loss != method(louder).loss
        assert plain.method().eval()(batch).loss == plain.method().eval()(louder).loss


@every_one
def test_a_silence_that_fits_every_picture_costs_more(name):
    """The extra sounds of a batch are made each picture's own places' direction, or its opposite."""
    run = tiny.run(name, "method.negatives=true", "method.dropout=0")
    method, batch = run.method().eval(), run.batch()
    with torch.no_grad():
        own, places = method.sounds(batch)[: tiny.ITEMS], method.seen(batch["picture"])
        # what a sound is compared with: places, or what it found by attention
        shown = method.found(places, own) if name == "attention_localizer" else places.mean((2, 3))
        direction = shown.mean(0) / shown.mean(0).norm()
        costs = []
        for sign in (1, -1):
            extra = (sign * direction).expand(2, -1)
            method.sounds = lambda *_, extra=extra: torch.cat([own, extra])
            costs.append(method(batch).loss)
    assert costs[0] > costs[1]


@every_one
def test_what_is_hidden_is_a_function_of_the_item_alone(name):
    run = tiny.run(name, "method.dropout=0.5")
    method, batch = run.method(), run.batch()
    torch.manual_seed(1)
    first = method(batch).loss
    torch.manual_seed(2)
    assert torch.equal(first, method(batch).loss)
    other = method({**batch, "seed": batch["seed"] + 1}).loss
    assert not torch.equal(first, other)


@every_one
def test_it_localizes_sounds_alone(name):
    run = tiny.run(name)
    method = run.method().eval()
    with pytest.raises(ValueError, match=f"{name} localizes audio, not text"):
        method.localize(run.x("video", 2), run.x("audio", 2), "text")


@every_one
def test_the_map_is_the_cosine_of_the_sound_and_each_place(name):
    run = tiny.run(name)
    method = run.method().eval()
    video, sound = run.x("video", 2), run.x("audio", 2)
    with torch.no_grad():
        scores = method.localize(video, sound, "audio")
        places, asked = method.seen(video[:, 2]), method.sought(sound, "audio")
        expected = torch.cosine_similarity(places, asked[:, :, None, None], dim=1)
    torch.testing.assert_close(scores[:, 2], expected, atol=1e-5, rtol=1e-4)


@every_one
@pytest.mark.parametrize("negatives", [True, False])
def test_the_off_screen_term_is_its_formula(name, negatives):
    """Bright for the own sound, dark for the sounds of other recordings, and for silence and noise if asked for."""
    words = (f"method.negatives={negatives}", "method.dropout=0", "encoders.image.norm=group")
    asked, plain = tiny.run(name, "method.offscreen=0.5", *words), tiny.run(name, *words)
    batch = asked.batch()
    method = asked.method().eval()
    before = plain.method().eval()
    method.load_state_dict({**method.state_dict(), **before.state_dict()})
    with torch.no_grad():
        places, sounds, recording = method.joint(batch)
        if name == "attention_localizer":
            sounds = method.asked(sounds)
        best = torch.einsum("vdp,ad->vap", places.flatten(2), sounds).amax(2).tolist()
        right = [math.log(1 + math.exp(5 - 10 * best[i][i])) for i in range(8)]
        wrong = [math.log(1 + math.exp(10 * best[i][j] - 5)) for i in range(8) for j in range(len(sounds))
                 if j >= 8 or recording[i] != recording[j]]  # fmt: skip
        expected = 0.5 * 0.5 * (sum(right) / len(right) + sum(wrong) / len(wrong))
        assert method(batch).loss - before(batch).loss == pytest.approx(expected, rel=1e-3)


@every_one
def test_the_off_screen_term_moves_every_parameter(name):
    run = tiny.run(name, "method.offscreen=1", "method.negatives=true")
    method = run.method()
    method(run.batch()).loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in method.parameters() if p.requires_grad)
