"""The loop: turns, checkpoints, ranks, logs. Knows Method, never a method."""
