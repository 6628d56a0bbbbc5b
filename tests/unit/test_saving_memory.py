"""Where memory is short, what is freed goes back to the system."""

from __future__ import annotations

import platform
import subprocess
import sys
from dataclasses import replace

import pytest
from wetgate.render.memory import MemoryPlan, save_memory

PLAN = MemoryPlan(
    tile=(64, 64), workers=1, overlap=False, wide=False, store_limit=0, scratch_bytes=0, peak=0
)
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


def test_a_plan_with_room_leaves_the_allocator_alone() -> None:
    assert not save_memory(PLAN)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators keep nothing")
def test_a_plan_whose_planes_leave_memory_tells_the_allocator() -> None:
    code = f"""
from wetgate.render.memory import MemoryPlan, save_memory
print(save_memory({replace(PLAN, scratch_bytes=1)!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "True"
