"""Which GPUs an engine is given where its process sees some of them alone."""

from __future__ import annotations

import pytest

from synthtools.lm.vllm.vllm_engine import visible_gpus


@pytest.mark.parametrize(
    ("seen", "numbers", "names"),
    [
        (None, [1], "1"),
        ("", [0, 2], "0,2"),
        ("3", [0], "3"),  # an actor of Ray
        ("2,3,GPU-8f", [2, 0], "GPU-8f,2"),
    ],
)
def test_numbers_are_of_those_that_are_seen(
    seen: str | None, numbers: list[int], names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if seen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
    assert visible_gpus(numbers) == names
