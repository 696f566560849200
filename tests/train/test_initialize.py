"""Where weights begin: fitted to the data, or taken from a run; and slow copies begin where their students do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import toy
from contract import tiny
from safetensors.torch import load_file

from avssl.methods import base
from avssl.nn import rescaled
from avssl.nn.teacher import Teacher
from avssl.train import build, initialize, run
from avssl.train.checkpoint import load_run

METHODS = Path(base.__file__).parent
FOLLOWED = sorted(path.stem for path in METHODS.glob("*/*.py") if "Teacher(" in path.read_text(encoding="utf-8"))
"""methods with slow copies"""
STILL = ("steps=1", "optim.lr=1e-12", "optim.weight_decay=0")


def teachers(method):
    return {name: part for name, part in method.named_modules() if isinstance(part, Teacher)}


def follow(method):
    """Whether every slow copy is its student's equal, and of what there is now."""
    own = {id(part) for part in method.modules()}
    for name, teacher in teachers(method).items():
        assert id(teacher.begun[0]) in own, name
        student = teacher.begun[0].state_dict()
        for key, value in teacher.copy.state_dict().items():
            assert torch.equal(value, student[key]), f"{name}.{key}"
    return len(teachers(method))


class Given:
    """As the trainer's loader, of the contract's items."""

    def __init__(self, this):
        self.batch = this.batch()
        self.maker = type("Maker", (), {"length": tiny.ITEMS, "batch": tiny.ITEMS})

    def batches_in_order(self, indices):
        yield {key: value[torch.tensor(indices)] for key, value in self.batch.items()}


@pytest.mark.parametrize("name", FOLLOWED)
def test_slow_copies_begin_where_their_students_do(name, monkeypatch, tmp_path):
    this = tiny.run(name, f"init={tmp_path}")
    theirs = type("Loaded", (), {"method": this.method(seed=1)})
    monkeypatch.setattr(initialize.checkpoint, "load_run", lambda folder: theirs)
    method = this.method(seed=0)
    assert follow(method)
    first = {key: value.clone() for key, value in method.encoders.state_dict().items()}
    initialize.begin(method, this.cfg, Given(this), str)
    for key, value in method.encoders.state_dict().items():
        assert torch.equal(value, theirs.method.encoders.state_dict()[key])
    assert any(not torch.equal(value, first[key]) for key, value in method.encoders.state_dict().items())
    assert follow(method)


def test_there_are_methods_with_slow_copies():
    assert {"moco", "byol", "slavc"} <= set(FOLLOWED)


@pytest.mark.parametrize("name", base.catalogue())
def test_rescaled_fits_every_encoder_of_any_method(name):
    words = ("init=rescaled", *(["method.learner=regressor"] if name == "gan" else []))
    this = tiny.run(name, *words)
    one, other, given = this.method(), this.method(), Given(this)
    before = {key: value.clone() for key, value in one.state_dict().items()}
    random = torch.get_rng_state()
    initialize.begin(one, this.cfg, given, str)
    initialize.begin(other, this.cfg, given, str)
    assert torch.equal(random, torch.get_rng_state())
    after, again = one.state_dict(), other.state_dict()
    assert all(torch.equal(value, again[key]) for key, value in after.items()), "a function of seed and data"
    for modality in one.encoders:
        assert any(not torch.equal(after[k], before[k]) for k in after if k.startswith(f"encoders.{modality}."))
    outside = [k for k in after if not k.startswith(("encoders.", "slow"))]
    assert all(torch.equal(after[key], before[key]) for key in outside), "heads, banks and queues are as they were"
    follow(one)
    assert one(this.batch(), next(iter(one.turns()))).loss.isfinite()


def test_a_run_begins_rescaled(tmp_path, monkeypatch):
    toy.install(monkeypatch)
    run.start(toy.cfg_of("init=rescaled", *STILL), tmp_path / "x", progress=False)
    run.start(toy.cfg_of("init=rescaled", *STILL), tmp_path / "y", progress=False)
    run.start(toy.cfg_of(*STILL), tmp_path / "z", progress=False)
    held = [load_file(tmp_path / name / "checkpoints/step-000001/model.safetensors") for name in "xyz"]
    assert all(torch.equal(held[0][key], held[1][key]) for key in held[0])
    key = "encoders.image.trunk.3.0.weight"
    assert not torch.allclose(held[0][key], held[2][key], atol=1e-3)
    x = torch.stack([toy.MadeUp().get(index, torch.Generator()).video[0, 0] for index in range(toy.ITEMS)])
    spreads = []
    for name in "xz":
        encoder = load_run(tmp_path / name).method.encoders["image"]
        rates = rescaled.rates(encoder, (x,), [block[0] for block in encoder.trunk], 0)
        spreads.append(float(rates.max() / rates.min() - 1))
    assert spreads[0] < 0.35 < spreads[1], "on pictures with other noise and another draw, rates are still nearly equal"


def test_only_random_weights_are_fitted():
    cfg = tiny.run("simclr", "init=rescaled", "encoders.image.name=pretrained", "encoders.image.path=some/tower").cfg
    this = tiny.run("simclr", "init=rescaled")
    with pytest.raises(ValueError, match=r"init=rescaled: it is for random weights, and encoders\.image is pretrained"):
        initialize.begin(this.method(), cfg, Given(this), str)


def test_what_init_names_is_an_initializer_or_a_folder():
    named = (("rescaled", None), ("./rescaled", Path("rescaled")), ("runs/x", Path("runs/x")), ("", None))
    for word, wanted in named:
        assert initialize.folder(tiny.run("moco", f"init={word}").cfg) == wanted
    this = tiny.run("moco", "init=rescald")
    with pytest.raises(ValueError, match="init=rescald: no such folder, and no initializer"):
        initialize.begin(this.method(), this.cfg, Given(this), str)


def test_weights_of_a_wrong_shape_are_told():
    this = tiny.run("moco")
    with pytest.raises(ValueError, match=r"init=x: encoders\.image\..* there and .* here"):
        build.fill_encoders(this.method(), tiny.run("moco", "encoders.image.width=64").method().state_dict(), "x")
