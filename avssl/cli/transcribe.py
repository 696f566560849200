"""avssl transcribe: narration for recordings that have none, by a speech recognizer."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from avssl.cli._counting import counting
from avssl.cli._named import check_manifest_output
from avssl.words import counted


def transcribe(
    recordings: Annotated[Path, typer.Argument(help="A manifest (.jsonl), as avssl manifest writes it.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The manifest with narration; its .vtt files lie beside it.")
    ],
    *,
    model: Annotated[str, typer.Option(help="Folder or hub name of a Whisper.")] = "openai/whisper-small",
    engine: Annotated[str, typer.Option(help="transformers, or faster-whisper (extra asr).")] = "transformers",
    language: Annotated[str, typer.Option(help="Of all recordings (en); found for each unless given.")] = "",
    again: Annotated[bool, typer.Option(help="Hear also what has narration already.")] = False,
    no_speech: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Probability of no speech above which doubtful words go.")
    ] = 0.6,
    compression: Annotated[float, typer.Option(help="Text that packs better than this repeats itself.")] = 2.4,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Write down what is said: voice is found and recognized, what recognizers make up is left out.

    A second run goes on. A model of a hub is downloaded where it is not on the disk; one in a folder never.
    """
    check_manifest_output(output, makes=True, made_from=recordings)
    from avssl.data.manifest import Manifest
    from avssl.encoders import hub
    from avssl.speech.doubt import Rule
    from avssl.speech.faster import FasterWhisper
    from avssl.speech.transcribe import UNDETERMINED
    from avssl.speech.transcribe import transcribe as hear
    from avssl.speech.whisper import Whisper
    from avssl.train.distributed import device_of

    engines: dict[str, type[Whisper] | type[FasterWhisper]]
    engines = {"transformers": Whisper, "faster-whisper": FasterWhisper}
    if engine not in engines:
        raise ValueError(f"--engine {engine}: it is {' or '.join(engines)}")
    held = Manifest.load(recordings)
    recognizer = engines[engine](model, str(device_of(device)))
    typer.echo(f"--model: {recognizer.origin}, {hub.terms(hub.license_of(recognizer.origin))}", err=True)
    folder = output.with_name(f"{output.stem}-narration")
    with counting("recordings") as tell:
        made, told = hear(
            held, folder, recognizer, settings=f"{engine} {model} {hub.version(recognizer.origin)}", language=language,
            rule=Rule(no_speech=no_speech, compression=compression), again=again, progress=tell,
        )  # fmt: skip
    made.save(output)
    table = Table(box=None, show_header=False)
    table.add_row("heard", str(told.heard))
    table.add_row("heard before", str(told.before))
    _rows(table, "not heard", told.passed)
    _rows(table, "segments left out", told.left_out)
    voiceless = told.languages.pop(UNDETERMINED, 0)
    _rows(table, "language", told.languages)
    if voiceless:
        table.add_row("no voice found in", counted(voiceless, "recording"))
    table.add_row("sentences", str(told.sentences))
    console = Console()
    console.print(table)
    console.print(f"wrote [bold]{escape(str(output))}[/bold], {escape(str(folder))}", soft_wrap=True)


def _rows(table: Table, title: str, counts: Counter[str]) -> None:
    for name, count in counts.most_common():
        table.add_row(f"{title}: {escape(name)}", str(count))
