"""The encoders built here: shapes, strides, padding, time that is kept, and gradients that depend on the data alone."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, nn

from avssl import encoders
from avssl.config import EncoderConfig, EncodersConfig
from avssl.encoders import audio, image, text, video
from avssl.encoders.video import OverTime


def spec(**changes) -> EncoderConfig:
    return EncoderConfig(**{"width": 32, **changes})


def pictures(*shape):
    return torch.randint(256, shape, generator=Generator().manual_seed(0), dtype=torch.uint8)


@pytest.mark.parametrize("norm", ["group", "batch"])
@pytest.mark.parametrize(
    ("name", "stride", "cells"),
    [("small", 4, 16), ("small", 8, 8), ("small", 16, 4), ("resnet18", 16, 4), ("resnet18", 32, 2)],
)
def test_pictures_have_one_cell_per_stride(name, stride, cells, norm):
    encoder = image.ENCODERS[name](spec(stride=stride, norm=norm))
    features = encoder(pictures(2, 3, 64, 64))
    assert features.vector.shape == (2, 32)
    assert features.maps[-1].shape == (2, 32, cells, cells)
    torch.testing.assert_close(features.vector, features.maps[-1].mean((2, 3)))


@pytest.mark.parametrize(("name", "steps", "cells"), [("small", 3, 8), ("resnet18", 6, 4), ("r2plus1d_18", 1, 4)])
def test_clips_have_cells_over_time_and_place(name, steps, cells):
    encoder = video.ENCODERS[name](spec(stride=8 if name == "small" else 16))
    features = encoder(pictures(2, 6, 3, 64, 64))
    assert features.vector.shape == (2, 32)
    assert features.maps[-1].shape == (2, 32, steps, cells, cells)


@pytest.mark.parametrize(("name", "stride"), [("small", 4), ("resnet18", 16)])
def test_sounds_keep_time(name, stride):
    features = audio.ENCODERS[name](spec(), mels=32)(torch.rand(2, 80, 32) * 2 - 1)
    assert features.vector.shape == (2, 32)
    assert features.maps[-1].shape[:2] == (2, 32)
    assert abs(features.maps[-1].shape[2] - 80 / stride) <= 1


def test_a_click_is_where_it_was():
    torch.manual_seed(0)
    encoder = audio.SmallAudio(spec(), mels=32)
    silence = torch.full((1, 80, 32), -1.0)
    click = silence.clone()
    click[:, 60:62] = 1.0
    with torch.no_grad():
        moved = (encoder(click).maps[-1] - encoder(silence).maps[-1]).abs().sum(1)[0]
    assert moved.argmax() in (14, 15, 16)


@pytest.mark.parametrize("kind", ["image", "video"])
def test_bytes_and_fractions_are_the_same_picture(kind):
    shape = (2, 3, 32, 32) if kind == "image" else (2, 4, 3, 32, 32)
    encoder = {"image": image.SmallImage, "video": video.SmallVideo}[kind](spec())
    x = pictures(*shape)
    with torch.no_grad():
        torch.testing.assert_close(encoder(x).vector, encoder(x.float() / 255).vector, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize(
    ("encoder", "x"),
    [
        (lambda: image.SmallImage(spec()), pictures(3, 3, 32, 32)),
        (lambda: video.SmallVideo(spec()), pictures(3, 4, 3, 32, 32)),
        (lambda: audio.SmallAudio(spec(), 32), torch.rand(3, 40, 32)),
        (lambda: text.TextTransformer(spec(), 6, 20), torch.randint(20, (3, 6))),
    ],
)
def test_no_example_depends_on_its_neighbors(encoder, x):
    torch.manual_seed(0)
    made = encoder()
    with torch.no_grad():
        together, alone = made(x).vector, torch.cat([made(row[None]).vector for row in x])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_padding_changes_no_text():
    torch.manual_seed(0)
    encoder = text.TextTransformer(spec(), 8, 20)
    short = torch.tensor([[3, 4, 5]])
    padded = torch.cat([short, torch.full((1, 5), -1)], 1)
    with torch.no_grad():
        torch.testing.assert_close(encoder(short).vector, encoder(padded).vector)
        assert (encoder(padded).maps[-1][..., 3:] == 0).all()


def test_an_empty_text_is_the_learned_vector():
    encoder = text.TextTransformer(spec(), 8, 20)
    tokens = torch.cat([torch.full((1, 8), -1), torch.tensor([[3, 4, 5, -1, -1, -1, -1, -1]])])
    vector = encoder(tokens).vector
    assert vector.isfinite().all()
    torch.testing.assert_close(vector[0], encoder.empty)
    vector[0].sum().backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in encoder.parameters())


def test_a_text_encoder_without_narration_says_so():
    with pytest.raises(ValueError, match="needs narration"):
        text.TextTransformer(spec(), 8, 0)


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
@pytest.mark.parametrize("groups", [1, 8])
def test_mixing_over_time_is_a_convolution_over_time(steps, groups):
    torch.manual_seed(0)
    mix = OverTime(8, groups)
    x = torch.randn(2, 8, steps, 3, 4)
    torch.testing.assert_close(mix(x), nn.Conv3d.forward(mix, x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("groups", [1, 32])
def test_gradients_in_bf16_are_a_function_of_the_data(groups):
    """torch's own 3-D convolution fails this at two steps: what freed memory holds is in its weight's gradient."""
    torch.manual_seed(0)
    mix, x, found = OverTime(32, groups), torch.randn(8, 32, 2, 4, 4), []
    for _ in range(12):
        freed = [torch.full((size,), float("nan")) for size in (100, 1000, 10_000, 100_000)]
        del freed
        mix.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            y = mix(x)
        y.float().square().sum().backward()
        found.append(mix.weight.grad.clone())
    assert all(torch.equal(found[0], other) for other in found)


def test_build_gives_the_towers_asked_for_and_their_width():
    built = encoders.build(
        EncodersConfig(audio=spec(width=40)), ("image", "audio", "text"), mels=16, tokens=5, vocabulary=9
    )
    assert list(built) == ["image", "audio", "text"]
    assert encoders.width(built["audio"]) == 40
    assert built["audio"](torch.zeros(1, 20, 16)).vector.shape == (1, 40)


def test_an_unknown_encoder_is_told_the_known_ones():
    with pytest.raises(ValueError, match=r"encoders\.video\.name: no encoder big; known: small, .*pretrained"):
        encoders.build(EncodersConfig(video=spec(name="big")), ("video",))
