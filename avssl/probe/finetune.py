"""Fine-tuning: the encoder itself is trained on the labels, all of it or with its earliest stages frozen.

The fine-tuned protocol of Ting Chen, Simon Kornblith, Mohammad Norouzi, Geoffrey Hinton: A Simple Framework for
Contrastive Learning of Visual Representations, ICML 2020, arXiv:2002.05709: stochastic gradient descent with Nesterov
momentum on cropped and mirrored pictures, the learning rate chosen on validation examples, then a fit on both; beside
it the same from random initialization. Accuracy against the number of frozen stages is how Jigsaw (Noroozi, Favaro,
ECCV 2016) was judged: the first k stages are kept and frozen, the others are trained anew from random.

Deviations: fewer steps and learning rates, no weight decay to choose, a cosine schedule, gradients of at most norm 1;
the new layer is given vectors standardized by what the encoder makes of the examples before it is tuned, or few steps
would go by before small ones are told apart; sounds are shifted in time.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from avssl.methods.base import Method
from avssl.probe.decoded import Decoded
from avssl.probe.features import encoder_of, enter
from avssl.probe.rounds import Numbers, Places, Round
from avssl.probe.stages import stages
from avssl.probe.study import Answers, Row, Study

TEST_BATCH = 128
CLIP = 1.0
"""largest norm of a gradient"""
STANDARDIZED = 512
"""examples by which vectors are standardized, at most"""
LEAST = 0.1
"""of the spread that values have together: one that hardly differs is not blown up"""

Rest = Literal["kept", "random"]


@dataclass(frozen=True)
class Plan:
    """How long and how fast.

    ``rates`` are the learning rates tried; ``shift`` the most by which pictures are moved, as a share of their side
    (sounds: of their length); ``flip`` mirrors half of the pictures and clips.
    """

    steps: int = 300
    batch: int = 64
    rates: tuple[float, ...] = (0.3, 0.1, 0.03)
    momentum: float = 0.9
    weight_decay: float = 1e-4
    shift: float = 0.125
    flip: bool = True


@dataclass(frozen=True)
class Tuned:
    """Class numbers of the judged examples, and how the rate was chosen; a single rate is taken without choosing."""

    predicted: Numbers
    rate: float
    validation: float | None
    at_edge: bool


def fit(
    method: Method[Any],
    fresh: Method[Any],
    data: Decoded,
    labels: Numbers,
    cut: Round,
    classes: int,
    *,
    plan: Plan,
    freeze: int = 0,
    rest: Rest = "kept",
    seed: int = 0,
    tell: Callable[[int, int], None] | None = None,
) -> Tuned:
    """Train copies of an encoder, choose the learning rate on ``cut.val``, train on all that is not judged, judge.

    Args:
        method: whose encoder is tuned; it stays as it is.
        fresh: the same method untrained: where stages that are not kept start from.
        data: the label set.
        labels: class numbers [N]; those of ``cut.test`` are never read.
        cut: places of the parts.
        classes: K.
        plan: how long and how fast.
        freeze: the earliest stages that are not trained.
        rest: whether later stages start from what was learnt or from random.
        seed: of batches, views and the new layer.
        tell: called with (steps done, of how many).

    Raises ValueError for more frozen stages than there are.
    """
    runs, done = len(plan.rates) + (len(plan.rates) > 1), 0

    def step() -> None:
        nonlocal done
        done += 1
        if tell is not None:
            tell(done, runs * plan.steps)

    def trained(rate: float, places: Places) -> _Tuning:
        tuning = _Tuning(method, fresh, data, classes, freeze, rest, seed)
        tuning.run(places, labels, plan, rate, step)
        return tuning

    if len(plan.rates) == 1:
        return Tuned(trained(plan.rates[0], cut.both).predict(cut.test), plan.rates[0], None, False)
    accuracies = [float((trained(rate, cut.train).predict(cut.val) == labels[cut.val]).mean()) for rate in plan.rates]
    best = int(np.argmax(accuracies))
    final = trained(plan.rates[best], cut.both)
    return Tuned(final.predict(cut.test), plan.rates[best], accuracies[best], best in (0, len(plan.rates) - 1))


class _Tuning:
    """A copy of a method's encoder with a new layer on top."""

    def __init__(
        self, method: Method[Any], fresh: Method[Any], data: Decoded, classes: int, freeze: int, rest: Rest, seed: int
    ):
        self.method, self.data = copy.deepcopy(method).eval(), data
        self.encoder = encoder_of(self.method, data.modality)
        self.device = next(method.parameters()).device
        row, keys = stages(self.encoder), list(self.encoder.state_dict())
        if not 0 <= freeze <= len(row.names):
            raise ValueError(f"freeze={freeze}: the {data.modality} encoder has {len(row.names)} stages")
        stage = dict(zip(keys, row.of(keys), strict=True))
        if rest == "random":
            own, new = self.encoder.state_dict(), encoder_of(fresh, data.modality).state_dict()
            self.encoder.load_state_dict({key: own[key] if stage[key] < freeze else new[key] for key in keys})
        for parameter in self.method.parameters():
            parameter.requires_grad_(False)
        for key, parameter in self.encoder.named_parameters():
            parameter.requires_grad_(stage[key] >= freeze)
        self.frozen: list[nn.Module] = []
        for name, part in self.encoder.named_modules():
            held = [stage[key] for key in keys if key.startswith(f"{name}.")]
            if name and held and max(held) < freeze:
                self.frozen.append(part)
        with torch.no_grad():
            width = self.vectors(data.batch(slice(0, 1))).shape[1]
        self.generator = Generator().manual_seed(seed)
        self.head = nn.Linear(width, classes).to(self.device)
        with torch.no_grad():
            self.head.weight.copy_(torch.randn(classes, width, generator=self.generator) * 0.01)
            self.head.bias.zero_()
        self.middle, self.scale = torch.zeros(width, device=self.device), torch.ones(width, device=self.device)

    def standardize(self, rows: NDArray[np.int64]) -> None:
        """Give the new layer values about 0 that differ by about 1 on these windows."""
        parts = [rows[first : first + TEST_BATCH] for first in range(0, len(rows), TEST_BATCH)]
        with torch.no_grad():
            told = torch.cat([self.vectors(self.data.batch(part)) for part in parts])
        spread = told.std(0, correction=0)
        self.middle, self.scale = told.mean(0), spread.clamp_min(LEAST * spread.square().mean().sqrt()).clamp_min(1e-6)

    def logits(self, told: Tensor) -> Tensor:
        """Vectors [B, D] -> [B, K]."""
        found: Tensor = self.head((told - self.middle) / self.scale)
        return found

    def vectors(self, x: Tensor) -> Tensor:
        """What the encoder gives for a batch, [B, D]; frames seen one by one are averaged."""
        told: Tensor = enter(self.method, self.data.modality, x.to(self.device)).vector.float()
        return told if len(told) == len(x) else told.unflatten(0, (len(x), -1)).mean(1)

    def run(self, places: Places, labels: Numbers, plan: Plan, rate: float, step: Callable[[], None]) -> None:
        """Train on the examples at ``places``; a batch is drawn without repetition where there are enough."""
        moved = [parameter for parameter in self.encoder.parameters() if parameter.requires_grad]
        learnt = [*self.head.parameters(), *moved]
        optimizer = torch.optim.SGD(learnt, rate, momentum=plan.momentum, nesterov=True, weight_decay=plan.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: _cosine(k, plan.steps))
        windows = [np.flatnonzero(self.data.owner == place) for place in places]
        targets = torch.from_numpy(labels[places])
        few = torch.randperm(len(places), generator=self.generator)[:STANDARDIZED].tolist()
        self.standardize(np.array([windows[k][0] for k in few]))
        self.encoder.train()
        for part in self.frozen:
            part.eval()  # statistics of frozen stages stay
        order: list[int] = []
        for _ in range(plan.steps):
            while len(order) < plan.batch:
                order += torch.randperm(len(places), generator=self.generator).tolist()
            chosen, order = order[: plan.batch], order[plan.batch :]
            drawn = [int(torch.randint(len(windows[k]), (), generator=self.generator)) for k in chosen]
            rows = np.array([windows[k][place] for k, place in zip(chosen, drawn, strict=True)])
            x = self.view(self.data.batch(rows), plan)
            told = self.vectors(x)
            assert told.requires_grad or not moved, "embed cuts the gradient off from its encoder"
            loss = F.cross_entropy(self.logits(told), targets[chosen].to(self.device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(learnt, CLIP)
            optimizer.step()
            schedule.step()
            step()
        self.encoder.eval()

    def view(self, x: Tensor, plan: Plan) -> Tensor:
        """A batch moved a little, each example on its own; pictures and clips mirrored too."""
        kind = self.data.modality
        if kind == "text" or not plan.shift:
            return x
        if kind == "audio":
            most = round(plan.shift * x.shape[1])
            by = torch.randint(-most, most + 1, (len(x),), generator=self.generator).tolist()
            return torch.stack([row.roll(k, 0) for row, k in zip(x, by, strict=True)])
        high, wide = (math.ceil(plan.shift * side) for side in x.shape[-2:])
        flat = x.flatten(1, -3) if x.ndim == 5 else x
        padded = F.pad(flat, (wide, wide, high, high))
        counts = (2 * high + 1, 2 * wide + 1, 2)
        drawn = (torch.randint(count, (len(x),), generator=self.generator).tolist() for count in counts)
        views = []
        for picture, top, left, mirrored in zip(padded, *drawn, strict=True):
            view = picture[..., top : top + x.shape[-2], left : left + x.shape[-1]]
            views.append(view.flip(-1) if plan.flip and mirrored else view)
        return torch.stack(views).reshape(x.shape)

    @torch.no_grad()
    def predict(self, places: Places) -> Numbers:
        """Class numbers: the mean over each example's windows of the class probabilities."""
        wanted = np.isin(self.data.owner, places)
        rows: NDArray[np.int64] = np.flatnonzero(wanted)
        told = []
        for first in range(0, len(rows), TEST_BATCH):
            x = self.data.batch(rows[first : first + TEST_BATCH])
            told.append(self.logits(self.vectors(x)).softmax(1).cpu())
        sums = torch.zeros(int(self.data.owner[-1]) + 1, self.head.out_features)
        sums.index_add_(0, torch.from_numpy(self.data.owner[rows]), torch.cat(told))
        return np.asarray(sums[torch.from_numpy(places)].argmax(1).numpy(), np.int64)


def _cosine(step: int, steps: int) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))


