"""What the user names, told by its content, whole or damaged, from files and from pipes."""

import gzip
import io
import json
import os
import subprocess
import threading
import time
from datetime import UTC

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from running import command, run
from synthtools.errors import SynthError, UsageError
from synthtools.records.compression import DecompressingReader
from synthtools.records.inputs import Shard, find_shards, part_of

LINES = [json.dumps({"id": i, "text": f"record {i} äöü " + "x" * (i % 50)}) for i in range(300)]
JSONL = "".join(line + "\n" for line in LINES).encode()


def zstd(data, **options):
    return zstandard.ZstdCompressor(**options).compress(data)


def skippable(content, number=0):
    return bytes([0x50 + number]) + b"\x2a\x4d\x18" + len(content).to_bytes(4, "little") + content


def columnar(form):
    table = pa.Table.from_pylist([json.loads(line) for line in LINES])
    buffer = io.BytesIO()
    if form == "parquet":
        pq.write_table(table, buffer, row_group_size=70)
    else:
        make = pa.ipc.new_file if form == "arrow-file" else pa.ipc.new_stream
        with make(buffer, table.schema) as writer:
            writer.write_table(table, max_chunksize=70)
    return buffer.getvalue()


half = len(JSONL) // 2
WHOLE = {
    "jsonl": JSONL,
    "gzip": gzip.compress(JSONL),
    "gzip-members": gzip.compress(JSONL[:half]) + gzip.compress(b"") + gzip.compress(JSONL[half:]),
    "gzip-padded": gzip.compress(JSONL) + b"\0" * 5000,
    "gzip-padded-between": gzip.compress(JSONL[:half]) + b"\0" * 77 + gzip.compress(JSONL[half:]),
    "zstd": zstd(JSONL),
    "zstd-frames": zstd(JSONL[:half])
    + zstd(b"")
    + zstd(JSONL[half:], level=19, write_checksum=True),
    "zstd-skippable-first": skippable(b"hello") + zstd(JSONL),
    "zstd-skippable-between": zstd(JSONL[:half])
    + skippable(b"")
    + skippable(b"x" * 9000, 15)
    + zstd(JSONL[half:])
    + skippable(b"end"),
    "zstd-long": zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=31, enable_ldm=True)
    )
    .compressobj()
    .compress(b"")
    + zstd(JSONL),
    "parquet": columnar("parquet"),
    "arrow-file": columnar("arrow-file"),
    "arrow-stream": columnar("arrow-stream"),
}


def check_records(lines):
    assert [json.loads(line) for line in lines] == [json.loads(line) for line in LINES]


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("suffix", [".jsonl", ".parquet", ".gz", ""])
def test_content_not_the_suffix_decides(name, suffix, tmp_path, lines_of):
    path = tmp_path / f"data{suffix}"
    path.write_bytes(WHOLE[name])
    check_records(lines_of(path))


@pytest.mark.parametrize("name", WHOLE)
def test_batches_know_their_lines_and_places(name, tmp_path, batches_of):
    path = tmp_path / "data"
    path.write_bytes(WHOLE[name])
    batches = list(batches_of(path, path, batch_bytes=2000))
    assert len(batches) > 4
    assert [n for b in batches for n in b.numbers] == list(range(1, 301)) * 2
    assert [n for b in batches for n in b.ordinals] == list(range(600))
    assert [i for b in batches for i in b.column("id")] == list(range(300)) * 2


def test_a_window_of_two_gigabytes_is_read(tmp_path, lines_of):
    parameters = zstandard.ZstdCompressionParameters(window_log=31, enable_ldm=True)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    path = tmp_path / "long.jsonl.zst"
    path.write_bytes(compressor.compress(JSONL) + compressor.flush())
    check_records(lines_of(path))


