"""avssl localize: see where in the picture the sound, or a word, is."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from avssl.cli._named import check_output, numbers
from avssl.cli._named import recordings as named_recordings

if TYPE_CHECKING:
    from collections.abc import Callable

    from avssl.localize.heatmap import Query

PAGE_BYTES = 100_000_000
VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".m4v")
OTHER_SUFFIXES = (".avi", ".webm", ".mpg", ".mpeg", ".wmv", ".ts", ".gif", ".png", ".wav", ".html")
BESIDE = (".png", ".json")
"""what `film.make` writes next to an overlay: the sheet and the figures"""


def localize(
    run: Annotated[Path, typer.Argument(help="A run's folder, one of its checkpoints, or an exported folder.")],
    inputs: Annotated[list[Path], typer.Argument(help="Recordings, folders of them, or manifests.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="One overlay video (.mp4), or a folder for them.")
    ] = Path("overlays"),
    text: Annotated[
        list[str] | None,
        typer.Option(help="Look for these words instead of the own sound; up to four times, a colour each."),
    ] = None,
    audio: Annotated[Path | None, typer.Option(help="Look for the sound in this file.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Light scores from here on; else the run's own.")] = None,
    ceiling: Annotated[float | None, typer.Option(help="Score at which the colours end; else the run's own.")] = None,
    window: Annotated[float | None, typer.Option(help="Seconds per window; else the run's own.")] = None,
    hop: Annotated[float | None, typer.Option(help="Seconds between windows; else half a window.")] = None,
    refine: Annotated[bool, typer.Option("--refine", help="Fit what is lit to the edges of the picture.")] = False,
    boxes: Annotated[bool, typer.Option(help="Outline what is lit.")] = True,
    heads: Annotated[
        bool, typer.Option("--heads", help="What each head of the method lights, a colour each; one query.")
    ] = False,
    page: Annotated[
        Path | None, typer.Option(help="A page (.html) too, to scrub through them and switch queries.")
    ] = None,
    sizes: Annotated[
        str,
        typer.Option(help="Look at pictures in these sizes, such as 1,2,3: for things smaller than those learnt from."),
    ] = "1",
    keep_shape: Annotated[
        bool, typer.Option("--keep-shape", help="Do not squeeze wide or high pictures into the shape of the run's.")
    ] = False,
    height: Annotated[int, typer.Option(help="Greatest height of the overlay in pixels.")] = 480,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Show where in the picture the sound, or a word, is: overlay videos with their sound, stills, figures."""
    if text and audio is not None:
        raise ValueError("--text and --audio are two queries; give one of them")
    if text and len(set(text)) < len(text):
        raise ValueError("--text says the same words twice; each query has one colour")
    if audio is not None and not audio.exists():
        raise ValueError(f"--audio {audio}: no such file")
    if page is not None:
        check_output("--page", page, makes=output in page.parents)  # -o makes its folder
    each_size = numbers("--sizes", sizes)
    console, log = Console(), Console(stderr=True)
    recordings = _not_made_here(named_recordings(inputs), inputs)
    chosen = recordings == inputs and len(inputs) == 1
    videos = _targets(recordings, output, chosen)
    _check_written(videos, recordings, output, audio, page)

    from avssl.localize import film
    from avssl.localize.calibration import check_ends
    from avssl.localize.enlarged import check_sizes
    from avssl.localize.heatmap import check_seconds
    from avssl.localize.looking import Looking, sharpened
    from avssl.localize.overlay import HUES
    from avssl.report.clips import Budget
    from avssl.report.looks import look_of, write_looks
    from avssl.train.checkpoint import load_run
    from avssl.train.distributed import device_of

    check_seconds("--window", window)
    check_seconds("--hop", hop)
    check_ends(threshold, ceiling)
    check_sizes(each_size)
    film.check_height(height)
    if text and len(text) > len(HUES):
        raise ValueError(f"{len(text)} queries; there are colours for {len(HUES)}")
    where = device_of(device)
    loaded = load_run(run)
    look = Looking(
        run, loaded.digest, loaded.method.to(where), loaded.inputs, where, window, hop, heads, each_size, keep_shape
    )
    queries: dict[str, Query] = {f'"{words}"': words for words in text or []}
    if not queries:
        queries = {f"the sound of {audio.name}" if audio else "its own sound": audio}
    made, passed, shown, budget, told = 0, [], [], Budget(PAGE_BYTES), ""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    bar = Progress(*columns, TextColumn("{task.fields[rate]}"), console=log)
    with ExitStack() as shown_bar:
        if len(recordings) > 1:
            shown_bar.enter_context(bar)
        task = bar.add_task("recordings", total=len(recordings), rate="")

        def rate(doing: str) -> "Callable[[float], None]":
            """Tells how many seconds of the recording are done, and how fast, once a second at most."""
            began = bar.tasks[task].elapsed or 0.0
            last = began

            def tell(seconds: float) -> None:
                nonlocal last
                now = bar.tasks[task].elapsed or 0.0
                if now - last >= 1.0:
                    last = now
                    if not bar.live.is_started:  # a single recording that is refused leaves one line, and no bar
                        shown_bar.enter_context(bar)
                    speed = seconds / max(now - began, 1e-3)
                    bar.update(task, rate=f"{seconds:.0f} s {doing}, {speed:.1f} x real time")

            return tell

        for recording, video in zip(recordings, videos, strict=True):
            try:
                found = look(recording, queries, threshold=threshold, ceiling=ceiling, progress=rate("looked at"))
                if refine:
                    found = sharpened(recording, found, rate("refined"))
                video.parent.mkdir(parents=True, exist_ok=True)
                written = film.make(recording, video, found, height, boxes=boxes, progress=rate("drawn"))
                if page is not None and video in written and (part := look_of(recording, found, budget=budget)):
                    shown.append(part)
            except ValueError as error:
                if len(recordings) == 1:
                    raise
                passed.append(str(error))
            else:
                made += 1
                shares = [f"{100 * film.lit_time(one):.0f} %" for one in found]
                named = [f"{share} ({one.query})" for share, one in zip(shares, found, strict=True)]
                lit = ", ".join(named) if len(found) > 1 else shares[0]
                console.print(f"{recording}: lit {lit} of the time -> {written[0]}", soft_wrap=True, markup=False)
                scale = found[0].scale
                if (line := f"  threshold {scale.threshold:.4g}, {scale.chosen}") != told:
                    told = line
                    console.print(line, style="dim", soft_wrap=True)
            bar.update(task, advance=1, rate="")
    if page is not None and shown:
        write_looks(page, shown, f"{loaded.method.cfg.name} · {run.name}")
        console.print(f"{page}: {len(shown)} of {made} to scrub through", soft_wrap=True, markup=False)
    for reason in passed:
        log.print(f"passed over {reason}", soft_wrap=True, markup=False)
    if not made:
        raise ValueError(f"not one of {len(recordings)} recordings could be localized; the first: {passed[0]}")


