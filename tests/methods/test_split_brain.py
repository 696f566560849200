"""Split-brain: both losses against literal ones, who sees what, and the copying that the split forbids."""

from __future__ import annotations

import math

import pytest
import shortcut
import torch
from contract import tiny
from torch import Generator, nn

from avssl import ops
from avssl.nn.colors import centers


class Told(nn.Module):
    """A decoder that gives known outputs."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def forward(self, x):
        return self.values


@pytest.mark.parametrize("loss", ["classify", "regress"])
@pytest.mark.parametrize(("size", "levels"), [((16, 16), 100), ((18, 20), 10)])
def test_the_loss_is_the_sum_of_both_crosswise(loss, size, levels):
    words = (f"method.loss={loss}", f"method.levels={levels}", f"inputs.height={size[0]}", f"inputs.width={size[1]}")
    method, draw = tiny.run("split_brain", *words).method(), Generator().manual_seed(1)
    picture = torch.randint(256, (2, 3, *size), dtype=torch.uint8, generator=draw)
    h, w = -(-size[0] // 4), -(-size[1] // 4)
    counts = (313, levels) if loss == "classify" else (2, 1)
    color, light = (torch.randn(2, count, h, w, generator=draw) for count in counts)
    method.decoders["light"], method.decoders["color"] = Told(color), Told(light)
    lab, total = ops.lab(picture), [0.0, 0.0]
    for b in range(2):
        for r in range(h):
            for c in range(w):
                mean = lab[b, :, r * 4 : r * 4 + 4, c * 4 : c * 4 + 4].flatten(1).mean(1).tolist()
                if loss == "regress":
                    total[0] += sum((color[b, k, r, c].item() - mean[1 + k] / 110) ** 2 for k in (0, 1)) / 2
                    total[1] += (light[b, 0, r, c].item() - (mean[0] / 50 - 1)) ** 2
                    continue
                apart = [(mean[1] - x) ** 2 + (mean[2] - y) ** 2 for x, y in centers().tolist()]
                wanted = (apart.index(min(apart)), min(levels - 1, int(mean[0] * levels / 100)))
                for k, (logits, label) in enumerate(zip((color, light), wanted, strict=True)):
                    row = logits[b, :, r, c].tolist()
                    total[k] += math.log(sum(math.exp(z) for z in row)) - row[label]
    step = method({"picture": picture})
    assert step.metrics["color"].item() == pytest.approx(total[0] / (2 * h * w), rel=1e-4)
    assert step.metrics["light"].item() == pytest.approx(total[1] / (2 * h * w), rel=1e-4)
    assert step.loss.item() == pytest.approx(sum(total) / (2 * h * w), rel=1e-4)


def test_the_loss_of_ignorance_is_the_logarithm_of_the_bins():
    """sklearn's log_loss of uniform predictions over 313 and 100 classes gives 5.746203 and 4.605170."""
    method = tiny.run("split_brain").method()
    method.decoders["light"], method.decoders["color"] = (
        Told(torch.zeros(8, 313, 8, 8)),
        Told(torch.zeros(8, 100, 8, 8)),
    )
    assert method(tiny.run("split_brain").batch()).loss.item() == pytest.approx(5.746203 + 4.605170, abs=1e-4)


def test_neither_half_sees_what_it_predicts():
    method = tiny.run("split_brain").method().eval()
    lab = ops.lab(torch.rand(2, 3, 32, 32) * 0.2 + 0.4)
    darker = lab * torch.tensor([0.9, 1, 1]).view(3, 1, 1)
    turned = torch.stack([lab[:, 0], lab[:, 2], lab[:, 1]], 1)
    with torch.no_grad():
        color, light = method.predicted(ops.rgb(lab))
        torch.testing.assert_close(method.predicted(ops.rgb(turned))[0], color, atol=2e-3, rtol=0)
        torch.testing.assert_close(method.predicted(ops.rgb(darker))[1], light, atol=2e-3, rtol=0)
        assert (method.predicted(ops.rgb(darker))[0] - color).abs().max() > 0.02
        assert (method.predicted(ops.rgb(turned))[1] - light).abs().max() > 0.02


def test_features_are_both_halves_side_by_side():
    run = tiny.run("split_brain")
    features = run.method().eval().encoders["image"](run.x("image"))
    assert features.vector.shape == (8, 64)
    assert features.maps[-1].shape == (8, 64, 4, 4)


def unrelated(draw):
    """One lightness and one colour to a picture that have nothing to do with each other."""
    light, a, b = torch.rand(3, generator=draw).tolist()
    lab = torch.tensor([50 + 15 * light, 40 * a - 20, 40 * b - 20]).view(3, 1, 1).expand(3, 32, 32)
    return (ops.rgb(lab) * 255).round().to(torch.uint8)


def test_what_is_unrelated_can_only_be_copied_and_the_split_forbids_it():
    """Mean squared error over what knowing nothing would give: colour and lightness are uniform."""
    words = ("method.loss=regress", "method.area=1.0")

    def error(split):
        asked = (*words, f"method.split={split}")
        return shortcut.metric("split_brain", "color", unrelated, *asked, steps=60, size=12, count=60, lr=5e-3)

    nothing = (40 / 110) ** 2 / 12
    assert error("false") < 0.7 * nothing, "the shortcut exists"
    assert error("true") > 0.8 * nothing, "and is closed"
