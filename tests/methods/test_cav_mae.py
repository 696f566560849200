"""CAV-MAE: both errors and the contrast from their literal formulas, nothing hidden is seen, each modality helps."""

from __future__ import annotations

import math

import pytest
import torch
from contract import tiny

from avssl import ops
from avssl.nn import masking

WHOLE = "inputs.audio_seconds=0.48"
"""48 frames of sound are whole cells of 4"""


def told(method, batch):
    """What the decoder is given and gives, and the step."""
    held = {}
    hook = method.decoder.register_forward_hook(lambda _, given, made: held.update(given=given, made=made))
    step = method(batch)
    hook.remove()
    return step, held["given"], held["made"]


def literal(x, visible, filled, grid):
    """Mean over the hidden cells' values, one cell at a time; x [B, C, H, W]."""
    total, count = 0.0, 0
    high, wide = x.shape[2] // grid[0], x.shape[3] // grid[1]
    for row in range(len(x)):
        left = [cell for cell in range(grid[0] * grid[1]) if cell not in visible[row].tolist()]
        for guess, cell in zip(filled[row], left, strict=True):
            top, side = cell // grid[1] * high, cell % grid[1] * wide
            values = x[row, :, top : top + high, side : side + wide].double().flatten()
            mean = values.mean()
            spread = math.sqrt(((values - mean) ** 2).sum() / (len(values) - 1) + 1e-6)
            total += float((((values - mean) / spread - guess.double()) ** 2).sum())
            count += len(values)
    return total / count


@pytest.mark.parametrize("size", [2, 8])
@pytest.mark.parametrize("share", [0.5, 0.75])
@pytest.mark.parametrize("weight", [0.01, 1.0])
def test_the_loss_is_the_papers(size, share, weight):
    run = tiny.run("cav_mae", f"method.hidden_share={share}", f"method.contrast={weight}", WHOLE)
    method, batch = run.method(), run.batch(size=size)
    step, (_, visible), filled = told(method, batch)
    picture = literal(batch["picture"], visible["image"], filled["image"].detach(), method.grid["image"])
    heard = literal(batch["sound"][:, None], visible["audio"], filled["audio"].detach(), method.grid["audio"])
    assert step.metrics["image"].item() == pytest.approx(picture, rel=1e-4)
    assert step.metrics["audio"].item() == pytest.approx(heard, rel=1e-4)
    expected = picture + heard + weight * step.metrics["contrast"].item()
    assert step.loss.item() == pytest.approx(expected, rel=1e-4)


def test_the_contrast_is_that_of_what_is_seen_alone():
    run = tiny.run("cav_mae", WHOLE)
    method, batch = run.method(), run.batch()
    step = method(batch)
    vectors = []
    for place, (kind, key) in enumerate((("image", "picture"), ("audio", "sound"))):
        cells = math.prod(method.grid[kind])
        visible = masking.kept(batch["seed"] + place, cells, 0.75)
        x = batch[key] if kind == "image" else batch[key][:, None]
        covered = x.clone()
        high, wide = x.shape[2] // method.grid[kind][0], x.shape[3] // method.grid[kind][1]
        for row, seen in enumerate(visible.tolist()):
            for cell in set(range(cells)) - set(seen):
                top, side = cell // method.grid[kind][1] * high, cell % method.grid[kind][1] * wide
                covered[row, :, top : top + high, side : side + wide] = 128 if kind == "image" else 0
        tokens = method.tokens(kind, covered.reshape(batch[key].shape))
        seen = torch.stack([row[index] for row, index in zip(tokens, visible, strict=True)])
        vectors.append(ops.unit(method.through(method.own[kind](seen), kind).mean(1)))
    logits = (vectors[0] @ vectors[1].T / 0.05).tolist()
    total = 0.0
    for i in range(8):
        others = [j for j in range(8) if j == i or tiny.RECORDING[i] != tiny.RECORDING[j]]
        total += math.log(sum(math.exp(logits[i][j]) for j in others)) - logits[i][i]
        total += math.log(sum(math.exp(logits[j][i]) for j in others)) - logits[i][i]
    assert step.metrics["contrast"].item() == pytest.approx(total / 16, rel=1e-3)


def test_what_is_hidden_is_not_seen():
    """Other values in the hidden cells change the truth, and nothing that is made to guess it."""
    run = tiny.run("cav_mae")
    method, batch = run.method().eval(), run.batch()
    with torch.no_grad():
        before, (tokens, visible), filled = told(method, batch)
        mask = masking.hidden(visible["image"], math.prod(method.grid["image"]))
        changed = masking.cover(batch["picture"], mask, method.grid["image"], 7.0)
        after, (again, _), refilled = told(method, batch | {"picture": changed})
    for kind in ("image", "audio"):
        assert torch.equal(tokens[kind], again[kind])
        assert torch.equal(filled[kind], refilled[kind])
    assert before.metrics["image"] != after.metrics["image"]
    assert before.metrics["contrast"] == after.metrics["contrast"]


def test_the_sound_helps_to_fill_in_the_picture():
    run = tiny.run("cav_mae")
    method, batch = run.method().eval(), run.batch()
    with torch.no_grad():
        before, (tokens, _), filled = told(method, batch)
        after, (moved, _), refilled = told(method, batch | {"sound": batch["sound"].roll(1, 0)})
    assert not torch.equal(tokens["image"], moved["image"])
    assert not torch.equal(filled["image"], refilled["image"])
    assert before.metrics["image"] != after.metrics["image"]


def test_the_mask_is_drawn_with_the_sample():
    run = tiny.run("cav_mae")
    method, batch = run.method(), run.batch()
    _, (_, first), _ = told(method, batch)
    _, (_, again), _ = told(method, batch)
    _, (_, later), _ = told(method, run.batch(1))
    assert all(torch.equal(first[kind], again[kind]) for kind in first)
    assert any(not torch.equal(first[kind], later[kind]) for kind in first)
    assert not torch.equal(first["image"][0], first["image"][1])


def test_a_longer_sound_than_in_training_is_embedded_too():
    run = tiny.run("cav_mae")
    method = run.method().eval()
    sound = run.x("audio")
    longer = torch.cat([sound, sound], 1)
    with torch.no_grad():
        assert method.embed("audio", longer).shape == method.embed("audio", sound).shape


def test_raw_waves_have_no_cells():
    with pytest.raises(ValueError, match=r"inputs\.audio=wave: cav_mae fills in spectrograms"):
        tiny.run("cav_mae", "inputs.audio=wave").method()


def test_the_sound_covers_the_picture():
    needs = tiny.run("cav_mae").needs
    assert (needs.clips, needs.frames) == (1, 1)
    assert needs.audio_seconds > needs.window_seconds
