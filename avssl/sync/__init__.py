"""By how much sound and picture of a recording are apart: one slid along the other, and how surely it fits there."""
