"""Who takes part in scripts/bench_methods.py: a method of ours, and the same of lightly's parts, on equal pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.utils._pytree import tree_map_only

from avssl import config, encoders
from avssl.data.loader import Loader
from avssl.inputs import Inputs
from avssl.methods import base
from avssl.methods.pictures import OfViews
from avssl.sample import Sample
from avssl.train import build
from avssl.train.loop import autocast
from avssl.views import Views


class Held:
    """Pictures in memory as the data layer's source; goes to its workers."""

    def __init__(self, x: NDArray[np.uint8]):
        self.x = x
        self.items = [(number,) for number in range(len(x))]

    def get(self, index: int, generator: Generator) -> Sample:
        """One picture."""
        return Sample(str(index), index, (0.0,), {"video": torch.from_numpy(self.x[index])[None, None]})


class Given(torch.utils.data.Dataset[list[Tensor]]):
    """Pictures in memory as lightly's users have them: PIL pictures, and a transform."""

    def __init__(self, x: NDArray[np.uint8], transform: Callable[[Any], list[Tensor]]):
        from PIL import Image

        self.held = [Image.fromarray(one.transpose(1, 2, 0)) for one in x]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.held)

    def __getitem__(self, index: int) -> list[Tensor]:
        return self.transform(self.held[index])


@dataclass(frozen=True)
class Plan:
    """Sizes of a measurement."""

    side: int
    batch: int
    precision: str
    workers: int
    device: str = "cpu"

    def there(self, batch: Any) -> Any:
        """A batch on the device."""
        return tree_map_only(Tensor, lambda x: x.to(self.device, non_blocking=True), batch)

    def wait(self) -> None:
        """For what the device still does."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)


class Contender(Protocol):
    """Who takes part."""

    def view(self, count: int) -> None:
        """The views of so many pictures, by whoever makes them: workers, or the step."""

    def ready(self) -> Any:
        """A batch that is there, views too."""

    def step(self, batch: Any) -> None:
        """One step of the optimizer."""

    def stream(self, steps: int) -> Iterator[Any]:
        """Batches from loader workers."""

    def close(self) -> None:
        """End the workers."""


class Kept:
    """Makes the views of a batch that has none yet."""

    def __init__(self, views: Views):
        self.views = views

    def made(self, batch: base.Batch) -> Tensor:
        """As :meth:`avssl.views.Views.made`."""
        return batch["views"] if "views" in batch else self.views.made(batch)


class Ours:
    """A method of ours, from its shipped config. Where it makes views of whole batches, it does so in its step."""

    def __init__(self, name: str, x: NDArray[np.uint8], plan: Plan):
        words = [f"inputs.height={plan.side}", f"inputs.width={plan.side}", "data=none"]
        self.cfg = config.load(name, words, base.config_of)
        inputs = Inputs(self.cfg.inputs)
        self.method = build.method_of(self.cfg, inputs, len(x)).train().to(plan.device)
        build.layout(self.method, channels_last=True)
        self.views = Kept(self.method.views) if isinstance(self.method, OfViews) else None
        if self.views is not None:
            self.method.views = self.views  # type: ignore[assignment]
        self.source, self.plan = Held(x), plan
        self.transform = type(self.method).transform(self.cfg.method, inputs)
        self.optimizer = torch.optim.AdamW(self.method.parameters(), self.cfg.optim.lr)
        self.loader = Loader(self.source, self.transform, batch=plan.batch, seed=0, workers=plan.workers, length=len(x))

    def view(self, count: int) -> None:
        """As in :class:`Contender`."""
        rows = [
            self.transform(self.source.get(index, Generator()), Generator().manual_seed(index), 0.0)
            for index in range(count)
        ]
        if self.views is not None:
            self.views.made(self.plan.there({name: torch.stack([row[name] for row in rows]) for name in rows[0]}))

    def ready(self) -> Any:
        """As in :class:`Contender`."""
        with Loader(
            self.source, self.transform, batch=self.plan.batch, seed=0, workers=0, length=len(self.source.x)
        ) as loader:
            batch = self.plan.there(next(loader.batches(0, 1)))
        return batch if self.views is None else {**batch, "views": self.views.made(batch)}

    def step(self, batch: Any) -> None:
        """As in :class:`Contender`."""
        self.method.zero_grad(set_to_none=True)
        with autocast(torch.device(self.plan.device), self.plan.precision):
            loss = self.method(self.plan.there(batch)).loss
        loss.backward()
        self.optimizer.step()
        self.method.after_step(0.5)

    def stream(self, steps: int) -> Iterator[Any]:
        """As in :class:`Contender`."""
        yield from self.loader.batches(0, steps)

    def close(self) -> None:
        """As in :class:`Contender`."""
        self.loader.close()


class Theirs:
    """The same method of lightly's parts, with the settings of our config.

    Its memory is laid out as lightly's users have it, which is torch's default, or else as our training has it.
    """

    def __init__(self, ours: Ours, name: str, x: NDArray[np.uint8], plan: Plan, channels_last: bool = False):
        import lightly_steps

        spec, method = ours.cfg.encoders.image, ours.cfg.method
        trunk = encoders.build(ours.cfg.encoders, ["image"])["image"]
        self.module = lightly_steps.module(name, trunk, plan.side, spec, method).train().to(plan.device)
        build.layout(self.module, channels_last)
        self.data = Given(x, lightly_steps.transform(name, plan.side, method))
        moved = [parameter for parameter in self.module.parameters() if parameter.requires_grad]
        self.optimizer, self.plan = torch.optim.AdamW(moved, ours.cfg.optim.lr), plan
        self.loader = torch.utils.data.DataLoader(
            self.data, plan.batch, shuffle=True, num_workers=plan.workers, persistent_workers=plan.workers > 0
        )

    def view(self, count: int) -> None:
        """As in :class:`Contender`."""
        for index in range(count):
            self.data[index]

    def ready(self) -> Any:
        """As in :class:`Contender`."""
        rows = [self.data[index % len(self.data)] for index in range(self.plan.batch)]
        return self.plan.there([torch.stack(view) for view in zip(*rows, strict=True)])

    def step(self, batch: Any) -> None:
        """As in :class:`Contender`."""
        self.module.zero_grad(set_to_none=True)
        with autocast(torch.device(self.plan.device), self.plan.precision):
            loss = self.module(self.plan.there(batch))
        loss.backward()
        self.optimizer.step()
        self.module.after()

    def stream(self, steps: int) -> Iterator[Any]:
        """As in :class:`Contender`."""
        given = 0
        while given < steps:
            for batch in self.loader:
                yield batch
                given += 1
                if given == steps:
                    break

    def close(self) -> None:
        """As in :class:`Contender`."""
        del self.loader  # its workers end with it
