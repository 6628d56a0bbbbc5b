"""Jobs to be broken: run here or in a process that may be killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from wetgate.io.atomic import is_temp_name
from wetgate.render.job import JobOptions

from support.plates import file_digests, recipe, register

WORKER = Path(__file__).parent / "job_worker.py"
KILLS = int(os.environ.get("WETGATE_KILLS", "3"))


def tiny_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    """Know the operators of the tests for one test; each file makes its fixture of this."""
    from wetgate.operators import registry

    monkeypatch.setattr(registry, "_FACTORIES", dict(registry._FACTORIES))
    register()


def job(plate: Path, out: Path, *names: str, **options: Any) -> JobOptions:
    return JobOptions(plate=plate, out=out, recipe=recipe(*names), threads=2, **options)


def worker(plate: Path, out: Path, names: str, mode: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(WORKER), str(plate), str(out), names, mode],
        stderr=subprocess.PIPE,
        text=True,
    )


def finals(out: Path) -> dict[str, bytes]:
    return {n: c for n, c in file_digests(out).items() if not is_temp_name(n)}


def write_texture(number: int) -> Any:
    from support.clips import texture

    return texture(number, 64, 48)
