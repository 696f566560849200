"""Label sets as windows: decoded once, and without what cannot be read."""

from __future__ import annotations

import numpy as np
import pytest
from made_media import tone, write
from probe.laid import picture

from avssl.config import InputsConfig
from avssl.inputs import Inputs
from avssl.probe import decoded, importers


def test_decoding_is_kept_in_the_room_and_unreadable_files_are_counted(tmp_path):
    for kind, shade in (("cat", 20), ("dog", 200)):
        for k in range(3):
            picture(tmp_path / "set" / "train" / kind / f"{k}.png", shade + k)
    data = importers.read(str(tmp_path / "set"), tmp_path)
    inputs, seen = Inputs(InputsConfig(height=16, width=24)), []
    _, made = decoded.decode(data, inputs, "image", tmp_path, lambda done, total: seen.append((done, total)))
    assert made.x.shape == (6, 3, 16, 24)
    assert seen[-1] == (6, 6)
    assert [int(x.mean().round()) for x in made.x] == pytest.approx([20, 21, 22, 200, 201, 202], abs=1)
    seen.clear()
    np.testing.assert_array_equal(decoded.decode(data, inputs, "image", tmp_path)[1].x, made.x)
    assert not seen, "decoded once"
    (tmp_path / "set" / "train" / "cat" / "0.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"1 of 6 examples cannot be read, more than the budget of 5% .*cat/0.png"):
        decoded.decode(importers.read(str(tmp_path / "set"), tmp_path), inputs, "image", tmp_path)
    assert not list(tmp_path.glob(".*partial"))


def test_what_cannot_be_read_is_no_example(tmp_path):
    """Not a black picture of its class: neither when it is decoded nor when what was decoded is used again."""
    for kind, shade in (("cat", 20), ("dog", 200)):
        for k in range(3):
            picture(tmp_path / "set" / "train" / kind / f"{k}.png", shade + k)
    (tmp_path / "set" / "train" / "cat" / "1.png").write_bytes(b"broken")
    data, inputs = importers.read(str(tmp_path / "set"), tmp_path), Inputs(InputsConfig(height=16, width=24))
    for _ in range(2):
        held, made = decoded.decode(data, inputs, "image", tmp_path, bad_budget=0.2)
        names = [example.name.removeprefix("train/") for example in held.examples]
        assert names == ["cat/0.png", "cat/2.png", "dog/0.png", "dog/1.png", "dog/2.png"]
        assert len(held.left_out) == 1
        assert "cat/1.png" in held.left_out[0]
        assert made.owner.tolist() == list(range(5))
        assert [int(x.mean().round()) for x in made.x] == pytest.approx([20, 22, 200, 201, 202], abs=1)
        assert held.digest != data.digest


def test_a_sound_that_cannot_be_opened_is_no_example(tmp_path):
    for k, name in enumerate(("cat/a", "cat/b", "dog/a", "dog/b")):
        path = tmp_path / "set" / "train" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, video=None, audio="pcm_s16le", sound=tone(1.0, 8000, 0.5, 300 + k), hz=8000)
    (tmp_path / "set" / "train" / "cat" / "a.wav").write_bytes(b"broken")
    data, inputs = importers.read(str(tmp_path / "set"), tmp_path), Inputs(InputsConfig())
    held, made = decoded.decode(data, inputs, "audio", tmp_path, bad_budget=0.5)
    assert [example.name for example in held.examples] == ["train/cat/b.wav", "train/dog/a.wav", "train/dog/b.wav"]
    assert made.owner[-1] == 2
