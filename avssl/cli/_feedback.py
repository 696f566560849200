"""Feedback during training: how well held-out items are found again, or how well the pretext is solved on them."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from avssl.config import MethodConfig, RunConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Generator, Tensor

    from avssl.data.loader import Loader
    from avssl.inputs import Inputs
    from avssl.methods.base import Batch, Method
    from avssl.sample import Sample

TOGETHER = 32
"""items embedded at a time"""
WATCHED = 32
"""held-out items by which collapse is watched between evaluations: told apart by so few, and quickly looked at"""


class Whole:
    """The window of an item as every modality's encoder takes it; pickles, for loader workers."""

    def __init__(self, inputs: "Inputs", modalities: tuple[str, ...]):
        self.inputs = inputs
        self.modalities = modalities

    def __call__(self, sample: "Sample", generator: "Generator", progress: float) -> "dict[str, Tensor]":
        """Gives image uint8 [3, H, W], video uint8 [T, 3, H, W], audio [M, F], text [L]; those that there are. Streams
        of other names are given like videos and sounds."""
        made: dict[str, Tensor] = {}
        for modality in self.modalities:
            if modality == "image":
                made["image"] = sample.video[0, 0]
            elif modality == "video":
                made["video"] = sample.video[0]
            elif modality == "audio":
                made["audio"] = self.inputs.audio(sample.audio[0])
            elif modality == "text":
                made["text"] = self.inputs.tokens(sample.text)[0]
            else:
                x = sample.stream(modality)[0]
                made[modality] = self.inputs.audio(x) if x.ndim == 1 else x
        return made


class Feedback:
    """Called by the trainer with the method and the step; reads the run's manifest when it is first asked.

    Methods with a space of several modalities: recall at 1 and 10 between them over at most
    :data:`avssl.evaluation.task.MOST` held-out items, one per recording first; ``score`` is the mean reciprocal rank,
    which does not end at 1 as soon as recall at 10 does, and ``chance`` what an order at random would score. Others:
    the loss on held-out batches; ``score`` is its negative.

    All methods: whether vectors collapse, of each modality in each space and of encoders that are in none, under
    ``collapse/``, with a line on stderr where they do; between evaluations :meth:`watch` tells that alone.
    """

    def __init__(self, cfg: RunConfig, out: Path):
        self.cfg = cfg
        self.out = out
        self._loaders: dict[tuple[str, ...], Loader | None] = {}
        self._watched: dict[tuple[str, ...], list[Batch]] = {}

    def __call__(self, method: "Method[MethodConfig]", step: int) -> dict[str, float]:
        """Held-out figures; empty where nothing is held out."""
        from avssl.evaluation.task import MOST

        name = _first(method)
        modalities = method.spaces[name].modalities if name else ()
        shared = len(modalities) > 1
        figures = {} if shared else self.task(method)
        if name and (loader := self._loader(method, modalities)) is not None:
            seen = embedded(method, loader.batches_in_order(_spread(loader, MOST)), modalities, name)
            figures |= (_recall(seen) if shared else {}) | _collapse(seen, step)
        return figures | self.watch(method, step, beside=name)

    def task(self, method: "Method[MethodConfig]") -> dict[str, float]:
        """How well a method's own task is solved on held-out items (:func:`avssl.evaluation.task.solved`), and
        ``score``, the loss's negative; empty where nothing is held out."""
        from avssl.evaluation.task import solved

        loader = self._loader(method, ())
        if loader is None:
            return {}
        figures = solved(method, loader)
        return {"score": -figures["loss"], **figures}

    def watch(self, method: "Method[MethodConfig]", step: int, beside: str | None = None) -> dict[str, float]:
        """What ``collapse/`` tells, of all spaces but ``beside``, over few held-out items, which stay in memory."""
        looks = {space: names for space, names in self._looks(method).items() if space != beside}
        modalities = tuple(dict.fromkeys(modality for names in looks.values() for modality in names))
        if modalities not in self._watched:
            loader = self._loader(method, modalities) if modalities else None
            self._watched[modalities] = list(loader.batches_in_order(_spread(loader, WATCHED))) if loader else []
        figures: dict[str, float] = {}
        if batches := self._watched[modalities]:
            for space, names in looks.items():
                figures |= _collapse(embedded(method, batches, tuple(names), space), step, names)
        return figures

    def _looks(self, method: "Method[MethodConfig]") -> dict[str, dict[str, str]]:
        """Space -> its modalities -> what they are called; the space "" is that of encoders which are in no other."""
        first, looks, known = _first(method), dict[str, dict[str, str]](), set[str]()
        for space in sorted(method.spaces, key=lambda name: name != first):
            held = method.spaces[space].modalities
            looks[space] = {modality: f"{space}_{modality}" if modality in known else modality for modality in held}
            known |= set(held)
        read = type(method).needs(self.cfg.method, method.inputs).streams or ("image", "video", "audio", "text")
        alone = {name: name for name in method.encoders if name in read and name not in known}
        return {**looks, **({"": alone} if alone else {})}

    def _loader(self, method: "Method[MethodConfig]", modalities: tuple[str, ...]) -> "Loader | None":
        if modalities not in self._loaders:
            self._loaders[modalities] = self._open(method, modalities)
        return self._loaders[modalities]

    def _open(self, method: "Method[MethodConfig]", modalities: tuple[str, ...]) -> "Loader | None":
        from avssl.data import cache
        from avssl.data.dataset import Items, Source
        from avssl.data.loader import Loader
        from avssl.data.manifest import Manifest
        from avssl.evaluation import task
        from avssl.train.build import read_json

        cfg, inputs = self.cfg, method.inputs
        held = Manifest.load(Path(read_json(self.out / "run.json")["manifest"]))
        if not modalities:
            try:
                return task.opened(cfg, method, held, "val")
            except ValueError:  # nothing is held out that has what is needed: no reason to stop
                return None
        needs = type(method).needs(cfg.method, inputs)
        if not needs.streams:
            pictures = 1 if "video" not in modalities else inputs.cfg.frames
            needs = inputs.needs(
                frames=pictures if {"image", "video"} & set(modalities) else 0,
                audio_seconds=inputs.cfg.audio_seconds if "audio" in modalities else 0.0,
                narrations=int("text" in modalities),
                window="narration" if "text" in modalities else "random",
            )
        try:
            items = Items(held, "val", cfg.data.item_seconds, needs)
        except ValueError:
            return None
        return Loader(
            Source(items, needs, cache.folder(items, needs, cfg.data.cache_gb)),
            Whole(inputs, modalities), batch=min(TOGETHER, len(items)), seed=cfg.seed, workers=0, length=len(items),
            bad_budget=1.0,
        )  # fmt: skip


