"""The inside of the sandbox: confines its own process by the kernel, then runs a program.

``sandbox`` starts it as ``python -I -S -c SOURCE`` in an empty directory, with a task on stdin: ``code``, ``mark``,
``kind``, ``parent`` (its process), ``readable`` paths, and limits. It may import only the standard library. The
last line of its output is the mark and, as a JSON string, ``passed`` or the reason for failure.

Landlock (kernel documentation, userspace-api/landlock) closes the file system except for the directory; seccomp
(userspace-api/seccomp_filter) refuses system calls for networks and other processes, and those whose effects
outlive the process or change files that Landlock does not protect. Neither needs privileges or can be undone.
"""

import ctypes
import json
import os
import platform
import resource
import struct
import sys
from collections.abc import Sequence

# <linux/landlock.h>: rights by their bit, and the version of the interface that added those after MAKE_SYM.
_READ_FILE, _READ_DIR, _WRITE_FILE, _SPECIAL_FILES = 1 << 2, 1 << 3, 1 << 1, 1 << 6 | 1 << 11
_FIRST_RIGHTS = (1 << 13) - 1
_LATER_RIGHTS = {2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
_TCP_SINCE, _SCOPES_SINCE = 4, 6

# Refused calls: numbers on x86_64 and aarch64 (0: does not exist), from <asm/unistd.h>.
_REFUSED = (
    # networks and other processes
    "socket 41 198, socketpair 53 199, connect 42 203, fork 57 0, vfork 58 0, execve 59 221, "
    "execveat 322 281, kill 62 129, tkill 200 130, tgkill 234 131, ptrace 101 117, "
    "rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240, kcmp 312 272, "
    "process_vm_readv 310 270, process_vm_writev 311 271, setpriority 141 140, "
    "sched_setparam 142 118, sched_setscheduler 144 119, sched_setaffinity 203 122, "
    "sched_setattr 314 274, ioprio_set 251 30, migrate_pages 256 238, move_pages 279 239, "
    "setrlimit 160 164, "
    # memory that outlives the process or is not counted towards its limit
    "shmget 29 194, semget 64 190, msgget 68 186, mq_open 240 180, memfd_create 319 279, "
    "add_key 248 217, request_key 249 218, keyctl 250 219, "
    # changes of files that Landlock does not cover, or not in its first versions
    "chmod 90 0, fchmod 91 52, fchmodat 268 53, chown 92 0, fchown 93 55, lchown 94 0, "
    "fchownat 260 54, truncate 76 45, utime 132 0, utimes 235 0, futimesat 261 0, "
    "utimensat 280 88, setxattr 188 5, lsetxattr 189 6, fsetxattr 190 7, mknod 133 0, "
    "removexattr 197 14, lremovexattr 198 15, fremovexattr 199 16, mknodat 259 33, "
    "name_to_handle_at 303 264, open_by_handle_at 304 265, "
    # calls that need root, in case the process has it
    "mount 165 40, umount2 166 39, pivot_root 155 41, chroot 161 51, unshare 272 97, "
    "setns 308 268, bpf 321 280, userfaultfd 323 282, perf_event_open 298 241, "
    "fanotify_init 300 262, syslog 103 116, init_module 175 105, finit_module 313 273, "
    "delete_module 176 106, kexec_load 246 104, kexec_file_load 320 294, reboot 169 142, "
    "swapon 167 224, swapoff 168 225, acct 163 89, quotactl 179 60, sethostname 170 161, "
    "setdomainname 171 162, settimeofday 164 170, clock_settime 227 112, adjtimex 159 171, "
    "clock_adjtime 305 266, iopl 172 0, ioperm 173 0, personality 135 92, vhangup 153 58, "
)
# From here on the numbers are the same on all machines; later calls (io_uring, clone3, …) fail as if not implemented.
_LATER_CALLS = 424
_CLONE, _FCNTL, _PRLIMIT = (56, 220), (72, 25), (302, 261)
_CLONE_THREAD = 0x10000
_SETS_OWNER = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: signals to other processes
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_X32 = 0x40000000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOWED, _NOT_PERMITTED, _NOT_THERE = 0x7FFF0000, 0x50000 | 1, 0x50000 | 38

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _call(what: str, result: int) -> int:
    if result < 0:
        raise OSError(f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def shut_files(readable: list[str], writable: str) -> None:
    """Landlock: only these paths can be read, only this directory written. Raises OSError: the kernel does not
    support it."""
    version = _call("Landlock", _libc.syscall(444, None, ctypes.c_size_t(0), 1))
    rights = _FIRST_RIGHTS | sum(bit for since, bit in _LATER_RIGHTS.items() if version >= since)
    known = [rights, *[3] * (version >= _TCP_SINCE), *[3] * (version >= _SCOPES_SINCE)]
    shape = struct.pack(f"={len(known)}Q", *known)
    rules = _call("Landlock", _libc.syscall(444, shape, ctypes.c_size_t(len(shape)), 0))
    reading = _READ_FILE | _READ_DIR
    rights_of = dict.fromkeys(readable, reading) | {writable: rights & ~_SPECIAL_FILES}
    rights_of["/dev/null"] = _READ_FILE | _WRITE_FILE
    for path, allowed in rights_of.items():
        if os.path.exists(path):
            place = os.open(path, os.O_PATH)
            allowed &= ~(0 if os.path.isdir(path) else _READ_DIR)
            rule = struct.pack("=Qi", allowed, place)
            _call(f"Landlock: {path}", _libc.syscall(445, rules, 1, rule, 0))
            os.close(place)
    _call("Landlock", _libc.syscall(446, rules, 0))
    os.close(rules)


def refuse_calls() -> None:
    """seccomp: refuses the calls above, new processes (threads are allowed), and changes of limits. Raises
    OSError: the kernel does not support it, or the machine's system calls are not known here."""
    if platform.machine() not in _MACHINES:
        raise OSError(f"seccomp: the system calls of {platform.machine()} are not known here")
    column, machine = _MACHINES[platform.machine()]

    def refused_if(test: int, value: int, answer: int = _NOT_PERMITTED) -> list[tuple[int, ...]]:
        return [(test, 0, 1, value), (_RETURN, 0, 0, answer)]

    def call(number: tuple[int, int], checks: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
        steps = [*checks, (_RETURN, 0, 0, _ALLOWED)]
        return [(_EQUAL, 0, len(steps), number[column]), *steps]

    # <linux/seccomp.h>, struct seccomp_data: nr at 0, arch at 4, six arguments of 8 bytes from 16 on.
    steps: list[tuple[int, ...]] = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, machine)]
    steps += [(_RETURN, 0, 0, _NOT_PERMITTED), (_LOAD, 0, 0, 0)]
    steps += refused_if(_AT_LEAST, _X32) + refused_if(_AT_LEAST, _LATER_CALLS, _NOT_THERE)
    for listed in _REFUSED.strip(", ").split(", "):
        number = int(listed.split()[1 + column])
        if number:
            steps += refused_if(_EQUAL, number)
    thread = [(_LOAD, 0, 0, 16), (_ANY_BIT, 1, 0, _CLONE_THREAD), (_RETURN, 0, 0, _NOT_PERMITTED)]
    owner = [step for command in _SETS_OWNER for step in refused_if(_EQUAL, command)]
    # Both words of the pointer to new limits are 0, and the process is this one: limits are only read.
    read_only = [
        step
        for place in (16, 32, 36)
        for step in [(_LOAD, 0, 0, place), (_EQUAL, 1, 0, 0), (_RETURN, 0, 0, _NOT_PERMITTED)]
    ]
    steps += call(_CLONE, thread) + call(_FCNTL, [(_LOAD, 0, 0, 24), *owner])
    steps += [*call(_PRLIMIT, read_only), (_RETURN, 0, 0, _ALLOWED)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = struct.pack("@HP", len(steps), ctypes.addressof(code))
    _call("seccomp", _libc.prctl(22, 2, program, 0, 0))


def main() -> None:
    """Runs the task on stdin."""
    task = json.load(sys.stdin)
    verdicts = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for limit, value in task["limits"].items():
        resource.setrlimit(getattr(resource, limit), value)
    if task["kind"] != "none":
        _call("prctl", _libc.prctl(1, 9, 0, 0, 0))  # dies with its parent, …
        if task["kind"] == "landlock" and os.getppid() != task["parent"]:
            os._exit(1)  # … which may have died before that; bubblewrap handles this itself
        _call("prctl", _libc.prctl(38, 1, 0, 0, 0))  # no new privileges: both below require it
        if task["kind"] == "landlock":
            shut_files(task["readable"], os.getcwd())
        refuse_calls()
    try:
        exec(compile(task["code"], "<program>", "exec"), {"__name__": "__main__"})  # noqa: S102
        verdict = "passed"
    except BaseException as error:
        line = (str(error).splitlines() or [""])[0]
        verdict = f"{type(error).__name__}: {line}"[:200]
    sys.stdout.flush()
    os.write(verdicts, f"\n{task['mark']}{json.dumps(verdict)}\n".encode())
    os._exit(0)


if __name__ == "__main__":
    main()
