"""Where records go: never half-written, never over an input, never over what is there unasked."""

import errno
import io
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from running import COLD, command, run, start
from synthtools.errors import OutputExistsError, SynthError, UsageError
from synthtools.records import early_sync, encoders
from synthtools.records.atomic_files import AtomicFile, write_whole
from synthtools.records.inputs import find_shards
from synthtools.records.outputs import open_sink
from synthtools.records.reader import read
from synthtools.records.rejects import Rejects
from synthtools.records.shard_directory import MANIFEST, DirectorySink
from synthtools.records.shard_size import ShardSize
from synthtools.records.sink import Nonfinite

RECORDS = [{"id": i, "text": f"record {i} " + "é" * (i % 40)} for i in range(400)]
LINES = [json.dumps(record, ensure_ascii=False).encode() for record in RECORDS]
FORMATS = ("jsonl", "jsonl.gz", "jsonl.zst", "parquet", "arrow")


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"\n".join(LINES) + b"\n")
    return path


def sink(
    output,
    form=None,
    *,
    inputs=(),
    force=False,
    resume=False,
    size=ShardSize(100, "records"),
    job=None,
):
    shards = find_shards([str(path) for path in inputs]) if inputs else []
    return open_sink(
        str(output), form, shards=shards, force=force, resume=resume, shard_size=size, job=job or {}
    )


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------- one file


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_stands_before_the_end_and_nothing_is_left_of_an_error(
    form, source, batches_of, tmp_path
):
    target = tmp_path / "out" / f"x.{form}"
    target.parent.mkdir()
    writing = sink(target)
    for batch in batches_of(source, batch_bytes=1000):
        writing.write(batch)
        assert not target.exists()
    writing.abort()
    assert names(target.parent) == []


@pytest.mark.parametrize("form", FORMATS)
def test_an_aborted_replacement_leaves_the_old_file(form, source, batches_of, tmp_path):
    target = tmp_path / f"x.{form}"
    target.write_bytes(b"old")
    with pytest.raises(OutputExistsError, match=r"already there; --force replaces it"):
        sink(target)
    writing = sink(target, force=True)
    for batch in batches_of(source):
        writing.write(batch)
    writing.abort()
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["in.jsonl", target.name]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_groups_of_a_stream_are_small_and_depend_on_the_records_alone(
    form, source, convert, tmp_path, monkeypatch
):
    monkeypatch.setattr(encoders, "_GROUP_BYTES", 3000)
    monkeypatch.setattr(encoders, "_STREAM_GROUP_BYTES", 500)
    path = source if form == "jsonl" else convert(source, tmp_path / "in.parquet")
    streams = set()
    for batch_bytes in (100, 1000, 1 << 20):
        target = SimpleNamespace(file=io.BytesIO())
        encoder = encoders.encoder("arrow-stream", target, Nonfinite("null"))
        for batch in read(find_shards([str(path)]), Rejects(), batch_bytes):
            encoder.write(batch)
        encoder.close()
        streams.add(target.file.getvalue())
    (stream,) = streams
    groups = list(pa.ipc.open_stream(stream))
    assert pa.Table.from_batches(groups).to_pylist() == RECORDS
    sizes = [group.nbytes for group in groups]
    assert (sizes[0] > 2000) == (form == "jsonl")  # their schema is inferred from the first group
    assert 300 < sizes[1] < 1200


def test_rows_are_passed_on_without_pandas(source, convert, tmp_path):
    """Importing it takes longer than the tool, and Arrow does so when it converts Python's values."""
    (tmp_path / "pandas.py").write_text("raise SystemExit('pandas')")
    rows = convert(source, tmp_path / "in.parquet")
    line = f'"$@" {rows} --format arrow | "$@" --where id!=3 --format arrow | "$@" --count'
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line, "bash", *COLD, "cat"],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
    )
    assert (done.returncode, done.stdout.strip()) == (0, b"399"), done.stderr


def test_a_widened_file_that_is_aborted_leaves_nothing(tmp_path, batches_of, monkeypatch, capfd):
    monkeypatch.setattr(encoders, "_GROUP_BYTES", 1)
    source = tmp_path / "in.jsonl"
    source.write_text('{"a":1}\n{"a":"x"}\n{"b":[1]}\n')
    for form in ("parquet", "arrow"):
        writing = sink(tmp_path / f"out.{form}")
        for batch in batches_of(source):
            writing.write(batch)
        writing.abort()
        del writing  # a Parquet writer would complain here of the file that was closed under it
    assert names(tmp_path) == ["in.jsonl"]
    assert capfd.readouterr().err == ""


