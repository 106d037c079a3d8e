from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import torch

# The models of these tests are too small for more than one.
torch.set_num_threads(1)


class Loopback:
    """An HTTP server whose answers are a function of (path, body, headers): (code, content), and
    as a third other headers; a Content-Length among them need not be true."""

    def __init__(self, answer: Callable[[str, Any, dict[str, str]], Any], port: int = 0) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(None)

            def do_POST(self) -> None:
                self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def _answer(self, body: Any) -> None:
                code, content, *more = answer(self.path, body, dict(self.headers))
                headers = {"Content-Length": str(len(content)), **(more[0] if more else {})}
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                if headers["Content-Length"] != str(len(content)):
                    self.close_connection = True
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None: ...

        class Server(ThreadingHTTPServer):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: Any) -> None: ...  # whoever asked may be gone

        self._server = Server(("127.0.0.1", port), Handler)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()


@pytest.fixture
def serve() -> Iterator[Callable[..., Loopback]]:
    """Starts HTTP servers that end with the test."""
    running: list[Loopback] = []

    def start(answer: Callable[[str, Any, dict[str, str]], Any], port: int = 0) -> Loopback:
        running.append(Loopback(answer, port))
        return running[-1]

    yield start
    for server in running:
        server.stop()
