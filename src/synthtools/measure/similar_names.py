"""Names that were perhaps meant."""

from __future__ import annotations

from collections.abc import Sequence


def near(name: str, names: Sequence[str], most: int = 5) -> str:
    """An end of a message: names that look like one that is not there, else the first that are.

    Args:
        most: names to give.
    """
    from difflib import get_close_matches

    close = get_close_matches(name, names, most, 0.5)
    if close:
        return f"; near it: {', '.join(close)}"
    if not names:
        return "; there is none"
    more = " …" if len(names) > most else ""
    return f" (there are: {', '.join(names[:most])}{more})"
