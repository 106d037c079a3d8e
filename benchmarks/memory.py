"""Peak memory of whole tools against the size of their input: it should not grow with it."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.common import texts

CASES = {
    "cat → jsonl.zst": (["cat"], "out.jsonl.zst", (20, 200)),
    "cat → parquet": (["cat"], "out.parquet", (20, 200, 2000)),
    "stats": (["stats"], None, (20, 200, 2000)),
    # The smallest model there can be: it reads some 500 kB a second, so no more than 30 MB in a minute.
    "ppl": (["ppl", "--model", "TINY"], "out.jsonl", (3, 30)),
    "edit": (["edit", "--model", "TINY"], "out.jsonl", (3, 15)),
    "ngram-hash": (["ngram-hash"], None, (100, 2000)),
    "ngram-hash --top 40": (["ngram-hash", "--top", "40"], None, (100, 2000)),
    "dsir": (["dsir", "--target", "TARGET", "-n", "1000"], "out.jsonl", (100, 2000)),
    "mix --unit words": (["mix", "--unit", "words"], "out.jsonl", (100, 2000)),
    "sample": (["sample", "-n", "1000"], "out.jsonl", (100, 2000)),
}
# Inputs above so many MB are made by repetition.
_WRITTEN = 100


def peak(arguments: list[str]) -> float:
    """Peak resident memory of a synth command, MB."""
    code = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)\n"
    )
    command = [sys.executable, "-c", code, sys.executable, "-m", "synthtools", *arguments]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def written(source: Path, size: float) -> None:
    """Writes about so many MB of records."""
    repeated = max(1, round(size / _WRITTEN))
    with open(source, "w") as file:
        for turn in range(repeated):
            for number, text in enumerate(texts(min(size, _WRITTEN))):
                file.write(json.dumps({"id": f"{turn}-{number}", "text": text}) + "\n")


_TINY = {
    "model_type": "llama",
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "vocab_size": 2000,
    "tie_word_embeddings": True,
}


def tiny(folder: Path, data: Path) -> Path:
    """A model of one layer of 16 numbers, after one step."""
    model, shape = folder / "tiny", folder / "tiny.json"
    shape.write_text(json.dumps(_TINY))
    words = ["train", str(data), "--arch", str(shape), "--train-tokenizer", "2000"]
    words += ["--context", "128", "--batch", "8", "--tokens", "1024", "-o", str(model)]
    command = [sys.executable, "-m", "synthtools", *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return model


def main() -> None:
    """Runs the cases, or those that BENCH_CASES names, separated by commas."""
    wanted = os.environ.get("BENCH_CASES")
    with tempfile.TemporaryDirectory() as folder:
        source, goal = Path(folder) / "in.jsonl", Path(folder) / "target.jsonl"
        written(goal, 1)
        stands_for = {"TARGET": str(goal), "TINY": str(tiny(Path(folder), goal))}
        for name, (arguments, output, sizes) in CASES.items():
            if wanted and name not in wanted.split(","):
                continue
            peaks = []
            for size in sizes:
                written(source, size)
                words = [stands_for.get(word, word) for word in arguments]
                words.append(f"{source}=1" if arguments[0] == "mix" else str(source))
                if output:
                    words += ["-o", str(Path(folder) / output), "--force"]
                peaks.append(peak(words))
            told = (
                f"{there:,.0f} MB at {size:,} MB" for there, size in zip(peaks, sizes, strict=True)
            )
            print(f"{name}: {', '.join(told)} of input", flush=True)
