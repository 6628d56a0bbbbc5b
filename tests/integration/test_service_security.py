"""The threats of a service on a machine that others use too: every attempt must fail."""

from __future__ import annotations

import ctypes
import json
import os
import random
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.plates import write_plate
from support.service import Running, client_module, running
from wetgate.service.discovery import Discovery, Home
from wetgate.service.security import server_proof

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses a Unix socket")

FUZZ = int(os.environ.get("WETGATE_FUZZ", "400"))
POST = ("POST", "/v1/probe", b"{}")
NOBODY = 65534


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running("--idle", "0", header_seconds=0.6, body_seconds=0.6) as found:
        yield found


@pytest.fixture(scope="module")
def tcp() -> Iterator[Running]:
    with running("--idle", "0", "--tcp") as found:
        yield found


def alive(service: Running) -> bool:
    return service.process.poll() is None and service.request("GET", "/v1/status")[0] == 200


class TestCalls:
    @pytest.mark.parametrize(
        "token",
        [None, "", "Bearer", "Bearer " + "0" * 64, "Basic TOKEN", "Bearer TOKENx", "Bearer TOKE"],
    )
    @pytest.mark.parametrize("path", ["/v1/status", "/v1/jobs", "/v1/recipes", "/v1/nothing"])
    def test_without_the_token_nothing_is_told(
        self, service: Running, token: str | None, path: str
    ) -> None:
        right = service.discovery.token
        given = token and token.replace("TOKEN", right).replace("TOKE", right[:-1])
        status, body = service.request("GET", path, Authorization=given)
        assert status == 403 and json.loads(body)["error"]["code"] == "NotAllowed"
        assert right.encode() not in body

    @pytest.mark.parametrize(
        "host",
        [None, "", "localhost", "127.0.0.1", "wetgate.evil.com", "WETGATE", "wetgate:80", "evil"],
    )
    def test_another_host_is_refused(self, service: Running, host: str | None) -> None:
        assert service.request("GET", "/v1/status", Host=host)[0] in (400, 403)

    @pytest.mark.parametrize(
        "origin",
        ["null", "http://wetgate", "https://evil.com", "", "http://127.evil.com", "file://"],
    )
    def test_any_origin_is_refused(self, service: Running, origin: str) -> None:
        for path in ("/v1/status", "/v1/hello?nonce=" + "0" * 32, "/review", "/v1/page/jobs"):
            assert service.request("GET", path, Origin=origin)[0] == 403
        method, path, body = POST
        assert service.request(method, path, body=body, Origin=origin)[0] == 403

    @pytest.mark.parametrize("site", ["cross-site", "same-site", "x"])
    def test_another_site_is_refused(self, service: Running, site: str) -> None:
        assert service.request("GET", "/v1/status", Sec_Fetch_Site=site)[0] == 403

    @pytest.mark.parametrize(
        "kind",
        [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"],
    )
    def test_only_json_is_taken(self, service: Running, kind: str | None) -> None:
        method, path, body = POST
        assert service.request(method, path, body=body, Content_Type=kind)[0] == 400

    def test_there_is_no_cors(self, service: Running) -> None:
        with service.connection() as sock:
            sock.sendall(
                b"OPTIONS /v1/jobs HTTP/1.1\r\nHost: wetgate\r\nOrigin: http://evil.com\r\n"
                b"Access-Control-Request-Method: POST\r\nConnection: close\r\n\r\n"
            )
            answer = sock.recv(65536).lower()
        assert b" 403 " in answer and b"access-control" not in answer

    @pytest.mark.parametrize(
        "path", ["/review", "/review?once=x", "/v1/page/jobs", "/review/page.js"]
    )
    def test_the_page_is_not_on_the_socket(self, service: Running, path: str) -> None:
        assert service.request("GET", path)[0] in (403, 404)

    @pytest.mark.parametrize(("given", "status"), [("1", 200), ("0", 426), ("2", 426), ("x", 400)])
    def test_other_versions_are_told_to_update(
        self, service: Running, given: str, status: int
    ) -> None:
        found, body = service.request("GET", "/v1/status", X_Wetgate_Api=given)
        assert found == status
        if status == 426:
            assert "update" in json.loads(body)["error"]["message"]

    def test_two_hosts_or_two_lengths_are_no_request(self, service: Running) -> None:
        for extra in (b"Host: wetgate\r\n", b"Content-Length: 2\r\nContent-Length: 3\r\n"):
            head = b"GET /v1/hello?nonce=" + b"0" * 32 + b" HTTP/1.1\r\nHost: wetgate\r\n"
            assert b" 400 " in service.raw(head + extra + b"\r\n{}")

    @pytest.mark.parametrize(
        "name", ["..", "%2e%2e", "..%2f..%2fetc", "%00", "a/b", "20261121-000000-00000000", "*"]
    )
    def test_no_job_name_leads_elsewhere(self, service: Running, name: str) -> None:
        for way in ("", "/log", "/results", "/events"):
            assert service.request("GET", f"/v1/jobs/{name}{way}")[0] in (404, 405)


class TestSlowAndLarge:
    def test_a_message_over_the_cap_is_refused(self, service: Running) -> None:
        whole = b"{" + b" " * (4 << 20) + b"}"
        status, body = service.request("POST", "/v1/probe", body=whole)
        assert status == 413 and json.loads(body)["error"]["code"] == "MessageTooLarge"

    def test_so_is_one_in_pieces_that_does_not_say(self, service: Running) -> None:
        head = (
            "POST /v1/probe HTTP/1.1\r\nHost: wetgate\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {service.discovery.token}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n"
        )
        piece = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        assert b" 413 " in service.raw(head.encode() + piece * 5 + b"0\r\n\r\n")

    def test_a_head_without_end_is_cut_off(self, service: Running) -> None:
        head = b"GET /v1/status HTTP/1.1\r\nHost: wetgate\r\nX-Long: " + b"x" * (1 << 17)
        assert b" 400 " in service.raw(head)

    @pytest.mark.parametrize("sent", [b"", b"GET /v1/st", b"GET / HTTP/1.1\r\nHost: wetgate\r\n"])
    def test_who_never_ends_a_head_is_cut_off(self, service: Running, sent: bytes) -> None:
        with service.connection(5) as sock:
            sock.sendall(sent)
            started = time.monotonic()
            with pytest.raises((ConnectionError, TimeoutError)):
                while time.monotonic() - started < 4:
                    time.sleep(0.2)
                    sock.sendall(b"x" if sent else b"")
                    sock.setblocking(False)
                    try:
                        if sock.recv(1) == b"":
                            raise ConnectionResetError
                    except BlockingIOError:
                        pass
                    finally:
                        sock.setblocking(True)
                raise AssertionError("still open")
            assert time.monotonic() - started < 3

    def test_who_never_ends_a_message_is_answered_and_cut_off(self, service: Running) -> None:
        head = (
            "POST /v1/probe HTTP/1.1\r\nHost: wetgate\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {service.discovery.token}\r\nContent-Length: 100\r\n\r\n{{"
        )
        with service.connection(5) as sock:
            sock.sendall(head.encode())
            answer = b""
            while part := sock.recv(65536):
                answer += part
        assert b" 400 " in answer and b"took longer" in answer

    def test_who_reads_nothing_does_not_hold_others_up(self, service: Running) -> None:
        call = (
            f"GET /v1/recipes HTTP/1.1\r\nHost: wetgate\r\n"
            f"Authorization: Bearer {service.discovery.token}\r\n\r\n"
        ).encode()
        with service.connection(1) as sock:
            sock.setblocking(False)
            try:
                for _ in range(20_000):
                    sock.send(call)
            except BlockingIOError:
                pass
            started = time.monotonic()
            assert alive(service) and time.monotonic() - started < 5


def test_no_bytes_bring_the_service_down(service: Running) -> None:
    """The small version of the 100,000 messages of `wetgate bench service`."""
    from wetgate.bench.service_attacks import hostile_message

    rng = random.Random(7)
    token = service.discovery.token
    sent = 0
    while sent < FUZZ:
        with service.connection(3) as sock:
            for _ in range(rng.randrange(1, 4)):
                sent += 1
                try:
                    sock.sendall(hostile_message(rng, token))
                except (BrokenPipeError, ConnectionResetError):
                    break
            sock.setblocking(False)
            with suppress(BlockingIOError, ConnectionResetError):
                sock.recv(65536)
    assert alive(service)
    assert "Traceback" not in (service.home / "service.log").read_text()


class TestOtherUsers:
    def test_nothing_of_the_service_is_open_to_others(self, service: Running) -> None:
        found = service.discovery
        assert found.socket is not None
        closed = [service.home, service.home / "run", service.home / "jobs"]
        for path in closed:
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
        for path in (Path(found.socket), Home(service.home).discovery):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600

    @pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="needs root")
    def test_another_user_gets_no_answer_even_with_the_token_and_open_doors(self) -> None:
        with running("--idle", "0") as service:
            found = service.discovery
            assert found.socket is not None
            code = (
                "import os, socket, sys\n"
                "os.setgid(65534); os.setuid(65534)\n"
                "answered = 0\n"
                "for _ in range(10):\n"
                "    with socket.socket(socket.AF_UNIX) as s:\n"
                "        try:\n"
                "            s.connect(sys.argv[1])\n"
                "            s.sendall(sys.argv[2].encode())\n"
                "            answered += bool(s.recv(65536))\n"
                "        except OSError: pass\n"
                "print(answered)\n"
            )
            call = (
                "GET /v1/status HTTP/1.1\r\nHost: wetgate\r\n"
                f"Connection: close\r\nAuthorization: Bearer {found.token}\r\n\r\n"
            )

            def answered() -> int:
                words = [sys.executable, "-c", code, found.socket or "", call]
                done = subprocess.run(words, capture_output=True, check=True)
                return int(done.stdout)

            assert b" 200 " in service.raw(call.encode())
            assert answered() == 0  # the directory holds them off
            for path, mode in (
                (service.home, 0o755),
                (service.home / "run", 0o755),
                (Path(found.socket), 0o666),
            ):
                os.chmod(path, mode)
            assert answered() == 0  # the service itself does
            assert "was dropped" in (service.home / "service.log").read_text()


