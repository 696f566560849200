"""Pretrained towers embed as they are; a config without them is refused."""

import pytest
import torch
from torch import nn

from avssl import encoders
from avssl.cli import _network
from avssl.encoders import Features
from avssl.inputs import Vocabulary


class Tower(nn.Module):
    """Stands for a pretrained tower: a fixed projection."""

    width = 8

    def __init__(self, seed: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, generator=torch.Generator().manual_seed(seed)))

    def forward(self, x):
        return Features(x.float().flatten(1).mean(1, keepdim=True) * self.weight)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "towers.yaml"
    path.write_text(
        "method: {name: mil_nce}\n"
        "inputs: {height: 32, width: 32, frames: 2, fps: 2, audio_seconds: 1}\n"
        "encoders:\n"
        "  video: {name: pretrained, path: clip}\n"
        "  image: {name: pretrained, path: clip}\n"
        "  text: {name: pretrained, path: clip}\n"
        "  audio: {name: pretrained, path: clap}\n"
    )
    return path


@pytest.fixture(autouse=True)
def _no_download(monkeypatch):
    seeds = {"clip": 1, "clap": 2}
    monkeypatch.setattr(
        encoders, "build",
        lambda specs, wanted, **_: nn.ModuleDict({name: Tower(seeds[getattr(specs, name).path]) for name in wanted}),
    )  # fmt: skip
    monkeypatch.setattr(_network, "vocabulary", lambda cfg, texts: Vocabulary.train(["a bell"], 40))


def test_towers_of_one_model_share_a_space(config):
    loaded = _network.load(config, (), "cpu")
    spaces = loaded.method.spaces
    assert set(spaces["main"].modalities) == {"video", "image", "text"}
    assert spaces["audio"].modalities == ("audio",)
    vectors = loaded.method.embed("video", torch.full((3, 2, 3, 32, 32), 9, dtype=torch.uint8))
    assert vectors.shape == (3, 8)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(3))
    with pytest.raises(ValueError, match="cannot embed audio in space main"):
        loaded.method.embed("audio", torch.zeros(1, 4))


def test_the_digest_tells_the_weights(config):
    same, other = _network.load(config), _network.load(config, ["encoders.text.path=clap"])
    assert _network.load(config).digest == same.digest
    assert other.digest != same.digest


def test_what_knows_nothing_is_refused(config, tmp_path):
    plain = tmp_path / "plain.yaml"
    plain.write_text("method: {name: simclr}\n")
    with pytest.raises(ValueError, match="know nothing before training"):
        _network.load(plain)
    with pytest.raises(ValueError, match="is a run: its settings"):
        _network.load(tmp_path, ["steps=1"])
    with pytest.raises(ValueError, match="is no run"):
        _network.load(tmp_path / "nothing")