def test_killed_in_the_middle(tmp_path):
    target = tmp_path / "out.jsonl"
    process = subprocess.Popen([*COLD, "cat", "-o", target], stdin=subprocess.PIPE)
    process.stdin.write(b"".join(line + b"\n" for line in LINES) * 100)
    process.stdin.flush()
    while not list(tmp_path.glob(".out.jsonl.*.partial")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdin.close()
    assert not target.exists()
    # The next run does not mistake what is left for anything.
    (tmp_path / "in.jsonl").write_bytes(LINES[0] + b"\n")
    done = subprocess.run([*command(), "cat", tmp_path], capture_output=True)
    assert done.stdout == LINES[0] + b"\n"


def test_interrupted_in_the_middle(tmp_path):
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 130)):
        process = subprocess.Popen(
            [*command(), "cat", "-o", tmp_path / "out.parquet"],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        process.stdin.write(LINES[0] + b"\n")
        process.stdin.flush()
        while not list(tmp_path.glob(".out.parquet.*.partial")):
            time.sleep(0.01)
        time.sleep(0.3)
        process.send_signal(number)
        _, stderr = process.communicate()
        assert (process.returncode, stderr, names(tmp_path)) == (code, b"", [])


@pytest.mark.parametrize("form", ["jsonl", "arrow", "parquet"])
def test_a_full_disk_is_one_line(form, source, refused, tmp_path):
    with open("/dev/full", "wb") as full:
        result = run("cat", source, "--format", form, stdout=full)
    refused(result, "<stdout>: cannot be written: No space left on device")
    result = run("cat", source, "--format", form, "-o", "/dev/full")
    refused(result, "/dev/full: cannot be written: No space left on device")


def test_a_full_disk_below_a_file_is_one_line(source, batches_of, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    writing = sink(tmp_path / "out.jsonl")
    for batch in batches_of(source):
        writing.write(batch)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SynthError, match=r"out\.jsonl: cannot be written: No space left"):
        writing.finish()
    writing.abort()
    assert names(tmp_path) == ["in.jsonl"]


def test_a_file_is_sent_to_disk_while_it_is_written(tmp_path, monkeypatch):
    sizes, sync = [], os.fsync

    def noting(descriptor):
        sizes.append(os.fstat(descriptor).st_size)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    monkeypatch.setattr(early_sync, "_SYNC_BYTES", 2 << 20)
    file = AtomicFile(tmp_path / "out.jsonl")
    for _ in range(4):
        file.file.write(bytes(1 << 20))
        file.file.flush()
        file.send_ahead()
    file.commit()
    assert sizes[0] >= 2 << 20 and sizes[-1] == (tmp_path / "out.jsonl").stat().st_size == 4 << 20


def test_an_error_of_the_disk_while_a_file_is_written_is_not_lost(tmp_path, monkeypatch):
    # The system reports a failed write to one fsync alone.
    failures = [OSError(errno.EIO, "Input/output error")]
    monkeypatch.setattr(os, "fsync", lambda descriptor: failures and _raised(failures.pop()))
    monkeypatch.setattr(early_sync, "_SYNC_BYTES", 1)
    file = AtomicFile(tmp_path / "out.jsonl")
    file.file.write(b"x")
    file.send_ahead()
    with pytest.raises(SynthError, match="out.jsonl: cannot be written: Input/output error"):
        file.commit()
    file.abort()
    assert not failures and not list(tmp_path.iterdir())


def _raised(error):
    raise error


@pytest.mark.parametrize("form", ["jsonl", "arrow"])
def test_a_reader_that_leaves_ends_the_tool_silently(form, tmp_path):
    source = tmp_path / "big.jsonl"
    source.write_bytes((b"\n".join(LINES) + b"\n") * 200)
    line = f'"$@" --format {form} | head -c 10 | wc -c'
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line, "bash", *command(), "cat", source],
        capture_output=True,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, b"10", b"")


