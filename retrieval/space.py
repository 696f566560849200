"""What space a vector lives in, so that vectors of two checkpoints are never compared."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Space:
    """A joint embedding space.

    name: the space's name inside its method, for most "main".
    digest: of the checkpoint that makes the vectors; equal digests mean comparable vectors.
    modalities: what can be embedded into it, such as ("video", "audio", "text").
    width: components of a vector.
    """

    name: str
    digest: str
    modalities: tuple[str, ...]
    width: int

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"a space needs a name, got {self.name!r}")
        if not isinstance(self.digest, str) or not self.digest:
            raise ValueError(f"space {self.name} needs the digest of its checkpoint, got {self.digest!r}")
        if isinstance(self.width, bool) or not isinstance(self.width, int) or self.width < 1:
            raise ValueError(f"space {self.name}: width must be a whole number of at least 1, got {self.width!r}")
        if isinstance(self.modalities, str) or not self.modalities:
            raise ValueError(f"space {self.name}: modalities must be a list of names, got {self.modalities!r}")
        if not all(isinstance(modality, str) and modality for modality in self.modalities):
            raise ValueError(f"space {self.name}: modalities must be a list of names, got {self.modalities!r}")
        object.__setattr__(self, "modalities", tuple(self.modalities))

    def to_json(self) -> str:
        """One JSON object, keys sorted; `from_json` reads it back."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | Mapping[str, Any]) -> "Space":
        """From the text `to_json` wrote, or from the object already parsed.

        Raises ValueError in one line for anything else.
        """
        if isinstance(text, str):
            try:
                data = json.loads(text)
            except json.JSONDecodeError as error:
                raise ValueError(f"a space must be a JSON object: {error}") from None
        else:
            data = text
        wanted = {"name", "digest", "modalities", "width"}
        if not isinstance(data, Mapping) or set(data) != wanted:
            found = ", ".join(sorted(map(str, data))) if isinstance(data, Mapping) else type(data).__name__
            raise ValueError(f"a space must have exactly name, digest, modalities and width, got {found}")
        if not isinstance(data["modalities"], list | tuple):
            raise ValueError(f"modalities of a space must be a list of names, got {data['modalities']!r}")
        return cls(data["name"], data["digest"], tuple(data["modalities"]), data["width"])

    def check(self, other: "Space") -> None:
        """Raise ValueError unless vectors of `other`, the query's space, may be compared with vectors of this one."""
        if (self.name, self.digest, self.width) != (other.name, other.digest, other.width):
            raise ValueError(
                f"the vectors here are of space {self._describe()}, what was given is of space {other._describe()}: "
                "embed again with the same run"
            )

    def _describe(self) -> str:
        return f"{self.name} (checkpoint {self.digest[:12]}, {self.width} wide)"
