"""Peak memory of whole tools against the size of their input: it should not grow with it."""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.common import texts

CASES = {
    "cat → jsonl.zst": (["cat"], "out.jsonl.zst", (20, 200)),
    "cat → parquet": (["cat"], "out.parquet", (100, 400)),
    "ppl": (["ppl", "--context", "128"], "out.jsonl", (0.2, 1.6)),
    "edit": (["edit", "--context", "128"], "out.jsonl", (0.2, 1.6)),
}


def peak(arguments: list[str]) -> float:
    """Peak resident memory of a synth command, MB."""
    code = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)\n"
    )
    command = [sys.executable, "-c", code, sys.executable, "-m", "synthtools", *arguments]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    assert resource  # Unix only
    with tempfile.TemporaryDirectory() as folder:
        for name, (arguments, output, sizes) in CASES.items():
            peaks = []
            for size in sizes:
                source = Path(folder) / "in.jsonl"
                with open(source, "w") as file:
                    for number, text in enumerate(texts(size)):
                        file.write(json.dumps({"id": number, "text": text}) + "\n")
                target = Path(folder) / output
                peaks.append(peak([*arguments, str(source), "-o", str(target), "--force"]))
            small, large = sizes
            print(
                f"{name}: {peaks[0]:,.0f} MB at {small} MB of input, {peaks[1]:,.0f} MB at {large} MB: "
                f"ratio {peaks[1] / peaks[0]:.2f}"
            )


if __name__ == "__main__":
    main()
