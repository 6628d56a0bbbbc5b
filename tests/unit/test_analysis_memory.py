"""What the analysis of a shot takes in memory is what its operator declares."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from wetgate.operators.base import Operator, Pixels, SourceFacts
from wetgate.operators.registry import make_operator
from wetgate.render.memory import FrameSize, plan_memory

SIZES = (320, 240, 7), (768, 512, 7), (2304, 1536, 7)
"""Width, height, frames. Of 768 x 512 px all blocks are looked at, of more no more of them; 2304 x
1536 px are what takes most beside the blocks."""


def panned(width: int, height: int, count: int) -> list[Pixels]:
    """Make a noisy texture that moves by 2 px a frame, with a vertical line that does not."""
    rng = np.random.default_rng(7)
    wide = rng.random((height // 8 + 1, (width + 2 * count) // 8 + 1, 3), dtype=np.float32)
    texture = np.kron(wide, np.ones((8, 8, 1), np.float32))
    frames = []
    for index in range(count):
        frame = texture[:height, 2 * index : 2 * index + width] * np.float32(0.7)
        frame += np.float32(0.02) * rng.standard_normal(frame.shape, dtype=np.float32)
        frame[:, 100:102] += np.float32(0.2)
        frames.append(np.ascontiguousarray(np.clip(frame, 0.0, 1.0), np.float32))
    return frames


def taken(operator: Operator, width: int, height: int, count: int) -> int:
    """Return the most bytes alive during an analysis that were not alive before."""
    frames = panned(width, height, count)
    facts = SourceFacts(
        sample_type="uint10", width=width, height=height, channels=3, is_log_working=True
    )
    operator.analyse(lambda n: frames[n].copy(), range(2), facts)  # what is kept for good
    tracemalloc.start()
    try:
        operator.analyse(lambda n: frames[n].copy(), range(count), facts)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["denoise", "deartifact", "deblur", "scratches"])
def test_no_analysis_takes_more_than_declared(name: str) -> None:
    spec = make_operator(name, {}).spec
    assert spec.analysis_bytes is not None
    grows = name == "scratches"  # with the shot, up to a bound that no shot of a test reaches
    closest = 0.0
    for width, height, count in SIZES[: 2 if grows else None]:
        peak = taken(make_operator(name, {}), width, height, count)
        declared = spec.analysis_bytes(width * height)
        assert peak <= declared, (width, height)
        closest = max(closest, peak / declared)
    assert grows or closest > 0.3  # a figure far too high would be as wrong


def test_the_plan_has_room_for_the_analysis() -> None:
    size = FrameSize(width=3840, height=2160, channels=3, colors=3, sample_type="uint10")
    operator = make_operator("deartifact", {"net": "none"})
    assert operator.spec.analysis_bytes is not None
    least = operator.spec.analysis_bytes(size.pixels)
    plan = plan_memory(size, [operator], budget=4 << 30, workers=1, base=0)
    assert plan.peak >= least + size.full
