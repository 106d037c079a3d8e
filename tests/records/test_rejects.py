"""Bad records: the first stops the tool, or all are set aside, told and counted; never silently."""

import base64
import gzip
import json

import pytest
import zstandard

from running import run
from synthtools.errors import RecordError, SynthError
from synthtools.records import rejects as module
from synthtools.records.atomic_files import AtomicFile
from synthtools.records.inputs import find_shards
from synthtools.records.map_threads import NotedRejects
from synthtools.records.reader import read
from synthtools.records.record_faults import require_text
from synthtools.records.rejects import Rejects
from synthtools.records.transform import selected


@pytest.fixture
def bad(tmp_path):
    """Five inputs of which some are bad, each in its way."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "1.jsonl").write_bytes(
        b'{"id":1,"text":"a"}\n{oops\r\n\n{"id":2}\n{"id":3,"text":"\xff"}\n{"id":4,"text":"b"}'
    )
    many = b"".join(b'{"id":5,"text":"%d"}\n' % i for i in range(1000))
    (folder / "2.jsonl.zst").write_bytes(zstandard.compress(many)[:-1])
    (folder / "3.jsonl.gz").write_bytes(gzip.compress(b'{"id":6,"text":"c"}\n'))
    (folder / "4.parquet").write_bytes(b"PAR1 and no more")
    (folder / "5.jsonl").write_bytes(b"\xff\xfe{\0")
    (folder / "6.jsonl").write_bytes(b'{"id":7,"text":"d"}\n')
    return folder


def sound(folder, rejects):
    batches = selected(read(find_shards([str(folder)]), rejects), ["id", "text"], rejects)
    return [line for batch in batches for line in batch.json_lines()]


def test_what_is_sound_goes_on(bad, tmp_path):
    file = AtomicFile(tmp_path / "rejects.jsonl")
    rejects = Rejects(skip=True, file=file)
    found = sound(bad, rejects)
    file.commit()
    ids = [json.loads(line)["id"] for line in found]
    assert [i for i in ids if i != 5] == [1, 4, 6, 7]
    entries = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert rejects.count == len(entries) == 6
    assert [(e["file"], e["line"], e["reason"].split(":")[0]) for e in entries] == [
        (str(bad / "1.jsonl"), 2, "not JSON"),
        (
            str(bad / "1.jsonl"),
            5,
            "not valid UTF-8 at byte 17 of the line (--encoding cp1252 reads Windows-1252)",
        ),
        (str(bad / "1.jsonl"), 4, 'no field "text" (fields'),
        (
            str(bad / "2.jsonl.zst"),
            ids.count(5) + 1,
            "truncated zstd data (the data ends inside a frame); fetch or write the file again (the rest of the file is lost)",
        ),
        (str(bad / "4.parquet"), 1, entries[4]["reason"].split(":")[0]),
        (str(bad / "5.jsonl"), 1, "UTF-16 text, not UTF-8"),
    ]
    assert entries[4]["reason"].startswith("damaged or truncated parquet data")
    assert entries[0]["raw"] == "{oops"
    assert base64.b64decode(entries[1]["raw_base64"]) == b'{"id":3,"text":"\xff"}'
    assert entries[2]["raw"] == '{"id":2}'


def test_without_skip_the_first_stops(bad):
    with pytest.raises(RecordError, match=r"1\.jsonl:2: not JSON"):
        sound(bad, Rejects())
    (bad / "1.jsonl").unlink()
    with pytest.raises(SynthError, match=r"2\.jsonl\.zst: truncated zstd data"):
        sound(bad, Rejects())


def test_places_count_bad_records_too(bad):
    rejects = Rejects(skip=True)
    batches = list(read(find_shards([str(bad / "1.jsonl")]), rejects))
    assert [n for batch in batches for n in batch.numbers] == [1, 4, 6]
    assert [n for batch in batches for n in batch.ordinals] == [0, 2, 4]


def test_places_after_a_bad_first_record(tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text("oops\n\noops\n{}\n")
    (batch,) = read(find_shards([str(source)]), Rejects(skip=True))
    assert list(batch.numbers) == [4] and list(batch.ordinals) == [2]


@pytest.mark.parametrize("blank", [b"", b" ", b"\t\r"])
def test_blocks_of_blank_lines_count_as_lines_alone(tmp_path, blank):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text":"a"}\n' + (blank + b"\n") * 500 + b'{"text":"b"}\noops\n')
    noted = NotedRejects()
    batches = list(read(find_shards([str(path)]), noted, batch_bytes=16))
    assert [error.number for error in noted.errors] == [503]
    assert [n for batch in batches for n in batch.numbers] == [1, 502]
    assert [n for batch in batches for n in batch.ordinals] == [0, 1]


def test_a_source_without_the_field_is_set_aside_whole(tmp_path, convert):
    plain, rows = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    plain.write_text('{"text":"x"}\n')
    rows.write_text('{"body":"y"}\n{"body":"z"}\n')
    parquet = convert(rows, tmp_path / "b.parquet")
    rejects = Rejects(skip=True)
    batches = selected(read(find_shards([str(parquet), str(plain)]), rejects), ["text"], rejects)
    assert [line for batch in batches for line in batch.json_lines()] == [b'{"text":"x"}']
    assert rejects.reasons == {'no field "text" (fields: body; see --select)': 2}


@pytest.mark.parametrize(
    "value, reason",
    [
        ("5", 'field "text" is a number, not a string (use --text-field)'),
        ("1.5", 'field "text" is a number'),
        ("true", 'field "text" is a boolean'),
        ("null", 'field "text" is null'),
        ("[]", 'field "text" is a list'),
        ("{}", 'field "text" is an object'),
        ('"\\ud800"', "half of a surrogate pair"),
    ],
)
def test_text_must_be_text(value, reason, tmp_path, convert):
    source = tmp_path / "in.jsonl"
    source.write_text('{"id":1,"text":"fine"}\n{"id":2,"text":%s}\n' % value)
    for path in (source, convert(source, tmp_path / "in.parquet")):
        (batch,) = read(find_shards([str(path)]), Rejects())
        with pytest.raises(RecordError) as caught:
            require_text(batch, "text", Rejects())
        assert str(caught.value).startswith(f"{path}:2: ") and reason in str(caught.value)
        left = require_text(batch, "text", Rejects(skip=True))
        assert left.column("text") == ["fine"] and list(left.numbers) == [1]


def test_a_wanted_field_among_many(tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps({f"f{i}": i for i in range(500)}) + "\n")
    (batch,) = read(find_shards([str(source)]), Rejects())
    with pytest.raises(RecordError) as caught:
        require_text(batch, "text", Rejects())
    assert "f0, f1, " in str(caught.value) and "f19 … 480 more; use --text-field" in str(
        caught.value
    )
    assert len(str(caught.value)) < 300


def test_reasons_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "_MOST_REASONS", 3)
    rejects = Rejects(skip=True)
    for number in range(10):
        rejects.add(RecordError("f", number, f"reason {number % 5}"))
    assert rejects.count == 10
    assert rejects.reasons == {"reason 0": 2, "reason 1": 2, "reason 2": 2, "other reasons": 4}


@pytest.mark.parametrize("option", ["--report", "--rejects"])
@pytest.mark.parametrize("name", ["in.jsonl", "./in.jsonl", "link", "folder/in.jsonl"])
def test_what_is_written_beside_the_output_is_no_input(option, name, tmp_path, refused):
    source = tmp_path / "in.jsonl"
    source.write_text('{"text":"a"}\nbad\n')
    (tmp_path / "link").symlink_to(source)
    (tmp_path / "folder").symlink_to(tmp_path)
    for inputs in (["in.jsonl"], ["link"], ["."]):
        line = [*inputs, "-o", "../out.jsonl", "--on-error", "skip", option, name]
        refused(run("cat", *line, cwd=tmp_path), "is both input and output")
        assert source.read_text() == '{"text":"a"}\nbad\n'
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl", "link", "folder"}


def test_rejects_are_kept_apart_from_the_output(tmp_path, refused):
    source = tmp_path / "in.jsonl"
    source.write_text('{"text":"a"}\n')
    line = ["cat", source, "-o", "out.jsonl", "--on-error", "skip", "--rejects"]
    refused(run(*line, f"{tmp_path}/./out.jsonl", cwd=tmp_path), "is the file of -o too", code=2)
    refused(run(*line, tmp_path, cwd=tmp_path), "name a file")


def test_rejects_go_to_a_device_too(tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text('{"text":"a"}\nbad\n')
    done = run("cat", source, "--on-error", "skip", "--rejects", "/dev/stderr")
    entry, remark = done.stderr.decode().splitlines()
    assert (json.loads(entry)["line"], json.loads(entry)["raw"]) == (2, "bad")
    assert remark.startswith("synth: 1 skipped") and done.returncode == 0


# ---------------------------------------------------------------- the same through the binary


def test_skipped_records_are_told(bad, tmp_path):
    result = run("cat", bad / "1.jsonl", "--on-error", "skip", "--select", "text")
    assert (result.returncode, result.stdout) == (0, b'{"text":"a"}\n{"text":"b"}\n')
    told = result.stderr.decode().splitlines()
    assert [line.split(": ")[1] for line in told[:3]] == [
        f"skipped {bad / '1.jsonl'}:{n}" for n in (2, 5, 4)
    ]
    assert told[3].startswith("synth: 3 skipped: 1 × not JSON")
    assert len(told) == 4


def test_rejects_and_output_stand_together_or_not_at_all(bad, tmp_path, refused):
    out, kept = tmp_path / "out.jsonl", tmp_path / "kept.jsonl"
    result = run("cat", bad, "-o", out, "--on-error", "skip", "--rejects", kept)
    assert result.returncode == 0
    assert result.stderr.decode().startswith("synth: 5 skipped: ")
    assert result.stderr.decode().endswith(f"; kept in {kept}\n")
    assert len(kept.read_bytes().splitlines()) == 5
    before = kept.read_bytes()
    result = run("cat", bad, "-o", "/dev/full", "--on-error", "skip", "--rejects", kept)
    refused(result, "/dev/full: cannot be written")
    assert kept.read_bytes() == before
    refused(run("cat", bad, "--rejects", kept), "--rejects needs --on-error skip", code=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "kept.jsonl", "out.jsonl"]
