"""Ctrl-C, SIGTERM and SIGHUP: a tool ends by itself, or is ended soon after.

Python hears a signal only between two of its own steps; native code that computes for minutes (a
tokenizer, a matrix product) puts that off. A thread hears it at once, and ends the process where the
tool has not ended by itself.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading

from synthtools.records.files import remove_unfinished

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Seconds that a tool has to end by itself [ours]; more where it must end processes of its own.
_PATIENCE = 1.5
_LONG_PATIENCE = 15.0
_WITH_PROCESSES = ("ray", "vllm")

_excused = 0


def excuse() -> None:
    """The next signal is taken for a wish, which the tool fulfils in its own time."""
    global _excused
    _excused = 1


def no_excuse() -> None:
    """From now on every signal ends the tool."""
    global _excused
    _excused = 0


def listen() -> None:
    """Hears signals from now on, beside the handlers that are set."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=_listen, args=(reading,), name="signals", daemon=True).start()


def _listen(reading: int) -> None:
    global _excused
    while True:
        if os.read(reading, 1)[0] not in SIGNALS:
            continue
        if _excused:
            _excused = 0
            continue
        _end(reading)


def _end(reading: int) -> None:
    """Ends the process with the next signal, or when the tool has had its time."""
    busy = any(name in sys.modules for name in _WITH_PROCESSES)
    select.select([reading], [], [], _LONG_PATIENCE if busy else _PATIENCE)
    remove_unfinished()
    os._exit(130)
