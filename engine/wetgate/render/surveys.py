"""What stages measured on whole frames and pairs of them, kept while a window may need it."""

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
    """Makes surveys once and drops them when no window is left that reads them.

    Args:
        wide: whether whole frames may be surveyed side by side.
    """

    def __init__(self, workers: Workers, *, wide: bool) -> None:
        self._workers = workers
        self._wide = wide
        self._frames: dict[tuple[StageKey, int], FrameSurvey | None] = {}
        self._pairs: dict[tuple[StageKey, int, int], PairSurvey] = {}
        self._resting: set[tuple[StageKey, int]] = set()
        self._made: set[tuple[StageKey, int]] = set()

    def pairs(self, window: SurveyedWindow) -> tuple[Pairs, Pairs]:
        """Return the surveys of the center against each frame, and of each against the center."""
        key, number = window.key, window.number
        self._survey_frames(window)
        others = [n for n in window.around if n is not None and n != number]
        todo = []
        for a, b in [(number, n) for n in others] + [(n, number) for n in others]:
            here, there = self._frames[key, a], self._frames[key, b]
            if here is not None and there is not None and (key, a, b) not in self._pairs:
                todo.append((a, b, here, there))

        def survey(pair: tuple[int, int, FrameSurvey, FrameSurvey]) -> PairSurvey:
            return window.stage.survey_pair(pair[2], pair[3])

        made = self._workers.map(survey, todo, side_by_side=self._wide)
        for (a, b, _, _), result in zip(todo, made, strict=True):
            self._pairs[key, a, b] = result

        def found(a: int | None, b: int | None) -> PairSurvey | None:
            return None if a is None or b is None else self._pairs.get((key, a, b))

        return (
            tuple(found(number, n) for n in window.around),
            tuple(found(n, number) for n in window.around),
        )

    def window_done(self, key: StageKey, number: int) -> None:
        """Note that a stage's output exists; a pair with both outputs made is not read again."""
        self._made.add((key, number))
        for pair in [p for p in self._pairs if p[0] == key and number in p[1:]]:
            if (key, pair[1]) in self._made and (key, pair[2]) in self._made:
                del self._pairs[pair]

    def retain(self, near: Callable[[StageKey, int], bool]) -> None:
        """Drop what belongs to frames that are not near any upcoming output."""
        self._frames = {k: v for k, v in self._frames.items() if near(*k)}
        self._made = {k for k in self._made if near(*k)}
        self._pairs = {
            k: v for k, v in self._pairs.items() if near(k[0], k[1]) and near(k[0], k[2])
        }

    def _survey_frames(self, window: SurveyedWindow) -> None:
        key = window.key
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
