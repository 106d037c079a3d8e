"""Compiling is told where it takes long, once."""

import logging
import time

from synthtools import compiled


def test_slow_compilation_is_told_once(caplog, monkeypatch):
    monkeypatch.setattr(compiled, "PATIENCE", 0.05)
    caplog.set_level(logging.INFO, "synthtools.compiled")
    one = compiled.SlowCompilation()
    for _ in range(8):  # each is short; together they are long
        one.on_start(None)
        one.on_start(None)
        time.sleep(0.02)
        one.on_end(None)
        one.on_end(None)
    for _ in range(100):
        if caplog.messages:
            break
        one.on_start(None)
        time.sleep(0.05)
        one.on_end(None)
    time.sleep(0.1)
    assert len(caplog.messages) == 1 and caplog.messages[0].startswith("compiling for this machine")


def test_what_is_quick_is_not_told(caplog):
    caplog.set_level(logging.INFO, "synthtools.compiled")
    one = compiled.SlowCompilation()
    one.on_start(None)
    one.on_end(None)
    assert not caplog.messages
