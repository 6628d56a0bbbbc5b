"""What callers get wrong, on purpose or not: told in words, and nothing breaks for others."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from support.service import Running, running

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses a Unix socket")

JOB = b'{"plate":"/none/a.%04d.exr","out":"/none/out",'


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running() as found:
        yield found


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
