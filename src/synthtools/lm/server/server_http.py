"""HTTP requests to untrusted servers: bounds on the reply's size and time, no redirects."""

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

# Log-probabilities of 100,000 tokens with candidates take a tenth of it [ours].
LARGEST = 1 << 30
_CONNECT_SECONDS = 10.0
# The first request fails fast: it is retried a few times within seconds.
_GREETINGS = 6
_FIRST_PAUSE = 0.5
# Overloaded, or a server behind it is: pause.
_BUSY = frozenset({429, 502, 503, 504})
# A temporary failure: retry.
_PASSING = frozenset({408, 409, 425, 500})


class NotServedError(SynthError):
    """A server does not serve the model asked for."""


class RetryError(Exception):
    """A server works, but its reply is unusable; worth another try."""


class RefusedError(Exception):
    """A server rejects a request."""


class BusyError(Exception):
    """A server is overloaded.

    Attributes:
        after: seconds to wait, as the server asks; None if it does not.
    """

    def __init__(self, message: str, after: float | None) -> None:
        super().__init__(message)
        self.after = after


class ServerReply(NamedTuple):
    """A server's reply.

    Attributes:
        code: HTTP status.
        content: the complete body.
    """

    code: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ValueError: it is not JSON.
        """
        try:
            return json.loads(self.content)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def client_of(server: str, traffic: ServerTraffic, requests: int) -> httpx.Client:
    """A client that sends the server the key of ``traffic`` or OPENAI_API_KEY.

    Args:
        requests: connections in the pool.

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
        # The invalid port may be a piece of a password with a slash in it: do not print it.
        raise UsageError(
            f"{place}: not a URL such as http://127.0.0.1:8000 (write / in a password as %2F)"
        ) from error


def shown_url(client: httpx.Client) -> str:
    """A client's URL, without secrets."""
    return redaction.hide(f"{client.base_url}".rstrip("/"))


def served_model(client: httpx.Client, name: str) -> dict[str, Any]:
    """A server's description of the model.

    Raises:
        SynthError: the server does not answer, or does not serve the model.
    """
    url = shown_url(client)
    served = _list_models(client, url).get("data")
    if not isinstance(served, list) or not all(map(_is_model, served)):
        raise SynthError(f"{url}: does not say which models it serves; is it a server of vLLM?")
    models: list[dict[str, Any]] = served
    for model in models:
        if name in (model.get("id"), model.get("root")):
            return model
    # The default name stands for any model.
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


def _list_models(client: httpx.Client, url: str) -> dict[str, Any]:
    """The server's list of models.

    Raises:
        SynthError: the server does not answer, or not with a list.
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
    """Sends one request. Redirects are not followed, so that prompts and keys go nowhere else.

    Raises:
        httpx.HTTPError: the server cannot be reached, or its reply is not accepted: larger than ``LARGEST``,
            compressed without being asked, or incomplete at the timeout.
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
    """The JSON object in a reply.

    Raises:
        RetryError, BusyError, RefusedError: the reply has none, by its status.
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
    """A server's error message, in one line."""
    text = reply.content[:10_000].decode("utf-8", "replace")
    try:
        content = reply.json()
        text = (content.get("error") or content).get("message") or text
    except (ValueError, AttributeError):
        pass  # not JSON, or another format: used as it is
    return redaction.hide(" ".join(str(text).split()))[:300]  # it may quote the API key


def _seconds(header: str | None) -> float | None:
    """The seconds of a Retry-After header: a number or a date (RFC 9110, 10.2.3); None if it is neither."""
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
        return None  # our own backoff applies
