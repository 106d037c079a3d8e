"""What a reader is, and the file that it reads."""

from __future__ import annotations

import atexit
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Reader(NamedTuple):
    """A reader.

    Attributes:
        read: given bytes; raises SynthError where it refuses them.
        seeds: gives sound files.
        is_json: what it reads is JSON, whose values are worth changing one by one.
    """

    read: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]
    is_json: bool = False


# Names a folder for a process that ends without a word, and whose starter tidies up.
PLACE = "SYNTH_FAULTS_PLACE"


@contextmanager
def new_place() -> Iterator[Path]:
    """A folder in memory, where there is such a thing, for the time being."""
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        prefix="synth-readers-", dir=shm if shm.is_dir() else None, ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


@cache
def place() -> Path:
    """The folder of this process for the file that is read."""
    given = os.environ.get(PLACE)
    if given:
        return Path(given)
    lasting = ExitStack()
    atexit.register(lasting.close)
    return lasting.enter_context(new_place())


def file(data: bytes, name: str) -> Path:
    path = place() / name
    path.write_bytes(data)
    return path
