"""Ctrl-C, SIGTERM and SIGHUP: a tool ends by itself, or is ended soon after.

Python handles a signal only between bytecode instructions, so that native code that computes for minutes (a
tokenizer, a matrix product) delays it. The C part of Python's handlers notifies a small process, forked at the
start, which counts time and signals. It first asks a thread to end the tool and remove unfinished files; if
native code also holds the interpreter lock, the C library ends the process, and the next run removes the files.
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
# Seconds for a tool to end by itself [ours]; more if it has to end child processes.
_PATIENCE = 1.5
_LONG_PATIENCE = 15.0
_WITH_PROCESSES = ("ray", "vllm")
# Seconds for the process to end itself, before it is ended from C [ours].
_SOON = 0.2

# Commands to the watching process, besides signal numbers.
_EXCUSE, _NO_EXCUSE, _LONG = 253, 254, 255

_control_pipe = -1
_watcher = 0
# The reader of stdout has closed the pipe, which is not a failure.
_unread = False
_undecided = threading.Lock()


def let_tool_handle_signal() -> None:
    """Lets the tool handle the next signal itself, without a time limit."""
    _notify(_EXCUSE)


def end_on_signal() -> None:
    """Ends the tool on every signal from now on."""
    _notify(_NO_EXCUSE)


def _notify(word: int) -> None:
    if _control_pipe >= 0:
        os.write(_control_pipe, bytes([word]))


def end_without_reader(sink: Sink | None) -> None:
    """Interrupts the tool if the reader of its records goes away before the first record. A write would
    detect it too, but may be hours ahead."""
    if _watcher and sink is not None and sink.pipe is not None:
        threading.Thread(target=_end_unread, args=(sink,), name="reader", daemon=True).start()


def _end_unread(sink: Sink) -> None:
    global _unread
    poll = select.poll()
    poll.register(sink.pipe or 0, 0)  # POLLERR, a closed other end, is always reported
    if poll.poll():
        with _undecided:
            if sink.pipe is not None:
                _unread = True
                # Background jobs of scripts ignore SIGINT.
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


def ended() -> None:
    """Records that the tool has ended, so that a vanished reader no longer interrupts it."""
    _undecided.acquire()


def exit_code() -> int:
    """The exit code of an interrupted tool."""
    return 0 if _unread else 130


def listen() -> None:
    """Starts watching signals, in addition to the installed handlers."""
    global _control_pipe, _watcher
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
    _control_pipe = telling
    os.set_blocking(telling, False)
    signal.set_wakeup_fd(telling, warn_on_full_buffer=False)
    _exit_at_byte(last)
    threading.Thread(target=_end_when, args=(asked,), name="signals", daemon=True).start()
    atexit.register(release)


def release() -> None:
    """Stops watching, for a tool that forwards signals."""
    global _watcher
    watcher, _watcher = _watcher, 0
    if watcher:
        _stop_watching_in_child()
        os.kill(watcher, signal.SIGKILL)
        os.waitpid(watcher, 0)


def _stop_watching_in_child() -> None:
    """Stops watching in a forked child, whose signals are its own."""
    global _control_pipe, _watcher
    if _control_pipe >= 0:
        signal.set_wakeup_fd(-1)
        os.close(_control_pipe)
    _control_pipe, _watcher = -1, 0


os.register_at_fork(after_in_child=_stop_watching_in_child)


def _end_when(asked: int) -> None:
    """Ends the program on the second message, or after the time limit."""
    if not os.read(asked, 1):
        return  # released
    busy = any(name in sys.modules for name in _WITH_PROCESSES)
    if busy:
        _notify(_LONG)
    again = select.select([asked], [], [], _LONG_PATIENCE if busy else _PATIENCE)[0]
    if again and not os.read(asked, 1):
        return
    remove_unfinished()
    os._exit(exit_code())


# Memory of the C library's request, which must not move.
_request = ctypes.create_string_buffer(1024)
_byte = ctypes.create_string_buffer(1)


def _exit_at_byte(last: int) -> None:
    """Makes the C library call _exit(130) when a byte can be read, in a thread without the interpreter lock:
    aio_read with a notification by SIGEV_THREAD (2), in the layout of 64-bit Linux."""
    if not sys.platform.startswith("linux") or ctypes.sizeof(ctypes.c_void_p) != 8:
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "aio_read"):
        leave = ctypes.cast(library._exit, ctypes.c_void_p).value
        read = last, 0, 0, ctypes.addressof(_byte), len(_byte)
        struct.pack_into("@iiiPNPiiPP", _request, 0, *read, 130, 0, 2, leave, 0)
        library.aio_read(_request)


def _watch(program: int, heard: int, asking: int, ending: int) -> None:
    """The watching process: ends the program some time after a signal, and exits with it."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    # Close the program's files, so that its pipes end with it.
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
