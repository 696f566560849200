"""A run's configuration: frozen models, one YAML file, ``key=value`` overrides."""

from avssl.config.files import build, find, load, meant, override, shipped
from avssl.config.models import (
    DataConfig,
    EncoderConfig,
    EncodersConfig,
    Frozen,
    InputsConfig,
    MethodConfig,
    OptimConfig,
    RunConfig,
)

__all__ = [
    "DataConfig",
    "EncoderConfig",
    "EncodersConfig",
    "Frozen",
    "InputsConfig",
    "MethodConfig",
    "OptimConfig",
    "RunConfig",
    "build",
    "find",
    "load",
    "meant",
    "override",
    "shipped",
]
