"""What a run makes of the examples, on the sheet beside them."""

from __future__ import annotations

import torch
from contract import tiny
from torch import Generator

from avssl.cli.preview import _shown
from avssl.methods.base import Shows, catalogue, find
from avssl.report.sheet import draw

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
        made = _shown(method, given)
        for before, after in zip(given, made, strict=True):
            assert all(torch.equal(before[key], after[key]) for key in before)
            new = [after[key] for key in after if key not in before]
            assert new
            assert all(x.dtype == torch.uint8 and x.shape == (3, 32, 32) and x.float().std() > 0 for x in new)
    draw(tmp_path / "sheet.png", "made", made, ["first", "second"], run.inputs)
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
