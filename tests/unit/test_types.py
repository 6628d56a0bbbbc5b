"""The engine is strictly typed."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OPTIONAL = ("torch", "safetensors", "matplotlib")
"""Typed libraries of the extras: without them the files that import them cannot be checked."""


@pytest.mark.slow
@pytest.mark.skipif(
    sys.version_info < (3, 11), reason="the last numpy for Python 3.10 has looser types"
)
def test_mypy_strict_is_clean() -> None:
    assert "strict = true" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *_checkable()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _checkable() -> list[str]:
    """Name nothing where all libraries are there: mypy then checks what pyproject.toml says."""
    absent = [name for name in OPTIONAL if importlib.util.find_spec(name) is None]
    if not absent:
        return []
    needs = re.compile(rf"^\s*(?:import|from) (?:{'|'.join(absent)})\b", re.MULTILINE)
    files = sorted((ROOT / "engine").rglob("*.py"))
    chosen = [str(p) for p in files if not needs.search(p.read_text(encoding="utf-8"))]
    assert len(chosen) > 0.9 * len(files)
    return ["--follow-imports=silent", *chosen]
