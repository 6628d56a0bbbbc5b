"""What graphics processors there are, found without loading a heavy library."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import platformdirs

TILE = 1536
"""The most px of a side at once; the engine's own tiles are smaller."""
GRAIN = 64
"""Sides are rounded up to this, so that a job meets few shapes."""

_PROC = Path("/proc/driver/nvidia")


@functools.lru_cache(maxsize=1)
def gpu_names() -> tuple[str, ...]:
    """Return the names of the NVIDIA devices of this machine that this process may use."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return ()
    return tuple(_field(line, 0) for line in _smi("name"))


@functools.lru_cache(maxsize=1)
def driver_version() -> str:
    """Return the version of the NVIDIA driver; "" without one."""
    lines = _smi("driver_version")
    return _field(lines[0], 0) if lines else ""


def has_metal() -> bool:
    """Whether this is a machine where torch can use Metal."""
    return sys.platform == "darwin" and platform.machine() == "arm64"


def engine_folder(model_sha256: str, precision: str) -> Path:
    """Return the folder of engines built for one model, device and driver; made if needed.

    The library tells shapes apart itself, by the names of its files. An engine that was built
    for another model, device or driver is wrong or slow, and it does not always notice.
    """
    facts = (model_sha256, precision, *gpu_names()[:1], driver_version())
    key = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:32]
    folder = Path(platformdirs.user_cache_dir("wetgate")) / "engines" / key
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _smi(field: str) -> tuple[str, ...]:
    if sys.platform.startswith("linux") and not (_PROC.exists() or Path("/dev/dxg").exists()):
        return ()
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    try:
        done = subprocess.run(
            [tool, f"--query-gpu={field}", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in done.stdout.splitlines() if line.strip())


def _field(line: str, index: int) -> str:
    return line.split(",")[index].strip()