@pytest.mark.parametrize("tool", ["cat", "edit", "ppl", "generate"])
def test_a_reader_that_leaves_before_the_first_record_ends_the_tool(tool, tmp_path):
    """Nothing is to be written, as the input goes on: no write would tell."""
    partial = tmp_path / "bad.jsonl"
    words = (tool, "-", "--on-error", "skip", "--rejects", partial)
    process = start(*words, stdin=subprocess.PIPE)
    process.stdout.close()
    assert process.wait(timeout=120) == 0
    assert process.stderr.read() == b"" and names(tmp_path) == []
    process.stdin.close()
    process.stderr.close()


def test_a_reader_that_leaves_ends_a_background_job(tmp_path):
    """Scripts start background jobs with SIGINT ignored."""
    line = ["bash", "-c", 'trap "" INT; exec "$@"', "bash", *COLD, "cat", "-"]
    process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.close()
    assert process.wait(timeout=120) == 0
    process.stdin.close()


def test_a_reader_that_leaves_ends_no_run_that_writes_elsewhere_or_has_written(tmp_path):
    out, report = tmp_path / "out.jsonl", tmp_path / "report.json"
    for words in (("-o", out), ("--report", report)):
        process = start("cat", "-", *words, stdin=subprocess.PIPE)
        process.stdin.write(LINES[0] + b"\n")
        process.stdin.flush()
        if words[0] == "--report":
            assert process.stdout.readline() == LINES[0] + b"\n"
        process.stdout.close()
        time.sleep(0.5)
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(timeout=120) == 0 and process.stderr.read() == b""
        process.stderr.close()
    assert out.read_bytes() == LINES[0] + b"\n"
    assert json.loads(report.read_bytes())["made_by"]["counts"]["written"] == 1


def test_one_and_the_same_file_is_refused(source, tmp_path, refused):
    before = source.read_bytes()
    hard, soft = tmp_path / "hard.jsonl", tmp_path / "soft.jsonl"
    os.link(source, hard)
    soft.symlink_to(source)
    for output in (source, hard, soft):
        with pytest.raises(SynthError, match="is both input and output; write to another file"):
            sink(output, inputs=[source], force=True)
    with open(source) as stdin:
        refused(run("cat", "-o", hard, "--force", stdin=stdin), f"{hard}: is both input and output")
    line = f'"$@" {source} >> {hard}'
    done = subprocess.run(["bash", "-c", line, "bash", *command(), "cat"], capture_output=True)
    assert (done.returncode, done.stderr[:28]) == (1, b"synth: <stdout>: is both inp")
    assert source.read_bytes() == before


def test_names_that_cannot_be_written(tmp_path, source):
    with pytest.raises(UsageError, match=r"the suffix says no format; use \.jsonl"):
        sink(tmp_path / "out.txt")
    with pytest.raises(UsageError, match="--format xls: unknown; use one of jsonl"):
        sink(tmp_path / "out.jsonl", "xls")
    with pytest.raises(UsageError, match="empty name"):
        sink("")
    with pytest.raises(SynthError, match=r"out\.jsonl: directory .*missing does not exist"):
        sink(tmp_path / "missing" / "out.jsonl")
    with pytest.raises(SynthError, match=r"out/: cannot be written: Not a directory|File exists"):
        sink(f"{source}/")
    with pytest.raises(UsageError, match="--resume needs a directory"):
        sink(tmp_path / "out.jsonl", resume=True)
    with pytest.raises(UsageError, match="--resume needs a directory"):
        sink("-", resume=True)
    with pytest.raises(UsageError, match="give one of them"):
        sink(tmp_path / "out", resume=True, force=True)
    assert names(tmp_path) == ["in.jsonl"]


def test_the_suffix_decides_and_format_overrides(tmp_path, source, convert, lines_of):
    for name, magic in {
        "a.jsonl": b"{",
        "a.NDJSON.GZ": b"\x1f\x8b",
        "a.jsonl.zstd": b"\x28\xb5\x2f\xfd",
        "a.parquet": b"PAR1",
        "a.feather": b"ARROW1",
    }.items():
        assert convert(source, tmp_path / name).read_bytes().startswith(magic)
    for name in ("a.json", "b.JSON.gz", "c.json.zst"):
        with pytest.raises(UsageError, match=r"one value, .* lines: name it .*\.jsonl"):
            sink(tmp_path / name)
        assert not (tmp_path / name).exists()
    assert convert(source, tmp_path / "a.json", "jsonl").read_bytes() == source.read_bytes()
    assert convert(source, tmp_path / "a.txt", "jsonl.zst").read_bytes().startswith(b"\x28\xb5")


