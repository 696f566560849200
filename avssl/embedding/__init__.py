"""Recordings of any length -> unit vectors with their times, on the same road to tensors as in training."""

from avssl.embedding.network import Embedder, query, query_stream
from avssl.embedding.recordings import Embedded, embed_recordings
from avssl.embedding.window import Clips, Window, windows

__all__ = ["Clips", "Embedded", "Embedder", "Window", "embed_recordings", "query", "query_stream", "windows"]
