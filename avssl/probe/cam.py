"""Class activation maps: where in the picture a linear probe sees its class.

Bolei Zhou, Aditya Khosla, Agata Lapedriza, Aude Oliva, Antonio Torralba: Learning Deep Features for Discriminative
Localization, CVPR 2016. The encoder's vector is the mean of its last map over places, so a class score is the mean over
places of the map's own scores: M_c = sum_k w_k f_k. No box and no mask is used.
"""

from __future__ import annotations

import io
import textwrap
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
from avssl.localize.calibration import Calibration, write_whole
from avssl.localize.masks import upsample
from avssl.localize.overlay import colorize, overlay_frame
from avssl.localize.refine import snap
from avssl.localize.strip import legible
from avssl.methods.base import Batch, Method, Step, Transform
from avssl.probe.decoded import Decoded
from avssl.probe.features import enter
from avssl.probe.linear import Probe
from avssl.sample import Needs

MAPPED = ("image", "video")
THRESHOLD = 0.5
"""of the range of a sheet's scores, from where on it shows them lit"""


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
    truth: Sequence[int], title: str = "",
) -> None:  # fmt: skip
    """Draw pictures (PNG): each example, where the predicted class is seen, as a mask, and where the true one is seen.

    All are drawn on one scale, which stands beside them, so that a class that is hardly seen in a picture leaves it
    dark.

    Args:
        path: of the sheet.
        found: the maps.
        data: the label set, of pictures or clips.
        places: examples that are drawn.
        names: of the classes.
        predicted: class number of each of ``places``.
        truth: likewise.
        title: whose maps they are, of which data.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize
    from matplotlib.figure import Figure

    frames, maps = [], []
    for place in places:
        x = data.batch(np.flatnonzero(data.owner == place)[:1])
        with torch.inference_mode():
            made = found.maps(x.to(found.weights.device))[0].cpu().double().numpy()
        frames.append((x[0] if x.ndim == 4 else x[0, x.shape[1] // 2]).permute(1, 2, 0).numpy())
        maps.append(made if made.ndim == 3 else made.mean(1))  # [K, h, w]
    drawn = [held[[guess, right]] for held, guess, right in zip(maps, predicted, truth, strict=True)]
    scale = scale_of(drawn)
    figure = Figure(figsize=(1.6 * len(places) + 1.4, 7.5), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.subplots(4, len(places), squeeze=False)
    for column, (frame, (seen, real), guess, right) in enumerate(zip(frames, drawn, predicted, truth, strict=True)):
        color = "black" if guess == right else "firebrick"
        fitted = _fitted(frame, seen, scale)
        shown = [("", frame), (names[guess], _lit(frame, seen, scale)), ("", _lit(frame, fitted, scale)),
                 (names[right], _lit(frame, real, scale))]  # fmt: skip
        for row, (name, picture) in enumerate(shown):
            axes[row, column].imshow(picture)
            axes[row, column].set_title(name, fontsize=8, color=color)
            axes[row, column].set_xticks([])
            axes[row, column].set_yticks([])
    if scale is not None:
        colors = ListedColormap(colorize(np.linspace(0.0, 1.0, 256)) / 255.0)
        bar = figure.colorbar(ScalarMappable(Normalize(scale.threshold, scale.ceiling), colors), ax=axes[1:, :])
        bar.set_label("score of the class there (lower: the picture as it is)", fontsize=8)
        bar.ax.tick_params(labelsize=8)
    lines = textwrap.wrap(legible(title), 20 * len(places) + 10)
    lines += ["red letters: named wrongly"] if list(predicted) != list(truth) else []
    figure.suptitle("\n".join(lines), fontsize=9)
    for row, told in enumerate(("picture", "predicted", "fitted to edges", "true class")):
        axes[row, 0].set_ylabel(told, fontsize=9)
    held = io.BytesIO()
    figure.savefig(held, format="png")
    write_whole(path, held.getvalue())


def scale_of(maps: Sequence[NDArray[np.float64]]) -> Calibration | None:
    """One scale for all maps of a sheet, lit from the middle of their scores' range on; None where all are equal."""
    low, high = min(float(one.min()) for one in maps), max(float(one.max()) for one in maps)
    if high - low < 1e-12:
        return None
    return Calibration(low + THRESHOLD * (high - low), high, "", "of the scores' range on the sheet")


def _lit(frame: NDArray[np.uint8], scores: NDArray[np.float64], scale: Calibration | None) -> NDArray[np.uint8]:
    return frame if scale is None else overlay_frame(frame, scores, scale.threshold, scale.ceiling)


def _fitted(frame: NDArray[np.uint8], scores: NDArray[np.float64], scale: Calibration | None) -> NDArray[np.float64]:
    """A class's map as a mask: what is lit ends at the edges of the picture."""
    enlarged = upsample(scores, (frame.shape[0], frame.shape[1]))
    return enlarged if scale is None or not (scores >= scale.threshold).any() else snap(enlarged, frame, scale)
