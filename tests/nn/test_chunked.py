"""Cached gradients equal plain ones, keep less, and leave no trace in the state dict."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from avssl.nn.chunked import Chunked, chunked, wrap


class Out(NamedTuple):
    vector: Tensor
    maps: tuple[Tensor, ...]


class Encoder(nn.Module):
    def __init__(self, norm: nn.Module | None = None, drop: float = 0.0):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), norm or nn.GroupNorm(2, 16), nn.ReLU(), nn.Dropout(drop))
        self.last = nn.Conv2d(16, 8, 3)
        self.steps = 4

    def forward(self, x: Tensor) -> Out:
        fine = self.layers(x)
        coarse = self.last(fine)
        return Out(coarse.mean((2, 3)), (fine, coarse))


def loss_of(out: Out) -> Tensor:
    """Contrast over the whole batch, and something of every map."""
    x = nn.functional.normalize(out.vector, dim=1)
    nce = nn.functional.cross_entropy(x @ x.roll(1, 0).T / 0.1, torch.arange(len(x)))
    return nce + sum(part.square().mean() for part in out.maps)


def gradients(encoder: nn.Module, x: Tensor, n: int) -> tuple[Tensor, dict[str, Tensor]]:
    encoder.zero_grad()
    loss = loss_of(chunked(encoder, n, x))
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in encoder.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("n", [2, 3, 5, 10, 64])
def test_equals_plain(n: int) -> None:
    torch.manual_seed(0)
    encoder, x = Encoder(), torch.randn(10, 3, 12, 12)
    loss, plain = gradients(encoder, x, 1)
    cached_loss, cached = gradients(encoder, x, n)
    assert torch.allclose(loss, cached_loss, atol=1e-6)
    assert plain.keys() == cached.keys()
    assert len(plain) == 6
    for name, gradient in plain.items():
        error = (gradient - cached[name]).norm() / gradient.norm().clamp_min(1e-6)
        assert error < 1e-5, name


def test_batch_statistics_would_not_be_equal_and_are_refused() -> None:
    torch.manual_seed(0)
    encoder, x = Encoder(nn.BatchNorm2d(16)), torch.randn(10, 3, 12, 12) * torch.arange(1, 11).view(10, 1, 1, 1)
    _, plain = gradients(encoder, x, 1)
    _, cached = gradients(encoder, x, 5)
    assert max((plain[k] - cached[k]).norm() / plain[k].norm() for k in plain) > 0.1
    with pytest.raises(ValueError, match=r"^optim.chunks=2: .* of image normalize .* set encoders.image.norm=group"):
        wrap(nn.ModuleDict({"image": encoder}), 2)
    three = nn.ModuleDict({"video": encoder, "depth": encoder, "text": Encoder()})
    with pytest.raises(ValueError, match=r"of video, depth normalize .* set encoders.video.norm=group, or optim"):
        wrap(three, 2, {"video": "video", "depth": "video", "text": "text"})
    assert not any(isinstance(one, Chunked) for one in three.values())


def test_dropout_is_replayed() -> None:
    """The second pass sees the same masks: the chunks' gradient is the true derivative of the chunks' loss."""
    encoder, x = Encoder(drop=0.5).double(), torch.randn(4, 3, 8, 8, dtype=torch.float64)
    weight = encoder.last.weight

    def at(shift: float) -> Tensor:
        with torch.no_grad():
            weight[0, 0, 0, 0] += shift
        torch.manual_seed(3)
        loss = loss_of(chunked(encoder, 2, x))
        with torch.no_grad():
            weight[0, 0, 0, 0] -= shift
        return loss

    torch.manual_seed(3)
    loss_of(chunked(encoder, 2, x)).backward()
    slope = (at(1e-5) - at(-1e-5)) / 2e-5
    assert weight.grad is not None
    assert torch.allclose(slope.detach(), weight.grad[0, 0, 0, 0], rtol=1e-4)


def test_activations_are_not_kept() -> None:
    x = torch.randn(8, 3, 32, 32)

    def kept(n: int) -> int:
        total = 0

        def count(t: Tensor) -> Tensor:
            nonlocal total
            total += t.numel()
            return t

        encoder = Encoder()
        with torch.autograd.graph.saved_tensors_hooks(count, lambda t: t):
            chunked(encoder, n, x)
        return total

    assert kept(4) <= x.numel() < kept(1) / 4


def test_state_dict_is_the_encoders_own() -> None:
    torch.manual_seed(0)
    plain = nn.ModuleDict({"image": Encoder(), "audio": Encoder()})
    keys = list(plain.state_dict())
    wrapped = nn.ModuleDict({"image": Encoder(), "audio": Encoder()})
    wrap(wrapped, 3)
    assert isinstance(wrapped["image"], Chunked)
    assert sorted(wrapped.state_dict()) == sorted(keys)
    wrapped.load_state_dict(plain.state_dict())
    for name, value in plain.state_dict().items():
        assert torch.equal(wrapped.state_dict()[name], value)
    back = nn.ModuleDict({"image": Encoder(), "audio": Encoder()})
    back.load_state_dict(wrapped.state_dict())
    assert wrapped["image"].steps == 4
    x = torch.randn(2, 3, 8, 8)
    assert torch.allclose(back["image"](x).vector, wrapped["image"](x).vector, atol=1e-6)


def test_without_gradient_it_is_one_pass() -> None:
    calls = []
    encoder = Encoder()
    encoder.register_forward_hook(lambda *a: calls.append(1))
    wrapped = Chunked(encoder, 4)
    with torch.no_grad():
        wrapped(torch.randn(8, 3, 8, 8))
    assert len(calls) == 1
