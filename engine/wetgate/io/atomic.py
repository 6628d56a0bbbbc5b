"""Files that appear whole under their name or not at all.

The contract: a temporary in the same directory, synced, renamed over the target, the directory
synced. After any kill or power cut the target is absent, old or new, never partial; what is left
is a temporary whose name tells who made it, so that only its owner's successor removes it.
"""

from __future__ import annotations

import errno
import logging
import os
import platform
import re
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil
import xxhash

from wetgate.model.errors import DiskFull, FrameReadError, OutputError

_log = logging.getLogger(__name__)

_SUFFIX = ".wetgate-tmp"
_STALE = re.compile(
    r"\.(?P<name>.*)\.(?P<host>[A-Za-z0-9-]*)\.(?P<pid>\d+)\.(?P<start>[0-9a-f]+)-[0-9a-f]+"
    + re.escape(_SUFFIX)
)
_MAX_NAME_BYTES = 255
_START_SLACK_SECONDS = 2.0
"""Start times are derived from the boot time, which a clock adjustment moves."""
_RENAME_SECONDS = 3.0
"""How long a rename is retried where another program may hold the target open (Windows)."""
_HAS_DIR_FD = os.open in os.supports_dir_fd and hasattr(os, "O_DIRECTORY")
_CHUNK = 1 << 20


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", platform.node())[:40]


def _started(pid: int) -> float | None:
    """Return when a process started, seconds since the epoch; None when it does not run."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        return float("nan")


def temp_name(name: str) -> str:
    """Return a fresh name for a temporary beside the file `name`.

    The name tells host, process and the start of the process: process numbers are soon used
    again, above all in containers.
    """
    started = _started(os.getpid()) or 0.0
    mark = f"{int(started * 1000):x}-{secrets.token_hex(6)}"
    tail = f".{_host()}.{os.getpid()}.{mark}{_SUFFIX}"
    room = _MAX_NAME_BYTES - len(tail) - 1
    kept = os.fsencode(name)[:room].decode(errors="ignore")
    return f".{kept}{tail}"


def output_error(error: OSError, path: Path | str) -> OutputError:
    """Turn an operating system's complaint about a target into a typed error."""
    why = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return DiskFull(why, path=path, remedy="free space or choose another output, then resume")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return OutputError(why, path=path, remedy="choose an output that you may write to")
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG):
        return OutputError(why, path=path, remedy="choose another output")
    return OutputError(why, path=path)


