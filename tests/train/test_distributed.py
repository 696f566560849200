"""Two ranks equal one, replicated and sharded; what a sharded run saves goes on anywhere."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
import toy
from safetensors.torch import load_file

from avssl.train import run
from avssl.train.distributed import device_of

RUNS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "turns": ("method.turns=2",),
    "accumulate": ("optim.accumulate=2",),
    "lars": ("optim.name=lars",),
    "chunks": ("optim.chunks=2",),
    "fsdp": ("parallel=fsdp",),
    "fsdp-turns": ("parallel=fsdp", "method.turns=2", "optim.accumulate=2"),
    "fsdp-rate": ("parallel=fsdp", "encoders.image.rate=0.3"),
}
COMMON = ("method.drop=0", "optim.clip=0.5", "steps=6", "optim.lr=0.003")


def rank(number: int, folder: str) -> None:
    """One of two; every run of the table, then one that was stopped goes on."""
    torch.set_num_threads(1)
    os.environ.update(RANK=str(number), LOCAL_RANK=str(number), WORLD_SIZE="2", GLOO_SOCKET_IFNAME="lo")
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=number, world_size=2)
    toy.install()

    def evaluate(method: torch.nn.Module, step: int) -> dict[str, float]:
        return {"score": float(method.embed("image", torch.zeros(1, 3, 16, 16, dtype=torch.uint8)).sum())}

    try:
        for name, words in RUNS.items():
            run.start(toy.cfg_of(*COMMON, *words), Path(folder, name), progress=False, evaluate=evaluate)
        for name in ("plain", "fsdp"):
            words = RUNS[name]
            os.environ.update(TINY_KILL="15@3" if number == 1 else "0@0", TINY_STEPS="6")
            done = run.start(toy.cfg_of(*COMMON, *words), Path(folder, f"{name}-parts"), progress=False)
            assert (done.how, done.step) == ("interrupted", 3), "a signal to one rank stops all"
            os.environ["TINY_KILL"] = "0@0"
            run.start(toy.cfg_of(*COMMON, *words), Path(folder, f"{name}-parts"), progress=False)
    except BaseException:
        Path(folder, f"error-{number}").write_text(traceback.format_exc())
        raise
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ranks")
    mp.spawn(rank, (str(path),), nprocs=2)
    return path


def weights(out: Path) -> dict[str, torch.Tensor]:
    last = out / "checkpoints/step-000006"
    return load_file(last / "model.safetensors") | load_file(last / "optimizer.safetensors")


@pytest.mark.parametrize("name", RUNS)
def test_two_ranks_equal_one(name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.install(monkeypatch)
    run.start(toy.cfg_of(*COMMON, *RUNS[name]), tmp_path, progress=False)
    one, two = weights(tmp_path), weights(folder / name)
    assert one.keys() == two.keys()
    worst = {key: float((one[key].double() - two[key].double()).abs().max()) for key in one}
    assert max(worst.values()) < 1e-5, sorted(worst.items(), key=lambda pair: -pair[1])[:6]
    moved = load_file(folder / name / "checkpoints/step-000003/model.safetensors")["head.weight"] - two["head.weight"]
    assert moved.abs().max() > 1e-3 * (name != "lars")


@pytest.mark.parametrize("name", ["plain", "fsdp"])
def test_two_ranks_resume_bit_identical(name: str, folder: Path) -> None:
    whole, parts = weights(folder / name), weights(folder / f"{name}-parts")
    assert [key for key in whole if not torch.equal(whole[key], parts[key])] == []


def test_sharded_goes_on_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.install(monkeypatch)
    done = run.start(toy.cfg_of(*COMMON, *RUNS["fsdp"], "steps=8"), folder / "fsdp-parts", progress=False)
    assert done.step == 8


def test_a_device_that_is_not_there() -> None:
    assert device_of("cpu").type == "cpu"
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match=r"device=cuda: torch sees no such device here; there is: .*cpu"):
            device_of("cuda")
