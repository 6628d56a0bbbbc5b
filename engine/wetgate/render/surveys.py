"""What stages measure on whole frames, kept while a window may need it, and on pairs of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from wetgate.operators.base import Analysis, FrameSurvey, PairSurvey, SourceFacts, Stage
from wetgate.render.store import Plane
from wetgate.render.workers import Workers

StageKey = tuple[int, int]
"""Index of the step, index of the stage."""

Pairs = tuple[PairSurvey | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyedWindow:
    """The window whose surveys are wanted.

    Attributes:
        around: the frame numbers in order, None where a neighbor is not valid.
        planes: what the stage builds on, for every valid frame.
        shot: index of the shot they are in.
    """

    key: StageKey
    stage: Stage
    number: int
    shot: int
    around: Sequence[int | None]
    planes: Mapping[int, Plane]
    analysis: Analysis
    facts: SourceFacts


class Surveys:
    """Makes the survey of a frame once for windows in order, and keeps those of one at a time.

    Args:
        wide: whether whole frames may be surveyed side by side.
    """

    def __init__(self, workers: Workers, *, wide: bool) -> None:
        self._workers = workers
        self._wide = wide
        self._frames: dict[tuple[StageKey, int], FrameSurvey | None] = {}
        self._resting: set[tuple[StageKey, int]] = set()

    def pairs(self, window: SurveyedWindow) -> Pairs:
        """Return the surveys of the center against each frame of the window."""
        self._survey_frames(window)
        center = self._frames[window.key, window.number]

        def survey(number: int | None) -> PairSurvey | None:
            if number is None or number == window.number or center is None:
                return None
            there = self._frames[window.key, number]
            return None if there is None else window.stage.survey_pair(center, there)

        return tuple(self._workers.map(survey, window.around, side_by_side=self._wide))

    def of_center(self, window: SurveyedWindow) -> FrameSurvey | None:
        """Return the survey of the center frame, once `pairs` has made it."""
        return self._frames[window.key, window.number]

    def retain(self, near: Callable[[StageKey, int], bool]) -> None:
        """Drop what belongs to frames that are not near any upcoming output."""
        self._frames = {k: v for k, v in self._frames.items() if near(*k)}

    def _survey_frames(self, window: SurveyedWindow) -> None:
        key = window.key
        # Windows come in the order of frames, so what lies outside this one is not asked for
        # again; where they do not it is made once more.
        near = {n for n in window.around if n is not None}
        self._frames = {k: v for k, v in self._frames.items() if k[0] != key or k[1] in near}
        todo = [n for n in window.planes if (key, n) not in self._frames]
        if (key, window.shot) in self._resting:
            self._frames.update({(key, n): None for n in todo})
            return

        def survey(number: int) -> FrameSurvey | None:
            plane = window.planes[number]
            whole = plane.rows(0, plane.shape[0])
            return window.stage.survey_frame(whole, window.analysis, window.facts)

        made = self._workers.map(survey, todo, side_by_side=self._wide)
        for number, result in zip(todo, made, strict=True):
            self._frames[key, number] = result
            if result is None:
                # None means that the stage needs no survey in this shot, not this frame alone.
                self._resting.add((key, window.shot))
