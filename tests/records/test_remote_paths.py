"""Inputs and outputs by URL: the same as files that are here."""

import gzip
import json
import os
import pickle
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from synthtools.cli.app import build
from synthtools.errors import OutputExistsError, SynthError, UsageError
from synthtools.records import remote_paths
from synthtools.records.atomic_files import SentFile
from synthtools.records.inputs import find_shards
from synthtools.records.remote_paths import RemotePath, path_of

fsspec = pytest.importorskip("fsspec")


def synth(*words):
    build()([str(word) for word in words], standalone_mode=False)


@pytest.fixture(params=["memory", "file"])
def root(request, tmp_path):
    """A place that is empty: of a store of objects, and of a file system."""
    if request.param == "file":
        return f"file://{tmp_path}/root"
    store = fsspec.filesystem("memory")
    store.store.clear()
    store.pseudo_dirs[:] = [""]
    return "memory://root"


@pytest.fixture
def folder(tmp_path):
    """Shards of three kinds in folders, and what is no shard."""
    found = tmp_path / "in"
    (found / "deep").mkdir(parents=True)
    lines = [json.dumps({"id": n, "text": f"record {n}"}) for n in range(300)]
    (found / "b.jsonl").write_text("\n".join(lines[:100]) + "\n")
    (found / "deep" / "a.jsonl.gz").write_bytes(gzip.compress("\n".join(lines[100:200]).encode()))
    synth("cat", found / "b.jsonl", "-o", found / "c.parquet")
    (found / "README.md").write_text("no records")
    (found / "_hidden.jsonl").write_text("{}")
    return found


def copied(folder, root):
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            place = path_of(f"{root}/{path.relative_to(folder)}")
            place.parent.mkdir()
            place.put(path)
    return root


def contents(root):
    return {str(place)[len(root) :]: place.read_bytes() for place in RemotePath(root).walk()}


