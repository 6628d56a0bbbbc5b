"""Hold a job to the roots of the service by the kernel, whatever links do meanwhile.

Paths are checked before a job starts, and somebody may swap a directory for a link right after.
Where the kernel has Landlock, the child may write nowhere but below the roots and its own folder.

Source: landlock(7); its system calls have the same numbers on every processor.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence

VARIABLE = "WETGATE_WRITE_ROOTS"
"""Names the directories to the child, one a line."""

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_PR_SET_NO_NEW_PRIVS = 38
_WRITE = 1 << 1
_CHANGE_FOLDERS = sum(1 << bit for bit in range(4, 13))
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_O_PATH = 0x200000


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64),)


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("access", ctypes.c_uint64), ("descriptor", ctypes.c_int32))


def write_only_below(directories: Sequence[str]) -> bool:
    """Forbid this process and its children to write elsewhere, for good.

    Call it while the process has one thread: others would not be held.

    Args:
        directories: must exist; /dev/null stays writable as well.

    Returns:
        Whether the kernel holds it; False where it has no Landlock.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE, None, 0, 1)
    if version < 1:
        return False
    changes = _WRITE | _CHANGE_FOLDERS
    changes |= (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    rules = _Ruleset(changes)
    ruleset = libc.syscall(_CREATE, ctypes.byref(rules), ctypes.sizeof(rules), 0)
    if ruleset < 0:
        return False
    try:
        to_file = changes & (_WRITE | _TRUNCATE)
        for path, access in (*((d, changes) for d in directories), (os.devnull, to_file)):
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


def environment(roots: Sequence[str], folder: str) -> dict[str, str]:
    """Return the environment of a child that may write below the roots and its own folder."""
    found = dict(os.environ)
    if roots:
        found[VARIABLE] = "\n".join([*roots, folder])
        found["TMPDIR"] = folder
    return found


def raise_walls() -> None:
    """Hold this process to the directories that its environment names, if any."""
    named = os.environ.get(VARIABLE)
    if named:
        write_only_below(named.split("\n"))
