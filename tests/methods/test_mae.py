"""MAE: the loss against a reference library and a literal version, what is looked at, patches put back, brightness."""

from __future__ import annotations

import math

import pytest
import shortcut
import torch
from contract import tiny
from torch import Generator, nn

from avssl.nn import masking


class AsItIs:
    """Views that are the pictures themselves."""

    def made(self, batch):
        return batch["picture"]


class Told(nn.Module):
    """A decoder that gives known values."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def forward(self, tokens, visible):
        return {"image": self.values}


def setup(normalize, monkeypatch):
    """Two pictures of four patches, three of each hidden, and values for all patches (row, column, color)."""
    run = tiny.run("mae", "inputs.height=16", "inputs.width=16", f"method.normalize={normalize}")
    picture = (torch.arange(2 * 3 * 16 * 16).float().mul(0.7).sin() * 100 + 128).to(torch.uint8).view(2, 3, 16, 16)
    made = torch.arange(2 * 4 * 192).float().cos().view(2, 4, 192)
    monkeypatch.setattr(masking, "kept", lambda seed, cells, share: torch.tensor([[1], [0]]))
    method = run.method()
    method.views = AsItIs()
    return method, picture, made, {"picture": picture, "draw": torch.tensor([[1], [2]])}


@pytest.mark.parametrize(("normalize", "reference"), [(True, 1.494088), (False, 0.824204)])
def test_the_loss_is_the_reference_librarys_and_the_literal_one(normalize, reference, monkeypatch):
    """Computed once with transformers 5.23, for the pictures and values of ``setup``, patch_size=8, image_size=16:

    m = ViTMAEForPreTraining(ViTMAEConfig(..., norm_pix_loss=normalize))
    m.vit.forward = lambda *a, **k: SimpleNamespace(mask=torch.tensor([[1., 0, 1, 1], [0, 1, 1, 1]]), ...)
    m.decoder.forward = lambda *a, **k: SimpleNamespace(logits=made)
    m(picture / 255).loss
    """
    method, picture, made, batch = setup(normalize, monkeypatch)
    mine = made.unflatten(2, (8, 8, 3)).permute(0, 1, 4, 2, 3).flatten(2)  # ours have the colors first
    hidden = [[0, 2, 3], [1, 2, 3]]
    method.decoder = Told(torch.stack([mine[b, hidden[b]] for b in range(2)]))
    loss = method(batch).loss.item()
    total = 0.0
    for b in range(2):
        for cell in hidden[b]:
            top, left = 8 * (cell // 2), 8 * (cell % 2)
            values = [
                (picture[b, p, top + r, left + c].item() / 255, made[b, cell, (r * 8 + c) * 3 + p].item())
                for r in range(8) for c in range(8) for p in range(3)
            ]  # fmt: skip
            mean = sum(v for v, _ in values) / 192
            spread = math.sqrt(sum((v - mean) ** 2 for v, _ in values) / 191 + 1e-6)
            total += sum((m - ((v - mean) / spread if normalize else v)) ** 2 for v, m in values) / 192
    assert loss == pytest.approx(total / 6, rel=1e-4)
    assert loss == pytest.approx(reference, rel=1e-4)


@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
@pytest.mark.parametrize("share", [0.25, 0.75])
def test_hidden_patches_are_not_looked_at_and_visible_ones_are(size, share):
    run = tiny.run("mae", f"inputs.height={size[0]}", f"inputs.width={size[1]}", f"method.hidden_share={share}")
    method, batch = run.method().eval(), run.batch()
    with torch.no_grad():
        picture = method.views.made(batch)
        hidden, made = method.filled(picture, batch["draw"])
        assert hidden.float().mean().item() == pytest.approx(share, abs=0.06)
        for looked, mask in ((False, hidden), (True, ~hidden)):
            covered = masking.cover(picture, mask, method.grid, 0)
            assert torch.equal(method.filled(covered, batch["draw"])[1], made) != looked


def test_what_is_shown_keeps_visible_patches_and_their_places():
    run = tiny.run("mae", "inputs.height=24", "inputs.width=40")
    method, batch = run.method().eval(), run.batch()
    view = method.views.made(batch)
    hidden, _ = method.filled(view, batch["draw"])
    shown = method.show(batch)
    clean = view / 255
    for name in ("visible", "filled"):
        assert shown[name].shape == clean.shape
        kept = masking.cover(torch.ones_like(clean), hidden, method.grid, 0) > 0
        torch.testing.assert_close(shown[name][kept], clean[kept])
        assert not torch.equal(shown[name], clean)


def test_the_sheet_shows_the_view_whose_patches_are_hidden():
    run = tiny.run("mae")
    preview, method = run.kind.preview(run.cfg.method, run.inputs), run.method().eval()
    given = preview(tiny.sample(run.needs, 1), Generator().manual_seed(3), 0.0)
    assert not torch.equal(given["view"], given["picture"])
    batch = {name: x[None] for name, x in given.items()}
    kept = masking.cover(torch.ones(1, 3, 32, 32), method.filled(given["view"][None], batch["draw"])[0], (4, 4), 0) > 0
    assert torch.equal((method.show(batch)["visible"] * 255).round()[kept], given["view"][None].float()[kept])


def test_all_patches_at_once_are_the_whole_picture():
    run = tiny.run("mae")
    encoder, x = run.method().eval().encoders["image"], run.x("image")
    everything = torch.arange(16).expand(len(x), -1)
    whole, parts = encoder(x), encoder(x, everything)
    assert whole.maps[-1].shape == (8, 32, 4, 4)
    torch.testing.assert_close(parts.vector, whole.vector)
    torch.testing.assert_close(parts.maps[-1].flatten(2), whole.maps[-1].flatten(2))


def test_other_encoders_and_sizes_are_refused():
    with pytest.raises(ValueError, match="set vit"):
        tiny.run("mae", "encoders.image.name=small").method()
    with pytest.raises(ValueError, match="20 x 32 pixels into patches of 8"):
        tiny.run("mae", "inputs.height=20").method()


def level(draw):
    """One brightness to a picture, and fine noise that nothing tells."""
    picture = torch.randint(60, 190, (1, 1, 1), generator=draw) + torch.randint(-20, 20, (3, 32, 32), generator=draw)
    return picture.to(torch.uint8)


def test_the_neighbors_brightness_is_a_shortcut_that_normalization_closes():
    def explained(normalize):
        words = ("method.area=1.0", f"method.normalize={normalize}")
        return shortcut.metric("mae", "explained", level, *words, steps=50, size=12, count=60)

    assert explained("false") > 0.5, "the shortcut exists"
    assert explained("true") < 0.05, "and is closed"
