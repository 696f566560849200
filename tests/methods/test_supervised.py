"""Supervised: cross-entropy from two sources, labels numbered alike in every split, and views that keep their label."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from contract import tiny
from torch import Generator

from avssl.data.dataset import Items, Source
from avssl.data.manifest import Manifest, Recording
from avssl.methods.image.supervised import Config, Supervised
from avssl.sample import Needs


def literal(logits, labels, smoothing):
    """Minus the logarithm of the label's probability; a share of the target lies on all classes alike."""
    total = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        below = sum(math.exp(value) for value in row)
        for place, value in enumerate(row):
            target = smoothing / len(row) + (1 - smoothing) * (place == label)
            total -= target * math.log(math.exp(value) / below)
    return total / len(labels)


@pytest.mark.parametrize("size", [2, 5, 8])
@pytest.mark.parametrize("classes", [2, 7])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_the_cross_entropy_of_the_labels(size, classes, smoothing):
    run = tiny.run("supervised", f"method.classes={classes}", f"method.smoothing={smoothing}")
    method, batch = run.method().eval(), run.batch(size=size)
    with torch.no_grad():
        logits = method.head(method.encoders["image"](batch["picture"]).vector)
        step = method(batch)
    assert step.loss.item() == pytest.approx(literal(logits, batch["label"], smoothing), rel=1e-5)
    hits = sum(int(row.argmax()) == int(label) for row, label in zip(logits, batch["label"], strict=True))
    assert step.metrics["accuracy"].item() == pytest.approx(hits / size)


def test_the_loss_is_the_reference_librarys():
    """Computed once with scikit-learn.

    logits = np.sin(np.arange(12.0).reshape(4, 3) * 1.7)
    log_loss([0, 2, 1, 1], scipy.special.softmax(logits, 1), labels=[0, 1, 2])
    """
    run = tiny.run("supervised", "method.classes=3")
    method = run.method()
    method.head = torch.nn.Identity()
    logits = (torch.arange(12, dtype=torch.float64).reshape(4, 3) * 1.7).sin()
    method.encoders["image"].forward = lambda x: type("Features", (), {"vector": logits})
    loss = method({"picture": torch.zeros(4), "label": torch.tensor([0, 2, 1, 1])}).loss
    assert loss.item() == pytest.approx(SKLEARN, abs=1e-6)


SKLEARN = 1.4886517500702376


def recording(key, split, **labels):
    return Recording(
        key=key, path=f"{key}.png", sha256=key, seconds=0.0, video={"width": 8, "height": 8}, labels=labels, split=split
    )


def test_a_number_means_the_same_label_in_every_split():
    """The validation part lacks the first class: numbering each part alone would call a dog a cat."""
    rows = (
        recording("a", "train", kind="dog"), recording("b", "train", kind="ant"), recording("c", "train", kind="cat"),
        recording("d", "val", kind="dog"), recording("e", "val"), recording("f", "val", kind="cat"),
    )  # fmt: skip
    needs = Needs(label="kind")
    train, held = (Items(Manifest(rows), split, 10.0, needs) for split in ("train", "val"))
    assert train.classes == held.classes == ["ant", "cat", "dog"]
    assert [Source(train, needs).at(index, [0.0]).label for index in range(3)] == [2, 0, 1]
    assert [Source(held, needs).at(index, [0.0]).label for index in range(2)] == [2, 1]
    assert held.report == {"without the label kind": 1}
    with pytest.raises(ValueError, match="without the label sort"):
        Items(Manifest(rows), "train", 10.0, Needs(label="sort"))


def test_more_classes_than_outputs_is_told():
    run = tiny.run("supervised", "method.classes=2")
    item = tiny.sample(run.needs, 1)
    item.parts["label"] = 2
    with pytest.raises(ValueError, match=r"kind has more than 2 values; set method\.classes"):
        run.kind.transform(run.cfg.method, run.inputs)(item, Generator(), 0.0)


def test_views_are_crops_and_mirror_images():
    ramp = torch.arange(32, dtype=torch.uint8).expand(1, 1, 3, 32, 32)
    for flip in (True, False):
        transform = Supervised.transform(Config(name="supervised", area=1.0, flip=flip), tiny.run("supervised").inputs)
        item = tiny.sample(tiny.run("supervised").needs, 1)
        item.parts["video"] = ramp
        views = [transform(item, Generator().manual_seed(seed), 0.0)["picture"].float() for seed in range(12)]
        rising = {bool((view[..., 1:] - view[..., :-1]).mean() > 0) for view in views}
        assert rising == ({True, False} if flip else {True})


def test_it_learns_what_labels_say_and_not_chance():
    run = tiny.run("supervised", "method.classes=2", "method.area=0.8")
    method = run.method()
    tiny.steps(method, [run.batch(step) for step in range(25)], tiny.optimizers(method, 5e-3))
    with torch.no_grad():
        batch = run.batch(99)
        logits = method.eval().head(method.encoders["image"](batch["picture"]).vector)
    assert F.cross_entropy(logits, batch["label"]) < 0.5
    assert (logits.argmax(1) == batch["label"]).float().mean() >= 0.75
