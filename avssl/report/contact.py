"""Clusters as a contact sheet: one page with players, and one PNG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avssl import ops
from avssl.data.media import Unreadable, decode, probe
from avssl.localize.strip import legible
from avssl.report.clips import Budget
from avssl.report.groups import EXAMPLES, Group, Row
from avssl.report.montage import PLAYERS, player
from avssl.report.page import Markup, page, section, tag
from avssl.words import counted
from retrieval.files import replacing
from retrieval.search import format_time

BUDGET_BYTES = 25_000_000
THUMBNAIL = (90, 120)
"""pixels, height and width"""
HZ, MELS = 16000, 45

Tell = Callable[[int, int], None]


def title(group: Group) -> str:
    """A cluster in one line."""
    held = f"{counted(group.moments, 'moment')} of {counted(group.recordings, 'recording')}"
    told = f"Cluster {group.number}: {held}"
    return f"{told}, {group.share:.0%} {group.label}" if group.label else told


def contact_page(name: str, lead: str, groups: Sequence[Group], tell: Tell = lambda done, total: None) -> str:
    """The page as one string of HTML that loads nothing. ``tell`` is told (examples done, in all)."""
    budget = Budget(BUDGET_BYTES)
    total, done = sum(len(group.examples) for group in groups), 0
    sections = []
    for group in groups:
        cards = []
        for row in group.examples:
            cards.append(_card(budget, row))
            done += 1
            tell(done, total)
        about = f"cosine {group.cosine:.2f} with its middle"
        if group.words:
            about += f"; said more often here: {', '.join(group.words)}"
        sections.append(section(title(group), tag("p", about, klass="soft"), tag("div", *cards, klass="row")))
    return page(name, tag("p", lead, klass="soft"), *sections, script=PLAYERS)


def _card(budget: Budget, row: Row) -> Markup:
    path = Path(row["path"])
    try:
        shown = _media(budget, row, path)
    except (Unreadable, FileNotFoundError):
        shown = None
    if shown is None:
        shown = tag("div", path.name, klass="words soft")
    said = f"“{row['narration']}”" if row["narration"] else ""
    where = f"{row['recording']} @ {format_time(row['start'])}"
    return tag("figure", shown, tag("figcaption", tag("b", where), tag("br"), said))


def _media(budget: Budget, row: Row, path: Path) -> Markup | None:
    """A player of the moment, a picture, or None where the page is full."""
    header = probe(path)
    if header.duration is None:
        still = budget.picture(path)
        return None if still is None else tag("img", src=still, alt=str(row["recording"]), loading="lazy")
    made = (budget.clip if header.pictures else budget.sound)(path, row["start"], row["end"])
    return None if made is None else player(made)


def contact_sheet(path: Path, name: str, groups: Sequence[Group], tell: Tell = lambda done, total: None) -> None:
    """Write a PNG: a line for each cluster, with the pictures (or spectrograms) of the moments in its middle."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heard = any(row["modality"] == "audio" for group in groups for row in group.examples)
    figure = Figure(figsize=(1.6 * EXAMPLES + 0.4, (2.15 if heard else 1.55) * len(groups) + 0.6), dpi=100)
    FigureCanvasAgg(figure)
    figure.suptitle(legible(name), x=0.01, ha="left", fontsize=12, fontweight="bold")
    grid = figure.add_gridspec(len(groups), EXAMPLES)
    total, done = sum(len(group.examples) for group in groups), 0
    for line, group in enumerate(groups):
        for column in range(EXAMPLES):
            axes = figure.add_subplot(grid[line, column])
            axes.axis("off")
            if column == 0:
                axes.set_title(legible(title(group)).replace("$", r"\$"), fontsize=8, loc="left")
            if column < len(group.examples):
                axes.imshow(thumbnail(group.examples[column]), interpolation="nearest")
                done += 1
                tell(done, total)
    figure.set_layout_engine("constrained")
    with replacing(path) as partial:
        figure.savefig(partial, format="png")


def thumbnail(row: Row) -> NDArray[np.uint8]:
    """The picture in the middle of a moment, uint8 [H, W, 3], with its spectrogram below where sound is what is alike.

    The spectrogram alone where there is no picture, gray where nothing can be read.
    """
    path, parts = Path(row["path"]), []
    try:
        header = probe(path)
        if header.pictures:
            at = 0.0 if header.duration is None else (row["start"] + row["end"]) / 2
            size = inside(header.pictures[0].height, header.pictures[0].width)
            parts.append(_framed(decode(path, times=[at], size=size).video[0].transpose(1, 2, 0)))
        if header.sounds and (not parts or row["modality"] == "audio"):
            wave = decode(path, audio=(row["start"], row["end"] - row["start"]), hz=HZ).audio
            parts.append(_spectrogram(wave, (THUMBNAIL[0] // (2 if parts else 1), THUMBNAIL[1])))
    except (Unreadable, FileNotFoundError):
        parts = []
    return np.concatenate(parts) if parts else np.full((*THUMBNAIL, 3), 128, np.uint8)


def inside(height: int, width: int) -> tuple[int, int]:
    """The greatest (height, width) of a picture of this shape that fits into a thumbnail."""
    share = min(THUMBNAIL[0] / height, THUMBNAIL[1] / width)
    return max(1, round(height * share)), max(1, round(width * share))


def _framed(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture [h, w, 3] in the middle of a thumbnail, black around it."""
    made = np.zeros((*THUMBNAIL, 3), np.uint8)
    top, left = ((size - own) // 2 for size, own in zip(THUMBNAIL, picture.shape[:2], strict=True))
    made[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return made


def _spectrogram(wave: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Sound [S] as a gray picture [H, W, 3], high bands above low ones."""
    import torch

    mel = ops.log_mel(torch.from_numpy(wave), HZ, MELS, 0.01, 0.025).T.flip(0)  # [MELS, M]
    drawn = torch.nn.functional.interpolate(mel[None, None], size)[0, 0].clamp(-1, 1)
    gray: NDArray[np.uint8] = ((drawn + 1) * 127.5).to(torch.uint8).numpy()
    return np.repeat(gray[..., None], 3, 2)
