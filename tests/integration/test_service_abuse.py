"""What callers get wrong, on purpose or not: told in words, and nothing breaks for others."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.plates import write_plate
from support.service import Running, client_module, running, wait_until
from wetgate.service.discovery import Home, read_discovery

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses a Unix socket")

JOB = b'{"plate":"/none/a.%04d.exr","out":"/none/out",'


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shot") / "plate"
    return write_plate(
        folder, range(1001, 1009), width=128, height=96, suffix="exr", sample_type="half"
    )


def asked(service: Running, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
    status, answer = service.request(method, path, body=body)
    return status, json.loads(answer)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (b'"strength":1e400}', "1e400"),
        (b'"recipe":{"a":-1e999}}', "-1e999"),
        (b'"recipe":{"a":' + b"[" * 200 + b"]" * 200 + b"}}", "nested"),
        (b'"recipe":{"a":' + b'{"b":' * 900 + b"1" + b"}" * 900 + b"}}", "nested"),
    ],
    ids=["strength", "recipe", "lists", "objects"],
)
def test_what_no_answer_could_repeat_is_not_taken(
    service: Running, fields: bytes, words: str
) -> None:
    status, answer = asked(service, "POST", "/v1/jobs", JOB + fields)
    assert (status, answer["error"]["code"]) == (400, "BadRequest")
    assert words in answer["error"]["message"]
    assert asked(service, "GET", "/v1/jobs") == (200, {"jobs": []})


def test_names_of_any_bytes_are_repeated(service: Running) -> None:
    # os.fsdecode(b"\xff") is such a name; JSON writes it "\udcff".
    fields = b'"label":"\\udcff <b>","client":"\\ud800"}'
    status, answer = asked(service, "POST", "/v1/jobs", JOB + fields)
    assert status == 201
    assert answer["job"]["label"] == "\udcff <b>"
    listed = asked(service, "GET", "/v1/jobs")[1]["jobs"]
    assert [(job["label"], job["client"]) for job in listed] == [("\udcff <b>", "\ud800")]


def test_a_second_service_leaves_the_jobs_of_the_first_alone(plate: Path, tmp_path: Path) -> None:
    with running() as service:
        client = service.client()
        work = {"plate": str(plate), "out": str(tmp_path / "out"), "input_space": "ACES2065-1"}
        job = client.submit(recipe="denoise", **work)
        wait_until(lambda: client.job(job["id"])["state"] == "running", seconds=30)
        second = subprocess.run(
            [sys.executable, "-m", "wetgate.cli", "serve"],
            env={**os.environ, "WETGATE_HOME": str(service.home)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert second.returncode == 2 and "a service runs already" in second.stderr
        client.cancel(job["id"])
        states = [e["state"] for e in client.events(job["id"]) if e["event"] == "state"]
        assert states in (
            ["queued", "running", "cancelling", "cancelled"],
            ["queued", "running", "cancelling", "done"],
        )


@pytest.mark.parametrize("owner", [-1, 0, 10**30])
def test_an_owner_that_no_process_can_be_owns_nothing(
    service: Running, plate: Path, tmp_path: Path, owner: int
) -> None:
    what = {"plate": str(plate), "out": str(tmp_path / "out"), "input_space": "ACES2065-1"}
    body = json.dumps({**what, "recipe": "identity", "frame": 1001, "owner_pid": owner})
    status, told = asked(service, "POST", "/v1/preview", body.encode())
    assert status == 200, told
    given_back = json.dumps({"file": told["file"]}).encode()
    assert asked(service, "POST", "/v1/preview/release", given_back) == (200, {"released": True})


def refusal_of_serve(home: Path, *words: str, **environment: str) -> str:
    """What `wetgate serve` says instead of serving: one line, with exit code 2."""
    tried = subprocess.run(
        [sys.executable, "-m", "wetgate.cli", "serve", *words],
        env={**os.environ, "WETGATE_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert tried.returncode == 2 and tried.stderr.count("\n") == 1, tried.stderr
    return tried.stderr


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refusal_of_serve(tmp_path / "home", "--tcp", f"--port={port}")
    assert f"port {port} " in said and "--port" in said


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = refusal_of_serve(tmp_path / "file" / "home")
    assert str(tmp_path / "file" / "home") in said and "WETGATE_HOME" in said


def test_a_socket_is_found_a_place_though_home_and_temporary_directory_are_long(
    tmp_path: Path,
) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    text = "from wetgate.service.discovery import Home; print(Home.of_user().socket_path())"
    said = subprocess.run(
        [sys.executable, "-c", text],
        env={**os.environ, "WETGATE_HOME": str(folder), "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    path = Path(said.stdout.strip())
    path.parent.rmdir()
    assert len(os.fsencode(path)) <= 100
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    "wrong", [{"socket": 5}, {"port": "80"}, {"token": "\xfc"}, {"token": 5}], ids=str
)
def test_a_damaged_discovery_file_is_no_service(tmp_path: Path, wrong: dict[str, Any]) -> None:
    facts = {"pid": 1, "started": 1.0, "socket": None, "port": 1, "token": "00", "version": "0"}
    home = Home(tmp_path)
    home.discovery.touch(0o600)
    document = {"schema": "wetgate.service/1", **facts, "executable": "", "api": [1, 1], **wrong}
    home.discovery.write_text(json.dumps(document))
    assert read_discovery(home.discovery) is None
    with pytest.raises(client_module.ServiceGone):
        client_module.Client(home=str(tmp_path)).hello()


def test_a_client_of_a_relative_home_without_a_home_of_its_own_starts_its_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "wetgate"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m wetgate.cli "$@"\n')
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/none")
    with tempfile.TemporaryDirectory(prefix="wg") as home:
        client = client_module.Client(home=os.path.relpath(home), executable=str(program))
        assert client.connect()["service"] == "wetgate"
        found = read_discovery(Home(Path(home)).discovery)
        client.shutdown()
        assert found is not None
        wait_until(lambda: not psutil.pid_exists(found.pid) or is_zombie(found.pid), seconds=30)


def is_zombie(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("notation", ["", "/", "/plate.%04d.exr"])
def test_an_output_that_is_not_decided_lies_beside_the_plate(
    service: Running, plate: Path, notation: str
) -> None:
    work = {"input_space": "ACES2065-1", "recipe": "identity"}
    body = {"plate": f"{plate}{notation}", **work}
    status, told = asked(service, "POST", "/v1/plan", json.dumps(body).encode())
    assert status == 200, told
    assert told["plan"]["target"].startswith(str(plate.parent / "restored") + "/")
    body["frame"] = 1001
    status, told = asked(service, "POST", "/v1/preview", json.dumps(body).encode())
    assert status == 200, told
    assert not (plate.parent / "restored").exists()
