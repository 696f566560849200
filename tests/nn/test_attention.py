"""The kernels that attention takes give what torch's own gives, in values and in gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from avssl.nn import attention as module
from avssl.nn.attention import SHORT, attention, quick


def parts():
    return [torch.randn(2, 3, 5, 8, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]


def gradients(run, given):
    given = [one.clone().requires_grad_() for one in given]
    made = run(*given)
    made.float().square().sum().backward()
    return [made.detach().float(), *(one.grad.float() for one in given)]


def test_attention_is_torchs():
    for ours, torchs in zip(
        gradients(attention, parts()), gradients(F.scaled_dot_product_attention, parts()), strict=True
    ):
        assert torch.equal(ours, torchs)


def test_under_autocast_it_is_as_exact_as_in_float32():
    given = [one.bfloat16() for one in parts()]
    with torch.autocast("cpu", torch.bfloat16):
        ours = gradients(attention, given)
    exact = gradients(F.scaled_dot_product_attention, [one.float() for one in given])
    for found, wanted in zip(ours, exact, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=2**-7)


def kernels(monkeypatch):
    """Which kernels ``quick`` asks for."""
    asked = []

    def note(backend):
        asked.append(backend)
        return torch.nn.attention.sdpa_kernel(backend)

    monkeypatch.setattr(module, "sdpa_kernel", note)
    return asked


@pytest.mark.parametrize(
    ("tokens", "precision", "learning", "plain"),
    [(6, "bf16", True, True), (SHORT + 1, "bf16", True, False), (6, "fp32", True, False), (6, "bf16", False, False)],
)
def test_plain_products_only_where_they_are_quicker(monkeypatch, tokens, precision, learning, plain):
    asked = kernels(monkeypatch)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
    with autocast, torch.set_grad_enabled(learning), quick(torch.zeros(2, tokens, 4)):
        pass
    assert bool(asked) == plain


def test_a_layer_of_torchs_own_gives_the_same_with_padding():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(32, 2, 64, 0.0, "gelu", batch_first=True, norm_first=True)
    x, hidden = torch.randn(4, 6, 32), torch.arange(6)[None] >= torch.tensor([6, 3, 1, 5])[:, None]
    made = []
    for kernel in (True, False):
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16), quick(x) if kernel else torch.enable_grad():
            told = layer(x, src_key_padding_mask=hidden)
        told[~hidden].float().square().sum().backward()
        made.append((told[~hidden].detach().float(), layer.self_attn.in_proj_weight.grad.clone()))
    torch.testing.assert_close(made[0][0], made[1][0], atol=0.05, rtol=0.05)
    assert nn.functional.cosine_similarity(made[0][1].flatten(), made[1][1].flatten(), dim=0) > 0.999
