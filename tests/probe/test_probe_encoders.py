"""Frozen features, stages, fine-tuning and activation maps on encoders and pictures whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from contract import tiny
from probe.labeled import colored, same_state, split, state_of, study
from torch import nn

from avssl import encoders
from avssl.config import EncoderConfig
from avssl.data.encode import write_clip
from avssl.encoders import Features, audio, image, text, video, vit
from avssl.localize.heatmap import heatmap
from avssl.localize.masks import upsample
from avssl.methods.image.split_brain import PARTS, Halves
from avssl.probe import cam, features, finetune, linear, stages
from avssl.probe.decoded import Decoded
from avssl.probe.linear import Probe

SPEC = EncoderConfig(width=32)


def halves(encoder):
    """Two networks side by side, as split_brain has them."""
    encoder.width = 32
    return Halves(encoder, split=True)


BUILT = {
    "small image": (lambda: image.SmallImage(SPEC), "image", 4),
    "resnet18 image": (lambda: image.ResNet18Image(SPEC), "image", 4),
    "one block of patches": (lambda: vit.ViTImage(EncoderConfig(width=32, layers=1, stride=8)), "image", 1),
    "two blocks of patches": (lambda: vit.ViTImage(EncoderConfig(width=32, layers=2, stride=8)), "image", 2),
    "halves": (lambda: halves(image.SmallImage(SPEC)), "image", 4),
    "halves with stems": (lambda: halves(image.ResNet18Image(SPEC)), "image", 4),
    "halves of patches": (lambda: halves(vit.ViTImage(EncoderConfig(width=32, layers=2, stride=8))), "image", 2),
    "small video": (lambda: video.SmallVideo(SPEC), "video", 4),
    "resnet18 video": (lambda: video.FramesResNet18(SPEC), "video", 4),
    "small audio": (lambda: audio.SmallAudio(SPEC, 16), "audio", 3),
    "text": (lambda: text.TextTransformer(EncoderConfig(width=32, layers=3), 6, 64), "text", 3),
}


@pytest.fixture(scope="module")
def pictures():
    data = split(80, 4)
    return data, colored(data)


def test_features_are_the_encoders_own_vectors_and_not_the_projection(pictures):
    data, x = pictures
    one = study(data, x)
    with torch.no_grad():
        expected = one.method.encoders["image"](torch.from_numpy(x)).vector.numpy()
    np.testing.assert_allclose(one.vectors("trained"), expected, atol=1e-5)
    assert not np.allclose(one.vectors("untrained"), expected, atol=1e-2)
    assert one.vectors("trained").shape == (80, 32)


def test_the_method_may_change_what_its_encoder_sees(pictures):
    """A method that drops the colour when it embeds is probed on what it sees then."""
    data, x = pictures
    one = study(data, x)
    embed = one.method.embed

    def grayed(modality, y, space="main"):
        return embed(modality, y.float().mean(1, True).expand_as(y) / 255, space)

    one.method.embed = grayed
    with torch.no_grad():
        gray = torch.from_numpy(x).float().mean(1, True).expand(-1, 3, -1, -1) / 255
        expected = one.method.encoders["image"](gray).vector.numpy()
    np.testing.assert_allclose(one.vectors("trained"), expected, atol=1e-5)


def test_windows_of_an_example_are_averaged_and_frames_too():
    run = tiny.run("simclr")
    x = np.arange(5 * 3 * 4 * 4, dtype=np.uint8).reshape(5, 3, 4, 4)
    data = Decoded("image", x, np.array([0, 0, 0, 1, 2]), run.inputs)
    values = np.arange(10, dtype=np.float32).reshape(5, 2)
    np.testing.assert_allclose(data.averaged(values), [values[:3].mean(0), values[3], values[4]])


@pytest.mark.parametrize("kind", ["image", "video", "audio", "text"])
def test_raw_input_tells_classes_apart_where_it_can(kind):
    run, y = tiny.run("trimodal"), np.arange(12) % 2
    draw = np.random.default_rng(0)
    shape = {"image": (12, 3, 32, 32), "video": (12, 4, 3, 32, 32), "audio": (12, 8000), "text": (12, 6)}[kind]
    if kind == "audio":
        time = np.arange(8000) / 16000
        x = np.stack([np.sin(2 * np.pi * (300 + 900 * k) * time) for k in y]).astype(np.float32)
    elif kind == "text":
        x = np.where(np.arange(6) < 3, 5 + y[:, None], -1)
    else:
        x = (draw.integers(0, 100, shape) + 100 * y.reshape(-1, *[1] * (len(shape) - 1))).astype(np.uint8)
    name, told = features.raw(Decoded(kind, x, np.arange(12), run.inputs))
    assert name == {"audio": "log-mel statistics", "text": "token counts"}.get(kind, "raw pixels")
    assert told.shape == (12, {"image": 768, "video": 1536, "audio": 48, "text": 7}[kind])
    apart = np.linalg.norm(told[y == 0].mean(0) - told[y == 1].mean(0))
    assert apart > 2 * max(told[y == k].std(0).max() for k in (0, 1))


@pytest.mark.parametrize("name", BUILT)
def test_every_parameter_is_in_one_stage_from_the_input_on(name):
    make, _, count = BUILT[name]
    encoder = make()
    row = stages.stages(encoder)
    keys = list(encoder.state_dict())
    of = dict(zip(keys, row.of(keys), strict=True))
    assert len(row.names) == count
    for side in [f"sides.{part}." for part in PARTS] if name.startswith("halves") else [""]:
        places = [stage for key, stage in of.items() if key.startswith(side)]
        assert set(places) == set(range(count))
        assert places == sorted(places), "stages follow each other"
        assert of[next(key for key in keys if key.startswith(side))] == 0
        for stage, parts in enumerate(row.names):
            assert any(part.startswith(side) for part in parts), f"stage {stage} joins both sides"


def test_an_encoder_without_parts_is_told():
    with pytest.raises(ValueError, match="no stages"):
        stages.stages(nn.Conv2d(3, 4, 3))


def test_stage_features_are_the_pooled_maps_finest_first(pictures):
    data, x = pictures
    one = study(data, x)
    told = stages.features(one.method, one.decoded, size=64)
    assert list(told) == ["stage1", "stage2", "stage3", "stage4"]
    y, batch = torch.from_numpy(x), []
    trunk = one.method.encoders["image"].trunk
    with torch.no_grad():
        y = y.float() / 127.5 - 1
        for layer in trunk:
            y = layer(y)
            batch.append(y)
    for name, maps in zip(told, batch, strict=True):
        assert 32 <= told[name].shape[1] <= 128
        side = round((64 / maps.shape[1]) ** 0.5)
        expected = nn.functional.adaptive_max_pool2d(maps, min(side, maps.shape[2])).flatten(1)
        np.testing.assert_allclose(told[name], expected, atol=1e-4)


@pytest.mark.parametrize("words", [(), ("encoders.image.name=vit", "encoders.image.layers=3")])
def test_a_stage_of_two_halves_is_that_of_both(pictures, words):
    """Without one half's weights the other's part stays, its own part of every stage changes."""
    data, x = pictures
    one = study(data, x, "split_brain", *words)
    told = stages.features(one.method, one.decoded, size=64)
    sides = one.method.encoders["image"].sides
    for part, stays in (("color", slice(0, 1)), ("light", slice(1, 2))):
        kept = state_of(sides[part])
        with torch.no_grad():
            for parameter in sides[part].parameters():
                parameter.zero_()
        without = stages.features(one.method, one.decoded, size=64)
        sides[part].load_state_dict(kept)
        assert len(told) == len(without) > 2
        for name, values in told.items():
            before, after = (np.array_split(y, 2, axis=1) for y in (values, without[name]))
            changed = [not np.allclose(a, b, atol=1e-3) for a, b in zip(before, after, strict=True)]
            assert changed[stays] == [False], f"{name} without {part}"
            assert sum(changed) == 1, f"{name} without {part}"


@pytest.mark.parametrize("shape", [(2, 8, 9), (2, 8, 7, 9), (2, 8, 6, 5, 5), (2, 300, 3, 3), (2, 8)])
def test_pooling_gives_about_the_size_asked_for(shape):
    told = stages.pooled(torch.randn(shape), 64)
    assert len(told) == 2
    assert told.shape[1] <= max(128, shape[1])


PLAN = finetune.Plan(steps=40, batch=16, rates=(0.1,), flip=False)


def tuned(one, **changes):
    (cut,) = one.rounds(1.0)
    words = {"plan": PLAN, "seed": 0, **changes}
    return finetune.fit(one.method, one.fresh, one.decoded, one.data.labels, cut, 4, **words), cut


def test_fine_tuning_learns_and_leaves_the_run_as_it_was(pictures):
    one = study(*pictures)
    before = state_of(one.method)
    found, cut = tuned(one)
    assert (found.predicted == one.data.labels[cut.test]).mean() > 0.8
    assert same_state(one.method, before)
    assert found.validation is None, "one rate is no choice"
    again, _ = tuned(one)
    assert again.predicted.tolist() == found.predicted.tolist()


def test_the_learning_rate_is_chosen_on_validation_and_never_on_test(pictures):
    data, x = pictures
    one, other = study(data, x), study(data, x)
    (cut,) = one.rounds(1.0)
    plan = finetune.Plan(steps=25, batch=16, rates=(1e-6, 0.1), flip=False)
    labels = data.labels.copy()
    labels[cut.test] = (labels[cut.test] + 1) % 4
    first = finetune.fit(one.method, one.fresh, one.decoded, data.labels, cut, 4, plan=plan)
    second = finetune.fit(other.method, other.fresh, other.decoded, labels, cut, 4, plan=plan)
    assert first.rate == 0.1
    assert first.predicted.tolist() == second.predicted.tolist()


@pytest.mark.parametrize("rest", ["kept", "random"])
@pytest.mark.parametrize(("freeze", "name"), [(0, "simclr"), (2, "simclr"), (4, "simclr"), (2, "split_brain")])
def test_frozen_stages_stay_and_the_rest_starts_where_it_should(pictures, freeze, name, rest, monkeypatch):
    one = study(*pictures, name)
    held = []
    run = finetune._Tuning.run

    def watched(self, *rest_of):
        before = state_of(self.encoder)
        run(self, *rest_of)
        held.append((before, state_of(self.encoder)))

    monkeypatch.setattr(finetune._Tuning, "run", watched)
    tuned(one, freeze=freeze, rest=rest, plan=finetune.Plan(steps=2, batch=8, rates=(0.1,)))
    before, after = held[0]
    own, new = one.method.encoders["image"].state_dict(), one.fresh.encoders["image"].state_dict()
    keys = list(own)
    for key in keys:
        stage = int(key.split("trunk.")[1][0])
        start = own if stage < freeze or rest == "kept" else new
        assert torch.equal(before[key], start[key]), key
        assert torch.equal(before[key], after[key]) == (stage < freeze), key
    with pytest.raises(ValueError, match="has 4 stages"):
        tuned(one, freeze=5)


class Colors(nn.Module):
    """Red, green and blue of each cell: what a class activation map of a colour must be is known."""

    width = 3

    def __init__(self, *_):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        maps = nn.functional.avg_pool2d(x.float() / 255, 4) * self.scale
        return Features(maps.mean((2, 3)), (maps,))


@pytest.fixture(scope="module")
def colors():
    """A linear probe on an encoder that sees colour, and pictures with a patch of the class's colour."""
    data = split(90, 3)
    x = colored(data, seed=4)
    one = study(data, x)
    for method in (one.method, one.fresh):
        method.encoders["image"] = Colors()
    (cut,) = one.rounds(1.0)
    fitted = linear.fit(one.vectors("trained"), data.labels, cut, 3)
    return one, fitted, cut


