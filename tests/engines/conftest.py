"""Fixtures of the tests that need vLLM; without it they are skipped."""

from __future__ import annotations

import pytest

from vllm_server import free_port, start_server, wait_for


@pytest.fixture(scope="module")
def server():
    port = free_port()
    process = start_server(port)
    try:
        wait_for(process, f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)