@given(
    st.lists(st.integers(0, len(JSONL)), max_size=4),
    st.lists(st.integers(1, 40), min_size=1, max_size=3),
    st.integers(1, 5000),
    st.sampled_from(["gzip", "zstd"]),
)
@settings(max_examples=60)
def test_any_cut_into_members_and_reads(cuts, reads, size, codec):
    compress = {"gzip": gzip.compress, "zstd": zstd}[codec]
    ends = [0, *sorted(cuts), len(JSONL)]
    data = b"".join(compress(JSONL[a:b]) for a, b in zip(ends, ends[1:]))
    if codec == "zstd":
        data = skippable(b"s" * size) + data

    class Slow(io.RawIOBase):
        """Gives a few bytes at a time, as pipes do."""

        def __init__(self):
            self.stream, self.turn = io.BytesIO(data), 0

        def readable(self):
            return True

        def readinto(self, buffer):
            self.turn += 1
            piece = self.stream.read(min(len(buffer), reads[self.turn % len(reads)]))
            buffer[: len(piece)] = piece
            return len(piece)

    reader = DecompressingReader(io.BufferedReader(Slow()), codec, "name")
    found = []
    while piece := reader.read1(size):
        assert len(piece) <= size
        found.append(piece)
    assert b"".join(found) == JSONL


TRUNCATED = ["gzip", "zstd", "parquet", "arrow-file", "arrow-stream"]


@pytest.mark.parametrize("name", TRUNCATED)
@pytest.mark.parametrize("left", [0.03, 0.5, 0.97])
def test_truncated_files_are_noticed(name, left, tmp_path, lines_of):
    path = tmp_path / "data"
    path.write_bytes(WHOLE[name][: int(len(WHOLE[name]) * left)])
    with pytest.raises(SynthError) as caught:
        lines_of(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "truncated" in str(caught.value)


def test_every_cut_of_a_compressed_file_is_noticed(tmp_path, lines_of):
    path = tmp_path / "data"
    for data in (gzip.compress(b'{"a":1}\n'), zstd(b'{"a":1}\n', write_checksum=True)):
        for end in range(1, len(data)):
            path.write_bytes(data[:end])
            with pytest.raises(SynthError):
                lines_of(path)
        path.write_bytes(data)
        assert lines_of(path) == [b'{"a":1}']


def test_an_arrow_stream_cut_between_batches_is_noticed(tmp_path, lines_of):
    path = tmp_path / "data.arrow"
    path.write_bytes(WHOLE["arrow-stream"][:-8])  # without the end mark
    with pytest.raises(SynthError, match="without its end mark"):
        lines_of(path)


def test_sound_records_before_the_damage_are_not_lost(tmp_path, batches_of):
    path = tmp_path / "data.zst"
    noise = "".join(json.dumps({"t": os.urandom(60).hex()}) + "\n" for _ in range(3000)).encode()
    data = zstd(noise)
    path.write_bytes(data[: len(data) * 9 // 10])
    seen = []
    with pytest.raises(SynthError):
        for batch in batches_of(path):
            seen.extend(batch.json_lines())
    # zstd gives out whole blocks of 128 KiB: all of those but the last are here.
    assert len(b"\n".join(seen)) > len(noise) * 0.9 - 2 * (128 << 10)
    assert noise.startswith(b"\n".join(seen) + b"\n")


@pytest.mark.parametrize("name", ["gzip", "zstd-frames", "parquet", "arrow-file", "arrow-stream"])
def test_damage_is_told_or_harmless(name, tmp_path, lines_of):
    """No damage ends in anything but records or one line that names the file."""
    path = tmp_path / "data"
    whole = WHOLE[name]
    for place in range(4, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xA5]) + whole[place + 1 :])
        try:
            lines_of(path)
        except SynthError as error:
            assert str(error).startswith(f"{path}:")


def test_damaged_middles(tmp_path, refused):
    for name, word in {"gzip": "gzip", "zstd-frames": "zstd", "parquet": "parquet"}.items():
        data = bytearray(WHOLE[name])
        middle = len(data) // 2
        data[middle : middle + 40] = b"\xff" * 40
        path = tmp_path / name
        path.write_bytes(data)
        result = run("cat", path, "-o", tmp_path / "out.jsonl")
        refused(result, f"{path}: damaged", word)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["gzip", "parquet", "zstd-frames"]


@pytest.mark.parametrize(
    "data, words",
    [
        (
            b'[{"a": 1}, {"a": 2}]\n',
            "a record must be a JSON object, not an array (--input-format json reads one array",
        ),
        ('{"a": 1}\n'.encode("utf-16"), "UTF-16"),
        ('{"a": 1}\n'.encode("utf-16-le"), "neither text in UTF-8 nor Parquet nor Arrow"),
        (b"\xfd7zXZ\0\0 and so on", "compressed in a way that is not read here; use gzip or zstd"),
        (b'{"a": 1}\n{"a": "\xe4"}\n', ":2: not valid UTF-8 at byte 8 of the line"),
        (b'{"a":1}\n{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", ":2: nested too deeply"),
        (b"[\n" + b'{"a":1}\n', ":1: not JSON"),
        (b"PAR1", "damaged or truncated parquet data"),
        (b"ARROW1\0\0", "damaged or truncated arrow-file data"),
        (b"\xff\xff\xff\xff", "damaged or truncated arrow-stream data"),
    ],
)
def test_reasons_name_the_file(data, words, tmp_path, lines_of):
    path = tmp_path / "in.jsonl"
    path.write_bytes(data)
    with pytest.raises(SynthError) as caught:
        lines_of(path)
    assert str(caught.value).startswith(f"{path}:")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\r\n \n",
        b"\xef\xbb\xbf",
        gzip.compress(b"", mtime=0),
        zstd(b""),
        skippable(b""),
    ],
)
def test_no_records_are_no_error(data, tmp_path, lines_of):
    path = tmp_path / "in"
    path.write_bytes(data)
    assert lines_of(path) == []


