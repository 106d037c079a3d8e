"""``synth dedup --index redis://…`` on a real Redis."""

import json
import shutil
import socket
import subprocess
import time

import numpy as np
import pytest
from datasketch import MinHash, MinHashLSH

import kernel_reference as reference
from running import synth

redis = pytest.importorskip("redis")
if shutil.which("redis-server") is None:
    pytest.skip("needs redis-server", allow_module_level=True)

RANDOM = np.random.default_rng(3)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The port of a server of our own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [
        "--port",
        port,
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        tmp_path_factory.mktemp("r"),
    ]
    process = subprocess.Popen(["redis-server", *map(str, words)], stdout=subprocess.DEVNULL)
    try:
        client = redis.Redis(port=port)
        for _ in range(200):
            try:
                client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two files of texts that are much alike within and across."""
    path = tmp_path_factory.mktemp("texts")
    texts = [" ".join(f"w{n}" for n in RANDOM.integers(0, 400, 40)) for _ in range(30)]
    for name in ("a", "b"):
        lines = []
        for number in range(60):
            words = texts[RANDOM.integers(30)].split()
            words[RANDOM.integers(40)] = f"x{RANDOM.integers(4)}"
            lines.append(json.dumps({"id": f"{name}{number}", "text": " ".join(words)}) + "\n")
        lines.append(json.dumps({"id": f"{name}-empty", "text": ""}) + "\n")
        (path / f"{name}.jsonl").write_text("".join(lines))
    return path


@pytest.mark.parametrize("hashed", ["fast", "sha1"])
def test_a_shared_index_removes_what_a_directory_does(server, folder, tmp_path, hashed):
    words = ["--near", "--similarity", 0.7, "--hash", hashed, "--index"]
    url = f"redis://127.0.0.1:{server}/{hashed}"
    for name in ("a", "b"):
        here = synth("dedup", folder / f"{name}.jsonl", *words, tmp_path / "index")
        there = synth("dedup", folder / f"{name}.jsonl", *words, url, "--report", tmp_path / name)
        assert there == here
        assert 0 < here.count(b"\n") < 61 if name == "a" else b"b-empty" in here
    report = json.loads((tmp_path / "b").read_text())
    assert url in [pair["kept_in"] for pair in report["by_pair"]] and report["known"] > 0
    assert synth("dedup", folder / "b.jsonl", *words, url).count(b"\n") == 1  # the empty text


def test_datasketch_reads_the_index(server, folder):
    synth(
        "dedup",
        folder / "a.jsonl",
        "--near",
        "--hash",
        "sha1",
        "--index",
        f"redis://127.0.0.1:{server}/d",
    )
    store = {"type": "redis", "basename": b"d", "redis": {"host": "127.0.0.1", "port": server}}
    lsh = MinHashLSH(num_perm=128, params=(21, 6), storage_config=store, prepickle=False)
    client = redis.Redis(port=server)
    for line in (folder / "a.jsonl").read_text().splitlines()[:60]:
        peer = MinHash(num_perm=128)
        peer.update_batch([one.encode() for one in reference.shingles(json.loads(line)["text"])])
        found = [client.hget("d_signatures", key) for key in lsh.query(peer)]
        assert peer.hashvalues.astype("<u4").tobytes() in found


def test_a_run_that_ended_but_for_the_index_is_added_once_more(server, folder, tmp_path):
    url = f"redis://127.0.0.1:{server}/k"
    words = [
        "dedup",
        folder / "a.jsonl",
        "--near",
        "--index",
        url,
        "-o",
        tmp_path / "out/",
        "--resume",
    ]
    synth(*words)
    client = redis.Redis(port=server)
    before, names = client.hgetall("k_signatures"), sorted(client.keys("k_*"))
    client.delete("k_jobs", "k_keys", *client.keys("k_bucket_*"))  # killed while it added them
    client.hdel("k_signatures", *list(before)[:5])
    synth(*words)
    assert client.hgetall("k_signatures") == before and sorted(client.keys("k_*")) == names
    client.hdel("k_signatures", *before)
    again = synth("dedup", folder / "a.jsonl", "--near", "--index", url, code=1)
    assert "signatures are missing" in again


def test_what_is_wrong_is_one_line(server, folder):
    url = f"redis://127.0.0.1:{server}/w"
    words = ("dedup", folder / "a.jsonl", "--index")
    assert "goes with --near" in synth(*words, url, code=2)
    assert "name a host and an index" in synth(*words, "redis://127.0.0.1", "--near", code=2)
    synth(*words, url, "--near")
    assert "was made with" in synth(*words, url, "--near", "--similarity", 0.5, code=1)
    assert "is the server running?" in synth(
        *words, "redis://:secret@127.0.0.1:9/w", "--near", code=1
    )
    assert "secret" not in synth(*words, "redis://:secret@127.0.0.1:9/w", "--near", code=1)
