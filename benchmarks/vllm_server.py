"""Generation through a server against a bare client of the same server, with as many requests in flight.

A vLLM server of the model is started on loopback. The peer sends the same bodies, made before, from one
event loop of aiohttp, and keeps what comes back; what it reaches is what the server gives at this
concurrency. SYNTH_BENCHMARK_SERVER names a server that is there instead.
"""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import urlopen

from benchmarks.common import in_turns, machine, model_name
from benchmarks.generation import TOKENS, prompts
from synthtools.lm.generation import SamplingSettings, ServerTraffic
from synthtools.lm.model_name import ModelName
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.open_models import open_generator

REQUESTS = int(os.environ.get("BENCH_REQUESTS", 32))


@contextmanager
def _server(location: str, on_gpu: bool) -> Iterator[str]:
    """A server that ends with the benchmark."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    more = [
        "--enforce-eager",
        "--no-enable-chunked-prefill",
        "--kv-cache-memory-bytes",
        "1000000000",
    ]
    more = [] if on_gpu else more
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", location),
            *("--host", "127.0.0.1", "--port", str(port), *more),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            if process.poll() is not None:
                sys.exit(f"the server ended with {process.returncode}")
            try:
                urlopen(f"{url}/v1/models", timeout=2).close()
                break
            except OSError:
                time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def main() -> None:
    import aiohttp
    import torch

    on_gpu = torch.cuda.is_available()
    asked = prompts(int(os.environ.get("BENCH_PROMPTS", 8192 if on_gpu else 192)))
    location = ModelName(model_name()).location
    there = os.environ.get("SYNTH_BENCHMARK_SERVER")
    counts = {}

    def measure(url: str) -> tuple[float, float]:
        traffic = ServerTraffic(requests=REQUESTS)
        name = ModelName(location)
        settings = ModelSettings(name, backend="server", server=url, traffic=traffic)
        sampling = SamplingSettings(max_new_tokens=TOKENS)
        with open_generator(settings, sampling, 0) as generator:
            bodies = [
                {
                    "model": generator.description["name"],
                    "prompt": prompt.text,
                    "max_tokens": TOKENS,
                    "temperature": sampling.temperature,
                    "top_p": sampling.top_p,
                    "seed": prompt.seed(0),
                }
                for prompt in asked
            ]

            async def all_of_them() -> int:
                room = asyncio.Semaphore(REQUESTS)
                async with aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(limit=REQUESTS)
                ) as session:

                    async def one(body: dict) -> int:
                        async with room, session.post(f"{url}/v1/completions", json=body) as found:
                            return (await found.json())["usage"]["completion_tokens"]

                    return sum(await asyncio.gather(*map(one, bodies)))

            def ours() -> None:
                counts["ours"] = sum(answer.tokens for answer in generator.generate(asked))

            def bare() -> None:
                counts["bare"] = asyncio.run(all_of_them())

            mine, theirs, _ = in_turns(ours, bare)
        return counts["ours"] / mine, counts["bare"] / theirs

    if there:
        mine, theirs = measure(there)
    else:
        with _server(location, on_gpu) as url:
            mine, theirs = measure(url)
    print(
        f"{REQUESTS} requests in flight: {mine:,.0f} tokens/s, bare client {theirs:,.0f}: "
        f"ratio {mine / theirs:.2f}"
    )
    print(f"({model_name()}; {machine()})")


if __name__ == "__main__":
    main()
