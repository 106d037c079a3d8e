"""What a tokenizer of anyone's making can do to a text: fail in its native code, or unfold it without end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from synthtools.errors import SynthError

# So many times longer than the text a normaliser or decoder may make it [ours]; ▁ for a blank is 3 bytes for 1.
_MOST_GROWTH = 1024


class TokenizerError(SynthError):
    """A tokenizer fails at a text.

    Attributes:
        index: of the text among those that it was given.
    """

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index


def panic(error: BaseException) -> str | None:
    """What native code said when it gave up, in one line; None of any other error.

    Such errors derive from no Exception, so that nothing catches them by chance.
    """
    if type(error).__name__ != "PanicException":
        return None
    return " ".join(str(error).split())[:200]


def refuse_growth(name: str, backend: Any) -> None:
    """Raises SynthError where replacements upon replacements unfold a text: 36 times a → aa makes
    64 GB of one letter, which no signal ends.

    Args:
        backend: a tokenizer of the package tokenizers.
    """
    parts = json.loads(backend.to_str())
    for part in ("normalizer", "decoder"):
        growth = 1.0
        for step in _steps(parts.get(part)):
            growth *= _growth(step)
        if growth > _MOST_GROWTH:
            raise SynthError(
                f"{name}: the {part} of its tokenizer may make a text {growth:,.0f} times as long; "
                "name another with --tokenizer"
            )


def _steps(part: Any) -> Iterator[dict[str, Any]]:
    """A normaliser or decoder, or all of a sequence of them."""
    if not isinstance(part, dict):
        return
    inner = part.get("normalizers") or part.get("decoders")
    if not inner:
        yield part
    for one in inner or ():
        yield from _steps(one)


def _growth(step: dict[str, Any]) -> float:
    """How many times longer a replacement may make a text."""
    content = step.get("content")
    if step.get("type") != "Replace" or not isinstance(content, str):
        return 1.0
    pattern = (step.get("pattern") or {}).get("String")
    size = len(content.encode("utf-8"))
    if pattern:
        return max(1.0, size / len(pattern.encode("utf-8")))
    return 1.0 + size  # an expression may match nothing, before every letter
