"""What frozen towers saw: computed once, read bit for bit, and never wrongly."""

from __future__ import annotations

import logging

import checkpoints
import pytest
import torch

from avssl.config import EncoderConfig
from avssl.encoders import memory, pretrained
from avssl.encoders.memory import Memory

GB = 10**9


class Look:
    """A network that counts what it is given, and whose outputs depend on nothing but each row."""

    def __init__(self):
        self.rows = 0

    def __call__(self, x):
        self.rows += len(x)
        assert not torch.is_grad_enabled()
        assert not torch.is_autocast_enabled("cpu")
        flat = x.float().flatten(1)
        return flat.mean(1)[:, None, None].expand(-1, 3, 4) / 3, flat.sum(1, keepdim=True)


def inputs(*numbers: int) -> torch.Tensor:
    return torch.stack([torch.full((2, 5), number, dtype=torch.uint8) for number in numbers])


def test_an_input_that_comes_again_is_not_computed(tmp_path):
    look, held = Look(), Memory(tmp_path, GB)
    first = held(look, inputs(1, 2, 1, 3))
    assert look.rows == 3
    assert (held.computed, held.found) == (3, 0)
    torch.testing.assert_close(first[0], looked(1, 2, 1, 3)[0], atol=1e-3, rtol=1e-3)
    again = Memory(tmp_path, GB)
    with torch.autocast("cpu", torch.bfloat16):
        second = again(look, inputs(3, 1, 7))
    assert look.rows == 4
    assert (again.computed, again.found) == (1, 2)
    assert torch.equal(second[0][:2], first[0][[3, 0]])
    assert torch.equal(second[1][:2], first[1][[3, 0]])
    assert second[0].dtype == torch.float32
    assert not list(tmp_path.rglob("*.partial"))


def looked(*numbers):
    with torch.no_grad():
        return Look()(inputs(*numbers))


@pytest.mark.parametrize("place", [0, 4999, 9999])
def test_inputs_that_differ_in_one_number_are_others(place, tmp_path):
    """Two windows of a film may begin alike, or be alike but for a corner."""
    look, held = Look(), Memory(tmp_path, GB)
    x = torch.zeros(2, 100, 100, dtype=torch.uint8)
    x[1].view(-1)[place] = 200
    seen = held(look, x)
    assert look.rows == 2
    assert seen[1].flatten().tolist() == [0.0, 200.0]


def test_inputs_that_differ_in_kind_or_shape_are_others(tmp_path):
    look, held = Look(), Memory(tmp_path, GB)
    zeros = torch.zeros(1, 4, dtype=torch.uint8)
    for x in (zeros, zeros.reshape(1, 2, 2), zeros.view(torch.float32), zeros.reshape(1, 4, 1)):
        held(look, x)
    assert look.rows == 4


def test_none_at_all(tmp_path):
    assert [len(part) for part in Memory(tmp_path, GB)(as_it_is, inputs(1)[:0])] == [0]


def as_it_is(x):
    return (x.float(),)


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "text", "other"])
def test_what_is_damaged_is_computed_anew(harm, tmp_path):
    look, held = Look(), Memory(tmp_path, GB)
    expected = held(look, inputs(5))
    (path,) = tmp_path.rglob("*.safetensors")
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[-1] ^= 0x40
    path.write_bytes(
        {"flip": bytes(changed), "cut": whole[:-3], "empty": b"", "text": b"{}" * 50, "other": whole[:8]}[harm]
    )
    found = Memory(tmp_path, GB)(look, inputs(5))
    assert look.rows == 2
    assert torch.equal(found[0], expected[0])
    assert path.read_bytes() == whole


def test_what_half_precision_cannot_hold_is_kept_whole(tmp_path):
    def look(x):
        return (x.float() * 1e6,)

    for _ in range(2):
        assert Memory(tmp_path, GB)(look, inputs(3))[0].eq(3e6).all()


