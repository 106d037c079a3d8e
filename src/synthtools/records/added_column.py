"""A field that a tool adds to records, to be written as JSON or Arrow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from synthtools.records.jsonl import json_bytes

# The type of an added field's values; ``records.nested_columns`` maps each to an Arrow type.
#   ids: int32 array; hashes: uint32 array; logprobs: float32 array, NaN where a token has none;
#   vector: float32 array, of the same length for all records;
#   candidates: (present, ids, logprobs): bool array [tokens], int32 and float32 arrays
#   [tokens present, k]; written as {"ids": […], "logprobs": […]} or null per token
FieldKind = Literal["float", "int", "string", "ids", "hashes", "logprobs", "vector", "candidates"]


@dataclass(frozen=True)
class Column:
    """Values of an added field, one per record; None for a record without one."""

    kind: FieldKind
    values: Sequence[Any]

    def take(self, indices: Sequence[int] | np.ndarray) -> Column:
        return Column(self.kind, [self.values[i] for i in indices])

    def sizes(self) -> np.ndarray:
        """Approximate bytes of each value, int64."""
        size = _SIZES.get(self.kind, lambda value: 8)
        return np.array([8 if v is None else size(v) for v in self.values], np.int64)

    def json(self, index: int) -> bytes:
        """One value as JSON."""
        value = self.values[index]
        if self.kind == "float" and value is not None and not np.isfinite(value):
            return repr(float(value)).replace("inf", "Infinity").replace("nan", "NaN").encode()
        if self.kind == "candidates" and value is not None:
            present, ids, logprobs = value
            rows = iter(zip(ids, logprobs, strict=True))
            value = [
                dict(zip(("ids", "logprobs"), next(rows), strict=True)) if p else None
                for p in present
            ]
        return json_bytes(value)


_SIZES: dict[FieldKind, Callable[[Any], int]] = {
    "string": len,
    "ids": lambda value: 4 * len(value),
    "hashes": lambda value: 4 * len(value),
    "logprobs": lambda value: 4 * len(value),
    "vector": lambda value: 4 * len(value),
    "candidates": lambda value: len(value[0]) + 8 * value[1].size,
}
