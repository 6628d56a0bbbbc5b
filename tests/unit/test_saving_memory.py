"""Where memory is short, what is freed goes back to the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FREED = """
import sys
import numpy as np, psutil
from wetgate import _native

if sys.argv[1] == "saving":
    assert _native.return_blocks(4 << 20)
for _ in range(3):  # from which glibc learns to keep such blocks
    np.ones(30 << 20, np.uint8)
blocks = [np.ones(12 << 20, np.uint8) for _ in range(16)]
last = np.ones(1 << 20, np.uint8)  # keeps the heap from being cut off behind them
before = psutil.Process().memory_info().rss
del blocks
print((before - psutil.Process().memory_info().rss) >> 20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators keep nothing")
def test_freed_blocks_go_back_to_the_system_when_told_so() -> None:
    freed = {
        way: int(subprocess.check_output([sys.executable, "-c", FREED, way]))
        for way in ("saving", "usual")
    }  # fmt: skip
    assert freed["saving"] >= 180
    assert freed["usual"] <= 60


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators keep nothing")
def test_the_allocator_is_told() -> None:
    code = "from wetgate.render.process_memory import give_back_freed; print(give_back_freed())"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "True"
