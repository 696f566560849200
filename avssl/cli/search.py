"""avssl search: which moment of which recording answers a text, a sound, a picture or a clip."""

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import track

from avssl.cli._named import check_index, check_output
from avssl.words import one_line

if TYPE_CHECKING:
    from retrieval.search import Hit

COLUMNS = ("rank", "path", "time", "start", "end", "peak", "score", "modality", "narration", "recording")
TOUCHING_SECONDS = 1e-3
FIRST = ("video", "image", "audio", "text")
"""what is looked for when --in does not say: the first of these that the index holds"""


def search(
    index: Annotated[Path, typer.Argument(help="A folder that avssl index wrote.")],
    text: Annotated[list[str] | None, typer.Option(help="Find by words.")] = None,
    audio: Annotated[list[Path] | None, typer.Option(help="Find by the sound of this file.")] = None,
    image: Annotated[list[Path] | None, typer.Option(help="Find by this picture.")] = None,
    video: Annotated[list[Path] | None, typer.Option(help="Find by the pictures of this clip.")] = None,
    stream: Annotated[
        list[str] | None,
        typer.Option(help="Find by another stream: depth=clip.depth.mkv,range=0:8000 as in avssl manifest."),
    ] = None,
    not_text: Annotated[list[str] | None, typer.Option(help="Keep away from these words.")] = None,
    not_audio: Annotated[list[Path] | None, typer.Option(help="Keep away from this sound.")] = None,
    not_image: Annotated[list[Path] | None, typer.Option(help="Keep away from this picture.")] = None,
    not_video: Annotated[list[Path] | None, typer.Option(help="Keep away from this clip.")] = None,
    weight: Annotated[list[str] | None, typer.Option(help="Of a kind: text=2, not-audio=0.5; else 1.")] = None,
    like: Annotated[int | None, typer.Option(help="More like this moment: an id that --json told.")] = None,
    others: Annotated[bool, typer.Option("--others", help="With --like: only in other recordings.")] = False,
    top: Annotated[int, typer.Option(help="How many moments.")] = 10,
    among: Annotated[str, typer.Option("--in", help="Find video, audio, image, text, a stream, or any.")] = "",
    where: Annotated[str | None, typer.Option(help="SQL condition, such as \"extra ->> 'kind' = 'bell'\".")] = None,
    distinct: Annotated[
        float | None, typer.Option(help="Leave out what is this like a better one (1: copies).")
    ] = None,
    centered: Annotated[
        bool,
        typer.Option(
            "--centered",
            help="Without what all that the index holds of the query's kind has in common, such as one voice or room: "
            "for recordings unlike those that were learnt from, as varied as what is asked.",
        ),
    ] = False,
    windows: Annotated[bool, typer.Option("--windows", help="Do not join windows that touch into moments.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per moment.")] = False,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write the moments as a table too.")] = None,
    clips: Annotated[Path | None, typer.Option(help="Cut the moments out into this folder.")] = None,
    localize: Annotated[
        Path | None, typer.Option(help="Show where in the moments it is: overlay videos into this folder.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="The run, if it is no longer where it was.")] = None,
) -> None:
    """Find the moment: print `file @ time`, the score and what is said there or within two seconds of it.

    What is asked for may be several things, each as often as you like: --text "a bell" --audio this.wav --not-image
    that.png. With --in any, scores are standard deviations above unrelated moments, so that modalities compare.
    """
    wanted = {"text": text, "audio": audio, "image": image, "video": video, "stream": stream}
    unwanted = {"text": not_text, "audio": not_audio, "image": not_image, "video": not_video}
    given = _weighted(wanted, unwanted, weight or [])
    if not any(value for values in wanted.values() for value in values or ()) and like is None:
        raise ValueError("say what to search for: --text, --audio, --image, --video, --stream or --like")
    if others and like is None:
        raise ValueError("--others goes with --like")
    for kind, value, _ in given:
        if kind not in ("text", "stream") and not Path(value).is_file():
            raise ValueError(f"{value}: " + ("a folder; name a file" if Path(value).is_dir() else "no such file"))
    if top < 1:
        raise ValueError(f"--top is {top}; it must be at least 1")
    if distinct is not None and not 0 < distinct <= 1:
        raise ValueError(f"--distinct is {distinct:g}; it must be above 0 and at most 1, which leaves out copies alone")
    check_index(index)
    if csv_file is not None:
        check_output("--csv", csv_file, makes=True)
    for option, folder in (("--clips", clips), ("--localize", localize)):
        if folder is not None and folder.exists() and not folder.is_dir():
            raise ValueError(f"{option} {folder}: a file; name a folder for the videos")

    from retrieval import index as indexes
    from retrieval.commands.given import printable
    from retrieval.own_columns import lacking, named_in
    from retrieval.search import format_time
    from retrieval.store import Store

    with Store.open(index) as store:
        loaded_index = indexes.load(store)
        names = dict.fromkeys((*FIRST, *store.space.modalities))  # streams of other names come last
        held = [name for name in names if len(store.ids("modality = ?", [name]))]
        if not held:
            raise ValueError(f"{index} holds nothing to find")
        if like is not None and not len(store.ids("id = ?", [like])):
            raise ValueError(f"--like {like}: {index} has no such id; --json tells those of what is found")
        # More like a moment is by default what it is itself.
        among = among or (store.rows([like])[0].modality if like is not None and not given else held[0])
        if among != "any" and among not in held:
            raise ValueError(f"--in {among}: {index} holds {', '.join(held)}")
        from avssl.cli._queries import Asked, embedder_of, queries_of, with_boxes
        from retrieval.moments import as_one
        from retrieval.search import search as find

        asked = [Asked(*one) for one in given]
        embedder, scales = embedder_of(index, store, run) if asked else (None, {})
        found = find(
            store, loaded_index, queries_of(embedder, store, asked, like, centered=centered), k=top,
            modality=None if among == "any" else among, where=where, calibrated=among == "any",
            exclude_recording=store.rows([like])[0].recording if like is not None and others else None,
            exclude_ids=[] if like is None else [like], merge_seconds=0.0 if windows else TOUCHING_SECONDS,
            distinct_cosine=distinct, each_modality=as_json,
        )  # fmt: skip
        hits = as_one(found, top, not windows)
        if embedder is not None:
            hits = with_boxes(embedder, scales, store, asked, hits)
        missing = lacking(store, named_in(where)) if where and not hits else ""
    for rank, hit in enumerate(hits, 1):
        if as_json:
            typer.echo(json.dumps({"rank": rank, "time": format_time(hit.peak), **asdict(hit)}, ensure_ascii=False))
        else:
            typer.echo(_line(hit))
    if not hits:
        typer.echo(printable(f"nothing found; {missing}" if missing else "nothing found"), err=True)
    if csv_file is not None:
        _write_csv(csv_file, hits)
    if clips is not None:
        from avssl.data.media import Unreadable
        from avssl.report.clips import cut_hit

        if any(Path(hit.path).resolve().parent == clips.resolve() for hit in hits):
            raise ValueError(f"--clips {clips}: recordings that were found lie there; name another folder")
        clips.mkdir(parents=True, exist_ok=True)
        told = track(list(enumerate(hits, 1)), "cutting", console=Console(stderr=True), disable=not sys.stderr.isatty())
        cut = 0
        for rank, hit in told:
            try:
                written = cut_hit(hit, clips, rank)
            except (Unreadable, FileNotFoundError) as error:
                typer.echo(f"passed over moment {rank}: {one_line(error)}", err=True)
            else:
                cut += 1
                typer.echo(f"wrote {written}", err=True)
        if hits and not cut:
            raise ValueError(f"--clips {clips}: not one of what was found can be cut out")
    if localize is not None and hits:
        from avssl.cli._hits import localized

        made = localized(index, run, hits, asked, localize)
        silent = not sys.stderr.isatty()
        for rank, overlay, reason in track(made, "looking", len(hits), console=Console(stderr=True), disable=silent):
            typer.echo(f"wrote {overlay}" if overlay else f"passed over moment {rank}: {reason}", err=True)


def _weighted(
    wanted: Mapping[str, Sequence[object] | None], unwanted: Mapping[str, Sequence[object] | None], told: Sequence[str]
) -> list[tuple[str, str, float]]:
    """(kind, value, weight) of everything that is asked for; what to keep away from has a weight below 0."""
    signed = [(kind, kind, 1.0, values) for kind, values in wanted.items()]
    signed += [(f"not-{kind}", kind, -1.0, values) for kind, values in unwanted.items()]
    weights = {}
    for one in told:
        name, _, number = one.partition("=")
        try:
            weights[name] = float(number)
        except ValueError:
            weights[name] = float("nan")
        if name not in [known for known, *_ in signed] or not 0 < weights[name] < float("inf"):
            raise ValueError(f"--weight {one}: say KIND=NUMBER above 0, such as text=2 or not-audio=0.5")
        if not any(values for known, _, _, values in signed if known == name):
            raise ValueError(f"--weight {one}: there is no --{name} that it could be of")
    return [
        (kind, str(value), sign * weights.get(name, 1.0))
        for name, kind, sign, values in signed
        for value in values or ()
    ]


def _line(hit: "Hit") -> str:
    from retrieval.__main__ import printable
    from retrieval.search import format_time

    score = f"{hit.score:.3f}" if hit.calibrated is None else f"{hit.calibrated:.1f} sd ({hit.modality})"
    box = "" if hit.box is None else f"  at {', '.join(f'{edge:.2f}' for edge in hit.box)}"
    return printable(f"{hit.path} @ {format_time(hit.peak)}  {score}{box}  {hit.narration}")


def _write_csv(path: Path, hits: "Sequence[Hit]") -> None:
    from retrieval.files import replacing
    from retrieval.search import format_time

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for rank, hit in enumerate(hits, 1):
            told = {**asdict(hit), "rank": rank, "time": format_time(hit.peak)}
            writer.writerow([told[name] for name in COLUMNS])
