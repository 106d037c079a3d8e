"""Figures that are ratios of sums over items, with intervals from resamples of whole groups of items."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np

from synthtools.evaluate.calibration import draw_of
from synthtools.measure.bootstrap import intervals

# Of the table of weights that is held at once, resamples × groups.
_CELLS = 4_000_000


@dataclass
class Ratios:
    """Sums over items, by group: a figure is the sum of its numerators over that of its denominators.

    A mean has the denominator 1 for each item that it is about. Items of a group are drawn together,
    for what belongs to one question is not independent.
    """

    _groups: dict[Hashable, int] = field(default_factory=dict)
    _cells: dict[str, dict[int, list[float]]] = field(default_factory=dict)

    def add(self, figure: str, group: Hashable, value: float, weight: float = 1.0) -> None:
        """Adds an item's part of a figure."""
        number = self._groups.setdefault(group, len(self._groups))
        cell = self._cells.setdefault(figure, {}).setdefault(number, [0.0, 0.0])
        cell[0] += value
        cell[1] += weight

    def estimate(
        self,
        names: Sequence[str],
        means: dict[str, list[str]],
        resamples: int,
        seed: int,
        purpose: str,
    ) -> tuple[dict[str, float | None], dict[str, list[float] | None]]:
        """The figures and their 95 % intervals.

        Args:
            names: of the figures, in their order; one without items is None.
            means: further figures: plain means of others, None where one of them is.
            purpose: of the random numbers.
        """
        tops, bottoms = self._tables(names)
        found = _ratios(tops.sum(0)[None], bottoms.sum(0)[None], names, means)[0]
        keys = [*names, *means]
        figures = {
            key: None if np.isnan(value) else float(value)
            for key, value in zip(keys, found, strict=True)
        }
        size = len(self._groups)
        if size < 2 or not resamples:
            return figures, {}
        draw = draw_of(seed, purpose)
        tables = []
        step = max(1, _CELLS // size)
        for start in range(0, resamples, step):
            count = min(step, resamples - start)
            weights = draw.multinomial(size, np.full(size, 1 / size), count).astype(np.float64)
            tables.append(_ratios(weights @ tops, weights @ bottoms, names, means))
        ends = intervals(keys, np.concatenate(tables), found)
        return figures, {key: value for key, value in ends.items() if value is not None}

    def _tables(self, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        shape = (len(self._groups), len(names))
        tops, bottoms = np.zeros(shape), np.zeros(shape)
        for column, name in enumerate(names):
            for row, (top, bottom) in self._cells.get(name, {}).items():
                tops[row, column], bottoms[row, column] = top, bottom
        return tops, bottoms


def _ratios(
    tops: np.ndarray, bottoms: np.ndarray, names: Sequence[str], means: dict[str, list[str]]
) -> np.ndarray:
    """[resamples, figures and means]; NaN where there is no item."""
    ratios = np.divide(tops, bottoms, out=np.full_like(tops, np.nan), where=bottoms > 0)
    columns = {name: ratios[:, number] for number, name in enumerate(names)}
    for name, parts in means.items():
        columns[name] = np.mean([columns[part] for part in parts], axis=0)
    return np.stack(list(columns.values()), axis=1)


def together(
    figures: dict[str, dict[str, float | None]], ends: dict[str, dict[str, list[float] | None]]
) -> tuple[dict[str, float | None], dict[str, list[float] | None]]:
    """Figures and intervals of several models in one table: under the model's name where there is more
    than one."""
    parts: tuple[dict, dict] = ({}, {})
    for table, kept in zip((figures, ends), parts, strict=True):
        for model, found in table.items():
            before = "" if len(figures) == 1 else f"{model}: "
            kept.update({f"{before}{key}": value for key, value in found.items()})
    return parts
