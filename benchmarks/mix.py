"""Mixing beside the mere decompression of the same files, beside dolma's mixer, beside the tokenizer.

Two sources of half the size each become one mixture; compressed ones beside zstd, plain ones beside dolma. Every document is an order of words of its
own, so that the files shrink as text does. Seconds are those of whole processes without what an input of a
few records takes, on one core where nothing else is said. What mix writes is synced to disk; what zstd and cat
write is not, where nothing else is said. dolma runs where BENCH_DOLMA names a Python that
has it; its mixer is called without the package around it, which would only add to its start.
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import orjson
import zstandard

from benchmarks.common import machine, texts
from benchmarks.data import seconds
from synthtools.lm.model_name import ModelName

MEGABYTES = float(os.environ.get("BENCH_MEGABYTES", 200))
TOKEN_MEGABYTES = 20.0

DOLMA = """
import glob, importlib.machinery, importlib.util, json, sys
(folder,) = importlib.util.find_spec("dolma").submodule_search_locations
(path,) = glob.glob(folder + "/dolma.*.so")
loader = importlib.machinery.ExtensionFileLoader("dolma", path)
mixer = importlib.util.module_from_spec(importlib.util.spec_from_loader("dolma", loader))
out, form, *documents = sys.argv[1:]
stream = {
    "name": "mix",
    "documents": documents,
    "attributes": [],
    "compression": {"input": None, "output": form},
    "output": {
        "path": out, "max_size_in_bytes": 1 << 40, "min_text_length": 0, "discard_fields": []
    },
}
work = {"input": out + "/in", "output": out + "/out"}
mixer.mixer_entrypoint(json.dumps(
    {"streams": [stream], "processes": 1, "shuffle": True, "work_dir": work}
))
"""

TOKENIZER = """
import sys, time
import orjson
from tokenizers import Tokenizer
tokenizer = Tokenizer.from_file(sys.argv[1])
texts = [orjson.loads(line)["text"] for line in open(sys.argv[2], "rb")]
start = time.perf_counter()
for at in range(0, len(texts), 256):
    sum(len(x) for x in tokenizer.encode_batch_fast(texts[at:at + 256], add_special_tokens=False))
