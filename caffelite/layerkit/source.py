"""Layers that bring data into a net: no bottoms, and a position in a stream of records."""

from __future__ import annotations

from .base import Layer, exactly


class SourceLayer(Layer):
    """A layer that reads records.

    `consumed` counts the records handed to the net since the run began; setting it moves the stream there (resume).
    Nothing may be opened before `shapes` or `forward` asks for it; `close` releases files and threads and may be
    called twice.
    """

    bottoms = exactly(0)

    consumed: int = 0

    def close(self) -> None:
        """Release files and threads."""
