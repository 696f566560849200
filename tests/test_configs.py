"""Every shipped YAML loads as it is, builds at its own sizes, and takes one step at tiny ones."""

from __future__ import annotations

import re

import pytest
import torch
from contract import tiny

from avssl import config, encoders
from avssl.inputs import Inputs
from avssl.methods.base import catalogue, config_of, find

FILES = config.shipped()


@pytest.mark.parametrize("name", FILES)
def test_loads_and_builds(name):
    cfg = config.load(FILES[name], [], config_of)
    kind = find(cfg.method.name)
    if any(spec.name == "pretrained" for _, spec in kind.towers(cfg.method, cfg.encoders).values()):
        pytest.skip("its towers must be downloaded")
    size = cfg.inputs
    towers = encoders.build(
        cfg.encoders,
        kind.towers(cfg.method, cfg.encoders),
        mels=size.mels,
        tokens=size.tokens,
        vocabulary=size.vocabulary,
        hz=size.hz,
    )
    inputs = Inputs(size)
    method = kind(cfg.method, inputs, towers, 16)
    assert sum(parameter.numel() for parameter in method.parameters()) > 0
    kind.needs(cfg.method, inputs)


@pytest.mark.parametrize("name", FILES)
def test_items_come_in_few_draws_where_a_tower_is_frozen_and_only_there(name):
    """Else what a frozen tower sees is computed at every step anew; and nothing else gains by seeing less."""
    cfg = config.load(FILES[name], [], config_of)
    specs = [spec for _, spec in find(cfg.method.name).towers(cfg.method, cfg.encoders).values()]
    frozen = any(spec.name == "pretrained" and not spec.tune and not spec.lora for spec in specs)
    assert bool(cfg.data.draws) == frozen


@pytest.mark.parametrize("name", [name for name in FILES if name in catalogue()])
def test_takes_one_step(name):
    run = tiny.run(name)
    method = run.method()
    before = {key: value.clone() for key, value in method.named_parameters() if value.requires_grad}
    tiny.steps(method, [run.batch()], tiny.optimizers(method))
    moved = [key for key, value in method.named_parameters() if key in before and not torch.equal(value, before[key])]
    assert moved


def test_a_wrong_key_is_told_the_right_one():
    with pytest.raises(ValueError, match=r"method\.temprature: unknown key; did you mean temperature\?"):
        config.load("simclr", ["method.temprature=1"], config_of)


def test_recordings_in_the_place_of_a_config_or_of_a_change_are_told_how_to_be_named(tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path} is a folder.*: avssl train trimodal data={tmp_path}"):
        config.load(tmp_path, [], config_of)
    with pytest.raises(ValueError, match=f"overrides are written key=value, for example data={tmp_path}"):
        config.load("simclr", [str(tmp_path)], config_of)


def test_all_mistakes_are_told_at_once():
    with pytest.raises(ValueError) as caught:
        config.load("simclr", ["method.temperature=-1", "inputs.hight=3", "steps=zero"], config_of)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    keys = ("method.temperature: ", "inputs.hight: ", "steps: ")
    assert all(any(line.startswith(key) for key in keys) for line in lines), "the command line's, and no file's"
    with pytest.raises(ValueError, match=r"^mine.yaml: stepz: unknown key; did you mean steps\?$"):
        config.build({"method": "simclr", "stepz": 3}, config_of, "mine.yaml", ["steps"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            "context_prediction method.patch=0.39 method.gap=0.5",
            "patch, gap and jitter take 1.03 of the side; make them",
        ),
        ("context_encoder method.share=[0.9,0.1]", "method.share: the least, 0.9, is above the greatest, 0.1"),
        ("context_encoder method.share=[-1,2]", "method.share.0: Input should be greater than or equal to 0"),
        ("relative_transformation method.scale=[0,0]", "method.scale.0: Input should be greater than 0"),
        ("byol method.blurred=[2,0.1]", "method.blurred.0: Input should be less than or equal to 1"),
    ],
)
def test_pairs_of_bounds_and_what_must_fit_together_are_checked(words, told):
    name, *changes = words.split()
    with pytest.raises(ValueError, match=re.escape(told)):
        config.load(name, changes, config_of)
