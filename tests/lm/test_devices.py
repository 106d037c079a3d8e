"""bfloat16 on a CPU without instructions for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthtools.lm import devices
from synthtools.lm.model_name import ModelName
from synthtools.lm.model_settings import ModelSettings
from synthtools.lm.open_models import open_model
from synthtools.lm.scores import ScoreRequest


@pytest.mark.parametrize(
    ("content", "emulated"),
    [
        ("model name\t: any\nflags\t\t: fpu avx avx2 avx512f\n", True),
        ("flags\t\t: avx512f avx512_bf16\n", False),
        ("Features\t: fp asimd bf16\n", False),
        ("processor : 0\n", False),
    ],
)
def test_bfloat16_instructions(tmp_path: Path, content: str, emulated: bool) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(content)
    assert devices.emulates_bfloat16(file) == emulated
    assert not devices.emulates_bfloat16(tmp_path / "absent")


@pytest.mark.parametrize("emulated", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_emulation_is_reported(monkeypatch: pytest.MonkeyPatch, dtype: str, emulated: bool) -> None:
    monkeypatch.setattr(devices, "emulates_bfloat16", lambda: emulated)
    settings = ModelSettings(ModelName("builtin"), backend="torch", devices="cpu", dtype=dtype)
    remarks: list[str] = []
    open_model(settings, ScoreRequest(), remarks.append)
    assert len(remarks) == (emulated and dtype == "bfloat16")
    assert all("no bfloat16 instructions" in remark for remark in remarks)
