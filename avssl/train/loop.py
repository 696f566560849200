"""The loop: batches, turns, steps. It knows :class:`~avssl.methods.base.Method`, never a method."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from avssl.config import MethodConfig, RunConfig
from avssl.data.maker import mix
from avssl.methods.base import Batch, Method
from avssl.train.checkpoint import replace_text
from avssl.train.distributed import Ranks, alone, gathered, same_statistics
from avssl.train.log import Log
from avssl.train.optim import schedule, set_lr

Evaluate = Callable[[Method[MethodConfig], int], dict[str, float]]
"""(method in eval mode, step) -> held-out figures; "score" is the one ``stop=plateau`` watches, higher is better"""

LOOKS = 10
"""how often a run without evaluations on its way is watched"""
LOOK_ITEMS = 2000
"""items learnt from between two looks, so that a look at a few dozen is less than a hundredth of the work"""


class Batches(Protocol):
    """What the loop asks of a loader: the batch at step k is a function of k."""

    wait_seconds: float
    order: Tensor | None

    def batches(self, first_step: int, last_step: int) -> Iterator[Batch]:
        """This rank's share of the batches of these steps, the last one excluded."""
        ...


@dataclass
class Plateau:
    """Whether the held-out score still improves; saved with every checkpoint."""

    patience: int
    best: float | None = None
    waited: int = 0
    scores: int = 0

    def add(self, score: float) -> None:
        """One more held-out score."""
        better = self.best is None or score > self.best
        self.best = score if better else self.best
        self.waited = 0 if better else self.waited + 1
        self.scores += 1

    @property
    def reached(self) -> bool:
        """No improvement for ``patience`` evaluations."""
        return self.waited >= self.patience


