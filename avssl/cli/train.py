"""avssl train: learn from a folder of recordings, or go on."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    config: Annotated[str, typer.Argument(help="A config file, the name of a shipped one, or a run's folder.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Changes: data=FOLDER optim.lr=0.001 ...")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The run's folder; runs/NAME unless given.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run whose folder is given.")] = False,
) -> None:
    """Train, or go on where a run with the same settings and recordings stopped; Ctrl-C saves."""
    from avssl import config as configs
    from avssl.cli._feedback import Feedback
    from avssl.methods.base import config_of
    from avssl.train.run import start

    kept = Path(config) / "config.yaml"
    if resume and not kept.is_file():
        raise ValueError(f"{config} is no run to go on with: it holds no config.yaml")
    if kept.is_file():
        if output is not None and output.resolve() != Path(config).resolve():
            raise ValueError(f"{config} is a run; for a new one with its settings: avssl train {kept} -o {output}")
        output = Path(config)
    cfg = configs.load(kept if kept.is_file() else config, overrides or [], config_of)
    out = output or Path("runs") / Path(config).stem
    _check_output(out)
    feedback = Feedback(cfg, out)
    done = start(cfg, out, evaluate=feedback, watch=feedback.watch)
    if done.how == "interrupted":
        raise typer.Exit(128 + done.signal)


def _check_output(out: Path) -> None:
    """Raise ValueError for a file, and where a run's files would lie among recordings."""
    from avssl.data.suffixes import MEDIA

    if out.exists() and not out.is_dir():
        raise ValueError(f"-o {out}: a file; name a folder for the run")
    if (out / "config.yaml").exists() or not out.exists():
        return
    if any(one.suffix.lower() in MEDIA for one in out.iterdir()):
        raise ValueError(f"-o {out} holds recordings: name another folder for the run")
