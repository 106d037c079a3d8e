"""Generation through servers of ours that answer as they should, or do not."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import running
from synthtools.errors import SynthError, UsageError
from synthtools.lm.generation import Answer, Prompt, SamplingSettings, ServerTraffic
from synthtools.lm.model_name import ModelName
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.open_models import open_generator
from synthtools.lm.server import server_generator, server_pool

Fault = Callable[[str, dict[str, Any]], Any]
SAMPLING = SamplingSettings(max_new_tokens=16)


class Server:
    """Answers each prompt with itself in capitals and with the seed that it was given.

    Attributes:
        fault: given (path, body), an answer in place of the right one, or None.
        bodies: of the requests that were answered rightly.
    """

    def __init__(self, serve: Callable[..., Any], name: str = "tiny", **served: Any) -> None:
        self.name = name
        self.listed = {"id": name, "owned_by": "vllm", **served}
        self.fault: Fault = lambda path, body: None
        self.bodies: list[dict[str, Any]] = []
        self.in_flight = self.most_in_flight = 0
        self._lock = threading.Lock()
        self._serve = serve
        self._loopback = serve(self.answer)
        self.url: str = self._loopback.url

    def stop(self) -> None:
        self._loopback.stop()

    def restart(self) -> None:
        self._loopback = self._serve(self.answer, self._loopback.port)

    def said(self, body: dict[str, Any]) -> str:
        return body.get("prompt") or body["messages"][-1]["content"]

    def answer(self, path: str, body: Any, headers: dict[str, str]) -> Any:
        if body is None:
            return 200, json.dumps({"data": [self.listed]}).encode()
        with self._lock:
            self.in_flight += 1
            self.most_in_flight = max(self.in_flight, self.most_in_flight)
        try:
            other = self.fault(path, body)
        finally:
            with self._lock:
                self.in_flight -= 1
        if other is not None:
            return other
        if path == "/tokenize":
            return 200, json.dumps({"count": len(self.said(body).split())}).encode()
        with self._lock:
            self.bodies.append(body)
        text = f"{self.said(body).upper()} {body['seed']}"
        choice = {"text": text} if "prompt" in body else {"message": {"content": text}}
        return 200, json.dumps(
            {
                "model": self.name,
                "choices": [{**choice, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 5},
            }
        ).encode()


@pytest.fixture
def server(serve: Callable[..., Any]) -> Server:
    return Server(serve)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_pool, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(server_pool, "_LONGEST_PAUSE", 0.05)


def prompts(count: int = 30) -> list[Prompt]:
    return [Prompt(b"%d" % place, f"prompt {place}") for place in range(count)]


def expected(asked: list[Prompt]) -> list[Answer]:
    return [Answer(f"{(p.text or '').upper()} {p.seed(7)}", "stop", 3, 5) for p in asked]


def ask(
    urls: list[str],
    asked: list[Prompt],
    sampling: SamplingSettings = SAMPLING,
    told: list[str] | None = None,
    model: str = "builtin",
    context: int | None = None,
    answers_as: str | None = None,
    **traffic: Any,
) -> list[Answer]:
    settings = ModelSettings(
        ModelName(model),
        server=urls[0],
        context=context,
        answers_as=answers_as,
        traffic=ServerTraffic(**traffic),
    )
    tell = (told if told is not None else []).append
    with open_generator(settings, sampling, 7, tell, servers=urls[1:]) as generator:
        return list(generator.generate(asked))


def once_each(fault: Any) -> Fault:
    """The first request of every prompt fails."""
    seen: Counter[str] = Counter()
    lock = threading.Lock()

    def act(path: str, body: dict[str, Any]) -> Any:
        with lock:
            seen[body["prompt"]] += 1
            first = seen[body["prompt"]] == 1
        return (fault(path, body) if callable(fault) else fault) if first else None

    return act


def choices(*more: dict[str, Any]) -> bytes:
    one = {"text": "x", "finish_reason": "stop"}
    return json.dumps({"model": "tiny", "choices": [one | other for other in more]}).encode()


def test_answers_come_in_order_with_the_seeds_of_their_prompts(server: Server) -> None:
    slow = iter([0.2, 0.1])
    server.fault = lambda path, body: time.sleep(next(slow, 0))
    assert ask([server.url], prompts()) == expected(prompts())
    assert len(server.bodies) == 30
    body = server.bodies[0]
    assert (body["model"], body["temperature"], body["top_p"]) == ("tiny", 0.7, 0.9)
    assert (body["max_tokens"], body["top_k"], body["repetition_penalty"]) == (16, -1, 1.0)


def test_a_server_that_is_no_vllm_is_asked_in_the_common_tongue(serve: Callable[..., Any]) -> None:
    server = Server(serve, owned_by="openai")
    sampling = SamplingSettings(0.5, stop=("\n",), schema='{"type": "object"}')
    ask([server.url], [Prompt(b"", None, ({"role": "user", "content": "a"},))], sampling)
    (body,) = server.bodies
    assert set(body) == {
        *("model", "messages", "max_tokens", "temperature", "top_p", "seed", "stop"),
        "response_format",
    }
    with pytest.raises(SynthError, match="only vLLM's servers keep to a regular expression"):
        ask([server.url], prompts(1), SamplingSettings(regex="a"))


@pytest.mark.parametrize(
    "fault",
    [
        (429, b'{"error": {"message": "slow down"}}'),
        (500, b'{"error": {"message": "a fault"}}'),
        (503, b""),
        (200, b'{"model": "tiny", "choices": [{"te', {"Content-Length": "500"}),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"model": "tiny"}'),
        (200, b'{"model": "tiny", "choices": []}'),
        (200, b'{"model": "tiny", "choices": [{"text": "x", "finish_reason": null}]}'),
        (200, b'{"model": "tiny", "choices": [{"text": "x", "finish_reason": "abort"}]}'),
        (200, b'{"model": "tiny", "choices": [{"text": 5, "finish_reason": "stop"}]}'),
        # Choices of other prompts than the one that was sent.
        (200, choices({"index": 1})),
        (200, choices({"index": True})),
        (200, choices({}, {})),
        (200, choices({"index": 0}, {"index": 1})),
        (200, choices({"index": 1}, {"index": 0})),
        (200, choices({"index": 0}, {"index": 0})),
    ],
)
def test_what_fails_once_is_asked_again(server: Server, fault: Any) -> None:
    server.fault = once_each(fault)
    assert ask([server.url], prompts(8)) == expected(prompts(8))
    assert len(server.bodies) == 8


def test_answers_that_take_too_long_are_asked_for_again(server: Server) -> None:
    server.fault = once_each(lambda path, body: time.sleep(0.6))
    assert ask([server.url], prompts(4), timeout=0.3) == expected(prompts(4))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ((500, b'{"error": {"message": "a fault"}}'), "HTTP 500: a fault (6 tries)"),
        ((400, b'{"error": {"message": "not that"}}'), "refuses: HTTP 400: not that"),
        (
            (200, b'{"model": "x", "choices": [{"text": "x", "finish_reason": "stop"}]}'),
            "answers as 'x', was asked for tiny (--answers-as allows another name)",
        ),
        ((200, b'{"mod', {"Content-Length": "50"}), "RemoteProtocolError"),
    ],
)
def test_a_prompt_that_goes_on_failing_is_an_error_of_its_own(
    server: Server, fault: Any, reason: str
) -> None:
    server.fault = lambda path, body: fault if body["prompt"] == "prompt 3" else None
    found = ask([server.url], prompts(8))
    assert reason in (found[3].error or "")
    assert found[3].finish_reason == "error"
    assert "\n" not in (found[3].error or "")
    assert found[:3] + found[4:] == expected(prompts(3)) + expected(prompts(8))[4:]


def test_a_server_that_does_nothing_but_fail_ends_the_run(server: Server) -> None:
    server.fault = lambda path, body: (500, b"")
    with pytest.raises(SynthError, match="20 prompts in a row got no answer: .*HTTP 500"):
        ask([server.url], prompts(40), requests=4)


@pytest.mark.parametrize("code", [401, 403, 404])
def test_a_server_that_lets_nobody_in_ends_the_run_at_once(server: Server, code: int) -> None:
    server.fault = lambda path, body: (code, b'{"error": {"message": "no"}}')
    with pytest.raises(SynthError, match=f"refuses: HTTP {code}: no"):
        ask([server.url], prompts())


def test_a_server_that_stays_busy_is_given_up(server: Server) -> None:
    server.fault = lambda path, body: (429, b'{"error": {"message": "busy"}}')
    with pytest.raises(SynthError, match="HTTP 429: busy; given up after"):
        ask([server.url], prompts(), patience=0.3)


def busy_for(after: str) -> Fault:
    return lambda path, body: (429, b'{"error": {"message": "busy"}}', {"Retry-After": after})


@pytest.mark.parametrize(
    ("after", "patience", "told"),
    [
        ("60", 0.0, "60 s, where --patience leaves 0 s"),
        ("301", 300.0, "301 s, where --patience leaves 300 s"),
        ("1e999", 300.0, "inf s, where --patience leaves 300 s"),
    ],
)
def test_a_wait_longer_than_the_patience_is_not_begun(
    server: Server, after: str, patience: float, told: str
) -> None:
    asked: list[str] = []
    busy = busy_for(after)
    server.fault = lambda path, body: asked.append(path) or busy(path, body)
    with pytest.raises(SynthError, match=f"HTTP 429: busy; asks to wait {told}$"):
        ask([server.url], prompts(4), requests=1, patience=patience)
    assert len(asked) == 1


def test_a_wait_is_measured_by_the_patience_that_is_left(server: Server) -> None:
    asked: list[str] = []

    def busy(path: str, body: dict[str, Any]) -> Any:
        asked.append(path)
        return busy_for("" if len(asked) == 1 else "20")(path, body)

    server.fault = busy
    with pytest.raises(SynthError, match="asks to wait 20 s, where --patience leaves (19|20) s"):
        ask([server.url], prompts(1), patience=20.0)
    assert len(asked) == 2


@pytest.mark.parametrize("after", ["nan", "-1", "Tue, 03 Nov 2026 07:28:00 GMT", ""])
def test_what_is_no_time_to_wait_is_not_heeded(server: Server, after: str) -> None:
    server.fault = once_each(busy_for(after))
    assert ask([server.url], prompts(8)) == expected(prompts(8))


def test_a_wait_within_the_patience_is_kept(server: Server) -> None:
    times: list[float] = []

    def busy_once(path: str, body: dict[str, Any]) -> Any:
        times.append(time.monotonic())
        return busy_for("0.3")(path, body) if len(times) == 1 else None

    server.fault = busy_once
    assert ask([server.url], prompts(1), patience=0.5) == expected(prompts(1))
    assert times[1] - times[0] >= 0.3


def test_of_two_servers_the_one_that_asks_for_an_hour_is_given_up(
    serve: Callable[..., Any],
) -> None:
    one, other = Server(serve), Server(serve)
    one.fault = busy_for("3600")
    told: list[str] = []
    found = ask([one.url, other.url], prompts(20), told=told, requests=4)
    assert found == expected(prompts(20))
    assert told == [
        f"{one.url}: HTTP 429: busy; asks to wait 3600 s, where --patience leaves 300 s"
    ]


def test_a_server_that_goes_and_comes_back_loses_nothing(server: Server) -> None:
    told: list[str] = []
    answered = 0

    def leave() -> None:
        server.stop()
        while not told:
            time.sleep(0.01)
        server.restart()

    def go(path: str, body: dict[str, Any]) -> Any:
        nonlocal answered
        answered += 1
        if answered == 10:
            threading.Thread(target=leave).start()
        time.sleep(0.02)

    server.fault = go
    assert ask([server.url], prompts(60), told=told, requests=4) == expected(prompts(60))
    assert "waiting for it" in told[0] and told[-1].endswith("answers again"), told


def test_of_two_servers_the_one_that_works_does_the_work(serve: Callable[..., Any]) -> None:
    one, other = Server(serve), Server(serve)
    both = ask([one.url, other.url], prompts(40), requests=8)
    assert both == expected(prompts(40))
    assert one.bodies and other.bodies
    one.fault = lambda path, body: (503, b"")
    told: list[str] = []
    found = ask([one.url, other.url], prompts(40), told=told, requests=8, patience=0.1)
    assert found == expected(prompts(40))


def test_the_servers_that_serve_a_model_are_asked(serve: Callable[..., Any]) -> None:
    one, other = Server(serve, "a"), Server(serve, "b")
    assert ask([one.url, other.url], prompts(3), model="b") == expected(prompts(3))
    assert not one.bodies
    with pytest.raises(SynthError, match="does not serve c; --model takes a"):
        ask([one.url, other.url], prompts(3), model="c")
    with pytest.raises(UsageError, match="serve different models"):
        ask([one.url, other.url], prompts(3))


def test_requests_and_tokens_in_flight_are_bounded(server: Server) -> None:
    server.fault = lambda path, body: time.sleep(0.01)
    ask([server.url], prompts(40), requests=3)
    assert server.most_in_flight <= 3
    server.most_in_flight = 0
    # 2 + 16 tokens each: two of them fit.
    assert ask([server.url], prompts(20), tokens=40) == expected(prompts(20))
    assert server.most_in_flight <= 2
    assert ask([server.url], prompts(5), tokens=1) == expected(prompts(5))


def test_prompts_are_not_read_far_ahead(server: Server) -> None:
    read = 0

    def many() -> Any:
        nonlocal read
        for prompt in prompts(2000):
            read += 1
            yield prompt

    settings = ModelSettings(server=server.url, traffic=ServerTraffic(requests=2))
    with open_generator(settings, SAMPLING, 7) as generator:
        found = generator.generate(many())
        assert next(found) == expected(prompts(1))[0]
        assert read <= 2 * server_generator._AHEAD + 1


def test_a_model_without_a_template_is_given_a_plain_rendering(server: Server) -> None:
    def refuse(path: str, body: dict[str, Any]) -> Any:
        if "messages" in body:
            return 400, b'{"error": {"message": "you must provide a chat template"}}'
        return None

    server.fault = refuse
    told: list[str] = []
    messages = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": " Hello "})
    found = ask([server.url], [Prompt(b"", None, messages)] * 3, told=told, requests=1)
    assert all(f.text.startswith("SYSTEM: BE BRIEF.\n\nUSER: HELLO\n\nASSISTANT:") for f in found)
    assert server.bodies[0]["stop"] == ["\nUser:"]
    assert len(told) == 1 and "no chat template" in told[0]
    short = ask([server.url], [Prompt(b"", None, messages)] * 3, told=told, context=50)
    assert [f.text for f in short] == [f.text for f in found]


def test_the_plain_rendering_is_that_of_the_template(tokenizer: Any) -> None:
    import copy

    from synthtools.lm.chat import TEMPLATE, plain, render

    mine = copy.deepcopy(tokenizer)
    mine.chat_template = TEMPLATE
    messages = [{"role": "system", "content": "a"}, {"role": "user", "content": " b\n"}]
    assert render(mine, messages, prompt=True) == mine.bos_token + plain(messages)


def test_where_the_context_ends(serve: Callable[..., Any]) -> None:
    """A server that refuses what does not fit is asked how long the prompts are."""
    server = Server(serve, max_model_len=20)

    def strict(path: str, body: dict[str, Any]) -> Any:
        if path != "/tokenize" and len(server.said(body).split()) + body["max_tokens"] > 20:
            return 400, b'{"message": "This model\'s maximum context length is 20 tokens"}'
        return None

    server.fault = strict
    asked = [Prompt(b"a", "a b"), Prompt(b"b", "a b c d e f"), Prompt(b"c", "w " * 25)]
    found = ask([server.url], asked, SamplingSettings(max_new_tokens=18), requests=1)
    assert found[:2] == expected(asked[:2])
    assert found[2].error == "the prompt has 25 tokens; the model takes 20, the answer included"
    assert sorted(body["max_tokens"] for body in server.bodies) == [14, 18]
    with pytest.raises(SynthError, match="--context 30: the server takes at most 20"):
        ask([server.url], asked, context=30)
    ask([server.url], asked[:1], context=10)
    assert server.bodies[-1]["max_tokens"] == 8


def test_other_names_that_are_allowed(server: Server) -> None:
    """A dated name is one that was allowed; one that only begins alike is another model's."""
    reply = json.loads(choices({"index": 0})) | {"model": "tiny-2024-08-06"}
    asked: list[str] = []

    def answers(path: str, body: Any) -> Any:
        asked.append(path)
        return 200, json.dumps(reply).encode()

    server.fault = answers
    assert ask([server.url], prompts(2), answers_as="tiny-????-??-??")[1].text == "x"
    for pattern in (None, "tiny", "tiny-mini*"):
        asked.clear()
        (found,) = ask([server.url], prompts(1), answers_as=pattern, tries=3)
        assert "answers as 'tiny-2024-08-06', was asked for tiny" in str(found.error)
        assert len(asked) == 1  # what will not change is not asked again


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 16}, (3, 16)),
        ({"prompt_tokens": 3, "completion_tokens": 17}, (3, None)),  # asked for were 16 at most
        ({"prompt_tokens": 51, "completion_tokens": 1}, (None, 1)),  # the context is 50
        ({"prompt_tokens": -1, "completion_tokens": 0}, (None, None)),
        ({"prompt_tokens": True, "completion_tokens": 2.0}, (None, None)),
        ({"prompt_tokens": "3", "completion_tokens": 1e99}, (None, None)),
        ({}, (None, None)),
        (None, (None, None)),
        ([3, 5], (None, None)),
    ],
)
def test_counts_that_cannot_be_are_none(
    serve: Callable[..., Any], usage: Any, counts: tuple[int | None, int | None]
) -> None:
    server = Server(serve, max_model_len=50)
    reply = json.loads(choices({"index": 0})) | {"usage": usage}
    server.fault = lambda path, body: (200, json.dumps(reply).encode())
    (found,) = ask([server.url], prompts(1))
    assert (found.prompt_tokens, found.tokens) == counts
    assert found.text == "x"


