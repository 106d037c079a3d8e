"""Memory that does not suffice: for records, for a model, for its batches."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from faults.cases import (
    Seen,
    case,
    human,
    model,
    nothing_left,
    run_cold,
    seen,
    sound,
)
from faults.tools import silent_output, training, words_of


@case("memory limited (`ulimit -v`): a tool that starts, and records that do not fit")
def memory_limit(folder: Path) -> Seen:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))

    large = folder / "large.jsonl"
    with open(large, "wb") as file:
        file.write(b'{"text": "')
        for _ in range(200):
            file.write(b"x" * (1 << 20))
        file.write(b'"}\n')
    (folder / "o").mkdir()
    done = run_cold("cat", large, "-o", folder / "o" / "a.jsonl", preexec_fn=limit)
    result = seen(done, "out of memory")
    nothing_left(folder / "o")
    data = human(folder, 200)
    done = run_cold("cat", data, preexec_fn=limit)
    sound(done.stdout == data.read_bytes(), "400 MB do not suffice for small records")
    return result


@case("memory limited (`ulimit -v`) below what a model needs: ppl, edit, train")
def memory_limit_of_models(folder: Path) -> Seen:
    data = human(folder, 20)
    last = Seen()
    for megabytes in (600, 1000, 1500, 2000, 3000):

        def limit(size: int = megabytes << 20) -> None:
            resource.setrlimit(resource.RLIMIT_AS, (size, size))

        for words in (["ppl", "--model", model(), data], ["train", *training(data)["train"]]):
            out = folder / "out.jsonl"
            more = ["-o", out] if words[0] == "ppl" else ["-o", folder / "m"]
            done = run_cold(*words, *more, "--force", preexec_fn=limit)
            if done.returncode:
                last = seen(done, more=words[0] == "train")
                sound(not out.exists(), "half an output")
            out.unlink(missing_ok=True)
    sound(last.code == 1, "no limit was too small")
    return last


@case("the model runs out of memory at large batches: ppl, edit, embed, generate, unlearn, train")
def model_out_of_memory(folder: Path) -> Seen:
    data = human(folder, 40)
    last = Seen()
    for tool in ("ppl", "edit", "embed", "generate"):
        words = words_of(tool, data)
        whole = silent_output(words)
        for kind in ("cuda", "cpu"):
            done = _starved(words, kind)
            errors = done.stderr.decode().splitlines()
            sound(done.returncode == 0, f"{tool}, {kind}: {errors[-1:]}")
            sound(done.stdout == whole, f"{tool}: other output after smaller batches")
            sound(
                len(errors) == 1 and "going on with smaller batches" in errors[0],
                f"{tool}, {kind}: not said once: {errors}",
            )
            last = Seen(errors[0].removeprefix("synth: "), 0)
    return last


_STARVE = """
import sys
import torch
kind, most, sys.argv = sys.argv[1], int(sys.argv[2]), ["synth", *sys.argv[3:]]
failure = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
if kind == "cpu":
    failure = RuntimeError(
        "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: "
        "you tried to allocate 17179869184 bytes. Error code 12 (Cannot allocate memory)"
    )
from transformers.models.llama.modeling_llama import LlamaModel
whole = LlamaModel.forward
def forward(self, input_ids=None, **more):
    if input_ids is not None and len(input_ids) > most:
        raise failure
    return whole(self, input_ids, **more)
LlamaModel.forward = forward
from synthtools.cli.app import main
main()
"""


def _starved(words: list[object], kind: str, most: int = 4) -> subprocess.CompletedProcess[bytes]:
    """Runs a tool whose model has memory for so many sequences at once."""
    command = [sys.executable, "-c", _STARVE, kind, str(most), *map(str, words)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
