"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of published test pictures; tests that want it skip when it is absent."""
    named = os.environ.get("WETGATE_TEST_DATA")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no test pictures in {folder}; set WETGATE_TEST_DATA")
    return folder