class AtomicFile:
    """One file being written, visible under its name only after `commit`.

    Use as a context manager; leaving it without `commit` removes the temporary. Write to `temp`
    by any means that keeps the file (truncating is fine, replacing it is not).

    Caveats:
        * A target that is a link is replaced by a file; what it points to stays as it is.
        * The directory must exist.
        * Where the system has directory handles, the temporary is made and renamed through one,
          so that a directory swapped meanwhile cannot divert the rename.

    Raises:
        DiskFull, OutputError: when the temporary cannot be made, or its target not replaced.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.temp = target.with_name(temp_name(target.name))
        self._directory: int | None = None
        self._file: int | None = None
        self._open = False
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        flags |= getattr(os, "O_BINARY", 0)
        try:
            if _HAS_DIR_FD:
                self._directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
                self._file = os.open(self.temp.name, flags, 0o666, dir_fd=self._directory)
            else:
                # An open handle would hinder the rename here.
                os.close(os.open(self.temp, flags, 0o666))
        except OSError as error:
            self._close()
            raise output_error(error, target) from error
        self._open = True

    def __enter__(self) -> AtomicFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()

    def commit(self) -> None:
        """Sync the temporary, give it the target's name and sync the directory."""
        if not self._open:
            raise ValueError(f"{self.target} is already committed or discarded")
        try:
            self._sync_file()
            self._rename()
            self._open = False
            if self._directory is not None:
                with suppress(OSError):  # not every file system can sync a directory
                    os.fsync(self._directory)
        except OSError as error:
            raise output_error(error, self.target) from error
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove the temporary if it is still there."""
        if self._open:
            self._open = False
            self._close_file()
            with suppress(FileNotFoundError):
                if self._directory is not None:
                    os.unlink(self.temp.name, dir_fd=self._directory)
                else:
                    os.unlink(self.temp)
        self._close()

    def _sync_file(self) -> None:
        if self._file is None:
            with open(self.temp, "r+b") as file:
                os.fsync(file.fileno())
            return
        mine = os.fstat(self._file)
        there = os.stat(self.temp.name, dir_fd=self._directory, follow_symlinks=False)
        if not os.path.samestat(mine, there):
            raise OutputError("the temporary was replaced by another file", path=self.temp)
        os.fsync(self._file)

    def _rename(self) -> None:
        self._close_file()
        if self._directory is not None:
            here = self._directory
            os.replace(self.temp.name, self.target.name, src_dir_fd=here, dst_dir_fd=here)
            return
        give_up = time.monotonic() + _RENAME_SECONDS
        while True:
            try:
                os.replace(self.temp, self.target)
                return
            except PermissionError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.05)

    def _close_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _close(self) -> None:
        self._close_file()
        if self._directory is not None:
            os.close(self._directory)
            self._directory = None


def write_bytes_atomic(path: Path, data: bytes) -> None:
    """Write a small file whole or not at all.

    Raises:
        DiskFull, OutputError: when it cannot be written; the old file is then untouched.
    """
    with AtomicFile(path) as atomic:
        try:
            atomic.temp.write_bytes(data)
        except OSError as error:
            raise output_error(error, path) from error
        atomic.commit()


def is_temp_name(name: str) -> bool:
    """Whether a name is that of one of our temporaries, whoever made it."""
    return _STALE.fullmatch(name) is not None


def sweep_stale(directory: Path) -> tuple[Path, ...]:
    """Remove temporaries whose process on this host no longer runs; return their paths.

    Those of other hosts stay: nobody here can tell whether their owner lives.
    """
    removed = []
    with os.scandir(directory) as entries:
        stale = [Path(e.path) for e in entries if _is_stale(e.name)]
    for path in stale:
        try:
            path.unlink()
        except OSError as error:
            _log.warning("%s: a stale temporary cannot be removed: %s", path, error)
            continue
        removed.append(path)
    return tuple(removed)


def _is_stale(name: str) -> bool:
    made = _STALE.fullmatch(name)
    if made is None or made["host"] != _host():
        return False
    started = _started(int(made["pid"]))
    if started is None:
        return True
    # nan (a process that may not be looked at) compares false: kept.
    return abs(started - int(made["start"], 16) / 1000) > _START_SLACK_SECONDS


def free_bytes(path: Path) -> int:
    """Return the bytes free for this user on the volume of `path`, which need not exist."""
    place = Path(os.path.realpath(path))
    while not os.path.exists(place) and place != place.parent:
        place = place.parent
    try:
        return shutil.disk_usage(place).free
    except OSError as error:
        raise output_error(error, path) from error


def digest_bytes(data: bytes | memoryview) -> str:
    """Return the digest of bytes in memory, `xxh128:<32 hex digits>`."""
    return f"xxh128:{xxhash.xxh3_128_hexdigest(data)}"


def digest_file(path: Path) -> str:
    """Return the digest of a file's bytes, `xxh128:<32 hex digits>` (XXH3, 128 bits).

    Raises:
        FrameReadError: when it cannot be read.
    """
    state = xxhash.xxh3_128()
    buffer = memoryview(bytearray(_CHUNK))
    try:
        with open(path, "rb", buffering=0) as file:
            while count := file.readinto(buffer):
                state.update(buffer[:count])
    except OSError as error:
        raise FrameReadError(error.strerror or str(error), path=path) from error
    return f"xxh128:{state.hexdigest()}"
