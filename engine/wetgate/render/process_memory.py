"""What the process itself takes beside frames, and what its allocator keeps of freed ones."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import psutil

MIB = 1 << 20

_LIBRARIES = {"cv2": 60 * MIB, "PyOpenColorIO": 40 * MIB}
"""What a library adds to the process when it is first used."""

_NET_LIBRARIES = {"onnxruntime": 64 * MIB}
"""The same for steps with networks, with the weights of a few of them."""

_SLACK = 48 * MIB
"""Allocator and interpreter overhead beyond the arrays that are counted."""

_RETURNED = 4 * MIB
"""Blocks of this size and more, the scratch of tiles and what is as large as a frame, go back to
the system at once when memory is short."""


def process_base(with_steps: bool, with_models: bool) -> int:
    """Return what this process holds before any frame, with the libraries it will load."""
    rss = int(psutil.Process().memory_info().rss)
    libraries = (_LIBRARIES if with_steps else {}) | (_NET_LIBRARIES if with_models else {})
    return rss + _SLACK + _not_loaded(libraries)


def give_back_freed() -> bool:
    """Have the allocator keep nothing large back: for jobs whose planes have to leave memory.

    It costs CPU time, since the system clears every page that it hands out again; so where memory
    is plenty it is not done.

    Returns:
        whether it was done. It holds for the rest of the process.
    """
    try:
        from wetgate import _native
    except ImportError:
        return False
    return _native.return_blocks(_RETURNED)


def _not_loaded(libraries: Mapping[str, int]) -> int:
    return sum(size for name, size in libraries.items() if name not in sys.modules)
