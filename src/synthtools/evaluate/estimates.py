"""Figures over items with bootstrap intervals, including ratios of sums over groups of items."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from synthtools.measure.bootstrap import intervals

if TYPE_CHECKING:
    from synthtools.evaluate.evaluator import EvaluationOptions

# Cells (resamples × groups) of the table of weights in memory at once.
_CELLS = 4_000_000


def draw_of(seed: int, name: str) -> np.random.Generator:
    """A generator of random numbers for a seed and a purpose."""
    return np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(name.encode())]))


def bootstrap(
    names: Sequence[str],
    figures: Callable[[np.ndarray], Sequence[float] | np.ndarray],
    size: int,
    resamples: int,
    draw: np.random.Generator,
) -> dict[str, list[float] | None]:
    """95 % intervals of figures from resamples of ``size`` items; empty with fewer than two items. ``figures``:
    indices of items, int64 [size] → the figures in the order of their names."""
    if size < 2 or not resamples:
        return {}
    table = np.array([figures(draw.integers(0, size, size)) for _ in range(resamples)], np.float64)
    return intervals([*names], table, np.array(figures(np.arange(size)), np.float64))


@dataclass
class Ratios:
    """Ratios of sums over items. For a mean, the denominator of each item is 1. Items of a group (such as one
    question) are not independent and are resampled together."""

    _groups: dict[Hashable, int] = field(default_factory=dict)
    _cells: dict[str, dict[int, list[float]]] = field(default_factory=dict)

    def add(self, figure: str, group: Hashable, value: float, weight: float = 1.0) -> None:
        """Adds an item's contribution to a figure."""
        number = self._groups.setdefault(group, len(self._groups))
        cell = self._cells.setdefault(figure, {}).setdefault(number, [0.0, 0.0])
        cell[0] += value
        cell[1] += weight

    def values(self, names: Sequence[str]) -> dict[str, float | None]:
        """The figures without intervals; one without items is None."""
        tops, bottoms = self._tables(names)
        return _plain(names, _ratios(tops.sum(0)[None], bottoms.sum(0)[None], names, {})[0])

    def estimate(
        self,
        names: Sequence[str],
        options: EvaluationOptions,
        purpose: str,
        means: Mapping[str, list[str]] = MappingProxyType({}),
    ) -> dict[str, dict[str, Any]]:
        """``figures`` and their 95 % ``intervals``.

        Args:
            names: of the figures, in their order; one without items is None.
            purpose: of the random numbers.
            means: further figures: plain means of others, None if one of those is.
        """
        tops, bottoms = self._tables(names)
        values = _ratios(tops.sum(0)[None], bottoms.sum(0)[None], names, means)[0]
        keys = [*names, *means]
        figures = _plain(keys, values)
        size, resamples = len(self._groups), options.bootstrap
        if size < 2 or not resamples:
            return {"figures": figures, "intervals": {}}
        draw = draw_of(options.seed, purpose)
        tables = []
        step = max(1, _CELLS // size)
        for start in range(0, resamples, step):
            count = min(step, resamples - start)
            weights = draw.multinomial(size, np.full(size, 1 / size), count).astype(np.float64)
            tables.append(_ratios(weights @ tops, weights @ bottoms, names, means))
        ends = intervals(keys, np.concatenate(tables), values)
        known = {key: value for key, value in ends.items() if value is not None}
        return {"figures": figures, "intervals": known}

    def _tables(self, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        shape = (len(self._groups), len(names))
        tops, bottoms = np.zeros(shape), np.zeros(shape)
        for column, name in enumerate(names):
            for row, (top, bottom) in self._cells.get(name, {}).items():
                tops[row, column], bottoms[row, column] = top, bottom
        return tops, bottoms


def _plain(names: Sequence[str], values: np.ndarray) -> dict[str, float | None]:
    return {
        name: None if np.isnan(value) else float(value)
        for name, value in zip(names, values, strict=True)
    }


def _ratios(
    tops: np.ndarray, bottoms: np.ndarray, names: Sequence[str], means: Mapping[str, list[str]]
) -> np.ndarray:
    """[resamples, figures and means]; NaN for figures without items."""
    ratios = np.divide(tops, bottoms, out=np.full_like(tops, np.nan), where=bottoms > 0)
    columns = {name: ratios[:, number] for number, name in enumerate(names)}
    for name, parts in means.items():
        columns[name] = np.mean([columns[part] for part in parts], axis=0)
    return np.stack(list(columns.values()), axis=1)
