"""Ctrl-C, SIGTERM and SIGHUP: a tool ends by itself, or is ended soon after.

Python hears a signal only between two of its own steps; native code that computes for minutes (a
tokenizer, a matrix product) puts that off. The C part of Python's handlers tells a small process, forked
at the start, which counts time and signals. It asks first a thread to end the tool and remove what was
begun; where native code keeps the interpreter's lock too, the C library ends it, and what was begun is
removed by the next run.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import select
import signal
import struct
import sys
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING

from synthtools.records.atomic_files import remove_unfinished

if TYPE_CHECKING:
    from synthtools.records.sink import Sink

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Seconds that a tool has to end by itself [ours]; more where it must end processes of its own.
_PATIENCE = 1.5
_LONG_PATIENCE = 15.0
_WITH_PROCESSES = ("ray", "vllm")
# Seconds that the process has to end itself, before a harder way is taken [ours].
_SOON = 0.2

# Commands to the watching process, beside the numbers of signals.
_EXCUSE, _NO_EXCUSE, _LONG = 253, 254, 255

_telling = -1
_watcher = 0
# The reader of stdout has closed the pipe; that is not a failure.
_unread = False
_undecided = threading.Lock()


def excuse() -> None:
    """The next signal is taken for a wish, which the tool fulfils in its own time."""
    _tell(_EXCUSE)


def no_excuse() -> None:
    """From now on every signal ends the tool."""
    _tell(_NO_EXCUSE)


def _tell(word: int) -> None:
    if _telling >= 0:
        os.write(_telling, bytes([word]))


def end_without_reader(sink: Sink | None) -> None:
    """Interrupts the tool when the reader of its records goes away before there is one. A write tells
    that too, but the first may be hours ahead."""
    if _watcher and sink is not None and sink.pipe is not None:
        threading.Thread(target=_end_unread, args=(sink,), name="reader", daemon=True).start()


def _end_unread(sink: Sink) -> None:
    global _unread
    poll = select.poll()
    poll.register(sink.pipe or 0, 0)  # always reported: that the other end is closed
    if poll.poll():
        with _undecided:
            if sink.pipe is not None:
                _unread = True
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def ended() -> None:
    """The tool has ended: no reader that goes away ends it any more."""
    _undecided.acquire()


def exit_code() -> int:
    """Of a tool that was interrupted."""
    return 0 if _unread else 130


def listen() -> None:
    """Hears signals from now on, beside the handlers that are set."""
    global _telling, _watcher
    heard, telling = os.pipe()
    asked, asking = os.pipe()
    last, ending = os.pipe()
    program = os.getpid()
    _watcher = os.fork()
    if not _watcher:
        try:
            _watch(program, heard, asking, ending)
        finally:
            os._exit(0)
    os.close(asking)
    _telling = telling
    os.set_blocking(telling, False)
    signal.set_wakeup_fd(telling, warn_on_full_buffer=False)
    _exit_at_byte(last)
    threading.Thread(target=_end_when, args=(asked,), name="signals", daemon=True).start()
    atexit.register(release)


def release() -> None:
    """Leaves signals to the handlers that are set, as in a tool that hands them on."""
    global _watcher
    watcher, _watcher = _watcher, 0
    if watcher:
        _deaf()
        os.kill(watcher, signal.SIGKILL)
        os.waitpid(watcher, 0)


def _deaf() -> None:
    """In a forked child too, whose signals are not the program's."""
    global _telling, _watcher
    if _telling >= 0:
        signal.set_wakeup_fd(-1)
        os.close(_telling)
    _telling, _watcher = -1, 0


os.register_at_fork(after_in_child=_deaf)


def _end_when(asked: int) -> None:
    """Ends the program with the second word, or when it has had its time."""
    if not os.read(asked, 1):
        return  # released
    busy = any(name in sys.modules for name in _WITH_PROCESSES)
    if busy:
        _tell(_LONG)
    again = select.select([asked], [], [], _LONG_PATIENCE if busy else _PATIENCE)[0]
    if again and not os.read(asked, 1):
        return
    remove_unfinished()
    os._exit(exit_code())


# What the C library reads and writes; it must stay where it is.
_request = ctypes.create_string_buffer(1024)
_byte = ctypes.create_string_buffer(1)


def _exit_at_byte(last: int) -> None:
    """Has the C library call _exit(130) as soon as a byte can be read, in a thread that needs no lock
    of Python's: aio_read with a notification by SIGEV_THREAD (2), as 64-bit Linux lays it out."""
    if not sys.platform.startswith("linux") or ctypes.sizeof(ctypes.c_void_p) != 8:
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "aio_read"):
        leave = ctypes.cast(library._exit, ctypes.c_void_p).value
        read = last, 0, 0, ctypes.addressof(_byte), len(_byte)
        struct.pack_into("@iiiPNPiiPP", _request, 0, *read, 130, 0, 2, leave, 0)
        library.aio_read(_request)


def _watch(program: int, heard: int, asking: int, ending: int) -> None:
    """Ends the program some time after a signal; ends with it."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    # It holds nothing of the program's open: pipes would seem to go on.
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)
    ends = 2, *sorted((heard, asking, ending)), os.sysconf("SC_OPEN_MAX")
    for lower, upper in pairwise(ends):
        os.closerange(lower + 1, upper)
    excused, came, end = False, False, None
    while True:
        left = None if end is None else max(0.0, end - time.monotonic())
        if not select.select([heard], [], [], left)[0]:
            break
        words = os.read(heard, 64)
        if not words:
            return
        for word in words:
            if word in (_EXCUSE, _NO_EXCUSE):
                excused = word == _EXCUSE
            elif word == _LONG and end is not None:
                end += _LONG_PATIENCE - _PATIENCE
            elif word in SIGNALS and excused:
                excused = False
            elif word in SIGNALS:
                os.write(asking, b"x")
                end = time.monotonic() + (_SOON if came else _PATIENCE + _SOON)
                came = True
    os.write(ending, b"x")
    time.sleep(_SOON)
    if os.getppid() == program:
        os.kill(program, signal.SIGKILL)
