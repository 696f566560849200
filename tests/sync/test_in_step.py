"""Methods that tell whether a sound is of the time of a clip: each pair by itself, as they are trained to tell it."""

import pytest
import torch
from contract import tiny

from avssl.methods.base import TellsAligned


@pytest.mark.parametrize("name", ["avts", "multisensory"])
def test_each_sound_is_judged_with_each_clip_by_itself(name):
    run = tiny.run(name)
    method = run.method().eval()
    assert isinstance(method, TellsAligned)
    video, audio = run.x("video", 3), run.x("audio", 5)
    with torch.inference_mode():
        found = method.in_step(video, audio)
        alone = [[method.in_step(clip[None], sound[None]).item() for sound in audio] for clip in video]
    assert found.shape == (3, 5)
    assert found.abs().max() <= 1
    assert found.std() > 0
    torch.testing.assert_close(found, torch.tensor(alone), atol=1e-5, rtol=1e-4)


def test_what_is_trained_is_what_is_told():
    """avts: half the squared distance of unit vectors; multisensory: the log-odds of the binary task."""
    with torch.inference_mode():
        run = tiny.run("avts")
        method = run.method().eval()
        video, audio = run.x("video", 2), run.x("audio", 2)
        seen, heard = method.embed("video", video), method.embed("audio", audio)
        halves = 0.5 * (seen[:, None] - heard[None]).square().sum(2)
        torch.testing.assert_close(method.in_step(video, audio), 1 - halves)
        run = tiny.run("multisensory")
        method = run.method().eval()
        video, audio = run.x("video", 2), run.x("audio", 2)
        batch = {"video": video, "audio": audio, "shifted": audio.flip(0), "counts": torch.ones(2, dtype=torch.bool)}
        told = method.in_step(video, audio)
        odds = torch.atanh(told)  # 2 sigmoid(x) - 1 = tanh(x / 2)
        own, other = 2 * odds.diagonal(), 2 * odds.flip(1).diagonal()
        loss = 0.5 * (torch.nn.functional.softplus(-own) + torch.nn.functional.softplus(other)).mean()
        torch.testing.assert_close(method(batch).loss, loss, atol=1e-5, rtol=1e-4)