class TestImpostors:
    """Something else listens where the discovery file points."""

    @pytest.fixture
    def home(self) -> Iterator[Home]:
        with tempfile.TemporaryDirectory(prefix="wg") as folder:
            home = Home(Path(folder))
            home.prepare()
            yield home

    def listen(self, home: Home, answer: bytes) -> list[bytes]:
        """Answer every call with the same bytes; return what was heard, growing."""
        heard: list[bytes] = []
        path = home.root / "run" / "false.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                with sock, suppress(OSError):  # the client may have hung up
                    heard.append(sock.recv(65536))
                    sock.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        told = Discovery(
            pid=os.getpid(),
            started=0.0,
            socket=str(path),
            port=None,
            token="5" * 64,
            version="0",
            executable="x",
        )
        told.write(home.discovery)
        return heard

    @pytest.mark.parametrize("proof", ["", "0" * 64, None, 7, "\u00e9", "of another nonce"])
    def test_the_client_refuses_it_and_has_told_it_nothing(self, home: Home, proof: Any) -> None:
        if proof == "of another nonce":
            proof = server_proof("5" * 64, "0" * 32)
        body = json.dumps({"service": "wetgate", "api": [1, 1], "proof": proof}).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        heard = self.listen(home, head % len(body) + body)
        client = client_module.Client(home=str(home.root), timeout=2)
        for call in (client.connect, client.status, lambda: client.submit(plate="/p", out="/o")):
            with pytest.raises(client_module.Impostor):
                call()
        assert len(heard) == 3 and all(h.startswith(b"GET /v1/hello?nonce=") for h in heard)
        assert not any(b"5" * 64 in h or b"uthorization" in h for h in heard)
        assert len({h.split()[1] for h in heard}) == 3, "a nonce was used again"

    @pytest.mark.parametrize(
        "answer", [b"", b"\x00" * 100, b"HTTP/1.1 200 OK\r\n\r\n", b"SSH-2.0\r\n"]
    )
    def test_what_speaks_otherwise_is_no_service(self, home: Home, answer: bytes) -> None:
        self.listen(home, answer)
        client = client_module.Client(home=str(home.root), timeout=2)
        with pytest.raises(client_module.WetgateError):
            client.hello()

    def test_a_discovery_file_that_others_can_write_is_not_believed(self, home: Home) -> None:
        self.listen(home, b"")
        os.chmod(home.discovery, 0o666)
        with pytest.raises(client_module.Impostor, match="by others"):
            client_module.Client(home=str(home.root)).hello()

    @pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="needs root")
    def test_a_socket_of_another_user_is_not_spoken_to(self, home: Home) -> None:
        path = home.root / "run" / "theirs.sock"
        code = (
            "import os, socket, sys\n"
            "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); os.setuid(65534); s.listen()\n"
            "print('on', flush=True); c, _ = s.accept(); print(len(c.recv(9999)))\n"
        )
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None and child.stdout.readline() == "on\n"
        told = Discovery(
            pid=child.pid,
            started=0.0,
            socket=str(path),
            port=None,
            token="5" * 64,
            version="0",
            executable="x",
        )
        told.write(home.discovery)
        with pytest.raises(client_module.Impostor, match="user 65534"):
            client_module.Client(home=str(home.root)).hello()
        assert child.communicate()[0] == "0\n"


