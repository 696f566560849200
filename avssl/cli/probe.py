"""avssl probe: what a run's encoder has learnt, told by labels it was not trained on."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from avssl.cli._counting import counting
from avssl.cli._named import check_output
from avssl.cli._probed import show
from avssl.words import counted

if TYPE_CHECKING:
    from avssl.probe.examples import Examples
    from avssl.probe.study import Row, Study, Tell

HOWS = ("linear", "knn", "stages", "finetune", "transfer", "cam")
POOLED = ("mean", "max")
ROWS = Path("results/probe.jsonl")
NAMED = 10
"""files that are left out, told by name"""
DRAWN = 8
"""examples on a sheet of class activation maps"""


def probe(
    run: Annotated[Path, typer.Argument(help="A run's folder, one of its checkpoints, or an exported folder.")],
    data: Annotated[
        list[str],
        typer.Argument(help="Label sets: manifests, folders of class folders (or .tar.gz), torchvision:NAME:ROOT."),
    ],
    how: Annotated[
        list[str] | None, typer.Option(help="linear, knn, stages, finetune, transfer (linear and finetune), cam.")
    ] = None,
    beside: Annotated[
        list[Path] | None, typer.Option(help="Further runs that are judged alike, such as one of supervised.")
    ] = None,
    label: Annotated[str, typer.Option(help="Which label of a manifest or table.")] = "",
    labels: Annotated[Path | None, typer.Option(help="TSV with a path or clip column, labels and splits.")] = None,
    modality: Annotated[str, typer.Option(help="Which encoder: image, video, audio or text.")] = "",
    fraction: Annotated[list[float] | None, typer.Option(help="Share of the labels used, such as 0.01; 1.")] = None,
    under: Annotated[
        list[str] | None,
        typer.Option(help="linear, knn: judge worse examples, such as 'noise 3', 'blur 2', 'contrast 4'."),
    ] = None,
    pooled: Annotated[
        list[str] | None,
        typer.Option(help="linear, knn: the encoder's own vectors (mean), or its last map's maximum (max)."),
    ] = None,
    bad_budget: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the examples that may be unreadable; they are left out.")
    ] = 0.05,
    per_class: Annotated[int, typer.Option(min=0, help="Most examples of each class in each part; 0 takes all.")] = 0,
    size: Annotated[
        int, typer.Option(min=1, help="stages: values a stage is pooled to; the RotNet table has 9216.")
    ] = 1024,
    freeze: Annotated[list[int] | None, typer.Option(help="finetune: how many early stages are frozen.")] = None,
    rest: Annotated[str, typer.Option(help="finetune: the other stages are kept or start from random.")] = "kept",
    steps: Annotated[int, typer.Option(help="finetune: steps for each learning rate.")] = 300,
    batch: Annotated[int, typer.Option(help="finetune: examples per step.")] = 64,
    rate: Annotated[list[float] | None, typer.Option(help="finetune: learning rates to choose from.")] = None,
    flip: Annotated[bool, typer.Option(help="finetune: mirror half of the pictures; not for digits.")] = True,
    seed: Annotated[int, typer.Option(min=0, help="Of held-back examples, kept labels, batches.")] = 0,
    rows: Annotated[Path, typer.Option(help="Results are added here; what is there is used.")] = ROWS,
    again: Annotated[bool, typer.Option("--again", help="Compute even what is there already.")] = False,
    output: Annotated[Path, typer.Option("-o", "--output", help="cam: the sheet (.png).")] = Path("cam.png"),
    room: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps unpacked and decoded data; unless given, they are gone at the end."),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Judge frozen or tuned encoders by labels, beside untrained ones, raw input, chance and the commonest class.

    avssl probe runs/x cifar10.tar.gz --how linear --how stages --fraction 0.01 --fraction 1
    """
    hows = how or ["linear"]
    for name in hows:
        if name not in HOWS:
            raise ValueError(f"--how {name}: there are {', '.join(HOWS)}")
    if rest not in ("kept", "random"):
        raise ValueError(f"--rest is {rest}; kept or random")
    if rest == "random" and "finetune" not in hows:
        raise ValueError(f"--rest random is for --how finetune; --how {' --how '.join(hows)} has no use for it")
    if freeze and not {"finetune", "transfer"} & set(hows):
        raise ValueError(f"--freeze is for --how finetune; --how {' --how '.join(hows)} has no use for it")
    if under and not {"linear", "knn", "transfer"} & set(hows):
        raise ValueError(f"--under is for --how linear and knn; --how {' --how '.join(hows)} has no use for it")
    for name in pooled or []:
        if name not in POOLED:
            raise ValueError(f"--pooled {name}: there are {', '.join(POOLED)}")
    if pooled and not {"linear", "knn", "transfer"} & set(hows):
        raise ValueError(f"--pooled is for --how linear and knn; --how {' --how '.join(hows)} has no use for it")
    rates = rate or [0.3, 0.1, 0.03]
    if steps < 1 or batch < 2 or min(rates) <= 0:
        raise ValueError(f"--steps {steps}, --batch {batch}, --rate {min(rates):g}: at least 1, 2 and above 0")
    tuning = {"steps": steps, "batch": batch, "rates": rates, "flip": flip, "rest": rest}
    if "cam" in hows and output.suffix.lower() != ".png":
        raise ValueError(f"{output}: the sheet is a .png")
    if "cam" in hows:
        check_output("-o", output)
    pools = pooled or ["mean"]
    pools = ["mean", *pools] if "transfer" in hows else pools  # its table is of the encoder's own vectors
    vectors = [{"under": worse, "pooled": pool} for pool in dict.fromkeys(pools) for worse in ["", *(under or [])]]
    questions = list(_questions(hows, fraction or [1.0], vectors, size, freeze or [0], tuning))

    import torch

    from avssl.probe import kept
    from avssl.probe.study import asked
    from retrieval.files import aside

    if threads is not None:
        torch.set_num_threads(threads)
    known = [] if again else kept.read(rows)
    told: list[Row] = []
    wanted = {
        "label": label, "labels": labels, "modality": modality, "per_class": per_class, "seed": seed,
        "bad_budget": bad_budget, "said": "" if room else "; to keep it for the next time: --room FOLDER",
    }  # fmt: skip
    runs = [run, *(beside or [])]
    if room:
        room.mkdir(parents=True, exist_ok=True)
    beside_rows = next(folder for folder in rows.absolute().parents if folder.is_dir())
    failed: list[str] = []
    names: dict[str, str] = {}  # of label sets; a second one of a name is called as it was given
    with nullcontext(room) if room else aside(beside_rows) as into:
        for number, spec in enumerate(data):
            with _watched() as tell:
                try:
                    for study in _studies(runs, spec, into, device, wanted, tell):
                        called = study.data.name if names.setdefault(study.data.name, spec) == spec else spec
                        for question in questions:
                            found = [row for row in known if asked(row, question, study)]
                            if not found:
                                try:
                                    found = _answer(study, question)
                                except ValueError as error:  # the other questions are no worse for it
                                    failed.append(str(error))
                                    continue
                                kept.add(rows, found)
                            latest = {repr(row.get("part")): row for row in found}
                            told += [{**row, "run": study.run, "data": called} for row in latest.values()]
                        if "cam" in hows:
                            several = len(data) * len(runs) > 1
                            name = f"{output.stem}-{Path(study.run).name}-{number}.png" if several else output.name
                            _sheet(study, output.with_name(name))
                except ValueError as error:  # the other label sets are no worse for it
                    failed.append(str(error))
    show(Console(), told, hows)
    if told:
        Console(stderr=True).print(f"{counted(len(told), 'row')} in {rows}", style="dim", highlight=False)
    if failed:
        raise ValueError("; ".join(dict.fromkeys(failed)))


