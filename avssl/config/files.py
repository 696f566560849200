"""From a YAML file and ``key=value`` words to a run's configuration; every mistake is a line with a suggestion."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError, create_model

from avssl.config.models import MethodConfig, RunConfig


def shipped() -> dict[str, Path]:
    """Name -> path of every config that travels with the package (editable installs and wheels)."""
    here = Path(__file__).resolve().parent.parent
    for root in (here / "configs", here.parent / "configs"):
        if root.is_dir():
            return {path.stem: path for path in sorted(root.rglob("*.yaml"))}
    return {}


def find(source: str | Path) -> Path:
    """A config is a path or the name of a shipped one. Raises ValueError with the nearest names."""
    path = Path(source)
    if path.is_file():
        return path
    known = shipped()
    name = str(source).removesuffix(".yaml").rsplit("/", 1)[-1]
    if name in known:
        return known[name]
    if path.exists():
        raise ValueError(f"{source} is a folder, and first comes a config: avssl train trimodal data={source}")
    raise ValueError(f"no config {source}; {meant(name, known)}`avssl methods` lists them")


def meant(name: str, known: Iterable[str]) -> str:
    """Which of the known names may have been meant, as a question; "" where none is near."""
    close = difflib.get_close_matches(name, list(known), n=3)
    return f"did you mean {' or '.join(close)}? " if close else ""


def parse(text: str, where: str) -> dict[str, Any]:
    """YAML text -> mapping. Raises ValueError naming the line."""
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{where}: a config is a mapping with a method section, got {type(values).__name__}")
    return values


def override(values: Mapping[str, Any], words: Sequence[str]) -> dict[str, Any]:
    """``key.sub=value`` words on top of ``values``; the values are read as YAML."""
    result: dict[str, Any] = dict(values)
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            example = f"data={word}" if Path(word).exists() else "optim.lr=0.001"
            raise ValueError(f"{word}: overrides are written key=value, for example {example}")
        if isinstance(result.get("data"), str):
            result["data"] = {"manifest": result["data"]}
        if key == "data":
            key = "data.manifest"
        *parents, last = key.split(".")
        node = result
        for parent in parents:
            child = node.get(parent)
            node[parent] = dict(child) if isinstance(child, Mapping) else {}
            node = node[parent]
        node[last] = yaml.safe_load(text) if text else ""
        if last in {"manifest", "labels", "init", "path"}:
            node[last] = text
    return result


def build(
    values: Mapping[str, Any],
    choose: Callable[[str], type[MethodConfig]],
    where: str = "config",
    given: Sequence[str] = (),
) -> RunConfig:
    """Validate plain values. ``choose`` turns a method's name into its Config class; ``given`` are keys that are not
    from ``where`` but from a command line.

    Raises ValueError: all mistakes at once, one line each, each with a suggestion.
    """
    method = values.get("method")
    if isinstance(method, str):
        values = {**values, "method": {"name": method}}
        method = values["method"]
    if not isinstance(method, Mapping) or "name" not in method:
        raise ValueError(f"{where}: a config says what to learn: method: {{name: trimodal}}")
    model = _whole(choose(str(method["name"])))
    try:
        return model.model_validate(values)
    except ValidationError as error:
        told = ((f"{key}: " if key in given else f"{where}: {key}: ") + line for key, line in explain(error, model))
        raise ValueError("\n".join(told)) from None


@cache
def _whole(chosen: type[MethodConfig]) -> type[RunConfig]:
    """The configuration of a run whose method has this one."""
    return create_model("RunConfig", __base__=RunConfig, method=(chosen, ...))


def load(source: str | Path, words: Sequence[str], choose: Callable[[str], type[MethodConfig]]) -> RunConfig:
    """A config file (or a shipped name) with overrides -> RunConfig. Raises ValueError, one line per mistake."""
    path = find(source)
    values = override(parse(path.read_text(encoding="utf-8"), str(path)), words)
    return build(values, choose, path.name, [word.split("=", 1)[0] for word in words])


def explain(error: ValidationError, model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """A validation error as keys, each with a line a person can act on, unknown keys with the nearest known one."""
    for item in error.errors():
        place = ".".join(str(part) for part in item["loc"])
        if item["type"] != "extra_forbidden":
            yield place, f"{item['msg'].removeprefix('Value error, ')}, got {item.get('input')!r}"
            continue
        known = _fields(model, [str(part) for part in item["loc"][:-1]])
        close = difflib.get_close_matches(str(item["loc"][-1]), known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known keys: {', '.join(known)}"
        yield place, f"unknown key; {hint}"


def _fields(model: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        field = model.model_fields.get(part)
        kinds = [field.annotation, *get_args(field.annotation)] if field else []
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not inner:
            return []
        model = inner[0]
    return list(model.model_fields)
