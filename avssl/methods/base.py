"""What every method is: one ``nn.Module`` that says what it needs, how an item becomes tensors, what is minimised."""

from __future__ import annotations

import importlib
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import torch
from torch import Generator, Tensor, nn

from avssl.config import MethodConfig, meant
from avssl.inputs import Inputs
from avssl.sample import Needs, Sample

Batch = dict[str, Tensor]
Transform = Callable[[Sample, Generator, float], dict[str, Tensor]]
"""(sample, generator, progress 0..1) -> named tensors; runs in a loader worker, so it pickles and is pure"""

C = TypeVar("C", bound=MethodConfig)


class Step(NamedTuple):
    """What a turn gives back: ``loss`` is minimised, ``metrics`` are only logged."""

    loss: Tensor
    metrics: Mapping[str, Tensor] = {}


class Space(NamedTuple):
    """A space of unit vectors: which modalities live in it, and its width for the run's own window.

    ``timeless`` are those without a course in time where others have one, which makes vectors as wide as windows are
    long: theirs are zero there, so that zeros fit them to windows of any length.
    """

    modalities: tuple[str, ...]
    width: int
    timeless: tuple[str, ...] = ()


class Method(nn.Module, ABC, Generic[C]):
    """Base of all methods; subclasses live one to a file and are found by that file's name.

    Args:
        cfg: the method's own Config.
        inputs: how media become tensors.
        encoders: modality -> encoder, one for each of ``modalities``.
        length: number of training items (banks have one row for each).
    """

    Config: ClassVar[type[MethodConfig]]
    """set by itself to the ``Config`` of the method's file"""
    modalities: ClassVar[tuple[str, ...]]
    """encoders it trains, or, where streams are chosen by the config, their kinds"""
    optional: ClassVar[tuple[str, ...]] = ()
    """those of them it can do without where no training recording has them"""
    inherits: ClassVar[tuple[str, ...]] = ()
    """parts taken over with the encoders from the run that ``init`` names, where it has them"""
    spaces: dict[str, Space]
    """name -> modalities that can be compared there, and width; most methods have ``main`` alone"""

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        cls.Config = vars(sys.modules[cls.__module__]).get("Config", MethodConfig)

    def __init__(self, cfg: C, inputs: Inputs, encoders: nn.ModuleDict, length: int):
        super().__init__()
        self.cfg = cfg
        self.inputs = inputs
        self.encoders = encoders
        self.length = length
        self.spaces = {}

    @classmethod
    @abstractmethod
    def needs(cls, cfg: C, inputs: Inputs) -> Needs:
        """What the data layer must decode."""

    @classmethod
    @abstractmethod
    def transform(cls, cfg: C, inputs: Inputs) -> Transform:
        """A picklable callable (Sample, Generator, progress) -> dict of tensors without a batch axis."""

    @classmethod
    def preview(cls, cfg: C, inputs: Inputs) -> Transform:
        """What ``avssl preview`` draws of an item: what the transform gives, and more where that helps to see it."""
        return cls.transform(cfg, inputs)

    @abstractmethod
    def forward(self, batch: Batch, turn: str = "main") -> Step:
        """Loss and metrics of one turn on one batch."""

    @classmethod
    def towers(cls, cfg: C, specs: Any) -> dict[str, tuple[str, Any]]:
        """Name of each encoder -> its kind (image, video, audio, text) and what it is built from; ``specs`` has one for
        each kind. Most methods have one encoder of a kind, which is called so."""
        return {kind: (kind, getattr(specs, kind)) for kind in cls.modalities}

    def kind_of(self, modality: str) -> str:
        """As what a modality of its spaces is read: image, video, audio or text. Most are called what they are; a
        stream of another name is a video or a sound."""
        return modality

    def turns(self) -> dict[str, list[nn.Parameter]]:
        """Turn -> the parameters it moves; each trainable parameter is in exactly one."""
        return {"main": [parameter for parameter in self.parameters() if parameter.requires_grad]}

    def chance(self, items: int) -> dict[str, float]:
        """What guessing scores in metrics of :meth:`forward` on a batch of ``items``, where that is known."""
        return {}

    def before_epoch(self, examples: Iterable[Batch]) -> None:
        """Called before each epoch; ``examples`` yields the training items in order and is free unless iterated."""

    def order(self) -> Tensor | None:
        """The items in the order in which batches take them, int64 [length], from a buffer that ``before_epoch`` left;
        None leaves it to chance."""
        return None

    def after_step(self, progress: float) -> None:
        """Called after each step: teachers, queues, banks."""

    def embed(self, modality: str, x: Tensor, space: str = "main") -> Tensor:
        """Unit vectors [B, D'] of a batch of one modality.

        ``x`` is what :class:`~avssl.inputs.Inputs` makes: image uint8 [B, 3, H, W], video uint8 [B, T, 3, H, W],
        audio log-mel [B, M, F], text tokens [B, L].
        """
        raise ValueError(f"{type(self).__name__} has no shared space; it embeds nothing")

    def no_space(self, modality: str, space: str) -> ValueError:
        """The error for a modality or space this method does not have."""
        held = ", ".join(f"{name}: {' '.join(it.modalities)}" for name, it in self.spaces.items())
        return ValueError(f"{self.cfg.name} cannot embed {modality} in space {space}; it has {held}")


@runtime_checkable
class Localizes(Protocol):
    """A method that says where in the picture a sound (or a text) is."""

    def localize(self, video: Tensor, query: Tensor, modality: str) -> Tensor:
        """video uint8 [B, T, 3, H, W] and a query (audio log-mel [B, M, F] or tokens [B, L]) -> scores [B, T, h, w]."""
        ...


