"""Methods that learn from pictures."""
