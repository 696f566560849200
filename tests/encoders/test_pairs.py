"""Towers side by side: the shipped configs of pretrained towers, and pairs of other kinds, take a step and embed."""

from __future__ import annotations

import checkpoints
import pytest
import torch
from contract import tiny

from avssl import config
from avssl.inputs import Inputs, Vocabulary
from avssl.methods.base import config_of, find

KINDS = {
    "openai/clip-vit-base-patch32": "clip", "google/siglip-base-patch16-224": "siglip",
    "facebook/dinov2-base": "dinov2", "MCG-NJU/videomae-base": "videomae",
    "MIT/ast-finetuned-audioset-10-10-0.4593": "ast", "facebook/wav2vec2-base-960h": "wav2vec2",
    "laion/clap-htsat-unfused": "clap", "sentence-transformers/all-mpnet-base-v2": "mpnet",
    "google-bert/bert-base-uncased": "bert",
}  # fmt: skip
"""what the shipped configs name -> tiny checkpoints of the same kind"""
SIZES = ("inputs.height=32", "inputs.width=32", "inputs.frames=4", "inputs.fps=8", "inputs.audio_seconds=0.5",
         "inputs.tokens=6", "inputs.vocabulary=64", "precision=fp32")  # fmt: skip
CONFIGS = ("pretrained", "siglip_ast_mpnet", "dinov2_wav2vec2", "videomae_clap_bert")
PAIRS = [("clip", "clap", "bert"), ("siglip", "whisper", "mpnet"), ("dinov3", "hubert", "bert"),
         ("videomae", "wav2vec2", "mpnet")]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root, made = tmp_path_factory.mktemp("towers"), {}

    def get(kind: str) -> str:
        if kind not in made:
            more = {"vocab_size": 120} if kind in ("bert", "mpnet") else {}
            made[kind] = checkpoints.make(root / kind, kind, **more)
        return made[kind]

    return get


def step(name: str, words: list[str]) -> None:
    """Two steps on a made-up batch; then every modality of every space."""
    cfg = config.load(name, [*SIZES, *words], config_of)
    said = [phrase for index in range(tiny.ITEMS) for phrase in tiny.phrases(index, 4)]
    size = 40 if name == "pretrained" else 64
    own = tiny.Tiny(name, cfg, Inputs(cfg.inputs, Vocabulary.train(said, size)), find(cfg.method.name))
    method = own.method()
    trained = [parameter.detach().clone() for parameter in method.parameters() if parameter.requires_grad]
    losses = tiny.steps(method, [own.batch(), own.batch()], tiny.optimizers(method))
    assert all(torch.isfinite(torch.tensor(losses)))
    moved = [parameter for parameter in method.parameters() if parameter.requires_grad]
    assert any(not torch.equal(before, after) for before, after in zip(trained, moved, strict=True))
    method.eval()
    for space, held in method.spaces.items():
        for modality in held.modalities:
            with torch.no_grad():
                vectors = method.embed(modality, own.x(modality), space)
            torch.testing.assert_close(vectors.norm(dim=1), torch.ones(tiny.ITEMS))
            assert (vectors[0] - vectors[1]).abs().max() > 1e-4, "different items, one vector"


@pytest.mark.parametrize("name", CONFIGS)
def test_shipped_configs_of_towers(name, folder):
    cfg = config.load(name, [], config_of)
    words = [
        f"encoders.{modality}.path={folder(KINDS[spec.path])}"
        for modality, spec in cfg.encoders
        if spec.name == "pretrained"
    ]
    step(name, [*words, *(f"encoders.{modality}.width=24" for modality in ("image", "video", "audio", "text"))])


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_any_pair_of_towers(pair, folder):
    words = ["inputs.audio=wave"]
    for modality, kind in zip(("video", "audio", "text"), pair, strict=True):
        words += [f"encoders.{modality}.{word}" for word in ("name=pretrained", f"path={folder(kind)}", "width=24")]
    step("everything_at_once", words)
