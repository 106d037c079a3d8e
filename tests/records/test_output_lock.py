"""One writer an output: who comes second is told who writes, changes nothing, and never waits for the dead."""

import errno
import fcntl
import json
import os
import shutil
import signal
import time

import pytest

from running import run, start
from synthtools.errors import OutputExistsError, OutputInUseError, SynthError
from synthtools.records import output_lock
from synthtools.records.atomic_files import AtomicFile, write_whole
from synthtools.records.exclusive_rename import rename_new
from synthtools.records.output_lock import OutputLock, hidden
from synthtools.records.outputs import open_sink
from synthtools.records.shard_size import ShardSize

LINES = b"".join(b'{"text":"record %d"}\n' % i for i in range(6))


def everything(folder):
    """Name → (inode, content) of all that is in a folder."""
    return {
        p.relative_to(folder): (p.stat().st_ino, p.read_bytes())
        for p in folder.rglob("*")
        if p.is_file()
    }


def waiting(folder, *words):
    """A run of ``cat`` that has claimed its output and waits for its input."""
    process = start("cat", *words, stdin=-1, cwd=folder)
    process.stdin.write(LINES)
    process.stdin.flush()
    while not list(folder.rglob("*.claim")):
        time.sleep(0.01)
    time.sleep(0.2)
    return process


def pid_in(folder):
    return json.loads(next(iter(folder.rglob("*.claim"))).read_bytes())["pid"]


@pytest.fixture
def there(tmp_path):
    folder = tmp_path / "there"
    folder.mkdir()
    (tmp_path / "b.jsonl").write_bytes(LINES)
    return folder


KINDS = {
    "directory": ("-o", "c/", "--shard-size", "2"),
    "file": ("-o", "c.jsonl"),
    "report": ("-o", "/dev/null", "--report", "r.json"),
    "rejects": ("-o", "/dev/null", "--on-error", "skip", "--rejects", "r.jsonl"),
}


