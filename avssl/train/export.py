"""Taking what was learnt elsewhere: a folder of weights and settings that loads with one line, and ONNX encoders."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from avssl.config import InputsConfig, MethodConfig
from avssl.encoders import pretrained
from avssl.inputs import Inputs
from avssl.methods.base import Method
from avssl.train import build
from avssl.train.build import Loaded
from avssl.train.checkpoint import load_run, replace_text, sha256, sync
from avssl.train.distributed import plain

FORMAT = "avssl-export-1"
TOLERANCE = 1e-3
"""largest difference between onnxruntime and torch, as a share of the output's largest value"""


def export(run: Path | str, out: Path | str, onnx: bool = False) -> Path:
    """Write a run's newest weights to ``out``: model.safetensors, config.json, vocabulary.json where it reads text.

    With ``onnx`` each encoder is written to ``out/<modality>.onnx`` too and compared with torch by onnxruntime.
    Raises ValueError if there is nothing to export, ``out`` holds other things, or onnx is not installed or not equal.
    """
    loaded, out = load_run(run), Path(out)
    if out.exists() and any(out.iterdir()) and not _ours(out / "config.json"):
        raise ValueError(f"{out} holds other files; choose another -o")
    aside = out.with_name(f".{out.name}.{os.getpid()}")
    aside.mkdir(parents=True)
    try:
        save_file(plain(loaded.method.state_dict()), aside / "model.safetensors")
        sync(aside / "model.safetensors")
        about = {
            "format": FORMAT, "config": build.dump(loaded.cfg), "length": loaded.method.length,
            "step": loaded.step, "digest": loaded.digest, "weights": sha256(aside / "model.safetensors"),
            "manifest": str(loaded.manifest or ""), "manifest_digest": loaded.manifest_digest,
            "towers": pretrained.sources(loaded.method.encoders),
        }  # fmt: skip
        if loaded.inputs.vocabulary is not None:
            replace_text(aside / "vocabulary.json", loaded.inputs.vocabulary.json)
        if onnx:
            kinds = type(loaded.method).towers(loaded.cfg.method, loaded.cfg.encoders)
            for modality, encoder in loaded.method.encoders.items():
                x = example(kinds[modality][0], loaded.cfg.inputs)
                to_onnx(modality, encoder, x, aside / f"{modality}.onnx")
        pretrained.keep(loaded.method.encoders, aside / "towers")
        replace_text(aside / "config.json", json.dumps(about, indent=1))
        if out.exists():
            shutil.rmtree(out)
        os.replace(aside, out)
        sync(out.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return out


def _ours(about: Path) -> bool:
    """Whether it says that we wrote it: other libraries' folders have a config.json too."""
    try:
        return build.read_json(about).get("format") == FORMAT
    except ValueError:
        return False


class Pretrained:
    """An exported (or trained) method, ready to embed. No code comes from the folder, only numbers and settings."""

    def __init__(self, loaded: Loaded):
        self.method: Method[MethodConfig] = loaded.method
        self.inputs: Inputs = loaded.inputs
        self.cfg = loaded.cfg
        self.digest = loaded.digest

    @torch.no_grad()
    def embed_text(self, texts: Sequence[str], space: str = "main") -> Tensor:
        """Texts -> unit vectors [B, D]."""
        if isinstance(texts, str):
            raise ValueError("embed_text takes a list of texts, got one text")
        return self.method.embed("text", self.inputs.tokens(texts), space)

    @torch.no_grad()
    def embed_audio(self, wave: Tensor, space: str = "main") -> Tensor:
        """Sound float32 [B, S] in -1..1 at ``inputs.cfg.hz``, ``inputs.cfg.audio_seconds`` long -> unit vectors [B, D].

        Raises ValueError for other shapes, and for sound that is not finite.
        """
        cfg = self.cfg.inputs
        samples = round(cfg.audio_seconds * cfg.hz)
        if wave.ndim != 2 or not wave.is_floating_point() or not len(wave) or wave.shape[1] != samples:
            raise ValueError(
                f"embed_audio takes float sound [B, {samples}], {cfg.audio_seconds:g} s at {cfg.hz} Hz, "
                f"got {wave.dtype} {list(wave.shape)}"
            )
        if not wave.isfinite().all():
            raise ValueError("embed_audio: the sound is not finite")
        return self.method.embed("audio", self.inputs.audio(wave), space)

    @torch.no_grad()
    def embed_video(self, frames: Tensor, space: str = "main") -> Tensor:
        """``inputs.cfg.frames`` pictures uint8 [B, T, 3, H, W] at ``inputs.cfg.fps`` -> unit vectors [B, D]."""
        return self.method.embed("video", self._pixels(frames, (self.cfg.inputs.frames,)), space)

    @torch.no_grad()
    def embed_image(self, pictures: Tensor, space: str = "main") -> Tensor:
        """Pictures uint8 [B, 3, H, W] -> unit vectors [B, D]."""
        return self.method.embed("image", self._pixels(pictures, ()), space)

    def _pixels(self, x: Tensor, frames: tuple[int, ...]) -> Tensor:
        size = (*frames, 3, self.cfg.inputs.height, self.cfg.inputs.width)
        if x.dtype != torch.uint8 or not len(x) or tuple(x.shape[1:]) != size:
            shape = ", ".join(map(str, size))
            raise ValueError(f"pictures are uint8 [B, {shape}], got {x.dtype} {list(x.shape)}")
        return x


def from_pretrained(folder: Path | str) -> Pretrained:
    """An exported folder, or a run's, ready to embed: ``avssl.from_pretrained(DIR).embed_text(["a bell"])``.

    Raises ValueError, one line, if it is not one or is damaged.
    """
    return Pretrained(load_run(folder))


def example(modality: str, cfg: InputsConfig) -> Tensor:
    """Two inputs of an encoder at a run's size: pictures and sound of noise, tokens with padding."""
    draw = torch.Generator().manual_seed(0)
    if modality in ("image", "video"):
        frames = (cfg.frames,) if modality == "video" else ()
        return torch.randint(0, 256, (2, *frames, 3, cfg.height, cfg.width), generator=draw, dtype=torch.uint8)
    if modality == "audio":
        return Inputs(cfg).audio(torch.randn(2, round(cfg.audio_seconds * cfg.hz), generator=draw) * 0.1)
    tokens = torch.randint(0, 8, (2, cfg.tokens), generator=draw)
    tokens[1, cfg.tokens // 2 :] = -1
    return tokens


class _Flat(nn.Module):
    """An encoder whose outputs are a plain tuple: the vector, then the maps."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        found = self.encoder(x)
        return (found.vector, *found.maps)


def to_onnx(modality: str, encoder: nn.Module, x: Tensor, path: Path) -> None:
    """Write one encoder with a free batch size, and compare it with torch on another batch size.

    Inputs: ``x`` as the encoder takes it; outputs ``vector`` and ``map0``, ``map1``, ... Raises ValueError.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ValueError(f"--onnx needs {error.name}: pip install 'avssl[onnx]'") from None
    flat = _Flat(encoder).eval()
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            names = ["vector", *(f"map{n}" for n in range(len(flat(x)) - 1))]
            program: Any = torch.onnx.export(
                flat, (x,), dynamo=True, input_names=["x"], output_names=names, verbose=False,
                dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},), external_data=False,
            )  # fmt: skip
            program.save(str(path))
            more = torch.cat([x, x.flip(0), x[:1]])
            wanted = flat(more)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise ValueError(f"the {modality} encoder cannot be written as ONNX: {str(error).splitlines()[0]}") from None
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        found = session.run(names, {"x": more.numpy()})
    except Exception as error:  # its classes have no base of their own
        told = " ".join(str(error).split())
        raise ValueError(f"the {modality} encoder written as ONNX does not run in onnxruntime: {told}") from None
    for name, one, other in zip(names, wanted, found, strict=True):
        apart = float((one - torch.from_numpy(other)).abs().max() / one.abs().max().clamp_min(1e-6))
        if not apart <= TOLERANCE:
            raise ValueError(f"the {modality} encoder's {name} differs by {apart:.1e} under onnxruntime")
