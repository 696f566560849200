"""Picture encoders: uint8 [B, 3, H, W] (or float 0..1) -> Features with a map [B, D, h, w]."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avssl import ops
from avssl.encoders import Features, Spec
from avssl.encoders.vit import ViTImage
from avssl.nn.gather import gather, several_ranks


class PlaceNorm(nn.LayerNorm):
    """LayerNorm over the channels of each place on its own, as in ConvNeXt (Liu et al., 2022).

    Statistics over one whole picture (GroupNorm) tell every place what happens at every other: a dense
    method then lights the wall as well as the mouth. This one keeps what a cell knows inside its receptive field.
    """

    def __init__(self, channels: int):
        super().__init__(channels, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, h, w] -> [B, C, h, w]."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class JointNorm(nn.BatchNorm2d):
    """BatchNorm (Ioffe, Szegedy, 2015) with the statistics of the whole batch, whatever number of ranks share it.

    In evaluation a place depends on its own receptive field alone; in training, on others only through averages over
    the whole batch. It trains the small trunks several times quicker than statistics per place.
    """

    def forward(self, input: Tensor) -> Tensor:
        """x [B, C, h, w] -> [B, C, h, w]."""
        if not self.training or not several_ranks():
            return super().forward(input)
        x = input.float()
        each = torch.stack([x.mean((0, 2, 3)), x.square().mean((0, 2, 3))])[None]  # [1, 2, C]
        counts = gather(torch.tensor([float(x.numel() // x.shape[1])], device=x.device))  # ranks may have unlike shares
        mean, square = (gather(each) * (counts / counts.sum())[:, None, None]).sum(0)
        variance = square - mean.square()
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        with torch.no_grad():
            count = counts.sum()
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
            self.num_batches_tracked += 1
        scale = torch.rsqrt(variance + self.eps)
        scale, shift = (scale * self.weight, self.bias) if self.affine else (scale, torch.zeros_like(scale))
        result: Tensor = x * scale[:, None, None] + (shift - mean * scale)[:, None, None]
        return result.to(input.dtype)


def normalization(kind: str, channels: int) -> nn.Module:
    """place: each place on its own; group: GroupNorm over groups of 16 channels; batch: BatchNorm over all ranks."""
    if kind == "place":
        return PlaceNorm(channels)
    return JointNorm(channels) if kind == "batch" else nn.GroupNorm(max(1, channels // 16), channels)


def conv(inputs: int, outputs: int, kernel: int, stride: int, norm: str) -> nn.Sequential:
    """Convolution, normalization, ReLU; no normalization where ``norm`` is empty."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=not norm)
    if norm:
        return nn.Sequential(layer, normalization(norm, outputs), nn.ReLU(inplace=True))
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return nn.Sequential(layer, nn.ReLU(inplace=True))


def trunk(channels: int, width: int, stride: int, norm: str) -> nn.Sequential:
    """A small convolutional trunk, ``channels`` planes in, ``width`` planes out, one cell per ``stride`` pixels."""
    assert stride in (4, 8, 16), "the small trunk has stride 4, 8 or 16"
    thin = max(16, width // 4)
    plan = {4: (2, 2, 1, 1), 8: (2, 2, 2, 1), 16: (2, 2, 2, 2)}[stride]
    planes = (thin, thin * 2, width, width)
    layers: list[nn.Module] = []
    for index, (step, outputs) in enumerate(zip(plan, planes, strict=True)):
        # on large maps normalizing each place costs as much as the convolution; two layers do without
        kind = "" if norm == "place" and index < 2 else norm
        layers.append(conv(channels, outputs, 5 if index == 0 else 3, step, kind))
        channels = outputs
    return nn.Sequential(*layers)


class SmallImage(nn.Module):
    """Four convolutions: what a CPU trains in minutes."""

    def __init__(self, spec: Spec):
        super().__init__()
        self.trunk = trunk(3, spec.width, spec.stride, spec.norm)

    def forward(self, x: Tensor) -> Features:
        """x [B, 3, H, W] -> vector [B, D], map [B, D, H / stride, W / stride]."""
        maps = self.trunk(ops.picture(x))
        return Features(maps.mean((2, 3)), (maps,))


class ResNet18Image(nn.Module):
    """torchvision's ResNet-18, from scratch (He, Zhang, Ren, Sun, 2016); stride 32, or 16 without the last stride."""

    def __init__(self, spec: Spec):
        super().__init__()
        from torchvision.models import resnet18

        net = resnet18(weights=None, norm_layer=lambda planes: normalization(spec.norm, planes))
        if spec.stride <= 16:
            net.layer4[0].conv1.stride = net.layer4[0].downsample[0].stride = (1, 1)
        self.stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
        self.stages = nn.ModuleList([net.layer1, net.layer2, net.layer3, net.layer4])
        self.project = nn.Conv2d(512, spec.width, 1) if spec.width != 512 else nn.Identity()

    def forward(self, x: Tensor) -> Features:
        """x [B, 3, H, W] -> vector [B, D], maps of the four stages (the last projected to D)."""
        x = self.stem(ops.picture(x))
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        maps[-1] = self.project(x)
        return Features(maps[-1].mean((2, 3)), tuple(maps))


ENCODERS = {"small": SmallImage, "resnet18": ResNet18Image, "vit": ViTImage}
