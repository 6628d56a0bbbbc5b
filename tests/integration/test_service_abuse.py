"""What callers get wrong, on purpose or not: told in words, and nothing breaks for others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.plates import write_plate
from support.service import Running, running, wait_until

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
