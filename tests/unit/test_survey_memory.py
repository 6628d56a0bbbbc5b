"""What surveys take in memory is what their stages declare."""

from __future__ import annotations

import ctypes
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from unit.test_analysis_memory import panned
from wetgate.operators.base import Operator, Pixels, SourceFacts, Stage
from wetgate.operators.registry import make_operator

SIZES = (640, 480), (1280, 720), (2304, 1536)
"""Motion is found at full size up to 1280 px, at half of it beyond."""
_SPOTS = 300
_SLACK = 1 << 16
"""Objects of Python."""
_PER_SPOT = 3000
"""A piece of dirt keeps some 2.4 kB, whatever the size of the frame; plans do not count it."""


class Taken(NamedTuple):
    """Bytes of surveys: `peak` of making one of a frame or a pair, beyond what was there."""

    frame: int
    frame_peak: int
    pair: int
    pair_peak: int


def facts_of(width: int, height: int) -> SourceFacts:
    return SourceFacts(
        sample_type="uint10", width=width, height=height, channels=3, is_log_working=True
    )


def planes_for(operator: Operator, index: int, frame: Pixels) -> Pixels:
    """Return what a stage surveys: the frame, or what the stage before might make of it."""
    count = operator.stages[index - 1].footprint.planes if index else None
    if count is None:
        return frame
    planes = np.zeros((*frame.shape[:2], count), np.float32)
    planes[..., :3] = frame
    rng = np.random.default_rng(5)
    rows, columns = (rng.integers(0, side - 4, _SPOTS) for side in frame.shape[:2])
    for y, x in zip(rows, columns, strict=True):
        planes[y : y + 4, x : x + 4, 3:] = np.float32(0.9)
    return planes


def taken(stage: Stage, planes: list[Pixels], analysis: dict[str, object]) -> Taken | None:
    """Survey two frames and the pair of them; None for stages that survey nothing."""
    height, width = planes[0].shape[:2]
    facts = facts_of(width, height)
    if stage.survey_frame(planes[0], analysis, facts) is None:  # and what is kept for good
        return None
    tracemalloc.start()
    try:
        here = stage.survey_frame(planes[0], analysis, facts)
        frame, frame_peak = tracemalloc.get_traced_memory()
        there = stage.survey_frame(planes[1], analysis, facts)
        stage.survey_pair(here, there)
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        pair = stage.survey_pair(here, there)
        after, peak = tracemalloc.get_traced_memory()
        del pair
        return Taken(frame, frame_peak, after - before, peak - before)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["denoise", "dirt", "deartifact"])
def test_no_survey_takes_more_than_declared(name: str) -> None:
    closest = 0.0
    for width, height in SIZES:
        operator = make_operator(name, {"blocks": "8"} if name == "deartifact" else {})
        frames = panned(width, height, 2)
        found = operator.analyse(lambda n, f=frames: f[n].copy(), range(2), facts_of(width, height))
        for index, stage in enumerate(operator.stages):
            declared = stage.footprint.surveys
            took = taken(stage, [planes_for(operator, index, f) for f in frames], dict(found))
            assert (took is None) == (declared is None), index
            if took is None or declared is None:
                continue
            room = declared(width, height)
            slack = _SLACK + (_SPOTS * _PER_SPOT if name == "dirt" else 0)
            assert took.frame <= room.frame + slack, (index, width)
            assert took.pair <= room.pair + _SLACK, (index, width)
            assert took.frame_peak <= room.frame + room.making + slack, (index, width)
            assert took.pair_peak <= room.pair + room.making + _SLACK, (index, width)
            closest = max(closest, took.frame_peak / (room.frame + room.making))
    assert closest > 0.3  # a figure far too high would be as wrong


def _resident(what: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1]) << 10
    raise AssertionError(what)


def rise(make: Callable[[], object]) -> int:
    """Return by how much the process grows at most during a call; Linux with glibc only.

    What the C library keeps of earlier calls goes back first, or the call would live on that.
    """
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _resident("VmRSS")
    made = make()
    grown = _resident("VmHWM") - before
    del made
    return grown


@pytest.mark.parametrize("size", [(1280, 960), (2304, 1536)])
@pytest.mark.parametrize("name", ["denoise", "dirt", "deartifact"])
def test_nor_does_the_process_with_what_opencv_takes(name: str, size: tuple[int, int]) -> None:
    """A library's own memory is no part of what Python traces."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError as error:
        pytest.skip(f"the peak of a process cannot be measured anew here: {error}")
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("the C library cannot be told to give freed memory back here")
    width, height = size
    operator = make_operator(name, {"blocks": "8"} if name == "deartifact" else {})
    stage = operator.stages[0]
    assert stage.footprint.surveys is not None
    room = stage.footprint.surveys(width, height)
    frames = panned(width, height, 2)
    facts = facts_of(width, height)
    found = operator.analyse(lambda n: frames[n].copy(), range(2), facts)
    here, there = (stage.survey_frame(f, found, facts) for f in frames)
    assert here is not None and there is not None
    stage.survey_pair(here, there)
    # The least of three: pages that the system had taken away meanwhile only add.
    frame = min(rise(lambda: stage.survey_frame(frames[0], found, facts)) for _ in range(3))
    pair = min(rise(lambda: stage.survey_pair(here, there)) for _ in range(3))
    assert frame <= room.frame + room.making + _SLACK
    assert pair <= room.pair + room.making + _SLACK
    # A figure far too high would be as wrong.
    assert max(frame - room.frame, pair - room.pair) > 0.5 * room.making
