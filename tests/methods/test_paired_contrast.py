"""Any two streams: the loss from two sources, each shipped pair under the laws that streams could break, windows."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from contract import timed, tiny
from torch import Generator

from avssl import config
from avssl.config import shipped
from avssl.inputs import Inputs, Vocabulary
from avssl.methods.base import config_of, find

PAIRS = [name for name in shipped() if name.startswith("paired_contrast")]
"""the shipped configs: picture and depth, two cameras, two ears, face and voice"""


def run_of(name, *words):
    """A tiny run of one of the shipped pairs."""
    cfg = config.load(name, [*tiny.SIZES, *words], config_of)
    return tiny.Tiny(name, cfg, Inputs(cfg.inputs, Vocabulary.train(["a bell"], 64)), find(cfg.method.name))


def literal(method, batch):
    """The equation, one pair at a time: -log of the pair's share, in both directions, mean over items."""
    one, other = (method.embed(name, batch[name]).tolist() for name in method.sides)
    scale, recording = method.temperature().item(), batch["recording"].tolist()

    def dot(a, b):
        return scale * sum(x * y for x, y in zip(a, b, strict=True))

    total = 0.0
    for i in range(len(one)):
        counted = [j for j in range(len(one)) if j == i or recording[j] != recording[i]]
        total += math.log(sum(math.exp(dot(one[i], other[j])) for j in counted)) - dot(one[i], other[i])
        total += math.log(sum(math.exp(dot(one[j], other[i])) for j in counted)) - dot(one[i], other[i])
    return total / (2 * len(one))


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("size", [2, 5, 8])
def test_the_loss_is_the_equation(name, size):
    run = run_of(name)
    method, batch = run.method(), run.batch(size=size)
    assert method(batch).loss.item() == pytest.approx(literal(method, batch), rel=1e-4)


def test_the_loss_is_the_reference_librarys():
    """Computed once with transformers 5.23:

    a, b = (torch.arange(12.0) * 1.3).sin().view(4, 3), (torch.arange(12.0) * 0.7).cos().view(4, 3)
    clip.modeling_clip.image_text_contrastive_loss(F.normalize(a) @ F.normalize(b).T / 0.07)
    """
    run = run_of("paired_contrast")
    method = run.method()
    a, b = (torch.arange(12.0) * 1.3).sin().view(4, 3), (torch.arange(12.0) * 0.7).cos().view(4, 3)
    a, b = torch.nn.functional.normalize(a), torch.nn.functional.normalize(b)
    method.embed = lambda modality, x, space="main": x
    loss = method({"video": a, "depth": b, "recording": torch.arange(4)}).loss
    assert loss.item() == pytest.approx(9.958417892456055, rel=1e-5)


@pytest.mark.parametrize("name", PAIRS)
def test_each_pair_learns_embeds_and_asks_for_its_streams_alone(name):
    run = run_of(name)
    method = run.method()
    losses = tiny.steps(method, [run.batch()] * 12, tiny.optimizers(method))
    assert min(losses[-3:]) < 0.99 * losses[0]
    names = run.needs.streams
    assert set(run.batch()) == {*names, "index", "recording", "seconds"}
    assert method.spaces["main"].modalities == names
    assert run.needs.frames == (0 if {method.kind_of(name) for name in names} == {"audio"} else 4)
    method.eval()
    for modality in names:
        assert method.kind_of(modality) == ("audio" if modality in tiny.SOUNDS else "video")
        with torch.no_grad():
            vectors = method.embed(modality, run.x(modality))
            alone = method.embed(modality, run.x(modality)[:1])
        assert vectors.shape == (tiny.ITEMS, method.spaces["main"].width)
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(tiny.ITEMS))
        torch.testing.assert_close(vectors[:1], alone, atol=1e-5, rtol=0)


def test_each_side_has_an_encoder_of_its_own_from_its_section_or_its_own_settings():
    run = run_of("paired_contrast", "method.second.tower={name: small, width: 16, stride: 16}")
    encoders = run.method().encoders
    assert list(encoders) == ["video", "depth"]
    assert (encoders["video"].width, encoders["depth"].width) == (32, 16)


