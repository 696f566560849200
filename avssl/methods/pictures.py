"""What methods of pictures share: one picture is asked for, the encoder's vector embeds it; and the simplest views."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, TypeVar

import torch
from pydantic import AfterValidator, Field
from torch import Generator, Tensor, nn

from avssl import encoders as towers
from avssl import ops, views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Method, Space, Transform
from avssl.sample import Needs, Sample

P = TypeVar("P", bound=MethodConfig)


def ascending(pair: tuple[float, float]) -> tuple[float, float]:
    """A least and a greatest value. Raises ValueError where they are the other way round."""
    if pair[0] > pair[1]:
        raise ValueError(f"the least, {pair[0]:g}, is above the greatest, {pair[1]:g}")
    return pair


Share = Annotated[float, Field(ge=0, le=1)]
Shares = Annotated[tuple[Share, Share], AfterValidator(ascending)]
"""least and greatest share of something"""
Scales = Annotated[tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]], AfterValidator(ascending)]
"""least and greatest factor"""


class ViewsConfig(MethodConfig):
    """Options of methods that compare two views of a picture (:class:`avssl.views.TwoViews`)."""

    area: float = Field(0.2, gt=0, le=1)
    """least share of the picture that a view shows"""
    strength: float = Field(0.5, ge=0)
    """of the colour changes"""


class OfPictures(Method[P]):
    """One picture of each item, one encoder; subclasses say what it must solve.

    Args:
        cfg, inputs, encoders, length: as :class:`~avssl.methods.base.Method` has them.
        width: of what :meth:`vector` gives; by default the encoder's own.
    """

    modalities = ("image",)

    def __init__(self, cfg: P, inputs: Inputs, encoders: nn.ModuleDict, length: int, width: int = 0):
        super().__init__(cfg, inputs, encoders, length)
        self.size = (inputs.cfg.height, inputs.cfg.width)
        self.width = towers.width(encoders["image"])
        self.spaces = {"main": Space(("image",), width or self.width)}

    @classmethod
    def needs(cls, cfg: P, inputs: Inputs) -> Needs:
        """One picture."""
        return inputs.needs(frames=1)

    def vector(self, x: Tensor) -> Tensor:
        """What a picture is known by, [B, D]: the encoder's own vector; heads are for training only."""
        found: Tensor = self.encoders["image"](x).vector
        return found

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Unit vectors [B, D] of :meth:`vector`."""
        if modality != "image" or space != "main":
            raise self.no_space(modality, space)
        return ops.unit(self.vector(x))


class OfViews(OfPictures[P]):
    """Sees views of pictures: loaders' workers draw what decides them, ``self.views`` makes those of a batch."""

    def __init__(self, cfg: P, inputs: Inputs, encoders: nn.ModuleDict, length: int, width: int = 0):
        super().__init__(cfg, inputs, encoders, length, width)
        self.views = self.transform(cfg, inputs)

    @classmethod
    @abstractmethod
    def transform(cls, cfg: P, inputs: Inputs) -> views.Views:
        """How views come about."""

    @classmethod
    def preview(cls, cfg: P, inputs: Inputs) -> Transform:
        """The picture and its views; and what decides them, where the method shows what it makes of these."""
        return views.Shown(cls.transform(cfg, inputs), drawn=hasattr(cls, "show"))


class View:
    """One picture -> a view of it, uint8 [3, H, W], cropped and mirrored; and a ``code``, where one is asked for.

    Args:
        area: least share of the picture that a view shows.
        ratio: least and greatest width / height of what is cut out.
        code: Z, how many numbers of a uniform prior in -1..1 go with it.
    """

    def __init__(self, area: float, ratio: tuple[float, float] = (3 / 4, 4 / 3), code: int = 0):
        self.area, self.ratio, self.code = area, ratio, code

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """picture uint8 [3, H, W], code [Z], drawn per sample so that it does not depend on ranks or workers."""
        picture = views.crop(sample.video[0, 0], generator, (self.area, 1.0), ratio=self.ratio)
        code = torch.rand(self.code, generator=generator) * 2 - 1
        shown = {"picture": views.flip(picture, generator)}
        return {**shown, "code": code} if self.code else shown


class Labeled:
    """One picture -> a view of it, uint8 [3, H, W], and the number of its label; and the ``whole`` of it, where asked.

    Args:
        label: name of the label in the manifest.
        classes: how many values it may have.
        area: least share of the picture that a view shows.
        flip: mirror half of the views.
        whole: give the picture as it is, too.
    """

    def __init__(self, label: str, classes: int, area: float, flip: bool, *, whole: bool = False):
        self.label, self.classes = label, classes
        self.area, self.flip, self.whole = area, flip, whole

    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        """picture (and whole) uint8 [3, H, W], label int64. Raises ValueError for a label beyond ``classes``."""
        if sample.label >= self.classes:
            raise ValueError(f"{self.label} has more than {self.classes} values; set method.classes")
        whole = sample.video[0, 0]
        picture = views.flip(views.crop(whole, generator, (self.area, 1.0)), generator, 0.5 * self.flip)
        shown = {"picture": picture, "whole": whole} if self.whole else {"picture": picture}
        return {**shown, "label": torch.tensor(sample.label)}