@runtime_checkable
class HasPlaces(Protocol):
    """A localizer whose scores are inner products: an index can keep the places, and a query find them there later.

    For a window and a query as long: ``einsum("bhwd,bd->bhw", places(video), sought(query, modality))`` is
    ``localize(video, query, modality).mean(1)``, the map by which a window is judged.
    """

    def places(self, video: Tensor) -> Tensor:
        """video uint8 [B, T, 3, H, W] -> what each place shows over the whole window, [B, h, w, D]."""
        ...

    def sought(self, query: Tensor, modality: str) -> Tensor:
        """A query (audio log-mel [B, M, F] or tokens [B, L]) -> what places are compared with, [B, D]."""
        ...


@runtime_checkable
class HasCourse(Protocol):
    """A method that compares sound and picture step by step: one slid along the other tells by how much they are apart.

    Training matches each step of the picture with the mean of the sound's steps over the same time.
    """

    time_stride: int
    """pictures per step"""

    def course(self, modality: str, x: Tensor) -> Tensor:
        """Features over time, before their size over the window is fixed, evenly spaced over it.

        video uint8 [B, T, 3, H, W] -> [B, T', E]; audio log-mel [B, M, F] -> [B, t, E].
        """
        ...


@runtime_checkable
class TellsOffset(Protocol):
    """A method that names the offset between a picture and a sound."""

    offsets: tuple[float, ...]
    """seconds by which the sound is late, ascending and evenly spaced"""

    def offset_logits(self, video: Tensor, audio: Tensor) -> Tensor:
        """Windows of the same times, as long as ``needs`` asks for: uint8 [B, T, 3, H, W], [B, M, F] -> [B, K]."""
        ...


@runtime_checkable
class TellsAligned(Protocol):
    """A method that tells whether a sound is of the time of a clip, both as long as the run's windows."""

    def in_step(self, video: Tensor, audio: Tensor) -> Tensor:
        """Clips uint8 [B, T, 3, H, W], sounds log-mel [K, M, F] -> how well each fits each, -1..1 [B, K]."""
        ...


@runtime_checkable
class TellsAlignable(Protocol):
    """A method that tells whether what is said can be seen at all, in a window and beside other sentences."""

    def alignability(self, video: Tensor, tokens: Tensor) -> Tensor:
        """Windows uint8 [B, T, 3, H, W], sentences [B, K, L] padded with -1 -> log-odds [B, K]."""
        ...


@runtime_checkable
class HasClusters(Protocol):
    """A method that sorts what it embeds into clusters of its own."""

    def cluster(self, modality: str, vectors: Tensor) -> Tensor:
        """Numbers of the clusters, int64 [B], of unit vectors [B, D] that :meth:`Method.embed` made of a modality."""
        ...


@runtime_checkable
class Captions(Protocol):
    """A transform that says what numbers among its tensors mean."""

    def words(self, example: Batch) -> dict[str, str]:
        """What the transform gave for one item -> name of a tensor -> what it says, for people."""
        ...


@runtime_checkable
class Shows(Protocol):
    """A method whose output can be looked at: what it fills in, colours, makes clean, makes up, or pushes apart."""

    def show(self, batch: Batch) -> dict[str, Tensor]:
        """A batch of the transform's tensors -> name -> pictures, float 0..1 [B, 3, H, W]."""
        ...


@runtime_checkable
class HasHeads(Protocol):
    """A localizer that has several maps, of which each place takes the greatest: one may light speech, one a sound.

    ``heads(video, query, modality).amax(1)`` is ``localize(video, query, modality)``; with one head there is one map.
    """

    def heads(self, video: Tensor, query: Tensor, modality: str) -> Tensor:
        """As :meth:`Localizes.localize`, but each head's scores, [B, K, T, h, w]."""
        ...


def localizes(method: Method[MethodConfig], modality: str = "audio") -> bool:
    """Whether this method can localize this kind of query."""
    kinds: tuple[str, ...] = getattr(method, "localizes", ())
    return isinstance(method, Localizes) and modality in kinds


_FOLDER = Path(__file__).resolve().parent


def catalogue() -> dict[str, str]:
    """Method name -> its family; the folder is the registry."""
    files = sorted(_FOLDER.glob("*/[a-z]*.py"))
    return {path.stem: path.parent.name for path in files}


def find(name: str) -> type[Method[MethodConfig]]:
    """The method class in the file of that name. Raises ValueError with the nearest names, or for a broken file."""
    families = catalogue()
    if name not in families:
        raise ValueError(f"unknown method {name}; {meant(name, families)}`avssl methods` lists them")
    module_name = f"avssl.methods.{families[name]}.{name}"
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever somebody's file does when it is read
        told = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ValueError(
            f"method {name} cannot be loaded: {told}; in full: python -c 'import {module_name}'"
        ) from error
    found = [
        item for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, Method) and item.__module__ == module.__name__
    ]  # fmt: skip
    if len(found) != 1:
        raise ValueError(f"method {name} cannot be loaded: {module.__name__} defines {len(found)} methods, not one")
    return found[0]


def config_of(name: str) -> type[MethodConfig]:
    """The Config class of a method."""
    return find(name).Config


def detached(metrics: Mapping[str, Tensor | float]) -> dict[str, Tensor]:
    """Metrics as detached scalar tensors."""
    return {key: torch.as_tensor(value).detach().float() for key, value in metrics.items()}
