"""Compiled code is kept where that is possible, and works where it is not."""

from __future__ import annotations

import os
import subprocess
import sys

import kernel_reference as reference

CODE = """
import numpy as np
from synthtools.text.tokeniser import finalise
print(int(finalise(np.uint64(12345))), finalise.stats.cache_path)
"""


def run(cache: str) -> tuple[int, str]:
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True
    )
    value, path = done.stdout.split()
    return int(value), path


def test_code_is_kept_where_the_user_says(tmp_path):
    value, path = run(str(tmp_path))
    assert value == reference.finalise(12345)
    assert path.startswith(str(tmp_path))
    assert [name for _, _, names in os.walk(tmp_path) for name in names if name.endswith(".nbc")]


def test_without_a_place_to_write(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    value, path = run(str(blocked / "below"))
    assert value == reference.finalise(12345)
    assert path == "None"