def test_the_mean_of_a_map_is_the_probes_score(colors):
    one, fitted, cut = colors
    found = cam.ClassMaps(one.method, fitted, "image").eval()
    with torch.no_grad():
        maps = found.maps(one.decoded.batch(cut.test))
    assert maps.shape == (len(cut.test), 3, 8, 8)
    np.testing.assert_allclose(maps.mean((2, 3)), fitted.scores(one.vectors("trained")[cut.test]), rtol=1e-3, atol=1e-3)


def test_a_map_peaks_where_its_class_is(colors):
    one, fitted, cut = colors
    found = cam.ClassMaps(one.method, fitted, "image").eval()
    hits = 0
    for place in cut.test:
        x, label = one.decoded.batch(np.array([place])), one.data.labels[place]
        with torch.no_grad():
            scores = found.maps(x)[0, label].double().numpy()
        patch = x[0, label] > 200  # noise is darker
        row, column = np.unravel_index(upsample(scores, (32, 32)).argmax(), (32, 32))
        hits += bool(patch[row, column])
    assert hits / len(cut.test) > 0.9, "a quarter of the picture is the patch: by chance 25 %"


def test_localize_runs_maps_of_a_named_class_over_a_video(colors, tmp_path):
    one, fitted, _ = colors
    frames = [np.full((32, 32, 3), 120, np.uint8) for _ in range(16)]
    for k, frame in enumerate(frames):  # red goes from left to right
        frame[8:24, k : k + 16] = (230, 30, 30)
    write_clip(tmp_path / "red.mp4", iter(frames), 8.0)
    method = cam.ClassMaps(one.method, fitted, "image")
    names = cam.ClassNames(one.method.inputs, ["red", "green", "blue"])
    heat = heatmap(method, names, tmp_path / "red.mp4", query="red")
    columns = heat.maps.max(1)  # [T, w]
    centers = [float(np.average(np.arange(8), weights=row - row.min())) for row in columns]
    assert len(heat.times) == 16
    assert centers[-1] > centers[0] + 2
    with pytest.raises(ValueError, match="no class of the probe"):
        cam.ClassNames(one.method.inputs, ["red"]).tokens(["pink"])


