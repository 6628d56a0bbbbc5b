"""Versions of what touches pixels, for the record."""

from __future__ import annotations

import platform
from functools import lru_cache
from importlib import metadata

from wetgate.model.version import __version__

_PACKAGES = ("numpy", "OpenImageIO", "opencolorio", "opencv-python-headless", "onnxruntime")


@lru_cache(maxsize=1)
def _versions() -> tuple[tuple[str, str], ...]:
    found = [("wetgate", __version__), ("python", platform.python_version())]
    for name in _PACKAGES:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return tuple(found)


def library_versions() -> dict[str, str]:
    """Return installed versions by package name, without importing the packages."""
    return dict(_versions())
