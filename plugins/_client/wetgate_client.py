# SPDX-License-Identifier: Apache-2.0
"""Talk to the wetgate service from inside a host: one file, standard library only, Python 3.7.

No method touches the host: call them from a worker thread, hand results over by a queue.
"""

import contextlib
import hashlib
import hmac
import http.client
import json
import mmap
import os
import re
import secrets
import select
import socket
import struct
import subprocess
import sys
import time
from urllib.parse import quote, urlencode

API = 1
EVENTS_TIMEOUT = 4.0  # heartbeats come every second; a dead service shows within 5 s
SLOW_TIMEOUT = 600.0  # plans and previews compute
STRIPPED = ("PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONSTARTUP")
_GOING_ON = ("queued", "running", "cancelling")
_SCHEMA = "wetgate.service/1"
_SEGMENT = struct.Struct("<8sIIQQ4Q4Q16s")
_MAP = {"access": mmap.ACCESS_READ}
if sys.platform.startswith("linux"):  # with all pages at once, which is several times quicker
    _MAP = {"flags": mmap.MAP_SHARED | 0x8000, "prot": mmap.PROT_READ}
_MAGIC = b"WGFRAME\0"


class WetgateError(Exception):
    """The service refused; `code` is the class of the error, `message` its words."""

    def __init__(self, code, message, status=0):
        Exception.__init__(self, message)
        self.code, self.message, self.status = code, message, status


class ApiVersion(WetgateError):
    """This add-on and the engine do not speak the same version."""


class _Local(WetgateError):
    def __init__(self, message):
        WetgateError.__init__(self, type(self).__name__, message)


class ServiceGone(_Local):
    """No service answers, or it died while it was listened to."""


class Impostor(_Local):
    """What answers is not this user's service; nothing secret was sent to it."""


class NotFoundExecutable(_Local):
    """The path of the engine in the settings is not right."""


def default_home():
    """Return the directory of this user's service."""
    return os.environ.get("WETGATE_HOME") or os.path.join(os.path.expanduser("~"), ".wetgate")


