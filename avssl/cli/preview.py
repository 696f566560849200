"""avssl preview: see what a method is given."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from avssl.cli._named import check_output

if TYPE_CHECKING:
    from torch import Tensor

    from avssl.config import MethodConfig, RunConfig
    from avssl.methods.base import Method

CLIPS = 12
"""of the world that is made when there are no recordings"""


def preview(
    config: Annotated[str, typer.Argument(help="A config file, the name of a shipped one, or a run's folder.")],
    changes: Annotated[list[str] | None, typer.Argument(help="key=value, such as data=FOLDER method.grid=3.")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="The picture to write.")] = Path("preview.png"),
    examples: Annotated[int, typer.Option(help="How many examples.")] = 3,
    progress: Annotated[float, typer.Option(help="0 is the beginning of the training, 1 its end.")] = 0.0,
) -> None:
    """Draw what a method is given: views, tiles, labels, spectrograms, words. Without data=, of a made-up world.

    Of a run, also what its newest checkpoint makes of it (filled in, coloured, cleaned), during the training too.
    """
    from avssl import config as configs
    from avssl.data.world import SENSORS, make_world
    from avssl.methods import base

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
        with TemporaryDirectory() as folder:
            make_world(Path(folder), clips=CLIPS, side=128, workers=1, sensors=SENSORS if _beside(cfg) else ())
            _draw(cfg, Path(folder) / "videos", output, examples, progress, run)
    typer.echo(f"wrote {output}")


def _beside(cfg: "RunConfig") -> list[str]:
    """The streams that the method asks for beside the recordings."""
    from avssl.data.streams import beside
    from avssl.inputs import Inputs
    from avssl.methods import base

    return beside(base.find(cfg.method.name).needs(cfg.method, Inputs(cfg.inputs)).streams)


def _draw(cfg: "RunConfig", data: Path, output: Path, count: int, progress: float, run: Path | None) -> None:
    from avssl.data.dataset import Items, Source
    from avssl.data.loader import generator
    from avssl.data.manifest import Manifest, make
    from avssl.inputs import Inputs
    from avssl.methods import base
    from avssl.report.sheet import draw
    from avssl.train.build import vocabulary
    from avssl.train.checkpoint import load_run

    held = make(data, streams=_beside(cfg)) if data.is_dir() else Manifest.load(data)
    method, step = None, 0
    if run is None:
        texts = [phrase.text for recording in held.recordings for phrase in recording.narration]
        inputs = Inputs(cfg.inputs, vocabulary(cfg, texts))
    else:
        loaded = load_run(run)
        inputs, method, step = Inputs(cfg.inputs, loaded.inputs.vocabulary), loaded.method, loaded.step
    kind = base.find(cfg.method.name)
    needs = kind.needs(cfg.method, inputs)
    source = Source(Items(held, None, cfg.data.item_seconds, needs), needs)
    transform = kind.preview(cfg.method, inputs)
    drawn, names = [], []
    said: list[dict[str, str]] = []
    for place in range(min(count, len(source))):
        # Spread over the recordings, so that neighbours in a folder do not look alike.
        index = place * len(source) // count
        random = generator(cfg.seed, place)
        sample = source.get(index, random)
        drawn.append(transform(sample, random, progress))
        names.append(f"{sample.key} from {sample.start:.2f} s")
        said.append(transform.words(drawn[-1]) if isinstance(transform, base.Captions) else {})
    title = f"{cfg.method.name}: what it is given"
    if method is not None and isinstance(method, base.Shows):
        drawn = _shown(method, drawn)
        title = f"{cfg.method.name}: given and made, step {step}"
    draw(output, title, drawn, names, inputs, said)


def _shown(method: "Method[MethodConfig]", examples: "list[dict[str, Tensor]]") -> "list[dict[str, Tensor]]":
    """The examples, each with what the method makes of it."""
    import torch

    from avssl.methods.base import Shows

    assert isinstance(method, Shows)
    batch = {key: torch.stack([example[key] for example in examples]) for key in examples[0]}
    rows = torch.arange(len(examples))
    with torch.inference_mode():
        made = method.show({**batch, "index": rows, "recording": rows})
    return [
        {**example, **{name: (x[row].clamp(0, 1) * 255).round().to(torch.uint8) for name, x in made.items()}}
        for row, example in enumerate(examples)
    ]
