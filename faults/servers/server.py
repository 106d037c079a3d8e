"""A server of one model, whose answers a case decides."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# Given the handler and the body of the request, says True where it has answered in its own way.
Act = Callable[[BaseHTTPRequestHandler, dict[str, Any]], bool]


class Server:
    """Serves the model ``tiny``: goes on with a prompt by the same answer for every prompt.

    Attributes:
        act: what is done in place of the right answer.
        requests: (path, headers) of all that came.
    """

    def __init__(self, act: Act | None = None, port: int = 0, **listed: Any) -> None:
        self.act = act or (lambda handler, body: False)
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.listed: Any = [{"id": "tiny", "owned_by": "vllm", "max_model_len": 4096, **listed}]
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append((self.path, dict(self.headers)))
                send(self, {"data": outer.listed})

            def do_POST(self) -> None:
                outer.requests.append((self.path, dict(self.headers)))
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if not outer.act(self, body):
                    send(self, right_answer(body))

            def log_message(self, *_: Any) -> None: ...

        class Listening(ThreadingHTTPServer):
            allow_reuse_address = True
            daemon_threads = True

            def handle_error(self, *_: Any) -> None: ...  # whoever asked may be gone

        self._server = Listening(("127.0.0.1", port), Handler)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def serving(act: Act | None = None, **listed: Any) -> Iterator[Server]:
    server = Server(act, **listed)
    try:
        yield server
    finally:
        server.stop()


def send(handler: BaseHTTPRequestHandler, value: Any, code: int = 200, **headers: str) -> None:
    """Answers with JSON, or with bytes as they are."""
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    handler.send_response(code)
    handler.send_header("Content-Length", str(len(content)))
    for name, text in headers.items():
        handler.send_header(name.replace("_", "-"), text)
    handler.end_headers()
    handler.wfile.write(content)


def right_answer(body: dict[str, Any]) -> dict[str, Any]:
    text = f"an answer with the seed {body.get('seed')}"
    choice: dict[str, Any] = {"finish_reason": "stop"}
    if "messages" in body:
        choice["message"] = {"content": text}
    else:
        choice["text"] = text
    if isinstance(body.get("prompt"), list):
        rows = [{str(token): {"logprob": -1.5, "rank": 1}} for token in body["prompt"][1:]]
        choice["prompt_logprobs"] = [None, *rows]
    return {"model": "tiny", "choices": [choice], "usage": {}}


def always(value: Any, code: int = 200, **headers: str) -> Act:
    """Answers everything alike."""

    def act(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> bool:
        send(handler, value, code, **headers)
        return True

    return act
