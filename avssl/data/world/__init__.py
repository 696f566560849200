"""A made-up world of sounding, moving, narrated things whose truth is known, as real video files."""

from avssl.data.world.scene import LEVELS
from avssl.data.world.sensors import SENSORS
from avssl.data.world.sounds import KINDS
from avssl.data.world.write import cases_per_split, lacking_cases, make_world

__all__ = ["KINDS", "LEVELS", "SENSORS", "cases_per_split", "lacking_cases", "make_world"]
