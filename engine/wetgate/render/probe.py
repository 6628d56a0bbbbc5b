"""Estimate how long a job takes by running its steps on a small crop."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from wetgate.model.box import Box
from wetgate.model.errors import WetgateError
from wetgate.model.frame import Frame
from wetgate.operators.base import Pixels
from wetgate.render.analysis import ShotAnalyses
from wetgate.render.chain import Chain
from wetgate.render.planner import Job
from wetgate.render.shelf import Loaded, Shelf
from wetgate.render.store import PlaneStore
from wetgate.render.windows import Shots
from wetgate.render.workers import Workers

PROBE_SIDE = 128
"""Side of the crop, px."""

_DEVIATION = 0.02
"""Grain put on the crop, in the file's units: operators that measure noise must find some."""


@dataclass(frozen=True, slots=True)
class _Crops:
    """A clip of one crop under changing grain."""

    frame: Frame
    frames: Sequence[int]

    def load(self, number: int) -> Loaded:
        rng = np.random.default_rng(number)
        noise = rng.standard_normal(self.frame.pixels.shape, dtype=np.float32)
        pixels = np.nan_to_num(self.frame.pixels) + np.float32(_DEVIATION) * noise
        return Loaded(
            frame=replace(self.frame, number=number, pixels=pixels, non_finite=None),
        )


def probe_seconds(job: Job) -> float | None:
    """Return an estimate for the frames of a job, None when the probe cannot run.

    One crop of a frame goes through all steps twice; the second time counts, because it finds
    what the first has left for it, as in the middle of a shot. Reading, writing and the
    measuring of the plate are added from the cost of codecs.
    """
    try:
        frame = _crop(job.clip[job.wanted[len(job.wanted) // 2]])
        each = _second_frame(job, frame)
    except WetgateError:
        return None
    scale = job.plan.width * job.plan.height / (frame.pixels.shape[0] * frame.pixels.shape[1])
    return float(each * scale * len(job.wanted) / job.memory.workers)


def _second_frame(job: Job, frame: Frame) -> float:
    radius = job.plan.temporal_radius
    clip = _Crops(frame, range(2 * radius + 2))
    store = PlaneStore(memory_limit=None)
    steps: list[ShotAnalyses] = []
    with Workers(1) as workers:
        chain = Chain(
            shelf=Shelf(clip, store),
            store=store,
            steps=job.steps,
            shots=Shots(),
            analyses=steps,
            workers=workers,
            tile=(PROBE_SIDE, PROBE_SIDE),
        )
        for index, step in enumerate(job.steps):

            def read(number: int, index: int = index) -> Pixels:
                return chain.read_working(index, number)

            spec = step.spec
            facts = chain.frame_facts(index, 0)
            measured = step.operator.analyse(read, clip.frames, facts)
            steps.append(ShotAnalyses(operator=spec.name, version=spec.version, shots=(measured,)))
        chain.finish(radius)
        chain.retain([radius + 1])
        started = time.perf_counter()
        chain.finish(radius + 1)
        spent = time.perf_counter() - started
        chain.retain(())
    return spent


def _crop(frame: Frame) -> Frame:
    height, width, _ = frame.pixels.shape
    top, left = max(0, (height - PROBE_SIDE) // 2), max(0, (width - PROBE_SIDE) // 2)
    pixels = np.ascontiguousarray(frame.pixels[top : top + PROBE_SIDE, left : left + PROBE_SIDE])
    box = Box.of_size(pixels.shape[1], pixels.shape[0])
    return replace(frame, pixels=pixels, data_window=box, display_window=box, non_finite=None)
