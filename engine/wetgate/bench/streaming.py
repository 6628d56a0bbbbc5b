"""Run an operator over frames in memory and say what one frame of a long shot costs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from wetgate.model.box import Box
from wetgate.operators.base import (
    Analysis,
    FrameSurvey,
    Judged,
    Operator,
    PairSurvey,
    Pixels,
    SourceFacts,
    Stage,
    Window,
)
from wetgate.render.store import DirectPlane
from wetgate.render.windows import gather

_HALF_LIMIT = np.float32(65504)


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """What came out of a run.

    Attributes:
        frames: result by frame number, working encoding.
        cpu_seconds: CPU time of one more frame in a long shot: every stage and survey once.
        analysis_seconds: CPU time of the analysis of the whole shot.
        stage_seconds: what each stage has of `cpu_seconds`, its surveys included.
        judged: all that the last stage said, by frame number.
    """

    frames: Mapping[int, Pixels]
    analysis: Analysis
    cpu_seconds: float
    analysis_seconds: float
    stage_seconds: tuple[float, ...] = ()
    judged: Mapping[int, Judged] = field(default_factory=dict)


@dataclass(slots=True)
class _Clock:
    """CPU time (every thread of the process) and how often it was taken."""

    total: float = 0.0
    count: int = 0
    _since: float = field(default=0.0)

    def __enter__(self) -> None:
        self._since = time.process_time()

    def __exit__(self, *_: object) -> None:
        self.total += time.process_time() - self._since
        self.count += 1

    @property
    def mean(self) -> float:
        return self.total / max(self.count, 1)


def run_streaming(
    operator: Operator,
    frames: Mapping[int, Pixels],
    wanted: Sequence[int],
    facts: SourceFacts,
    planes: Mapping[int, Mapping[str, Pixels]] | None = None,
) -> Streamed:
    """Analyse the shot, then run all stages, each output of a stage made once and shared.

    Stage outputs are rounded to half between stages where the engine does so. Whole frames, no
    tiles: by the operator contract the bits are those of any tiling.

    Args:
        frames: the shot by frame number, working encoding.
        wanted: numbers of the frames to return.
        planes: named planes `(h, w, 1)` of frames by number, for `Window.planes`.
    """
    whole = _Clock()
    with whole:
        analysis = operator.analyse(lambda n: frames[n], sorted(frames), facts)
    spent: list[float] = []
    current, said = frames, dict[int, Judged]()
    for index, stage in enumerate(operator.stages):
        later = sum(s.footprint.temporal_radius for s in operator.stages[index + 1 :])
        numbers = [n for n in sorted(frames) if any(abs(n - w) <= later for w in wanted)]
        previous = None if index == 0 else current
        said, seconds = _run_stage(stage, frames, previous, numbers, analysis, facts, planes or {})
        spent.append(seconds)
        outputs = {n: judged.pixels for n, judged in said.items()}
        last = index == len(operator.stages) - 1
        keep = last or stage.footprint.exact_output
        current = outputs if keep else {n: _as_half(o) for n, o in outputs.items()}
    return Streamed(
        frames=current,
        analysis=analysis,
        cpu_seconds=sum(spent),
        analysis_seconds=whole.total,
        stage_seconds=tuple(spent),
        judged=said,
    )


def _as_half(pixels: Pixels) -> Pixels:
    return np.clip(pixels, -_HALF_LIMIT, _HALF_LIMIT).astype(np.float16).astype(np.float32)


def _run_stage(
    stage: Stage,
    frames: Mapping[int, Pixels],
    previous: Mapping[int, Pixels] | None,
    numbers: Sequence[int],
    analysis: Analysis,
    facts: SourceFacts,
    planes: Mapping[int, Mapping[str, Pixels]],
) -> tuple[dict[int, Judged], float]:
    radius, halo = stage.footprint.temporal_radius, stage.footprint.halo
    seen = frames if previous is None else previous
    surveys: dict[int, FrameSurvey | None] = {}
    pairs: dict[tuple[int, int], PairSurvey] = {}
    frame_clock, pair_clock, stage_clock = _Clock(), _Clock(), _Clock()

    def survey(n: int) -> FrameSurvey | None:
        if n not in surveys:
            with frame_clock:
                surveys[n] = stage.survey_frame(seen[n], analysis, facts)
        return surveys[n]

    def pair(a: int, b: int | None) -> PairSurvey | None:
        if b is None or a == b:
            return None
        if (a, b) not in pairs:
            here, there = survey(a), survey(b)
            if here is None or there is None:
                return None
            with pair_clock:
                pairs[a, b] = stage.survey_pair(here, there)
        return pairs[a, b]

    box = Box.of_size(facts.width, facts.height)
    region = box.grown(halo)

    def cut(pixels: Pixels) -> Pixels:
        return gather(DirectPlane(pixels), region)

    outputs: dict[int, Judged] = {}
    for number in numbers:
        around = [n if n in seen else None for n in range(number - radius, number + radius + 1)]
        used = [number if n is None else n for n in around]
        forward = tuple(pair(number, n) for n in around)
        with stage_clock:
            # As the engine cuts a tile: every frame once, however often the window repeats it.
            if stage.footprint.center_only:
                inputs, before = dict.fromkeys(used, cut(frames[number])), {}
            else:
                inputs = {n: cut(frames[n]) for n in set(used)}
                before = {} if previous is None else {n: cut(previous[n]) for n in set(used)}
            window = Window(
                number=number,
                pixels=tuple(inputs[n] for n in used),
                previous=tuple(before[n] for n in used) if before else (),
                valid=tuple(n is not None for n in around),
                pairs=forward,
                region=region,
                tile=box,
                frame=box,
                survey=survey(number),
                planes={name: cut(plane) for name, plane in planes.get(number, {}).items()},
            )
            result = stage(window, analysis, facts)
            outputs[number] = result if isinstance(result, Judged) else Judged(result)
    steady = stage_clock.mean + frame_clock.mean + 2 * radius * pair_clock.mean
    return outputs, steady
