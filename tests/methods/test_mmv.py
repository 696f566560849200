"""MMV: both contrasts against loops, one space inside the other, and what text pulls at."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from contract import tiny
from torch import Generator

from avssl import ops

WORDS = ("method.phrases=2", "method.fine=12", "method.coarse=6")


def literal(video, audio, coarse, bags, tokens, recording, scale):
    """InfoNCE over clips and sounds and MIL-NCE over clips and phrases, both ways, with this project's exceptions."""
    n, k = len(video), len(bags[0])

    def dot(a, b):
        return math.exp(scale * sum(p * q for p, q in zip(a, b, strict=True)))

    def said(j, b):
        return any(token >= 0 for token in tokens[j][b])

    def usable(i, j, b):
        return said(j, b) and (i == j or (recording[i] != recording[j] and tokens[j][b] not in tokens[i]))

    sounds, words = [], []
    for i in range(n):
        others = [j for j in range(n) if j == i or recording[j] != recording[i]]
        sounds.append(-math.log(dot(video[i], audio[i]) / sum(dot(video[i], audio[j]) for j in others)))
        sounds.append(-math.log(dot(video[i], audio[i]) / sum(dot(video[j], audio[i]) for j in others)))
        own = sum(dot(coarse[i], bags[i][b]) for b in range(k) if said(i, b))
        if own:
            pairs = [(j, b) for j in range(n) for b in range(k) if usable(i, j, b)]
            words.append(-math.log(own / sum(dot(coarse[i], bags[j][b]) for j, b in pairs)))
            words.append(-math.log(own / sum(dot(coarse[j], bags[i][b]) for j in range(n) for b in range(k)
                                             if usable_turned(j, i, b, said, recording, tokens))))  # fmt: skip
    return sum(sounds) / len(sounds), sum(words) / len(words)


def usable_turned(j, i, b, said, recording, tokens):
    """Whether clip j counts against phrase b of item i."""
    return said(i, b) and (i == j or (recording[i] != recording[j] and tokens[i][b] not in tokens[j]))


@pytest.mark.parametrize("size", [2, 8])
def test_both_contrasts_are_their_formulas(size):
    run = tiny.run("mmv", *WORDS)
    method, batch = run.method(), run.batch(size=size)
    batch["tokens"][0, 0] = batch["tokens"][1, 0]  # an equal text
    with torch.no_grad():
        step = method(batch)
        video, audio = (method.embed(kind, batch[kind], "fine") for kind in ("video", "audio"))
        coarse = method.embed("video", batch["video"])
        bags = method.embed("text", batch["tokens"].flatten(0, 1)).unflatten(0, (size, 2))
    parts = (x.tolist() for x in (video, audio, coarse, bags, batch["tokens"], batch["recording"]))
    sounds, words = literal(*parts, 1 / 0.07)
    assert step.metrics["sounds"].item() == pytest.approx(sounds, abs=1e-3)
    assert step.metrics["words"].item() == pytest.approx(words, abs=1e-3)
    assert step.loss.item() == pytest.approx(sounds + words, abs=1e-3)


def test_the_coarse_space_is_seen_through_the_fine():
    run = tiny.run("mmv", *WORDS)
    method = run.method().eval()
    assert method.spaces["main"] == (("video", "audio", "text"), 6, ())
    assert method.spaces["fine"] == (("video", "audio"), 12, ())
    with torch.no_grad():
        for kind in ("video", "audio"):
            fine = method.finely(kind, run.x(kind))
            torch.testing.assert_close(method.embed(kind, run.x(kind), "fine"), ops.unit(fine))
            torch.testing.assert_close(method.embed(kind, run.x(kind)), ops.unit(method.to_coarse(fine)))
    with pytest.raises(ValueError, match="mmv cannot embed text in space fine; it has main: video audio text"):
        method.embed("text", run.x("text"), "fine")


def test_words_do_not_move_the_sounds_projection():
    """Sound and text meet only through the clips."""
    run = tiny.run("mmv", *WORDS)
    method = run.method()
    batch = run.batch()
    loss = method(batch).loss - method(batch).metrics["sounds"]
    loss.backward()
    both = {name: parameter.grad.clone() for name, parameter in method.named_parameters() if "audio" in name}
    method.zero_grad()
    method.cfg = method.cfg.model_copy(update={"narration": 0.0})
    method(batch).loss.backward()
    for name, parameter in method.named_parameters():
        if "audio" in name:
            torch.testing.assert_close(parameter.grad, both[name], msg=name)


def test_equal_texts_are_no_negatives():
    run = tiny.run("mmv", *WORDS)
    method, batch = run.method(), run.batch(size=6)
    batch["tokens"] = torch.full((6, 2, 6), -1)
    batch["tokens"][:, :, 0] = torch.tensor([1, 2])
    assert method(batch).metrics["words"].item() == pytest.approx(0, abs=1e-6)


MUTE = torch.tensor([False, True, False, False, False, True, False, False])
"""items 1 and 5 have no sound"""


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_what_has_no_sound_learns_from_words_alone(norm):
    """The contrast with sounds, its gradient and its statistics are those of a batch without the mute items."""
    run = tiny.run("mmv", *WORDS, f"encoders.audio.norm={norm}", "encoders.video.norm=group")
    whole = run.batch()
    mute = {**whole, "heard": ~MUTE}
    other = {**mute, "audio": torch.where(MUTE[:, None, None], 9.0, whole["audio"])}
    few = {key: value[~MUTE] for key, value in whole.items()}
    found = []
    for batch in (whole, mute, other, few):
        method = run.method()
        step = method(batch)
        step.loss.backward()
        grads = {key: p.grad for key, p in method.named_parameters() if "audio" in key}
        found.append((step.metrics, grads, dict(method.named_buffers())))
    (full, *_), lacking, changed, without = found
    for name in ("sounds", "sounds_accuracy"):
        torch.testing.assert_close(lacking[0][name], without[0][name])
        assert torch.equal(lacking[0][name], changed[0][name]), "what is given there is not looked at"
    assert not torch.allclose(lacking[0]["sounds"], full["sounds"])
    assert torch.equal(lacking[0]["words"], full["words"]), "all items have words"
    for which in (1, 2):
        for key, value in lacking[which].items():
            assert torch.equal(value, changed[which][key]), key
            torch.testing.assert_close(value, without[which][key], msg=key)


def test_a_batch_without_any_sound_learns_from_words_alone():
    run = tiny.run("mmv", *WORDS)
    method, batch = run.method(), run.batch()
    step = method({**batch, "heard": torch.zeros(8, dtype=torch.bool)})
    assert step.loss.item() == pytest.approx(step.metrics["words"].item())
    step.loss.backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in method.parameters())
    for part in (method.encoders["video"], method.to_fine["video"], method.to_coarse, method.encoders["text"]):
        assert max(parameter.grad.abs().max() for parameter in part.parameters()) > 0, "words teach clips through fine"


def test_recordings_with_words_may_lack_the_sound():
    run = tiny.run("mmv", *WORDS)
    assert run.needs.may_lack == ("audio",)
    transform, item = run.kind.transform(run.cfg.method, run.inputs), tiny.sample(run.needs, 0)
    assert transform(item, Generator().manual_seed(0), 0.0)["heard"]
    assert not transform(dataclasses.replace(item, lacks=("audio",)), Generator().manual_seed(0), 0.0)["heard"]
