"""Fill in the three quarters of a picture's patches that are hidden, from those that are not.

Kaiming He, Xinlei Chen, Saining Xie, Yanghao Li, Piotr Dollár, Ross Girshick: Masked Autoencoders Are Scalable Vision
Learners, CVPR 2022, arXiv:2111.06377.

The encoder sees visible patches alone, which makes it cheap; a light decoder fills in the others. Only hidden patches
count. Their values lack each patch's own mean and deviation, so that brightness, which neighbors tell, is no answer.

Deviations: no class token, the mean over patches stands for it; the blocks' own initialization.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from avssl import views
from avssl.config import MethodConfig
from avssl.encoders.vit import ViTImage
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Step, detached
from avssl.methods.pictures import OfViews
from avssl.nn import masking
from avssl.nn.chunked import unchunked
from avssl.nn.decoders import CellDecoder


class Config(MethodConfig):
    """MAE; defaults are the paper's."""

    hidden_share: float = Field(0.75, gt=0, lt=1)
    """of the patches"""
    normalize: bool = True
    """each patch without its own mean and deviation; off, the neighbors' brightness is most of the answer"""
    decoder_width: int = Field(512, ge=8)
    """of the decoder's tokens"""
    decoder_layers: int = Field(8, ge=1)
    """of the decoder's blocks"""
    area: float = Field(0.2, gt=0, le=1)
    """least share of the picture that is shown"""


class MAE(OfViews[Config]):
    """A vision transformer and a light decoder."""

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        encoder = unchunked(encoders["image"])
        if not isinstance(encoder, ViTImage):
            raise ValueError("encoders.image.name: mae shows its encoder some patches alone; set vit")
        patch, size = encoder.patch, self.size
        if size[0] % patch or size[1] % patch:
            raise ValueError(
                f"inputs: mae cuts {size[0]} x {size[1]} pixels into patches of {patch}; make it multiples"
            )
        self.grid = (size[0] // patch, size[1] // patch)
        grids, values = {"image": self.grid}, {"image": 3 * patch**2}
        self.decoder = CellDecoder(self.width, cfg.decoder_width, cfg.decoder_layers, grids, values)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> views.Views:
        """A view, and a number with which hidden patches are drawn."""
        return views.OneView(cfg.area, draws=1)

    def filled(self, picture: Tensor, draw: Tensor) -> tuple[Tensor, Tensor]:
        """Which patches are hidden, bool [B, cells], and what is made of them [B, hidden, V].

        Args:
            picture: uint8 [B, 3, H, W].
            draw: int64 [B, 1].
        """
        cells = self.grid[0] * self.grid[1]
        visible = masking.kept(draw[:, 0], cells, self.cfg.hidden_share)  # [B, K]
        tokens = self.encoders["image"](picture, visible).maps[-1].flatten(2).transpose(1, 2)  # [B, K, D]
        made: Tensor = self.decoder({"image": tokens}, {"image": visible})["image"]
        return masking.hidden(visible, cells), made

    def truth(self, picture: Tensor) -> Tensor:
        """Pictures uint8 [B, 3, H, W] -> what is to be filled in, for every patch [B, cells, V]."""
        values = masking.patches(picture.float() / 255, self.grid)
        return masking.standard(values) if self.cfg.normalize else values

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Mean squared error of the hidden patches; ``explained`` is the share of their variance."""
        picture = self.views.made(batch)
        hidden, made = self.filled(picture, batch["draw"])
        wanted = self.truth(picture)[hidden]  # [B hidden, V]
        loss = (made.flatten(0, 1) - wanted).square().mean()
        return Step(loss, detached({"explained": 1 - loss / wanted.var(correction=0).clamp_min(1e-6)}))

    def show(self, batch: Batch) -> dict[str, Tensor]:
        """The ``visible`` patches on gray, and the picture ``filled`` in, 0..1 [B, 3, H, W].

        Normalized patches get the mean and the usual deviation of the visible ones: their own would be the answer.
        """
        picture = self.views.made(batch)
        hidden, made = self.filled(picture, batch["draw"])
        cells = masking.patches(picture.float() / 255, self.grid)  # [B, cells, V]
        shown = cells.masked_fill(hidden[..., None], 0.5)
        if self.cfg.normalize:
            seen = cells[~hidden].unflatten(0, (len(cells), -1))  # [B, K, V]
            made = made * seen.std(2).mean(1)[:, None, None] + seen.mean((1, 2))[:, None, None]
        full = cells.masked_scatter(hidden[..., None], made.to(cells))
        return {"visible": self.joined(shown), "filled": self.joined(full)}

    def joined(self, cells: Tensor) -> Tensor:
        """Values of patches [B, cells, V] -> pictures [B, 3, H, W]."""
        patch = round((cells.shape[2] // 3) ** 0.5)
        x: Tensor = cells.unflatten(2, (3, patch, patch)).unflatten(1, self.grid).permute(0, 3, 1, 4, 2, 5)
        return x.flatten(4, 5).flatten(2, 3)
