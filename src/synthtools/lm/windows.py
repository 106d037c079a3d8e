"""Documents longer than the context, as overlapping windows in which every token is scored once.

Windows start every ``stride`` tokens; a window scores the tokens after the end of the previous one, so that
each of them has at least ``context − stride`` tokens before it. Every window gets the begin-of-text token,
if one is used [ours].
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
        length: number of tokens (prompt included, begin-of-text not).
        first: index of the first token to score; a prompt before it is only context.
        capacity: tokens of a window (without begin-of-text).
        stride: tokens between the starts of windows, 1 … capacity.
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
    """The default number of tokens between the starts of windows [ours]."""
    # Every token has at least a quarter of the context before it, for a third more work than without overlap.
    return max(1, 3 * context // 4)


def stride_of(asked: int | None, context: int, bos: bool) -> int:
    """Tokens between the starts of windows.

    Raises:
        UsageError: the context is too small, or windows would not overlap.
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
