"""One reader in a process of its own: a crash of a library is a finding, not the end of the battery."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from faults import cases
from faults.fuzzing.files import fuzz, fuzz_by_coverage
from faults.readers import READERS


def main() -> None:
    """A reader, fuzzed in this process: its name, and how much."""
    way, name, *more = sys.argv[1:]
    given_model = os.environ.get("SYNTH_FAULTS_MODEL")
    if given_model:
        cases._MODEL.append(Path(given_model))
    if way == "hypothesis":
        fuzz(READERS[name], int(more[0]), int(more[1]))
    else:
        fuzz_by_coverage(READERS[name], int(more[0]), Path(more[1]))


main()