def _not_made_here(recordings: list[Path], inputs: list[Path]) -> list[Path]:
    """Without the overlays and sheets of earlier calls that lie in the folders named."""
    made = set()
    for figures in {path.with_suffix(".json") for path in recordings}:
        if told := _of_overlay(figures):
            beside = {figures.with_suffix(suffix) for suffix in (*BESIDE, *VIDEO_SUFFIXES)}
            made |= {path for path in beside if path.resolve() != Path(told).resolve()}
    kept = [path for path in recordings if path not in made or path in inputs]
    if not kept:
        raise ValueError(f"{inputs[0]}: nothing but overlays; name recordings, or a folder that holds some")
    return kept


def _targets(recordings: list[Path], output: Path, single: bool) -> list[Path]:
    """Where each overlay goes."""
    if output.suffix.lower() in VIDEO_SUFFIXES and not output.is_dir():
        if not single:
            raise ValueError(f"-o {output} is one video, but there are several recordings; name a folder")
        return [output]
    if output.suffix.lower() in OTHER_SUFFIXES and not output.is_dir():
        raise ValueError(f"-o {output}: an overlay is one of {', '.join(VIDEO_SUFFIXES)}; or name a folder")
    # The shortest of these names that tells all recordings apart.
    ways = (
        [path.stem for path in recordings],
        [f"{path.parent.name}_{path.stem}" for path in recordings],
        [f"{path.parent.name}_{path.stem}_{path.suffix[1:]}" for path in recordings],
        [f"{number:04d}_{path.stem}" for number, path in enumerate(recordings)],
    )
    names = next(names for names in ways if len(set(names)) == len(names))
    return [output / f"{name}.mp4" for name in names]


def _check_written(
    videos: list[Path], recordings: list[Path], output: Path, audio: Path | None, page: Path | None
) -> None:
    """Raise ValueError, before any work, where what is kept would be lost.

    Nothing is written over a recording or the sound that is looked for. Other files that are already there are only
    replaced where their figures (.json) say that they are an overlay's, but for a video that the person named.
    """
    held = {_place(path): f"the recording {path}" for path in recordings if path.exists()}  # a link may lead nowhere
    if audio is not None:
        held[_place(audio)] = f"the sound to look for, {audio}"
    if page is not None and page.exists() and _place(page) in held:
        raise ValueError(f"--page {page} would write over {held[_place(page)]}; choose another place")
    for video in videos:
        files = [video, *(video.with_suffix(suffix) for suffix in BESIDE)]
        for path in files:
            check_output("-o", path, makes=True)
        if page is not None and page.resolve() in [path.resolve() for path in files]:
            raise ValueError(f"--page {page} is what -o {output} writes too; choose another place")
        there = [path for path in files if path.exists()]
        for path in there:
            if _place(path) in held:
                raise ValueError(f"-o {output} would write over {held[_place(path)]}; choose another place")
        foreign = [path for path in there if path != output]
        if foreign and not _of_overlay(files[-1]):
            raise ValueError(f"-o {output} would write over {foreign[0]}, which is no overlay's; choose another place")


def _place(path: Path) -> tuple[int, int]:
    """The same for all names of a file."""
    found = path.stat()
    return found.st_dev, found.st_ino


def _of_overlay(figures: Path) -> str:
    """The recording of which this file holds what `film.figures` tells; "" where it holds something else."""
    try:
        told = json.loads(figures.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return ""
    if not isinstance(told, dict) or not ("moments" in told or "queries" in told):
        return ""
    return str(told.get("recording", ""))