@pytest.mark.parametrize("form", ["jsonl", "jsonl.gz", "jsonl.zst", "parquet", "arrow"])
def test_no_records_in_every_format(form, tmp_path, convert, lines_of):
    empty = tmp_path / "empty"
    empty.touch()
    path = convert(empty, tmp_path / f"out.{form}")
    assert lines_of(path) == []
    assert lines_of(convert(path, tmp_path / f"again.{form}")) == []


def test_long_lines_and_long_numbers(tmp_path, batches_of):
    path = tmp_path / "in.jsonl"
    long = b'{"text":"' + b"x" * (50 << 20) + b'"}'
    path.write_bytes(b'{"a":1}\n' + long + b'\n{"n":' + b"9" * 4000 + b"}\n")
    lines = [line for batch in batches_of(path) for line in batch.json_lines()]
    assert [len(line) for line in lines] == [7, len(long), 4006]
    assert lines[1] == long


def test_lines_wherever_blocks_end(tmp_path, lines_of):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + JSONL[:-1])
    for size in (1, 2, 3, 64, len(JSONL)):
        assert lines_of(path, batch_bytes=size) == [line.encode() for line in LINES]


# ---------------------------------------------------------------- other people's Parquet and Arrow


def written(tmp_path, table, form="parquet"):
    path = tmp_path / f"in.{form}"
    if form == "parquet":
        pq.write_table(table, path)
    else:
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table)
    return path


def json_array(texts):
    return pa.ExtensionArray.from_storage(pa.json_(pa.string()), pa.array(texts, pa.string()))