def test_names_as_long_as_they_may_be(tmp_path, source, convert):
    name = "é" * 124 + ".jsonl"  # 254 of 255 bytes
    assert convert(source, tmp_path / name).read_bytes() == source.read_bytes()


def test_folders_that_may_not_be_written(unprivileged, folder):
    with folder() as here:
        here.chmod(0o555)
        for output in (here / "out.jsonl", here / "out/"):
            with pytest.raises(SynthError, match="cannot be written: Permission denied"):
                sink(output)
        here.chmod(0o755)
        (here / "closed").mkdir(mode=0)
        with pytest.raises(SynthError, match="Permission denied"):
            sink(here / "closed" / "out.jsonl")


def test_devices_and_pipes_are_written_as_they_are(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(fifo, b"content")
    assert os.read(reading, 100) == b"content"
    file = AtomicFile(fifo)
    file.write(b"x")
    file.abort()
    os.close(reading)
    assert names(tmp_path) == ["fifo"]


@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}"])
def test_names_of_descriptors_are_no_files_to_replace(name, tmp_path):
    """As root, a file renamed over /dev/stderr would break the machine."""
    path = tmp_path / "log"
    path.write_bytes(b"before\n")
    with open(path, "ab") as log:
        write_whole(Path(name.format(log.fileno())), b"after\n")
        writing = sink(name.format(log.fileno()))
        writing.finish()
    assert path.read_bytes() == b"before\nafter\n"
    assert names(tmp_path) == ["log"]


def test_stdout_by_name(tmp_path, source):
    before = os.readlink("/dev/stdout")
    with open(tmp_path / "log", "ab") as log:
        log.write(b"before\n")
        log.flush()
        result = run("cat", source, "--head", "1", "-o", "/dev/stdout", stdout=log)
    assert (result.returncode, result.stderr) == (0, b"")
    assert (tmp_path / "log").read_bytes() == b"before\n" + LINES[0] + b"\n"
    assert os.readlink("/dev/stdout") == before


def test_a_pipe_cannot_take_back_a_type(tmp_path, batches_of, monkeypatch):
    monkeypatch.setattr(encoders, "_GROUP_BYTES", 1)
    monkeypatch.setattr(encoders, "_STREAM_GROUP_BYTES", 1)
    source = tmp_path / "in.jsonl"
    source.write_text('{"a":1}\n{"a":"x"}\n')
    fifo = tmp_path / "fifo.arrow"
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    writing = sink(fifo, "arrow")
    with pytest.raises(SynthError, match='the type of field "a" changes .* -o, or pipe JSONL'):
        for batch in batches_of(source):
            writing.write(batch)
    writing.abort()
    os.close(reading)


# ---------------------------------------------------------------- a directory of shards


def filled(output, source, batches_of, **options):
    writing = sink(output, options.pop("form", None), inputs=[source], **options)
    for batch in batches_of(source, batch_bytes=options.pop("batch_bytes", 1000)):
        writing.write(batch)
    return writing


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "size",
    [
        ShardSize(150, "records"),
        ShardSize(3000, "bytes"),
        ShardSize(60, "records"),
        ShardSize(10**9, "bytes"),
    ],
)
def test_shards_are_of_the_size_asked_for(form, size, source, batches_of, lines_of, tmp_path):
    out = tmp_path / "out"
    filled(out, source, batches_of, form=form, size=size).finish()
    shards = sorted(out.glob("part-*"))
    assert [path.name for path in shards] == [f"part-{i:05d}.{form}" for i in range(len(shards))]
    found = [lines_of(path) for path in shards]
    assert [json.loads(line) for lines in found for line in lines] == RECORDS
    # The slow way: each shard ends with the record that reaches the size.
    expected, weight = [0], 0
    for line in LINES:
        if weight >= size.count:
            expected.append(0)
            weight = 0
        expected[-1] += 1
        weight += 1 if size.unit == "records" else len(line) + 1
    assert [len(lines) for lines in found] == expected
    assert names(out)[0] == MANIFEST and len(names(out)) == len(shards) + 1


def test_shards_depend_on_the_records_alone(source, batches_of, tmp_path):
    for size in (ShardSize(2777, "bytes"), ShardSize(70, "records")):
        written = []
        for batch_bytes in (10, 999, 1 << 20):
            out = tmp_path / f"out{size.unit}{batch_bytes}"
            writing = sink(out, "jsonl", inputs=[source], size=size)
            for batch in batches_of(source, batch_bytes=batch_bytes):
                writing.write(batch)
            writing.finish()
            written.append([path.read_bytes() for path in sorted(out.glob("part-*"))])
        assert written[0] == written[1] == written[2]


