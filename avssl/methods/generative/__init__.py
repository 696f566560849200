"""Methods that learn by generating."""
