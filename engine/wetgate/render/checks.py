"""What is refused before the first frame: sizes, frames that do not exist, unsafe targets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from wetgate.io.ranges import FrameRange
from wetgate.io.sequence import FrameSequence, same_file_tree
from wetgate.model.errors import (
    BackendError,
    OutputError,
    RecipeError,
    TargetExists,
    UsageError,
)
from wetgate.operators.base import Operator, Resamples
from wetgate.recipe import Recipe
from wetgate.render.manifest import CONTROL, DONE, FrameRecord, Journal
from wetgate.render.options import JobOptions
from wetgate.render.planes import FOLDER
from wetgate.render.source import SourceClip


def check_sizes(recipe: Recipe, operators: Sequence[Operator], *, has_matte: bool) -> None:
    """Refuse what cannot be blended, and operators that do not scale as they declare.

    Raises:
        RecipeError: naming the step. BackendError: naming the operator.
    """
    for index, (step, operator) in enumerate(zip(recipe.steps, operators, strict=True)):
        spec = operator.spec
        scale = spec.footprint.scale
        scales = [stage.footprint.scale for stage in operator.stages]
        if scale <= 0 or scales != [Fraction(1)] * (len(scales) - 1) + [scale]:
            raise BackendError(
                f"operator {spec.name!r} scales by {scale}, its stages by "
                f"{', '.join(map(str, scales))}",
                expected="stages that keep the size, and a last one that has the whole scale",
            )
        last = operator.stages[-1].footprint.planes
        if last is not None:
            raise BackendError(
                f"operator {spec.name!r} says that its last stage returns {last} channels",
                expected="as many as the frame has: planes None",
            )
        blends = step.strength != 1.0 or has_matte
        if scale != 1 and blends and not isinstance(operator, Resamples):
            how = "a matte" if has_matte else f"a strength of {step.strength:g}"
            raise RecipeError(
                f"steps[{index}]: operator {spec.name!r} scales by {scale} and cannot do so with "
                f"{how}",
                expected="all of it everywhere: it has no plain way to change the size to blend in",
                remedy="set its strength to 1 and pass no matte",
            )


def choose_frames(options: JobOptions, clip: SourceClip) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the numbers to render, and those that were meant but have no file."""
    asked = options.frame_range
    here = set(clip.sequence.numbers)
    if asked is not None:
        wanted = tuple(n for n in asked if n in here)
        absent = tuple(n for n in asked if n not in here)
    else:
        wanted = tuple(clip.sequence.numbers)
        absent = () if is_stepped(wanted) else tuple(sorted(clip.missing))
    if not wanted:
        raise UsageError(
            f"none of the frames {asked} exists",
            path=clip.sequence.directory / clip.sequence.pattern,
            expected=f"frames of {FrameRange(tuple(clip.sequence.numbers))}",
        )
    return wanted, absent


def is_stepped(numbers: Sequence[int]) -> bool:
    """Whether the plate is numbered in even steps, so that its gaps are meant."""
    steps = {b - a for a, b in pairwise(numbers)}
    return len(steps) == 1 and len(numbers) > 2


def check_target(
    options: JobOptions, source: FrameSequence, target: FrameSequence, wanted: Sequence[int]
) -> None:
    """Refuse a target in the source's directory, or with frames that nobody may replace.

    Raises:
        OutputError, TargetExists: saying which and what to do.
    """
    for folder in (target.directory, target.directory / CONTROL, target.directory / FOLDER):
        if same_file_tree(source.directory, folder):
            raise OutputError(
                "the output lies in the directory of the source",
                path=folder,
                expected="another directory; sources are never written to",
            )
    for origin, number in _link_origins(source).items():
        if same_file_tree(origin, target.directory):
            raise OutputError(
                f"frame {number} of the source is a link that leads there",
                path=target.directory,
                expected="another directory; sources are never written to",
            )
    records = list(Journal(target.directory / CONTROL).records())
    _check_one_sequence(records, target)
    if options.overwrite:
        return
    there = [n for n in wanted if os.path.lexists(target.path(n))]
    if options.resume:
        known = {record.file for record in records}
        there = [n for n in there if target.name(n) not in known]
    if there:
        stray = "frames that no journal knows" if options.resume else "frames"
        raise TargetExists(
            f"{len(there)} {stray} are already there, first {target.name(there[0])}",
            path=target.directory,
            remedy="pass --overwrite to replace them"
            + ("" if options.resume else ", --resume to go on, or choose another output"),
        )


def _check_one_sequence(records: Sequence[FrameRecord], target: FrameSequence) -> None:
    """Refuse a second sequence: its lines would take the place of the first one's, by number."""
    for record in records:
        stranger = record.status in DONE and record.file != target.name(record.frame)
        if stranger and os.path.lexists(target.directory / record.file):
            raise TargetExists(
                f"another restored sequence is there, with {record.file}",
                path=target.directory,
                expected=target.name(record.frame),
                remedy="choose another output directory",
            )


def _link_origins(source: FrameSequence) -> dict[Path, int]:
    """Return the directories that frames lie in by way of links, each with one such frame."""
    found: dict[Path, int] = {}
    for number in source.numbers:
        path = source.path(number)
        if path.is_symlink():
            found.setdefault(Path(os.path.realpath(path)).parent, number)
    return found
