"""``python -m faults``: runs cases, writes the table, fails where anything was lost."""

import importlib
import sys
import tempfile
import time
from pathlib import Path

from faults.cases import CASES, Options, play

FAMILIES = ("surroundings", "fuzzing", "hostile", "servers", "kills")


def main():
    for f in FAMILIES:
        try:
            importlib.import_module("faults." + f)
        except ModuleNotFoundError as e:
            print(e)
    with tempfile.TemporaryDirectory(prefix="synth-faults-") as t:
        Path(t).chmod(0o711)
        for name, c in CASES.items():
            if sys.argv[1:] and not any(name.startswith(w) for w in sys.argv[1:]):
                continue
            s = time.monotonic()
            seen = play(c, Path(t) / name, Options())
            print(f"{time.monotonic() - s:6.1f}s {name:45} {seen}", flush=True)