def test_types_of_arrow_as_json(tmp_path, lines_of):
    from datetime import date, datetime, time, timedelta
    from decimal import Decimal

    columns = {
        "f32": pa.array([0.1, None], pa.float32()),
        "f16": pa.array([0.5, 1.5], pa.float16()),
        "u64": pa.array([2**64 - 1, 0], pa.uint64()),
        "day": pa.array([date(2024, 2, 29), None]),
        "at": pa.array([datetime(2024, 1, 2, 3, 4, 5, 678), None], pa.timestamp("us")),
        "utc": pa.array([datetime(2024, 1, 2, tzinfo=UTC), None], pa.timestamp("ms", "UTC")),
        "ns": pa.array([1, None], pa.timestamp("ns")),
        "time": pa.array([time(1, 2, 3), None]),
        "took": pa.array([timedelta(seconds=1.5), None]),
        "price": pa.array([Decimal("12345678901234567890.10"), None], pa.decimal128(30, 2)),
        "raw": pa.array([b"\xff\0", None]),
        "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int32())),
        "cat": pa.array(["x", None]).dictionary_encode(),
        "large": pa.array(["y", None], pa.large_string()),
        "fixed": pa.array([[0.1, float("nan")], None], pa.list_(pa.float32(), 2)),
        "nested": pa.array(
            [[{"p": 0.1, "q": [None]}], []],
            pa.list_(pa.struct([("p", pa.float32()), ("q", pa.list_(pa.null()))])),
        ),
        "json": json_array(['{"a":\n[1.10,\r\n2]}', None]),
    }
    path = written(tmp_path, pa.table(columns), "arrow")
    assert lines_of(path) == [
        b'{"f32":0.1,"f16":0.5,"u64":18446744073709551615,"day":"2024-02-29",'
        b'"at":"2024-01-02T03:04:05.000678","utc":"2024-01-02T00:00:00+00:00",'
        b'"ns":"1970-01-01T00:00:00.000000001","time":"01:02:03","took":1.5,'
        b'"price":12345678901234567890.10,"raw":"/wA=","map":{"k":1},"cat":"x","large":"y",'
        b'"fixed":[0.1,NaN],"nested":[{"p":0.1,"q":[null]}],"json":{"a": [1.10,  2]}}',
        b'{"f32":null,"f16":1.5,"u64":0,"day":null,"at":null,"utc":null,"ns":null,"time":null,'
        b'"took":null,"price":null,"raw":null,"map":null,"cat":null,"large":null,"fixed":null,'
        b'"nested":[],"json":null}',
    ]


@pytest.mark.parametrize(
    "left, right, lines",
    [
        (pa.array(["2024-01-01"]), pa.array([0], pa.date32()), [b'"2024-01-01"', b'"1970-01-01"']),
        (pa.array(["t"]), pa.array([b"t"]), [b'"t"', b'"dA=="']),
        (pa.array([1], pa.int32()), pa.array([2.5]), [b"1.0", b"2.5"]),
        (pa.array([1], pa.uint8()), pa.array([-1], pa.int64()), [b"1", b"-1"]),
        (pa.array([2**63], pa.uint64()), pa.array([-1]), [b"9223372036854775808", b"-1"]),
        (pa.array(["a"]).dictionary_encode(), pa.array(["b"]), [b'"a"', b'"b"']),
        (pa.array(["a"]), pa.array(["b"], pa.large_string()), [b'"a"', b'"b"']),
        (json_array(["[1, 2]"]), pa.array([7]), [b"[1, 2]", b"7"]),
    ],
)
def test_sources_of_different_types(left, right, lines, tmp_path, convert, lines_of):
    paths = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    for path, array in zip(paths, (left, right)):
        pq.write_table(pa.table({"v": array, "w": pa.nulls(1)}), path)
    for form in ("parquet", "arrow"):
        found = lines_of(convert(paths, tmp_path / f"out.{form}"))
        assert found == [b'{"v":' + line + b',"w":null}' for line in lines]


