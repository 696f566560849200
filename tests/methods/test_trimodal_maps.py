"""The flagship's vectors and maps: their widths, and which cosines they are."""

from __future__ import annotations

import math

import pytest
import torch
from contract import tiny
from small_flagship import WORDS, dot


@pytest.mark.parametrize("frames", [4, 5])
@pytest.mark.parametrize("stride", [1, 2])
@torch.no_grad()
def test_vectors_have_the_width_of_the_space_and_texts_no_moments(frames, stride):
    seconds = frames / 8
    run = tiny.run(
        "trimodal", *WORDS, f"inputs.frames={frames}", f"inputs.audio_seconds={seconds}",
        f"encoders.video.time_stride={stride}",
    )  # fmt: skip
    method = run.method().eval()
    width = method.spaces["main"].width
    assert width == 12 + 4 * math.ceil(frames / stride)
    for modality in ("video", "audio", "text"):
        found = method.embed(modality, run.x(modality))
        assert found.shape == (8, width)
        torch.testing.assert_close(found.norm(dim=1), torch.ones(8))
    assert (found[:, 12:] == 0).all()


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@torch.no_grad()
def test_the_inner_product_of_vectors_is_the_weighted_mean_of_both_cosines(weight):
    run = tiny.run("trimodal", *WORDS, f"method.moment_weight={weight}")
    method = run.method().eval()
    video, audio = run.x("video"), run.x("audio")
    seen, heard = method.seen(video), method.heard(audio, 2)
    found = method.embed("video", video) @ method.embed("audio", audio).T
    for i in range(8):
        for j in range(8):
            meaning = torch.cosine_similarity(seen.meaning[i], heard.meaning[j], 0)
            course = torch.cosine_similarity(seen.moments[i].flatten(), heard.moments[j].flatten(), 0)
            assert found[i, j].item() == pytest.approx(((1 - weight) * meaning + weight * course).item(), abs=2e-2)
    said = method.embed("text", run.x("text"))
    expected = (1 - weight) ** 0.5 * seen.meaning @ said[:, :12].T
    torch.testing.assert_close(method.embed("video", video) @ said.T, expected, atol=2e-2, rtol=0)


@torch.no_grad()
def test_the_mean_over_time_of_a_sounds_map_is_the_cosine_over_the_window():
    run = tiny.run("trimodal", *WORDS)
    method = run.method().eval()
    video, audio = run.x("video"), run.x("audio")
    found = method.localize(video, audio, "audio")
    assert found.shape == (8, 4, 4, 4)
    seen, heard = method.seen(video), method.heard(audio, 2)
    for b, y, x in ((0, 0, 0), (3, 2, 1), (7, 3, 3)):
        place, sound = seen.places[b, :, :, y, x], heard.moments[b]
        for frame in range(4):
            step = frame // 2
            expected = 0.9 * (place * sound).sum() + 0.1 * 2 * (place[step] @ sound[step])  # course = 0.1
            assert found[b, frame, y, x].item() == pytest.approx(expected.item(), abs=1e-5)
        cosine = torch.cosine_similarity(place.flatten(), sound.flatten(), 0)
        assert found[b, :, y, x].mean().item() == pytest.approx(cosine.item(), abs=2e-2)


@torch.no_grad()
def test_a_texts_map_is_the_cosine_of_its_meaning_and_that_of_each_place():
    run = tiny.run("trimodal", *WORDS)
    method = run.method().eval()
    video, tokens = run.x("video"), run.x("text")
    found = method.localize(video, tokens, "text")
    assert found.shape == (8, 4, 4, 4)
    maps, said = method.encoders["video"](video).maps[-1], method.said(tokens)
    for b, frame, y, x in ((0, 0, 0, 0), (3, 1, 2, 3), (7, 3, 3, 1)):
        alone = method.look(maps[b : b + 1, :, frame // 2, y, x][:, :, None, None, None]).meaning[0]
        assert found[b, frame, y, x].item() == pytest.approx(dot(alone.tolist(), said[b].tolist()), abs=1e-5)


def test_it_localizes_nothing_else():
    run = tiny.run("trimodal", *WORDS)
    with pytest.raises(ValueError, match="trimodal localizes audio and text, not video"):
        run.method().localize(run.x("video"), run.x("video"), "video")
