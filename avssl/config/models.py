"""What a run is: frozen pydantic models, each option with its default and its meaning."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Frozen(BaseModel):
    """Base of every config section: immutable, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())


class MethodConfig(Frozen):
    """Base of every method's own ``Config``."""

    name: str
    """the method: the name of its file under avssl/methods"""


class InputsConfig(Frozen):
    """How media become tensors, in training, embedding, search and localization alike."""

    height: int = Field(96, ge=16)
    """pixels; pictures are scaled to height x width"""
    width: int = Field(96, ge=16)
    """pixels"""
    frames: int = Field(8, ge=1)
    """pictures per window"""
    fps: float = Field(4.0, gt=0)
    """pictures per second"""
    hz: int = Field(16000, ge=4000)
    """audio samples per second"""
    audio_seconds: float = Field(2.0, gt=0)
    """sound per window, centred on the pictures"""
    audio: Literal["mel", "wave"] = "mel"
    """mel: log-mel spectrogram [M, F]; wave: raw samples [S], for pretrained towers that take them"""
    mels: int = Field(64, ge=8)
    """mel bands"""
    hop_seconds: float = Field(0.01, gt=0)
    """step of the spectrogram"""
    window_seconds: float = Field(0.025, gt=0)
    """length of its analysis window"""
    tokens: int = Field(24, ge=4)
    """longest text, in tokens"""
    vocabulary: int = Field(2000, ge=32)
    """size of the vocabulary trained on the run's narration"""
    narration: Literal["phrase", "window"] = "phrase"
    """phrase: whole phrases; window: where words are timed, only those said inside the window"""

    @property
    def seconds(self) -> float:
        """Length of a window in seconds."""
        return self.frames / self.fps


class EncoderConfig(Frozen):
    """One encoder."""

    name: str = "small"
    """image: small, resnet18, vit; video: small, resnet18, r2plus1d_18; audio: small, resnet18; text: transformer;
    any: pretrained"""
    width: int = Field(128, ge=8)
    """D, the width of its features"""
    norm: Literal["place", "group", "batch"] = "group"
    """place keeps what a map cell knows local (for localization); batch is not equal on two ranks and breaks cached
    gradients"""
    stride: int = Field(8, ge=1)
    """pixels per map cell (image, video; small encoders and vit)"""
    time_stride: int = Field(2, ge=1)
    """frames per step of the small video encoder"""
    layers: int = Field(2, ge=1)
    """blocks of the text transformer and of vit"""
    rate: float = Field(1.0, gt=0)
    """share of the learning rate at which this tower moves; less for one that is to keep what it knows"""
    path: str = ""
    """local folder or hub name of a pretrained tower"""
    tune: int = 0
    """pretrained: 0 frozen, -1 all layers tuned, n the last n layers tuned"""
    lora: int = Field(0, ge=0)
    """pretrained and frozen: rank of the low-rank adapters that are trained; 0 has none"""


class EncodersConfig(Frozen):
    """The towers; a method builds only those of its modalities."""

    image: EncoderConfig = EncoderConfig()
    video: EncoderConfig = EncoderConfig()
    audio: EncoderConfig = EncoderConfig()
    text: EncoderConfig = EncoderConfig(name="transformer")


class DataConfig(Frozen):
    """What is learnt from."""

    manifest: str = ""
    """a manifest (.jsonl) or a folder of recordings, whose manifest is then made"""
    labels: str = ""
    """TSV with a path column, or the word folders (a file's folder is its label kind); used only when a folder's
    manifest is made"""
    batch: int = Field(64, ge=2)
    """items per step, over all ranks"""
    workers: int = Field(1, ge=0)
    """decoding processes"""
    item_seconds: float = Field(10.0, gt=0)
    """long recordings are cut into items of at most this length"""
    bad_budget: float = Field(0.05, ge=0, le=1)
    """share of items that may fail before the run stops"""
    cache_gb: float = Field(8.0, ge=0)
    """disk for decoded items at the run's size and rate; 0 or too little for the data set decodes anew each time"""
    draws: int = Field(0, ge=0)
    """windows and crops in which each item is ever shown, so that what frozen towers see comes again and is computed
    once; 0 draws anew each time"""
    together: int = Field(1, ge=1)
    """windows of one item in a batch, each drawn by itself; for negatives of the same recording (rivals.gap_seconds)"""
    features_gb: float = Field(8.0, ge=0)
    """disk for what frozen towers saw, with draws"""
    timeout_seconds: float = Field(120.0, gt=0)
    """a worker that gives no item for so long is replaced"""


class OptimConfig(Frozen):
    """How parameters move."""

    name: Literal["adamw", "sgd", "lars"] = "adamw"
    lr: float = Field(1e-3, gt=0)
    """peak learning rate"""
    turn_lr: dict[str, float] = {}
    """factor on lr per turn, for methods with several"""
    weight_decay: float = Field(0.01, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    """sgd, lars; adamw's first beta"""
    beta2: float = Field(0.98, ge=0, lt=1)
    """adamw's second beta"""
    warmup: float = Field(0.05, ge=0, lt=1)
    """share of the steps"""
    clip: float = Field(1.0, ge=0)
    """largest gradient norm; 0 leaves it"""
    accumulate: int = Field(1, ge=1)
    """micro-batches whose gradients are averaged (contrast stays inside each)"""
    chunks: int = Field(1, ge=1)
    """passes of every encoder whose gradients are cached, so that a contrastive batch need not fit in memory; encoders
    that normalize over their batch are refused, for its statistics would be a pass's: set encoders.X.norm=group"""


class RunConfig(Frozen):
    """Everything a run is: written to its folder and into every checkpoint."""

    method: MethodConfig
    inputs: InputsConfig = InputsConfig()
    encoders: EncodersConfig = EncodersConfig()
    data: DataConfig = DataConfig()
    optim: OptimConfig = OptimConfig()
    steps: int = Field(1000, ge=1)
    """length of the training, in optimizer steps"""
    stop: Literal["steps", "plateau"] = "steps"
    """plateau: end when the held-out score (finding across modalities, else the pretext loss) has not improved for
    patience evaluations"""
    patience: int = Field(3, ge=1)
    evaluate_every: int = Field(0, ge=0)
    """steps between held-out scores; 0 only at the end, and on the way whether vectors collapse"""
    checkpoint_every: int = Field(200, ge=1)
    """steps between checkpoints"""
    keep: int = Field(2, ge=1)
    """checkpoints kept"""
    log_every: int = Field(10, ge=1)
    precision: Literal["bf16", "fp32"] = "fp32"
    channels_last: bool = True
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """how ranks share the work under torchrun"""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    threads: int = Field(0, ge=0)
    """0 leaves torch's choice; the count is recorded and restored on resume"""
    init: str = ""
    """a run whose encoders this one starts from; or rescaled: random weights, fitted to the data"""
    seed: int = 0

    @model_validator(mode="before")
    @classmethod
    def _data_shorthand(cls, values: Any) -> Any:
        """``data=FOLDER`` is short for ``data.manifest=FOLDER``."""
        if isinstance(values, dict) and isinstance(values.get("data"), str):
            values = {**values, "data": {"manifest": values["data"]}}
        return values
