"""Documents longer than the context, as overlapping windows in which every token is scored once.

Windows begin every ``stride`` tokens; a window scores the tokens that the one before it did not
reach, so that each of them has at least ``context − stride`` tokens before it. A begin-of-text
token, where one is used, stands before every window [ours].
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from synthtools.errors import UsageError, parameter


class Window(NamedTuple):
    """Tokens ``start … end`` of a document, of which those from ``first`` on are scored."""

    start: int
    end: int
    first: int


def windows(length: int, first: int, capacity: int, stride: int) -> Iterator[Window]:
    """The windows of a document.

    Args:
        length: its tokens (prompt included, begin-of-text not).
        first: the first token to be scored; a prompt before it is only context.
        capacity: tokens of a window (begin-of-text not included).
        stride: tokens between the beginnings of windows, 1 … capacity.
    """
    start = reached = 0
    while reached < length:
        end = min(start + capacity, length)
        scored = max(first, reached)
        if scored < end:
            yield Window(start, end, scored)
        reached = end
        start += stride


def default_stride(context: int) -> int:
    """Tokens between the beginnings of windows where nobody says [ours]."""
    # Every token then has a quarter of the context before it, for a third more work than no overlap.
    return max(1, 3 * context // 4)


def stride_of(asked: int | None, context: int, bos: bool) -> int:
    """Tokens between the beginnings of windows.

    Raises:
        UsageError: the context leaves no room, or the stride none for an overlap.
    """
    # A window's first scored token needs one before it: begin-of-text, or one of the overlap.
    longest = context - 1
    if longest < (2 if bos else 1):
        raise UsageError(f"{parameter('context', context)}: leaves no room for two tokens")
    stride = asked or default_stride(context)
    if stride > longest:
        raise UsageError(
            f"{parameter('stride', stride)}: at most {longest} with windows of {context} tokens"
        )
    return stride
