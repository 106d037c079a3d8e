"""Judges by script, sessions in process, and a server that misbehaves on demand."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from synthtools.errors import SynthError
from synthtools.evaluate.evaluator import EvaluationOptions, Evaluator
from synthtools.lm.generation import Answer, Generator, Prompt, SamplingSettings, failed

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
CODE = re.compile(r"<([B-Z]{6}) ")


class Scripted(Generator):
    """A model that says what a function makes of (words, code); the code is empty where there is none.

    Attributes:
        asked: the words, in order; sampled: how it was told to draw.
        gone_after: prompts after which the engine is gone.
    """

    def __init__(
        self,
        says: Callable[[str, str], str | Answer],
        gone_after: int | None = None,
        name: str = "scripted",
    ) -> None:
        self.description = {"name": name}
        self.context = None
        self.asked: list[str] = []
        self.sampled: list[SamplingSettings] = []
        self._says = says
        self._gone_after = gone_after

    def sample_as(self, sampling: SamplingSettings) -> None:
        self.sampled.append(sampling)

    def generate(self, prompts: Iterable[Prompt], finished: Any = None) -> Iterator[Answer]:
        for prompt in prompts:
            if self._gone_after is not None and len(self.asked) >= self._gone_after:
                raise SynthError("the engine is gone")
            assert prompt.messages is not None
            words = prompt.messages[-1]["content"]
            self.asked.append(words)
            found = CODE.search(words)
            said = self._says(words, found[1] if found else "")
            yield said if isinstance(said, Answer) else Answer(said, "stop", 1, 1)

    def close(self) -> None: ...


@pytest.fixture
def scripted() -> Callable[..., Scripted]:
    return Scripted


@pytest.fixture
def refused() -> Callable[[str], Answer]:
    """An answer that did not come."""
    return failed


@pytest.fixture
def evaluator(tmp_path: Path) -> Callable[..., Evaluator]:
    """Makes a evaluator whose judge (and model) are scripted; its samples are in ``rows``."""

    def make(
        judge: Scripted | None = None, model: Scripted | None = None, **wanted: Any
    ) -> Evaluator:
        rows: list[dict[str, Any]] = []
        made = Evaluator(EvaluationOptions(**wanted), keep=rows.extend)
        made.rows = rows  # type: ignore[attr-defined]
        if judge is not None:
            made.judge_settings = (judge,)  # type: ignore[assignment]
        if model is not None:
            made.model_settings = model  # type: ignore[assignment]
        made.generator = lambda sampling, settings=None: (  # type: ignore[method-assign]
            settings or made.model_settings
        )
        return made

    return make


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Writes records under a name: its path."""

    def put(name: str, rows: Iterable[dict[str, Any]]) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return put


@pytest.fixture(scope="session")
def shared() -> Path:
    """The real data, where it is."""
    if not DATA.exists():
        pytest.skip("the real data is not here (../shared/data)")
    return DATA


@pytest.fixture(scope="session")
def real(shared: Path) -> Callable[[str], list[dict[str, Any]]]:
    """The records of a real data set."""
    from synthtools.records.inputs import find_shards
    from synthtools.records.reader import read
    from synthtools.records.rejects import Rejects
    from synthtools.records.transform import as_lines

    def records(name: str) -> list[dict[str, Any]]:
        batches = read(find_shards([str(shared / name)]), Rejects())
        return [json.loads(line) for b in batches for line in as_lines(b).json_lines()]

    return records


class Misbehaving:
    """An OpenAI-compatible server of some models; ``does`` says what becomes of each request.

    Attributes:
        times: when requests came, in their order; keys: that were sent.
    """

    def __init__(self, does: Callable[[int, str, str], Any], models: tuple[str, ...]) -> None:
        self.requests = 0
        self.times: list[float] = []
        self.keys: set[str | None] = set()
        lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._send(200, {"data": [{"id": name} for name in models]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                words = body["messages"][-1]["content"]
                with lock:
                    outer.requests += 1
                    number = outer.requests
                    outer.times.append(time.monotonic())
                    outer.keys.add(self.headers["Authorization"])
                found = CODE.search(words)
                done = does(number, words, found[1] if found else "")
                if done == "hang":
                    time.sleep(0.6)
                    return
                if done == "cut":
                    self.send_response(200)
                    self.send_header("Content-Length", "500")
                    self.end_headers()
                    self.wfile.write(b'{"model": "judge", "choi')
                    return
                if isinstance(done, tuple):
                    self._send(done[0], {"error": {"message": done[1]}})
                    return
                said = done if isinstance(done, dict) else {"model": body["model"], "text": done}
                message = {"message": {"content": said["text"]}, "finish_reason": "stop"}
                self._send(200, {"model": said["model"], "choices": [message]})

            def _send(self, code: int, content: dict[str, Any]) -> None:
                data = json.dumps(content).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def serving() -> Iterator[Callable[..., Misbehaving]]:
    """Starts servers, and stops them."""
    started: list[Misbehaving] = []

    def start(does: Callable[[int, str, str], Any], *models: str) -> Misbehaving:
        started.append(Misbehaving(does, models or ("judge",)))
        return started[-1]

    yield start
    for server in started:
        server.stop()
