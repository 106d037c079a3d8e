"""gzip and zstd as readable streams: bounded memory whatever the data claims, truncation noticed."""

from __future__ import annotations

import zlib
from typing import Any, BinaryIO, Protocol

from synthtools.errors import SynthError

# A zstd block of 4 bytes can claim 128 KiB, a ratio of 32,768. Feeding small pieces bounds what one
# step can inflate to (here 128 MiB) while ordinary data still moves at the decoder's speed.
_PIECE = 4096


class _Decoder(Protocol):
    eof: bool
    unused_data: bytes

    def decompress(self, data: bytes) -> bytes: ...


def _zstd_decoder() -> Any:
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj()


def _gzip_decoder() -> Any:
    return zlib.decompressobj(wbits=31)


_CODECS = {
    "gzip": (_gzip_decoder, b"\x1f\x8b"),
    "zstd": (_zstd_decoder, b"\x28\xb5\x2f\xfd"),
}


def compression_of(head: bytes) -> str | None:
    """The compression that the first bytes of a file announce: ``gzip``, ``zstd`` or None."""
    for name, (_, magic) in _CODECS.items():
        if head.startswith(magic):
            return name
    # A zstd file may open with a skippable frame (0x184D2A50 … 0x184D2A5F, little-endian).
    if len(head) >= 4 and head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50:
        return "zstd"
    return None


class DecompressingReader:
    """Reads a gzip or zstd stream of one or several members.

    Args:
        raw: the compressed stream.
        codec: ``gzip`` or ``zstd``.
        name: the file's name, for errors.

    Raises:
        SynthError: from ``read``, when the stream is damaged or ends inside a member.
    """

    def __init__(self, raw: BinaryIO, codec: str, name: str) -> None:
        self._raw = raw
        self._codec = codec
        self._name = name
        self._new_decoder = _CODECS[codec][0]
        self._decoder: _Decoder = self._new_decoder()
        self._fed = False  # has the current member seen any byte?
        self._pending = b""
        self._position = 0

    def read(self, size: int) -> bytes:
        """About ``size`` bytes of content; fewer near the end, ``b""`` at the end."""
        pieces: list[bytes] = []
        have = 0
        while have < size:
            piece = self._next_piece()
            if piece is None:
                break
            if piece:
                pieces.append(piece)
                have += len(piece)
        return b"".join(pieces)

    def _next_piece(self) -> bytes | None:
        if self._position >= len(self._pending):
            self._pending, self._position = self._raw.read(1 << 18), 0
            if not self._pending:
                if self._fed and not self._decoder.eof:
                    raise SynthError(
                        f"{self._name}: truncated {self._codec}: the data ends inside a frame; "
                        "fetch or write the file again"
                    )
                return None
        piece = self._pending[self._position : self._position + _PIECE]
        self._position += len(piece)
        if self._decoder.eof or not self._fed:
            if self._codec == "gzip" and not piece.strip(b"\0"):
                return b""  # gzip allows zero padding after a member
            if self._decoder.eof:
                self._decoder = self._new_decoder()
        self._fed = True
        try:
            content = self._decoder.decompress(piece)
        except Exception as error:  # zlib.error and zstandard.ZstdError share no base
            raise SynthError(
                f"{self._name}: damaged {self._codec} data ({_first_line(error)}); "
                "fetch or write the file again"
            ) from error
        if self._decoder.eof and self._decoder.unused_data:
            # The rest of the piece belongs to the next member: hand it back.
            self._position -= len(self._decoder.unused_data)
            self._fed = False
            self._decoder = self._new_decoder()
        return content


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