def test_a_side_sees_its_own_window_in_the_middle():
    run = run_of("paired_contrast", "method.first.seconds=0.25", "method.second.encoder=image")
    method = run.method().eval()
    clip, depth = run.x("video", 2), run.x("depth", 2)  # 4 pictures, 8 a second
    inside, outside = clip.clone(), clip.clone()
    outside[:, [0, 3]] = 0
    inside[:, [1, 2]] = 0
    still, moved = depth.clone(), depth.clone()
    still[:, [0, 1, 3]] = 0
    moved[:, 2] = 0
    with torch.no_grad():
        for name, x, same, other in (("video", clip, outside, inside), ("depth", depth, still, moved)):
            assert torch.equal(method.embed(name, x), method.embed(name, same))
            assert not torch.equal(method.embed(name, x), method.embed(name, other))


def test_augmentations_are_not_shared_unless_asked():
    apart, together = (run_of("paired_contrast_infrared", f"method.together={word}") for word in ("false", "true"))
    needs = apart.needs
    one = tiny.sample(needs, 3)
    same = dataclasses.replace(one, parts=dict.fromkeys(needs.streams, one.stream("video")))
    for run, equal in ((apart, False), (together, True)):
        plain = run.cfg.method.model_copy(update={
            side: getattr(run.cfg.method, side).model_copy(update={"strength": 0.0}) for side in ("first", "second")
        })  # fmt: skip
        made = run.kind.transform(plain, run.inputs)(same, Generator().manual_seed(1), 0.0)
        assert torch.equal(made["video"], made["infrared"]) == equal


def test_a_depth_keeps_its_values_within_its_range_and_is_never_recolored():
    run = run_of(
        "paired_contrast", "method.second.strength=1.0", "method.second.area=1.0", "method.second.mirror=false"
    )
    one = tiny.sample(run.needs, 2)
    made = run.kind.transform(run.cfg.method, run.inputs)(one, Generator().manual_seed(0), 0.0)["depth"]
    assert made.dtype == torch.float32
    assert 0 <= made.min() <= made.max() <= 1
    assert (made - one.stream("depth")[0]).abs().mean() < 0.02, "only resampled"


@pytest.mark.parametrize("name", [name for name in PAIRS if "stereo" not in name])
def test_both_streams_are_of_the_same_moment(name):
    """A flash is seen in one stream where it is seen, or heard, in the other."""
    run = run_of(name)
    first, second = run.needs.streams
    dark = run.kind.transform(run.cfg.method, run.inputs)(timed.flash(run.needs, None), Generator().manual_seed(0), 0.0)
    lit = []
    for moment in (0.01, 0.2, 0.45):
        flash = timed.flash(run.needs, moment)
        made = run.kind.transform(run.cfg.method, run.inputs)(flash, Generator().manual_seed(0), 0.0)
        lit.append([
            ((made[key] - dark[key]).float().abs().flatten(1).sum(1) * torch.arange(1.0, 1 + len(made[key]))).sum()
            / (made[key] - dark[key]).float().abs().sum().clamp_min(1e-6) / len(made[key])
            for key in (first, second)
        ])  # fmt: skip
    for one, other in lit:
        assert abs(float(one) - float(other)) < 0.3


def test_two_sides_that_cannot_be_are_refused_in_one_line():
    with pytest.raises(ValueError, match="choose two different streams"):
        run_of("paired_contrast", "method.second.stream=video").method()
    with pytest.raises(ValueError, match="sees no time"):
        run_of("paired_contrast", "method.second.encoder=image", "method.steps=4").method()


def test_a_course_in_time_tells_shifted_windows_apart():
    """With steps, the same picture earlier and later give different vectors; what lasts the whole window is removed."""
    run = run_of("paired_contrast", "method.steps=2", "encoders.video.time_stride=1")
    method = run.method().eval()
    clip = run.x("video", 2)
    late = clip.flip(1)
    with torch.no_grad():
        one, other = method.embed("video", clip), method.embed("video", late)
    assert one.shape[1] == 2 * run.cfg.method.width
    parts = one.unflatten(1, (2, -1))
    torch.testing.assert_close(parts[:, 0], -parts[:, 1])
    assert (one - other).norm() > 1e-3
