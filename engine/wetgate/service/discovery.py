"""Where the service keeps its files, and how a client finds it."""

from __future__ import annotations

import getpass
import json
import os
import secrets
import stat
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from wetgate.io.atomic import write_bytes_atomic
from wetgate.model.errors import ServiceError

SCHEMA = "wetgate.service/1"
API = (1, 1)
"""First and last version of the protocol that is spoken."""

_SHORT = "wetgate-run-"
_SHORT_NAME = 40
"""Room for the rest of a socket's path below the temporary directory."""
_MAX_SOCKET_PATH = 100
"""`sun_path` holds 108 bytes on Linux and 104 on macOS, its end mark included."""


def user_name() -> str:
    """Return the name of the user by their id, whatever the environment says."""
    if sys.platform == "win32":
        return getpass.getuser()
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def private_directory(path: Path) -> Path:
    """Make a directory that only this user can enter, or see that it is one.

    Raises:
        ServiceError: it is a link, no directory, or somebody else's; it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)
    except OSError as error:
        raise ServiceError(
            f"cannot be made: {error.strerror}",
            path=path,
            remedy="free space there, or set WETGATE_HOME to a directory of your own",
        ) from error
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise ServiceError("not a directory", path=path, remedy="remove it or set WETGATE_HOME")
    if sys.platform != "win32":
        if found.st_uid != os.getuid():
            raise ServiceError(
                f"belongs to user {found.st_uid}",
                path=path,
                expected=f"user {os.getuid()}",
                remedy="set WETGATE_HOME to a directory of your own",
            )
        if stat.S_IMODE(found.st_mode) & 0o077:
            os.chmod(path, 0o700)
    return path


@dataclass(frozen=True, slots=True)
class Home:
    """The directory of one user's service.

    Attributes:
        root: `WETGATE_HOME`, or `~/.wetgate`.
    """

    root: Path

    @classmethod
    def of_user(cls) -> Home:
        """Return the home that the environment names."""
        named = os.environ.get("WETGATE_HOME")
        return cls(Path(named).absolute() if named else Path.home() / ".wetgate")

    @property
    def jobs(self) -> Path:
        """Directory of job records."""
        return self.root / "jobs"

    @property
    def preview(self) -> Path:
        """Directory of preview frames where there is no memory file system."""
        return self.root / "preview"

    @property
    def log(self) -> Path:
        """The log of the service."""
        return self.root / "service.log"

    @property
    def discovery(self) -> Path:
        """The file by which clients find the service."""
        return self.root / f"service-{user_name()}.json"

    def socket_path(self) -> Path:
        """Return where the Unix socket goes: a private directory, in a place with a short name.

        Every run has a name of its own, so that the discovery file of a dead service never leads
        to the socket of the next one, which would not know its token.

        Raises:
            ServiceError: there is no such place.
        """
        path = self.root / "run" / f"{secrets.token_hex(4)}.sock"
        if len(os.fsencode(path)) <= _MAX_SOCKET_PATH:
            return path
        for place in (tempfile.gettempdir(), "/tmp"):
            if len(os.fsencode(place)) > _MAX_SOCKET_PATH - _SHORT_NAME:
                continue
            with suppress(OSError):
                return Path(tempfile.mkdtemp(prefix=_SHORT, dir=place)) / "service.sock"
        raise ServiceError(
            "the names of the home and of the temporary directory are too long for a socket",
            path=self.root,
            remedy="set a shorter WETGATE_HOME or TMPDIR, or pass --tcp",
        )

    def prepare(self) -> None:
        """Make the directories, private to this user.

        Raises:
            ServiceError: one of them is not this user's.
        """
        private_directory(self.root)
        for path in (self.root / "run", self.jobs, self.preview):
            private_directory(path)


def remove_socket(path: Path) -> None:
    """Remove a socket, and its directory where that was made for it alone."""
    with suppress(OSError):
        path.unlink()
    if path.parent.name.startswith(_SHORT):
        with suppress(OSError):
            path.parent.rmdir()


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What a client reads to find the service.

    Attributes:
        socket: path of the Unix socket; None without one. port: of the loopback interface.
        token: secret of this run, hex; whoever can read the file may call.
    """

    pid: int
    started: float
    socket: str | None
    port: int | None
    token: str
    version: str
    executable: str
    api: tuple[int, int] = API

    def write(self, path: Path) -> None:
        """Write the file, readable by this user only, whole or not at all."""
        document = {"schema": SCHEMA, **asdict(self)}
        before = os.umask(0o177) if sys.platform != "win32" else 0
        try:
            write_bytes_atomic(path, (json.dumps(document, indent=1) + "\n").encode())
        finally:
            if sys.platform != "win32":
                os.umask(before)


def read_discovery(path: Path) -> Discovery | None:
    """Read the file of a running or dead service; None when there is none or it is damaged."""
    try:
        document = json.loads(path.read_text("utf-8"))
        if document.pop("schema") != SCHEMA:
            return None
        found = Discovery(**{**document, "api": tuple(document["api"])})
        return found if _is_sound(found) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _is_sound(found: Discovery) -> bool:
    """Whether the facts of a file can be used, whoever wrote it."""
    ways = ((found.socket, str), (found.port, int))
    return (
        isinstance(found.pid, int)
        and isinstance(found.token, str)
        and found.token.isascii()
        and all(value is None or isinstance(value, kind) for value, kind in ways)
    )


def new_token() -> str:
    """Return 256 random bits as hex."""
    return secrets.token_hex(32)


class OnlyOne:
    """Holds the right to be the one service of a home, as long as the process lives.

    Raises:
        ServiceError: another process holds it.
    """

    def __init__(self, home: Home) -> None:
        path = home.root / "run" / "service.lock"
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(self._file)
        except OSError:
            os.close(self._file)
            found = read_discovery(home.discovery)
            who = f", process {found.pid}" if found is not None else ""
            raise ServiceError(
                f"a service runs already{who}", path=home.root, remedy="wetgate status"
            ) from None

    def release(self) -> None:
        """Let go."""
        os.close(self._file)


def _lock(file: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
