from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from synthtools.records.batch import Batch
from synthtools.records.inputs import find_shards
from synthtools.records.reader import read
from synthtools.records.record_keys import RecordKeys
from synthtools.records.rejects import Rejects

# The models of these tests are too small for more than one.
torch.set_num_threads(1)


def _read(path: Path, batch_bytes: int = 1 << 20) -> Iterator[Batch]:
    return read(find_shards([str(path)]), Rejects(), batch_bytes=batch_bytes)


@pytest.fixture(scope="session")
def batches_of() -> Callable[..., Iterator[Batch]]:
    """The records of a file in batches of ``batch_bytes``."""
    return _read


@pytest.fixture(scope="session")
def keyed() -> Callable[..., Iterator[tuple[Batch, np.ndarray]]]:
    """The records of a file, with their keys."""

    def keyed_batches(path: Path, batch_bytes: int = 1 << 20) -> Iterator[tuple[Batch, np.ndarray]]:
        keys = RecordKeys()
        for batch in _read(path, batch_bytes):
            yield batch, keys.of(batch.column("id"), batch.column("text"))

    return keyed_batches
