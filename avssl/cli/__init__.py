"""The front door: one file per command, each imported when it is asked for, so that help and completion are quick."""

import errno
import importlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

PANELS = {
    "Look around": ("methods", "config", "preview", "doctor"),
    "Get data": ("world", "manifest", "prepare", "transcribe", "align"),
    "Learn": ("train", "export"),
    "Find": ("embed", "index", "regions", "search", "cluster", "serve"),
    "Locate": ("localize", "sync"),
    "Judge": ("evaluate", "probe", "report"),
}
"""The order in which ``avssl --help`` tells the commands; a command that is not named here comes last."""

STOPPED = {
    "world": "clips that were finished are kept; run it again to go on",
    "manifest": "nothing was written; run it again, and it looks at every file anew",
    "prepare": "copies that were finished are kept; run it again to go on",
    "transcribe": "recordings that were heard are kept as .vtt beside the output; run it again to go on",
    "align": "nothing was written; run it again from the beginning",
    "train": "run it again to go on from the last checkpoint, if there is one",
    "embed": "shards that were finished (64 recordings or ten minutes; --shard) are kept; run it again to go on",
    "index": "what lay at the output is as it was, or replaced whole; run it again",
    "regions": "the index is as it was; run it again from the beginning",
    "cluster": "vectors of what was finished (64 recordings or ten minutes) are kept; run it again to go on",
    "localize": "overlays that were finished are kept; run it again for the recordings that are missing",
    "sync": "nothing is kept but what was printed",
    "evaluate": "run it again from the beginning",
    "probe": "results that were finished are kept; run it again to go on",
}
"""What a command that Ctrl-C ended has kept, and how to go on; others have nothing to keep."""

NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


class Commands(Mapping[str, Any]):
    """Name -> command. The folder is the registry: ``avssl/cli/NAME.py`` defines a function NAME."""

    def __init__(self) -> None:
        files = {path.stem for path in Path(__file__).parent.glob("[a-z]*.py")}
        told = [name for names in PANELS.values() for name in names if name in files]
        self._names = [*told, *sorted(files - set(told))]
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._made:
            panel = next((panel for panel, names in PANELS.items() if name in names), "More")
            app = typer.Typer(add_completion=False)
            app.command(name, rich_help_panel=panel)(getattr(importlib.import_module(f"avssl.cli.{name}"), name))
            self._made[name] = typer.main.get_command(app)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Front(TyperGroup):
    """The command ``avssl``, whose sub-commands are looked up when they are used."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = Commands()  # type: ignore[assignment]

    def invoke(self, ctx: Any) -> Any:
        """Run the sub-command. Typer would turn Ctrl-C into a code without a word."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            kept = STOPPED.get(ctx.invoked_subcommand or "")
            typer.echo(f"stopped; {kept}" if kept else "stopped", err=True)
            raise typer.Exit(130) from None


def _version(wanted: bool) -> None:
    if wanted:
        from avssl import __version__

        typer.echo(f"avssl {__version__}")
        raise typer.Exit


app = typer.Typer(cls=Front, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def front(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it and stop.")
    ] = False,
) -> None:
    """Learn from videos with sound and narration, without labels: train, find the second, see where the sound is."""


def run(words: Sequence[str] | None = None) -> int:
    """Run ``avssl`` on these words (None: the process's own) and return the exit code.

    What the user got wrong is one line on stderr and exit code 2; AVSSL_DEBUG=1 shows the traceback instead.
    """
    try:
        code = typer.main.get_command(app).main(words, prog_name="avssl", standalone_mode=False)
    except typer.Abort:
        return 1
    except Exception as error:
        return _explain(error, sys.argv[1:] if words is None else words)
    return code if isinstance(code, int) else 0


def main() -> None:
    """The console script."""
    settle_threads()
    sys.exit(run())


def settle_threads() -> None:
    """Let threads that wait sleep, before torch is imported: with a decoding worker beside them on few cores, threads
    that spin take the worker's time (a step of the demo: 0.78 s against 0.84 s on two cores)."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _explain(error: Exception, words: Sequence[str] = ()) -> int:
    """Print what was wrong and return the exit code; an error that is ours, not the user's, is raised again."""
    # Typer's own errors (a wrong flag, a missing argument) know their text and exit code; help is such an error too.
    usage = getattr(error, "format_message", None)
    code = getattr(error, "exit_code", 2)
    message = str(usage() if usage else error).strip()
    if type(error).__name__ == "NoSuchOption":
        file = next((word for word in words if word.startswith("-") and os.path.exists(word)), None)
        message += f"; for the file of that name, write ./{file}" if file else ""
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(message)
        return code
    known = usage is not None or isinstance(error, ValueError | OSError | ImportError)
    if not known or os.environ.get("AVSSL_DEBUG"):
        raise error
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        message = f"{error.filename}: {error.strerror}"
    elif isinstance(error, OSError) and error.errno in NO_ROOM:
        message = f"nothing more can be written ({error.strerror}): make room and run it again; what was saved is kept"
    for line in message.splitlines() or [type(error).__name__]:
        typer.echo(f"error: {line}", err=True)
    return code
