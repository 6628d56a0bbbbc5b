"""Take away from this process what turning weights into a graph does not need.

Two walls. The kernel's: limits of memory, CPU time and file size everywhere that POSIX has them,
and on Linux an empty network namespace and Landlock (no program may be started, nothing written
outside one folder, no TCP). And Python's own: an audit hook that refuses sockets, processes and
writes elsewhere by name, which also gives the clear message. The hook alone is no boundary against
code that already runs; that weights are never unpickled as code is what keeps it from running.

Source: landlock(7), unshare(2); Landlock's system calls have the same numbers on every processor.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_EXECUTE, _WRITE = 1 << 0, 1 << 1
_CHANGE_FOLDERS = sum(1 << bit for bit in range(4, 13))
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_O_PATH = 0x200000
_CPU_GRACE = 5

_REFUSED = (
    "socket.",
    "subprocess.",
    "pty.",
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "os.kill",
    "ftplib.",
    "http.",
    "urllib.",
    "smtplib.",
    "webbrowser.",
)
_CHANGES = {
    "os.remove": 1,
    "os.rmdir": 1,
    "os.mkdir": 1,
    "os.chmod": 1,
    "os.chown": 1,
    "os.truncate": 1,
    "os.utime": 1,
    "os.rename": 2,
    "os.link": 2,
    "os.symlink": 2,
    "shutil.rmtree": 1,
}
"""Audit events that change folders -> how many of their arguments are paths."""


class Refused(PermissionError):
    """The confined process tried to reach what it may not."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("access", ctypes.c_uint64), ("descriptor", ctypes.c_int32))


def raise_walls(folder: Path, *, memory_bytes: int, cpu_seconds: int) -> list[str]:
    """Ask the kernel for what it has; call while the process has one thread.

    The process also ends when its parent does, where the kernel offers that.

    Args:
        folder: the only one that stays writable.

    Returns:
        The walls that stand, in words. Which those are depends on the operating system.
    """
    walls = _limit_resources(memory_bytes, cpu_seconds)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET):
            if libc.unshare(flags) == 0:
                walls.append("no network: an empty namespace")
                break
        if _landlock(libc, folder):
            walls.append("no programs and no writing elsewhere: Landlock")
    return walls


def watch(folder: Path) -> str:
    """Refuse sockets, processes and writes outside the folder by an audit hook, for good."""
    root = os.path.realpath(folder) + os.sep

    def inside(path: object) -> bool:
        if isinstance(path, int):
            return True
        if isinstance(path, str | bytes | os.PathLike):
            return os.path.realpath(os.fsdecode(path)).startswith(root)
        return False

    def hook(event: str, args: tuple[object, ...]) -> None:
        if event == "open":
            path, mode, flags = args
            writes = isinstance(mode, str) and any(c in mode for c in "wax+")
            bits = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
            writes = writes or (isinstance(flags, int) and bool(flags & bits))
            if writes and not inside(path) and path not in (os.devnull, os.devnull.encode()):
                raise Refused(f"writing {path!r}")
        elif event in _CHANGES:
            if not all(inside(path) for path in args[: _CHANGES[event]]):
                raise Refused(f"{event} {args[0]!r}")
        elif event.startswith(_REFUSED):
            raise Refused(event)

    sys.addaudithook(hook)
    return "no sockets, processes or writing elsewhere: audit hook"


def _limit_resources(memory_bytes: int, cpu_seconds: int) -> list[str]:
    try:
        import resource
    except ImportError:  # Windows: the parent's clock is what is left
        return []
    walls = []
    for name, value, words in (
        ("RLIMIT_AS", memory_bytes, f"{memory_bytes >> 20} MiB of memory"),
        ("RLIMIT_CPU", cpu_seconds, f"{cpu_seconds} s of CPU time"),
        ("RLIMIT_FSIZE", memory_bytes, "a size of files"),
        ("RLIMIT_CORE", 0, "no core dumps"),
    ):
        which = getattr(resource, name, None)
        if which is None:
            continue
        _, hard = resource.getrlimit(which)
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(ValueError, OSError):
            # A process over its soft limit of CPU time is ended by a signal that says so.
            grace = _CPU_GRACE if name == "RLIMIT_CPU" and hard == resource.RLIM_INFINITY else 0
            resource.setrlimit(which, (bound, bound + grace))
            walls.append(words)
    return walls


def _landlock(libc: ctypes.CDLL, folder: Path) -> bool:
    version = libc.syscall(_CREATE, None, 0, 1)
    if version < 1:
        return False
    changes = _WRITE | _CHANGE_FOLDERS
    changes |= (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    rules = _Ruleset(_EXECUTE | changes, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = libc.syscall(_CREATE, ctypes.byref(rules), size, 0)
    if ruleset < 0:
        return False
    try:
        allowed = ((str(folder), changes), (os.devnull, changes & (_WRITE | _TRUNCATE)))
        for path, access in allowed:
            descriptor = os.open(path, _O_PATH | os.O_CLOEXEC)
            beneath = _Beneath(access, descriptor)
            done = libc.syscall(_ADD, ruleset, 1, ctypes.byref(beneath), 0)
            os.close(descriptor)
            if done != 0:
                return False
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            return False
        return bool(libc.syscall(_RESTRICT, ruleset, 0) == 0)
    finally:
        os.close(ruleset)
