"""The command line with other limits of the service, for tests that wait for them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from wetgate.cli.app import main
from wetgate.service import preview, security, server


def _limit(name: str, module: object, constant: str) -> None:
    value = os.environ.get(f"WETGATE_TEST_{name}")
    if value is not None:
        assert hasattr(module, constant)
        setattr(module, constant, float(value))


if __name__ == "__main__":
    _limit("HEADER_SECONDS", server, "HEADER_SECONDS")
    _limit("BODY_SECONDS", security, "BODY_SECONDS")
    _limit("SPARE_SECONDS", preview, "_SPARE_SECONDS")
    main()
