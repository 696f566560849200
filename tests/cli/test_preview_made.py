"""What a run makes of the examples, on the sheet beside them."""

from __future__ import annotations

import torch
from contract import tiny
from torch import Generator

from avssl.data.manifest import Manifest
from avssl.methods.base import Shows, catalogue, find
from avssl.report.clips import Budget
from avssl.report.made import made, on_page
from avssl.report.sheet import draw
from avssl.train.build import Loaded

MAKING = (
    "gan", "bigan", "denoising_autoencoder", "context_encoder", "colorization", "split_brain", "mae", "masked_part",
)  # fmt: skip


def test_methods_that_make_pictures_show_them(tmp_path):
    assert set(MAKING) <= {name for name in catalogue() if hasattr(find(name), "show")}
    for name in MAKING:
        run = tiny.run(name)
        method, transform = run.method().eval(), run.kind.transform(run.cfg.method, run.inputs)
        assert isinstance(method, Shows)
        given = [transform(tiny.sample(run.needs, index), Generator().manual_seed(index), 0.0) for index in range(2)]
        shown = made(method, given)
        for before, after in zip(given, shown, strict=True):
            assert all(torch.equal(before[key], after[key]) for key in before)
            new = [after[key] for key in after if key not in before]
            assert new
            assert all(x.dtype == torch.uint8 and x.shape == (3, 32, 32) and x.float().std() > 0 for x in new)
    draw(tmp_path / "sheet.png", "made", shown, ["first", "second"], run.inputs)
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_a_runs_page_shows_what_it_makes(tmp_path, monkeypatch):
    run = tiny.run("mae")
    method, items = run.method().eval(), [tiny.sample(run.needs, index) for index in range(3)]
    source = type("Items", (), {"get": lambda self, index, draw: items[index], "__len__": lambda self: len(items)})
    monkeypatch.setattr("avssl.report.made.Items", lambda *given: None)
    monkeypatch.setattr("avssl.report.made.Source", lambda *given: source())
    loaded = Loaded(run.cfg, method, run.inputs, "0" * 64, None, 7)
    parts = on_page(loaded, Manifest(()), "test", Budget(10**7))
    assert len(parts) == 1
    assert "What it makes" in parts[0]
    assert 'src="data:image/png;base64,' in parts[0]
    assert on_page(loaded, Manifest(()), "test", Budget(10)) == [], "the page is full"
    silent = tiny.run("simclr")
    other = Loaded(silent.cfg, silent.method(), silent.inputs, "0" * 64, None, 7)
    assert on_page(other, Manifest(()), "test", Budget(10**7)) == []
