"""avssl: learn from videos with sound and narration, without labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from avssl.train.export import from_pretrained as from_pretrained


def __getattr__(name: str) -> Any:
    if name == "from_pretrained":
        from avssl.train.export import from_pretrained

        return from_pretrained
    raise AttributeError(f"module avssl has no attribute {name}")
