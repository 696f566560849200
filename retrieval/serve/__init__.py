"""The service: a store searched over HTTP, and a page for people. Needs the extra `serve`.

    python -m retrieval serve DIR        find by item, browse, play
    avssl serve DIR                      by text, picture, sound and clip too: it knows the network behind the store

`main` runs the first; `retrieval.serve.server.serve` takes an `Encoder` (`retrieval.serve.encoder`).
"""

import argparse
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from retrieval.serve.settings import EVERYWHERE, Settings, is_loopback, new_token

TOKEN_VARIABLE = "RETRIEVAL_TOKEN"
EXTRA = ("starlette", "uvicorn", "anyio", "h11", "python_multipart")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve a store without a network until Ctrl-C; returns the exit code.

    Raises ValueError, one line, for what a user can put right, ImportError without the extra.
    """
    parser = argparse.ArgumentParser(prog="python -m retrieval serve", description="Browse a store, find by item.")
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1: this machine alone)")
    parser.add_argument("--port", type=int, default=8765, help="8765; 0 takes any that is free")
    parser.add_argument("--token", default="", help=f"what clients must know; also read from {TOKEN_VARIABLE}")
    parser.add_argument("--name", action="append", default=[], help="a further host name of this machine")
    parser.add_argument("--media", type=Path, help="play only recordings inside this folder")
    parser.add_argument("--open", action="store_true", help="open it in a browser")
    options = parser.parse_args(arguments)
    settings = settings_for(options.host, options.port, options.token, options.name, options.media)
    server = import_server()
    server.serve(options.directory, None, settings, open_browser=options.open)
    return 0


def settings_for(host: str, port: int, token: str, names: Sequence[str], media: Path | None) -> Settings:
    """Settings as a user gave them; an address that others can reach gets a token if none was given.

    Raises ValueError.
    """
    token = token or os.environ.get(TOKEN_VARIABLE, "")
    if not token and not is_loopback(host):
        token = new_token()
    known = [name.lower() for name in names]
    if host in EVERYWHERE:
        known.append(socket.gethostname().lower())
    return Settings(host=host, port=port, token=token, names=tuple(known), media=media)


def import_server() -> ModuleType:
    """`retrieval.serve.server`; ImportError, in one line, tells how to get what it needs."""
    try:
        from retrieval.serve import server
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRA:
            raise
        raise ImportError(f"the service needs more ({error}): pip install avssl[serve]") from None
    return server