def test_shards_of_one_record(tmp_path, batches_of):
    source = tmp_path / "in.jsonl"
    source.write_bytes(b"\n".join(LINES[:5]))
    filled(tmp_path / "out", source, batches_of, size=ShardSize(1, "bytes")).finish()
    found = [path.read_bytes() for path in sorted((tmp_path / "out").glob("part-*"))]
    assert found == [line + b"\n" for line in LINES[:5]]


def test_no_records_are_an_empty_shard(tmp_path, batches_of, lines_of):
    empty = tmp_path / "in.jsonl"
    empty.touch()
    for form in FORMATS:
        out = tmp_path / form / "out"
        filled(out, empty, batches_of, form=form).finish()
        assert names(out) == [MANIFEST, f"part-00000.{form}"]
        assert lines_of(out) == []


def test_the_format_of_a_directory_is_that_of_the_first_input(
    tmp_path, source, convert, batches_of
):
    for form in FORMATS:
        path = convert(source, tmp_path / f"x.{form}")
        filled(tmp_path / form / "out", path, batches_of).finish()
        assert names(tmp_path / form / "out")[1].endswith(f".{form}")


def test_a_directory_with_shards_is_refused_or_replaced(tmp_path, source, batches_of):
    out = tmp_path / "out"
    filled(out, source, batches_of).finish()
    (out / "README.md").write_text("mine")
    with pytest.raises(OutputExistsError, match="--resume continues with them, --force replaces"):
        sink(out, inputs=[source])
    writing = filled(out, source, batches_of, force=True, size=ShardSize(300, "records"))
    writing.finish()
    assert names(out) == [MANIFEST, "README.md", "part-00000.jsonl", "part-00001.jsonl"]


def test_an_input_directory_is_no_output(tmp_path, source, batches_of):
    with pytest.raises(
        SynthError, match=r"holds the input .*in\.jsonl; write to another directory"
    ):
        sink(tmp_path, inputs=[source], force=True)
    out = tmp_path / "out"
    out.mkdir()
    os.link(source, out / "part-00000.jsonl")
    with pytest.raises(SynthError, match="is both input and output"):
        sink(out, inputs=[source], force=True)
    assert (out / "part-00000.jsonl").read_bytes() == source.read_bytes()


def test_an_input_on_stdin_is_no_output(tmp_path, source, batches_of, refused):
    out = tmp_path / "out"
    filled(out, source, batches_of).finish()
    before = [path.read_bytes() for path in sorted(out.glob("part-*"))]
    with open(out / "part-00001.jsonl") as stdin:
        refused(run("cat", "-o", out, "--force", stdin=stdin), "is both input and output")
    assert [path.read_bytes() for path in sorted(out.glob("part-*"))] == before


@pytest.mark.parametrize("done", [0, 1, 250, 399])
@pytest.mark.parametrize("form", ["jsonl.zst", "parquet"])
def test_resumed_shards_are_those_of_an_uninterrupted_run(done, form, source, batches_of, tmp_path):
    size = ShardSize(90, "records")
    filled(tmp_path / "whole", source, batches_of, form=form, size=size).finish()
    out = tmp_path / "out"
    writing = sink(out, form, inputs=[source], size=size)
    written = 0
    for batch in batches_of(source, batch_bytes=700):
        writing.write(batch)
        written += len(batch)
        if written >= done:
            break
    writing.abort()
    # What a kill may leave: an unfinished shard, one that the manifest does not know, a manifest.
    (out / f".part-00007.{form}.0123abcd.partial").write_bytes(b"half")
    (out / f".{MANIFEST}.0123abcd.partial").write_bytes(b"half")
    (out / f"part-00009.{form}").write_bytes(b"unknown")
    assert is_complete(out) is False
    writing = sink(out, form, inputs=[source], size=size, resume=True)
    assert isinstance(writing, DirectorySink) and writing.resume_from == written // 90 * 90
    for batch in batches_of(source):
        left = [i for i, ordinal in enumerate(batch.ordinals) if ordinal >= writing.resume_from]
        if left:
            writing.write(batch.take(left))
    writing.finish()
    assert writing.records == 400 and is_complete(out)
    assert names(out) == names(tmp_path / "whole")
    for name in names(out)[1:]:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def is_complete(folder):
    return json.loads((folder / MANIFEST).read_bytes())["complete"]


