"""What the encoders of all formats have in common."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from typing import Any, BinaryIO, Protocol

from synthtools.records.batch import Batch


class EncoderTarget(Protocol):
    """What an encoder writes to; a file that can begin anew offers ``restart`` (see AtomicFile)."""

    file: BinaryIO


class Encoder(ABC):
    """Writes batches to one target in one format.

    The bytes depend on the records alone, not on how they came in batches.
    """

    @abstractmethod
    def write(self, batch: Batch) -> None: ...

    @abstractmethod
    def close(self) -> None:
        """Completes the format (footer, last frame); the target stays open."""

    def abandon(self) -> None:  # noqa: B027 (most formats have nothing to do)
        """Writes no more: what was begun stays incomplete, for its readers to see."""


class _Plain:
    """Compresses nothing."""

    def compress(self, data: bytes) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def compressor(compression: str) -> Any:
    """What compresses a stream of bytes: ``gz``, ``zst``, or not at all."""
    if compression == "gz":
        return zlib.compressobj(6, zlib.DEFLATED, 31)
    if compression == "zst":
        import zstandard

        return zstandard.ZstdCompressor(level=3).compressobj()
    return _Plain()
