"""The page about a run: how it learnt, how good it is, what it finds, where it looks."""

import itertools
import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from avssl.data.manifest import Manifest
from avssl.evaluation.middles import chosen_label, middles
from avssl.report import filters, made, montage, neighbors, probed
from avssl.report.clips import Budget
from avssl.report.looks import SCRIPT, STYLE
from avssl.report.montage import PLAYERS
from avssl.report.page import Markup, join, page, section, table, tag
from avssl.report.plots import Series, curves
from avssl.train.build import Loaded, dump
from avssl.train.checkpoint import load_run

BUDGET_BYTES = 15_000_000
FIGURES = {"r1": "R@1", "r5": "R@5", "r10": "R@10", "medr": "median rank", "ndcg10": "nDCG@10"}
LOCATING = {
    "ciou": ("cIoU@0.5", "share of clips whose place overlaps the sounding thing by half"),
    "auc": ("AUC", "the same over all overlaps from 0 to 1"),
    "ciou_small": ("cIoU@0.5, small", "of small things"),
    "ciou_medium": ("cIoU@0.5, medium", "of things of a middle size"),
    "ciou_large": ("cIoU@0.5, large", "of large things"),
    "ciou_huge": ("cIoU@0.5, huge", "of things that fill much of the picture"),
    "pointing": ("pointing", "share of clips whose highest place lies on the thing"),
    "both": ("both of two", "share of clips with two sounds in which each is pointed at, by its own sound"),
    "all_three": ("all of three", "share of clips with three sounds in which each is pointed at, by its own sound"),
    "ciou_moments": ("found at moments", "cIoU of single moments, each by its own map and boxes, averaged"),
    "iiou": ("IIoU@0.5", "share of clips with two sounds in which both are found, each by its own sound"),
    "iauc": ("IAUC", "the same over all overlaps from 0 to 1"),
    "two_things": ("one of two", "share of clips in which the sounding thing, not the silent one, is lit more"),
    "swap_gap": ("swap gap", "what is lost when the sound of another clip is played; 0 for what does not listen"),
    "silence_area": ("lit on silence", "share of the picture that is lit while nothing sounds; 0 is right"),
    "offscreen_area": ("lit off screen", "the same while what sounds is not in the picture"),
    "noise_area": ("lit on noise", "the same while white noise is played"),
    "miou": ("mean IoU", "overlap of what is lit with the sounding thing, over clips with one"),
    "ap": ("AP", "clips that sound and are found come before silence and sounds off screen, by their highest score"),
    "max_f1": ("best F1", "of telling these from those, at the score that does it best"),
    "auc_n": ("AUC_N", "share of what does not sound that lights at most so much, over all shares; 1 is dark"),
    "f_loc": ("F_LOC", "found and dark in one: harmonic mean of mean IoU and the share left dark where nothing sounds"),
    "f_auc": ("F_AUC", "the same over all overlaps: harmonic mean of AUC and AUC_N"),
    "lit_sounding": ("lit when sounding", "share of clips with a sounding thing in which anything is lit"),
}
SHARE = re.compile(r"accuracy|within_|_r\d+$|(^|/)(wait|heard|different|hard)$")
"""names of figures that are shares of a whole"""
COUNTS = ("held_out/items", "held_out/with_text")
PARTS = 4
"""of the work on a page, for who waits"""
MANY = 3
"""points that make a curve worth looking at are more than these"""


def report(
    folder: Path,
    manifest_path: Path | None = None,
    words: Sequence[str] = (),
    tell: Callable[[int, int], None] = lambda done, of: None,
    probes: Path | None = None,
) -> str:
    """The page as one string of HTML that loads nothing.

    Args:
        folder: the run's.
        manifest_path: recordings for the examples; None takes those that the run learnt from.
        words: to look for in the examples; by default what is said in them.
        tell: called with how many of how many parts are made.
        probes: rows of ``avssl probe``, of which those of these weights are shown.

    Raises ValueError when there is no such run, and for a text of which it has read no word.
    """
    parts = itertools.count()
    tell(next(parts), PARTS)
    loaded = load_run(folder)
    _check(loaded, words)
    fresh = _untrained(folder)
    tell(next(parts), PARTS)
    path = manifest_path or loaded.manifest
    known = probed.on_page(probes, loaded.digest) if probes is not None else []
    sections = [*_results(folder / "results.json", loaded, judged=bool(known)), *known]
    budget = Budget(BUDGET_BYTES)
    held = Manifest.load(path) if path is not None and path.exists() else None
    if held is not None and loaded.method.spaces:
        split = next((name for name in ("test", "val", "train") if held.split(name)), "train")
        sections += made.on_page(loaded, held, split, budget)
        tell(next(parts), PARTS)
        shelf = montage.Shelf(loaded, held, split, budget)
        sections += _found(shelf, fresh, split)
        tell(next(parts), PARTS)
        overlays = montage.located(shelf, folder, words)
        if overlays:
            told = "Lit is where the score passes the threshold of its kind of query; all else is left as it was."
            sections.append(section("Where it looks", tag("p", told, klass="soft"), *overlays))
    sections += filters.on_page(loaded, fresh, budget)
    sections += [_learning(folder / "log.jsonl"), _settings(loaded)]
    tell(PARTS, PARTS)
    scrubbed = any('id="looks"' in part for part in sections)
    script = (SCRIPT if scrubbed else "") + (PLAYERS if any("<video" in part for part in sections) else "")
    title = f"{loaded.cfg.method.name} · {folder.name}"
    return page(title, _lead(loaded, path), *sections, style=STYLE if scrubbed else "", script=script)