def test_a_budget_counts_refused_answers_and_resumes(server: Server, tmp_path: Path) -> None:
    """Every second draw of a prompt is refused, by its seed. What the budget stopped goes on without
    asking anything twice, to the bytes of a run without one."""
    source = tmp_path / "p.jsonl"
    source.write_text("".join(f'{{"prompt": "prompt {n}"}}\n' for n in range(10, 50)))

    def run(name: str, *more: object) -> Any:
        words = [
            "generate",
            source,
            "--plain",
            "-m",
            "tiny",
            "--server",
            server.url,
            "--requests",
            4,
        ]
        words += [
            "--validate",
            "regex=[02468]$",
            "--retries",
            9,
            "--price-in",
            10,
            "--price-out",
            10,
        ]
        report = tmp_path / f"{name}.json"
        done = running.run(*words, "-o", tmp_path / name, "--report", report, *more)
        return done, json.loads(report.read_text()) if not done.returncode else None

    done, report = run("whole.jsonl")
    assert done.returncode == 0, done.stderr
    asked, draws = len(server.bodies), [(body["prompt"], body["seed"]) for body in server.bodies]
    assert len(set(draws)) == asked > 50
    (validation,) = report["validation"]
    # A prompt has 3 tokens, as many as its 9 bytes are taken for, and an answer 5.
    assert report["tokens"] + validation["tokens"] == 5 * asked
    assert report["cost"] == pytest.approx((3 + 5) * asked * 10 / 1e6)
    server.bodies.clear()
    # 200 tokens are 25 answers, the refused ones included; at the price, 0.002.
    done, _ = run("s.jsonl", "--budget", "tokens=200")
    assert done.returncode == 1 and b"the budget (tokens=200) is used up" in done.stderr
    assert 0 < len(server.bodies) <= 25
    done, _ = run("s.jsonl", "--budget", "cost=0.0036", "--resume")
    assert done.returncode == 1 and b"the budget (cost=0.0036) is used up" in done.stderr
    assert 25 < len(server.bodies) <= 45
    done, resumed = run("s.jsonl", "--resume")
    assert done.returncode == 0, done.stderr
    assert sorted(draws) == sorted((body["prompt"], body["seed"]) for body in server.bodies)
    assert (resumed["validation"], resumed["cost"]) == (report["validation"], report["cost"])
    assert (tmp_path / "s.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