def test_maps_that_do_not_sum_up_to_the_vector_are_refused(colors, monkeypatch):
    one, fitted, _ = colors
    other = Features(torch.ones(2, 3), (torch.rand(2, 3, 8, 8),))
    monkeypatch.setattr(Colors, "forward", lambda self, x: other)
    with pytest.raises(ValueError, match="not the mean of its map"):
        cam.ClassMaps(one.method, fitted, "image").maps(torch.zeros(2, 3, 32, 32))
    with pytest.raises(ValueError, match="sees none"):
        cam.ClassMaps(one.method, fitted, "audio")


def test_frame_by_frame_and_clip_encoders_give_maps_over_time():
    run = tiny.run("trimodal")
    method = run.method().eval()
    width = encoders.width(method.encoders["video"])
    fitted = Probe(np.random.default_rng(0).normal(size=(2, width)), np.zeros(2), 1.0, 1.0, False, True)
    found = cam.ClassMaps(method, fitted, "video").eval()
    x = run.x("video", 3)
    with torch.no_grad():
        scores = found.localize(x, torch.tensor([[0], [1], [1]]), "text")
    assert scores.shape[:2] == x.shape[:2]
    assert scores.isfinite().all()


def test_a_sheet_of_maps_is_drawn(colors, tmp_path):
    one, fitted, cut = colors
    found = cam.ClassMaps(one.method, fitted, "image").eval()
    places = cut.test[:3].tolist()
    cam.sheet(tmp_path / "cam.png", found, one.decoded, places, ["red", "green", "blue"], [0, 1, 2], [0, 1, 1])
    assert (tmp_path / "cam.png").read_bytes().startswith(b"\x89PNG")


def test_a_sheet_has_one_scale_and_a_class_that_is_hardly_seen_stays_dark():
    strong, faint = np.zeros((2, 4, 4)), np.full((2, 4, 4), 0.2)
    strong[0, 1:3, 1:3] = 1.0
    scale = cam.scale_of([strong, faint])
    assert (scale.threshold, scale.ceiling) == (0.5, 1.0)
    frame = np.full((16, 16, 3), 60, np.uint8)
    frame[4:12, 4:12] = 200
    assert np.array_equal(cam._lit(frame, faint[0], scale), frame)
    mask = cam._fitted(frame, strong[0], scale) >= scale.threshold
    assert np.array_equal(mask, frame[..., 0] == 200), "what is lit ends at the edges of the picture"
    assert cam.scale_of([faint]) is None