def local(folder):
    return {
        f"/{path.relative_to(folder)}": path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_what_is_read_and_written_is_what_files_would_be(root, folder, tmp_path):
    there = copied(folder, f"{root}/in")
    names = [shard.name for shard in find_shards([there])]
    assert names == [f"{there}/{n}" for n in ("b.jsonl", "c.parquet", "deep/a.jsonl.gz")]
    for name in ("out.jsonl.zst", "out.parquet"):
        synth("cat", folder, "-o", tmp_path / name, "-q")
        synth("cat", there, "-o", f"{root}/{name}", "-q")
        assert RemotePath(f"{root}/{name}").read_bytes() == (tmp_path / name).read_bytes()
    synth("cat", folder, "-o", f"{tmp_path}/shards/", "--shard-size", "70", "-q")
    synth("cat", there, "-o", f"{root}/shards/", "--shard-size", "70", "-q")
    found, expected = contents(f"{root}/shards"), local(tmp_path / "shards")
    for files in (found, expected):
        files.pop("/.synth.json")
    assert found == expected and len(found) == 5
    two = ("dsir", there, "--target", f"{there}/b.jsonl", "-n", "9", "--min-tokens", "1", "-q")
    synth(*two, "-o", tmp_path / "chosen.jsonl")
    here = ("dsir", folder, "--target", folder / "b.jsonl", "-n", "9", "--min-tokens", "1", "-q")
    synth(*here, "-o", tmp_path / "expected.jsonl")
    assert (tmp_path / "chosen.jsonl").read_bytes() == (tmp_path / "expected.jsonl").read_bytes()


def test_what_is_there_stands_until_it_is_replaced(root, folder):
    there = copied(folder, f"{root}/in")
    output = f"{root}/out.jsonl"
    synth("cat", f"{there}/b.jsonl", "-o", output, "-q")
    before = RemotePath(output).read_bytes()
    with pytest.raises(OutputExistsError, match="already there; --force replaces it"):
        synth("cat", f"{there}/b.jsonl", "-o", output, "-q")
    with pytest.raises(SynthError, match="holds shards already"):
        synth("cat", there, "-o", f"{root}/d/", "-q")
        synth("cat", there, "-o", f"{root}/d/", "-q")
    path_of(f"{there}/bad.jsonl").put(_file(folder / "bad", b'{"text":"a"}\noops\n'))
    with pytest.raises(SynthError, match=r"bad.jsonl:2"):
        synth("cat", f"{there}/bad.jsonl", "-o", output, "--force", "-q")
    assert RemotePath(output).read_bytes() == before
    assert not [name for name in contents(root) if "partial" in name]
    with pytest.raises(SynthError, match="both input and output"):
        synth("cat", output, "-o", output, "--force", "-q")
    with pytest.raises(SynthError, match=r"holds the input .*b\.jsonl; write to another"):
        synth("cat", f"{there}/b.jsonl", "-o", f"{there}/", "-q")
    synth("cat", f"{there}/c.parquet", "-o", output, "--force", "-q")
    assert RemotePath(output).read_bytes() == before.replace(b": ", b":").replace(b", ", b",")


def test_what_came_there_meanwhile_is_not_replaced(root, folder, monkeypatch):
    there = copied(folder, f"{root}/in")
    output = RemotePath(f"{root}/out.jsonl")

    def late(self):
        output.put(_file(folder / "other", b"theirs"))
        settle(self)

    settle = SentFile.settle
    monkeypatch.setattr(SentFile, "settle", late)
    with pytest.raises(
        OutputExistsError, match=r"out\.jsonl: was made by another program meanwhile"
    ):
        synth("cat", f"{there}/b.jsonl", "-o", str(output), "-q")
    assert output.read_bytes() == b"theirs"


def test_a_run_is_gone_on_with(root, folder, monkeypatch):
    there = copied(folder, f"{root}/in")
    words = ("cat", there, "-o", f"{root}/out/", "--shard-size", "70", "-q")
    sent = []

    def failing(self):
        sent.append(self.path.name)
        if len([name for name in sent if name.startswith("part")]) == 3:
            raise SynthError("the network is gone")
        commit(self)

    commit = SentFile.commit
    monkeypatch.setattr(SentFile, "commit", failing)
    with pytest.raises(SynthError, match="network is gone"):
        synth(*words)
    monkeypatch.undo()
    assert len([name for name in contents(f"{root}/out") if "part" in name]) == 2
    monkeypatch.setattr(
        SentFile, "commit", lambda self: (sent.append(self.path.name), commit(self))
    )
    del sent[:]
    synth(*words, "--resume")
    assert sorted({n for n in sent if n.startswith("part")}) == [
        f"part-0000{i}.jsonl" for i in (2, 3, 4)
    ]
    synth("cat", there, "-o", f"{root}/whole/", "--shard-size", "70", "-q")
    found, whole = contents(f"{root}/out"), contents(f"{root}/whole")
    assert found == whole
    path_of(f"{there}/b.jsonl").put(_file(folder / "new", b'{"text":"another"}\n'))
    with pytest.raises(SynthError, match="started with other inputs"):
        synth(*words, "--resume")


def _file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_fingerprints_change_with_the_content(root, folder):
    there = copied(folder, f"{root}/in")
    before = [shard.fingerprint() for shard in find_shards([there])]
    assert None not in before and len(set(before)) == 3
    assert [shard.fingerprint() for shard in find_shards([there])] == before
    content = (folder / "b.jsonl").read_bytes().replace(b"record 5", b"record 6")
    path_of(f"{there}/b.jsonl").put(_file(folder / "new", content))
    after = [shard.fingerprint() for shard in find_shards([there])]
    assert after[0] != before[0] and after[1:] == before[1:]


def test_what_cannot_be_had_is_told_in_a_line(monkeypatch, tmp_path):
    for name, kind, said in (
        ("memory://nowhere/a.jsonl", SynthError, "No such file or directory"),
        ("nonsense://a/b.jsonl", UsageError, "nonsense:// is not known to fsspec"),
    ):
        with pytest.raises(kind, match=said) as raised:
            find_shards([name])
        assert str(raised.value).startswith(name.split("/b")[0])

    class Store:
        def __getattr__(self, name):
            def fail(*_, **__):
                raise KeyError("some trouble\nof a library")

            return fail

        def _strip_protocol(self, url):
            return url

    monkeypatch.setattr(remote_paths, "_system", lambda *_: Store())
    with pytest.raises(SynthError, match=r"^s3://b/a: 'some trouble.nof a library'$"):
        find_shards(["s3://b/a"])
    with pytest.raises(SynthError, match=r"^s3://b/a.jsonl: cannot be written: 'some"):
        synth("cat", _file(tmp_path / "a", b"{}"), "-o", "s3://b/a.jsonl")


def test_a_missing_package_is_named(monkeypatch):
    def missing(url):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    remote_paths._system.cache_clear()
    with pytest.raises(UsageError, match=r"^s3://bucket.*needs s3fs: pip install s3fs$"):
        find_shards(["s3://bucket/a.jsonl"])


def test_a_place_travels(root):
    place = RemotePath(f"{root}/a/b.jsonl")
    assert pickle.loads(pickle.dumps(place)) == place and place.parent / "b.jsonl" == place
    assert isinstance(path_of(os.curdir), Path)


class Quiet(SimpleHTTPRequestHandler):
    """Serves files; what is called ``broken`` it cannot."""

    def do_GET(self):
        if "broken" in self.path:
            self.send_error(500)
        else:
            super().do_GET()

    def log_message(self, *_): ...


@pytest.fixture
def web(folder):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_files_over_http_are_read(web, folder, tmp_path, monkeypatch):
    pytest.importorskip("aiohttp")
    for name in ("b.jsonl", "deep/a.jsonl.gz", "c.parquet"):
        synth("cat", f"{web}/{name}", "-o", tmp_path / f"{Path(name).stem}.jsonl", "--force", "-q")
        synth("cat", folder / name, "-o", tmp_path / "expected.jsonl", "--force", "-q")
        found = (tmp_path / f"{Path(name).stem}.jsonl").read_bytes()
        assert found == (tmp_path / "expected.jsonl").read_bytes()
    with pytest.raises(SynthError, match=f"^{web}/no.jsonl: No such file or directory$"):
        synth("cat", f"{web}/no.jsonl")
    with pytest.raises(SynthError, match=f"^{web}/broken.jsonl: HTTP 500$"):
        synth("cat", f"{web}/broken.jsonl")
    with pytest.raises(SynthError, match="not directories: name each file"):
        synth("cat", f"{web}/deep/")
    with pytest.raises(SynthError, match=r"^http://127.0.0.1:1/a.jsonl: no server answers \("):
        synth("cat", "http://127.0.0.1:1/a.jsonl")
    with pytest.raises(
        UsageError, match=r"^-o http.*/o.jsonl: over HTTP files are read, not written"
    ):
        synth("cat", folder / "b.jsonl", "-o", f"{web}/o.jsonl")
