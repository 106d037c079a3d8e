"""Requests to servers that may be anything: answers bounded in size and time, nothing followed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import httpx

from synthtools.redaction import hide

# Log-probabilities of 100,000 tokens with their candidates are a tenth of it [ours].
LARGEST = 1 << 30


class Reply(NamedTuple):
    """What a server answered.

    Attributes:
        code: of HTTP.
        content: the body, whole.
    """

    code: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """The body's value.

        Raises:
            ValueError: it is no JSON.
        """
        try:
            return json.loads(self.content)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def ask(client: httpx.Client, method: str, path: str, body: Any) -> Reply:
    """One request. A redirection is an answer like others: a prompt, or a key, goes nowhere else.

    Raises:
        httpx.HTTPError: the server cannot be reached, or its answer is none: larger than ``LARGEST``,
            compressed though nobody asked, or not whole when the time for reading is over.
    """
    longest = client.timeout.read
    begun = time.monotonic()
    headers = {"Accept-Encoding": "identity"}
    with client.stream(method, path, json=body, headers=headers) as response:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise httpx.DecodingError("a compressed answer, which was not asked for")
        pieces: list[bytes] = []
        held = 0
        for piece in response.iter_raw():
            pieces.append(piece)
            held += len(piece)
            if held > LARGEST:
                raise httpx.ReadError(f"an answer of more than {LARGEST >> 20} MiB")
            if longest is not None and time.monotonic() - begun > longest:
                raise httpx.ReadTimeout(f"the answer is not whole after {longest:g} s")
        return Reply(response.status_code, response.headers, b"".join(pieces))


def message_of(reply: Reply) -> str:
    """What a server says is wrong, in one line."""
    text = reply.content[:10_000].decode("utf-8", "replace")
    try:
        found = reply.json()
        text = (found.get("error") or found).get("message") or text
    except (ValueError, AttributeError):
        pass  # no JSON, or of another form: as it is
    return hide(" ".join(str(text).split()))[:300]  # it may hold the key that it was sent
