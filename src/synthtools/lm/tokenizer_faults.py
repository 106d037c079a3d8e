"""Failures of third-party tokenizers: panics in native code, and texts that grow without bound."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from synthtools.errors import SynthError, TextError, parameter

# The factor by which a normaliser or decoder may lengthen a text [ours]; ▁ for a space is 3 bytes for 1.
_MOST_GROWTH = 1024

_T = TypeVar("_T")


class TokenizerError(TextError):
    """A tokenizer fails on texts."""


class PanicError(Exception):
    """A panic of native code; its message in one line."""


def encoded(
    encode: Callable[[list[str]], Sequence[_T]], texts: Sequence[str]
) -> list[_T | PanicError]:
    """Encodings of texts; for a text on which the native code panics, the error."""
    try:
        with _held_back():
            return list(encode(list(texts)))
    except PanicError as error:
        if len(texts) == 1:
            return [error]
        return [encoding for text in texts for encoding in encoded(encode, [text])]


def failure(name: str, text: str, error: PanicError) -> str:
    """Why a tokenizer fails on a text, as the reason of a rejected record."""
    return f"the tokenizer of {name} fails at the text {text[:40]!r}: {error}"


_HOLDING = threading.Lock()


@contextmanager
def _held_back() -> Iterator[None]:
    """Captures stderr, and prints everything except panic messages, which Rust writes before the error is
    raised.

    Raises:
        PanicError: native code panicked. (The original error does not derive from Exception.)
    """
    with _HOLDING, ExitStack() as stack:
        panic = b""
        if hasattr(os, "memfd_create"):
            stderr, words = os.dup(2), os.memfd_create("stderr")

            def let_out() -> None:
                os.dup2(stderr, 2)
                os.close(stderr)
                with open(words, "rb") as file:
                    file.seek(0)
                    written = file.read()
                if written:
                    if b"\n" in panic:  # messages may span lines
                        written = written.replace(b"\n" + panic, b"\n...")
                    os.write(2, _RUST.sub(b"", written) if panic else written)

            stack.callback(let_out)
            os.dup2(words, 2)
        try:
            yield
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            panic = str(error).encode() or b" "
            raise PanicError(" ".join(str(error).split())[:200]) from None


# What the standard library of Rust writes of a panic: its place, the message, perhaps a backtrace; before
# it an empty line. No line is read twice, however often it says "thread '": a message may quote a record.
_RUST = re.compile(
    rb"(?:(?<![^\n])\n)?thread '(?>(?:(?!thread ')[^\n])*?panicked at )[^\n]*+\n?[^\n]*+\n?"
    rb"(?:stack backtrace:\n(?: [^\n]*+\n)*+)?(?:note: [^\n]*RUST_BACKTRACE[^\n]*\n)?"
)


def refuse_growth(name: str, backend: Any) -> None:
    """Raises SynthError if chained replacements can blow up a text: 36 times a → aa makes 64 GB of one
    letter, and no signal interrupts it.

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
                f"name another with {parameter('tokenizer')}"
            )


def _steps(part: Any) -> Iterator[dict[str, Any]]:
    """The steps of a normaliser or decoder."""
    if not isinstance(part, dict):
        return
    inner = part.get("normalizers") or part.get("decoders")
    if not inner:
        yield part
    for one in inner or ():
        yield from _steps(one)


def _growth(step: dict[str, Any]) -> float:
    """The factor by which a replacement may lengthen a text."""
    content = step.get("content")
    if step.get("type") != "Replace" or not isinstance(content, str):
        return 1.0
    pattern = (step.get("pattern") or {}).get("String")
    size = len(content.encode("utf-8"))
    if pattern:
        return max(1.0, size / len(pattern.encode("utf-8")))
    return 1.0 + size  # a pattern may match the empty string, before every letter
