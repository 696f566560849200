"""The files that a person names: recordings, folders of them, and what is to be written."""

import os
from pathlib import Path

import typer

SHOWN = 20
"""files of a folder that are named where they are passed over or left out"""


def recordings(inputs: list[Path]) -> list[Path]:
    """The files named, those in the folders named by the names that a manifest goes by, and those that a manifest
    lists, in order."""
    found: list[Path] = []
    for path in inputs:
        if path.is_dir():
            found += _in_folder(path)
        elif path.suffix.lower() == ".jsonl" and path.is_file():
            from avssl.data.manifest import Manifest

            listed = Manifest.load(path)
            found += [listed.path_of(one) for one in listed.recordings]
        elif path.exists():
            found.append(path)
        else:
            raise ValueError(f"{path}: no such file or folder")
    return found


def _in_folder(folder: Path) -> list[Path]:
    from avssl.data.audit import walk
    from avssl.data.suffixes import MEDIA

    held = walk(folder, MEDIA)
    if not held.media:
        what = "no recordings in it, by the names of its files" if held.left_out else "an empty folder"
        raise ValueError(f"{folder}: {what}; name recordings, or a folder that holds some")
    for name, reason in held.left_out[:SHOWN]:
        typer.echo(f"passed over {folder / name}: {reason}", err=True)
    if len(held.left_out) > SHOWN:
        typer.echo(f"and {len(held.left_out) - SHOWN} more; avssl manifest {folder} names them with --all", err=True)
    return [folder / name for name in held.media]


def check_output(option: str, path: Path, makes: bool = False) -> None:
    """Raise ValueError where a file of this name cannot be written, before the work that it is to hold is done.

    ``makes``: folders above it that are missing will be made.
    """
    if path.is_dir():
        raise ValueError(f"{option} {path}: a folder; name the file to write")
    if str(path) == "-":
        raise ValueError(f"{option} -: files are written whole or not at all, so not to the standard output; name one")
    above = path.absolute().parents
    folder = next(one for one in above if one.exists()) if makes else path.parent
    if not folder.is_dir():
        what = "not a folder" if folder.exists() else "no such folder; make it first"
        raise ValueError(f"{option} {path}: {folder}: {what}")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"{option} {path}: {folder} cannot be written to; choose another place")


def check_manifest_output(path: Path, makes: bool = False, made_from: Path | None = None) -> None:
    """Raise ValueError where no manifest can be written, under a name that tells nobody that it is one, or where it
    would take the place of what it is made from."""
    check_output("-o", path, makes)
    if made_from is not None and path.resolve() == made_from.resolve():
        raise ValueError(f"-o {path}: that is the manifest itself; name another file")
    if path.suffix.lower() != ".jsonl":
        raise ValueError(f"-o {path}: a manifest is a .jsonl file; name it {path.with_suffix('.jsonl')}")


def numbers(option: str, told: str) -> tuple[float, ...]:
    """Numbers with commas between them. Raises ValueError for anything else."""
    try:
        return tuple(float(one) for one in told.split(","))
    except ValueError:
        raise ValueError(f"{option} {told}: numbers with commas between them, such as 1,2,3") from None


def check_index(folder: Path) -> None:
    """Before anything is loaded, in the words of these commands."""
    if (folder / "manifest.json").is_file():
        return
    if (folder / "source.json").is_file():
        raise ValueError(f"{folder} holds vectors, not yet an index: avssl index {folder} -o index")
    what = "no index" if folder.is_dir() else "no such folder"
    raise ValueError(f"{folder}: {what}; make one of what avssl embed wrote: avssl index VECTORS -o {folder}")
