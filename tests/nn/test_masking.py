"""Cells: their values, what is painted over, which stay; and the decoder that fills them in."""

from __future__ import annotations

import pytest
import torch

from avssl.nn import masking
from avssl.nn.decoders import CellDecoder


@pytest.mark.parametrize(("size", "grid"), [((8, 12), (2, 3)), ((7, 10), (2, 4)), ((9, 5), (9, 1))])
def test_values_of_cells_are_those_of_the_picture(size, grid):
    x = torch.rand(2, 3, *size)
    found = masking.patches(x, grid)
    high, wide = -(-size[0] // grid[0]), -(-size[1] // grid[1])
    assert found.shape == (2, grid[0] * grid[1], 3 * high * wide)
    for row in range(grid[0]):
        for column in range(grid[1]):
            cell = found[1, row * grid[1] + column].reshape(3, high, wide)
            for i in range(high):
                for j in range(wide):
                    y, z = row * high + i, column * wide + j
                    inside = y < size[0] and z < size[1]
                    assert torch.equal(cell[:, i, j], x[1, :, y, z] if inside else torch.zeros(3))


@pytest.mark.parametrize("size", [(8, 12), (7, 10)])
def test_what_is_covered_is_gone_and_the_rest_is_left(size):
    x = torch.randint(256, (2, 3, *size), dtype=torch.uint8)
    mask = torch.tensor([[True, False, False, True, False, False], [False] * 6])
    covered = masking.cover(x, mask, (2, 3), 128.0)
    assert covered.dtype == torch.uint8
    assert torch.equal(covered[1], x[1])
    before, after = masking.patches(x, (2, 3)), masking.patches(covered, (2, 3))
    assert torch.equal(before[0, ~mask[0]], after[0, ~mask[0]])
    assert set(after[0, 0].tolist()) == {128}


@pytest.mark.parametrize(("cells", "share", "stay"), [(16, 0.75, 4), (2, 0.9, 1), (5, 0.01, 4), (50, 0.75, 12)])
def test_cells_that_stay_are_drawn_per_sample(cells, share, stay):
    seed = torch.arange(40)
    visible = masking.kept(seed, cells, share)
    assert visible.shape == (40, stay)
    assert torch.equal(visible[3:5], masking.kept(seed[3:5], cells, share)), "the rest of the batch changes nothing"
    assert (visible.diff(dim=1) > 0).all()
    mask = masking.hidden(visible, cells)
    assert (mask.sum(1) == cells - stay).all()
    assert not mask.gather(1, visible).any()
    assert mask.float().mean(0).max() < 1, "every cell is seen by somebody"


def test_the_error_of_standard_cells_is_the_reference_librarys():
    """Computed once with transformers' ViT-MAE, whose guess is made to be 0.3 everywhere:

    config = ViTMAEConfig(image_size=8, patch_size=4, norm_pix_loss=True, num_hidden_layers=1,
        decoder_num_hidden_layers=1)
    model = ViTMAEForPreTraining(config); last = model.decoder.decoder_pred
    last.weight.data.zero_(); last.bias.data.fill_(0.3)
    model((torch.arange(192) * 0.37).sin().reshape(1, 3, 8, 8), noise=torch.tensor([[1.0, 0.0, 1.0, 1.0]])).loss
    """
    x = (torch.arange(192, dtype=torch.float32) * 0.37).sin().reshape(1, 3, 8, 8)
    mask = torch.tensor([[True, False, True, True]])
    truth = masking.standard(masking.patches(x, (2, 2))[mask])
    assert (0.3 - truth).square().mean().item() == pytest.approx(1.0691646337509155, abs=1e-5)


def test_the_decoder_fills_in_what_is_hidden_from_what_is_seen_of_all_kinds():
    torch.manual_seed(2)
    decoder = CellDecoder(6, 8, 1, {"a": (2, 3), "b": (5, 1)}, {"a": 4, "b": 7})
    tokens = {"a": torch.randn(2, 2, 6), "b": torch.randn(2, 1, 6, requires_grad=True)}
    visible = {"a": torch.tensor([[0, 4], [1, 2]]), "b": torch.tensor([[3], [0]])}
    filled = decoder(tokens, visible)
    assert filled["a"].shape == (2, 4, 4)
    assert filled["b"].shape == (2, 4, 7)
    filled["a"][0].sum().backward()
    gradient = tokens["b"].grad
    assert gradient[0].abs().max() > 0, "one kind helps the other"
    assert gradient[1].abs().max() == 0, "no sample helps another"
    moved = decoder({**tokens, "a": tokens["a"].flip(1)}, {**visible, "a": visible["a"].flip(1)})
    torch.testing.assert_close(moved["b"], filled["b"], msg="the order of what is seen means nothing")