def _questions(
    hows: list[str],
    fractions: list[float],
    vectors: list[dict[str, str]],
    size: int,
    freeze: list[int],
    tuning: dict[str, Any],
) -> Iterator[dict[str, Any]]:
    """What is asked about each run and label set: evaluator and settings."""
    from avssl.probe import linear

    names = dict.fromkeys(name for how in hows for name in (("linear", "finetune") if how == "transfer" else (how,)))
    for name in names:
        for share in fractions:
            if name in ("linear", "knn"):
                search = {"search": linear.SEARCH} if name == "linear" else {}
                yield from ({"probe": name, "fraction": share, **search, **one} for one in vectors)
            elif name == "stages":
                yield {"probe": name, "fraction": share, "size": size, "search": linear.SEARCH}
            elif name == "finetune":
                for count in freeze:
                    yield {"probe": name, "fraction": share, "freeze": count, **tuning}


def _answer(study: "Study", question: dict[str, Any]) -> "list[Row]":
    from avssl.probe import finetune, knn, linear, stages

    evaluators = {
        "linear": linear.evaluate, "knn": knn.evaluate, "stages": stages.evaluate, "finetune": finetune.evaluate,
    }  # fmt: skip
    return evaluators[question["probe"]](study, question)


def _studies(
    runs: list[Path], spec: str, room: Path, device: str, wanted: dict[str, Any], tell: "Tell"
) -> "Iterator[Study]":
    """Every run on one label set; runs of equal inputs share what was decoded."""
    from avssl.probe import decoded, importers
    from avssl.probe.rounds import rounds, scarce
    from avssl.probe.study import Study
    from avssl.train.checkpoint import load_run
    from avssl.train.distributed import device_of

    def say(what: str) -> None:
        typer.echo(f"{what}{wanted['said']}", err=True)

    read = importers.read(spec, room, label=wanted["label"], labels=wanted["labels"], say=say)
    data = read.fewer(wanted["per_class"])
    kept: dict[str, Any] = {}
    warned = set(data.warnings)
    for warning in data.warnings:
        typer.echo(f"warning: {warning}", err=True)
    rounds(data)  # what cannot be judged is told before anything is decoded
    for run in runs:
        loaded, fresh = load_run(run), load_run(run, trained=False)
        for one in (loaded, fresh):
            one.method.to(device_of(device))
        modality = decoded.modality_of(data, list(loaded.method.encoders), wanted["modality"])
        key = f"{modality} {loaded.cfg.inputs}"
        if key not in kept or modality == "text":  # words are numbered by each run's own vocabulary
            decoding = lambda done, total: tell(f"decoding {data.name}", done, total)  # noqa: E731
            kept[key] = decoded.decode(data, loaded.inputs, modality, room, decoding, wanted["bad_budget"])
        held, windows = kept[key]
        for lack in (*_missing(held), *scarce(held)):
            if lack not in warned:
                typer.echo(f"warning: {lack}", err=True)
                warned.add(lack)
        yield Study(str(run), loaded, fresh.method, held, windows, wanted["seed"], tell)


