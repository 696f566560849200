"""avssl localize: see where in the picture the sound, or a word, is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Callable

    from avssl.localize.calibration import Calibration
    from avssl.localize.heatmap import Heat, Query
    from avssl.train.build import Loaded

    HeatOf = Callable[[Query], Heat]

VIDEO_SUFFIXES = (".mp4", ".mkv", ".mov", ".m4v")


def localize(
    run: Annotated[Path, typer.Argument(help="A run's folder, one of its checkpoints, or an exported folder.")],
    inputs: Annotated[list[Path], typer.Argument(help="Recordings, or folders of them.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="One overlay video (.mp4), or a folder for them.")],
    text: Annotated[str | None, typer.Option(help="Look for these words instead of the recording's own sound.")] = None,
    audio: Annotated[Path | None, typer.Option(help="Look for the sound in this file.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Light scores from here on; else the run's own.")] = None,
    ceiling: Annotated[float | None, typer.Option(help="Score at which the colours end; else the run's own.")] = None,
    window: Annotated[float | None, typer.Option(help="Seconds per window; else the run's own.")] = None,
    hop: Annotated[float | None, typer.Option(help="Seconds between windows; else half a window.")] = None,
    height: Annotated[int, typer.Option(help="Greatest height of the overlay in pixels.")] = 480,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Show where in the picture the sound, or a word, is: overlay videos with their sound, stills, figures."""
    if text is not None and audio is not None:
        raise ValueError("--text and --audio are two queries; give one of them")
    console, log = Console(), Console(stderr=True)
    recordings, chosen = _recordings(inputs), len(inputs) == 1 and inputs[0].is_file()
    videos = _targets(recordings, output, chosen)

    from avssl.localize import film
    from avssl.localize.heatmap import heatmap
    from avssl.train.checkpoint import load_run
    from avssl.train.distributed import device_of

    where = device_of(device)
    loaded = load_run(run)
    loaded.method.to(where)
    query: Query = text if text is not None else audio
    told = f'"{text}"' if text is not None else f"the sound of {audio.name}" if audio else "its own sound"
    made, passed = 0, []
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, TextColumn("{task.fields[rate]}"), console=log) as bar:
        task = bar.add_task("recordings", total=len(recordings), rate="")
        for recording, video in zip(recordings, videos, strict=True):

            def heat_of(asked: "Query", recording: Path = recording) -> "Heat":
                began = bar.tasks[task].elapsed or 0.0

                def rate(seconds: float) -> None:
                    took = (bar.tasks[task].elapsed or 0.0) - began
                    bar.update(task, rate=f"{seconds:.0f} s looked at, {seconds / max(took, 1e-3):.1f} x real time")

                return heatmap(
                    loaded.method, loaded.inputs, recording,
                    query=asked, window_seconds=window, hop_seconds=hop, device=where, progress=rate,
                )  # fmt: skip

            try:
                heat = heat_of(query)
                scale = _scale(run, loaded, heat, heat_of, threshold, ceiling)
                video.parent.mkdir(parents=True, exist_ok=True)
                written = film.make(recording, video, heat, scale, told, height)
            except ValueError as error:
                if len(recordings) == 1:
                    raise
                passed.append(str(error))
            else:
                made += 1
                lit = film.figures(recording, heat, scale, told)["lit_time"]
                console.print(f"{recording}: lit {100 * lit:.0f} % of the time -> {written[0]}", soft_wrap=True)
                console.print(f"  threshold {scale.threshold:.4g}, {scale.chosen}", style="dim", soft_wrap=True)
            bar.advance(task)
    for reason in passed:
        log.print(f"passed over {reason}", soft_wrap=True)
    if not made:
        raise ValueError(f"not one of {len(recordings)} recordings could be localized; the first: {passed[0]}")


def _scale(
    run: Path, loaded: "Loaded", heat: "Heat", heat_of: "HeatOf", threshold: float | None, ceiling: float | None
) -> "Calibration":
    """The run's own scale, as far as the user did not say otherwise; without one, from silence and noise."""
    from avssl.localize import calibration
    from avssl.localize.heatmap import QUERY_SECONDS

    found = next((c for at in (run, run.parent.parent) if (c := calibration.load(at, loaded.digest))), None)
    if found is None and threshold is None:
        samples = round(QUERY_SECONDS * loaded.inputs.cfg.hz)
        found = calibration.from_noise(heat.maps, lambda sound: heat_of(sound).maps, samples, loaded.digest)
    return calibration.settle(found, heat.maps, threshold, ceiling, loaded.digest)


def _recordings(inputs: list[Path]) -> list[Path]:
    """The files named, and those in the folders named, in order."""
    from avssl.data.narration import SUFFIXES

    found: list[Path] = []
    for path in inputs:
        if path.is_dir():
            held = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
            held = [p for p in held if p.suffix.lower() not in SUFFIXES]
            if not held:
                raise ValueError(f"{path}: an empty folder; name recordings, or a folder that holds some")
            found += held
        elif path.exists():
            found.append(path)
        else:
            raise ValueError(f"{path}: no such file or folder")
    return found


def _targets(recordings: list[Path], output: Path, single: bool) -> list[Path]:
    """Where each overlay goes; ValueError when one would take the place of a recording."""
    if output.suffix.lower() in VIDEO_SUFFIXES and not output.is_dir():
        if not single:
            raise ValueError(f"-o {output} is one video, but there are several recordings; name a folder")
        targets = [output]
    else:
        # The shortest of these names that tells all recordings apart.
        ways = (
            [path.stem for path in recordings],
            [f"{path.parent.name}_{path.stem}" for path in recordings],
            [f"{path.parent.name}_{path.name}" for path in recordings],
            [f"{number:04d}_{path.stem}" for number, path in enumerate(recordings)],
        )
        names = next(names for names in ways if len(set(names)) == len(names))
        targets = [output / f"{name}.mp4" for name in names]
    for target in targets:
        if any(target.resolve() == recording.resolve() for recording in recordings):
            raise ValueError(f"-o {output} would write over the recording {target}; choose another place")
    return targets
