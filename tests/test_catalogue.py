"""The folder is the registry: one method to a file, with its reference, its YAML and its golden test."""

from __future__ import annotations

import ast
import re
import sys
import types
from pathlib import Path

import pytest

from avssl.config import shipped
from avssl.methods.base import Method, catalogue, config_of, find

ROOT = Path(__file__).resolve().parent.parent
MOST_LINES = 150
LONGER = {"trimodal": 230}
"""the flagship joins three papers' systems"""

every_method = pytest.mark.parametrize("name", catalogue())


def source(name: str) -> Path:
    return ROOT / "avssl" / "methods" / catalogue()[name] / f"{name}.py"


@every_method
def test_one_short_file_with_one_method(name):
    text = source(name).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGER.get(name, MOST_LINES)
    kind = find(name)
    assert issubclass(kind, Method)
    assert kind.__name__.lower() == name.replace("_", ""), "the class has the file's name"


@every_method
def test_the_file_opens_with_the_task_and_its_source(name):
    words = ast.get_docstring(ast.parse(source(name).read_text(encoding="utf-8"))) or ""
    first = words.split("\n\n")[0].strip()
    assert first.endswith("."), "one plain sentence of what the network must solve"
    assert re.search(r"\b(19|20)\d\d\b", words), "the year"
    assert "arXiv:" in words or "doi:" in words.lower(), "where to read it"


@every_method
def test_has_a_config_with_meanings_a_yaml_and_a_golden_test(name):
    fields = config_of(name).model_fields
    silent = [key for key, field in fields.items() if not field.description]
    assert not silent, "a sentence under each field"
    yaml = shipped().get(name)
    assert yaml is not None, f"configs/{catalogue()[name]}/{name}.yaml"
    assert yaml.parent.name == catalogue()[name]
    assert len(yaml.read_text(encoding="utf-8").splitlines()) <= 30
    assert f"avssl train {name}" in yaml.read_text(encoding="utf-8"), "a comment with the command that runs it"
    assert (ROOT / "tests" / "methods" / f"test_{name}.py").is_file()


def test_a_broken_file_is_one_line_and_the_others_are_listed(monkeypatch, capsys):
    from avssl import cli
    from avssl.methods import base

    monkeypatch.setenv("COLUMNS", "200")
    whole = catalogue()
    monkeypatch.setattr(base, "catalogue", lambda: {**whole, "broken": "image"})
    with pytest.raises(ValueError, match=r"method broken cannot be loaded: ModuleNotFoundError: .*python -c 'import "):
        base.find("broken")
    assert cli.run(["methods", "broken"]) == 2
    assert cli.run(["methods"]) == 0
    told = capsys.readouterr().out
    assert "simclr" in told
    assert "method broken cannot be loaded" in told
    monkeypatch.setitem(sys.modules, "avssl.methods.image.broken", types.ModuleType("avssl.methods.image.broken"))
    with pytest.raises(ValueError, match="broken defines 0 methods, not one"):
        base.find("broken")


def test_an_unknown_method_is_told_the_nearest():
    with pytest.raises(ValueError, match="did you mean simclr"):
        find("simcrl")
