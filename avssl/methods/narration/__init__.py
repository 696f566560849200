"""Methods that learn from narration."""
