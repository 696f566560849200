"""How the laws build a tiny run of any method: from its own YAML, with small sizes, on made-up items."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor

from avssl import config, encoders
from avssl.config import MethodConfig, RunConfig
from avssl.data.loader import Loader
from avssl.inputs import Inputs, Vocabulary
from avssl.methods.base import Batch, Method, catalogue, config_of, find
from avssl.nn import chunked
from avssl.sample import Needs, Sample

ITEMS = 8
RECORDING = (0, 1, 2, 2, 3, 4, 5, 6)
"""items 2 and 3 are segments of one recording"""
SIZES = (
    "inputs.height=32", "inputs.width=32", "inputs.frames=4", "inputs.fps=8", "inputs.audio_seconds=0.5",
    "inputs.audio=mel", "inputs.mels=16", "inputs.tokens=6", "inputs.vocabulary=64",
    *(f"encoders.{modality}.{word}" for modality in ("image", "video", "audio") for word in ("name=small", "width=32")),
    "encoders.text.name=transformer", "encoders.text.width=32", "encoders.text.layers=1",
)  # fmt: skip
OWN = {
    "mae": ("encoders.image.name=vit", "encoders.image.layers=1"), "moco": ("method.queue=8",),
    # 8 pictures per second would shift the tones, which pulse 8 times in one, by whole pulses
    "multisensory": ("inputs.fps=6.4", "inputs.audio_seconds=0.625"),
}  # fmt: skip
"""method -> what it cannot do without, and sizes of its own"""
SOUNDS, DEEP = ("audio", "left", "right"), ("depth",)
"""names of streams that are sounds, and of those that are deep pictures; all others are pictures"""
WORDS = ("bell", "drum", "whistle", "rain", "engine", "clock", "bird", "siren")


def names() -> list[str]:
    """Every method in the folder."""
    return list(catalogue())


@dataclass(frozen=True)
class Tiny:
    """A tiny run of one method."""

    name: str
    cfg: RunConfig
    inputs: Inputs
    kind: type[Method[MethodConfig]]

    @property
    def needs(self) -> Needs:
        return self.kind.needs(self.cfg.method, self.inputs)

    def method(self, seed: int = 0, chunks: int = 1) -> Method[MethodConfig]:
        """A fresh method, in training mode; its encoders in so many ``chunks``."""
        torch.manual_seed(seed)
        vocabulary = len(self.inputs.vocabulary) if self.inputs.vocabulary else 0
        size = self.cfg.inputs
        towers = encoders.build(
            self.cfg.encoders,
            self.kind.towers(self.cfg.method, self.cfg.encoders),
            mels=size.mels,
            tokens=size.tokens,
            vocabulary=vocabulary,
            hz=size.hz,
        )
        if chunks > 1:
            chunked.wrap(towers, chunks)
        return self.kind(self.cfg.method, self.inputs, towers, ITEMS).train()

    def batch(self, step: int = 0, size: int = ITEMS, progress: float = 0.0) -> Batch:
        """The items 0 .. size - 1 as the data layer gives them at ``step``."""
        transform = self.kind.transform(self.cfg.method, self.inputs)
        rows = []
        for index in range(size):
            generator = Generator().manual_seed(1000 * step + index)
            row = transform(sample(self.needs, index), generator, progress)
            known = {"index": torch.tensor(index), "recording": torch.tensor(RECORDING[index])}
            rows.append({**row, **known, "seconds": torch.tensor(float(index))})
        return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}

    def x(self, modality: str, size: int = ITEMS) -> Tensor:
        """A batch as :meth:`Method.embed` takes it."""
        if modality in self.needs.streams:
            needs = dataclasses.replace(whole(self), streams=(modality,))
            held = torch.stack([sample(needs, index).stream(modality)[0] for index in range(size)])
            return self.inputs.audio(held) if modality in SOUNDS else held
        items = [sample(whole(self), index) for index in range(size)]
        if modality == "image":
            return torch.stack([item.video[0, 0] for item in items])
        if modality == "video":
            return torch.stack([item.video[0] for item in items])
        if modality == "audio":
            return self.inputs.audio(torch.stack([item.audio[0] for item in items]))
        return torch.cat([self.inputs.tokens(item.text[:1]) for item in items])


def whole(run: Tiny) -> Needs:
    """One window with everything in it."""
    return run.inputs.needs(audio_seconds=run.cfg.inputs.audio_seconds, narrations=1)


def run(name: str, *words: str) -> Tiny:
    """A tiny run of the method of that name, from its shipped YAML."""
    cfg = config.load(name, [*SIZES, *OWN.get(name, ()), *words], config_of)
    text = [phrase for index in range(ITEMS) for phrase in phrases(index, 4)]
    return Tiny(name, cfg, Inputs(cfg.inputs, Vocabulary.train(text, cfg.inputs.vocabulary)), find(name))


def phrases(index: int, count: int) -> tuple[str, ...]:
    """Phrases about item ``index``, the last one empty where there are several."""
    said = [f"the {WORDS[(index + k) % len(WORDS)]} {WORDS[(index * 3 + k + 1) % len(WORDS)]}" for k in range(count)]
    return (*said[:-1], "") if count > 1 else tuple(said)


def sample(needs: Needs, index: int) -> Sample:
    """Item ``index``: a moving pattern and a pulsing tone of its own, and nothing that ``needs`` does not ask for."""
    draw = Generator().manual_seed(index)
    if needs.streams:
        one = sample(dataclasses.replace(needs, streams=()), index)
        return dataclasses.replace(one, parts=as_streams(needs, one))
    parts: dict[str, object] = {}
    if needs.frames:
        coarse = torch.rand(needs.clips, 1, 3, 5, 5, generator=draw).expand(-1, needs.frames, -1, -1, -1)
        smooth = torch.nn.functional.interpolate(coarse.flatten(0, 1), (needs.height, needs.width), mode="bilinear")
        frames = (smooth * 255).to(torch.uint8).unflatten(0, (needs.clips, needs.frames))
        moved = [frames[:, t].roll(t * (1 + index % 3), -1) for t in range(needs.frames)]
        parts["video"] = torch.stack(moved, 1)
    if needs.audio_seconds:
        time = torch.arange(round(needs.audio_seconds * needs.hz)) / needs.hz
        tone = torch.sin(2 * math.pi * 200 * (index + 1) * time) * (0.5 + 0.4 * torch.sin(2 * math.pi * 8 * time))
        noise = torch.randn(needs.clips, len(time), generator=draw) * 0.01
        parts["audio"] = 0.5 * tone + noise
    if needs.narrations:
        windows = needs.clips if needs.narrations_each else 1
        said = [phrases(index + 3 * window, needs.narrations) for window in range(windows)]
        parts["text"] = tuple(phrase for one in said for phrase in one)
        if needs.narration_times:
            length = needs.window_seconds / needs.narrations
            times = torch.arange(needs.narrations)[:, None] * length + torch.tensor([0.0, length])
            times[torch.tensor([not phrase for phrase in said[0]])] = math.nan
            parts["times"] = times.repeat(windows, 1)
    if needs.label:
        parts["label"] = index % 2
    return Sample(f"item{index}", index, tuple(float(n) for n in range(needs.clips)), parts)


def as_streams(needs: Needs, one: Sample) -> dict[str, object]:
    """The item's picture or sound as each stream that is needed; a deep one has one plane of floats."""
    parts: dict[str, object] = {}
    for name in needs.streams:
        held = one.audio if name in SOUNDS else one.video
        parts[name] = held[:, :, :1].float() / 255 if name in DEEP else held
    return parts