def _check(loaded: Loaded, words: Sequence[str]) -> None:
    """Raise ValueError for texts that the run cannot look for."""
    if words and "text" not in loaded.method.modalities:
        raise ValueError(f"--text: {loaded.cfg.method.name} reads no text")
    for text in words:
        if not loaded.inputs.reads(text):
            raise ValueError(f"--text {text[:60]}: this run has read no word of it: it cannot tell what that means")


def _untrained(folder: Path) -> Loaded | None:
    """The run before its first step; None where what a tuned tower came with is not on this machine."""
    try:
        return load_run(folder, trained=False)
    except ValueError:
        return None


def _found(shelf: montage.Shelf, fresh: Loaded | None, split: str) -> list[Markup]:
    """What it finds in another modality, and what pictures it takes for alike."""
    label = chosen_label(shelf.recordings)
    vectors, before = (
        {} if one is None else middles(one.method, one.inputs, shelf.manifest, shelf.recordings)
        for one in (shelf.loaded, fresh)
    )
    sections = []
    if rows := montage.found(shelf, label, vectors):
        told = f"Recordings of the {split} split, each shown by the window at its middle."
        if label:
            told += f" Tinted: the same {label} as the query."
        sections.append(section("What it finds", tag("p", told, klass="soft"), *rows))
    for name in ("image", "video"):
        if name in vectors and (shown := neighbors.table(shelf, label, vectors[name], before.get(name))):
            told = f"A few recordings of the {split} split, by the window at their middle, and those most like them."
            sections.append(section("What looks alike to it", tag("p", told, klass="soft"), shown))
    return sections


def _lead(loaded: Loaded, manifest: Path | None) -> Markup:
    facts = [
        f"step {loaded.step} of {loaded.cfg.steps}",
        f"{sum(parameter.numel() for parameter in loaded.method.parameters()):,} weights",
        *([] if loaded.method.modalities == ("image",) else [f"window {loaded.inputs.cfg.seconds:g} s"]),
        f"weights {loaded.digest[:12]}",
    ]
    if manifest is not None:
        facts.append(f"recordings {manifest.name}")
    return tag("p", " · ".join(facts), klass="soft")


