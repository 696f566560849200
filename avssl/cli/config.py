"""avssl config: what a run would be, with every default told."""

from pathlib import Path
from typing import Annotated

import typer


def config(
    config: Annotated[str, typer.Argument(help="A config file, the name of a shipped one, or a run's folder.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Changes: key=value ...")] = None,
) -> None:
    """Print the resolved configuration of a config file or of a run, overrides applied."""
    import yaml

    from avssl import config as configs
    from avssl.methods.base import config_of
    from avssl.train.build import dump

    kept = Path(config) / "config.yaml"
    cfg = configs.load(kept if kept.is_file() else config, overrides or [], config_of)
    typer.echo(yaml.safe_dump(dump(cfg), sort_keys=False).rstrip())
