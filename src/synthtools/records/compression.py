"""gzip and zstd as readable streams: bounded memory for any data, and truncation is detected."""

from __future__ import annotations

import zlib
from io import BufferedIOBase
from typing import Any, Protocol

from synthtools.errors import SynthError

# A zstd block of 4 bytes can claim 128 KiB, a ratio of 32,768. Feeding small pieces bounds what one
# step can inflate to (here 128 MiB) while ordinary data still moves at the decoder's speed.
_PIECE = 4096

# The largest windows that the format allows are accepted (zstd --long=31); memory follows their actual use.
_ZSTD_WINDOW = 1 << 31


class _Decoder(Protocol):
    eof: bool
    unused_data: bytes

    def decompress(self, data: bytes) -> bytes: ...


def _zstd_decoder() -> Any:
    import zstandard

    return zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()


def _gzip_decoder() -> Any:
    return zlib.decompressobj(wbits=31)


_CODECS = {
    "gzip": (_gzip_decoder, b"\x1f\x8b"),
    "zstd": (_zstd_decoder, b"\x28\xb5\x2f\xfd"),
}


def compression_of(head: bytes) -> str | None:
    """The compression of a file by its first bytes: ``gzip``, ``zstd`` or None."""
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
        SynthError: from ``read1``, if the stream is damaged or ends inside a member, after all intact
            content before it has been returned.
    """

    def __init__(self, raw: BufferedIOBase, codec: str, name: str) -> None:
        self._raw = raw
        self._codec = codec
        self._name = name
        self._new_decoder = _CODECS[codec][0]
        self._decoder: _Decoder | None = None  # None between members
        self._pending = b""  # compressed, from _position on
        self._position = 0
        self._content = b""  # decompressed, from _given on
        self._given = 0
        self._failure: SynthError | None = None

    def read1(self, size: int) -> bytes:
        """At most ``size`` bytes of content, as many as are available; ``b""`` at the end."""
        return b"".join(self.pieces(size))

    def pieces(self, size: int) -> list[bytes]:
        """The bytes of ``read1`` in pieces, which the caller joins once."""
        pieces: list[bytes] = []
        have = 0
        while have < size:
            if self._given == len(self._content):
                if have and self._position == len(self._pending):
                    break  # more would block
                if not self._decode():
                    break
            piece = self._content[self._given : self._given + size - have]
            self._given += len(piece)
            if piece:
                pieces.append(piece)
            have += len(piece)
        if not have and self._failure:
            raise self._failure
        return pieces

    def peek(self, size: int) -> bytes:
        """Some of the next content, without consuming it; ``b""`` at the end and before a failure."""
        while self._given == len(self._content) and self._decode():
            pass
        return self._content[self._given :]

    def _decode(self) -> bool:
        """Decodes the next piece; False at the end and at a failure."""
        if self._failure:
            return False
        self._content, self._given = b"", 0
        try:
            if self._decoder is None and not self._begin_member():
                return False
            if not self._more():
                raise self._failed("truncated", "the data ends inside a frame")
            piece = self._pending[self._position : self._position + _PIECE]
            self._position += len(piece)
            self._content = self._decompressed(piece)
        except SynthError as failure:
            self._failure = failure
        return self._failure is None

    def _begin_member(self) -> bool:
        """Starts the next member; False if there is none."""
        while self._more():
            if self._codec != "gzip" or self._pending[self._position] != 0:
                self._decoder = self._new_decoder()
                return True
            self._position += 1  # padding from tapes and block devices
        return False

    def _more(self) -> bool:
        """Whether there are more compressed bytes; blocks until it is known."""
        if self._position == len(self._pending):
            self._pending, self._position = self._raw.read1(1 << 18), 0
        return bool(self._pending)

    def _decompressed(self, piece: bytes) -> bytes:
        assert self._decoder is not None
        try:
            content = self._decoder.decompress(piece)
        except MemoryError:
            raise
        except Exception as error:  # zlib.error and zstandard.ZstdError have no common base
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise self._failed("damaged", reason) from error
        if self._decoder.eof:
            # The rest of the piece belongs to the next member: hand it back.
            self._position -= len(self._decoder.unused_data)
            self._decoder = None
        return content

    def _failed(self, how: str, reason: str) -> SynthError:
        return SynthError(
            f"{self._name}: {how} {self._codec} data ({reason}); fetch or write the file again"
        )
