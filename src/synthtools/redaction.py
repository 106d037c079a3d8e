"""Secrets in what is printed or written: passwords in URLs, keys in queries and headers, the very keys in use.

Reports, messages, rejects, logs and journals go through here; records never do: they are the user's.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from synthtools.errors import SynthError

HIDDEN = "***"
# The keys that this program or its libraries send.
_VARIABLES = (
    *("OPENAI_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_SAS_TOKEN"),
    *("AZURE_CLIENT_SECRET", "GOOGLE_API_KEY"),
)
NO_HEADER = "holds what no header may (a line end, or not ASCII)"
# Bytes of a file that may hold a key.
_LONGEST = 1 << 16
# A shorter one is a placeholder (vLLM's EMPTY) that would be found in any text.
_SHORTEST = 6

# What a model, a server or a file name says is matched too: every repetition is bounded, so that the
# time grows with the length alone. After a colon, digits and the end of the name are a port.
_USER = re.compile(
    r"""(?<=://)(?:[^/\s?#@:"'<>]{0,256}:(?!\d{1,5}(?:[/?#,;)\]}"'\s]|$))[^\s"'<>@]{0,256}"""
    r"""|[^/\s?#@"'<>]{0,256})@(?:[^/\s?#@"'<>]{0,256}@){0,8}"""
)
_QUERY = re.compile(r"""([?&;#])([^=&;?#\s"'<>]{1,64})=([^&#\s"'<>]+)""")
_SECRET_NAME = re.compile(
    r"key(?!word)|token|secret|passw|pwd|sig$|signature|credential|auth(?!or)|session", re.I
)
# Behind a URL they are the sentence's, such as the colon of an error.
_PUNCTUATION = ".,:;!?)]}"
_MARK = r"""["']{0,2}\s{0,4}[:=]\s{0,4}["']{0,2}"""
_HEADER = re.compile(
    rf"""\b((?:proxy-)?authorization|(?:x-)?api[-_]key|x-auth-token)({_MARK})"""
    r"""(?:(?:bearer|basic|token)\s{1,4})?[^\s"',;}]+""",
    re.I,
)
_COOKIE = re.compile(rf"""\b((?:set-)?cookie)({_MARK})[^"'\r\n]+""", re.I)
_BEARER = re.compile(
    r"""\b(bearer|basic)(\s{1,4})(?=[^\s"',;]{0,256}[0-9_=+])[^\s"',;]{8,}""", re.I
)
_SHAPE = re.compile(r"\b(?:sk-|hf_|gh[pousr]_|xox[abp]-|AKIA)[A-Za-z0-9_-]{16,}")
_PATTERNS: tuple[tuple[re.Pattern[str], Any], ...] = (
    (_USER, f"{HIDDEN}@"),
    (_QUERY, lambda match: f"{match[1]}{match[2]}={_value(match[2], match[3])}"),
    (_HEADER, rf"\1\2{HIDDEN}"),
    (_COOKIE, rf"\1\2{HIDDEN}"),
    (_BEARER, rf"\1\2{HIDDEN}"),
    (_SHAPE, HIDDEN),
)
# Most texts hold none of it, and are passed in one look.
_ANY = re.compile(
    r"://|[?&;#][^=]{1,64}=|authorization|cookie|api[-_]key|x-auth|bearer|basic|sk-|hf_|gh._|xox|akia",
    re.I,
)

_known: set[str] = set()


def hide(text: str) -> str:
    """A text without secrets."""
    return _hidden_text(text, _in_use())


def hidden(value: Any) -> Any:
    """A value of JSON, keys of its objects included, without secrets."""
    return hider()(value)


def hider() -> Callable[[Any], Any]:
    """``hidden``, for many values: the keys in use are looked up once."""
    keys = _in_use()

    # Names, and many a value, come again and again.
    @functools.lru_cache(maxsize=4096)
    def shown_text(text: str) -> str:
        return _hidden_text(text, keys)

    def walk(value: Any) -> Any:
        if isinstance(value, str):
            return shown_text(value)
        if isinstance(value, dict):
            members: dict[Any, Any] = {}
            for name, member in value.items():
                shown = shown_text(name) if isinstance(name, str) else name
                while shown in members:  # two names that differ in their secrets alone
                    shown += "'"
                members[shown] = walk(member)
            return members
        if isinstance(value, list | tuple):
            return [walk(item) for item in value]
        return value

    return walk


@dataclass(frozen=True)
class ApiKey:
    """A key that only a header shows."""

    text: str = field(repr=False)


def fits_header(key: str) -> bool:
    return key.isascii() and key.isprintable()


def key_in_file(name: str) -> ApiKey:
    """The key that a file holds, known from now on as a secret.

    Raises:
        ValueError: others can read the file, or it holds no key.
        SynthError: it cannot be read.
    """
    try:
        with open(name, "rb") as file:
            status = os.fstat(file.fileno())
            key = file.read(_LONGEST).strip().decode("utf-8", "replace")
    except OSError as error:
        raise SynthError(f"{name}: cannot be read ({error.strerror})") from error
    # As ssh does: who owns the file is responsible for it; a container's secrets are another's.
    if status.st_uid == os.geteuid() and status.st_mode & 0o077:
        raise ValueError(f"others can read it; chmod 600 {name}")
    if not key:
        raise ValueError("holds no key")
    _known.add(key)
    if not fits_header(key):
        raise ValueError(NO_HEADER)
    return ApiKey(key)


def know(url: str) -> None:
    """Notes the password of a URL, which a server may repeat."""
    user, at, _ = url.partition("://")[2].partition("/")[0].rpartition("@")
    if at:
        name, _, password = user.partition(":")
        _known.update((password or name, unquote(password or name)))
        _known.add(base64.b64encode(unquote(user).encode()).decode())


def _in_use() -> re.Pattern[str] | None:
    keys = {os.environ.get(name, "").strip() for name in _VARIABLES} | _known
    return _pattern(frozenset(key for key in keys if len(key) >= _SHORTEST))


@functools.lru_cache(maxsize=8)
def _pattern(keys: frozenset[str]) -> re.Pattern[str] | None:
    """Finds keys however they are written: as they are, in a URL, in JSON."""
    forms = {form for key in keys for form in (key, quote(key, safe=""), json.dumps(key)[1:-1])}
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    return re.compile("|".join(map(re.escape, longest_first))) if forms else None


def _hidden_text(text: str, keys: re.Pattern[str] | None) -> str:
    if keys is not None:
        text = keys.sub(HIDDEN, text)
    if not _ANY.search(text):
        return text
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def _value(name: str, value: str) -> str:
    if not _SECRET_NAME.search(name):
        return value
    return HIDDEN + value[len(value.rstrip(_PUNCTUATION)) :]