class Seen(NamedTuple):
    """Vectors [N, D] of each modality, which items are spoken about [N], and one item of each different input."""

    vectors: "dict[str, NDArray[np.float32]]"
    spoken: "NDArray[np.bool_]"
    different: dict[str, list[int]]


def _first(method: "Method[MethodConfig]") -> str:
    """The space that is judged: the first of several modalities, else the first; "" where there is none."""
    spaces = method.spaces
    return next((name for name in spaces if len(spaces[name].modalities) > 1), next(iter(spaces), ""))


def embedded(
    method: "Method[MethodConfig]", batches: "Iterable[Batch]", modalities: tuple[str, ...], space: str
) -> Seen:
    """Held-out items in one of the method's spaces, or, where ``space`` is empty, as its encoders pool them."""
    import torch

    from avssl import ops

    device = next(method.parameters()).device
    found: dict[str, list[Tensor]] = {modality: [] for modality in modalities}
    first: dict[str, dict[int, int]] = {modality: {} for modality in modalities}
    said: list[Tensor] = []
    count = 0
    for batch in batches:
        for modality in modalities:
            x = batch[modality].to(device)
            vectors = method.embed(modality, x, space) if space else ops.unit(method.encoders[modality](x).vector)
            found[modality].append(vectors.float().cpu())
            for place, one in enumerate(batch[modality], count):
                known = one.float() if one.is_floating_point() else one  # numpy has no bf16
                first[modality].setdefault(hash(known.numpy().tobytes()), place)
        count += len(batch["index"])
        said.append(
            (batch["text"] >= 0).any(1) if "text" in batch else torch.ones(len(batch["index"]), dtype=torch.bool)
        )
    # compared outside torch, where bf16 would make ties
    whole = {key: torch.cat(value).numpy() for key, value in found.items()}
    return Seen(whole, torch.cat(said).numpy(), {key: sorted(places.values()) for key, places in first.items()})


def _collapse(seen: Seen, step: int, names: dict[str, str] | None = None) -> dict[str, float]:
    """Spread, effective rank and twins of each modality's vectors, told by its name or the one given; an alarm on
    stderr where they have collapsed.

    Inputs that are the same (a sentence said twice, silence) count once: their vectors ought to be the same.
    """
    from torch import distributed

    from avssl.evaluation.collapse import alarm, health

    figures: dict[str, float] = {}
    first = not distributed.is_initialized() or distributed.get_rank() == 0
    for modality, places in seen.different.items():
        kept = [place for place in places if modality != "text" or seen.spoken[place]]
        if len(kept) < 2:
            continue
        found = health(seen.vectors[modality][kept])
        wrong, called = alarm(found, len(kept)), (names or {}).get(modality, modality)
        figures |= {f"collapse/{called}_{name}": value for name, value in found._asdict().items()}
        figures[f"collapse/{called}_alarm"] = float(bool(wrong))
        if wrong and first:
            typer.echo(f"alarm: step {step}: {called} has collapsed: {wrong}", err=True)
    return figures


def _recall(seen: Seen) -> dict[str, float]:
    from retrieval.metrics import place

    vectors, spoken = seen.vectors, seen.spoken
    figures: dict[str, float] = {}
    reciprocal: list[float] = []
    by_chance: list[float] = []
    for one in vectors:
        for other in vectors:
            if one != other:
                keep = spoken if "text" in (one, other) else spoken | True
                if not keep.any():
                    continue
                scores = vectors[one][keep] @ vectors[other][keep].T
                own = list(range(len(scores)))
                placed = place(scores, own)
                reciprocal.append(placed.mrr())
                by_chance.append(sum(1 / rank for rank in range(1, len(own) + 1)) / len(own))
                for k in (1, 10):
                    figures[f"{one}_to_{other}_r{k}"] = placed.recall_at(min(k, len(scores)))
    if not reciprocal:  # nothing is said about any item, and there is nothing else to find
        return {}
    directions = len(reciprocal)
    counts = {"items": float(len(spoken)), **({"with_text": float(spoken.sum())} if "text" in vectors else {})}
    return {"score": sum(reciprocal) / directions, "chance": sum(by_chance) / directions, **counts, **figures}


def _spread(loader: "Loader", most: int) -> list[int]:
    """At most so many items, evenly over all of them, so that few are of one recording."""
    length = loader.maker.length
    count = min(most, length)
    return [place * length // count for place in range(count)]