def test_nothing_is_kept_beyond_the_room_and_all_goes_on(tmp_path, caplog):
    look, held = Look(), Memory(tmp_path / "a", 300)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            held(look, inputs(1, 2, 3))
    assert "is full: further features are computed each time; raise data.features_gb" in caplog.text
    kept = list(tmp_path.rglob("*.safetensors"))
    assert len(kept) == 1
    assert look.rows == 5
    (tmp_path / "file").touch()
    caplog.clear()
    nowhere = Memory(tmp_path / "file", GB)
    assert torch.equal(nowhere(look, inputs(1))[0], nowhere(look, inputs(1))[0])
    assert caplog.text.count("features cannot be kept") == 1


def test_room_is_made_of_what_other_towers_saw(tmp_path):
    for name in ("old", "mine"):
        Memory(tmp_path / name, GB)(Look(), inputs(*range(10)))
    size = sum(path.stat().st_size for path in (tmp_path / "mine").rglob("*.safetensors"))
    assert memory.room(tmp_path, ["mine"], 6 * size) == 4 * size
    assert len(list((tmp_path / "old").rglob("*.safetensors"))) == 10
    assert memory.room(tmp_path, ["mine"], 2 * size) == size
    assert not list((tmp_path / "old").rglob("*.safetensors"))
    assert memory.room(tmp_path, ["mine"], size // 2) == 0
    assert len(list((tmp_path / "mine").rglob("*.safetensors"))) == 10


def towers(folder, **changes) -> torch.nn.ModuleDict:
    spec = EncoderConfig(name="pretrained", path=str(folder), width=24, **changes)
    return torch.nn.ModuleDict({"image": pretrained.load("image", spec, 16000)})


def test_a_frozen_tower_remembers_and_its_head_still_learns(tmp_path):
    checkpoints.make(tmp_path / "vit", "vit")
    x = torch.randint(256, (3, 3, 32, 32), dtype=torch.uint8)
    encoders = towers(tmp_path / "vit")
    tower = encoders["image"]
    plain = tower(x).vector
    assert pretrained.remember(encoders, GB, base=tmp_path / "kept") == ["image"]
    for _ in range(2):
        vector = tower(x).vector
        torch.testing.assert_close(vector, plain, atol=5e-3, rtol=5e-3)
    assert (tower.memory.computed, tower.memory.found) == (3, 3)
    vector.sum().backward()
    assert tower.project.weight.grad.abs().sum() > 0
    assert torch.equal(tower(x[:1]).vector, tower(x).vector[:1]), "whatever else is looked for"


def test_only_the_same_frozen_tower_shares_a_memory(tmp_path):
    checkpoints.make(tmp_path / "vit", "vit")

    def name(**changes):
        encoders = towers(tmp_path / "vit", **changes)
        if not pretrained.remember(encoders, GB, base=tmp_path / "kept"):
            return None
        return encoders["image"].memory.folder.name

    first = name()
    torch.manual_seed(9)
    assert name() == first, "the head beside the tower does not count"
    assert name(tune=-1) is None
    assert name(tune=1) is None
    assert name(lora=2) is None
    told = tmp_path / "vit" / "preprocessor_config.json"
    told.write_text(told.read_text().replace("0.4", "0.5"))
    recolored = name()
    assert recolored != first
    other = towers(tmp_path / "vit")
    with torch.no_grad():
        next(other["image"].tower.parameters()).mul_(1.001)
    pretrained.remember(other, GB, base=tmp_path / "kept")
    assert other["image"].memory.folder.name not in (first, recolored)


def test_each_frame_is_remembered_once(tmp_path):
    checkpoints.make(tmp_path / "vit", "vit")
    spec = EncoderConfig(name="pretrained", path=str(tmp_path / "vit"), width=24)
    encoders = torch.nn.ModuleDict({"video": pretrained.load("video", spec, 16000)})
    pretrained.remember(encoders, GB, base=tmp_path / "kept")
    frames = torch.randint(256, (6, 3, 32, 32), dtype=torch.uint8)
    encoders["video"](frames[None, :4])
    encoders["video"](frames[None, 2:])
    held = encoders["video"].memory
    assert (held.computed, held.found) == (6, 2)
