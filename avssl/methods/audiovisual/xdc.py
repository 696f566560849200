"""Name the cluster that a clip's sound falls into from its pictures, and that of its pictures from its sound.

Humam Alwassel, Dhruv Mahajan, Bruno Korbar, Lorenzo Torresani, Bernard Ghanem, Du Tran: Self-Supervised Learning by
Cross-Modal Audio-Video Clustering, NeurIPS 2020, arXiv:1911.12667.

Before an epoch each modality's features of all items are clustered by k-means; the clusters of one are the classes that
the other learns. Clusters found anew take the numbers of the old ones that they share most items with, so that
classifiers go on from where they are.

Deviations: that renumbering; features lose their mean and their length before k-means; at most half as many clusters as
items. A clip is embedded by how likely each cluster of either modality is, which makes one space of both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from avssl import encoders as towers
from avssl import ops, views
from avssl.config import MethodConfig
from avssl.inputs import Inputs
from avssl.methods.base import Batch, Method, Space, Step, Transform, detached
from avssl.nn.clusters import kmeans, renumbered
from avssl.nn.sweep import sweep
from avssl.sample import Needs

OTHER = {"video": "audio", "audio": "video"}


class Config(MethodConfig):
    """XDC; defaults are the paper's."""

    clusters: int = Field(64, ge=2)
    """K, of each modality"""
    every: int = Field(1, ge=1)
    """epochs between clusterings"""
    iterations: int = Field(20, ge=1)
    """most rounds of k-means"""
    temperature: float = Field(0.1, gt=0)
    """of how likely a clip's own clusters are; for embedding alone"""
    pooling: Literal["max", "mean"] = "max"
    """of the encoders' maps over places and moments"""
    area: float = Field(0.28, gt=0, le=1)
    """least share of the picture that a view shows"""
    strength: float = Field(0.5, ge=0)
    """of the colour changes"""
    decibels: float = Field(6.0, ge=0)
    """most by which the sound is made louder or softer"""
    hidden_share: float = Field(0.1, ge=0, lt=1)
    """most of the spectrogram's time, and of its bands, that is hidden"""


class Clusters(nn.Module):
    """Of one modality: ``mean`` [D] and ``centers`` [K, D] of its features, ``labels`` [N] of the items."""

    mean: Tensor
    centers: Tensor
    labels: Tensor

    def __init__(self, length: int, width: int, count: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("centers", ops.unit(torch.randn(count, width)))
        self.register_buffer("labels", torch.randint(count, (length,)))

    def find(self, index: Tensor, x: Tensor, iterations: int) -> None:
        """Anew, from the features x [N', D] of the items ``index`` [N']."""
        self.mean.copy_(x.float().mean(0))
        centers, labels = kmeans(ops.unit(x - self.mean), len(self.centers), iterations)
        new = renumbered(labels, self.labels[index], len(centers))
        self.centers[new] = centers
        self.labels[index] = new[labels]

    def closeness(self, x: Tensor) -> Tensor:
        """Minus half the squared distance of features [B, D] from all centers, [B, K]."""
        return ops.unit(x - self.mean) @ self.centers.T - 0.5 * (1 + self.centers.square().sum(1))


class XDC(Method[Config]):
    """Two towers, two sets of clusters, each tower names the other's."""

    modalities = ("video", "audio")
    found: Any
    epochs: Tensor

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        self.count = max(2, min(cfg.clusters, length // 2))
        widths = {kind: towers.width(encoders[kind]) for kind in self.modalities}
        self.heads = nn.ModuleDict({kind: nn.Linear(width, self.count) for kind, width in widths.items()})
        self.found = nn.ModuleDict({kind: Clusters(length, width, self.count) for kind, width in widths.items()})
        self.register_buffer("epochs", torch.zeros((), dtype=torch.int64))
        self.spaces = {"main": Space(self.modalities, 2 * self.count)}

    @classmethod
    def needs(cls, cfg: Config, inputs: Inputs) -> Needs:
        """A clip and its sound."""
        return inputs.needs(audio_seconds=inputs.cfg.audio_seconds)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        """Gives ``video`` and ``audio``."""
        return views.CroppedClip(inputs, cfg.area, cfg.strength, cfg.decibels, cfg.hidden_share)

    def before_epoch(self, examples: Iterable[Batch]) -> None:
        """Clusters each modality; every rank sees every item and draws the same, so all find the same."""
        if (int(self.epochs.add_(1)) - 1) % self.cfg.every:
            return
        seen = sweep(self, examples, lambda batch: {kind: self._features(kind, batch[kind]) for kind in OTHER})
        for kind in self.modalities:
            self.found[kind].find(seen["index"], seen[kind], self.cfg.iterations)

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Mean cross-entropy of both classifiers."""
        losses, hits = [], []
        for kind, other in OTHER.items():
            logits = self.heads[kind](self._features(kind, batch[kind])).float()
            label = self.found[other].labels[batch["index"]]
            losses.append(F.cross_entropy(logits, label))
            hits.append((logits.argmax(1) == label).float().mean())
        told = {"video_loss": losses[0], "audio_loss": losses[1], "accuracy": torch.stack(hits).mean()}
        return Step(torch.stack(losses).mean(), detached(told))

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Roots of how likely the K clusters of pictures and the K of sounds are, as unit vectors [B, 2 K]."""
        if modality not in self.modalities or space != "main":
            raise self.no_space(modality, space)
        features = self._features(modality, x)
        own = (self.found[modality].closeness(features) / self.cfg.temperature).softmax(1)
        told = self.heads[modality](features).float().softmax(1)
        return ops.unit(torch.cat([own, told] if modality == "video" else [told, own], 1).sqrt())

    def cluster(self, modality: str, vectors: Tensor) -> Tensor:
        """The own clusters of what :meth:`embed` made [B, 2 K], int64 [B]."""
        return vectors[:, : self.count].argmax(1) if modality == "video" else vectors[:, self.count :].argmax(1)

    def _features(self, modality: str, x: Tensor) -> Tensor:
        pooled: Tensor = self.encoders[modality](x).pooled(self.cfg.pooling)
        return pooled
