"""Self-training: whose labels count, what is guessed and when, the order of items, and that no label leaks."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from contract import tiny
from torch import Generator

from avssl.methods.image.self_training import NONE


def made(*words, seed=0):
    run = tiny.run("self_training", "method.classes=2", "method.share=0.5", *words)
    return run, run.method(seed)


def literal(logits, labels, labeled, guess):
    """Minus the logarithm of the target's probability, over items that have a target."""
    total, count = 0.0, 0
    for row, label, own, other in zip(logits.tolist(), labels, labeled, guess, strict=True):
        target = label if own else other
        if target != NONE:
            total += math.log(sum(math.exp(value) for value in row)) - row[target]
            count += 1
    return total / count


@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("guesses", [0, 2])
def test_the_loss_is_that_of_labels_and_guesses(size, guesses):
    run, method = made()
    batch = run.batch(size=size)
    method.labeled[:] = torch.arange(tiny.ITEMS) < 2
    method.guess[2 : 2 + guesses] = 1
    with torch.no_grad():
        logits = method.logits(batch["picture"])
        step = method(batch)
    wanted = literal(logits, batch["label"].tolist(), method.labeled.tolist()[:size], method.guess.tolist()[:size])
    assert step.loss.item() == pytest.approx(wanted, rel=1e-5)
    assert step.metrics["guessed"].item() == pytest.approx(guesses / 6)
    assert step.metrics["right"].item() == pytest.approx(0.5 if guesses else 0.0), "labels are 0 and 1 in turn"


def test_the_loss_is_the_reference_librarys():
    """Computed once with scikit-learn: items 0, 2 with labels, item 1 with a guess, item 3 with nothing.

    logits = np.sin(np.arange(12.0).reshape(4, 3) * 1.7)[:3]
    log_loss([0, 2, 1], scipy.special.softmax(logits, 1), labels=[0, 1, 2])
    """
    _, method = made("method.classes=3")
    logits = (torch.arange(12, dtype=torch.float64).reshape(4, 3) * 1.7).sin()
    method.logits = lambda picture: logits
    method.labeled[:4] = torch.tensor([True, False, True, False])
    method.guess[:4] = torch.tensor([NONE, 2, NONE, NONE])
    batch = {"picture": torch.zeros(4), "label": torch.tensor([0, 1, 1, 1]), "index": torch.arange(4)}
    assert method(batch).loss.item() == pytest.approx(SKLEARN, abs=1e-6)


SKLEARN = 1.3295263087108768


@pytest.mark.parametrize(("share", "count"), [(0.01, 1), (0.5, 4), (1.0, 8)])
def test_as_many_labels_as_asked_for_drawn_by_the_seed(share, count):
    _, method = made(f"method.share={share}")
    assert method.labeled.sum() == count
    drawn = {tuple(made("method.share=0.5", seed=seed)[1].labeled.tolist()) for seed in range(6)}
    assert len(drawn) > 1


def trained(labels, seed=0):
    """Two rounds on items whose labels are these; gives what was learnt and guessed."""
    run, method = made("method.rounds=2", "method.threshold=0.55", seed=seed)
    batch = {**run.batch(), "label": labels}
    method.labeled[:] = torch.arange(tiny.ITEMS) < 4
    moved = tiny.optimizers(method)
    method.before_epoch([batch])
    tiny.steps(method, [batch] * 4, moved)
    method.before_epoch([batch])
    tiny.steps(method, [batch] * 2, moved)
    return method


def test_labels_of_the_others_leak_nowhere():
    """Other labels for items beyond the share change nothing that is learnt: neither weights nor guesses."""
    labels = torch.tensor([0, 1, 0, 1, 0, 1, 0, 1])
    one, other = trained(labels), trained(torch.cat([labels[:4], 1 - labels[4:]]))
    assert (one.guess != NONE).any()
    assert int(one.round) == 1
    for (key, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), key
    third = trained(torch.cat([1 - labels[:4], labels[4:]]))
    assert not torch.equal(one.head.weight, third.head.weight), "those within it do change what is learnt"


def test_confident_guesses_are_taken_from_whole_pictures():
    run, method = made("method.threshold=0.8")
    batch = run.batch()
    sure = torch.tensor([0.9, 0.7, 0.81, 0.5, 0.99, 0.79, 0.95, 0.6])
    seen = []

    def logits(picture):
        seen.append(picture)
        return torch.stack([sure, 1 - sure], 1).log()

    method.logits = logits
    method.labeled[:] = torch.arange(tiny.ITEMS) == 4
    method.teach([batch])
    assert method.guess.tolist() == [0, NONE, 0, NONE, NONE, NONE, 0, NONE], "the item with a label needs no guess"
    assert torch.equal(seen[0], batch["whole"])
    assert method.training
    sure[:] = 0.5
    method.teach([batch])
    assert (method.guess == NONE).all(), "doubt takes a guess back"


def test_rounds_come_one_after_the_other_and_guess_once():
    run, method = made("method.rounds=3")
    batch, taught = run.batch(), []
    method.teach = lambda examples: taught.append(int(method.round))
    for progress in (0.0, 0.2, 0.34, 0.5, 0.67, 0.9, 1.0):
        method.after_step(progress)
        method.before_epoch([batch])
    assert taught == [1, 2]


def test_items_without_label_or_guess_are_never_shown():
    _, method = made()
    assert method.order() is None
    method.labeled[:] = torch.tensor([True, False, False, True, False, False, False, False])
    method.guess[5] = 1
    for seed in range(4):
        torch.manual_seed(seed)
        method.before_epoch([])
        order = method.order()
        assert order.shape == (tiny.ITEMS,)
        assert set(order.tolist()) == {0, 3, 5}
        assert order.bincount().max() <= 3


def test_items_that_are_held_out_are_judged_by_their_labels():
    run, method = made()
    batch = run.batch(size=5)
    with torch.no_grad():
        logits = method.eval().logits(batch["picture"])
        found = method({**batch, "index": torch.arange(5) + 1000})
    assert found.loss.item() == pytest.approx(F.cross_entropy(logits, batch["label"]).item(), rel=1e-5)


def test_more_classes_than_outputs_is_told():
    run, _ = made()
    item = tiny.sample(run.needs, 1)
    item.parts["label"] = 2
    with pytest.raises(ValueError, match=r"kind has more than 2 values; set method\.classes"):
        run.kind.transform(run.cfg.method, run.inputs)(item, Generator(), 0.0)
