"""Clip encoders: uint8 [B, T, 3, H, W] (or float 0..1) -> Features with a map [B, D, T', h, w]."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avssl import ops
from avssl.encoders import Features, Spec
from avssl.encoders.image import ResNet18Image, trunk

SPAN = 5
"""frames the small encoder's first layer sees at once"""


def gray(x: Tensor) -> Tensor:
    """[..., 3, H, W] uint8 or float -> luminance [..., H, W] about -1..1, without a float copy of the colour planes."""
    if x.dtype == torch.uint8 and torch.compiler.is_exporting():  # ONNX has no shift of int16; the same in floats
        x = x.float()
        return ((77 * x[..., 0, :, :] + 150 * x[..., 1, :, :] + 29 * x[..., 2, :, :]) / 256).floor() / 127.5 - 1
    if x.dtype == torch.uint8:
        x = x.to(torch.int16)
        # the sum of a bright pixel does not fit int16, but its upper byte is right once the sign is masked away
        return (((77 * x[..., 0, :, :] + 150 * x[..., 1, :, :] + 29 * x[..., 2, :, :]) >> 8) & 255).float() / 127.5 - 1
    return 0.299 * x[..., 0, :, :] * 2 + 0.587 * x[..., 1, :, :] * 2 + 0.114 * x[..., 2, :, :] * 2 - 1


class OverTime(nn.Conv3d):
    """A convolution over three steps of time, [B, D, T, h, w] -> the same; ``groups`` as elsewhere.

    Computed in two dimensions: in bf16 on a CPU, torch's 3-D one reads memory that nobody wrote when there are fewer
    steps than the kernel has, and gives gradients that differ from run to run or are no numbers.
    """

    def __init__(self, width: int, groups: int = 1):
        super().__init__(width, width, (3, 1, 1), padding=(1, 0, 0), groups=groups)

    def forward(self, input: Tensor) -> Tensor:
        """[B, D, T, h, w] -> [B, D, T, h, w]."""
        mixed: Tensor = F.conv2d(
            input.flatten(3), self.weight.squeeze(4), self.bias, padding=(1, 0), groups=self.groups
        )
        return mixed.reshape(input.shape)


class SmallVideo(nn.Module):
    """Frames in luminance; the first layer sees SPAN frames and their mean removed, so that motion is seen at once.

    A 3-D first layer written as a 2-D one over stacked frames, then a 2-D trunk per step, then one mixing over time:
    a CPU trains it in minutes, where 3-D networks are ten times slower. One step per ``time_stride`` frames.
    """

    def __init__(self, spec: Spec):
        super().__init__()
        self.trunk = trunk(SPAN + 1, spec.width, spec.stride, spec.norm)
        self.time_stride = spec.time_stride
        self.mix = OverTime(spec.width, spec.width)
        nn.init.zeros_(self.mix.weight)
        assert self.mix.bias is not None
        nn.init.zeros_(self.mix.bias)

    def forward(self, x: Tensor) -> Features:
        """x [B, T, 3, H, W] -> vector [B, D], map [B, D, T', h, w] with T' = ceil(T / time_stride)."""
        light = gray(x)  # [B, T, H, W]
        still = light.mean(1, keepdim=True)
        around = F.pad((light - still).flatten(2).transpose(1, 2), (SPAN // 2, SPAN // 2), mode="replicate")
        windows = around.unfold(2, SPAN, self.time_stride)  # [B, HW, T', SPAN]
        steps = windows.shape[2]
        stack = windows.permute(0, 2, 3, 1).reshape(-1, SPAN, *light.shape[2:])  # [B*T', SPAN, H, W]
        still = still.expand(-1, steps, -1, -1).reshape(-1, 1, *light.shape[2:])
        maps = self.trunk(torch.cat([stack * 3, still], 1))  # [B*T', D, h, w]
        maps = maps.unflatten(0, (-1, steps)).transpose(1, 2)  # [B, D, T', h, w]
        maps = maps + self.mix(maps)
        return Features(maps.mean((2, 3, 4)), (maps,))


class FramesResNet18(nn.Module):
    """ResNet-18 on each frame, then one mixing over time (temporal pooling is the vector's mean)."""

    def __init__(self, spec: Spec):
        super().__init__()
        self.time_stride = 1
        self.frame = ResNet18Image(spec)
        self.mix = OverTime(spec.width)

    def forward(self, x: Tensor) -> Features:
        """x [B, T, 3, H, W] -> vector [B, D], map [B, D, T, h, w]."""
        maps = self.frame(x.flatten(0, 1)).maps[-1]
        maps = maps.unflatten(0, x.shape[:2]).transpose(1, 2)
        maps = maps + self.mix(maps)
        return Features(maps.mean((2, 3, 4)), (maps,))


class R2Plus1D(nn.Module):
    """torchvision's R(2+1)D-18, from scratch (Tran, Wang, Torresani, Ray, LeCun, Paluri, 2018). For GPUs."""

    def __init__(self, spec: Spec):
        super().__init__()
        from torchvision.models.video import r2plus1d_18

        self.time_stride = 8
        net = r2plus1d_18(weights=None)
        if spec.norm == "group":
            _replace_norm(net)
        self.stem = net.stem
        self.stages = nn.ModuleList([net.layer1, net.layer2, net.layer3, net.layer4])
        self.project = nn.Conv3d(512, spec.width, 1)

    def forward(self, x: Tensor) -> Features:
        """x [B, T, 3, H, W] -> vector [B, D], maps of the four stages, the last [B, D, T / 8, H / 16, W / 16]."""
        x = self.stem(ops.picture(x).transpose(1, 2))
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        maps[-1] = self.project(x)
        return Features(maps[-1].mean((2, 3, 4)), tuple(maps))


def _replace_norm(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm3d):
            planes = child.num_features  # 45, 230, ...: not all are multiples of 16
            groups = next(count for count in range(max(1, planes // 16), 0, -1) if planes % count == 0)
            setattr(module, name, nn.GroupNorm(groups, planes))
        else:
            _replace_norm(child)


ENCODERS = {"small": SmallVideo, "resnet18": FramesResNet18, "r2plus1d_18": R2Plus1D}
