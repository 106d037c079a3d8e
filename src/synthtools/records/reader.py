"""Shards → batches of valid records; bad ones are reported or set aside."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from io import BufferedReader, RawIOBase

import numpy as np

from synthtools.errors import RecordError, SynthError
from synthtools.records import jsonl
from synthtools.records.batch import ArrowBatch, Batch, JsonBatch
from synthtools.records.compression import DecompressingReader
from synthtools.records.input_format import ARRAY
from synthtools.records.inputs import Shard
from synthtools.records.record_faults import without
from synthtools.records.rejects import Rejects
from synthtools.records.shard_block import ShardBlock, row_blocks
from synthtools.records.shard_file import open_shard

BATCH_BYTES = 1 << 20
# Longer lines are refused [ours]: a file without line ends, or a decompression bomb.
LONGEST_RECORD = 1 << 28
# Bytes of unreadable data kept in the rejects file.
_SHOWN = 1 << 12
_BOM = b"\xef\xbb\xbf"


def read(
    shards: Iterable[Shard], rejects: Rejects, batch_bytes: int = BATCH_BYTES
) -> Iterator[Batch]:
    """All records of the shards, in order, in batches of one shard each.

    A batch holds about ``batch_bytes``, or what a slow pipe has delivered so far.

    Memory: one batch, or the longest record if that is larger (a line: at most ``LONGEST_RECORD``).

    Raises:
        RecordError: at the first bad record, unless ``rejects`` skips them.
        SynthError: a shard cannot be opened or is damaged, unless ``rejects`` skips it.
    """
    ordinal = 0
    for block in blocks(shards, batch_bytes, whole=False):
        if block.broken is not None:
            rejects.add_broken_shard(block.source, block.number, block.broken, block.lines)
            continue
        batch, seen = batch_of(block, rejects)
        batch.ordinals += ordinal
        ordinal += seen
        if len(batch):
            yield batch


def blocks(
    shards: Iterable[Shard],
    batch_bytes: int,
    whole: bool,
    columns: Collection[str] | None = None,
) -> Generator[ShardBlock, None, None]:
    """The shards in pieces of about ``batch_bytes``.

    Args:
        whole: wait until a block of lines is full, so that its end depends only on the data.
        columns: read only these from Parquet, if it has any of them.
    """
    for shard in shards:
        with ExitStack() as stack:
            try:
                kind, file, raw = stack.enter_context(open_shard(shard))
            except SynthError as error:
                yield ShardBlock(shard.name, 1, broken=error)
                continue
            if kind == "empty":
                continue
            if kind in ("jsonl", "gzip", "zstd"):
                compressed = kind != "jsonl"
                stream = DecompressingReader(file, kind, shard.name) if compressed else file
                if shard.format.is_jsonl(stream):
                    yield from _line_blocks(stream, raw, shard, batch_bytes, whole)
                else:
                    from synthtools.records import conversion

                    yield from conversion.blocks(stream, raw, shard, batch_bytes)
            else:
                yield from row_blocks(kind, file, raw, shard, batch_bytes, columns)


def blocks_between(
    shard: Shard, batch_bytes: int, start: int, end: int | None
) -> Iterator[ShardBlock]:
    """Some of the blocks of a plain JSONL file, as ``blocks`` gives them; numbers start from the first.

    Args:
        start, end: the ranges of ``batch_bytes`` of the file in which the blocks end; None for the
            last.
    """
    with open_shard(shard) as (_, file, raw):
        try:
            before = _unfinished(file, start * batch_bytes)
        except OSError as error:
            yield ShardBlock(shard.name, 1, broken=shard.failure(error, raw))
            return
        stretches = None if end is None else end - start
        yield from _line_blocks(
            file, raw, shard, batch_bytes, True, before if start else None, stretches
        )


def _unfinished(file: BufferedReader, end: int) -> bytes:
    """The bytes of an unfinished line before a position; leaves the file at the position."""
    pieces: list[bytes] = []
    at = end
    while at:
        size = min(at, 1 << 16)
        at -= size
        file.seek(at)
        data = file.read(size)
        last = data.rfind(b"\n") + 1
        pieces.append(data[last:] if at or last else data.removeprefix(_BOM))
        if last:
            break
    file.seek(end)
    return b"".join(reversed(pieces))


def batch_of(block: ShardBlock, rejects: Rejects) -> tuple[Batch, int]:
    """The valid records of a block, with ordinals from 0, and its number of records, bad ones included."""
    if block.rows is None:
        lines = [] if block.lines.isspace() else block.lines.split(b"\n")
        return json_batch(lines, range(block.number, block.number + len(lines)), block, rejects)
    from synthtools.records import to_json

    count = block.rows.num_rows
    numbers = np.arange(block.number, block.number + count, dtype=np.int64)
    batch = ArrowBatch(block.source, numbers, numbers - block.number, rows=block.rows)
    return without(batch, to_json.faults(block.rows), rejects), count


# ---------------------------------------------------------------- JSONL


def _line_blocks(
    stream: BufferedReader | DecompressingReader,
    raw: RawIOBase,
    shard: Shard,
    batch_bytes: int,
    whole: bool,
    before: bytes | None = None,
    stretches: int | None = None,
) -> Iterator[ShardBlock]:
    """Blocks of a stream of lines.

    Args:
        before: the bytes of the current line before the stream; None at the start of the file.
        stretches: ranges of ``batch_bytes`` to read, None for all.
    """
    number = 1
    rest = [before] if before else []  # parts of an unfinished line
    held = len(before or b"")  # their size
    while stretches is None or stretches:
        stretches = None if stretches is None else stretches - 1
        try:
            pieces = _pieces(stream, batch_bytes, whole)
            if not pieces and (change := shard.change(raw)):
                raise change
        except (SynthError, OSError) as error:
            failure = shard.failure(error, raw)
            yield ShardBlock(shard.name, number, b"".join(rest), broken=failure)
            return
        last = next((i for i in reversed(range(len(pieces))) if b"\n" in pieces[i]), None)
        if pieces and last is None:
            rest.append(b"".join(pieces))
            held += len(rest[-1])
            if held > LONGEST_RECORD:
                yield ShardBlock(
                    shard.name, number, rest[0][:_SHOWN], broken=_endless(shard, number)
                )
                return
            continue
        if last is None:
            lines, rest = b"".join(rest), []
        else:
            end = pieces[last].rfind(b"\n") + 1
            lines = b"".join([*rest, *pieces[:last], memoryview(pieces[last])[:end]])
            begun = b"".join([pieces[last][end:], *pieces[last + 1 :]])
            rest = [begun] if begun else []
        held = sum(map(len, rest))
        if lines:
            text = lines.removeprefix(_BOM) if number == 1 and before is None else lines
            block = ShardBlock(shard.name, number, text)
            yield block
            number += block.count
        if not pieces:
            return


def _pieces(stream: BufferedReader | DecompressingReader, size: int, whole: bool) -> list[bytes]:
    """The next bytes of a stream, none at its end; with ``whole`` as many as ``size`` or all that are left."""
    if isinstance(stream, BufferedReader):
        data = stream.read(size) if whole else stream.read1(size)
        return [data] if data else []
    if not whole:
        return stream.pieces(size)
    pieces: list[bytes] = []
    try:
        while size and (some := stream.pieces(size)):
            pieces += some
            size -= sum(map(len, some))
    except (SynthError, OSError):
        if not pieces:  # otherwise the data before the damage comes first; the error recurs
            raise
    return pieces


def json_batch(
    lines: Sequence[bytes], numbers: Sequence[int], block: ShardBlock, rejects: Rejects
) -> tuple[JsonBatch, int]:
    """The valid records in the lines of a block, and the number of all records."""
    kept, objects, kept_numbers, ordinals = [], [], [], []
    seen = 0
    for number, line in zip(numbers, lines, strict=True):
        if not line or line.isspace():
            continue  # blank lines are skipped
        try:
            if number in block.faults:
                raise ValueError(block.faults[number])
            objects.append(jsonl.parse_object(line))
        except ValueError as error:
            rejects.add(RecordError(block.source, number, str(error), line))
        else:
            kept.append(line)
            kept_numbers.append(number)
            ordinals.append(seen)
        seen += 1
    batch = JsonBatch(
        block.source,
        np.array(kept_numbers, np.int64),
        np.array(ordinals, np.int64),
        lines=kept,
        parsed=objects,
    )
    return batch, seen


def _endless(shard: Shard, number: int) -> SynthError:
    return SynthError(
        f"{shard.name}:{number}: a line of more than {LONGEST_RECORD >> 20} MiB is not a record; is "
        f"this JSONL? ({ARRAY})"
    )
