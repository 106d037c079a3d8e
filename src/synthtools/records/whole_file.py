"""The whole content of a file: decompressed, or the members of a zip archive."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator

from synthtools.errors import SynthError
from synthtools.records.compression import DecompressingReader, compression_of

# Far above the size of results and reports [ours].
LARGEST = 1 << 30

_ZIP = b"PK\x03\x04"
_ZSTD_IN_ZIP = 93  # supported by Python's zipfile from 3.14 on
_LOCAL_HEADER = 30


def decompressed(data: bytes, name: str, most: int = LARGEST) -> bytes:
    """The decompressed content of gzip or zstd; other bytes unchanged.

    Raises:
        SynthError: the data is damaged, or larger than ``most`` bytes.
    """
    codec = compression_of(data[:4])
    if codec is None:
        return data
    reader = DecompressingReader(io.BytesIO(data), codec, name)
    content = bytearray()
    while piece := reader.read1(1 << 20):
        content += piece
        if len(content) > most:
            raise SynthError(f"{name}: larger than {most >> 20} MiB decompressed")
    return bytes(content)


def is_zip(data: bytes) -> bool:
    """Whether bytes start like a zip archive."""
    return data.startswith(_ZIP)


def zip_members(data: bytes, name: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of each member of a zip archive: stored, deflated or zstd.

    Raises:
        SynthError: the archive is damaged, has another compression, or exceeds ``LARGEST`` in total.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > LARGEST:
                raise SynthError(f"{name}: larger than {LARGEST >> 20} MiB decompressed")
            for entry in entries:
                if entry.compress_type == _ZSTD_IN_ZIP:
                    yield entry.filename, _zstd_member(data, entry, name)
                else:
                    yield entry.filename, archive.read(entry)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise SynthError(f"{name}: a zip archive that cannot be read: {error}") from error


def _zstd_member(data: bytes, entry: zipfile.ZipInfo, name: str) -> bytes:
    start = entry.header_offset
    # The lengths of the name and the extra field here may differ from those in the directory.
    skipped = sum(int.from_bytes(data[start + at : start + at + 2], "little") for at in (26, 28))
    start += _LOCAL_HEADER + skipped
    packed = data[start : start + entry.compress_size]
    return decompressed(packed, f"{name}/{entry.filename}", entry.file_size) if packed else b""
