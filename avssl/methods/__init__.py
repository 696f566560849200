"""One method, one file; the folder is the registry."""
