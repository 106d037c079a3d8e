"""Rank sums of two samples, compiled."""

from __future__ import annotations

from synthtools.compiled import compiled


@compiled
def rank_sum(left, right):
    """The Mann–Whitney U of ``left`` and the ties of both, from ascending float64 arrays.

    Returns:
        (u, ties): pairs in which the left value is larger, half of the equal ones counted; the sum
        of t³ − t over the runs of t equal values in both arrays together.
    """
    u, ties = 0.0, 0.0
    i, j = 0, 0
    while i < left.size or j < right.size:
        value = left[i] if j == right.size or (i < left.size and left[i] <= right[j]) else right[j]
        lefts, rights = i, j
        while lefts < left.size and left[lefts] == value:
            lefts += 1
        while rights < right.size and right[rights] == value:
            rights += 1
        u += (lefts - i) * (j + 0.5 * (rights - j))
        equal = float(lefts - i + rights - j)
        ties += equal * equal * equal - equal
        i, j = lefts, rights
    return u, ties