@dataclass
class Loop:
    """One run's training from ``step`` on.

    ``model`` is what is called: ``method`` itself, or its replicated or sharded form. With ``optim.accumulate`` A, a
    step takes A of the loader's batches, and the loader's steps (and the seeds) count those.
    """

    cfg: RunConfig
    method: Method[MethodConfig]
    model: nn.Module
    optimizers: dict[str, Optimizer]
    loader: Batches
    ranks: Ranks
    log: Log
    out: Path
    save: Callable[[Loop], None]
    evaluate: Evaluate | None = None
    watch: Evaluate | None = None
    examples: Callable[[], Iterable[Batch]] = tuple
    length: int = 0
    step: int = 0
    plateau: Plateau = field(default_factory=lambda: Plateau(1))
    finished: str = ""
    signal: int = 0
    _noted: int = 0
    _unread: list[tuple[int, str, Tensor, Batch]] = field(default_factory=list)

    def run(self) -> None:
        """Until the last step, the plateau or a signal; then a checkpoint. ValueError if a loss is not finite."""
        cfg, many = self.cfg, self.cfg.optim.accumulate
        self.method.train()
        source = self._batches()
        with self._signals():
            while not self.finished and not self.signal:
                if self._epoch_begins():
                    self._before_epoch()
                    if self.method.order() is not None:  # what was prepared ahead was in another order
                        source.close()
                        source = self._batches()
                began, waited = time.perf_counter(), self.loader.wait_seconds
                batches = [self._moved(next(source)) for _ in range(many)]
                lr = cfg.optim.lr * schedule(self.step, cfg.steps, cfg.optim.warmup)
                said = self._turns(batches, lr)
                self.step += 1
                self.method.after_step(self.step / cfg.steps)
                same_statistics(self.method, self.ranks)
                self.log.advance(self.step, time.perf_counter() - began, self.loader.wait_seconds - waited)
                if self.step % cfg.log_every == 0 or self.step in (1, cfg.steps):
                    self.log.train(self.step, self.ranks.mean(said), lr)
                # a signal counts from where all ranks know it: one that stopped alone would leave the others waiting
                self.signal = self.ranks.any(self._noted)
                self._after()

    def _batches(self) -> Generator[Batch, None, None]:
        """The batches from here to the end, in the method's order if it has one."""
        order, many = self.method.order(), self.cfg.optim.accumulate
        if order is not None:
            self.loader.order = order.cpu().clone()
        yield from self.loader.batches(self.step * many, self.cfg.steps * many)

    def _turns(self, batches: list[Batch], lr: float) -> dict[str, Tensor]:
        """Every turn once: gradients of all micro-batches, one move. Gives what is to be logged."""
        cfg, said = self.cfg, dict[str, Tensor]()
        for number, (turn, optimizer) in enumerate(self.optimizers.items()):
            set_lr(optimizer, lr * cfg.optim.turn_lr.get(turn, 1.0))
            # of all turns: what one turn's backward leaves on another's parameters must not move them
            self.model.zero_grad(set_to_none=True)
            total = torch.zeros((), device=self.ranks.device)
            for index, batch in enumerate(batches):
                torch.manual_seed(mix(cfg.seed, 3, self.step * len(batches) + index, self.ranks.rank, number))
                with alone(self.model, index == len(batches) - 1):
                    with autocast(self.ranks.device, cfg.precision):
                        loss, metrics = self.model(batch, turn)
                    self._watch(turn, loss, batch)
                    (loss / len(batches)).backward()
                total += loss.detach().float().reshape(()) / len(batches)
            if cfg.optim.clip:
                moved = [parameter for group in optimizer.param_groups for parameter in group["params"]]
                nn.utils.clip_grad_norm_(moved, cfg.optim.clip)
            optimizer.step()
            lead = f"{turn}/" if len(self.optimizers) > 1 else ""
            said["loss"] = said.get("loss", torch.zeros_like(total)) + total
            said |= {f"{lead}loss": total} | {f"{lead}{key}": torch.as_tensor(value) for key, value in metrics.items()}
        return said

    def _after(self) -> None:
        """Held-out figures, the end, and the checkpoint, in this order: a checkpoint holds all that was before it."""
        cfg = self.cfg
        last = self.step >= cfg.steps
        due = last or (cfg.evaluate_every and self.step % cfg.evaluate_every == 0)
        if self.evaluate is not None and due and not self.signal:
            self._score()
        elif self.watch is not None and self._look_due() and not self.signal:
            self._look()
        if last:
            self.finished = "steps"
        elif cfg.stop == "plateau" and self.plateau.reached:
            self.finished = "plateau"
        if self.finished or self.signal or self.step % cfg.checkpoint_every == 0:
            self._check(0)
            self.save(self)

    def _look_due(self) -> bool:
        """Whether what is cheap to tell is told now; a run that evaluates on its way tells it then."""
        each = max(-(-self.cfg.steps // LOOKS), -(-LOOK_ITEMS // self.cfg.data.batch))
        return not self.cfg.evaluate_every and self.step % each == 0

    def _held_out(self, tell: Evaluate) -> dict[str, float]:
        """In eval mode, without gradients; every step seeds anew, so nothing drawn here moves what follows."""
        self.method.eval()
        with torch.no_grad(), gathered(self.method), autocast(self.ranks.device, self.cfg.precision):
            figures = tell(self.method, self.step)
        self.method.train()
        return figures

    def _look(self) -> None:
        assert self.watch is not None
        if figures := self._held_out(self.watch):
            self.log.held_out(self.step, figures, judged=False)

    def _score(self) -> None:
        assert self.evaluate is not None
        figures = self._held_out(self.evaluate)
        self.log.held_out(self.step, figures)
        if self.cfg.stop == "plateau":
            if "score" not in figures:
                raise ValueError(
                    f"stop=plateau needs a held-out score; the evaluation gave {', '.join(figures) or 'nothing'}"
                )
            self.plateau.add(figures["score"])

    def _epoch_begins(self) -> bool:
        """Whether this step is an epoch's first: a function of the step, so resume repeats and skips none."""
        each = self.cfg.data.batch
        return self.length > 0 and (
            self.step == 0 or self.step * each // self.length != (self.step - 1) * each // self.length
        )

    def _before_epoch(self) -> None:
        torch.manual_seed(mix(self.cfg.seed, 4, self.step))
        with gathered(self.method):
            self.method.before_epoch(self._looked_at())

    def _looked_at(self) -> Iterator[Batch]:
        """All items in order, for clustering and the like; told, since no step advances meanwhile."""
        done = 0
        for batch in self.examples():
            yield self._moved(batch)
            done += len(next(iter(batch.values())))
            self.log.looking(done, self.length)

    def _moved(self, batch: Batch) -> Batch:
        device = self.ranks.device
        return {key: value.to(device, non_blocking=True) for key, value in batch.items()}

    def _watch(self, turn: str, loss: Tensor, batch: Batch) -> None:
        """Look at the loss: at once on a CPU, one look later on an accelerator, which reading would make wait."""
        self._unread.append((self.step, turn, loss.detach(), batch))
        self._check(0 if self.ranks.device.type == "cpu" else 1)

    def _check(self, leave: int) -> None:
        while len(self._unread) > leave:
            step, turn, loss, batch = self._unread.pop(0)
            value = float(loss)
            if not math.isfinite(value):
                rows = {key: batch[key].tolist() for key in ("index", "recording") if key in batch}
                path = self.out / f"nonfinite-step-{step:06d}-rank-{self.ranks.rank}.json"
                replace_text(path, json.dumps({"step": step, "turn": turn, "loss": str(value), **rows}))
                raise ValueError(
                    f"the loss became {value} at step {step}, turn {turn}: lower optim.lr, raise optim.warmup or use "
                    f"precision=fp32; the batch is listed in {path}"
                )

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGTERM and Ctrl-C end the run after the step; a second one ends it at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before: dict[int, Any] = {}

        def note(number: int, frame: Any) -> None:
            self._noted = int(number)
            signal.signal(number, before[number])

        for wanted in (signal.SIGTERM, signal.SIGINT):
            before[int(wanted)] = signal.signal(wanted, note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """bf16 where it is safe, or nothing. There is no fp16, hence no gradient scaler."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
