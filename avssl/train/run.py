"""Assembling a run: manifest, vocabulary, items, method, optimizers, checkpoints; new, or taken up where it stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from avssl.config import MethodConfig, RunConfig
from avssl.data import cache, manifest, streams
from avssl.data.dataset import Items, Source
from avssl.data.loader import Loader
from avssl.inputs import Inputs, Vocabulary
from avssl.methods import base
from avssl.methods.base import Method
from avssl.train import build, checkpoint, distributed, initialize, optim, towers
from avssl.train.checkpoint import Checkpoint, replace_text
from avssl.train.distributed import Ranks, plain
from avssl.train.folder import Say, changes_of, manifest_of
from avssl.train.log import Log, one_writer
from avssl.train.loop import Evaluate, Loop, Plateau
from avssl.train.machine import keep_memory, versions
from avssl.words import counted

FREE = frozenset(
    {"steps", "log_every", "keep", "checkpoint_every", "device", "data.manifest", "data.labels"}
    | {"data.workers", "data.cache_gb", "data.features_gb", "data.timeout_seconds", "stop", "patience"}
)
"""what may change when a run goes on: none of it changes the weights at a step, but for ``steps``, whose schedule is
then the new one; recordings are compared by their digest"""

LEAST_ITEMS = 2
TOLD = 6
"""settings that differ, which are told; of more, how many there are"""


@dataclass(frozen=True)
class Run:
    """What :func:`start` did. ``how``: finished, plateau, interrupted (by ``signal``), already (nothing left)."""

    out: Path
    step: int
    how: str
    signal: int
    seconds: float


@dataclass(frozen=True)
class Recordings:
    """What a run learns from."""

    path: Path
    source: str
    held: manifest.Manifest

    @property
    def texts(self) -> Iterable[str]:
        """All that is said in the training split."""
        return (phrase.text for recording in self.held.split("train") for phrase in recording.narration)


def start(
    cfg: RunConfig,
    out: Path | str,
    *,
    evaluate: Evaluate | None = None,
    watch: Evaluate | None = None,
    progress: bool = True,
) -> Run:
    """Train ``cfg`` into the folder ``out``, or go on there if it holds the same configuration and recordings.

    Args:
        cfg: the run; ``data.manifest`` is a manifest, or a folder whose manifest is then made and kept in ``out``.
        out: the run's folder: config.yaml, run.json, checkpoints/, log.jsonl, tensorboard/, vocabulary.json.
        evaluate: (method, step) -> held-out figures, called in eval mode without gradients on every rank.
        watch: the same, of what is told quickly: called about ten times on the way where ``evaluate_every`` is 0.
        progress: tell what happens on the terminal.

    Raises ValueError if ``out`` holds another run (naming what differs), or for anything the user can put right.
    """
    out, began = Path(out), time.monotonic()
    keep_memory()
    with ExitStack() as stack:
        ranks = stack.enter_context(distributed.join(cfg.device))
        say: Say = print if progress and ranks.first else _silent
        if ranks.first:
            if (out / "config.yaml").exists() and not (out / "run.json").exists():
                raise ValueError(f"{out} holds a config.yaml that is no run's; choose another -o")
            stack.enter_context(one_writer(out))
        _check(cfg, ranks)
        found = checkpoint.latest(out / "checkpoints", say)
        if found is not None:
            before = build.dump(build.parse(found.state["config"], str(found.path)))  # with what has come since then
            _same(out, "config", before, build.dump(cfg))
            ended = found.state["finished"] == "plateau" and cfg.stop == "plateau"
            if ended or found.state["step"] >= cfg.steps:
                more = "its held-out score improved no more; to go on: stop=steps" if ended else "for more, raise steps"
                step = found.state["step"]
                asked = f"of {cfg.steps}" if step <= cfg.steps else f"where {cfg.steps} are asked for"
                _intact(out, step)
                say(f"{out} is trained: step {step} {asked}; {more}")
                return Run(out, step, "already", 0, time.monotonic() - began)
        recordings = _recordings(cfg, out, found, ranks, say)
        if found is not None:
            _same(out, "manifest", found.state["manifest_digest"], recordings.held.digest())
        torch.set_num_threads(cfg.threads or (found.state["threads"] if found else torch.get_num_threads()))
        loop = _assemble(cfg, out, recordings, found, ranks, stack, say, progress)
        loop.evaluate, loop.watch = evaluate, watch
        stack.callback(loop.log.close)
        ranks.wait()
        loop.run()
        ranks.wait()  # for what the first one saves: the others may want to read it
        if loop.signal:
            loop.log.say(f"stopped after step {loop.step}, saved; go on with: avssl train {out} --resume")
        how = (
            "interrupted"
            if loop.signal and not loop.finished
            else "plateau"
            if loop.finished == "plateau"
            else "finished"
        )
        return Run(out, loop.step, how, loop.signal, time.monotonic() - began)


def _assemble(
    cfg: RunConfig,
    out: Path,
    recordings: Recordings,
    found: Checkpoint | None,
    ranks: Ranks,
    stack: ExitStack,
    say: Say,
    progress: bool,
) -> Loop:
    words = _vocabulary(cfg, out, recordings, found)
    inputs = Inputs(cfg.inputs, words)
    kind = base.find(cfg.method.name)
    loader = stack.enter_context(_loader(cfg, kind, inputs, recordings.held, ranks, say))
    length = loader.maker.length
    method = build.method_of(cfg, inputs, length, chunks=cfg.optim.chunks)
    if found is not None:
        loader.load_state_dict(found.state["loader"])
        build.fill(method, found.model, str(found.path))
        say(f"going on from step {found.state['step']} of {cfg.steps}")
        _warn_versions(found.state["versions"], say)
    else:
        initialize.begin(method, cfg, loader, say)
    # sharding cuts parameters along their first dimension in memory, which channels last would scatter
    build.layout(method, cfg.channels_last and not (cfg.parallel == "fsdp" and ranks.world > 1))
    method.to(ranks.device)
    towers.remember(cfg, method.encoders, ranks, say)
    turns = len(method.turns())
    model = distributed.share(method, ranks, cfg.parallel, turns)
    # after sharing: a sharded method's parameters are new objects
    rates = optim.rates_of(kind.towers(cfg.method, cfg.encoders), method.encoders)
    optimizers = optim.build(cfg.optim, method.turns(), rates)
    about = {
        "config": build.dump(cfg), "length": length, "manifest": str(recordings.path.resolve()),
        "source": recordings.source, "manifest_digest": recordings.held.digest(), "versions": versions(),
        "towers": towers.sources(method.encoders),
    }  # fmt: skip
    step = 0
    plateau = Plateau(cfg.patience)
    if found is not None:
        optim.restore(method, optimizers, found.optimizer)
        step = found.state["step"]
        plateau = Plateau(cfg.patience, **found.state["plateau"])
    if ranks.first:
        replace_text(out / "config.yaml", yaml.safe_dump(about["config"], sort_keys=False))
        if words is not None:
            replace_text(out / "vocabulary.json", words.json)
        towers.keep(method.encoders, out / "towers")
        replace_text(out / "run.json", json.dumps(about, indent=1))

    def save(loop: Loop) -> None:
        weights, moments = plain(method.state_dict()), optim.flatten(method, optimizers)
        if ranks.first:
            best = loop.plateau
            state = {
                **about, "finished": loop.finished, "loader": loader.state_dict(), "threads": torch.get_num_threads(),
                "world": ranks.world, "plateau": {"best": best.best, "waited": best.waited, "scores": best.scores},
            }  # fmt: skip
            loop.log.sync()
            checkpoint.save(out / "checkpoints", loop.step, weights, moments, state, cfg.keep)

    log = Log(out, step=step, steps=cfg.steps, progress=progress, write=ranks.first)
    return Loop(
        cfg, method, model, optimizers, loader, ranks, log, out, save,
        examples=loader.batches_in_order, length=length, step=step, plateau=plateau,
    )  # fmt: skip


def _check(cfg: RunConfig, ranks: Ranks) -> None:
    each = cfg.optim.accumulate * ranks.world
    if cfg.data.batch % each:
        raise ValueError(
            f"data.batch={cfg.data.batch} must be a multiple of {each}: optim.accumulate={cfg.optim.accumulate} "
            f"micro-batches on {ranks.world} ranks"
        )
    if cfg.stop == "plateau" and not cfg.evaluate_every:
        raise ValueError("stop=plateau needs evaluate_every, the steps between held-out scores")
    if not cfg.data.manifest:
        raise ValueError("nothing to learn from: give a folder of recordings or a manifest, data=FOLDER")


def _recordings(cfg: RunConfig, out: Path, found: Checkpoint | None, ranks: Ranks, say: Say) -> Recordings:
    """The manifest: given, kept in ``out`` from before, or made now (by the first rank, for all)."""
    given = Path(cfg.data.manifest)
    if not given.exists():
        raise ValueError(f"data={given}: no such manifest or folder")
    if not given.is_dir():
        return Recordings(given, str(given), manifest.Manifest.load(given))
    source, kept, held = f"{given.resolve()} {cfg.data.labels}".strip(), out / "manifest.jsonl", None
    if ranks.first:
        before = build.read_json(out / "run.json").get("source") if (out / "run.json").exists() else None
        if kept.exists() and before == source:
            say(f"using {kept}, made from {given} before")
            held = manifest.Manifest.load(kept)
            if changed := changes_of(given, held):
                say(f"warning: {given} has {changed} since then; to learn from what is there now, name another -o")
        else:
            needs = base.find(cfg.method.name).needs(cfg.method, Inputs(cfg.inputs))
            made = manifest_of(given, cfg.data.labels, say, streams.beside(needs.streams))
            if found is not None:  # before the kept one is replaced
                _same(out, "manifest", found.state["manifest_digest"], made.digest())
            made.save(kept)
    ranks.wait()
    return Recordings(kept, source, held or manifest.Manifest.load(kept))


def _vocabulary(cfg: RunConfig, out: Path, recordings: Recordings, found: Checkpoint | None) -> Vocabulary | None:
    begun = initialize.folder(cfg)
    for folder in ([out] if found else []) + ([begun] if begun else []):
        if (folder / "vocabulary.json").is_file() and "text" in base.find(cfg.method.name).modalities:
            return Vocabulary((folder / "vocabulary.json").read_text(encoding="utf-8"))
    return build.vocabulary(cfg, recordings.texts)


def _loader(
    cfg: RunConfig, kind: type[Method[MethodConfig]], inputs: Inputs, held: manifest.Manifest, ranks: Ranks, say: Say
) -> Loader:
    needs = kind.needs(cfg.method, inputs)
    items = Items(held, "train", cfg.data.item_seconds, needs)
    for part in needs.may_lack:
        if all(getattr(one, part) is None for one in items.recordings):
            what = {"video": "picture", "audio": "sound"}[part]
            raise ValueError(
                f"none of {len(items.recordings)} recordings in {held.root} has {what}; some may lack it, not all"
            )
    folder = cache.folder(items, needs, cfg.data.cache_gb)
    many = cfg.optim.accumulate
    how = "decoded once" if folder else "decoded every time"
    passed = "".join(f", {count} more {reason}" for reason, count in items.report.items())
    say(f"{counted(len(items), 'item')} of {counted(len(items.recordings), 'recording')} to train on, {how}{passed}")
    if len(items) < LEAST_ITEMS:
        raise ValueError(
            f"{len(items)} item to train on; nothing is learnt where nothing is compared: give more recordings, or cut "
            "a long one into more items (data.item_seconds)"
        )
    if len(items.recordings) == 1:
        say("warning: all items are of one recording; methods that tell recordings apart have nothing to tell apart")
    if needs.frames != 1 and (short := items.shorter_than(needs.window_seconds)):
        say(
            f"warning: {short} of {len(items)} items are shorter than the {needs.window_seconds:.2f} s that "
            f"{cfg.method.name} asks for and end in a still picture and silence; see inputs.frames"
        )
    if cfg.data.batch > len(items):
        say(f"warning: data.batch={cfg.data.batch}, but there are {len(items)} items: a batch holds some several times")
    return Loader(
        Source(items, needs, folder), kind.transform(cfg.method, inputs),
        batch=cfg.data.batch // many, seed=cfg.seed, workers=cfg.data.workers, length=len(items), rank=ranks.rank,
        world=ranks.world, bad_budget=cfg.data.bad_budget, timeout_seconds=cfg.data.timeout_seconds,
        progress=lambda micro: micro // many / cfg.steps, draws=cfg.data.draws, together=cfg.data.together,
    )  # fmt: skip


def _same(out: Path, what: str, old: Any, new: Any) -> None:
    """Raises ValueError if ``out`` holds another run: which keys differ, from what to what."""
    if what == "manifest":
        found = [] if old == new else [f"manifest: {old[:12]} -> {new[:12]}"]
        hint = "the recordings, their narration or splits changed"
    else:
        if old["method"]["name"] != new["method"]["name"]:
            raise ValueError(f"{out} holds a run of {old['method']['name']}; choose another -o")
        found = [line for line in build.changes(old, new) if line.split(":")[0] not in FREE]
        hint = "the settings changed"
    if found:
        more = f"; and {len(found) - TOLD} more" if len(found) > TOLD else ""
        told = "; ".join(found[:TOLD]) + more
        raise ValueError(f"{out} holds another run, {hint}: {told}; undo that, or choose another -o")


def _intact(out: Path, step: int) -> None:
    """Raises ValueError where what is written when a run goes on, and read by all that use it, is damaged."""
    try:
        build.read_json(out / "run.json")
    except ValueError as error:
        raise ValueError(f"{error}; a step more writes it anew: avssl train {out} --resume steps={step + 1}") from None


def _warn_versions(old: dict[str, str], say: Say) -> None:
    differing = [line for line in build.changes(old, versions()) if not line.startswith("git:")]
    if differing:
        say(f"warning: going on with other versions, so not bit for bit: {'; '.join(differing)}")


def _silent(text: str) -> None:
    """Where another rank tells it, or nobody wants to hear."""
