"""Methods that learn from sound and picture."""
