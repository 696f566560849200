"""NT-Xent whose logits are never all in memory at once."""

import pytest
import torch

from avssl.nn.contrast import nt_xent


def pair(count, width=8):
    first, second = torch.nn.functional.normalize(torch.randn(2, count, width, dtype=torch.float64), dim=2)
    return first.requires_grad_(), second.requires_grad_()


@pytest.mark.parametrize("rows", [1, 7, 16, 25, 40])
@pytest.mark.parametrize("recordings", [None, 5])
def test_loss_and_gradients_are_those_of_the_whole(rows, recordings):
    first, second = pair(20)
    recording = None if recordings is None else torch.arange(20) % recordings
    losses, gradients = [], []
    for each in (40, rows):
        loss = nt_xent(first, second, 0.2, recording, each)
        losses.append(loss)
        gradients.append(torch.autograd.grad(loss, [first, second]))
    torch.testing.assert_close(losses[1], losses[0], atol=0, rtol=1e-12)
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(b, a, atol=1e-14, rtol=1e-10)


def test_no_more_rows_than_asked_for_are_there_at_once(monkeypatch):
    from avssl.nn import contrast

    seen = []
    whole = contrast._nt_xent
    monkeypatch.setattr(contrast, "_nt_xent", lambda *given: seen.append(given[4] - given[3]) or whole(*given))
    first, second = pair(20)
    nt_xent(first, second, 0.2, None, 16).backward()
    assert max(seen) == 16
    assert len(seen) == 2 * 3, "once forward, once again for the gradient"
