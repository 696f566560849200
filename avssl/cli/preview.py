"""avssl preview: see what a method is given."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avssl.cli._named import check_output

if TYPE_CHECKING:
    from avssl.config import RunConfig

CLIPS = 12
"""of the world that is made when there are no recordings"""


def preview(
    config: Annotated[str, typer.Argument(help="A config file, the name of a shipped one, or a run's folder.")],
    changes: Annotated[list[str] | None, typer.Argument(help="key=value, such as data=FOLDER method.grid=3.")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="The picture to write.")] = Path("preview.png"),
    examples: Annotated[int, typer.Option(help="How many examples.")] = 3,
    progress: Annotated[float, typer.Option(min=0, max=1, help="0 is the beginning of the training, 1 its end.")] = 0.0,
) -> None:
    """Draw what a method is given: views, tiles, labels, spectrograms, words. Without data=, of a made-up world.

    Examples are of what is learnt from, spread over it; of all recordings where there is no train split.

    Of methods that make pictures (filled in, coloured, cleaned), also what is made: by a run's newest checkpoint, while
    it trains too, or before the first step.
    """
    from avssl import config as configs
    from avssl.data.world import SENSORS, make_world
    from avssl.methods import base
    from retrieval.files import aside

    if examples < 1:
        raise ValueError(f"--examples is {examples}; it must be at least 1")
    if output.suffix.lower() != ".png":
        raise ValueError(f"{output}: the sheet is a .png")
    check_output("-o", output)
    run = Path(config) if (Path(config) / "config.yaml").is_file() else None
    cfg = configs.load(run / "config.yaml" if run else config, changes or [], base.config_of)
    if cfg.data.manifest:
        _draw(cfg, Path(cfg.data.manifest), output, examples, progress, run)
    else:
        with aside(output.parent) as folder:
            make_world(folder, clips=CLIPS, side=128, workers=1, sensors=SENSORS if _further(cfg) else ())
            _draw(cfg, folder / "videos", output, examples, progress, run)
    typer.echo(f"wrote {output}")


def _further(cfg: "RunConfig") -> tuple[str, ...]:
    """The streams that the method asks for by name: in files beside the recordings, or channels of their sound."""
    from avssl.inputs import Inputs
    from avssl.methods import base

    return base.find(cfg.method.name).needs(cfg.method, Inputs(cfg.inputs)).streams


def _draw(cfg: "RunConfig", data: Path, output: Path, count: int, progress: float, run: Path | None) -> None:
    from avssl.data.manifest import Manifest, make
    from avssl.data.streams import beside
    from avssl.inputs import Inputs
    from avssl.methods import base
    from avssl.report import made
    from avssl.report.sheet import draw
    from avssl.train.build import method_of, vocabulary
    from avssl.train.checkpoint import load_run

    if run is not None and not data.exists():
        raise ValueError(f"{data}, which {run} learnt from, is not there (any more); say data=FOLDER or data=x.jsonl")
    labels = Path(cfg.data.labels) if cfg.data.labels else None
    held = make(data, labels=labels, streams=beside(_further(cfg))) if data.is_dir() else Manifest.load(data)
    method, when = None, "before the first step"
    if run is None:
        texts = [phrase.text for recording in held.recordings for phrase in recording.narration]
        inputs = Inputs(cfg.inputs, vocabulary(cfg, texts))
        if hasattr(base.find(cfg.method.name), "show"):
            method = method_of(cfg, inputs, len(held.recordings)).eval()
    else:
        loaded = load_run(run)
        inputs, method, when = Inputs(cfg.inputs, loaded.inputs.vocabulary), loaded.method, f"step {loaded.step}"
    split = "train" if any(recording.split == "train" for recording in held.recordings) else None
    found = made.given(cfg, inputs, held, split, count, progress)
    if len(found.examples) < count:
        typer.echo(f"{count} examples were asked for, and {data} has {len(found.examples)}", err=True)
    examples, title = found.examples, f"{cfg.method.name}: what it is given"
    if method is not None and isinstance(method, base.Shows):
        examples = made.made(method, examples)
        title = f"{cfg.method.name}: what it is given, and what comes of it, {when}"
    draw(output, title, examples, found.names, inputs, found.said)
