"""Inputs that change, never end or claim too much, and numbers that nobody can convert."""

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synthtools.errors import RecordError, SynthError, printable
from synthtools.records import atomic_files, reader
from synthtools.records.inputs import find_shards
from synthtools.records.map_threads import BlockTask, map_records
from synthtools.records.reader import read
from synthtools.records.rejects import Rejects
from synthtools.records.shard_directory import DirectorySink, is_unfinished
from synthtools.records.shard_size import ShardSize

LINES = b'{"text": "some words"}\n' * 5000
DIGITS = b'{"id": %s, "text": "a"}\n' % (b"7" * 5000)


def change(path, how):
    if how == "cut":
        os.truncate(path, 50_000)
    else:
        content = path.read_bytes()
        with open(path, "r+b") as file:
            file.write(content.replace(b"some", b"SOME"))


@pytest.mark.parametrize("how", ["cut", "written over"])
@pytest.mark.parametrize("whole", [True, False])
def test_a_file_that_changes_is_noticed(how, whole, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINES)
    blocks = reader.blocks(find_shards([str(path)]), 10_000, whole)
    first = next(blocks)
    change(path, how)
    *_, last = blocks
    assert first.broken is None
    assert "a.jsonl: changed while it was read" in str(last.broken)


def test_what_was_sound_of_a_changed_file_is_kept_where_bad_records_are_skipped(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINES)
    shards = find_shards([str(path)])
    path.write_bytes(LINES * 2)
    rejects = Rejects(skip=True)
    assert sum(map(len, read(shards, rejects))) == 10_000
    assert "changed while it was read" in next(iter(rejects.reasons))


def test_a_file_that_is_replaced_under_its_name_is_read_to_its_end(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINES)
    batches = read(find_shards([str(path)]), Rejects(), 10_000)
    count = len(next(batches))
    (tmp_path / "b").write_bytes(b"{}\n")
    os.replace(tmp_path / "b", path)
    assert count + sum(map(len, batches)) == 5000


def test_the_fingerprint_of_a_vanished_file_is_that_of_its_start(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINES)
    known, unknown = find_shards([str(path)] * 2)
    before = known.fingerprint()
    path.unlink()
    assert known.fingerprint() == before is not None
    assert unknown.fingerprint() is None


@pytest.mark.parametrize("end", [b"", b'"}\n{"text": "b"}\n'])
def test_a_line_without_end_is_refused(end, tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "LONGEST_RECORD", 100_000)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "first"}\n{"text": "' + b"a" * 300_000 + end)
    shards = find_shards([str(path)])
    with pytest.raises(SynthError, match="a.jsonl:2: a line of more than 0 MiB is not a record"):
        list(read(shards, Rejects(), 10_000))
    rejects = Rejects(skip=True)
    assert sum(map(len, read(shards, rejects, 10_000))) == 1 and rejects.count == 1


def test_lines_up_to_the_longest_are_records(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "LONGEST_RECORD", 100_000)
    path = tmp_path / "a.jsonl"
    path.write_bytes((b'{"text": "' + b"a" * 90_000 + b'"}\n') * 5)
    assert sum(map(len, read(find_shards([str(path)]), Rejects(), 10_000))) == 5


def test_a_dictionary_that_stands_for_gigabytes_is_read_in_pieces(tmp_path):
    value = "word " * 50_000
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), [value])
    pq.write_table(pa.table({"text": column}), tmp_path / "typed.parquet")
    pq.write_table(pa.table({"text": [value] * 200}), tmp_path / "plain.parquet")
    for name, most in (("typed.parquet", 50), ("plain.parquet", 2000)):
        batch = next(read(find_shards([str(tmp_path / name)]), Rejects()))
        assert len(batch) <= most
        assert batch.json_lines()[0] == b'{"text":"%s"}' % value.encode()


@pytest.mark.parametrize("fields", [(), ("id",)])
def test_integers_beyond_conversion_are_bad_records_with_a_place(fields, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"id": 1, "text": "b"}\n' + DIGITS)
    place = r"a.jsonl:2: .*Exceeds the limit \(4300 digits\)"
    with pytest.raises(RecordError, match=place):
        task = BlockTask(lambda *_: 0, "text", fields)
        for done in map_records(find_shards([str(path)]), Rejects(), task):
            done.batch.column("id")
    with pytest.raises(RecordError, match=place):
        for batch in read(find_shards([str(path)]), Rejects()):
            batch.piece()


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b"{}",
        b'{"job": [], "shards": [], "complete": false}',
        b'{"job": {}, "shards": [], "complete": 1}',
        b'{"job": {}, "shards": [{"name": "a"}], "complete": false}',
        b'{"job": {}, "shards": [{"name": "a", "records": 1, "end": -1, "totals": {}}], "complete": false}',
        b'{"job": {}, "shards": [{"name": 1, "records": 1, "end": 1, "totals": {}}], "complete": false}',
        b'{"job": {}, "shards": [{"name": "a", "records": 1, "end": 1, "totals": null}], "complete": false}',
    ],
)
def test_what_is_no_manifest_is_refused(content, tmp_path):
    (tmp_path / ".synth.json").write_bytes(content)
    is_unfinished(tmp_path)
    with pytest.raises(SynthError, match="not a manifest of synth; --force starts over"):
        DirectorySink(tmp_path, "jsonl", False, True, ShardSize(5, "records"), {}, [])


def test_what_cannot_be_removed_at_the_end_is_left(tmp_path, monkeypatch):
    held = atomic_files.AtomicFile(tmp_path / "a")

    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(atomic_files.Path, "unlink", refuse)
    held.abort()
    atomic_files.remove_unfinished()
    monkeypatch.undo()
    assert not atomic_files._BEGUN


def test_terminals_are_given_no_orders():
    name = "\x1b]0;title\x07\n\x9b31m\u202egnp\t.jsonl"
    assert printable(name) == "\\x1b]0;title\\x07 \\x9b31m\\u202egnp .jsonl"
    assert printable("é 𝔘 – ordinary") == "é 𝔘 – ordinary"
