"""What stages say of their pixels reaches the report, whatever the tiles."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from support.clips import MemoryClip, make_frame, moving_clip
from support.operators import Guarded, Invert, Lift, OneStage, TwoGuarded, inner
from wetgate.io.ranges import FrameRange
from wetgate.model.errors import BackendError
from wetgate.operators.base import (
    Analysis,
    Judged,
    Operator,
    Pixels,
    Provenance,
    SourceFacts,
    Window,
)
from wetgate.operators.verbs import judge_operator
from wetgate.render.bound import GENERATIVE, BoundStep, chain_reach
from wetgate.render.chain import Chain, Finished
from wetgate.render.encoding import Encoding
from wetgate.render.events import FrameReport
from wetgate.render.reporting.summary import summarize
from wetgate.render.shelf import Shelf
from wetgate.render.store import PlaneStore
from wetgate.render.windows import Shots
from wetgate.render.workers import Workers


def finish(
    clip: MemoryClip,
    operators: list[Operator],
    numbers: list[int],
    *,
    tile: tuple[int, int] = (999, 999),
    workers: int = 1,
    generative: bool = False,
) -> dict[int, Finished]:
    steps = [
        BoundStep(
            operator=operator,
            encoding=Encoding(),
            strength=1.0,
            is_log_working=False,
            generative=generative,
        )
        for operator in operators
    ]
    store = PlaneStore(memory_limit=None)
    with Workers(workers) as pool:
        shelf = Shelf(clip, store, direct=chain_reach(operators).source == 0)
        chain = Chain(
            shelf=shelf,
            store=store,
            steps=steps,
            shots=Shots(),
            analyses=[],
            workers=pool,
            tile=tile,
        )
        out = {}
        for at, number in enumerate(numbers):
            chain.retain(numbers[at : at + 1])
            out[number] = chain.finish(number)
        chain.retain([])
    return out


def ramp() -> MemoryClip:
    """Frames from 0 to 0.99 in 100 columns: above 0.5 are 49 of them."""
    row = np.arange(100, dtype=np.float32) / 100
    pixels = np.broadcast_to(row[None, :, None], (20, 100, 3)).copy()
    return MemoryClip({n: make_frame(n, pixels) for n in (1, 2, 3)})


@pytest.mark.parametrize("tile", [(999, 999), (7, 3), (100, 1)])
def test_classes_mark_pixels_and_the_share_is_that_of_pixels(tile: tuple[int, int]) -> None:
    done = finish(ramp(), [Guarded()], [1], tile=tile, workers=2)[1]
    assert done.touched is not None
    assert np.array_equal(np.unique(done.touched), [3, 5])
    assert np.array_equal(done.touched == 3, np.broadcast_to(np.arange(100) > 50, (20, 100)))
    assert done.network_off == pytest.approx(0.49)
    assert done.notes[-1] == "guarded: backend: none" or done.notes[0] == "guarded: backend: none"
    assert sorted(done.notes) == ["guarded: backend: none", "guarded: bright parts"]


def test_a_network_that_ran_everywhere_leaves_no_share() -> None:
    done = finish(ramp(), [Guarded(above=2.0)], [1])[1]
    assert done.network_off == 0.0 and done.notes == ("guarded: backend: none",)
    assert done.touched is not None and (done.touched == 5).all()


def test_only_pixels_of_the_highest_class_are_invented() -> None:
    done = finish(ramp(), [Guarded()], [1], generative=True)[1]
    assert done.touched is not None
    assert np.array_equal(np.unique(done.touched), [3, 5 | GENERATIVE])


def test_steps_after_and_before_keep_the_highest_class() -> None:
    done = finish(ramp(), [Lift(above=0.9), Guarded(), Lift(above=1.0)], [1])[1]
    assert done.touched is not None
    assert set(np.unique(done.touched)) == {3, 5}
    alone = finish(ramp(), [Guarded(above=0.0, amount=0.0), Invert()], [1])[1]
    assert alone.touched is not None
    assert (np.delete(alone.touched, 50, axis=1) == 1).all(), "only the second step changed it"
    assert (alone.touched[:, 50] == 0).all(), "1 - 0.5 is 0.5"
    assert alone.network_off == pytest.approx(0.99)


def test_notes_of_inner_stages_belong_to_their_frame_and_their_classes_do_not_count() -> None:
    whole = finish(ramp(), [TwoGuarded()], [1, 2, 3])
    for number, done in whole.items():
        assert done.notes == (f"twice: made for frame {number}",)
        assert done.network_off == 0.0 and done.touched is None
        assert finish(ramp(), [TwoGuarded()], [number])[number].notes == done.notes


@dataclass(frozen=True)
class _Relay(OneStage):
    """Passes on what the stage before said of its own pixels and of those one frame on."""

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Judged:
        tile = window.tile.within(window.region)
        before = window.previous_classes
        assert len(before) == len(window.previous) == 3
        here, there = (
            np.full(window.center.shape[:2], Provenance.INFERRED, np.uint8) if c is None else c
            for c in before[1:]
        )
        beyond = max(0, -window.region.x0)
        assert np.array_equal(here[:, :beyond], here[:, beyond + 1 : 2 * beyond + 1][:, ::-1])
        return Judged(window.previous[1][tile] + np.float32(1), np.minimum(here, there)[tile])


@dataclass(frozen=True)
class _Relayed(TwoGuarded):
    @property
    def stages(self) -> tuple[OneStage, ...]:
        return (_Odd(), _Relay(radius=1, halo=4))


@dataclass(frozen=True)
class _Odd(OneStage):
    """Has something to say of odd frames only: where they are bright."""

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Judged:
        x = window.center[inner(window)]
        classes = np.where(x[..., 0] > 0.5, Provenance.FILTERED, Provenance.INFERRED)
        return Judged(x, classes.astype(np.uint8) if window.number % 2 else None)


@pytest.mark.parametrize("tile", [(999, 999), (7, 3)])
def test_a_stage_is_told_the_classes_of_the_one_before(tile: tuple[int, int]) -> None:
    done = finish(ramp(), [_Relayed()], [1, 2, 3], tile=tile, workers=2)
    bright = np.broadcast_to(np.arange(100) > 50, (20, 100))
    for number in (1, 2, 3):  # frame 4 does not exist: frame 3 sees itself in its place
        touched = done[number].touched
        assert touched is not None and np.array_equal(touched == 3, bright)
        want = run_judged(_Relayed(), ramp(), number)
        assert np.array_equal(touched, want)
    assert done[2].network_off == pytest.approx(0.49)


def run_judged(operator: Operator, clip: MemoryClip, number: int) -> np.ndarray:
    frames = {n: clip.load(n).frame.pixels for n in clip.frames}
    height, width, channels = frames[number].shape
    facts = SourceFacts(
        sample_type="float", width=width, height=height, channels=channels, is_log_working=False
    )
    judged = judge_operator(operator, frames, number, facts=facts, analysis={})
    assert judged.classes is not None
    return judged.classes


def test_notes_do_not_depend_on_the_split() -> None:
    numbers = list(range(1, 8))
    clip = moving_clip(numbers)
    steps = [TwoGuarded(), Guarded()]
    whole = finish(clip, steps, numbers)
    back = finish(clip, steps, numbers[::-1], tile=(16, 16), workers=2)
    for number in numbers:
        assert sorted(whole[number].notes) == sorted(back[number].notes)
        assert whole[number].network_off == back[number].network_off > 0
        assert np.array_equal(whole[number].touched, back[number].touched)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Lying(OneStage):
    classes: tuple[int, ...] = (20, 100)
    value: int = 4
    kind: type = np.uint8

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels | Judged:
        return Judged(window.center.copy(), np.full(self.classes, self.value, self.kind))


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (Lying(), "class 4.*class 3"),
        (Lying(classes=(20, 99)), "classes uint8"),
        (Lying(kind=np.int64, value=1), "classes int64"),
    ],
)
def test_classes_that_cannot_be_true_are_refused(lie: Lying, said: str) -> None:
    with pytest.raises(BackendError, match=said):
        finish(ramp(), [lie], [1])


def test_pixels_left_alone_are_not_where_the_network_was_off() -> None:
    done = finish(ramp(), [_Quiet(provenance=Provenance.INFERRED)], [1])[1]
    assert done.network_off == 0.0


def test_a_changed_pixel_called_untouched_gets_the_class_of_its_step() -> None:
    done = finish(ramp(), [replace(_Quiet(), name="quiet")], [1])[1]
    assert done.touched is not None and (done.touched == 3).all()


@dataclass(frozen=True)
class _Quiet(OneStage):
    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Judged:
        return Judged(window.center + np.float32(1), np.zeros((20, 100), np.uint8))


def test_remarks_are_told_once_a_shot_with_their_frames() -> None:
    frames = [
        FrameReport(number=n, status="written", notes=("a: x",) if n != 4 else (), network_off=off)
        for n, off in ((5, 0.0), (1, 0.1), (2, 0.3), (3, 0.0), (4, 0.0), (6, 0.5))
    ]
    notes = summarize(frames, Shots((4,)))
    assert [(n.shot, n.text, n.frames) for n in notes] == [
        (0, "network switched off", FrameRange((1, 2))),
        (0, "a: x", FrameRange((1, 2, 3))),
        (1, "network switched off", FrameRange((6,))),
        (1, "a: x", FrameRange((5, 6))),
    ]
    assert notes[0].share == pytest.approx(0.2) and notes[0].most == 0.3
    assert str(notes[0]) == "frames 1-2: network switched off (20 % on average, at most 30 %)"