def _missing(data: "Examples") -> Iterator[str]:
    """What was found and is no example, the first few by name."""
    if data.left_out:
        yield f"{data.name}: {counted(len(data.left_out), 'file')} left out"
        yield from data.left_out[:NAMED]
    if len(data.left_out) > NAMED:
        yield f"... and {len(data.left_out) - NAMED} more"


@contextmanager
def _watched() -> "Iterator[Tell]":
    """A bar for one thing after the other."""
    with ExitStack() as bars:
        now: list[Any] = ["", None]

        def tell(what: str, done: int, total: int) -> None:
            if now[0] != what:
                bars.close()
                now[:] = [what, bars.enter_context(counting(what))]
            now[1](done, total)

        yield tell


def _sheet(study: "Study", path: Path) -> None:
    """Class activation maps of a linear probe on all labels, for examples spread over the test part."""
    import numpy as np

    from avssl.probe import cam, linear

    cut, labels, names = study.rounds(1.0)[0], study.data.labels, study.data.classes
    vectors = study.vectors("trained")
    fitted = linear.fit(vectors, labels, cut, len(names))
    maps = cam.ClassMaps(study.method, fitted, study.decoded.modality).eval().to(next(study.method.parameters()).device)
    judged = cut.test[np.isin(labels[cut.test], labels[cut.both])]  # of other classes the probe knows no place
    if not len(judged):
        raise ValueError(f"{study.data.name}: no class of those judged is among those fitted on, so nothing is drawn")
    places = judged[np.linspace(0, len(judged) - 1, min(DRAWN, len(judged))).round().astype(int)]
    guesses = fitted.predict(vectors[places])
    title = f"{study.run} on {study.data.name}"
    cam.sheet(path, maps, study.decoded, places.tolist(), names, guesses.tolist(), labels[places].tolist(), title)
    right = int((guesses == labels[places]).sum())
    typer.echo(f"wrote {path}: {counted(len(places), 'example')} of {len(judged)} judged, {right} named rightly")
