"""The benchmark of methods runs, with lightly or without; a large contrastive batch in rows is what it is at once."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import bench_methods
from contenders import Ours, Plan, Theirs


def test_a_quick_round_tells_every_figure_and_keeps_no_row(tmp_path, capsys, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "lightly" else find(name, *more)
    )
    monkeypatch.setattr(bench_methods, "loss_figures", lambda batch: {})
    rows = tmp_path / "rows.jsonl"
    figures = bench_methods.main(["--quick", "--only", "mae", "--workers", "0", "--threads", "1", "--rows", str(rows)])
    assert set(figures) == {
        "mae: views of a picture, ours", "mae: step, ours", "mae: step, ours, CPU", "mae: views and steps, ours",
        "mae: share of time waiting for data, ours",
    }  # fmt: skip
    assert all(one["value"] > 0 for one in figures.values())
    assert 0 < figures["mae: share of time waiting for data, ours"]["value"] < 1
    assert "lightly is not installed" in capsys.readouterr().out
    assert not rows.exists()


def test_a_large_batch_in_rows_takes_less_memory_and_has_the_same_gradient():
    """A batch of 4096 in rows as they are by default, an eighth of its 8192 logits' rows, at an eighth of the size."""
    rows = bench_methods.ROWS // 8
    assert 2 * 4096 // bench_methods.ROWS == 2 * 512 // rows == 8
    assert bench_methods.memory(512, rows) < bench_methods.LEAST_MEMORY * bench_methods.memory(512, 1024)
    assert bench_methods.memory(512, 1024) > 1024**2 * 4, "the logits alone"
    parts, whole = (bench_methods.gradient(512, rows) for rows in (100, 1024))
    assert float((parts - whole).abs().max()) < 1e-6 * float(whole.abs().max())


@pytest.mark.parametrize(("name", "count"), [("simclr", 2), ("mae", 1)])
def test_a_batch_that_is_ready_has_its_views_and_others_get_theirs_in_the_step(name, count, monkeypatch):
    ours = Ours(name, bench_methods.pictures(16, 32), Plan(32, 8, "fp32", 0))
    asked = []
    monkeypatch.setattr(
        ours.views.views, "made", lambda batch, made=ours.views.views.made: asked.append(1) or made(batch)
    )
    ready, streamed = ours.ready(), next(ours.stream(1))
    assert len(asked) == 1
    assert ready["views"].shape == (8 * count, 3, 32, 32)
    ours.step(ready)
    assert len(asked) == 1, "a step alone is timed without them"
    ours.step(streamed)
    assert len(asked) == 2
    ours.view(4)
    assert len(asked) == 3
    ours.close()


@pytest.mark.skipif(
    importlib.util.find_spec("lightly") is None,
    reason="lightly is not installed: pip install lightly, in an environment of its own (scripts/bench_methods.py)",
)
@pytest.mark.parametrize("name", ["simclr", "byol", "mae"])
def test_lightlys_steps_learn_from_the_same_views(name):
    plan = Plan(32, 8, "fp32", 0)
    x = bench_methods.pictures(16, 32)
    theirs = Theirs(Ours(name, x, plan), name, x, plan)
    batch = theirs.ready()
    assert [view.shape for view in batch] == [(8, 3, 32, 32)] * (1 if name == "mae" else 2)
    assert all(view.min() >= 0 and view.max() <= 1 for view in batch)
    before = [parameter.clone() for parameter in theirs.module.parameters()]
    theirs.step(batch)
    moved = [not torch.equal(a, b) for a, b in zip(before, theirs.module.parameters(), strict=True)]
    assert sum(moved) > len(moved) / 3


def test_the_machine_is_told_with_what_makes_its_bf16_fast(monkeypatch):
    """Ratios of bf16 differ between processors that multiply matrices and those that do not."""
    monkeypatch.setattr(Path, "is_file", lambda self: True)
    for flags, told in (("avx512_bf16 amx_bf16", "bf16 by AMX"), ("fma avx512_bf16", "bf16 by AVX-512"), ("fma", "")):
        monkeypatch.setattr(Path, "read_text", lambda self, flags=flags, **_: flags)
        found = bench_methods.machine(2, "cpu").split(", ")
        assert found[2:] == ["2 threads", *([told] if told else [])]


def test_a_batch_goes_where_the_plan_says():
    plan = Plan(32, 8, "fp32", 0, device="meta")
    batch = {"views": torch.zeros(2, 3), "key": ["a", "b"]}
    assert plan.there(batch)["views"].device.type == "meta"
    assert plan.there(batch)["key"] == ["a", "b"]
    assert plan.there([torch.zeros(1)])[0].device.type == "meta"