def evaluate(study: Study, question: Mapping[str, Any]) -> list[Row]:
    """One row: the tuned encoder, beside the same from random initialization."""
    plan = Plan(steps=question["steps"], batch=question["batch"], rates=tuple(question["rates"]), flip=question["flip"])

    def tuned(who: str) -> Answers:
        def answer(cut: Round) -> tuple[Numbers, dict[str, Any]]:
            found = fit(
                study.who(who), study.fresh, study.decoded, study.data.labels, cut, len(study.data.classes),
                plan=plan, freeze=question["freeze"], rest=question["rest"], seed=study.seed,
                tell=lambda done, total: study.tell(f"tuning, {who}, {question['freeze']} frozen", done, total),
            )  # fmt: skip
            return found.predicted, {"rate": found.rate, "validation": found.validation, "at_edge": found.at_edge}

        return study.answers(question["fraction"], answer)

    answers = {"trained": tuned("trained")}
    from_nothing = question["freeze"] == 0 and question["rest"] == "random"
    answers["untrained"] = answers["trained"] if from_nothing else tuned("untrained")
    return [study.row(question, {}, answers)]


def table(rows: Iterable[Row]) -> tuple[list[str], list[list[str]]]:
    """Accuracy against the number of frozen stages: a column for each k, a line for each run on each label set."""
    lines: dict[tuple[str, str, str, str], dict[int, str]] = {}
    for row in rows:
        if row["probe"] == "finetune":
            label = f"{row['data']}, {100 * row['fraction']:g}%" if row["fraction"] < 1 else row["data"]
            for who, told in (("", row), ("untrained", row["beside"]["untrained"])):
                key = (label, row["run"], f"rest {row['rest']}", who)
                lines.setdefault(key, {})[row["freeze"]] = f"{100 * told['accuracy']:.1f}"
    columns = sorted({k for cells in lines.values() for k in cells})
    body = [[*names, *(cells.get(k, "") for k in columns)] for names, cells in lines.items()]
    return ["data", "run", "", "", *(f"{k} frozen" for k in columns)], body
