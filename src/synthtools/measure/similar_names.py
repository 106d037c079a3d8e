"""Names that were perhaps meant."""

from __future__ import annotations

from collections.abc import Sequence

_MOST = 5


def near(name: str, names: Sequence[str]) -> str:
    """An end of a message: names that look like one that is not there, else the first that are."""
    from difflib import get_close_matches

    close = get_close_matches(name, names, _MOST, 0.5)
    if close:
        return f"; near it: {', '.join(close)}"
    if not names:
        return "; there is none"
    more = " …" if len(names) > _MOST else ""
    return f" (there are: {', '.join(names[:_MOST])}{more})"
