"""What is exported loads with one line, gives the same vectors, and runs elsewhere."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import toy

import avssl
from avssl import encoders
from avssl.config import EncodersConfig, InputsConfig
from avssl.train import run
from avssl.train.checkpoint import load_run
from avssl.train.export import Pretrained, example, export, to_onnx

INPUTS = InputsConfig(height=32, width=32, frames=4, fps=8, audio_seconds=0.5, mels=16, tokens=6)


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    toy.install(monkeypatch)
    run.start(toy.cfg_of("steps=2"), tmp_path / "run", progress=False)
    return tmp_path / "run"


def test_round_trip(trained: Path, tmp_path: Path) -> None:
    out = export(trained, tmp_path / "out")
    assert sorted(path.name for path in out.iterdir()) == ["config.json", "model.safetensors"]
    one, other = load_run(trained), avssl.from_pretrained(out)
    x = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    assert torch.equal(one.method.embed("image", x), other.embed_image(x))
    assert other.digest == one.digest
    assert load_run(out, trained=False).digest == load_run(trained, trained=False).digest
    export(trained, out)
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(ValueError, match=r"uint8 \[B, 3, 16, 16\], got torch.float32"):
        other.embed_image(x.float())
    with pytest.raises(ValueError, match="list of texts"):
        other.embed_text("bell")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no vocabulary"):
        other.embed_text(["bell"])


def test_damage_and_strangers(trained: Path, tmp_path: Path) -> None:
    out = export(trained, tmp_path / "out")
    data = bytearray((out / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (out / "model.safetensors").write_bytes(bytes(data))
    with pytest.raises(ValueError, match="not what was exported"):
        avssl.from_pretrained(out)
    (out / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="No such file"):
        avssl.from_pretrained(out)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("keep")
    with pytest.raises(ValueError, match="holds other files"):
        export(trained, tmp_path / "mine")
    assert (tmp_path / "mine/notes.txt").read_text() == "keep"
    (tmp_path / "mine/config.json").write_text('{"model_type": "clip"}')  # another library's folder
    with pytest.raises(ValueError, match="other files"):
        export(trained, tmp_path / "mine")
    assert (tmp_path / "mine/notes.txt").read_text() == "keep"


def test_a_config_cannot_name_code(trained: Path, tmp_path: Path) -> None:
    out = export(trained, tmp_path / "out")
    about = json.loads((out / "config.json").read_text())
    about["config"]["method"]["name"] = "os.system"
    (out / "config.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match=r"unknown method os\.system"):
        avssl.from_pretrained(out)


@pytest.mark.parametrize("modality", ["image", "video", "audio", "text"])
def test_onnx_agrees_with_torch(modality: str, tmp_path: Path) -> None:
    """The comparison on a batch size other than the traced one is part of the export; a wrong weight would show."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    import onnxruntime

    torch.manual_seed(0)
    small = {"width": 32, "layers": 1}
    specs = EncodersConfig(
        **{name: small for name in ("image", "video", "audio")}, text={"name": "transformer", **small}
    )
    encoder = encoders.build(specs, [modality], mels=16, tokens=6, vocabulary=8)[modality]
    x = example(modality, INPUTS)
    to_onnx(modality, encoder, x, tmp_path / "it.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "it.onnx"), providers=["CPUExecutionProvider"])
    (vector,) = session.run(["vector"], {"x": x[:1].numpy()})
    assert torch.allclose(torch.from_numpy(vector), encoder.eval()(x[:1]).vector, atol=1e-4)


def test_onnx_that_differs_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    real = onnxruntime.InferenceSession

    def wrong(*args: Any, **kwargs: Any) -> Any:
        session = real(*args, **kwargs)
        return SimpleNamespace(run=lambda names, feed: [part * 1.01 for part in session.run(names, feed)])

    monkeypatch.setattr(onnxruntime, "InferenceSession", wrong)
    encoder = encoders.build(EncodersConfig(image={"width": 16}), ["image"])["image"]
    with pytest.raises(ValueError, match=r"the image encoder's vector differs by 1\.0e-02"):
        to_onnx("image", encoder, example("image", INPUTS), tmp_path / "it.onnx")


def test_missing_onnx_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name == "onnxruntime":
            raise ImportError(name=name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    encoder = encoders.build(EncodersConfig(image={"width": 16}), ["image"])["image"]
    with pytest.raises(ValueError, match=r"--onnx needs onnxruntime: pip install 'avssl\[onnx\]'"):
        to_onnx("image", encoder, example("image", INPUTS), tmp_path / "it.onnx")


def test_pretrained_checks_sound(trained: Path) -> None:
    one = Pretrained(load_run(trained))
    samples = round(one.cfg.inputs.audio_seconds * one.cfg.inputs.hz)
    for wrong in (torch.zeros(8), torch.zeros(2, samples - 1), torch.zeros(0, samples)):
        with pytest.raises(ValueError, match=rf"float sound \[B, {samples}\], .* got torch.float32"):
            one.embed_audio(wrong)
    with pytest.raises(ValueError, match="not finite"):
        one.embed_audio(torch.full((1, samples), float("nan")))
