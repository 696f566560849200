"""What `python -m retrieval` can do: each file registers some of its commands."""