def test_json_columns_are_read_as_what_they_mean(tmp_path, batches_of):
    path = written(
        tmp_path,
        pa.table({"text": json_array(['"plain"', "12345678901234567890123", None, '"\\ud800"'])}),
    )
    (batch,) = batches_of(path)
    assert batch.column("text") == ["plain", 12345678901234567890123, None, "\ud800"]
    (batch,) = batches_of(path, batch_bytes=1 << 20)
    assert batch.select(["text"]).column("text")[0] == "plain"


def test_json_columns_that_hold_no_json_are_bad_records(tmp_path, lines_of):
    path = written(tmp_path, pa.table({"a": json_array(["1", "{oops", "3"])}))
    with pytest.raises(SynthError, match=r'in.parquet:2: field "a": not JSON'):
        lines_of(path)


def test_strings_that_are_no_utf8_are_noticed(tmp_path, lines_of):
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff\xfe"]).buffers())
    path = written(tmp_path, pa.table({"text": broken}), "arrow")
    with pytest.raises(SynthError, match="damaged"):
        lines_of(path)


def test_columns_of_one_name_are_refused(tmp_path, lines_of):
    table = pa.table([pa.array([1]), pa.array([2]), pa.array([3])], names=["b", "a", "a"])
    for form in ("arrow", "parquet"):
        path = written(tmp_path, table, form)
        with pytest.raises(SynthError, match='two columns have the name "a".*rename one') as caught:
            lines_of(path)
        assert "damaged" not in str(caught.value) and "again" not in str(caught.value)


# ---------------------------------------------------------------- directories and parts


def test_a_directory_means_its_shards_in_name_order(tmp_path, lines_of):
    names = [
        "b.jsonl",
        "a.jsonl",
        "sub/c.ndjson",
        "sub/z.jsonl",
        "a.jsonl.d/x.jsonl",
        "UPPER.JSONL",
    ]
    skipped = [
        ".hidden.jsonl",
        "_SUCCESS.jsonl",
        ".git/x.jsonl",
        "_tmp/x.jsonl",
        "README.md",
        "x.json",
        "part.jsonl.tmp",
    ]
    for name in names + skipped:
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"from": name}) + "\n")
    data = tmp_path / "data"
    assert [json.loads(line)["from"] for line in lines_of(data)] == sorted(names)
    assert [json.loads(line)["from"] for line in lines_of(data / "b.jsonl", data)] == [
        "b.jsonl",
        *sorted(names),
    ]


def test_links_are_followed_once(tmp_path, lines_of):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.jsonl").write_text('{"a":1}\n')
    data = tmp_path / "data"
    data.mkdir()
    (data / "2.jsonl").write_text('{"a":2}\n')
    (data / "linked").symlink_to(tmp_path / "elsewhere")
    (data / "again").symlink_to(tmp_path / "elsewhere")
    (data / "loop").symlink_to(data)
    (data / "up").symlink_to(tmp_path)
    assert sorted(lines_of(data)) == [b'{"a":1}', b'{"a":2}']
    (data / "gone.jsonl").symlink_to(tmp_path / "nowhere")
    with pytest.raises(SynthError, match=r"gone\.jsonl: No such file"):
        lines_of(data)


def test_names_that_cannot_be_read(tmp_path):
    for name, words in {
        tmp_path / "none.jsonl": "No such file or directory",
        tmp_path: "no shards in this directory",
        "": "No such file or directory",
    }.items():
        with pytest.raises(SynthError, match=words):
            find_shards([str(name)])
    with pytest.raises(UsageError, match="only once"):
        find_shards(["-", "x", "-"])


def test_unreadable_folders_are_no_empty_folders(unprivileged, folder):
    with folder() as here:
        (here / "data" / "closed").mkdir(parents=True)
        (here / "data" / "open.jsonl").write_text('{"a":1}\n')
        (here / "data" / "closed").chmod(0)
        with pytest.raises(SynthError, match="closed: Permission denied"):
            find_shards([str(here / "data")])
        (here / "data" / "closed").chmod(0o700)


