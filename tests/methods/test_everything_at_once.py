"""Everything at once: six terms against loops, missing modalities, and fusion that does not see what is not there."""

from __future__ import annotations

import math

import pytest
import torch
from contract import tiny
from torch import Generator

from avssl.nn.fusion import Fusion, Tokens

WORDS = ("method.width=12", "method.tokens=32", "method.moments=4")


def literal(logits, rows, negatives):
    """InfoNCE both ways over the rows that are there."""
    n, both = len(rows), []
    for turned in (False, True):
        losses = []
        for i in range(n):
            if rows[i]:
                others = [j for j in range(n) if rows[j] and (j == i or negatives[i][j])]
                row = [logits[j][i] if turned else logits[i][j] for j in others]
                losses.append(math.log(sum(math.exp(x) for x in row)) - logits[i][i])
        both.append(sum(losses) / len(losses) if losses else 0.0)
    return sum(both) / 2


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_term_is_its_formula(count, share):
    draw = Generator().manual_seed(count)
    logits = torch.randn(count, count, generator=draw) * 4
    rows = torch.rand(count, generator=draw) < share
    negatives = torch.rand(count, count, generator=draw) < 0.8
    negatives = negatives & negatives.T
    method = tiny.run("everything_at_once", *WORDS).method()
    found = method.contrast(logits, rows, negatives)
    assert found.item() == pytest.approx(literal(logits.tolist(), rows.tolist(), negatives.tolist()), abs=1e-4)


SIX = [
    ("text_video", ("text",), ("video",), 1.0),
    ("text_audio", ("text",), ("audio",), 0.1),
    ("video_audio", ("video",), ("audio",), 0.1),
    ("text_video_and_audio", ("text",), ("video", "audio"), 0.1),
    ("video_text_and_audio", ("video",), ("text", "audio"), 0.1),
    ("audio_text_and_video", ("audio",), ("text", "video"), 0.1),
]
"""what is told, the two sides that are compared, and the paper's weight"""


@pytest.mark.parametrize("equal", [False, True])
def test_the_loss_is_the_weighted_sum_of_six_terms(equal):
    run = tiny.run("everything_at_once", *WORDS)
    method, batch = run.method(), run.batch()
    if equal:  # two recordings say the same
        assert batch["recording"][0] != batch["recording"][-1]
        batch["tokens"][-1] = batch["tokens"][0]
    step = method(batch)
    given = {"video": batch["video"], "audio": batch["audio"], "text": batch["tokens"][:, 0]}
    tokens = {kind: method.tokens(kind, x) for kind, x in given.items()}
    other = batch["recording"][:, None] != batch["recording"]
    elsewhere = other & (given["text"][:, None] != given["text"]).any(2)
    assert bool(elsewhere[0, -1]) is not equal
    expected = 0.0
    for name, first, second, weight in SIX:
        one, two = (method.side({kind: tokens[kind] for kind in side}) for side in (first, second))
        negatives = elsewhere if "text" in (*first, *second) else other
        logits = (one @ two.T / 0.05).tolist()
        value = literal(logits, [True] * 8, negatives.tolist())
        assert step.metrics[name].item() == pytest.approx(value, abs=1e-4), name
        expected += weight * value
    assert step.loss.item() == pytest.approx(expected, abs=1e-4)
    assert step.metrics.keys() == {*(name for name, *_ in SIX), "present"}


@pytest.mark.parametrize("missing", ["video", "audio", "text"])
def test_what_is_missing_counts_in_no_term_with_it(missing):
    """Rows 0, 1 and 2 lack a modality: what they have there instead changes nothing, and no gradient comes from it."""
    run = tiny.run("everything_at_once", *WORDS)
    method, batch = run.method().eval(), run.batch()
    nothing = {"video": 0, "audio": run.inputs.silence, "text": -1}[missing]
    key = "tokens" if missing == "text" else missing
    batch[key][:3] = nothing
    present = method(batch).metrics["present"].item()
    assert present == pytest.approx(21 / 24)
    full = {name: value.item() for name, value in method(batch).metrics.items() if missing not in name.split("_")}
    without = {k: v[3:] for k, v in batch.items()}
    rest = {name: value.item() for name, value in method(without).metrics.items() if missing in name.split("_")}
    with_all = {name: value.item() for name, value in method(batch).metrics.items() if missing in name.split("_")}
    assert rest.keys() == with_all.keys()
    for name in rest:
        assert with_all[name] == pytest.approx(rest[name], abs=1e-4), f"{name}: only whole rows count"
    assert all(math.isfinite(value) for value in full.values())


def test_a_batch_without_any_text_still_learns_from_sound():
    run = tiny.run("everything_at_once", *WORDS)
    method, batch = run.method(), run.batch()
    batch["tokens"][:] = -1
    step = method(batch)
    step.loss.backward()
    assert step.metrics["text_video"] == 0
    assert step.metrics["video_audio"] > 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in method.parameters())


def test_padding_does_not_reach_what_is_real():
    torch.manual_seed(0)
    fuse = Fusion(("a", "b"), 32, 5).eval()
    x, y = torch.randn(3, 4, 32), torch.randn(3, 2, 32)
    real = torch.tensor([[True, True, False, False]] * 3)
    given = {"a": Tokens(x, real), "b": Tokens(y, torch.ones(3, 2, dtype=torch.bool))}
    changed = x.clone()
    changed[:, 2:] += 10
    first, second = fuse(given), fuse({**given, "a": Tokens(changed, real)})
    for name in given:
        torch.testing.assert_close(first[name], second[name])
    alone = fuse({"b": given["b"]})["b"]
    empty = fuse({"a": Tokens(x, torch.zeros(3, 4, dtype=torch.bool)), "b": given["b"]})["b"]
    torch.testing.assert_close(alone, empty)
    assert not torch.allclose(alone, first["b"]), "what is there is seen"


def test_recordings_may_lack_a_modality():
    assert tiny.run("everything_at_once").needs.may_lack
