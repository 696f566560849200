"""Frozen features, stages and fine-tuning on encoders and pictures whose truth is known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from contract import tiny
from probe.labeled import colored, same_state, split, state_of, study
from torch import nn

from avssl.config import EncoderConfig
from avssl.encoders import audio, image, text, video, vit
from avssl.methods.image.split_brain import PARTS, Halves
from avssl.probe import features, finetune, knn, linear, stages
from avssl.probe.decoded import Decoded

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


def test_a_map_is_pooled_by_its_maximum_where_asked(pictures):
    data, x = pictures
    one = study(data, x)
    with torch.no_grad():
        whole = one.method.encoders["image"](torch.from_numpy(x)).maps[-1]
    np.testing.assert_allclose(one.vectors("trained", pooled="max"), whole.amax((2, 3)).numpy(), atol=1e-5)
    assert not np.allclose(one.vectors("trained"), whole.amax((2, 3)).numpy(), atol=1e-2)
    question = {"probe": "knn", "fraction": 1.0, "under": "noise 5"}
    told = {how: knn.evaluate(one, {**question, "pooled": how})[0]["accuracy"] for how in ("mean", "max", "mean")}
    alone = [knn.evaluate(study(data, x), {**question, "pooled": how})[0]["accuracy"] for how in ("mean", "max")]
    assert list(told.values()) == alone, "neither answers for the other"
    assert alone[0] != alone[1]


def test_the_maximum_over_words_is_refused():
    words = Decoded("text", np.zeros((2, 4), np.int64), np.arange(2), tiny.run("mil_nce").inputs)
    with pytest.raises(ValueError, match="words are not places or moments"):
        features.vectors(tiny.run("mil_nce").method(), words, pooled="max")


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


def nearest(x, y, cut, classes):
    """In place of a linear probe, which takes seconds: the class of the nearest picture."""

    def predict(seen):
        return y[cut.both][np.square(seen[:, None] - x[cut.both]).sum(2).argmin(1)]

    return SimpleNamespace(predict=predict, **dict.fromkeys(linear.TOLD, 0))


def test_the_untrained_figures_of_stages_are_the_fresh_networks(pictures, monkeypatch):
    """To a fresh network without weights all pictures are alike."""
    one = study(*pictures)
    monkeypatch.setattr(linear, "fit", nearest)
    with torch.no_grad():
        for parameter in one.fresh.parameters():
            parameter.zero_()
    rows = stages.evaluate(one, {"probe": "stages", "fraction": 1.0, "size": 64})
    assert [row["beside"]["untrained"]["accuracy"] for row in rows] == [0.25] * 4
    assert all(row["accuracy"] > 0.8 for row in rows)


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


def test_how_large_vectors_are_and_where_is_nothing_to_the_new_layer(pictures, monkeypatch):
    one, plan = study(*pictures), finetune.Plan(steps=5, batch=16, rates=(0.1,), flip=False)
    as_they_come, _ = tuned(one, freeze=4, plan=plan)
    vectors = finetune._Tuning.vectors
    monkeypatch.setattr(finetune._Tuning, "vectors", lambda self, x: 1e-2 * vectors(self, x) + 3)
    other, _ = tuned(one, freeze=4, plan=plan)
    assert other.predicted.tolist() == as_they_come.predicted.tolist()


@pytest.mark.parametrize("rest", ["kept", "random"])
@pytest.mark.parametrize(
    ("freeze", "name", "norm"),
    [(0, "simclr", "group"), (2, "simclr", "group"), (4, "simclr", "group"), (2, "split_brain", "group"),
     (2, "simclr", "batch"), (4, "simclr", "batch")],
)  # fmt: skip
def test_frozen_stages_stay_and_the_rest_starts_where_it_should(pictures, freeze, name, norm, rest, monkeypatch):
    """Statistics of batches stay and go with their stage."""
    one = study(*pictures, name, f"encoders.image.norm={norm}")
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
    assert any(key.endswith("running_mean") for key in keys) == (norm == "batch")
    for key in keys:
        stage = int(key.split("trunk.")[1][0])
        start = own if stage < freeze or rest == "kept" else new
        assert torch.equal(before[key], start[key]), key
        assert torch.equal(before[key], after[key]) == (stage < freeze), key
    with pytest.raises(ValueError, match="has 4 stages"):
        tuned(one, freeze=5)