@given(st.integers(1, 40), st.integers(1, 40))
def test_parts_are_neighbours_and_even(shards, count):
    everything = [Shard(str(i), None, None) for i in range(shards)]
    if shards < count:
        with pytest.raises(UsageError, match="cut the input"):
            part_of(everything, 1, count)
        return
    parts = [part_of(everything, index, count) for index in range(1, count + 1)]
    assert [shard for part in parts for shard in part] == everything
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_fingerprints_tell_other_files(tmp_path):
    path = tmp_path / "in"

    def fingerprint(data):
        path.write_bytes(data)
        return find_shards([str(path)])[0].fingerprint()

    size = (2 << 20) + 10
    data = bytes(size)
    prints = {
        fingerprint(data),
        fingerprint(data[:-1]),
        fingerprint(b"x" + data[1:]),
        fingerprint(data[:-1] + b"x"),
    }
    prints |= {fingerprint(b""), fingerprint(b"x"), fingerprint(b"y")}
    assert len(prints) == 7


# ---------------------------------------------------------------- stdin


@pytest.mark.parametrize(
    "name", ["gzip-members", "zstd-skippable-first", "parquet", "arrow-file", "arrow-stream"]
)
def test_stdin_is_sniffed(name):
    result = run("cat", input=WHOLE[name])
    assert (result.returncode, result.stderr) == (0, b"")
    check_records(result.stdout.splitlines())


@pytest.mark.parametrize("name", ["jsonl", "gzip", "zstd-skippable-first", "parquet"])
def test_stdin_byte_by_byte(name):
    process = subprocess.Popen(
        [*command(), "cat", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    data = {"jsonl": b"\xef\xbb\xbf" + JSONL[:1300]}.get(name, WHOLE[name])

    def feed():
        for byte in data[:1200]:
            os.write(process.stdin.fileno(), bytes([byte]))
        os.write(process.stdin.fileno(), data[1200:])
        process.stdin.close()

    thread = threading.Thread(target=feed)
    thread.start()
    found = process.stdout.read().splitlines()
    thread.join()
    if name == "jsonl":  # the last of these lines is cut
        assert process.wait() == 1
        assert [line.decode() for line in found] == LINES[: len(found)]
    else:
        assert process.wait() == 0
        check_records(found)
    process.stdout.close()


def test_a_slow_pipe_is_passed_on_at_once():
    process = subprocess.Popen([*command(), "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    patience = threading.Timer(30, process.kill)
    patience.start()
    for number in range(3):
        line = b'{"n":%d}\n' % number
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stdout.readline() == line  # before the next is written
    patience.cancel()
    process.stdin.close()
    assert process.wait() == 0
    process.stdout.close()


def test_a_pipe_that_does_not_block_is_waited_for():
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    process = subprocess.Popen([*command(), "cat"], stdin=reading, stdout=subprocess.PIPE)
    os.close(reading)
    for line in LINES[:2]:
        time.sleep(0.5)
        os.write(writing, line.encode() + b"\n")
    os.close(writing)
    assert process.stdout.read().decode().splitlines() == LINES[:2]
    assert process.wait() == 0
    process.stdout.close()


def test_stdin_from_a_file_begins_where_it_stands(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(JSONL)
    with open(path, "rb", buffering=0) as file:
        file.seek(len(LINES[0]) + 1)
        result = run("cat", stdin=file)
    assert result.stdout == JSONL[len(LINES[0]) + 1 :]


def test_stdin_and_stdout_that_are_closed(tmp_path):
    for redirect, words in (("<&-", "stdin"), (">&-", "stdout")):
        done = subprocess.run(
            ["bash", "-c", f'"$@" {redirect}', "bash", *command(), "cat", "-"],
            capture_output=True,
            input=JSONL,
        )
        assert done.returncode == 1
        assert done.stderr.decode().startswith(f"synth: <{words}>: is closed; "), done.stderr
