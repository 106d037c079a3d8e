"""Requests to servers that may be anything: answers bounded in size and time, nothing followed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import httpx

from synthtools import redaction
from synthtools.errors import SynthError, UsageError, parameter
from synthtools.lm.generation import ServerTraffic
from synthtools.lm.model_name import BUILTIN
from synthtools.redaction import NO_HEADER, fits_header

# Log-probabilities of 100,000 tokens with their candidates are a tenth of it [ours].
LARGEST = 1 << 30
_CONNECT_SECONDS = 10.0
# The first question has nothing to wait for: it is asked again a few times, for seconds.
_GREETINGS = 6
_FIRST_PAUSE = 0.5
# Too much to do, or somebody behind it has: it is left alone for a while.
_BUSY = frozenset({429, 502, 503, 504})
# Not able for the moment: worth another try.
_PASSING = frozenset({408, 409, 425, 500})


class NotServedError(SynthError):
    """A server does not serve the model asked for."""


class RetryError(Exception):
    """A server works, but this answer cannot be used."""


class RefusedError(Exception):
    """A server refuses what it was asked."""


class BusyError(Exception):
    """A server has too much to do.

    Attributes:
        after: seconds that it asks to be left alone, None where it does not say.
    """

    def __init__(self, message: str, after: float | None) -> None:
        super().__init__(message)
        self.after = after


class ServerReply(NamedTuple):
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
            ValueError: it is not JSON.
        """
        try:
            return json.loads(self.content)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def client_of(server: str, traffic: ServerTraffic, requests: int) -> httpx.Client:
    """A client of a server, which sends it the key of ``traffic``, or of OPENAI_API_KEY.

    Args:
        requests: connections that are kept.

    Raises:
        UsageError: the URL or the key is malformed.
    """
    url = server.rstrip("/").removesuffix("/v1")
    redaction.know(url)
    place = parameter("server", server.rpartition("@")[2])
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{place}: not a URL such as http://127.0.0.1:8000")
    key = traffic.key.text if traffic.key else os.environ.get("OPENAI_API_KEY")
    if key and not fits_header(key):
        raise UsageError(f"OPENAI_API_KEY {NO_HEADER}")
    try:
        return httpx.Client(
            base_url=url,
            timeout=httpx.Timeout(traffic.timeout, connect=_CONNECT_SECONDS, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=requests),
            headers={"Authorization": f"Bearer {key}"} if key else {},
        )
    except httpx.InvalidURL as error:
        # What is wrong may be a piece of a password with a slash in it.
        raise UsageError(
            f"{place}: not a URL such as http://127.0.0.1:8000 (write / in a password as %2F)"
        ) from error


def shown_url(client: httpx.Client) -> str:
    """Where a client asks, without secrets."""
    return redaction.hide(f"{client.base_url}".rstrip("/"))


def served_model(client: httpx.Client, name: str) -> dict[str, Any]:
    """What a server says of the model asked for.

    Raises:
        SynthError: no server answers, or it serves another model than the one asked for.
    """
    url = shown_url(client)
    served = _greeting(client, url).get("data")
    if not isinstance(served, list) or not all(map(_is_model, served)):
        raise SynthError(f"{url}: does not say which models it serves; is it a server of vLLM?")
    models: list[dict[str, Any]] = served
    for model in models:
        if name in (model.get("id"), model.get("root")):
            return model
    # The default name stands for whatever the server has.
    if name == BUILTIN and len(models) == 1:
        return models[0]
    names = ", ".join(str(model.get("id")) for model in models)
    raise NotServedError(f"{url}: does not serve {name}; {parameter('model')} takes {names}")


def _is_model(served: Any) -> bool:
    return (
        isinstance(served, dict)
        and isinstance(served.get("id"), str)
        and isinstance(served.get("root"), str | None)
    )


def _greeting(client: httpx.Client, url: str) -> dict[str, Any]:
    """The list of models.

    Raises:
        SynthError: no server answers, or not with one.
    """
    problem = ""
    for attempt in range(_GREETINGS):
        if attempt:
            time.sleep(_FIRST_PAUSE * 2 ** (attempt - 1))
        try:
            return read(ask(client, "GET", "/v1/models", None))
        except httpx.ConnectError as error:
            raise SynthError(f"{url}: no server answers ({error})") from error
        except httpx.HTTPError as error:
            problem = f"{type(error).__name__}: {error}"
        except (RetryError, BusyError) as error:
            problem = str(error)
        except RefusedError as error:
            raise SynthError(f"{url}: refuses: {error}") from error
    raise SynthError(f"{url}: {problem}")


def ask(client: httpx.Client, method: str, path: str, body: Any) -> ServerReply:
    """One request. A redirection is an answer like others: a prompt, or a key, goes nowhere else.

    Raises:
        httpx.HTTPError: the server cannot be reached, or its answer is not accepted: larger than ``LARGEST``,
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
        return ServerReply(response.status_code, response.headers, b"".join(pieces))


def read(reply: ServerReply) -> dict[str, Any]:
    """The JSON object of an answer.

    Raises:
        RetryError, BusyError, RefusedError: there is none.
    """
    if reply.code == 200:
        try:
            content = reply.json()
        except ValueError as error:
            raise RetryError("the answer is not JSON") from error
        if not isinstance(content, dict):
            raise RetryError("the answer is not a JSON object")
        return content
    message = f"HTTP {reply.code}: {message_of(reply)}"
    if reply.code in _BUSY:
        raise BusyError(message, _seconds(reply.headers.get("retry-after")))
    if reply.code in _PASSING:
        raise RetryError(message)
    raise RefusedError(message)


def message_of(reply: ServerReply) -> str:
    """What a server says is wrong, in one line."""
    text = reply.content[:10_000].decode("utf-8", "replace")
    try:
        content = reply.json()
        text = (content.get("error") or content).get("message") or text
    except (ValueError, AttributeError):
        pass  # no JSON, or of another form: as it is
    return redaction.hide(" ".join(str(text).split()))[:300]  # it may hold the key that it was sent


def _seconds(header: str | None) -> float | None:
    """What a Retry-After asks for, as a number of seconds or as a date (RFC 9110, 10.2.3); the patience
    bounds it. None where it is neither."""
    if not header:
        return None
    try:
        return max(0.0, float(header))  # 0 for NaN
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(header)
        return max(0.0, date.replace(tzinfo=date.tzinfo or UTC).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None  # our own pauses will do
