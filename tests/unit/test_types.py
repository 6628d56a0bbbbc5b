"""The engine is strictly typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(
    sys.version_info < (3, 11), reason="the last numpy for Python 3.10 has looser types"
)
def test_mypy_strict_is_clean() -> None:
    root = Path(__file__).resolve().parents[2]
    assert "strict = true" in (root / "pyproject.toml").read_text(encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy"], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
