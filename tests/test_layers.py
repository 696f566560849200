"""Imports go down only (rule 10). Every import in the code is read, those inside functions too."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ALL = ("avssl", "retrieval")
MAY: dict[str, tuple[str, ...]] = {
    "avssl.__init__": ("avssl.train.export",),
    "avssl.__main__": ("avssl.cli",),
    "avssl.cli": ALL,
    "avssl.report": ALL,
    "avssl.train": (
        "avssl.train", "avssl.config", "avssl.sample", "avssl.words", "avssl.data", "avssl.inputs", "avssl.encoders",
        "avssl.nn.gather", "avssl.nn.chunked", "avssl.nn.rescaled", "avssl.nn.teacher", "avssl.methods.base",
    ),
    "avssl.embedding": (
        "avssl.embedding", "avssl.config", "avssl.sample", "avssl.data", "avssl.inputs", "avssl.ops",
        "avssl.methods.base",
    ),
    "avssl.evaluation": (
        "avssl.evaluation", "avssl.embedding", "avssl.config", "avssl.sample", "avssl.data", "avssl.inputs",
        "avssl.ops", "avssl.methods.base", "avssl.localize", "avssl.train.checkpoint", "retrieval",
    ),
    "avssl.probe": (
        "avssl.probe", "avssl.embedding", "avssl.localize", "avssl.config", "avssl.sample", "avssl.words",
        "avssl.data", "avssl.inputs", "avssl.methods.base", "avssl.train.build", "avssl.train.checkpoint",
        "retrieval.metrics",
    ),
    "avssl.localize": (
        "avssl.localize", "avssl.config", "avssl.sample", "avssl.data", "avssl.inputs", "avssl.methods.base",
        "retrieval.metrics",
    ),
    "avssl.sync": (
        "avssl.sync", "avssl.embedding", "avssl.config", "avssl.sample", "avssl.data", "avssl.inputs", "avssl.ops",
        "avssl.methods.base",
    ),
    "avssl.speech": ("avssl.speech", "avssl.data", "avssl.words"),
    "avssl.methods.base": ("avssl.config", "avssl.inputs", "avssl.sample"),
    "avssl.methods": (
        "avssl.methods.base", "avssl.methods.pictures", "avssl.methods.rivals", "avssl.methods.sounding",
        "avssl.views", "avssl.encoders", "avssl.nn", "avssl.inputs", "avssl.sample", "avssl.ops", "avssl.config",
    ),
    "avssl.views": ("avssl.views", "avssl.inputs", "avssl.sample", "avssl.ops"),
    "avssl.encoders": ("avssl.encoders", "avssl.nn", "avssl.ops", "avssl.words"),
    "avssl.nn": ("avssl.encoders", "avssl.nn", "avssl.ops"),
    "avssl.data": ("avssl.data", "avssl.sample", "avssl.ops"),
    "avssl.inputs": ("avssl.config", "avssl.sample", "avssl.ops"),
    "avssl.sample": (),
    "avssl.ops": (),
    "avssl.config": ("avssl.config",),
    "avssl.words": (),
    "retrieval": ("retrieval",),
}  # fmt: skip
"""what each part may import; the longest name that fits counts (CONTRIBUTING.md)"""
NOT_IN = {"retrieval": ("torch", "avssl"), "avssl.data": ("torch.nn",)}
"""imports from outside that a part must not have"""


def modules() -> dict[str, Path]:
    """Dotted name -> file of everything that is shipped."""
    files = [path for top in ALL for path in sorted((ROOT / top).rglob("*.py"))]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files}


def inside(name: str, part: str) -> bool:
    return name == part or name.startswith(part + ".")


def part_of(module: str) -> str:
    """The entry of the table that rules a module."""
    fits = [part for part in MAY if inside(module, part)]
    assert fits, f"{module} is in no part of the house: give it a row in the table, and in CONTRIBUTING.md"
    return max(fits, key=len)


def imported(path: Path, module: str) -> set[str]:
    """Full names a file imports; ``from a import b`` gives a.b."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the floor they come from"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def fault(module: str, name: str) -> str | None:
    """Why ``module`` must not import ``name``; None where it may."""
    part = part_of(module)
    for outside in NOT_IN.get(part, ()):
        if inside(name, outside):
            return f"{module} imports {name}: {part} knows nothing of {outside}"
    if not any(inside(name, top) for top in ALL) or name in (*ALL, "avssl.__version__"):
        return None
    allowed = MAY[part]
    if any(inside(name, other) for other in allowed):
        return None
    return f"{module} imports {name}; {part} may import {', '.join(allowed) or 'nothing of ours'}"


@pytest.mark.parametrize("module", modules())
def test_imports_go_down_only(module):
    faults = [fault(module, name) for name in sorted(imported(modules()[module], module))]
    assert not [line for line in faults if line], "\n".join(line for line in faults if line)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("avssl.train.loop", "avssl.methods.image.simclr.SimCLR"),
        ("avssl.methods.image.simclr", "avssl.methods.image.jigsaw"),
        ("avssl.methods.image.simclr", "avssl.train.loop"),
        ("avssl.data.loader", "avssl.methods.base"),
        ("avssl.data.loader", "torch.nn.functional"),
        ("avssl.ops", "avssl.config.Frozen"),
        ("avssl.nn.bank", "avssl.config.Frozen"),
        ("retrieval.store", "torch"),
        ("retrieval.store", "avssl.ops"),
    ],
)
def test_the_test_sees_a_wrong_import(module, name):
    assert fault(module, name)


def test_methods_do_not_know_each_other():
    for module, path in modules().items():
        if module.count(".") == 3 and inside(module, "avssl.methods") and not module.endswith("__init__"):
            others = [name for name in imported(path, module) if inside(name, "avssl.methods")]
            shared = tuple(f"avssl.methods.{name}" for name in ("base", "pictures", "rivals", "sounding"))
            assert all(any(inside(name, part) for part in shared) for name in others), others