def test_a_directory_that_cannot_be_gone_on_with(tmp_path, source, batches_of):
    out = tmp_path / "out"
    job = {"tool": "cat", "arguments": {"select": "a", "head": 3}, "inputs": [1]}
    filled(out, source, batches_of, job=job).finish()
    for other, named in {
        "arguments (head)": {**job, "arguments": {"select": "a", "head": 4}},
        "arguments (head, select)": {**job, "arguments": {}},
        "inputs": {**job, "inputs": [2]},
        "tool": {**job, "tool": "sample"},
    }.items():
        with pytest.raises(SynthError) as caught:
            sink(out, inputs=[source], resume=True, job=named)
        assert str(caught.value) == f"{out}: was started with other {other}; --force starts over"
    with pytest.raises(SynthError, match="with other shard_size"):
        sink(out, inputs=[source], resume=True, job=job, size=ShardSize(100, "bytes"))
    with pytest.raises(SynthError, match="with other format"):
        sink(out, "parquet", inputs=[source], resume=True, job=job)
    (out / "part-00002.jsonl").unlink()
    with pytest.raises(SynthError, match=r"part-00002\.jsonl is gone; --force starts over"):
        sink(out, inputs=[source], resume=True, job=job)
    (out / MANIFEST).write_text("{")
    with pytest.raises(SynthError, match="not a manifest of synth; --force starts over"):
        sink(out, inputs=[source], resume=True, job=job)
    (out / MANIFEST).unlink()
    with pytest.raises(OutputExistsError, match="no manifest"):
        sink(out, inputs=[source], resume=True, job=job)


# ---------------------------------------------------------------- the same through the binary


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    path = tmp_path_factory.mktemp("large") / "in.jsonl"
    with open(path, "wb") as file:
        for i in range(60_000):
            file.write(b'{"id":%d,"text":"%s"}\n' % (i, b"word %d " % i * (5 + i % 30)))
    return path


@pytest.mark.parametrize("wanted", [1, 5, 12])
def test_killed_and_resumed(wanted, large, tmp_path):
    arguments = [*COLD, "cat", large, "--format", "jsonl.zst", "--shard-size", "1MB", "-o"]
    out = tmp_path / "out"
    process = subprocess.Popen([*arguments, out])
    while len(list(out.glob("part-*"))) < wanted and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run was over before it could be killed"
    assert subprocess.run([*arguments, out, "--resume"], capture_output=True).stderr == b""
    assert subprocess.run([*arguments, tmp_path / "whole"]).returncode == 0
    assert names(out) == names(tmp_path / "whole")
    for name in names(out)[1:]:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_resumed_through_the_binary(tmp_path, source, refused):
    out = tmp_path / "out"
    arguments = ["cat", source, "-o", out, "--shard-size", "150", "--head", "330"]
    assert run(*arguments).returncode == 0
    assert [len(p.read_bytes().splitlines()) for p in sorted(out.glob("part-*"))] == [150, 150, 30]
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.iterdir()}

    # A run that had ended has nothing left to do.
    assert run(*arguments, "--resume").returncode == 0
    after = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.iterdir()}
    assert {n: a for n, a in after.items() if n != MANIFEST} == {
        n: b for n, b in before.items() if n != MANIFEST
    }
    assert after[MANIFEST][1] == before[MANIFEST][1]

    # One that had not goes on: --head counts what is there.
    manifest = json.loads(before[MANIFEST][1])
    manifest.update(complete=False, shards=manifest["shards"][:1])
    (out / MANIFEST).write_text(json.dumps(manifest))
    assert run(*arguments, "--resume").returncode == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        n: b for n, (_, b) in before.items()
    }

    refused(run(*arguments), "--resume continues with them, --force replaces them")
    refused(run(*arguments[:-1], "331", "--resume"), "was started with other arguments (head)")
    refused(run(*arguments[:-1], "331", "--force", "--resume"), "give one of them", code=2)
    source.write_bytes(source.read_bytes().replace(b"record 7 ", b"RECORD 7 "))
    refused(run(*arguments, "--resume"), "was started with other inputs")
    assert run(*arguments, "--force").returncode == 0
    assert b"RECORD 7 " in (out / "part-00000.jsonl").read_bytes()