def read_log(path: Path) -> dict[str, list[tuple[float, float]]]:
    """``log.jsonl`` as name -> (step, value) pairs; a line that a kill cut short is passed over."""
    series: dict[str, list[tuple[float, float]]] = defaultdict(list)
    if not path.is_file():
        return {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            values = json.loads(line)
            step = float(values["step"])
        except (ValueError, KeyError, TypeError):
            continue
        for name, value in values.items():
            if name not in ("step", "time") and isinstance(value, int | float):
                series[name].append((step, float(value)))
    return dict(series)


def _learning(path: Path) -> Markup:
    series = read_log(path)
    plots = [curves(title, lines, span=_span(lines)) for title, lines in _plots(series)]
    if not any(plots):
        return section("How it learnt", tag("p", "There is no log.", klass="soft"))
    return section("How it learnt", tag("div", *plots, klass="grid"))


def _span(lines: Mapping[str, Series]) -> tuple[float, float] | None:
    """0 to 1 for shares, so that a curve that creeps looks like one that creeps; None for what has no such ends."""
    shares = all(SHARE.search(name) for name in lines)
    return (0.0, 1.0) if shares and all(0 <= y <= 1 for line in lines.values() for _, y in line) else None


def _plots(series: Mapping[str, Series]) -> list[tuple[str, dict[str, Series]]]:
    """The loss first, then the held-out score beside chance, what is measured beside the loss, and the rates last.

    Further held-out figures are drawn where they make a curve; two points are in the log.
    """
    score, last = (
        ("held_out/score", "held_out/chance"),
        {"lr": "learning rate", "wait": "share of time waiting for data"},
    )
    held_out = [name for name, line in series.items() if name.startswith("held_out/") and name not in score]
    drawn = sorted(name for name in held_out if len(series[name]) > MANY and name not in COUNTS)
    ordered = [name for name in series if name not in last and name not in held_out and name not in score]
    ordered.sort(key=lambda name: (name != "loss", "accuracy" not in name, name))
    plots = [(name.replace("_", " "), {name: series[name]}) for name in ordered]
    if score[0] in series:
        together = {name.removeprefix("held_out/"): series[name] for name in score if name in series}
        plots.insert(1, (f"held out: {' and '.join(together)}", together))
    plots += [(name.replace("_", " ").replace("/", ": "), {name: series[name]}) for name in drawn]
    return plots + [(told, {name: series[name]}) for name, told in last.items() if name in series]


def _results(path: Path, loaded: Loaded, judged: bool) -> list[Markup]:
    if not path.is_file():
        if judged and loaded.method.modalities == ("image",):  # what is to be known of it is told below
            return []
        ask = "probe {} FOLDER" if loaded.method.modalities == ("image",) else "evaluate {} MANIFEST"
        hint = tag("code", f"avssl {ask.format(path.parent)}")
        return [section("How good it is", tag("p", "Not judged yet: ", hint, klass="soft"))]
    try:
        results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; avssl evaluate writes it anew") from None
    parts: list[Markup] = []
    if results.get("digest") not in (None, loaded.digest):
        parts.append(tag("p", "These figures are of other weights than those shown below; judge the run again."))
    if results.get("retrieval"):
        parts += [tag("h3", "Finding"), _finding(results["retrieval"])]
    if results.get("localization"):
        parts += [tag("h3", "Locating"), _locating(results["localization"])]
    if "task" in results:
        parts += _task(results["task"], path.parent, judged)
    if not parts:
        parts.append(tag("p", "No two modalities to judge, and no label within one.", klass="soft"))
    return [section("How good it is", *parts)]


def _task(results: Mapping[str, Any], run: Path, judged: bool) -> list[Markup]:
    """How well the method's own task is solved, and what tells more."""
    columns = ("trained", "untrained", "chance")
    rows = [
        [name.replace("_", " "), *(f"{figures[who]:.3f}" if who in figures else "" for who in columns)]
        for name, figures in results.items()
    ]
    shown = [tag("h3", "Its own task"), table(["", *columns], rows)] if rows else []
    if judged:
        return shown
    hint = tag("code", f"avssl probe {run} LABELED")
    return [*shown, tag("p", "What its encoder has learnt, told by labels: ", hint, klass="soft")]


def _finding(results: Mapping[str, Any]) -> Markup:
    rows = []
    for direction, figures in results.items():
        cells = []
        for name in FIGURES:
            beside = " · ".join(_told(figures[name].get(who), name) for who in ("untrained", "chance"))
            cells.append(tag("span", _told(figures[name].get("trained"), name), tag("br"), tag("small", beside)))
        rows.append([direction.replace("_", " "), *cells])
    return join([
        tag("p", "Trained; below it, small, the same network untrained and a random order.", klass="soft"),
        table(["", *FIGURES.values()], rows),
    ])  # fmt: skip


def _locating(results: Mapping[str, Any]) -> Markup:
    known = ("trained", "untrained", "center", "average", "whole", "random", "oracle")
    columns = [who for who in known if any(who in figures for figures in results.values())]
    rows = []
    for name, figures in results.items():
        title, meaning = LOCATING.get(name, (name, ""))
        told = tag("span", title, tag("br"), tag("small", meaning, klass="soft"))
        rows.append([told, *(_told(figures.get(who), name) for who in columns)])
    return table(["", *columns], rows, best=1)


def _told(value: float | None, name: str) -> str:
    if value is None:
        return ""
    return f"{value:.1f}" if name == "medr" else f"{100 * value:.1f} %"


def _settings(loaded: Loaded) -> Markup:
    text = yaml.safe_dump(dump(loaded.cfg), sort_keys=False)
    return section("Settings", tag("details", tag("summary", "the whole configuration"), tag("pre", text)))