class MadeUp:
    """The items as the data layer's source; goes to its workers."""

    def __init__(self, needs: Needs):
        self.needs = needs
        self.items = [(number,) for number in RECORDING]

    def get(self, index: int, generator: Generator) -> Sample:
        return sample(self.needs, index)


def loaded(run: Tiny, first: int, last: int, workers: int) -> Iterator[Batch]:
    """Batches of these steps from the real loader."""
    transform = run.kind.transform(run.cfg.method, run.inputs)
    with Loader(MadeUp(run.needs), transform, batch=ITEMS, seed=5, workers=workers, length=ITEMS) as loader:
        yield from loader.batches(first, last)


def steps(method: Method[MethodConfig], batches: Iterable[Batch], optimizers: dict[str, torch.optim.Optimizer],
          bf16: bool = False, only: str = "", first: int = 0) -> list[float]:  # fmt: skip
    """The heart of the training loop, for laws about methods alone; gives the losses. ``only`` names one turn."""
    losses = []
    for step, batch in enumerate(batches, first):
        torch.manual_seed(step)
        for turn, optimizer in optimizers.items():
            if only not in ("", turn):
                continue
            method.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = method(batch, turn).loss
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        method.after_step(0.5)
    return losses


def optimizers(method: Method[MethodConfig], lr: float = 2e-3) -> dict[str, torch.optim.Optimizer]:
    """One AdamW per turn."""
    return {turn: torch.optim.AdamW(parameters, lr) for turn, parameters in method.turns().items()}


def gradients(name: str, rank: int = 0, world: int = 1) -> dict[str, Tensor]:
    """Gradients of every turn and all buffers after one step, of this rank's share of the batch."""
    from avssl.train.distributed import Ranks, share

    this = run(name)
    method = this.method()
    whole_batch = this.batch()
    if "heard" in whole_batch:
        whole_batch["heard"][1] = False  # so that ranks have unlike shares of what may lack
    share_of = ITEMS // world
    batch = {key: value[rank * share_of : (rank + 1) * share_of] for key, value in whole_batch.items()}
    turns = method.turns()
    model = share(method, Ranks(rank, world, torch.device("cpu")), "ddp", len(turns))
    found = {}
    for turn, parameters in turns.items():
        method.zero_grad(set_to_none=True)
        torch.manual_seed(7)
        model(batch, turn).loss.backward()
        held = {id(parameter) for parameter in parameters}
        for key, parameter in method.named_parameters():
            if id(parameter) in held and parameter.grad is not None:
                found[f"{turn} {key}"] = parameter.grad.clone()
    method.after_step(0.5)
    found.update({f"buffer {key}": value.clone() for key, value in method.named_buffers()})
    return found


def second_rank(rank: int, folder: str) -> None:
    """One of two processes: every method's gradients, in the folder of the registry's order."""
    import torch.distributed as dist
    from safetensors.torch import save_file

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    for name in names():
        found = gradients(name, rank, 2)
        if rank == 0:
            save_file(found, Path(folder) / f"{name}.safetensors")
    dist.destroy_process_group()
