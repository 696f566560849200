"""Class activation maps: where in the picture a linear probe sees its class.

Bolei Zhou, Aditya Khosla, Agata Lapedriza, Aude Oliva, Antonio Torralba: Learning Deep Features for Discriminative
Localization, CVPR 2016. The encoder's vector is the mean of its last map over places, so a class score is the mean over
places of the map's own scores: M_c = sum_k w_k f_k. No box and no mask is used.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.localize.calibration import write_whole
from avssl.localize.overlay import overlay_frame
from avssl.methods.base import Batch, Method, Step, Transform
from avssl.probe.decoded import Decoded
from avssl.probe.features import enter
from avssl.probe.linear import Probe
from avssl.sample import Needs

MAPPED = ("image", "video")
THRESHOLD = 0.5
"""of the range of a map, from where on a sheet shows it lit"""


class ClassMaps(Method[MethodConfig]):
    """A frozen method with a linear probe, as a localizer whose query is a class, for all of ``avssl.localize``.

    With :class:`ClassNames` for inputs, a text that is a class's name asks for its map.

    Args:
        method: whose encoder the probe was fitted on.
        probe: fitted on the encoder's vectors.
        modality: image or video: which of its encoders.

    Raises ValueError for an encoder without a map over places, or whose vector is not the mean of its map.
    """

    localizes = ("text",)
    weights: Tensor
    bias: Tensor

    def __init__(self, method: Method[Any], probe: Probe, modality: str):
        super().__init__(method.cfg, method.inputs, method.encoders, method.length)
        if modality not in MAPPED:
            raise ValueError(f"class activation maps are of pictures; the {modality} encoder sees none")
        self.inner, self.modality = method, modality
        self.register_buffer("weights", torch.from_numpy(probe.weights).float(), persistent=False)  # [K, D]
        self.register_buffer("bias", torch.from_numpy(probe.bias).float(), persistent=False)

    @classmethod
    def needs(cls, cfg: MethodConfig, inputs: Inputs) -> Needs:
        """Pictures; nothing is learnt from them."""
        return inputs.needs()

    @classmethod
    def transform(cls, cfg: MethodConfig, inputs: Inputs) -> Transform:
        """There is none."""
        raise ValueError("a probe is fitted by avssl probe, not trained")

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """There is no loss."""
        raise ValueError("a probe is fitted by avssl probe, not trained")

    def maps(self, x: Tensor) -> Tensor:
        """Scores of all classes at every place, float32: image [B, 3, H, W] -> [B, K, h, w], video -> [B, K, T', h, w].

        Their mean over places is the probe's score of the class.
        """
        told = enter(self.inner, self.modality, x)
        last, vector = told.maps[-1].float(), told.vector.float()
        if not torch.allclose(last.flatten(2).mean(2), vector, atol=1e-3 * float(vector.abs().max() + 1e-6)):
            raise ValueError(f"{self.cfg.name}: the encoder's vector is not the mean of its map, so there are no CAMs")
        scores = torch.einsum("bd...,kd->bk...", last, self.weights)
        bias = self.bias.clamp_min(-1e6)  # that of a class without examples is no number to draw
        if len(last) != len(x):  # frame by frame
            scores = scores.unflatten(0, (len(x), -1)).transpose(1, 2)
        return scores + bias.reshape(1, -1, *[1] * (scores.ndim - 2))

    def localize(self, video: Tensor, query: Tensor, modality: str) -> Tensor:
        """video uint8 [B, T, 3, H, W], class numbers int64 [B, 1] -> scores [B, T, h, w] of that class."""
        if modality != "text":
            raise ValueError(f"a class is asked for by its name, not by {modality}")
        count, frames = video.shape[:2]
        if self.modality == "video":
            scores = self.maps(video)
        else:
            scores = self.maps(video.flatten(0, 1)).unflatten(0, (count, frames)).transpose(1, 2)
        chosen = scores[torch.arange(count), query[:, 0]]  # [B, T', h, w]
        if chosen.shape[1] != frames:
            chosen = F.interpolate(chosen[:, None], (frames, *chosen.shape[2:]), mode="trilinear")[:, 0]
        return chosen


class ClassNames(Inputs):
    """A run's inputs, where a text is the name of a class."""

    def __init__(self, inputs: Inputs, classes: Sequence[str]):
        super().__init__(inputs.cfg)
        self.classes = tuple(classes)

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """K names -> class numbers int64 [K, 1]. Raises ValueError for what is no class."""
        for text in texts:
            if text not in self.classes:
                raise ValueError(f"{text}: no class of the probe; it knows {', '.join(self.classes)}")
        return torch.tensor([[self.classes.index(text)] for text in texts])


def sheet(
    path: Path, found: ClassMaps, data: Decoded, places: Sequence[int], names: Sequence[str], predicted: Sequence[int],
    truth: Sequence[int],
) -> None:  # fmt: skip
    """Draw pictures (PNG): each example as it is, where the predicted class is seen, and where the true one is.

    Args:
        path: of the sheet.
        found: the maps.
        data: the label set, of pictures or clips.
        places: examples that are drawn.
        names: of the classes.
        predicted: class number of each of ``places``.
        truth: likewise.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.6 * len(places) + 0.4, 5.4), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, len(places), squeeze=False)
    for column, (place, guess, right) in enumerate(zip(places, predicted, truth, strict=True)):
        x = data.batch(np.flatnonzero(data.owner == place)[:1])
        with torch.inference_mode():
            maps = found.maps(x.to(found.weights.device))[0].cpu().double().numpy()
        frame = (x[0] if x.ndim == 4 else x[0, x.shape[1] // 2]).permute(1, 2, 0).numpy()
        flat = maps if maps.ndim == 3 else maps.mean(1)  # [K, h, w]
        shown = [("", frame), (names[guess], _lit(frame, flat[guess])), (names[right], _lit(frame, flat[right]))]
        for row, (title, picture) in enumerate(shown):
            axes[row, column].imshow(picture)
            axes[row, column].set_title(title, fontsize=8, color="black" if row == 0 or guess == right else "firebrick")
            axes[row, column].set_xticks([])
            axes[row, column].set_yticks([])
    for row, told in enumerate(("picture", "predicted", "true class")):
        axes[row, 0].set_ylabel(told, fontsize=9)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    write_whole(path, drawn.getvalue())


def _lit(frame: NDArray[np.uint8], scores: NDArray[np.float64]) -> NDArray[np.uint8]:
    low, high = float(scores.min()), float(scores.max())
    if high - low < 1e-12:
        return frame
    return overlay_frame(frame, (scores - low) / (high - low), THRESHOLD)
