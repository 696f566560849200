"""Sound encoders: log-mel [B, M, F] -> Features with a map [B, D, t] that keeps time."""

from __future__ import annotations

from torch import Tensor, nn

from avssl.encoders import Features, Spec
from avssl.encoders.image import conv, normalization


class SmallAudio(nn.Module):
    """Three strided convolutions over time and frequency, then the bands are joined and time is kept (M / 4 steps)."""

    def __init__(self, spec: Spec, mels: int):
        super().__init__()
        thin = max(16, spec.width // 4)
        self.trunk = nn.Sequential(
            conv(1, thin, 5, 2, spec.norm),
            conv(thin, thin * 2, 3, 2, spec.norm),
            _narrow(thin * 2, thin * 3, spec.norm),
        )
        bands = -(-mels // 8)
        self.join = nn.Conv1d(thin * 3 * bands, spec.width, 1)
        self.after = nn.Sequential(
            over_time(spec.norm, spec.width),
            nn.ReLU(inplace=True), nn.Conv1d(spec.width, spec.width, 3, padding=1), nn.ReLU(inplace=True),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Features:
        """x [B, M, F] -> vector [B, D], map [B, D, ceil(M / 4)]."""
        maps = self.trunk(x[:, None])  # [B, C, M / 4, F / 8]
        maps = self.after(self.join(maps.transpose(2, 3).flatten(1, 2)))
        return Features(maps.mean(2), (maps,))


def over_time(kind: str, channels: int) -> nn.Module:
    """:func:`normalization` of a map [B, C, t]."""
    return nn.Sequential(nn.Unflatten(2, (1, -1)), normalization(kind, channels), nn.Flatten(2))


def _narrow(inputs: int, outputs: int, norm: str) -> nn.Sequential:
    """Halves the bands, keeps time."""
    layer = nn.Conv2d(inputs, outputs, 3, (1, 2), 1, bias=False)
    return nn.Sequential(layer, normalization(norm, outputs), nn.ReLU(inplace=True))


class ResNet18Audio(nn.Module):
    """ResNet-18 over time and frequency with one input plane; time is halved four times, bands are averaged last."""

    def __init__(self, spec: Spec, mels: int):
        super().__init__()
        from torchvision.models import resnet18

        net = resnet18(weights=None, norm_layer=lambda planes: normalization(spec.norm, planes))
        net.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
        net.layer4[0].conv1.stride = net.layer4[0].downsample[0].stride = (1, 2)
        self.stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
        self.stages = nn.ModuleList([net.layer1, net.layer2, net.layer3, net.layer4])
        self.project = nn.Conv1d(512, spec.width, 1)

    def forward(self, x: Tensor) -> Features:
        """x [B, M, F] -> vector [B, D], maps of the stages; the last [B, D, M / 16]."""
        maps = []
        y = self.stem(x[:, None])
        for stage in self.stages:
            y = stage(y)
            maps.append(y)
        maps[-1] = self.project(y.mean(3))
        return Features(maps[-1].mean(2), tuple(maps))


ENCODERS = {"small": SmallAudio, "resnet18": ResNet18Audio}
