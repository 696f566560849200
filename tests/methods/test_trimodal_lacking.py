"""The flagship where something lacks: a folder without narration, recordings without sound."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from contract import tiny
from small_flagship import WORDS
from torch import Generator

from avssl import encoders
from avssl.inputs import Inputs


def without_text():
    """The run of a folder without narration: no vocabulary and no text tower."""
    run = tiny.run("trimodal", *WORDS)
    run = dataclasses.replace(run, inputs=Inputs(run.cfg.inputs))
    towers = encoders.build(run.cfg.encoders, ("video", "audio"), mels=run.cfg.inputs.mels)
    return run, run.kind(run.cfg.method, run.inputs, towers, tiny.ITEMS)


def test_without_text_it_learns_and_embeds_the_rest():
    run, method = without_text()
    batch = run.batch()
    assert "tokens" not in batch
    step = method(batch)
    step.loss.backward()
    assert not any("narration" in name for name in step.metrics)
    assert all(parameter.grad is not None for parameter in method.parameters())
    assert method.spaces["main"].modalities == ("video", "audio")
    assert method.embed("video", run.x("video")).shape == (8, method.spaces["main"].width)
    with pytest.raises(ValueError, match="cannot embed text in space main"):
        method.embed("text", torch.zeros(1, 6, dtype=torch.int64))
    with pytest.raises(ValueError, match="trimodal localizes audio, not text"):
        method.localize(run.x("video"), torch.zeros(8, 6, dtype=torch.int64), "text")


MUTE = torch.tensor([False, True, False, False, False, True, False, False])
"""items 1 and 5 have no sound"""


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_what_has_no_sound_is_nothing_to_sounds_and_learns_from_words(norm):
    """Terms with sound are those of a batch without the mute items; those of pictures and words are the whole one's."""
    run = tiny.run("trimodal", *WORDS, f"encoders.audio.norm={norm}", "encoders.video.norm=group", "method.within=1")
    batch = run.batch()
    batch["tokens"][:, 0, 0] = torch.arange(8)  # the items' first phrases are never equal
    mute = {**batch, "heard": ~MUTE}
    few = {key: value[~MUTE] for key, value in batch.items()}
    found = []
    for one in (batch, mute, {**mute, "audio": torch.where(MUTE[:, None, None], 9.0, batch["audio"])}, few):
        method = run.method()
        step = method(one)
        step.loss.backward()
        grads = {key: p.grad for key, p in method.named_parameters() if key.startswith(("encoders.audio", "listen"))}
        found.append((step, grads, dict(method.named_buffers())))
    whole, lacking, other, without = found
    for name in ("dense", "moments", "meaning", "calibration", "within", "narration_heard", "dense_accuracy"):
        torch.testing.assert_close(lacking[0].metrics[name], without[0].metrics[name])
        assert torch.equal(lacking[0].metrics[name], other[0].metrics[name]), "what is given there is not looked at"
    assert not torch.allclose(lacking[0].metrics["dense"], whole[0].metrics["dense"])
    assert torch.equal(lacking[0].metrics["narration_seen"], whole[0].metrics["narration_seen"])
    for which in (1, 2):
        for key, value in lacking[which].items():
            assert torch.equal(value, other[which][key]), key
            torch.testing.assert_close(value, without[which][key], msg=key)


@pytest.mark.parametrize("within", [0, 1])
def test_a_batch_without_any_sound_learns_from_words_alone(within):
    run = tiny.run("trimodal", *WORDS, f"method.within={within}")
    method, batch = run.method(), run.batch()
    step = method({**batch, "heard": torch.zeros(8, dtype=torch.bool)})
    assert step.loss.item() == pytest.approx(0.5 * method.cfg.narration * step.metrics["narration_seen"].item())
    step.loss.backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in method.parameters())
    assert method.encoders["text"].embed.weight.grad.abs().sum() > 0


def test_recordings_with_words_may_lack_the_sound():
    run = tiny.run("trimodal", *WORDS)
    assert run.needs.may_lack == ("audio",)
    transform, item = run.kind.transform(run.cfg.method, run.inputs), tiny.sample(run.needs, 0)
    assert transform(item, Generator().manual_seed(0), 0.0)["heard"]
    assert not transform(dataclasses.replace(item, lacks=("audio",)), Generator().manual_seed(0), 0.0)["heard"]
