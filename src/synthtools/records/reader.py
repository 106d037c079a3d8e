"""Shards → batches of sound records; the others are reported or set aside."""

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
from synthtools.records.text_buffer import newlines

BATCH_BYTES = 1 << 20
# A line of more is refused [ours]: it is no record but a file without line ends, or a bomb.
LONGEST_RECORD = 1 << 28
# So much of what cannot be read is kept in the rejects file.
_SHOWN = 1 << 12
_BOM = b"\xef\xbb\xbf"


def read(
    shards: Iterable[Shard], rejects: Rejects, batch_bytes: int = BATCH_BYTES
) -> Iterator[Batch]:
    """All records of the shards, in order, in batches of one shard each.

    A batch holds about ``batch_bytes``, or what a slow pipe has given so far.

    Memory: one batch, or the longest record where that is larger (a line: ``LONGEST_RECORD``).

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
        whole: wait until a block of lines is full, so that its end depends on the data alone.
        columns: read no others of Parquet, where it has any of them.
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
    """Some of the blocks that ``blocks`` gives of plain JSONL, numbers counted from the first.

    Args:
        start, end: stretches of ``batch_bytes`` of the file, whose ends the blocks end in; None is
            the last.
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
    """What stands in a file before a place and after the last line that ends before it; the file
    is then at that place."""
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
    """The sound records of a block, with ordinals from 0, and how many records it stands for."""
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
        before: of the line that the stream begins within; None at the beginning of the file.
        stretches: of ``batch_bytes`` to read, None for all.
    """
    number = 1
    rest = [before] if before else []  # pieces of a line whose end has not come yet
    held = len(before or b"")  # bytes of them
    while stretches is None or stretches:
        stretches = None if stretches is None else stretches - 1
        try:
            data = _full(stream, batch_bytes) if whole else stream.read1(batch_bytes)
            if not data and (change := shard.change(raw)):
                raise change
        except (SynthError, OSError) as error:
            failure = shard.failure(error, raw)
            yield ShardBlock(shard.name, number, b"".join(rest), broken=failure)
            return
        end = data.rfind(b"\n") + 1
        if data and not end:
            rest.append(data)
            held += len(data)
            if held > LONGEST_RECORD:
                yield ShardBlock(
                    shard.name, number, rest[0][:_SHOWN], broken=_endless(shard, number)
                )
                return
            continue
        lines = b"".join([*rest, memoryview(data)[:end]])
        rest = [data[end:]] if end < len(data) else []
        held = len(data) - end
        if lines:
            text = lines.removeprefix(_BOM) if number == 1 and before is None else lines
            yield ShardBlock(shard.name, number, text)
            number += newlines(lines)
        if not data:
            return


def _full(stream: BufferedReader | DecompressingReader, size: int) -> bytes:
    if isinstance(stream, BufferedReader):
        return stream.read(size)
    pieces: list[bytes] = []
    try:
        while size and (piece := stream.read1(size)):
            pieces.append(piece)
            size -= len(piece)
    except (SynthError, OSError):
        if not pieces:  # else what came before the damage goes first; it is met again
            raise
    return b"".join(pieces)


def json_batch(
    lines: Sequence[bytes], numbers: Sequence[int], block: ShardBlock, rejects: Rejects
) -> tuple[JsonBatch, int]:
    """The sound records among lines of a block, and how many records the lines stand for."""
    kept, objects, kept_numbers, ordinals = [], [], [], []
    seen = 0
    for number, line in zip(numbers, lines, strict=True):
        if not line or line.isspace():
            continue  # a blank line is no record
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
