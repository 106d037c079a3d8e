"""Servers that die and dawdle."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from faults.cases import Seen, case, nothing_left, run, seen, sound
from faults.servers.asking import failures, generated
from faults.servers.server import Server, serving


@case("a server killed in the middle of generate; started again, `--resume`")
def killed(folder: Path) -> Seen:
    data = folder / "prompts.jsonl"
    data.write_text("".join(json.dumps({"prompt": f"question {n}"}) + "\n" for n in range(40)))
    words: list[object] = ["generate", "--model", "tiny", "--max-new-tokens", 4]
    words += ["--shard-size", 10, "--requests", 2, "--patience", 1, data]
    with serving() as server:
        seen(run(*words, "--server", server.url, "-o", folder / "whole"), code=0)
        port = server.port
        given = [0]

        def die(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> bool:
            given[0] += 1
            if given[0] > 15:
                handler.connection.close()
                threading.Thread(target=server.stop).start()
            return given[0] > 15

        server.act = die
        done = run(*words, "--server", server.url, "-o", folder / "out")
        result = seen(done, server.url, more=True)
    back = Server(port=port)
    try:
        done = run(*words, "--server", back.url, "-o", folder / "out", "--resume")
        sound(done.returncode == 0, f"resumed: {done.stderr!r}")
        asked = len([path for path, _ in back.requests if "completions" in path])
        sound(asked < 40 - 10, f"{asked} of 40 were asked again")
    finally:
        back.stop()
    names = sorted(path.name for path in (folder / "whole").iterdir())
    nothing_left(folder / "out", *names)
    for name in names:
        if name.startswith("part-"):
            same = (folder / "out" / name).read_bytes() == (folder / "whole" / name).read_bytes()
            sound(same, f"{name} differs")
    return result._replace(line=result.line.replace(server.url, "http://…"))


@case("a server that sends a byte a while: no answer is waited for longer than --timeout", True)
def dripping(folder: Path) -> Seen:
    def drip(handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        for _ in range(1000):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.02)
        return True

    begun = time.monotonic()
    with serving(drip) as server:
        result = failures(lambda: generated(server.url, tries=1, timeout=0.5), "no answer in 0.5 s")
    sound(time.monotonic() - begun < 15, "was waited for")
    return result._replace(line=result.line.replace(server.url, "http://…"))
