"""avssl methods: what can be learnt, and how each method is set."""

import inspect
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from pydantic import BaseModel

    from avssl.methods.base import Method


def methods(
    name: Annotated[str | None, typer.Argument(help="One method, or a config's, told in full.")] = None,
) -> None:
    """List the methods, or tell one in full: what it must solve, its settings, what it needs, how to start it."""
    from avssl import config as configs
    from avssl.methods import base

    console = Console()
    if name is not None:
        method, path = name, configs.shipped().get(name)
        if path is not None and name not in base.catalogue():
            method = configs.load(path, [], base.config_of).method.name
            console.print(f"{escape(name)} is a config of the method {method}: {escape(str(path))}\n", soft_wrap=True)
        _tell(console, method, base.find(method), name)
        return
    table = Table("method", "family", "learns", "what it must solve", box=None, pad_edge=False)
    for method, family in base.catalogue().items():
        try:
            found = base.find(method)
        except ValueError as error:  # a file that somebody is writing; the others are there all the same
            table.add_row(method, family, "", f"[red]{escape(str(error))}[/red]")
            continue
        table.add_row(method, family, " ".join(found.modalities), escape(purpose(found)))
    console.print(table)
    console.print("\n[dim]avssl methods NAME tells one in full; avssl preview NAME draws what it is given.[/dim]")


def purpose(method: type[Any]) -> str:
    """What the network must solve: the first sentence of the method's file."""
    told = inspect.getdoc(sys.modules[method.__module__]) or inspect.getdoc(method) or ""
    first = " ".join(told.split("\n\n")[0].split())
    sentence, stop, _ = first.partition(". ")
    return sentence + stop.strip()


def _settings(section: "type[BaseModel]", prefix: str) -> Iterator[tuple[str, str, str]]:
    """(key, default, meaning) of each setting; a section within another is told once, where it comes first."""
    from pydantic import BaseModel

    told: dict[type[BaseModel], str] = {}
    for key, field in section.model_fields.items():
        if key == "name":
            continue
        default = "required" if field.is_required() else repr(field.get_default(call_default_factory=True))
        inner, meaning = field.annotation, field.description or ""
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            yield f"{prefix}.{key}", default, meaning
            continue
        if inner in told:
            yield f"{prefix}.{key}", default, f"{meaning}, set like {told[inner]}"
            continue
        told[inner] = f"{prefix}.{key}"
        # the defaults of a section are those of its settings, below
        yield f"{prefix}.{key}", "required" if field.is_required() else "", meaning
        yield from _settings(inner, f"{prefix}.{key}")


def _tell(console: Console, name: str, method: "type[Method[Any]]", start: str) -> None:
    """Print all of a method; ``start`` is the config that it is to be started with, where it is a shipped one."""
    from avssl.config import InputsConfig, shipped
    from avssl.inputs import Inputs
    from avssl.methods.base import Localizes
    from avssl.sample import Needs

    told = inspect.getdoc(sys.modules[method.__module__]) or inspect.getdoc(method) or ""
    console.print(f"[bold]{name}[/bold]  ({' '.join(method.modalities)})\n")
    for paragraph in told.split("\n\n"):
        console.print(" ".join(paragraph.split()) + "\n", markup=False, highlight=False)

    table = Table("key", "default", "meaning", box=None, pad_edge=False, title="method settings", title_justify="left")
    for key, default, meaning in _settings(method.Config, "method"):
        table.add_row(key, escape(default), escape(meaning))
    console.print(table)

    # A method with settings that have no default cannot say what it needs before they are given.
    required = [key for key, field in method.Config.model_fields.items() if field.is_required() and key != "name"]
    labels = ""
    if not required:
        inputs = InputsConfig.model_validate({})
        asked, plain = method.needs(method.Config(name=name), Inputs(inputs)), Needs()
        told_needs = [
            f"{key} {value}" for key, value in vars(asked).items()
            if value != getattr(plain, key) or key in ("clips", "frames")
        ]  # fmt: skip
        labels = " data.labels=folders" if asked.label else ""
        console.print(f"\n[bold]needs of each item[/bold] (at the default inputs): {', '.join(told_needs)}")
    if issubclass(method, Localizes):
        kinds = " and ".join(getattr(method, "localizes", ()) or ("audio",))
        console.print(f"[bold]localizes[/bold] {kinds}: avssl localize RUN clip.mp4 -o overlay.mp4")
    config = start if start in shipped() else f"my-{name}.yaml"
    line = f"avssl train {config} data=FOLDER{labels} -o runs/{start}"
    console.print("\n[bold]start[/bold]", line, sep="  ", soft_wrap=True)
    if labels:
        told = "FOLDER holds a folder for each class; a table of labels: data.labels=LABELS.tsv, with a path column"
        console.print(f"       [dim]{told}[/dim]", soft_wrap=True)
