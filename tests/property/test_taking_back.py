"""A rejected fix gives its pixels back, and no other pixel, record or later fix tells of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.clips import MemoryClip, make_frame
from support.operators import BoxBlur, OneStage, inner
from wetgate.model.box import Box
from wetgate.operators.base import (
    Analysis,
    Decisions,
    Fix,
    Judged,
    Operator,
    Provenance,
    SourceFacts,
    Window,
)
from wetgate.render.analysis import ClipAnalysis, FrameStamp, ShotAnalyses
from wetgate.render.bound import BoundStep
from wetgate.render.chain import Chain, Finished
from wetgate.render.decisions import DecisionsFile, decide
from wetgate.render.encoding import Encoding
from wetgate.render.resting import Resting
from wetgate.render.shelf import Shelf
from wetgate.render.store import PlaneStore
from wetgate.render.taking_back import repair_blocks
from wetgate.render.windows import Shots
from wetgate.render.workers import Workers

W, H = 19, 13
NUMBERS = (1, 2, 3, 4, 5)
Picture = NDArray[np.float32]


def repaired(window: Window, records: Sequence[Fix], new: Picture, numbers: Picture) -> Judged:
    """Return a tile whose marked px are borrowed from the frame before, or undone."""
    before = window.valid[0]
    which = numbers > 0
    origins = np.zeros((*which.shape, 3), np.float32)
    if before:
        origins[which] = -1, 0, 0
    kind = Provenance.BORROWED if before else Provenance.REEXPOSED
    return Judged(
        np.where(which[..., None], new, window.center[inner(window)]).astype(np.float32),
        classes=np.where(which, np.uint8(kind), np.uint8(0)),
        fixes=numbers.astype(np.uint32),
        origins=origins,
        records=tuple(records),
    )


def told(window: Window, number: int, box: Box, seen: float) -> Fix:
    kind = Provenance.BORROWED if window.valid[0] else Provenance.REEXPOSED
    return Fix(
        number=number,
        frame=window.number,
        anchor=(box.x0, box.y0),
        kind="dust",
        box=box,
        area=box.area,
        polarity=1,
        confidence=0.9,
        applied=True,
        provenance=kind,
        source=window.number - 1 if window.valid[0] else 0,
        facts={"seen": seen},
    )


class Repairs(OneStage):
    def decided(self, analysis: Analysis, decisions: Decisions) -> Analysis:
        return {**analysis, "decisions": dict(decisions)}


@dataclass(frozen=True)
class Lines(Repairs):
    """Takes every fifth column off, another one a frame: half of it, half of the frame before."""

    name: str = "lines"
    radius: int = 1
    provenance: Provenance = Provenance.BORROWED

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Judged:
        tile = window.tile
        columns = np.arange(tile.x0, tile.x1)
        mine = (columns + 2 * window.number) % 5 == 0
        numbers = np.broadcast_to(np.where(mine, columns + 1, 0), (tile.height, tile.width))
        here, there = window.center[inner(window)], window.pixels[0][inner(window)]
        records = [
            told(window, c + 1, Box(c, 0, c + 1, window.frame.height), float(c))
            for c in columns[mine].tolist()
        ]
        return repaired(window, records, np.float32(0.5) * (here + there), numbers)


@dataclass(frozen=True)
class Standing(Repairs):
    """Takes px for dirt that stand out from all around them, in their frame and beside it.

    What it puts there, and what it says of a px, hangs on everything within two px of it.
    """

    name: str = "standing"
    radius: int = 1
    halo: int = 2
    by: float = 0.12
    provenance: Provenance = Provenance.BORROWED

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Judged:
        sums = np.zeros(window.center.shape[:2])
        for frame in window.pixels:
            for dy in range(-2, 3):
                for dx in range(-2, 3):
                    sums += np.roll(frame[..., 0], (dy, dx), axis=(0, 1))
        mean = (sums / 75)[inner(window)]
        here = window.center[inner(window)]
        out = np.abs(here[..., 0] - mean) > self.by
        numbers = np.zeros(out.shape, np.uint32)
        records = []
        for y, x in zip(*np.nonzero(out), strict=True):
            left, top = int(x) + window.tile.x0, int(y) + window.tile.y0
            number = 1 + top * window.frame.width + left
            numbers[y, x] = number
            box = Box(left, top, left + 1, top + 1)
            records.append(told(window, number, box, float(mean[y, x])))
        new = np.repeat(mean[..., None], here.shape[2], axis=2).astype(np.float32)
        return repaired(window, records, new, numbers)


def clip(seed: int) -> dict[int, Picture]:
    rng = np.random.default_rng(seed)
    frames = {n: rng.uniform(0.3, 0.6, (H, W, 3)).astype(np.float32) for n in NUMBERS}
    for picture in frames.values():
        spots = rng.random((H, W)) < 0.08
        picture[spots] = rng.choice([np.float32(0), np.float32(1)], int(spots.sum()))[:, None]
    return frames


def finish(
    frames: dict[int, Picture],
    operators: Sequence[Operator],
    rejected: Collection[str] = (),
    *,
    order: Sequence[int] = NUMBERS,
    tile: tuple[int, int] = (999, 999),
    strengths: Sequence[float] = (),
) -> dict[int, Finished]:
    """Run steps over frames in memory, with verdicts put in as a job does."""
    source = MemoryClip({n: make_frame(n, picture) for n, picture in frames.items()})
    strengths = strengths or [1.0] * len(operators)
    steps = [
        BoundStep(operator=op, encoding=Encoding(), strength=s, is_log_working=False)
        for op, s in zip(operators, strengths, strict=True)
    ]
    measured = ClipAnalysis(
        context="", clip="", cuts=(), detected=(),
        frames={n: FrameStamp(digest=str(n)) for n in frames},
        steps=tuple(ShotAnalyses(operator=o.spec.name, version=1, shots=({},)) for o in operators),
    )  # fmt: skip
    decided = decide(measured, DecisionsFile(rejected=tuple(sorted(rejected))), operators)
    store = PlaneStore(memory_limit=None)
    with Workers(2) as pool:
        chain = Chain(
            shelf=Shelf(source, store),
            store=store,
            steps=steps,
            shots=Shots(),
            analyses=decided.steps,
            workers=pool,
            tile=tile,
        )
        done = {}
        for number in order:
            chain.retain([number])
            done[number] = chain.finish(number)
        chain.retain([])
    return done


def colors(done: dict[int, Finished], frames: dict[int, Picture]) -> dict[int, Picture]:
    return {n: frames[n] if f.color is None else f.color.copy() for n, f in done.items()}


def ids_of(done: dict[int, Finished]) -> dict[str, tuple[int, int]]:
    """Frame and number of every fix by its id."""
    return {r.id: (n, r.number) for n, f in done.items() if f.fixes for r in f.fixes.records}


def some(done: dict[int, Finished], seed: int, share: float) -> frozenset[str]:
    rng = np.random.default_rng(seed)
    return frozenset(name for name in sorted(ids_of(done)) if rng.random() < share)


def assert_taken_back(
    before: dict[int, Finished],
    after: dict[int, Finished],
    rejected: Collection[str],
    *,
    was: dict[int, Picture],
    now: dict[int, Picture],
    beneath: dict[int, Picture],
) -> None:
    """Hold one run to another, px by px: what only the verdicts may do to it."""
    known = ids_of(before)
    for number, old in before.items():
        new = after[number]
        assert old.fixes is not None and new.fixes is not None
        gone = np.isin(old.fixes.made(), [known[i][1] for i in rejected if known[i][0] == number])
        assert np.array_equal(now[number], np.where(gone[..., None], beneath[number], was[number]))
        made = np.where(gone, np.uint32(0), old.fixes.made())
        assert np.array_equal(new.fixes.made(), made)
        origins = np.where(gone[..., None], np.float32(0), old.fixes.origins())
        assert np.array_equal(new.fixes.origins(), origins)
        assert len(new.fixes.records) == len(old.fixes.records)
        for mine, theirs in zip(new.fixes.records, old.fixes.records, strict=True):
            if mine.id in rejected:
                assert (mine.fix.applied, mine.fix.why) == (False, "rejected")
                assert (mine.fix.provenance, mine.fix.source) == (Provenance.UNTOUCHED, 0)
                assert (mine.number, mine.fix.box) == (theirs.number, theirs.fix.box)
            else:
                assert mine == theirs
        if new.touched is not None and old.touched is not None:
            assert np.array_equal(new.touched, np.where(gone, np.uint8(0), old.touched))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 999),
    share=st.sampled_from([0.02, 0.3, 1.0]),
    tile=st.tuples(st.integers(3, W + 1), st.integers(3, H + 1)),
    order=st.permutations(NUMBERS),
)
def test_a_verdict_moves_the_px_of_its_fix_and_no_other(
    seed: int, share: float, tile: tuple[int, int], order: list[int]
) -> None:
    frames, steps = clip(seed), [Lines(), Standing()]
    before = finish(frames, steps)
    rejected = some(before, seed, share)
    after = finish(frames, steps, rejected, order=order, tile=tile)
    assert_taken_back(
        before, after, rejected,
        was=colors(before, frames), now=colors(after, frames), beneath=frames,
    )  # fmt: skip


def test_the_steps_would_see_each_others_fixes() -> None:
    """What the property rests on: fixes cross, and the later step hangs on the earlier one."""
    frames = clip(3)
    alone, both = finish(frames, [Standing()]), finish(frames, [Lines(), Standing()])
    lines = finish(frames, [Lines()])
    crossed = 0
    for n in NUMBERS:
        one, two, first = alone[n].fixes, both[n].fixes, lines[n].fixes
        assert one is not None and two is not None and first is not None
        count = len(first.records)
        assert [r.fix for r in two.records[count:]] != [r.fix for r in one.records]
        crossed += int(np.count_nonzero((first.made() > 0) & (two.made() > count)))
    assert crossed > 5


def test_a_line_that_all_its_px_were_repaired_upon_again_leaves_them_be() -> None:
    """A pixel belongs to its last fix: rejecting the one beneath it changes nothing there."""
    frames = clip(3)
    frames[3][...] = 1.0  # every px stands out from the frames beside it
    steps = [Lines(), Standing(by=0.0)]
    before = finish(frames, steps)
    lines = frozenset(i for i in ids_of(before) if i.startswith("lines-3-"))
    assert lines
    after = finish(frames, steps, lines)
    assert all(np.array_equal(colors(after, frames)[n], colors(before, frames)[n]) for n in NUMBERS)


def test_steps_of_another_kind_see_what_was_taken_back() -> None:
    frames = clip(8)
    repairs, steps = [Lines(), Standing()], [Lines(), Standing(), BoxBlur()]
    rejected = some(finish(frames, repairs), 5, 0.4)
    inner_ = colors(finish(frames, repairs, rejected), frames)
    want = colors(finish(inner_, [BoxBlur()]), inner_)
    got = finish(frames, steps, rejected)
    assert all(np.array_equal(colors(got, frames)[n], want[n]) for n in NUMBERS)


def test_behind_another_step_a_px_goes_back_to_what_that_step_made() -> None:
    frames = clip(9)
    blurred = colors(finish(frames, [BoxBlur()]), frames)
    steps = [BoxBlur(), Lines(), Standing(by=0.02)]
    before = finish(frames, steps)
    rejected = some(before, 2, 0.4)
    assert any(i.startswith("lines") for i in rejected) and len(rejected) > 20
    after = finish(frames, steps, rejected)
    known = ids_of(before)
    for n in NUMBERS:
        made = before[n].fixes
        assert made is not None
        gone = np.isin(made.made(), [known[i][1] for i in rejected if known[i][0] == n])
        was, now = colors(before, frames)[n], colors(after, frames)[n]
        assert gone.any()
        assert np.array_equal(now, np.where(gone[..., None], blurred[n], was))
        marks = after[n].touched
        assert marks is not None and (marks[gone] == Provenance.FILTERED).all()


def test_beneath_a_fix_of_a_later_block_the_earlier_one_shows_again() -> None:
    frames = clip(10)
    first = [Lines(), BoxBlur()]
    steps = [*first, Standing(by=0.0)]
    before = finish(frames, steps)
    gone = frozenset(i for i in ids_of(before) if i.startswith("standing"))
    after = finish(frames, steps, gone)
    alone = finish(frames, first)
    for n in NUMBERS:
        mine, theirs = after[n].fixes, alone[n].fixes
        assert mine is not None and theirs is not None
        assert np.array_equal(colors(after, frames)[n], colors(alone, frames)[n])
        assert np.array_equal(mine.made(), theirs.made()) and theirs.made().any()
        assert np.array_equal(mine.origins(), theirs.origins())


def test_a_frame_without_a_fix_left_is_the_source() -> None:
    frames = clip(11)
    steps = [Lines(), Standing()]
    every = frozenset(ids_of(finish(frames, steps)))
    after = finish(frames, steps, every)
    assert all(f.color is None for f in after.values())
    assert all(f.touched is None or not f.touched.any() for f in after.values())


@pytest.mark.parametrize(
    ("make", "strengths", "blocks"),
    [
        (lambda: [Lines(), Standing()], [1, 1], {1: 0}),
        (lambda: [BoxBlur(), Lines(), Standing(), BoxBlur()], [1, 1, 1, 1], {2: 1}),
        (lambda: [Lines(), BoxBlur(), Standing()], [1, 1, 1], {0: 0, 2: 2}),
        (lambda: [Lines(), Resting("b", 1), Standing()], [1, 0, 1], {2: 0}),
        (lambda: [Lines(), Standing(), Resting("b", 1), BoxBlur()], [1, 1, 0, 1], {1: 0}),
        (lambda: [BoxBlur()], [1], {}),
    ],
)
def test_a_block_goes_on_over_steps_that_rest(
    make: Callable[[], list[Operator]], strengths: list[float], blocks: dict[int, int]
) -> None:
    operators = make()
    steps = [
        BoundStep(operator=op, encoding=Encoding(), strength=s, is_log_working=False)
        for op, s in zip(operators, strengths, strict=True)
    ]
    assert repair_blocks(steps) == blocks
    frames = clip(12)
    before = finish(frames, operators, strengths=strengths)
    rejected = some(before, 6, 0.3)
    after = finish(frames, operators, rejected, strengths=strengths)
    if blocks in ({1: 0}, {2: 0}) and not any(isinstance(o, BoxBlur) for o in operators):
        assert_taken_back(
            before, after, rejected,
            was=colors(before, frames), now=colors(after, frames), beneath=frames,
        )  # fmt: skip
