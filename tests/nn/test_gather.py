"""Joining a batch over ranks: values in rank order, and gradients as if there were one rank."""

from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from avssl.nn.gather import gather, own_rows


def contrast(x: Tensor, weight: Tensor) -> Tensor:
    y = torch.nn.functional.normalize(gather(x @ weight), dim=1)
    return torch.nn.functional.cross_entropy(y @ y.roll(1, 0).T / 0.2, torch.arange(len(y)))


def problem() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 5, generator=generator), torch.randn(5, 4, generator=generator).requires_grad_()


def _rank(rank: int, folder: str) -> None:
    os.environ.update(GLOO_SOCKET_IFNAME="lo")
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    x, weight = problem()
    mine = x[rank * 3 : rank * 3 + 3]
    whole = gather(mine)
    loss = contrast(mine, weight)
    loss.backward()
    assert weight.grad is not None
    dist.all_reduce(weight.grad)
    assert torch.equal(own_rows(whole, 3), mine)
    torch.save({"whole": whole, "loss": loss.detach(), "grad": weight.grad / 2}, f"{folder}/{rank}.pt")
    del loss  # its graph holds on to the group, whose threads must end before the process does
    dist.barrier()
    dist.destroy_process_group()


def test_two_ranks_equal_one(tmp_path: Path) -> None:
    mp.spawn(_rank, (str(tmp_path),), nprocs=2)
    x, weight = problem()
    loss = contrast(x, weight)
    loss.backward()
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert torch.equal(found["whole"], x)
        assert torch.allclose(found["loss"], loss.detach(), atol=1e-6)
        assert torch.allclose(found["grad"], weight.grad, atol=1e-6)


def test_alone_it_is_nothing() -> None:
    x = torch.randn(3, 2, requires_grad=True)
    assert gather(x) is x
    assert torch.equal(own_rows(x, 3), x)
