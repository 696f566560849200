"""Cached gradients with the shipped configs: those whose encoders normalize over the batch say what to change."""

from __future__ import annotations

import re

import pytest
from contract import tiny

from avssl import config
from avssl.methods.base import config_of
from avssl.nn.chunked import Chunked
from avssl.train import build


@pytest.mark.parametrize("name", ["avid", "mmv", "paired_contrast"])
def test_what_the_refusal_names_is_enough(name):
    this = tiny.run(name, "optim.chunks=2")

    def built(*words):
        cfg = config.load(name, [*tiny.SIZES, "optim.chunks=2", *words], config_of)
        return build.method_of(cfg, this.inputs, tiny.ITEMS, chunks=cfg.optim.chunks)

    with pytest.raises(ValueError, match=r"^optim\.chunks=2: the encoders of ") as caught:
        built()
    told = str(caught.value)
    assert "\n" not in told
    (change,) = re.findall(r"set ((?:encoders\.\w+\.norm=group ?)+), or optim\.chunks=1$", told)
    method = built(*change.split())
    assert all(isinstance(encoder, Chunked) for encoder in method.encoders.values())
