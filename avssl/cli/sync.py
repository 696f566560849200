"""avssl sync: is the sound in step with the picture?"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from avssl.cli._counting import counting
from avssl.cli._named import recordings as named_recordings

if TYPE_CHECKING:
    import torch

    from avssl.sync.asked import Asked
    from avssl.sync.recording import Synchrony
    from avssl.train.build import Loaded

MOST_CONFIDENT = 2.0
"""a correlation above the median of others is at most so great"""
COLORS = {"in sync": "green", "shifted": "yellow", "dubbed": "red"}


def sync(
    run: Annotated[Path, typer.Argument(help="A run's folder, one of its checkpoints, or an exported folder.")],
    inputs: Annotated[list[Path] | None, typer.Argument(help="Recordings, folders of them, or manifests.")] = None,
    choose: Annotated[
        Path | None,
        typer.Option(help="A manifest: choose on its validation recordings what confidence is asked for, and keep it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per recording.")] = False,
    reach: Annotated[
        float | None, typer.Option(help="Greatest offset looked for, in seconds; 1, or all it names, unless given.")
    ] = None,
    tolerance: Annotated[
        float | None, typer.Option(help="Greatest offset that is in sync, in seconds; 0.1 unless given.")
    ] = None,
    confidence: Annotated[
        float | None, typer.Option(help="Below it the sound fits at no offset: dubbed; as was chosen, or 0.5.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="Of a long recording that are looked at; 60 unless given.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Tell by how much sound and picture are apart, and which recordings are shifted or dubbed."""
    console, log = Console(), Console(stderr=True)
    if not inputs and choose is None:
        raise ValueError("which recordings? avssl sync RUN FILE..., or avssl sync RUN --choose MANIFEST")
    recordings = named_recordings(inputs or [])
    told = {"--reach": reach, "--tolerance": tolerance, "--confidence": confidence, "--seconds": seconds}
    for option, value in told.items():
        if value is not None and not value > 0:
            raise ValueError(f"{option} is {value:g}; it must be above 0")
    if confidence is not None and confidence > MOST_CONFIDENT:
        raise ValueError(f"--confidence is {confidence:g}; nothing is surer than {MOST_CONFIDENT:g}")

    from avssl.sync import recording
    from avssl.sync.asked import Asked
    from avssl.train.checkpoint import load_run
    from avssl.train.distributed import device_of

    where = device_of(device)
    loaded = load_run(run)
    loaded.method.to(where)
    limits = Limits(recording.reach_of(loaded.method, reach), tolerance or recording.TOLERANCE_SECONDS)
    if choose is not None:
        _choose(run, loaded, choose, limits, where, log)
    asked = Asked(confidence, confidence) if confidence else _stored(run, loaded, limits, log)
    found: list[Synchrony] = []
    passed: list[str] = []
    with counting("recordings") as tell:
        for done, path in enumerate(recordings, 1):
            try:
                one = recording.synchrony(
                    loaded.method, loaded.inputs, path, device=where, asked=asked,
                    reach_seconds=limits.reach, tolerance_seconds=limits.tolerance,
                    most_seconds=seconds or recording.MOST_SECONDS,
                )  # fmt: skip
            except ValueError as error:
                if len(recordings) == 1:
                    raise
                passed.append(str(error))
            else:
                found.append(one)
                if as_json:
                    print(json.dumps(one.row()), flush=True)
            if len(recordings) > 1:
                tell(done, len(recordings))
    if found and not as_json:
        console.print(table(found))
        if any(one.verdict == "dubbed" for one in found):
            console.print("dubbed: the sound fits at no offset, or nothing in view makes it", style="dim")
    compared = [one for one in found if one.offset is not None]
    if compared and all(one.verdict == "dubbed" for one in compared):
        of = f"{loaded.step} of {loaded.cfg.steps}" if loaded.step < loaded.cfg.steps else str(loaded.step)
        hint = f"no sound fits anywhere: is {run} trained enough, and on recordings like these? it is at step {of}"
        log.print(hint, soft_wrap=True, markup=False)
    if passed:
        log.print(f"{len(passed)} of {len(recordings)} recordings were passed over:", highlight=False)
    for reason in passed:
        log.print(f"passed over {reason}", soft_wrap=True, markup=False)
    if recordings and not found:
        raise ValueError(f"not one of {len(recordings)} recordings could be compared; the first: {passed[0]}")


class Limits(NamedTuple):
    """Seconds: the greatest offset that is looked for, and that is in sync."""

    reach: float
    tolerance: float


def _choose(run: Path, loaded: "Loaded", listed: Path, limits: Limits, where: "torch.device", log: Console) -> None:
    """On a manifest's validation recordings, and say how well they are told apart."""
    from avssl.data.manifest import Manifest
    from avssl.sync.choosing import choose
    from avssl.train.checkpoint import run_of

    held = Manifest.load(listed)
    paths = [held.path_of(one) for one in held.split("val") if one.video and one.audio]
    with counting("validation recordings") as tell:
        try:
            made = choose(
                loaded.method, loaded.inputs, paths, loaded.digest, device=where, tell=tell,
                reach_seconds=limits.reach, tolerance_seconds=limits.tolerance,
            )  # fmt: skip
        except ValueError as error:
            raise ValueError(
                f"--choose {listed}: of its {len(paths)} validation recordings with picture and sound {error}; give a "
                "manifest of more recordings, or say --confidence yourself"
            ) from None
    log.print(
        f"in sync from a confidence of {made.in_sync:.2f} on, shifted from {made.shifted:.2f} on: of "
        f"{made.recordings} validation recordings {made.own_flagged:.0%} are flagged, with another's sound "
        f"{made.foreign_flagged:.0%}; kept in {made.save(run_of(run))}",
        soft_wrap=True, markup=False, highlight=False,
    )  # fmt: skip


def _stored(run: Path, loaded: "Loaded", limits: Limits, log: Console) -> "Asked":
    """What was chosen for this checkpoint and these limits, or else what is asked for without."""
    from avssl.sync.asked import Asked, stored

    kept = stored(run, loaded.digest)
    if kept is not None and limits == (kept.reach_seconds, kept.tolerance_seconds):
        return kept.asked
    what = "the confidence asked for is not this run's own" if kept is None else "it was chosen for other limits"
    log.print(
        f"{what}: choose it on validation recordings, avssl sync {run} --choose {loaded.manifest or 'MANIFEST'}",
        style="dim", soft_wrap=True, markup=False, highlight=False,
    )  # fmt: skip
    return Asked()


def table(found: "list[Synchrony]") -> Table:
    """A line per recording."""
    path = Column("recording", overflow="fold")
    shown = Table(path, "", "sound is", "confidence", "looked at", box=None, pad_edge=False)
    for one in found:
        color = COLORS.get(one.verdict)
        verdict = f"[{color}]{one.verdict}[/{color}]" if color else one.verdict
        confidence = "" if one.offset is None else f"{one.confidence:.2f}"
        shown.add_row(
            escape(" ".join(one.path.split())), verdict, said(one), confidence, f"{one.looked_at_seconds:.1f} s"
        )
    return shown


def said(one: "Synchrony") -> str:
    """The offset in words; nothing where the sound fits nowhere."""
    if one.offset is None or one.verdict == "dubbed":
        return ""
    thousandths = round(1000 * one.offset)
    return f"{abs(thousandths)} ms {'late' if thousandths > 0 else 'early'}" if thousandths else "on time"
