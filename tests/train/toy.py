"""A tiny method and made-up items, so that the trainer is tested without any of the real ones; also a command.

``python tests/train/toy.py OUT key=value ...`` trains it; TINY_KILL="9@5" sends that signal to itself in step 5.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Generator, Tensor, nn

from avssl import config, ops
from avssl.config import MethodConfig, RunConfig
from avssl.data.loader import Loader
from avssl.encoders import width
from avssl.inputs import Inputs
from avssl.methods import base
from avssl.methods.base import Batch, Method, Space, Step, Transform
from avssl.nn.gather import gather
from avssl.sample import Needs, Sample

ITEMS = 10
CFG: dict[str, Any] = {
    "method": {"name": "tiny"},
    "inputs": {"height": 16, "width": 16},
    "encoders": {"image": {"width": 16}},
    "data": {"manifest": "made-up", "batch": 4, "workers": 0},
    "optim": {"lr": 0.01},
    "steps": 8,
    "checkpoint_every": 3,
    "log_every": 1,
}


class Config(MethodConfig):
    name: str = "tiny"
    turns: int = 1
    drop: float = 0.2
    contrast: bool = True
    break_at: int = -1


class Pictures:
    def __call__(self, sample: Sample, generator: Generator, progress: float) -> dict[str, Tensor]:
        noise = torch.randn(3, 16, 16, generator=generator) * 20 * (1 + progress)
        return {"picture": (sample.video[0, 0] + noise).clamp(0, 255).to(torch.uint8)}


class Tiny(Method[Config]):
    modalities = ("image",)

    def __init__(self, cfg: Config, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__(cfg, inputs, encoders, length)
        self.head = nn.Linear(width(encoders["image"]), 8)
        self.critic = nn.Linear(8, 1)
        self.scale = nn.Parameter(torch.ones(1))
        self.register_buffer("bank", torch.randn(length, 8))
        self.register_buffer("epochs", torch.zeros((), dtype=torch.int64))
        self.spaces = {"main": Space(("image",), 8)}
        self.seen: list[Tensor] = []
        self.kept: tuple[Tensor, Tensor] | None = None

    @classmethod
    def needs(cls, cfg: Config, inputs: Inputs) -> Needs:
        return inputs.needs(frames=1)

    @classmethod
    def transform(cls, cfg: Config, inputs: Inputs) -> Transform:
        return Pictures()

    def turns(self) -> dict[str, list[nn.Parameter]]:
        critic = list(self.critic.parameters())
        rest = [p for p in self.parameters() if all(p is not c for c in critic)]
        return {"main": [*rest, *critic]} if self.cfg.turns == 1 else {"main": rest, "critic": critic}

    def before_epoch(self, examples: Iterable[Batch]) -> None:
        self.epochs += 1
        self.bank += 0.01 * sum(len(batch["index"]) for batch in examples)

    def forward(self, batch: Batch, turn: str = "main") -> Step:
        self.seen.append(batch["index"])
        x = self.head(self.encoders["image"](batch["picture"]).vector)
        x = nn.functional.dropout(x, self.cfg.drop, self.training)
        worth = gather(self.critic(x)).mean()
        x = gather(ops.unit(x))
        index = gather(batch["index"])
        if turn == "main":
            self.kept = (index, x.detach())
        if self.cfg.contrast:
            loss = nn.functional.cross_entropy(self.scale * (x @ self.bank.clone().T), index)
            loss = loss + (self.scale * (x @ x.T)).logsumexp((0, 1))
        else:
            loss = (x.sum(1) * self.scale - batch["index"] / ITEMS).square().mean()
        if turn == "critic":
            loss = loss + worth
        if self.cfg.turns == 1 and self.cfg.contrast:
            loss = loss + 0.1 * worth.square()
        if self.cfg.break_at >= 0 and len(self.seen) > self.cfg.break_at:
            loss = loss * float("nan")
        return Step(loss, {"worth": worth.detach()})

    def after_step(self, progress: float) -> None:
        assert self.kept is not None
        index, x = self.kept
        self.bank[index] = 0.5 * self.bank[index] + 0.5 * x
        number, _, step = os.environ.get("TINY_KILL", "0@0").partition("@")
        if int(number) and round(progress * int(os.environ["TINY_STEPS"])) == int(step):
            os.kill(os.getpid(), int(number))

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        return ops.unit(self.head(self.encoders["image"](x).vector))


class MadeUp:
    """Items whose pictures are drawn from their index."""

    def __init__(self, count: int = ITEMS):
        self.items = [(index,) for index in range(count)]

    def get(self, index: int, generator: Generator) -> Sample:
        draw = Generator().manual_seed(index)
        picture = torch.randint(0, 256, (1, 1, 3, 16, 16), generator=draw, dtype=torch.uint8)
        return Sample(str(index), index, (0.0,), {"video": picture})


def cfg_of(*words: str) -> RunConfig:
    return config.build(config.override(CFG, words), base.config_of)


def install(patch: Any = None, digest: str = "0" * 64) -> None:
    """Make the trainer find Tiny and the made-up items; ``patch`` is a monkeypatch that undoes it."""
    from avssl.train import run

    real = base.find
    put = patch.setattr if patch is not None else setattr
    kind = sys.modules[__name__].Tiny
    held = SimpleNamespace(digest=lambda: digest, split=lambda name: ())
    put(base, "find", lambda name: kind if name == "tiny" else real(name))
    put(run, "_recordings", lambda cfg, *rest: run.Recordings(Path(cfg.data.manifest), cfg.data.manifest, held))
    put(run, "_loader", loader)


def loader(cfg: RunConfig, kind: Any, inputs: Inputs, held: Any, ranks: Any, say: Any) -> Loader:
    many = cfg.optim.accumulate
    return Loader(
        MadeUp(), Pictures(), batch=cfg.data.batch // many, seed=cfg.seed, workers=cfg.data.workers, length=ITEMS,
        rank=ranks.rank, world=ranks.world, progress=lambda micro: micro // many / cfg.steps,
    )  # fmt: skip


def main() -> int:
    from avssl.train import run

    torch.set_num_threads(1)
    install()
    cfg = cfg_of(*sys.argv[2:])
    os.environ["TINY_STEPS"] = str(cfg.steps)
    try:
        done = run.start(cfg, Path(sys.argv[1]))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 128 + done.signal if done.how == "interrupted" else 0


if __name__ == "__main__":
    sys.exit(main())