@pytest.mark.parametrize("again", ["", "--force", "--resume"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_second_writer_is_told_of_the_first_and_changes_nothing(kind, again, there):
    if again == "--resume" and kind != "directory":
        pytest.skip("files are not resumed")
    first = waiting(there, *KINDS[kind])
    before = everything(there)
    done = run("cat", "../b.jsonl", *KINDS[kind], *[again] * bool(again), cwd=there)
    line = done.stderr.decode()
    assert done.returncode == 1 and line.count("\n") == 1
    assert f"another run writes it (process {pid_in(there)} on " in line and "since 20" in line
    assert "--force" not in line
    assert everything(there) == before
    _, errors = first.communicate()
    assert first.returncode == 0 and errors == b""
    assert not list(there.rglob(".*claim")) + list(there.rglob(".*partial"))
    records = b"".join(p.read_bytes() for p in sorted(there.rglob("*.jsonl")))
    assert records == (LINES if kind in ("directory", "file") else b"")


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_killed_run_leaves_is_gone_after_the_next(kind, there):
    first = waiting(there, *KINDS[kind])
    os.kill(pid_in(there), signal.SIGKILL)
    first.wait()
    first.stdin.close()
    left = [path.name for path in there.rglob(".*") if path.name.endswith((".claim", ".partial"))]
    assert left
    again = ["--resume"] if kind == "directory" else []
    done = run("cat", "../b.jsonl", *KINDS[kind], *again, cwd=there)
    if kind == "directory":  # stdin was its input: another job
        assert b"other inputs" in done.stderr or done.returncode == 0, done.stderr
        done = run("cat", "../b.jsonl", *KINDS[kind], "--force", cwd=there)
    assert done.returncode == 0, done.stderr
    assert not [p for p in there.rglob(".*") if p.name.endswith((".claim", ".partial"))]


def test_a_forked_child_does_not_keep_the_claim_of_its_dead_parent(tmp_path):
    parent = os.fork()
    if parent == 0:
        OutputLock.of_file(tmp_path / "a")
        if os.fork() == 0:
            time.sleep(30)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(parent, 0)
    OutputLock.of_file(tmp_path / "a").release()
    assert list(tmp_path.iterdir()) == []


def left_by(path, host, age):
    path.write_text(json.dumps({"pid": 7, "host": host, "since": "2026-01-01 00:00:00+00:00"}))
    os.utime(path, (time.time() - age,) * 2)


def test_a_claim_of_another_machine_counts_as_long_as_it_gives_signs_of_life(tmp_path):
    file = tmp_path / ".a.claim"
    left_by(file, "elsewhere", output_lock.FRESH / 2)
    with pytest.raises(OutputInUseError, match=r"process 7 on elsewhere.*sign of life"):
        OutputLock.of_file(tmp_path / "a")
    assert json.loads(file.read_bytes())["pid"] == 7
    left_by(file, "elsewhere", output_lock.FRESH + 1)
    held = OutputLock.of_file(tmp_path / "a")
    assert json.loads(file.read_bytes())["pid"] == os.getpid()
    os.utime(file, (0, 0))
    held.touch()
    assert time.time() - file.stat().st_mtime < 10
    held.release()
    left_by(file, os.uname().nodename, 0)  # here the lock tells that it is dead
    OutputLock.of_file(tmp_path / "a").release()


def test_where_there_are_no_locks_signs_of_life_count(tmp_path, monkeypatch):
    def none(file, how):
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(fcntl, "flock", none)
    first = OutputLock.of_file(tmp_path / "a")
    with pytest.raises(OutputInUseError, match=f"process {os.getpid()}"):
        OutputLock.of_file(tmp_path / "a")
    os.utime(tmp_path / ".a.claim", (0, 0))
    OutputLock.of_file(tmp_path / "a").release()
    assert not first.stands()


def test_a_claim_whose_file_says_nothing_is_one_all_the_same(tmp_path):
    for content in ("", "{", "[]", '{"pid": 1}'):
        held = OutputLock.of_file(tmp_path / "a")
        (tmp_path / ".a.claim").write_text(content)
        with pytest.raises(OutputInUseError, match="another process"):
            OutputLock.of_file(tmp_path / "a")
        held.release()


def test_names_of_hidden_files_are_short_and_each_outputs_own():
    names = ["a", "a" * 40, "a" * 255, "a" * 254 + "b", "é" * 127]
    assert len({hidden(name) for name in names}) == len(names)
    for name in names:
        assert len(os.fsencode(f"{hidden(name)}.01234567.partial")) <= 255


def test_leftovers_of_other_outputs_stay(tmp_path):
    others = [".b.01234567.partial", ".a.b.01234567.partial", ".a.01234567.partial.txt"]
    for name in [*others, ".a.01234567.partial"]:
        (tmp_path / name).touch()
    write_whole(tmp_path / "a", b"x")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["a", *others])


# ---------------------------------------------------------------- the last rename


@pytest.mark.parametrize("system", ["renameat2", "links", "neither"])
def test_rename_new_replaces_nothing(system, tmp_path, monkeypatch):
    if system != "renameat2":
        import ctypes

        class Without:
            def __init__(self, *words, **more):
                pass

        monkeypatch.setattr(ctypes, "CDLL", Without)
    if system == "neither":

        def link(source, target):
            raise OSError(errno.EPERM, "no links here")

        monkeypatch.setattr(os, "link", link)
    for make in (lambda p: p.write_text(p.name), lambda p: p.mkdir()):
        old, new, free = (tmp_path / name for name in ("old", "new", "free"))
        make(old)
        make(new)
        with pytest.raises(FileExistsError):
            rename_new(new, old)
        assert old.exists() and new.exists()
        rename_new(new, free)
        assert free.exists() and not new.exists()
        if free.is_file():
            assert (old.read_text(), free.read_text()) == ("old", "new")
            old.unlink()
            free.unlink()


def test_what_another_program_made_meanwhile_is_not_replaced(tmp_path):
    file = AtomicFile(tmp_path / "a")
    file.write(b"ours")
    (tmp_path / "a").write_bytes(b"theirs")
    with pytest.raises(OutputExistsError, match="meanwhile; nothing was replaced"):
        file.commit()
    file.abort()
    assert (tmp_path / "a").read_bytes() == b"theirs"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


# ---------------------------------------------------------------- what is removed meanwhile


def written(folder, batches_of, source):
    sink = open_sink(
        f"{folder}/",
        None,
        shards=[],
        force=True,
        resume=False,
        shard_size=ShardSize(2, "records"),
        job={},
    )
    for batch in batches_of(source):
        sink.write(batch)
    return sink


def test_the_end_tells_of_a_shard_that_was_removed(tmp_path, batches_of):
    (tmp_path / "b.jsonl").write_bytes(LINES)
    sink = written(tmp_path / "c", batches_of, tmp_path / "b.jsonl")
    (tmp_path / "c/part-00001.jsonl").unlink()
    with pytest.raises(SynthError, match=r"c: part-00001.jsonl was removed while the run went on"):
        sink.finish()
    sink.abort()
    assert json.loads((tmp_path / "c/.synth.json").read_bytes())["complete"] is False


def test_the_end_tells_of_a_directory_that_was_removed_or_is_another_now(tmp_path, batches_of):
    (tmp_path / "b.jsonl").write_bytes(LINES)
    for again in (False, True):
        sink = written(tmp_path / "c", batches_of, tmp_path / "b.jsonl")
        shutil.rmtree(tmp_path / "c")
        if again:
            other = written(tmp_path / "c", batches_of, tmp_path / "b.jsonl")
            before = everything(tmp_path)
        with pytest.raises(SynthError, match="c: was removed or replaced while it was written"):
            sink.finish()
        sink.abort()
        if again:
            assert everything(tmp_path) == before
            other.finish()
        assert (tmp_path / "c").exists() is again


# ---------------------------------------------------------------- at the command line


def test_two_options_that_name_one_file(tmp_path, refused):
    (tmp_path / "b.jsonl").write_bytes(LINES)
    (tmp_path / "d").symlink_to(".")
    words = ("cat", "b.jsonl", "-o", "c.jsonl", "--report", "d/c.jsonl")
    refused(run(*words, cwd=tmp_path), "--report d/c.jsonl: is the file of -o too", code=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.jsonl", "d"]


def test_a_report_may_lie_in_the_directory_that_the_run_makes(tmp_path):
    (tmp_path / "b.jsonl").write_bytes(LINES)
    done = run("cat", "b.jsonl", "-o", "c/", "--report", "c/report.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names = sorted(p.name for p in (tmp_path / "c").iterdir())
    assert names == [".synth.json", "part-00000.jsonl", "report.json"]


def test_a_refused_further_output_leaves_what_was_there(there):
    """--force empties a directory: not before all outputs are ours."""
    for name in ("c", "r"):
        run("cat", "../b.jsonl", "-o", f"{name}/", cwd=there)
    before = everything(there)
    first = waiting(there, "-o", "x.jsonl")
    done = run(
        *("cat", "../b.jsonl", "-o", "c/", "--force", "--on-error", "skip"),
        *("--rejects", "x.jsonl"),
        cwd=there,
    )
    assert done.returncode == 1 and b"another run" in done.stderr
    first.communicate()
    (there / "x.jsonl").unlink()
    assert everything(there) == before