def user_name():
    """Return the name of the user by their id."""
    if os.name == "nt":
        import getpass

        return getpass.getuser()
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def clean_environment(environment=None):
    """Return an environment without what a host put there for its own libraries."""
    found = os.environ if environment is None else environment
    return {k: v for k, v in found.items() if k not in STRIPPED and not k.startswith("QT_")}


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket or the loopback port."""

    def __init__(self, socket_path, port, timeout):
        host = "wetgate" if socket_path else "127.0.0.1:%d" % port
        http.client.HTTPConnection.__init__(self, host, timeout=timeout)
        self._socket_path = socket_path

    def connect(self):
        if not self._socket_path:
            return http.client.HTTPConnection.connect(self)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._socket_path)
        uid = _peer_uid(self.sock)
        if uid is not None and uid != os.getuid():
            self.close()
            raise Impostor("the socket of the service belongs to user %d" % uid)


def _peer_uid(sock):
    """Return the user at the other end; None where the system does not tell."""
    if sys.platform.startswith("linux"):
        return struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
    if sys.platform == "darwin":
        return struct.unpack_from("2I", sock.getsockopt(0, 1, 128))[1]  # LOCAL_PEERCRED
    return None


def _is_closed(sock):
    """Whether the other end has hung up, so that a request would be lost."""
    try:
        return sock is None or bool(select.select([sock], [], [], 0)[0])
    except (OSError, ValueError):
        return True


class _Closing:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Client(_Closing):
    """A connection to the service of this user, for one thread at a time.

    Args:
        home: directory of the service. executable: absolute path of `wetgate`, from the settings.
        timeout: seconds that an answer may take. name: what the job list shows.
    """

    def __init__(self, home=None, executable=None, timeout=5.0, name="client"):
        self.home = os.path.abspath(home or default_home())  # the engine starts elsewhere
        self.executable, self.timeout, self.name = executable, timeout, name
        self._found = self._connection = None

    def connect(self, start=True, wait=20.0):
        """Find the service, or start it; return what it says of itself."""
        try:
            return self.hello()
        except ServiceGone:
            if not start:
                raise
        process = self._start()
        until = time.monotonic() + wait
        while time.monotonic() < until:
            try:
                return self.hello()
            except (ServiceGone, Impostor):  # the new one may not have said yet who it is
                if process.poll() not in (None, 0, 2):
                    break
                time.sleep(0.05)
        raise ServiceGone("the wetgate service does not start; see service.log in " + self.home)

    def _start(self):
        path = self.executable
        if not path or not os.path.isabs(path):
            raise NotFoundExecutable("set the absolute path of wetgate in the settings")
        if not os.path.isfile(path) or not os.access(path, os.X_OK):
            raise NotFoundExecutable("%s is not a program; check the settings" % path)
        environment = clean_environment()
        environment["WETGATE_HOME"] = self.home
        folder = os.path.expanduser("~")
        options = {"start_new_session": True} if os.name == "posix" else {"creationflags": 0x208}
        for stream in ("stdin", "stdout", "stderr"):
            options[stream] = subprocess.DEVNULL
        options["cwd"] = folder if os.path.isdir(folder) else os.path.dirname(path)
        try:
            return subprocess.Popen([path, "serve"], env=environment, **options)
        except OSError as error:
            raise NotFoundExecutable("%s cannot be run: %s" % (path, error))

    def hello(self):
        """Find the service again and make it prove itself; return what it says."""
        self.close()
        found = self._read_discovery()
        nonce = secrets.token_hex(16)
        connection = self._open(found, self.timeout)
        try:
            said = self._answer(connection, "GET", "/v1/hello?nonce=" + nonce, None, {})
        except BaseException:
            connection.close()
            raise
        message = ("wetgate-server:" + nonce).encode("ascii")
        proof = hmac.new(found["token"].encode("ascii"), message, hashlib.sha256).hexdigest()
        given = str(said.get("proof")) if isinstance(said, dict) else ""
        if not hmac.compare_digest(proof.encode("ascii"), given.encode("utf-8", "replace")):
            connection.close()
            raise Impostor("what answers there is not this user's wetgate service")
        first, last = said["api"]
        if not first <= API <= last:
            connection.close()
            what = "update the add-on" if first > API else "update wetgate"
            spoken = "it speaks version %d of the protocol, the engine %d to %d"
            raise ApiVersion("ApiVersion", what + ": " + spoken % (API, first, last))
        self._found, self._connection = found, connection
        return said

    def _read_discovery(self):
        path = os.path.join(self.home, "service-%s.json" % user_name())
        try:
            if hasattr(os, "getuid"):
                facts = os.stat(path)
                if facts.st_uid != os.getuid() or facts.st_mode & 0o077:
                    raise Impostor("%s can be written or read by others" % path)
            with open(path, encoding="utf-8") as file:
                found = json.load(file)
            ways = [(found["socket"] or "", str), (found["port"] or 0, int)]
            sound = all(isinstance(value, kind) for value, kind in ways) and any(w for w, _ in ways)
            if found["schema"] != _SCHEMA or not found["token"].isascii() or not sound:
                raise ValueError(path)
            return found
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise ServiceGone("no wetgate service runs")

    def _open(self, found, timeout):
        unix = found["socket"] if hasattr(socket, "AF_UNIX") else None
        if not unix and not found["port"]:
            raise ServiceGone("the wetgate service listens where this host cannot call")
        connection = _Connection(unix, found["port"], timeout)
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise ServiceGone("the wetgate service does not answer: %s" % error)
        return connection

    def status(self):
        """Return how the service is doing."""
        return self._call("GET", "/v1/status")

    def recipes(self):
        """Return the built-in recipes: name, summary, operators."""
        return self._call("GET", "/v1/recipes", timeout=60.0)

    def probe(self, **what):
        """Return what a plate (or files=[...]) is."""
        return self._call("POST", "/v1/probe", what, timeout=60.0)

    def plan(self, **job):
        """Return what a job would do and need."""
        return self._call("POST", "/v1/plan", self._job(job), timeout=SLOW_TIMEOUT)["plan"]

    def submit(self, **job):
        """Queue a job; return its record."""
        return self._call("POST", "/v1/jobs", self._job(job), timeout=60.0)["job"]

    def jobs(self):
        """Return the records of all jobs, the oldest first."""
        return self._call("GET", "/v1/jobs")["jobs"]

    def job(self, job_id):
        """Return the record of a job."""
        return self._call("GET", self._path(job_id))["job"]

    def cancel(self, job_id):
        """Stop a job after the frames in work; a second call stops it at once."""
        return self._call("POST", self._path(job_id, "cancel"), {})["job"]

    def resume(self, job_id):
        """Go on with a job that did not come to its end."""
        return self._call("POST", self._path(job_id, "resume"), {})["job"]

    def forget(self, job_id):
        """Remove the record of a job; frames stay."""
        self._call("DELETE", self._path(job_id))

    def results(self, job_id):
        """Return the frames of a job with what became of them."""
        return self._call("GET", self._path(job_id, "results"), timeout=30.0)

    def log(self, job_id):
        """Return everything the engine said while it did a job."""
        return self._call("GET", self._path(job_id, "log"), timeout=30.0)

    def adopt(self, directory, label=""):
        """List an output that the service did not render; return its record."""
        what = {"directory": directory, "label": label}
        return self._call("POST", "/v1/jobs/adopt", what, timeout=60.0)["job"]

    def thumbnail(self, job_id, frame, kind="restored"):
        """Return a small PNG of a frame."""
        query = urlencode({"frame": frame, "kind": kind})
        return self._call("GET", self._path(job_id, "thumbnail") + "?" + query, timeout=60.0)

    def shutdown(self):
        """End the service; jobs stop after the frames in work."""
        self._call("POST", "/v1/shutdown", {})
        self.close()

    def preview(self, **what):
        """Return one frame as a `Preview`; `close` it."""
        what.setdefault("owner_pid", os.getpid())
        told = self._call("POST", "/v1/preview", self._job(what), timeout=SLOW_TIMEOUT)
        return Preview(self, told)

    def release(self, path):
        """Let the service have the memory of a preview back."""
        self._call("POST", "/v1/preview/release", {"file": path})

    def events(self, job_id, after=0):
        """Yield what happens to a job as dicts, heartbeats too, until it has ended.

        Raises:
            ServiceGone: within 5 s of the death of the service.
        """
        if self._connection is None:
            self.hello()
        connection = self._open(self._found, EVENTS_TIMEOUT)
        try:
            path = self._path(job_id, "events") + "?after=%d" % after
            connection.request("GET", path, headers=self._headers())
            response = connection.getresponse()
            if response.status != 200:
                self._decode(response, response.read())
            ended = False
            while True:
                line = response.readline()
                if not line.endswith(b"\n"):
                    break
                event = json.loads(line.decode("utf-8"))
                if event["event"] == "state":
                    ended = event["state"] not in _GOING_ON
                yield event
            if not ended and self.job(job_id)["state"] in _GOING_ON:
                raise ServiceGone("the wetgate service has ended")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ServiceGone("the wetgate service has ended: %s" % error)
        finally:
            connection.close()

    def wait(self, job_id):
        """Wait until a job has ended; return its record."""
        sum(1 for _ in self.events(job_id))
        return self.job(job_id)

    def close(self):
        """Close the connection; the service goes on."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _job(self, job):
        return dict({"client": self.name}, **job)

    def _path(self, job_id, verb=None):
        path = "/v1/jobs/" + quote(str(job_id), safe="")
        return path if verb is None else path + "/" + verb

    def _headers(self):
        headers = {"X-Wetgate-Api": str(API), "Content-Type": "application/json"}
        return dict(headers, Authorization="Bearer " + self._found["token"])

    def _call(self, method, path, body=None, timeout=None):
        timeout = max(timeout or self.timeout, self.timeout)
        for attempt in (0, 1):
            if self._connection is not None and _is_closed(self._connection.sock):
                self.close()
            fresh = self._connection is None
            if fresh:
                self.hello()
            try:
                self._connection.timeout = timeout
                if self._connection.sock is not None:
                    self._connection.sock.settimeout(timeout)
                return self._answer(self._connection, method, path, body, self._headers())
            except ServiceGone:
                self.close()
                # The service closes connections that have been idle; that is no reason to fail.
                if fresh or attempt or method not in ("GET", "DELETE"):
                    raise
            except WetgateError as error:
                self.close()
                stale = error.code == "NotAllowed" and "token" in error.message
                if not stale or fresh or attempt:
                    raise

    def _answer(self, connection, method, path, body, headers):
        data = json.dumps(body).encode("utf-8") if body is not None else None
        try:
            with contextlib.suppress(BrokenPipeError):  # it may have said why it hung up
                connection.request(method, path, body=data, headers=headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ServiceGone("the wetgate service does not answer: %s" % (error or "it ended"))
        return self._decode(response, content)

    def _decode(self, response, data):
        kind = (response.getheader("Content-Type") or "").partition(";")[0]
        if response.status < 400 and kind != "application/json":
            return data.decode("utf-8") if kind == "text/plain" else data
        try:
            answer = json.loads(data.decode("utf-8"))
        except ValueError:
            raise WetgateError("ServiceError", "the service sent no JSON", response.status)
        if response.status < 400:
            return answer
        told = answer.get("error") or {} if isinstance(answer, dict) else {}
        kind = ApiVersion if response.status == 426 else WetgateError
        code, message = told.get("code", "ServiceError"), told.get("message", "refused")
        raise kind(code, message, response.status)


class Preview(_Closing):
    """One frame in memory that the service shares; `close` it when it has been shown.

    Attributes:
        shape: height, width, channels. data: memoryview of the samples, gone after `close`.
        facts: everything the service said: channels, color_space, notes, seconds.
    """

    def __init__(self, client, facts):
        self._client, self.facts, self.path = client, facts, facts["file"]
        self.shape, self.strides = tuple(facts["shape"]), tuple(facts["strides"])
        self.dtype = facts["dtype"]
        offset, count = facts["offset"], facts["nbytes"]
        try:
            with open(self.path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                head = file.read(_SEGMENT.size)
                _check_head(head, facts, size)
                self._map = mmap.mmap(file.fileno(), 0, **_MAP)
        except (OSError, ValueError, struct.error) as error:
            raise WetgateError("ServiceError", "the preview cannot be read: %s" % error)
        self.data = memoryview(self._map)[offset : offset + count]

    def close(self):
        """Let go of the memory and give it back to the service."""
        if self._map is None:
            return
        self.data.release()
        self._map = self._map.close()
        with contextlib.suppress(WetgateError):  # a dead service has given it back already
            self._client.release(self.path)


def _check_head(head, facts, size):
    """Refuse a segment that is not the frame that was told of."""
    found = _SEGMENT.unpack(head)
    magic, version, dtype, generation, nbytes = found[:5]
    count = len(facts["shape"])
    shape, strides = list(found[5 : 5 + count]), list(found[9 : 9 + count])
    if magic != _MAGIC or version != 1 or dtype != 1:
        raise ValueError("not a frame of wetgate")
    if generation != facts["generation"] or nbytes != facts["nbytes"]:
        raise ValueError("another frame stands there by now")
    if shape != list(facts["shape"]) or strides != list(facts["strides"]):
        raise ValueError("its shape is not the one told")
    if facts["offset"] < _SEGMENT.size or facts["offset"] + nbytes > size:
        raise ValueError("it is shorter than it says")


_NUMBER = re.compile(r"[0-9]+(?=[^0-9]*$)")


def frame_number(path):
    """Return the frame number in a file name, its last digits before the suffix; None if none."""
    stem = os.path.splitext(os.path.basename(path))[0]
    match = _NUMBER.search(stem)
    return int(match.group()) if match else None


def sequence_pattern(path):
    """Return a path with its frame number as `%04d`; the path itself where it has none."""
    folder, (stem, suffix) = os.path.dirname(path), os.path.splitext(os.path.basename(path))
    match = _NUMBER.search(stem)
    if match is None:
        return path
    field = "%%0%dd" % len(match.group()) if len(match.group()) > 1 else "%d"
    return os.path.join(folder, stem[: match.start()] + field + stem[match.end() :] + suffix)


def frame_path(pattern, number):
    """Return the path of one frame of a `%04d` pattern."""
    folder, name = os.path.split(pattern)
    return os.path.join(folder, re.sub(r"%0?\d*d", lambda m: m.group() % number, name))


def frame_ranges(numbers):
    """Write frame numbers as ranges: `1001-1024,1030`."""
    runs = []
    for number in sorted(set(numbers)):
        if not runs or runs[-1][1] != number - 1:
            runs.append([number, number])
        runs[-1][1] = number
    return ",".join(str(a) if a == b else "%d-%d" % (a, b) for a, b in runs)