class TestPort:
    """The loopback port: what a browser can reach. Calls are made by a child: no network here."""

    CODE = (
        "import http.client, json, sys\n"
        "port, calls = int(sys.argv[1]), json.loads(sys.argv[2])\n"
        "for method, path, headers, body in calls:\n"
        "    c = http.client.HTTPConnection('127.0.0.1', port, timeout=10)\n"
        "    c.putrequest(method, path, skip_host=True)\n"
        "    for k, v in headers.items(): c.putheader(k, v)\n"
        "    c.endheaders(body.encode() if body else None)\n"
        "    r = c.getresponse()\n"
        "    h = {k.lower(): v for k, v in r.getheaders()}\n"
        "    print(json.dumps([r.status, h, r.read().decode('utf-8', 'replace')]))\n"
    )

    def call(self, port: int, *calls: tuple[str, str, dict[str, str], str]) -> list[list[Any]]:
        words = [sys.executable, "-c", self.CODE, str(port), json.dumps(calls)]
        done = subprocess.run(words, capture_output=True, check=True, text=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_only_its_own_names_and_no_foreign_origin(self, tcp: Running) -> None:
        found = tcp.discovery
        port, right = found.port or 0, {"Authorization": f"Bearer {found.token}"}
        assert found.socket is None and port
        good = [f"127.0.0.1:{port}", f"localhost:{port}"]
        bad = ["wetgate", "127.0.0.1", f"127.evil.com:{port}", f"0.0.0.0:{port}", "evil.com", ""]
        bad += [f"127.0.0.1:{port + 1}", f"[::1]:{port}", f"localhost.:{port}", f"LOCALHOST:{port}"]
        answers = self.call(
            port,
            *(("GET", "/v1/status", {**right, "Host": h}, "") for h in good + bad),
            *(
                ("GET", "/v1/status", {**right, "Host": good[0], "Origin": o}, "")
                for o in ("null", "http://evil.com", f"http://{good[0]}", "http://127.evil.com")
            ),
        )
        assert [a[0] for a in answers] == [200] * 2 + [403] * (len(bad) + 4)
        assert not any("access-control-allow-origin" in a[1] for a in answers)

    def test_the_client_works_over_it(self, tcp: Running) -> None:
        code = (
            "import sys; sys.path.insert(0, sys.argv[1]); import wetgate_client as w\n"
            "c = w.Client(home=sys.argv[2]); c.connect(start=False); print(c.status()['pid'])\n"
        )
        words = [
            sys.executable,
            "-c",
            code,
            str(Path(client_module.__file__).parent),
            str(tcp.home),
        ]
        done = subprocess.run(words, capture_output=True, check=True, text=True)
        assert int(done.stdout) == tcp.process.pid

    def test_the_page_opens_once_by_its_own_token_only(self, service: Running) -> None:
        client = service.client()
        assert service.discovery.port is None, "the port is on before anybody asked"
        url = client._call("POST", "/v1/page", {})["url"]
        port = service.discovery.port or 0
        assert url.startswith(f"http://127.0.0.1:{port}/review?once=")
        path, host = url.partition(str(port))[2], {"Host": f"127.0.0.1:{port}"}
        first, second, bare, data = self.call(
            port,
            ("GET", path, host, ""),
            ("GET", path, host, ""),
            ("GET", "/review", host, ""),
            (
                "GET",
                "/v1/page/jobs",
                {**host, "Authorization": f"Bearer {client._found['token']}"},
                "",
            ),
        )
        assert first[0] in (200, 303) and (second[0], bare[0], data[0]) == (403, 403, 403)
        cookie = first[1]["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie.replace("Strict", "strict")
        let_in = {**host, "Cookie": cookie.partition(";")[0]}
        origin = {"Origin": f"http://{host['Host']}", "Content-Type": "application/json"}
        answers = self.call(
            port,
            ("GET", "/v1/page/jobs", let_in, ""),
            ("GET", "/v1/jobs", let_in, ""),
            ("POST", "/v1/page/jobs/x/cancel", {**let_in, **origin}, "{}"),
            ("POST", "/v1/page/jobs/x/cancel", {**let_in, **origin, "X-Wetgate-Page": "x"}, "{}"),
            ("POST", "/v1/page/jobs/x/cancel", {**let_in, "Origin": "null"}, "{}"),
            ("GET", "/v1/page/jobs", {**let_in, "Origin": "http://evil.com"}, ""),
        )
        assert [a[0] for a in answers] == [200, 403, 403, 403, 403, 403]


class TestRoots:
    def test_jobs_are_held_to_the_roots_and_a_swapped_directory_diverts_nothing(
        self, tmp_path: Path
    ) -> None:
        root, outside = tmp_path / "root", tmp_path / "outside"
        plate = write_plate(root / "plate", range(1, 4), suffix="exr", sample_type="half")
        outside.mkdir()
        (root / "link").symlink_to(outside)
        with running("--idle", "0", "--root", str(root)) as service:
            client = service.client()
            for facts in (
                {"out": str(outside)},
                {"out": str(root / "link" / "new")},
                {"out": str(root / "out"), "plate": str(outside)},
                {"out": str(root / "out"), "decisions": "/etc/passwd"},
            ):
                with pytest.raises(client_module.WetgateError) as refused:
                    client.submit(**{"plate": str(plate), "recipe": "identity", **facts})
                assert (refused.value.code, refused.value.status) == ("NotAllowed", 403)
            with pytest.raises(client_module.WetgateError, match="outside the roots"):
                client.adopt(str(outside))
            record = self.swap_while_rendering(client, plate, root, outside)
        assert list(outside.iterdir()) == []
        assert record["state"] in ("done", "failed")

    def swap_while_rendering(
        self, client: Any, plate: Path, root: Path, outside: Path
    ) -> dict[str, Any]:
        """Exchange the output directory for a link outside and back, a thousand times and more."""
        libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "renameat2"):
            pytest.skip("this system cannot exchange two names at once")
        out, other = root / "out", root / "other"
        out.mkdir()
        os.symlink(outside, other)
        job = client.submit(plate=str(plate), out=str(out), recipe="identity")
        over = threading.Event()
        swaps: list[int] = []

        def swap() -> None:
            here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
            while len(swaps) < 1000 or not over.is_set():
                swaps.append(libc.renameat2(here, bytes(out), here, bytes(other), exchange))
                time.sleep(0.0005)

        thread = threading.Thread(target=swap)
        thread.start()
        try:
            return dict(client.wait(job["id"]))
        finally:
            over.set()
            thread.join()
            assert len(swaps) >= 1000 and not any(swaps)

    def test_the_kernel_keeps_a_child_from_writing_elsewhere(self, tmp_path: Path) -> None:
        from wetgate.service import walls

        root, outside = tmp_path / "root", tmp_path / "outside"
        for folder in (root, outside):
            folder.mkdir()
        (outside / "old").write_text("old")
        code = (
            "import os, sys; from wetgate.service import walls\n"
            "root, outside = sys.argv[1:]\n"
            "print(walls.write_only_below([root]))\n"
            "open(root + '/new', 'w').write('x')\n"
            "for act in (lambda: open(outside + '/new', 'w'), lambda: os.mkdir(outside + '/d'),\n"
            "            lambda: open(outside + '/old', 'r+'),\n"
            "            lambda: os.unlink(outside + '/old'),\n"
            "            lambda: os.rename(root + '/new', outside + '/new'),\n"
            "            lambda: os.symlink('x', outside + '/l'),\n"
            "            lambda: os.truncate(outside + '/old', 0)):\n"
            "    try: act(); print('done')\n"
            "    except OSError: pass\n"
        )
        words = [sys.executable, "-c", code, str(root), str(outside)]
        done = subprocess.run(words, capture_output=True, check=True, text=True)
        if done.stdout.startswith("False"):
            pytest.skip("this kernel has no Landlock")
        assert done.stdout == "True\n"
        assert (root / "new").read_text() == "x" and (outside / "old").read_text() == "old"
        assert walls.environment([], "x").get(walls.VARIABLE) is None
