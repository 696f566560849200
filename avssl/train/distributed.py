"""Ranks: who we are under torchrun, how the method is shared out, and how what is shared is made whole again."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Ranks:
    """This process among the others."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this rank writes."""
        return self.rank == 0

    def wait(self) -> None:
        """Until every rank is here."""
        if self.world > 1:
            dist.barrier()

    def any(self, value: int) -> int:
        """The largest ``value`` of all ranks, the same on each (a CPU exchange: no accelerator is waited for)."""
        if self.world == 1:
            return value
        flag = torch.tensor([value])
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return int(flag)

    def mean(self, values: Mapping[str, Tensor]) -> dict[str, float]:
        """Scalars -> their means over the ranks; reading them waits for the accelerator."""
        if not values:
            return {}
        row = torch.stack([value.detach().double().reshape(()).cpu() for value in values.values()])
        if self.world > 1:
            dist.all_reduce(row)
            row /= self.world
        return dict(zip(values, row.tolist(), strict=True))


def device_of(name: str, local_rank: int = 0) -> torch.device:
    """``auto``, ``cpu``, ``cuda`` or ``mps`` -> a device. Raises ValueError if this machine has none of that kind."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, found in there.items() if found)
    if not there[name]:
        have = ", ".join(kind for kind, found in there.items() if found)
        raise ValueError(f"device={name}: torch sees no such device here; there is: {have}")
    return torch.device(name, local_rank) if name == "cuda" else torch.device(name)


@contextmanager
def join(device: str) -> Iterator[Ranks]:
    """The ranks torchrun started us among (alone without it). Collectives on CPU tensors work on every device."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks(0, 1, device_of(device))
        return
    mine = device_of(device, int(os.environ.get("LOCAL_RANK", "0")))
    if mine.type == "cuda":
        torch.cuda.set_device(mine)
    began = not dist.is_initialized()
    if began:
        dist.init_process_group("cpu:gloo,cuda:nccl" if mine.type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), mine)
    finally:
        if began:
            dist.destroy_process_group()


def share(method: nn.Module, ranks: Ranks, how: Literal["ddp", "fsdp"], turns: int) -> nn.Module:
    """The module whose forward the loop calls: the method itself, replicated (DDP), or sharded in place (FSDP2).

    Gradients are averaged over ranks. Buffers are not sent around: methods gather what they remember.
    """
    if ranks.world == 1:
        return method
    if how == "fsdp":
        mesh = init_device_mesh(ranks.device.type, (ranks.world,))
        for encoder in method.encoders.values():  # type: ignore[operator]
            fully_shard(encoder, mesh=mesh)
        fully_shard(method, mesh=mesh)
        return method
    return DistributedDataParallel(method, find_unused_parameters=turns > 1, broadcast_buffers=False)


@contextmanager
def alone(model: nn.Module, last: bool) -> Iterator[None]:
    """Gradients of all but the last micro-batch stay on their rank; the last one's exchange carries the sum."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(last)
        yield
    elif isinstance(model, DistributedDataParallel) and not last:
        with model.no_sync():
            yield
    else:
        yield


@contextmanager
def gathered(method: nn.Module) -> Iterator[None]:
    """Inside, a sharded method holds whole parameters, so that any part can be called; all ranks must do alike."""
    parts = [part for part in method.modules() if isinstance(part, FSDPModule)]
    for part in parts:
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.reshard()


def same_statistics(method: nn.Module, ranks: Ranks) -> None:
    """Running statistics of batch normalization, which differ by rank, become their mean on all ranks."""
    if ranks.world == 1:
        return
    kept = [
        value
        for part in method.modules()
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.track_running_stats
        for value in (part.running_mean, part.running_var)
        if value is not None
    ]
    if not kept:
        return
    flat = torch.cat([value.flatten() for value in kept])
    dist.all_reduce(flat)
    parts = torch.split(flat / ranks.world, [value.numel() for value in kept])
    for value, new in zip(kept, parts, strict=True):
        value.copy_(new.view_as(value))


def whole(value: Tensor) -> Tensor:
    """A sharded tensor's full value on this rank (all ranks must ask); any other tensor as it is."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def shared_like(value: Tensor, like: Tensor) -> Tensor:
    """A full tensor with the device, dtype, memory layout and sharding of ``like``."""
    if isinstance(like, DTensor):
        return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
    return torch.empty_like(like, dtype=value.dtype).copy_(value)


def plain(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """A state dict -> full tensors on the CPU, each with memory of its own. All ranks must ask."""
    return {key: whole(value).detach().cpu().contiguous().clone() for key, value in state.items()}
