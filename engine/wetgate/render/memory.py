"""The memory plan: tile size, workers, overlap and what stays in memory, from one budget.

Nothing here decides a pixel. Whatever plan comes out, the same bits are rendered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from wetgate.model.errors import OutOfMemory
from wetgate.model.frame import SampleType, code_depth
from wetgate.operators.base import Footprint, Operator, TakesDecisions, UsesModels
from wetgate.render.bound import reach_of
from wetgate.render.process_memory import MIB, process_base

DEFAULT_MEMORY = 4 << 30
_GRAIN = 16
_MOST_TILE_PIXELS = 1 << 19
"""Larger tiles save no halo worth having and leave workers idle."""

_FIXES_BYTES = 12
"""Planes that a repairing step names and that lie with each frame it has done, a px: three."""

_POOL_BYTES = 128 * MIB
"""Most memory of dead frames that the DPX codec keeps for the next ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSize:
    """How large one frame is.

    Attributes:
        channels: float32 channels of the whole frame. colors: those operators see.
        carried_bytes: what travels beside the pixels (other parts, fill bits).
    """

    width: int
    height: int
    channels: int
    colors: int
    sample_type: SampleType
    carried_bytes: int = 0

    @property
    def pixels(self) -> int:
        """Pixels of one frame."""
        return self.width * self.height

    @property
    def full(self) -> int:
        """Bytes of a decoded frame."""
        return self.pixels * self.channels * 4 + self.carried_bytes

    @property
    def color(self) -> int:
        """Bytes of the colors as float32."""
        return self.pixels * self.colors * 4

    @property
    def encoded(self) -> int:
        """Bytes of a frame as a file holds it."""
        return self.pixels * self.channels * self.sample_bytes

    @property
    def compact(self) -> int:
        """Bytes of a frame at rest."""
        return self.pixels * self.channels * self.sample_bytes + self.carried_bytes

    def scaled(self, scale: Fraction) -> FrameSize:
        """Return the size of the frames that a step of that scale makes."""
        if scale == 1:
            return self
        unit = scale.denominator
        return replace(
            self,
            width=int(-(-self.width // unit) * unit * scale),
            height=int(-(-self.height // unit) * unit * scale),
            carried_bytes=int(self.carried_bytes * scale * scale),
        )

    @property
    def sample_bytes(self) -> int:
        """Bytes of a sample at rest."""
        depth = code_depth(self.sample_type)
        if depth is not None:
            return 1 if depth <= 8 else 2
        return 2 if self.sample_type == "half" else 4


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """How a job runs inside its budget.

    Attributes:
        tile: width and height of tiles. workers: tile threads.
        overlap: read the next and write the last frame while rendering this one.
        wide: survey several whole frames at once.
        store_limit: bytes of planes kept in memory; what exceeds it goes to scratch files.
        scratch_bytes: most that scratch files will hold.
        peak: expected greatest memory of the process, bytes.
    """

    tile: tuple[int, int]
    workers: int
    overlap: bool
    wide: bool
    store_limit: int
    scratch_bytes: int
    peak: int


def plan_memory(
    size: FrameSize,
    operators: Sequence[Operator],
    *,
    budget: int,
    workers: int,
    converted: Sequence[bool] = (),
    with_color: bool = False,
    beside: int = 0,
    written_beside: int = 0,
    base: int | None = None,
    analyses: bool = True,
) -> MemoryPlan:
    """Find the fastest plan that stays inside the budget.

    Args:
        converted: for every operator, whether its working encoding is not the file's own.
        with_color: the output is in another color space.
        beside: planes read from files beside the frames (mattes, defect maps), kept as float32.
        written_beside: bytes a px that are written beside a frame.
        base: bytes of the process before any frame; None measures this process.
        analyses: whether shots may have to be analysed; not where an analysis is named.

    Raises:
        OutOfMemory: when not even the smallest plan fits, with what it would need.
    """
    with_models = any(isinstance(op, UsesModels) and op.models() for op in operators)
    with_steps = bool(operators) or with_color
    if base is None:
        base = process_base(with_steps, with_models)
    steps = _read(operators)
    held = _held_bytes(size, steps, converted, beside)
    surveys = _survey_bytes(size, steps)
    least: MemoryPlan | None = None
    for plan in _candidates(size, steps, workers):
        working = _working_bytes(size, steps, plan, with_steps, written_beside)
        fixed = base + surveys + working
        if analyses:
            fixed = max(fixed, base + _analysis_bytes(size, steps, plan, converted))
        store = min(held, max(0, budget - fixed))
        found = replace(plan, store_limit=store, scratch_bytes=held - store, peak=fixed + store)
        if found.peak <= budget:
            return found
        if least is None or found.peak < least.peak:
            least = found
    need = least.peak if least is not None else base
    raise OutOfMemory(
        f"a frame of {size.width} x {size.height} px with {size.channels} channels needs "
        f"{_mib(need)} MB",
        expected=f"at most the budget of {_mib(budget)} MB",
        remedy=f"pass --memory {-(-need // (64 * MIB)) * 64}MB or more",
    )


@dataclass(frozen=True, slots=True)
class _Step:
    """Footprints of one step, read once: some operators open the card of a model to tell them."""

    scale: Fraction
    stages: tuple[Footprint, ...]
    repairs: bool
    analysis_bytes: Callable[[int], int] | None


def _read(operators: Sequence[Operator]) -> list[_Step]:
    return [
        _Step(
            op.spec.footprint.scale,
            tuple(stage.footprint for stage in op.stages),
            isinstance(op, TakesDecisions),
            op.spec.analysis_bytes,
        )
        for op in operators
    ]


def _planes(size: FrameSize, stage: Footprint) -> int:
    """Return how many channels an inner stage makes."""
    return size.colors if stage.planes is None else stage.planes


def _step_sizes(size: FrameSize, steps: Sequence[_Step]) -> list[FrameSize]:
    """Return the sizes of the input of every step, and that of the output as the last one."""
    sizes = [size]
    for step in steps:
        sizes.append(sizes[-1].scaled(step.scale))
    return sizes


def fit_tile(length: int, wanted: int) -> int:
    """Shrink a tile side so that equal tiles, multiples of 16 px, divide the frame evenly."""
    count = max(1, -(-length // wanted))
    even = -(-length // count)
    return min(length, -(-even // _GRAIN) * _GRAIN)


def tile_overhead(size: FrameSize, tile: tuple[int, int], halo: int) -> float:
    """Return pixels computed / pixels needed for a tile size and halo."""
    across = -(-size.width // tile[0])
    down = -(-size.height // tile[1])
    computed = (size.width + 2 * halo * across) * (size.height + 2 * halo * down)
    return computed / size.pixels


def _candidates(size: FrameSize, steps: Sequence[_Step], workers: int) -> Iterator[MemoryPlan]:
    """Yield plans from the fastest to the smallest."""
    halo = max((stage.halo for step in steps for stage in step.stages), default=0)
    tiles = {
        (fit_tile(size.width, w), fit_tile(size.height, h))
        for w in (size.width, 1024, 512, 256, 128)
        for h in (1024, 512, 384, 256, 192, 128, 96, 64, 48, 32, 16)
    }
    allowed = [t for t in tiles if t[0] * t[1] <= max(_MOST_TILE_PIXELS, size.width * _GRAIN)]
    allowed.sort(key=lambda t: (_waste(size, t, halo, workers), -t[0] * t[1], -t[0]))
    counts = sorted({workers, max(1, workers // 2), 1}, reverse=True)
    # One worker means one core: reading ahead would only take it away from rendering.
    for overlap in (True, False) if workers > 1 else (False,):
        for count in counts if not overlap else counts[:1]:
            for tile in allowed if steps else allowed[:1]:
                yield MemoryPlan(
                    tile=tile, workers=count, overlap=overlap, wide=overlap,
                    store_limit=0, scratch_bytes=0, peak=0,
                )  # fmt: skip


def _waste(size: FrameSize, tile: tuple[int, int], halo: int, workers: int) -> float:
    """Return the relative cost of a tile size: halo, and workers idle in the last round."""
    count = -(-size.width // tile[0]) * -(-size.height // tile[1])
    idle = -(-count // workers) * workers / count
    return tile_overhead(size, tile, halo) * idle


def _tile_bytes(size: FrameSize, steps: Sequence[_Step], tile: tuple[int, int]) -> int:
    """Return the scratch of one worker: windows, the operator's own, and composing."""
    worst, composing = 0, tile[0] * tile[1] * size.colors * 4 * 10
    for step, here in zip(steps, _step_sizes(size, steps), strict=False):
        growth = max(Fraction(1), step.scale**2)
        composing = max(composing, int(tile[0] * tile[1] * growth) * size.colors * 4 * 10)
        for index, print_ in enumerate(step.stages):
            region = (tile[0] + 2 * print_.halo) * (tile[1] + 2 * print_.halo)
            frames = 1 if print_.center_only else 2 * print_.temporal_radius + 1
            before = _planes(size, step.stages[index - 1]) if index else 0
            inputs = frames * (size.colors + before) * 4
            band = here.width * (tile[1] + 2 * print_.halo) * size.colors * 4
            bytes_ = region * (inputs + print_.bytes_per_pixel) + 2 * band
            worst = max(worst, bytes_)
    return worst + composing


def _working_bytes(
    size: FrameSize, steps: Sequence[_Step], plan: MemoryPlan, with_steps: bool, beside: int
) -> int:
    """Return the greatest sum of what is alive at one moment beside planes and surveys."""
    return _pool_bytes(size) + _alive_bytes(size, steps, plan, with_steps, beside)


def _pool_bytes(size: FrameSize) -> int:
    pool = 2 * size.full if 2 * size.full <= _POOL_BYTES else size.full
    return pool if pool <= _POOL_BYTES else 0


def _analysis_bytes(
    size: FrameSize, steps: Sequence[_Step], plan: MemoryPlan, converted: Sequence[bool]
) -> int:
    """Return the greatest sum of what is alive while a step looks at the whole shot.

    It looks at frames one after the other, as they were read or the steps before it make them;
    while one is made, it holds about half of what it takes when it compares them.
    """
    most = 0
    in_turn = replace(plan, overlap=False)
    for i, (step, here) in enumerate(zip(steps, _step_sizes(size, steps), strict=False)):
        if step.analysis_bytes is None:
            continue
        own = step.analysis_bytes(here.pixels)
        beside = 2 * size.compact
        if i < len(converted) and converted[i]:
            beside += here.color
        if i:
            own = max(own, own // 2 + _alive_bytes(size, steps[:i], in_turn, True))
            beside += _survey_bytes(size, steps[:i])
        most = max(most, own + beside)
    return _pool_bytes(size) + most


def _alive_bytes(
    size: FrameSize,
    steps: Sequence[_Step],
    plan: MemoryPlan,
    with_steps: bool,
    written_beside: int = 0,
) -> int:
    sizes = _step_sizes(size, steps)
    out = sizes[-1]
    read = size.full + size.encoded + (size.compact if with_steps else 0)
    # The frame and what was read back, first with the bytes of both, then with planes beside.
    write = 2 * out.full + max(2 * out.encoded, out.pixels * written_beside)
    if not with_steps:
        return read + write if plan.overlap else max(read, write)
    tiles = plan.workers * _tile_bytes(size, steps, plan.tile)
    largest = max(s.color for s in sizes)
    survey = 0
    for step, here in zip(steps, sizes, strict=False):
        seen = here.color
        for stage in step.stages:
            if stage.surveys is not None:
                making = stage.surveys(here.width, here.height).making
                survey = max(survey, seen + making)
            seen = here.pixels * _planes(size, stage) * 4
            largest = max(largest, seen)
    # Frames are surveyed before a tile of theirs is made; what a stage leaves to be looked up
    # while tiles are made is part of its bytes a px.
    render = max(largest + tiles, (plan.workers if plan.wide else 1) * survey)
    if any(s is not size for s in sizes):
        render += 2 * out.pixels  # marks of the steps before and of this one
    if plan.overlap:
        return read + render + write + out.full
    return max(read, render + (out.full - out.color), write)


def _held_bytes(
    size: FrameSize, steps: Sequence[_Step], converted: Sequence[bool], beside: int
) -> int:
    """Return the bytes of all planes that are alive at once."""
    reach = reach_of([step.stages for step in steps])
    # Frames that nobody needs twice are read as they are and never laid away.
    each = size.compact + size.pixels * 4 * beside
    held = (2 * reach.source + 2) * each if reach.source else size.pixels * 4 * beside
    sizes = _step_sizes(size, steps)
    for i, step in enumerate(steps):
        window, color = 2 * reach.step_input[i] + 1, sizes[i].color
        if i:
            held += window * color
        if step.repairs:
            after = reach.step_input[i + 1] if i + 1 < len(steps) else 0
            held += (2 * after + 1) * sizes[i].pixels * _FIXES_BYTES
        if i < len(converted) and converted[i]:
            held += window * color
        for s, stage in enumerate(step.stages[:-1]):
            bytes_ = sizes[i].pixels * _planes(size, stage) * (4 if stage.exact_output else 2)
            classes = sizes[i].pixels  # what the stage may say of each of its pixels
            held += (2 * reach.stage_output[i, s] + 1) * (bytes_ + classes)
    return held


def _survey_bytes(size: FrameSize, steps: Sequence[_Step]) -> int:
    """Return the bytes of surveys alive at once: a window of each stage, and the pairs of one."""
    frames = pairs = 0
    for step, here in zip(steps, _step_sizes(size, steps), strict=False):
        for stage in step.stages:
            if stage.surveys is not None:
                kept = stage.surveys(here.width, here.height)
                frames += kept.frame * (2 * stage.temporal_radius + 1)
                pairs = max(pairs, kept.pair * 2 * stage.temporal_radius)
    return frames + pairs


def _mib(nbytes: int) -> int:
    return -(-nbytes // MIB)
