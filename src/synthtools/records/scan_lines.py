"""A kernel that copies lines between blocks."""

from __future__ import annotations

from synthtools.compiled import compiled


@compiled
def copy_lines(block, starts, ends, out, places):
    """Copies lines, each with a newline behind it.

    Args:
        block: uint8; starts, ends: of each line in it.
        out: uint8; places: where each line begins in it.
    """
    for line in range(len(starts)):
        place = places[line]
        source = block[starts[line] : ends[line]]
        copy = out[place : place + len(source)]
        for at in range(len(source)):  # from the first element on, so that it becomes memcpy
            copy[at] = source[at]
        out[place + len(source)] = 10
