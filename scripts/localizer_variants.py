"""Which localizers are compared, with what inputs and for how many steps; what is taken from or given to some.

Used by scripts/localizers.py.
"""

from __future__ import annotations

from typing import NamedTuple

SMALL = ("name=small", "width=128", "stride=8", "norm=batch")
SAME = [
    "inputs.height=96", "inputs.width=96", "inputs.frames=25", "inputs.fps=12.5", "inputs.audio_seconds=2.0",
    "inputs.mels=64", *(f"encoders.{name}.{word}" for name in ("image", "video") for word in SMALL),
    "encoders.video.time_stride=4", *(f"encoders.audio.{word}" for word in ("name=small", "width=128", "norm=batch")),
    "data.batch=48", "data.cache_gb=8", "optim.name=adamw", "optim.lr=0.0005", "optim.weight_decay=0.02",
    "optim.warmup=0.05", "optim.clip=1.0", "precision=bf16", "checkpoint_every=100", "evaluate_every=0",
]  # fmt: skip
"""trunk, inputs and optimizer of every run, whatever its own config says"""


class Variant(NamedTuple):
    """A shipped config, what is changed in it, its steps, and whether trunk, inputs and optimizer are those of all."""

    config: str
    words: tuple[str, ...] = ()
    steps: int = 600
    same: bool = True


CLIPS = 300
"""steps of methods that see whole clips, in which they train no shorter than those that see one picture"""
FLAGSHIP = (
    "method.moment_weight=0.4", "method.narration=2.0", "inputs.vocabulary=500", "optim.lr=0.002", "method.within=0",
    "encoders.text.rate=1",
)  # fmt: skip
"""as in configs/demo.yaml"""
PAPER = (
    "method.heads=2", "method.nonnegative=0.01", "method.silence=0.01", "method.splice=0.01", "method.smooth=0.01",
    "method.specialize=0.05", "method.steady=0.1",
)  # fmt: skip
"""two heads, and all regularizers at the weights of DenseAV"""
PICTURES = ("avol_net", "attention_localizer", "lvs", "ez_vsl", "slavc", "fnac", "ssl_tie", "ave_net")
"""localizers that see one picture"""
VARIANTS = {
    "trimodal": Variant("trimodal", FLAGSHIP, CLIPS),
    "dense_av": Variant("dense_av", (), CLIPS),
    **{name: Variant(name) for name in PICTURES},
    "trimodal-no_narration": Variant("trimodal", (*FLAGSHIP, "method.narration=0"), CLIPS),
    "dense_av-no_negatives": Variant("dense_av", ("method.negatives=false",), CLIPS),
    "dense_av-no_scale": Variant("dense_av", ("method.calibration=0",), CLIPS),
    "dense_av-one_moment": Variant("dense_av", ("method.moments=false",), CLIPS),
    "dense_av-paper": Variant("dense_av", PAPER, CLIPS),
    "ez_vsl-negatives": Variant("ez_vsl", ("method.negatives=true",)),
    "ez_vsl-offscreen": Variant("ez_vsl", ("method.negatives=true", "method.offscreen=0.2")),
    "grid": Variant("grid", (), 1650, same=False),
}
"""name -> what is trained: localizers, what is taken away from or given to one, the flagship as shipped for GRID"""
