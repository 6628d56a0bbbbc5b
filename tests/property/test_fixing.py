"""Fixes of tiles joined into one account of a frame: the same however the frame was cut."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.clips import MemoryClip, make_frame
from support.fixers import Mend, Mender
from support.operators import BoxBlur, Replicate
from wetgate.model.box import Box
from wetgate.model.errors import BackendError
from wetgate.operators.base import (
    Analysis,
    Fix,
    Judged,
    Operator,
    Provenance,
    SourceFacts,
    Window,
)
from wetgate.operators.verbs import assert_footprint_honest, judge_operator
from wetgate.render.bound import BoundStep
from wetgate.render.chain import Chain, Finished
from wetgate.render.encoding import Encoding
from wetgate.render.fixing import (
    FixedPixels,
    FrameFixes,
    StepFix,
    TileFixes,
    fixed_pixels,
    join_fixes,
    joined,
    pack,
)
from wetgate.render.memory import FrameSize, plan_memory
from wetgate.render.shelf import Shelf
from wetgate.render.store import PlaneStore
from wetgate.render.windows import Shots
from wetgate.render.workers import Workers

W, H = 23, 17


def clip(seed: int) -> MemoryClip:
    """A picture that moves to the left, under random spots of 1 and 0."""
    rng = np.random.default_rng(seed)
    wide = rng.uniform(0.2, 0.8, (H, W + 8, 3)).astype(np.float32)
    frames = {}
    for n in range(1, 6):
        picture = wide[:, n : n + W].copy()
        for _ in range(5):
            y, x = rng.integers(0, H), rng.integers(0, W - 3)
            picture[y, x : x + rng.integers(1, 4)] = rng.integers(0, 2)
        frames[n] = make_frame(n, picture)
    return MemoryClip(frames)


def finish(
    source: MemoryClip,
    operators: list[Operator],
    numbers: list[int],
    *,
    tile: tuple[int, int] = (999, 999),
    workers: int = 1,
) -> dict[int, Finished]:
    steps = [
        BoundStep(operator=op, encoding=Encoding(), strength=1.0, is_log_working=False)
        for op in operators
    ]
    store = PlaneStore(memory_limit=None)
    with Workers(workers) as pool:
        chain = Chain(
            shelf=Shelf(source, store),
            store=store,
            steps=steps,
            shots=Shots(),
            analyses=[],
            workers=pool,
            tile=tile,
        )
        out = {}
        for number in numbers:
            chain.retain([number])
            out[number] = chain.finish(number)
        chain.retain([])
    return out


def same(a: Finished, b: Finished) -> bool:
    assert a.fixes is not None and b.fixes is not None
    colors = (np.zeros(0) if f.color is None else f.color for f in (a, b))
    return (
        np.array_equal(*colors)
        and a.fixes.records == b.fixes.records
        and np.array_equal(a.fixes.made(), b.fixes.made())
        and np.array_equal(a.fixes.origins(), b.fixes.origins())
        and np.array_equal(a.fixes.plane("mend.matte"), b.fixes.plane("mend.matte"))
    )


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 99),
    tile=st.tuples(st.integers(1, W + 1), st.integers(3, H + 1)),
    workers=st.integers(1, 3),
    order=st.permutations([1, 2, 3, 4, 5]),
)
def test_tiles_workers_and_order_never_show(
    seed: int, tile: tuple[int, int], workers: int, order: list[int]
) -> None:
    source = clip(seed)
    whole = finish(source, [Mender()], [1, 2, 3, 4, 5])
    parts = finish(source, [Mender()], order, tile=tile, workers=workers)
    assert all(same(whole[n], parts[n]) for n in order)


@pytest.mark.parametrize("number", [1, 3, 5])
def test_the_engine_delivers_what_the_plain_reading_of_the_contract_does(number: int) -> None:
    source = clip(4)
    frames = {n: source.held[n].pixels for n in source.frames}
    facts = SourceFacts(sample_type="float", width=W, height=H, channels=3, is_log_working=False)
    want = judge_operator(Mender(), frames, number, facts=facts, analysis={}, tile=(7, 5))
    got = finish(source, [Mender()], [number])[number]
    assert want.fixes is not None and want.fixes.any() and got.fixes is not None
    plain = np.where(want.fixes[..., None] > 0, want.pixels, frames[number])
    assert got.color is not None and np.array_equal(got.color, plain)
    assert not np.array_equal(want.pixels, plain), "it returned other pixels beside its fixes"
    assert np.array_equal(got.fixes.made(), want.fixes)
    assert tuple(r.fix for r in got.fixes.records) == want.records
    assert want.origins is not None
    assert np.array_equal(got.fixes.origins(), np.where(want.fixes[..., None], want.origins, 0))


def test_a_step_after_keeps_the_account_and_a_larger_frame_enlarges_it() -> None:
    source = clip(5)
    alone = finish(source, [Mender()], [3])[3].fixes
    after = finish(source, [Mender(), BoxBlur()], [3])[3].fixes
    large = finish(source, [Mender(), Replicate(scale=Fraction(2))], [3])[3].fixes
    assert alone is not None and after is not None and large is not None
    assert np.array_equal(after.made(), alone.made()) and after.records == alone.records

    def twice(plane: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.repeat(np.repeat(plane, 2, axis=0), 2, axis=1)

    assert large.size == (2 * H, 2 * W)
    assert np.array_equal(large.made(), twice(alone.made()))
    assert np.array_equal(large.origins(), twice(alone.origins()) * [1, 2, 2])
    assert np.array_equal(large.plane("mend.matte"), twice(alone.plane("mend.matte")))


def fix(number: int, **facts: object) -> Fix:
    usual: dict[str, object] = {
        "number": number,
        "frame": 7,
        "anchor": (number, 0),
        "kind": "dust",
        "box": Box(number, 0, number + 1, 1),
        "area": 1,
        "polarity": 1,
        "confidence": 0.5,
        "applied": True,
        "provenance": Provenance.BORROWED,
    }
    return Fix(**{**usual, **facts})  # type: ignore[arg-type]


def tile_of(numbers: list[int], origin: float, *records: Fix) -> TileFixes:
    box = Box(0, 0, len(numbers), 1)
    maps = np.asarray([numbers], np.uint32)
    origins = np.full((1, len(numbers), 3), np.float32(origin))
    return TileFixes(box=box, pixels=fixed_pixels(maps, origins, box, 4), records=records)


def join(tile: TileFixes, step: int, before: FrameFixes | None) -> FrameFixes:
    return join_fixes([tile], size=(1, 4), step=step, label=f"s{step}", frame=7, before=before)


def test_a_px_that_is_undone_still_comes_from_where_it_came() -> None:
    first = join(tile_of([1, 1, 2, 0], 3.0, fix(1), fix(2)), 0, None)
    undone = fix(2, provenance=Provenance.REEXPOSED)
    made_up = fix(5, provenance=Provenance.INFERRED)
    both = join(tile_of([2, 5, 0, 2], 0.0, undone, made_up), 1, first)
    assert both.made().tolist() == [[4, 7, 2, 4]], "numbers go on behind those of the first step"
    assert both.origins()[0, :, 0].tolist() == [3.0, 0.0, 3.0, 0.0]
    assert [(r.step, r.number, r.id) for r in both.records] == [
        (0, 1, "s0-7-1-0"),
        (0, 2, "s0-7-2-0"),
        (1, 4, "s1-7-2-0"),
        (1, 7, "s1-7-5-0"),
    ]
    assert isinstance(both.records[0], StepFix)


def test_tiles_that_contradict_each_other_are_refused() -> None:
    one, other = tile_of([1, 0, 0, 0], 1.0, fix(1)), tile_of([0] * 4, 1.0, fix(1, area=9))
    named = replace(one, planes={"a": pack(np.zeros((1, 4), np.float32))})
    for tiles, said in (([one, other], "two things"), ([named, one], "planes")):
        with pytest.raises(BackendError, match=said):
            join_fixes(tiles, size=(1, 4), step=0, label="dirt", frame=7, before=None)
    twins = tile_of([1, 2, 0, 0], 1.0, fix(1), fix(2, anchor=(1, 0)))
    with pytest.raises(BackendError, match=r"2 fixes by the px \(1, 0\)"):
        join(twins, 0, None)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 999),
    share=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_packed_planes_read_back_bit_by_bit(seed: int, share: float, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    plane = np.where(rng.random(size) < share, rng.standard_normal(size), 0).astype(np.float32)
    plane[rng.random(size) < 0.1] = -0.0
    packed = pack(plane)
    assert packed.rows().tobytes() == plane.tobytes()
    assert packed.values.nbytes <= plane.nbytes


def test_joined_px_are_ascending_and_none_is_lost() -> None:
    a = FixedPixels(np.asarray([5, 9]), np.asarray([1, 1], np.uint32), np.ones((2, 3), np.float32))
    b = FixedPixels(np.asarray([2]), np.asarray([3], np.uint32), np.zeros((1, 3), np.float32))
    both = joined([a, b])
    assert both.at.tolist() == [2, 5, 9] and both.number.tolist() == [3, 1, 1]
    assert both.origin[:, 0].tolist() == [0, 1, 1]
    assert joined([]).at.size == 0


def test_more_planes_inside_and_planes_written_are_in_the_plan() -> None:
    size = FrameSize(width=2048, height=1556, channels=3, colors=3, sample_type="uint10")

    def peak(operator: Operator, **names: int) -> int:
        plan = plan_memory(size, [operator], budget=1 << 40, workers=1, base=0, **names)
        return plan.peak

    usual = peak(Mender(channels=3))
    wide = peak(Mender(channels=13))
    # Of the inner stage three frames are held, in float32.
    assert wide - usual >= 3 * 10 * 4 * size.pixels
    # Planes beside a frame are written after it, when the bytes of its file are gone.
    file = size.encoded * 2 // size.pixels
    assert peak(Mender(), written_beside=file) == usual
    more = peak(Mender(), written_beside=200) - peak(Mender(), written_beside=190)
    assert more == 10 * size.pixels
    assert peak(Mender(), beside=1) - usual >= 5 * 4 * size.pixels


def test_the_footprint_check_also_reads_what_is_said_of_fixes() -> None:
    source = clip(6)
    frames = {n: source.held[n].pixels for n in source.frames}
    facts = SourceFacts(sample_type="float", width=W, height=H, channels=3, is_log_working=False)
    assert_footprint_honest(Mender(), frames, 3, facts=facts)

    class Tiled(Mend):
        """Says something that depends on the tile."""

        def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Judged:
            said = super().__call__(window, analysis, facts)
            matte = said.planes["mend.matte"] + np.float32(window.tile.x0)
            return replace(said, planes={"mend.matte": matte})

    with pytest.raises(AssertionError, match=r"tiles of .* change mend\.matte"):
        assert_footprint_honest(Mender(last=Tiled()), frames, 3, facts=facts)