print(time.perf_counter() - start)
"""


def written(path: Path, megabytes: float, seed: int) -> float:
    """Writes JSONL, compressed where the name says so; returns its MB."""
    shuffler = random.Random(seed)
    size = 0
    with open(path, "wb") as file:
        compressor = zstandard.ZstdCompressor()
        out = compressor.stream_writer(file, closefd=False) if path.suffix == ".zst" else file
        for number, text in enumerate(texts(megabytes)):
            words = text.split(" ")
            shuffler.shuffle(words)
            line = orjson.dumps({"id": f"{seed}-{number}", "text": " ".join(words)}) + b"\n"
            out.write(line)
            size += len(line)
        if out is not file:
            out.close()
    return size / 1e6


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        halves = [folder / "a.jsonl.zst", folder / "b.jsonl.zst"]
        size = sum(written(path, MEGABYTES / 2, seed) for seed, path in enumerate(halves))
        plain_halves = [folder / "a.jsonl", folder / "b.jsonl"]
        few = [folder / "few-a.jsonl", folder / "few-b.jsonl"]
        for seed, (path, small) in enumerate(zip(plain_halves, few, strict=True)):
            written(path, MEGABYTES / 2, seed)
            written(small, 0.01, seed)

        def mixed(sources: list[Path], output: str, *more: object, cores: int = 1) -> float:
            shares = [f"{path}={1 / len(sources)}" for path in sources]
            (folder / output).unlink(missing_ok=True)  # to free its blocks would count, too
            return seconds(
                *(sys.executable, "-m", "synthtools", "mix", *shares, *more),
                *("--jobs", cores, "-o", folder / output, "--force"),
                cores=cores,
            )

        def ours(
            output: str, *more: object, cores: int = 1, sources: list[Path] = halves
        ) -> tuple[float, float]:
            """Seconds without the start, and the start."""
            start = min(mixed(few, output, *more, cores=cores) for _ in range(3))
            whole = min(mixed(sources, output, *more, cores=cores) for _ in range(2))
            return max(1e-9, whole - start), start

        alone = None
        if shutil.which("zstd"):

            def piped(then: str) -> float:
                command = f'cd {folder}; zstd -dcq "$@" | cat > out{then}'
                times = []
                for _ in range(3):
                    (folder / "out").unlink(missing_ok=True)
                    times.append(seconds("bash", "-c", command, "zstd", *halves, cores=1))
                return min(times)

            alone, synced = piped(""), piped("; sync out")
            print(f"zstd -d | cat: {size / alone:.0f} MB/s a core; synced: {size / synced:.0f}")
        for what, sources in (("zst", halves), ("jsonl", plain_halves)):
            spent, start = ours("out.jsonl", sources=sources)
            line = f"mix by bytes, {what} → jsonl: {size / spent:.0f} MB/s a core"
            if alone and sources is halves:
                line += f" = {alone / spent:.2f} of zstd -d | cat"
            if (os.cpu_count() or 1) > 1:
                both, _ = ours("out.jsonl", cores=2, sources=sources)
                line += f"; two cores × {spent / both:.2f}, {size / both:.0f} MB/s"
            print(f"{line}; start {start:.1f} s", flush=True)
        shuffled, _ = ours("out.jsonl", "--shuffle")
        print(f"mix by bytes --shuffle: {size / shuffled:.0f} MB/s a core", flush=True)

        python = os.environ.get("BENCH_DOLMA")
        if python:

            def theirs(sources: list[Path], form: str) -> float:
                shutil.rmtree(folder / "dolma", ignore_errors=True)
                return seconds(python, "-c", DOLMA, folder / "dolma", form, *sources, cores=1)

            # dolma always compresses; gzip is what it does by itself.
            for form, output in (("gz", "out.jsonl"), ("zst", "out.jsonl.zst")):
                mine, _ = ours(output, sources=plain_halves)
                other = min(theirs(plain_halves, form) for _ in range(2))
                other -= min(theirs(few, form) for _ in range(2))
                print(
                    f"dolma mix, jsonl → {form}: {size / other:.0f} MB/s a core; mix, jsonl → "
                    f"{output.removeprefix('out.')}: {size / mine:.0f}, × {other / mine:.1f}",
                    flush=True,
                )
        by_tokens(folder, mixed)
        print(f"({size:.0f} MB of JSONL in two sources; {machine()})")


def by_tokens(folder: Path, mixed) -> None:  # type: ignore[no-untyped-def]
    """The tokenizer alone, texts in memory, against the whole tool."""
    source, few = folder / "t.jsonl", folder / "t-few.jsonl"
    size = written(source, TOKEN_MEGABYTES, 7)
    written(few, 0.01, 7)
    os.environ["RAYON_NUM_THREADS"] = "1"
    command = (
        sys.executable,
        "-c",
        TOKENIZER,
        f"{ModelName('builtin').location}/tokenizer.json",
        source,
    )

    def alone() -> float:
        done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
        return float(done.stdout)

    options = ("--tokenizer", "builtin")
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    mixed([source], "out.jsonl", *options)
    pairs = []
    for _ in range(2):
        start, whole = (
            mixed([path], "out.jsonl", *options, "--no-cache") for path in (few, source)
        )
        again = mixed([source], "out.jsonl", *options)
        pairs.append((alone(), whole - start, start, again - start))
    del os.environ["RAYON_NUM_THREADS"], os.environ["XDG_CACHE_HOME"]
    tokenizer, spent, start, again = (min(column) for column in zip(*pairs, strict=True))
    print(
        f"mix by tokens: {size / spent:.1f} MB/s a core = {tokenizer / spent:.2f} of the tokenizer "
        f"alone ({size / tokenizer:.1f}); start {start:.1f} s; of counted files {size / again:.0f} MB/s",
        flush=True,
    )
