"""avssl serve: a page that finds the moment, and the HTTP API behind it."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from avssl.cli._named import check_index


def serve(
    index: Annotated[Path, typer.Argument(help="A folder that avssl index wrote.")],
    host: Annotated[str, typer.Option(help="Address to listen on; 127.0.0.1 is this machine alone.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any that is free.")] = 8765,
    token: Annotated[
        str, typer.Option(envvar="RETRIEVAL_TOKEN", help="What clients must know; made up where others can ask.")
    ] = "",
    name: Annotated[list[str] | None, typer.Option(help="A further host name of this machine.")] = None,
    media: Annotated[Path | None, typer.Option(help="Play only recordings inside this folder.")] = None,
    run: Annotated[Path | None, typer.Option(help="The run, if it is no longer where it was.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Search in a browser: words, a sound, a picture or a clip; play the moment, see where the sound is."""
    from retrieval.serve import import_server, settings_for
    from retrieval.store import Store

    check_index(index)
    settings = settings_for(host, port, token, name or (), media)
    server = import_server()
    with Store.open(index) as store:
        space = store.space
    from avssl.cli._served import Network

    with closing(Network(index, run, space, settings.limits, device)) as network:
        server.serve(index, network, settings, open_browser=open_page, tell=typer.echo)
