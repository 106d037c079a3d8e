"""The tools of the command line, with what makes them quick."""

from __future__ import annotations

from pathlib import Path

from faults.cases import human, model, run, silent

FORMS = ("jsonl", "jsonl.gz", "jsonl.zst", "parquet", "arrow")
# Tools that pass records on, with what makes them quick; @ is a model, = the sources' share.
FILTERS: dict[str, tuple[object, ...]] = {
    "cat": (),
    "ppl": ("--model", "@"),
    "edit": ("--model", "@", "--threshold", 0.05),
    "embed": ("--model", "@"),
    "generate": ("--model", "@", "--continue", 4, "--max-new-tokens", 4),
    "ngram-hash": ("--per-record", "minhash"),
    "sample": ("-n", "half"),
    "mix": ("=",),
    "dsir": ("--target", "data", "-n", "half", "--min-tokens", 0, "-q"),
}


def words_of(tool: str, data: Path, *more: object) -> list[object]:
    """The command line of a filter over a file."""
    half = len(data.read_bytes().splitlines()) // 2
    options = [
        {"@": model(), "data": data, "half": half}.get(str(word), word)
        for word in FILTERS[tool]
        if word != "="
    ]
    source = ["--", f"{data}=1"] if "=" in FILTERS[tool] else [data]
    return [tool, *options, *more, *source]


def uninterrupted(tool: str, data: Path, folder: Path) -> tuple[dict[str, bytes], list[object]]:
    """What a tool writes into a directory, and the words that make it do so, but for ``-o``."""
    words = words_of(tool, data, "--shard-size", 5)
    silent(run(*words[:1], "--quiet", "-o", folder / "whole", *words[1:]))
    return content(folder / "whole"), words


def content(folder: Path) -> dict[str, bytes]:
    """The shards of a directory."""
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.name != ".synth.json"}


def silent_output(words: list[object]) -> bytes:
    """The stdout of a run that has nothing to say."""
    done = run(*words)
    silent(done)
    return done.stdout


def training(data: Path) -> dict[str, tuple[object, ...]]:
    """The words after ``train`` and ``unlearn`` for some steps on a file, but for ``-o``."""
    human(data.parent, 30, "replay.jsonl")
    return {
        "train": (
            *(data, "--arch", "llama-tiny", "--train-tokenizer", 400, "--context", 64),
            *("--batch", 4, "--tokens", 256 * 6, "--checkpoint-every", 2),
        ),
        "unlearn": (
            *("--model", model(), "--forget", data, "--replay", data.with_name("replay.jsonl")),
            *("--context", 64, "--batch", 4, "--tokens", 256 * 6, "--checkpoint-every", 2),
        ),
    }
