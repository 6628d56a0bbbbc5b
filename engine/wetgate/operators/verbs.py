"""Checks that every operator must pass; used by the tests of each operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wetgate.model.box import Box
from wetgate.operators.base import (
    Analysis,
    Fix,
    Judged,
    Operator,
    Pixels,
    SourceFacts,
    Stage,
    Window,
    pixels_of,
)


def run_operator(
    operator: Operator,
    frames: Mapping[int, Pixels],
    number: int,
    *,
    facts: SourceFacts,
    analysis: Analysis | None = None,
    tile: tuple[int, int] | None = None,
    planes: Mapping[int, Mapping[str, Pixels]] | None = None,
) -> Pixels:
    """Run an operator on whole frames in memory, by the plainest reading of its contract.

    No cache, no threads, no compact storage: an independent reference for the engine. The result
    is the frame times the scale of the operator's last stage.

    Args:
        frames: working-encoding frames of one shot by number.
        tile: width and height of the tiles; None for one tile of the whole frame.
        planes: named planes `(h, w, 1)` of frames by number, for `Window.planes`.
    """
    return judge_operator(
        operator, frames, number, facts=facts, analysis=analysis, tile=tile, planes=planes
    ).pixels


def judge_operator(
    operator: Operator,
    frames: Mapping[int, Pixels],
    number: int,
    *,
    facts: SourceFacts,
    analysis: Analysis | None = None,
    tile: tuple[int, int] | None = None,
    planes: Mapping[int, Mapping[str, Pixels]] | None = None,
) -> Judged:
    """Run an operator as `run_operator` does and return what its last stage said as well.

    The pixels are those that the operator returned, in and out of its fixes; records stand in
    the order of their numbers.
    """
    if analysis is None:
        numbers = sorted(frames)
        analysis = operator.analyse(lambda n: frames[n], numbers, facts)
    last = len(operator.stages) - 1
    beside = planes or {}
    return _stage_output(operator, last, frames, number, facts, analysis, tile, beside)


def assert_footprint_honest(
    operator: Operator,
    frames: Mapping[int, Pixels],
    number: int,
    *,
    facts: SourceFacts,
    analysis: Analysis | None = None,
    seed: int = 0,
) -> None:
    """Fail unless pixels outside the declared footprint leave the result alone.

    Replaces every frame beyond the temporal radius and, for operators without surveys, every
    pixel farther than the halo from a probe pixel; the probed result must keep its bits. Also
    checks that tiles give the same bits as the whole frame.

    Raises:
        AssertionError: naming what leaked.
    """
    if analysis is None:
        analysis = operator.analyse(lambda n: frames[n], sorted(frames), facts)
    footprint = operator.spec.footprint
    rng = np.random.default_rng(seed)
    told = judge_operator(operator, frames, number, facts=facts, analysis=analysis)
    want = told.pixels

    moved = {
        n: f if abs(n - number) <= footprint.temporal_radius else _noise(rng, f)
        for n, f in frames.items()
    }
    other = judge_operator(operator, moved, number, facts=facts, analysis=analysis)
    _assert_told_same(other, told, f"frames beyond radius {footprint.temporal_radius}")

    size = max(16, facts.width // 3 // 16 * 16), max(16, facts.height // 3 // 16 * 16)
    other = judge_operator(operator, frames, number, facts=facts, analysis=analysis, tile=size)
    _assert_told_same(other, told, f"tiles of {size}")

    if _surveys(operator, frames[number], facts, analysis):
        return
    scale, unit = footprint.scale, footprint.scale.denominator
    y, x = facts.height // 2 // unit * unit, facts.width // 2 // unit * unit
    near = Box(x, y, x + unit, y + unit).grown(footprint.halo)
    rows, columns = near.intersect(Box.of_size(facts.width, facts.height)).within(
        Box.of_size(facts.width, facts.height)
    )
    moved = {}
    for n, frame in frames.items():
        strange = _noise(rng, frame)
        strange[rows, columns] = frame[rows, columns]
        moved[n] = strange
    got = run_operator(operator, moved, number, facts=facts, analysis=analysis)
    made = tuple(slice(int(at * scale), int((at + unit) * scale)) for at in (y, x))
    _assert_same(got[made], want[made], f"pixels beyond halo {footprint.halo}")


def _surveys(operator: Operator, frame: Pixels, facts: SourceFacts, analysis: Analysis) -> bool:
    return any(s.survey_frame(frame, analysis, facts) is not None for s in operator.stages)


def _noise(rng: np.random.Generator, like: Pixels) -> Pixels:
    return rng.random(like.shape, dtype=np.float32)


def _assert_same(got: NDArray[np.float32], want: NDArray[np.float32], what: str) -> None:
    if not np.array_equal(got.view(np.uint32), want.view(np.uint32)):
        worst = float(np.max(np.abs(got.astype(np.float64) - want)))
        raise AssertionError(f"{what} change the result by up to {worst:g}")


def _assert_told_same(got: Judged, want: Judged, what: str) -> None:
    """Compare pixels and what is said of single defects."""
    _assert_same(got.pixels, want.pixels, what)
    if got.records != want.records:
        raise AssertionError(f"{what} change the records of fixes")
    for name, here, there in (
        ("fixes", got.fixes, want.fixes),
        ("origins", got.origins, want.origins),
        *((name, got.planes.get(name), plane) for name, plane in want.planes.items()),
    ):
        if (here is None) != (there is None) or not np.array_equal(here, there):  # type: ignore[arg-type]
            raise AssertionError(f"{what} change {name}")


def _stage_output(
    operator: Operator,
    index: int,
    frames: Mapping[int, Pixels],
    number: int,
    facts: SourceFacts,
    analysis: Analysis,
    tile: tuple[int, int] | None,
    beside: Mapping[int, Mapping[str, Pixels]],
) -> Judged:
    stage = operator.stages[index]
    radius, halo = stage.footprint.temporal_radius, stage.footprint.halo
    numbers = [n if n in frames else None for n in range(number - radius, number + radius + 1)]
    valid = tuple(n is not None for n in numbers)
    used = [number if n is None else n for n in numbers]
    inputs = [frames[n] for n in used]
    before: list[Pixels] = []
    said: list[NDArray[np.uint8] | None] = []
    if index:
        made = {
            n: _stage_output(operator, index - 1, frames, n, facts, analysis, tile, beside)
            for n in set(used)
        }
        said = [made[n].classes for n in used]
        pixels = {n: m.pixels for n, m in made.items()}
        if not operator.stages[index - 1].footprint.exact_output:
            limit = np.float32(65504)
            pixels = {
                n: np.clip(m, -limit, limit).astype(np.float16).astype(np.float32)
                for n, m in pixels.items()
            }
        before = [pixels[n] for n in used]
    survey, pairs = _surveys_of(stage, before or inputs, valid, analysis, facts)
    if stage.footprint.center_only:
        inputs, before, said = [inputs[radius]] * len(inputs), [], []
    whole = Box.of_size(facts.width, facts.height)
    scale = stage.footprint.scale
    count = stage.footprint.planes or inputs[radius].shape[2]
    out = np.empty((int(facts.height * scale), int(facts.width * scale), count), np.float32)
    shape = out.shape[:2]
    joined = _Joined()
    classes = np.full(shape, operator.spec.provenance, np.uint8)
    judged = False
    notes: dict[str, None] = {}
    for box in whole.tiles(*(tile or whole.size)):
        region = box.grown(halo)
        window = Window(
            number=number,
            pixels=_cut(inputs, region),
            previous=_cut(before, region),
            valid=valid,
            pairs=tuple(pairs),
            region=region,
            tile=box,
            frame=whole,
            previous_classes=_cut_classes(said, region),
            planes={n: _cut([p], region)[0] for n, p in beside.get(number, {}).items()},
            survey=survey,
        )
        x0, y0, x1, y1 = (int(edge * scale) for edge in (box.x0, box.y0, box.x1, box.y1))
        result = stage(window, analysis, facts)
        out[y0:y1, x0:x1] = pixels_of(result)
        if isinstance(result, Judged):
            notes.update(dict.fromkeys(result.notes))
            if result.classes is not None:
                classes[y0:y1, x0:x1], judged = result.classes, True
            joined.add(result, (slice(y0, y1), slice(x0, x1)), shape)
    return Judged(
        out,
        classes if judged else None,
        tuple(notes),
        fixes=joined.fixes,
        origins=joined.origins,
        planes=joined.planes,
        records=tuple(fix for _, fix in sorted(joined.records.items())),
    )


@dataclass(slots=True)
class _Joined:
    """What the tiles of a frame said of single defects, laid side by side."""

    fixes: NDArray[np.uint32] | None = None
    origins: NDArray[np.float32] | None = None
    planes: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    records: dict[int, Fix] = field(default_factory=dict)

    def add(self, said: Judged, at: tuple[slice, slice], shape: tuple[int, ...]) -> None:
        if said.fixes is not None:
            if self.fixes is None:
                self.fixes = np.zeros(shape, np.uint32)
            self.fixes[at] = said.fixes
        if said.origins is not None:
            if self.origins is None:
                self.origins = np.zeros((*shape, 3), np.float32)
            self.origins[at] = said.origins
        for name, plane in said.planes.items():
            self.planes.setdefault(name, np.zeros(shape, np.float32))[at] = plane
        for fix in said.records:
            if self.records.setdefault(fix.number, fix) != fix:
                raise AssertionError(f"two records of fix {fix.number}: {fix}")


def _surveys_of(
    stage: Stage,
    seen: Sequence[Pixels],
    valid: Sequence[bool],
    analysis: Analysis,
    facts: SourceFacts,
) -> tuple[object | None, list[object | None]]:
    """Survey the middle frame, alone and against every other one that is there."""
    pairs: list[object | None] = [None] * len(seen)
    middle = len(seen) // 2
    here = stage.survey_frame(seen[middle], analysis, facts)
    others = [k for k, ok in enumerate(valid) if ok and k != middle]
    for k in others if here is not None else ():
        there = stage.survey_frame(seen[k], analysis, facts)
        if there is not None:
            pairs[k] = stage.survey_pair(here, there)
    return here, pairs


def _cut_classes(
    frames: Sequence[NDArray[np.uint8] | None], region: Box
) -> tuple[NDArray[np.uint8] | None, ...]:
    planes = [
        None if f is None else _cut([f[..., None].astype(np.float32)], region) for f in frames
    ]
    return tuple(None if p is None else p[0][..., 0].astype(np.uint8) for p in planes)


def _cut(frames: Sequence[Pixels], region: Box) -> tuple[Pixels, ...]:
    if not frames:
        return ()
    height, width, _ = frames[0].shape
    pad = (
        (max(0, -region.y0), max(0, region.y1 - height)),
        (max(0, -region.x0), max(0, region.x1 - width)),
        (0, 0),
    )
    top, left = region.y0 + pad[0][0], region.x0 + pad[1][0]
    # A frame without neighbors stands in for all of them: it is laid out once.
    cut = {
        id(f): np.ascontiguousarray(
            np.pad(f, pad, mode="reflect")[top : top + region.height, left : left + region.width]
        )
        for f in frames
    }
    return tuple(cut[id(f)] for f in frames)
