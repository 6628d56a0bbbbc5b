"""Steps that change the size: the same bits whatever the split, and the right pixels."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clips import MemoryClip, make_frame, moving_clip, texture, to_codes
from support.operators import BoxBlur, CopyOut, Enlarged, Halve, Lift, Paired, Replicate
from wetgate.model.box import Box
from wetgate.model.frame import Frame
from wetgate.operators.base import Operator, Pixels, Provenance, SourceFacts
from wetgate.operators.verbs import assert_footprint_honest, run_operator
from wetgate.render.analysis import ShotAnalyses
from wetgate.render.bound import BoundStep, chain_reach
from wetgate.render.canvas import Canvas, ResizedPlane, linear_taps, sizes_of
from wetgate.render.chain import Chain, Finished
from wetgate.render.encoding import Encoding
from wetgate.render.frames import kernel_of, resized_frame
from wetgate.render.memory import FrameSize, plan_memory
from wetgate.render.shelf import Shelf
from wetgate.render.store import DirectPlane, PlaneStore
from wetgate.render.windows import Shots
from wetgate.render.workers import Workers

LOG = Encoding(signed_log=True)
HALF = Fraction(1, 2)


def step(operator: Operator, *, log: bool = False, strength: float = 1.0) -> BoundStep:
    return BoundStep(
        operator=operator,
        encoding=LOG if log else Encoding(),
        strength=strength,
        is_log_working=log,
    )


def render(
    clip: MemoryClip,
    steps: Sequence[BoundStep],
    numbers: Sequence[int],
    *,
    workers: int = 1,
    tile: tuple[int, int] = (1000, 1000),
    memory: int | None = None,
    scratch: Path | None = None,
    mattes: dict[int, Pixels] | None = None,
) -> dict[int, tuple[Frame, Finished]]:
    store = PlaneStore(memory_limit=memory, scratch=scratch)
    analyses: list[ShotAnalyses] = []
    out = {}
    with Workers(workers) as pool:
        shelf = Shelf(
            clip,
            store,
            direct=chain_reach([s.operator for s in steps]).source == 0,
            matte=(lambda n, _size: mattes[n]) if mattes else None,
        )
        chain = Chain(
            shelf=shelf, store=store, steps=steps, shots=Shots((1004,)), analyses=analyses,
            workers=pool, tile=tile,
        )  # fmt: skip
        for i, bound in enumerate(steps):
            measured = tuple(
                bound.operator.analyse(
                    lambda n, i=i: chain.read_working(i, n),  # type: ignore[misc]
                    shot,
                    chain.frame_facts(i, clip.frames[0]),
                )
                for shot in Shots((1004,)).split(clip.frames)
                if shot
            )
            analyses.append(
                ShotAnalyses(operator=bound.operator.spec.name, version=1, shots=measured)
            )
        for at, number in enumerate(numbers):
            chain.retain(numbers[at : at + 1])
            done = chain.finish(number)
            assert done.color is not None
            out[number] = resized_frame(shelf.get(number), done.color, chain.sizes), done
        chain.retain([])
        assert store._used == 0, "every plane is given back"
    return out


def same(a: dict[int, tuple[Frame, Finished]], b: dict[int, tuple[Frame, Finished]]) -> bool:
    for n in a.keys() & b.keys():
        (one, ones), (two, twos) = a[n], b[n]
        if one.pixels.tobytes() != two.pixels.tobytes() or one.data_window != two.data_window:
            return False
        if (ones.touched is None) != (twos.touched is None):
            return False
        if ones.touched is not None and not np.array_equal(ones.touched, twos.touched):
            return False
        if sorted(ones.notes) != sorted(twos.notes) or ones.network_off != twos.network_off:
            return False
    return bool(a.keys() & b.keys())


CHAINS = {
    "twice": lambda: [step(Replicate())],
    "half": lambda: [step(Halve())],
    "net": lambda: [step(Enlarged(), log=True)],
    "blended": lambda: [step(Enlarged(), log=True, strength=0.25)],
    "there and back": lambda: [step(Paired()), step(Enlarged()), step(BoxBlur()), step(Halve())],
    "fourfold": lambda: [step(Replicate()), step(Lift(above=0.5)), step(Replicate())],
    "quarter": lambda: [step(Halve(), log=True), step(Paired(halo=1)), step(Halve())],
}


@pytest.mark.parametrize("name", CHAINS)
def test_split_order_tiles_threads_and_memory_never_show(name: str, tmp_path: Path) -> None:
    numbers = [1002, 1003, 1004, 1005]
    sample_type = "half" if len(name) % 2 else "uint10"
    clip = overscanned(moving_clip(numbers, sample_type=sample_type))  # type: ignore[arg-type]
    steps = CHAINS[name]()
    whole = render(clip, steps, numbers)
    shuffled = random.Random(7).sample(numbers, len(numbers))
    others = {
        "shuffled": render(clip, steps, shuffled, workers=2, tile=(16, 16)),
        "odd tiles": render(clip, steps, numbers[::-1], memory=30_000, tile=(33, 15)),
        "alone, from scratch files": render(clip, steps, [1003], memory=0, scratch=tmp_path),
    }
    for how, got in others.items():
        assert same(whole, got), how


def overscanned(clip: MemoryClip) -> MemoryClip:
    """Move the picture: 53 x 37 px from (-4, 3) around a display window from (-1, 2)."""
    held = {
        n: replace(f, data_window=Box(-4, 3, 49, 40), display_window=Box(-1, 2, 46, 37))
        for n, f in clip.held.items()
    }
    return MemoryClip(held)


def test_windows_are_scaled_about_the_corner_of_the_display_window() -> None:
    canvas = Canvas(Box(-4, 3, 49, 40), Box(-1, 2, 46, 37))
    twice = sizes_of([Fraction(2)]).output(canvas)
    assert twice == Canvas(Box(-7, 4, 99, 78), Box(-1, 2, 93, 72))
    # Halving needs even distances from (-1, 2): x from -5, y to 40; the rest is grown.
    half = sizes_of([HALF]).output(canvas)
    assert half == Canvas(Box(-3, 2, 24, 21), Box(-1, 2, 23, 20))
    assert sizes_of([Fraction(2), HALF]).output(canvas) == canvas
    frame, _ = render(overscanned(moving_clip([1001])), CHAINS["half"](), [1001])[1001]
    assert Canvas(frame.data_window, frame.display_window) == half


@given(
    st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 40), st.integers(1, 40),
    st.sampled_from([Fraction(1, 4), HALF, Fraction(2), Fraction(3, 2), Fraction(4)]),
)  # fmt: skip
def test_a_scaled_window_holds_the_whole_picture_and_less_than_a_pixel_more(
    x: int, y: int, width: int, height: int, scale: Fraction
) -> None:
    display = Box(3, -2, 103, 70)
    box = Box(x, y, x + width, y + height)
    made = sizes_of([scale]).output(Canvas(box, display)).data
    for new, old, corner, sign in (
        (made.x0, box.x0, 3, 1), (made.y0, box.y0, -2, 1),
        (made.x1, box.x1, 3, -1), (made.y1, box.y1, -2, -1),
    ):  # fmt: skip
        over = sign * ((old - corner) * scale - (new - corner))
        assert 0 <= over < max(scale.numerator, 1), "grown by less than one unit of the grid"


def test_halving_is_the_mean_of_four_px_of_the_display_grid() -> None:
    clip = overscanned(moving_clip([1001], sample_type="float"))
    (got, done), x = render(clip, CHAINS["half"](), [1001])[1001], clip.held[1001].pixels
    # By the plain words: grow by reflection to (-5, 2) .. (49, 40), then average.
    grown = np.pad(x, ((1, 0), (1, 0), (0, 0)), mode="reflect").astype(np.float64)
    want = grown.reshape(19, 2, 27, 2, 3).mean(axis=(1, 3))
    assert np.abs(got.pixels - want).max() < 1e-6
    assert done.mark == Provenance.RESAMPLED and done.touched is None


@pytest.mark.parametrize("kind", ["uint10", "half"])
def test_replicating_keeps_every_code(kind: str) -> None:
    clip = overscanned(moving_clip([1001], sample_type=kind))  # type: ignore[arg-type]
    got, _ = render(clip, CHAINS["fourfold"](), [1001], tile=(16, 8))[1001]
    x = clip.held[1001].pixels
    x = np.where(x > 0.5, x + np.float32(0.125), x).repeat(4, axis=0).repeat(4, axis=1)
    assert np.array_equal(got.pixels, x)


def test_the_engine_agrees_with_the_plainest_reading_of_the_contract() -> None:
    numbers = [1001, 1002, 1003]
    clip = moving_clip(numbers, width=52, height=36, sample_type="float")
    got, _ = render(clip, [step(Enlarged())], [1002], tile=(16, 16))[1002]
    facts = SourceFacts(sample_type="float", width=52, height=36, channels=3, is_log_working=False)
    frames = {n: clip.held[n].pixels for n in numbers}
    want = run_operator(Enlarged(), frames, 1002, facts=facts)
    assert np.array_equal(got.pixels, want)
    for operator in (Enlarged(), Replicate(), Halve()):
        assert_footprint_honest(operator, frames, 1002, facts=facts)


@pytest.mark.parametrize("operator", [Replicate(), CopyOut()])
@pytest.mark.parametrize("log", [False, True])
def test_no_value_is_clamped(operator: Operator, log: bool) -> None:
    x = np.geomspace(1e-4, 1000, 24 * 32 * 3, dtype=np.float32).reshape(24, 32, 3)
    x[::3] = -np.geomspace(1e-6, 0.05, x[::3].size, dtype=np.float32).reshape(x[::3].shape)
    x = x.astype(np.float16).astype(np.float32)
    clip = MemoryClip({1001: make_frame(1001, x, sample_type="half")})
    got = render(clip, [step(operator, log=log), step(Replicate())], [1001])[1001][0].pixels
    times = 4 if operator.spec.footprint.scale == 2 else 2
    want = x.repeat(times, axis=0).repeat(times, axis=1)
    if log and times == 4:  # through the logarithm and back, with no source to add a delta to
        assert np.abs(got - want).max() <= 2e-6 * 1000
        assert np.allclose(got, want, rtol=2e-6, atol=1e-8)
    else:
        assert np.array_equal(got, want)


def test_what_is_not_finite_stays_and_is_counted() -> None:
    x = texture(1, 32, 24)
    x[5, 7] = np.nan
    x[9, 3, 1] = np.inf
    clip = MemoryClip({1001: make_frame(1001, x)})
    got, done = render(clip, [step(Enlarged(), log=True)], [1001], tile=(8, 8))[1001]
    bad = ~np.isfinite(got.pixels).all(axis=-1)
    want = np.zeros((48, 64), bool)
    want[10:12, 14:16] = want[18:20, 6:8] = True
    assert np.array_equal(bad, want) and got.non_finite is not None
    assert np.array_equal(got.non_finite, want)
    assert np.isposinf(got.pixels[18, 6, 1]) and got.pixels[18, 6, 0] == x[9, 3, 0]
    assert any("8 pixels stay not finite" in note for note in done.notes)


def test_strength_and_matte_blend_with_the_plain_way() -> None:
    clip = moving_clip([1001], width=32, height=24, sample_type="float")
    x = clip.held[1001].pixels
    operator = Enlarged(radius=0)
    full = render(clip, [step(operator)], [1001])[1001][0].pixels
    none, done = render(clip, [step(operator, strength=0.0)], [1001], tile=(8, 8))[1001]
    wide = np.pad(x, ((2, 2), (2, 2), (0, 0)), mode="reflect")
    plain = operator.resample(wide)[4:-4, 4:-4]
    assert np.array_equal(none.pixels, plain)
    assert done.touched is not None and (done.touched == Provenance.RESAMPLED).all()
    some = render(clip, [step(operator, strength=0.25)], [1001])[1001][0].pixels
    assert np.abs(some - (plain + 0.25 * (full - plain))).max() < 1e-6
    matte = np.zeros((24, 32, 1), np.float32)
    matte[:, 16:] = 1
    split, done = render(clip, [step(operator)], [1001], mattes={1001: matte})[1001]
    assert np.array_equal(split.pixels[:, :30], plain[:, :30]), "away from the edge of the matte"
    assert np.array_equal(split.pixels[:, 34:], full[:, 34:])
    assert done.touched is not None
    assert (done.touched[:, :30] == 2).all() and set(np.unique(done.touched[:, 34:])) == {2, 5}


def test_marks_of_steps_before_are_enlarged_with_the_picture() -> None:
    x = np.zeros((8, 8, 3), np.float32)
    x[2, 3] = 0.75
    clip = MemoryClip({1001: make_frame(1001, x)})
    painter = Lift(provenance=Provenance.INFERRED, generative=True)
    double = Replicate(provenance=Provenance.RESAMPLED)
    _, done = render(clip, [step(painter), step(double)], [1001])[1001]
    want = np.full((16, 16), 2)
    want[4:6, 6:8] = 5 | 0x80
    assert done.touched is not None and np.array_equal(done.touched, want)


def test_alpha_is_filtered_numbers_are_taken_and_premultiplied_color_follows() -> None:
    rng = np.random.default_rng(3)
    alpha = rng.uniform(0.25, 1, (12, 10)).astype(np.float32)
    ids = rng.integers(0, 2**24, (12, 10)).astype(np.float32)
    color = rng.uniform(0, 1, (12, 10, 3)).astype(np.float32) * alpha[..., None]
    pixels = np.dstack([color, alpha, ids, ids])
    names = ("R", "G", "B", "A", "Z", "crypto00.R")
    clip = MemoryClip({1001: make_frame(1001, pixels, channels=names)})
    encoding = Encoding(signed_log=True, premultiplied=True)
    bound = replace(step(Replicate(), log=True), encoding=encoding)
    got = render(clip, [bound], [1001])[1001][0].pixels
    want = twice_linear(alpha.astype(np.float64))
    assert np.abs(got[..., 3] - want).max() < 1e-6
    for channel in (4, 5):
        assert np.array_equal(got[..., channel], ids.repeat(2, 0).repeat(2, 1))
    straight = (color / alpha[..., None]).repeat(2, 0).repeat(2, 1)
    assert np.abs(got[..., :3] - straight * want[..., None]).max() < 1e-5


def twice_linear(x: np.ndarray) -> np.ndarray:
    """Twice the size by bilinear interpolation between centers, edges going on: by formula."""
    for axis in (0, 1):
        first, last = np.take(x, [0], axis), np.take(x, [-1], axis)
        before = np.concatenate([first, np.delete(x, -1, axis)], axis)
        after = np.concatenate([np.delete(x, 0, axis), last], axis)
        pair = np.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis + 1)
        x = pair.reshape([n * 2 if i == axis else n for i, n in enumerate(x.shape)])
    return x


@pytest.mark.parametrize("scale", [HALF, Fraction(2), Fraction(3, 2), Fraction(1, 4), Fraction(3)])
def test_the_linear_kernel_keeps_lines_and_bounds(scale: Fraction) -> None:
    ramp = np.linspace(0, 1, 24, dtype=np.float32)
    plane = ResizedPlane(
        DirectPlane(np.broadcast_to(ramp[:, None, None], (24, 24, 1)).copy()), scale, "linear"
    )
    got = plane.rows(0, plane.shape[0])
    centers = (np.arange(plane.shape[0]) + 0.5) / float(scale) - 0.5
    inside = (centers > 3) & (centers < 20)
    assert np.abs(got[inside, 5, 0] - centers[inside] / 23).max() < 1e-6
    assert got.min() >= 0 and got.max() <= 1
    for start in range(0, plane.shape[0] - 2):
        assert np.array_equal(plane.rows(start, start + 2), got[start : start + 2])
    assert np.array_equal(plane.cut(Box(1, 2, 5, 4)), got[2:4, 1:5])
    _, weights = linear_taps(0, plane.shape[0], scale, 24)
    assert np.allclose(weights.sum(axis=1), 1) and (weights >= 0).all()


def test_holes_of_a_filtered_plane_do_not_spread() -> None:
    alpha = np.full((6, 6, 1), 0.5, np.float32)
    alpha[2, 2] = np.nan
    plane = ResizedPlane(DirectPlane(alpha), Fraction(2), "linear")
    got = plane.rows(0, 12)
    assert np.isnan(got[4:6, 4:6]).all() and np.count_nonzero(np.isnan(got)) == 4
    assert (got[np.isfinite(got)] == 0.5).all()


def test_channels_that_are_no_picture_keep_their_values() -> None:
    filtered = {n for n in ("A", "left.R", "diffuse.G", "Y") if kernel_of(n) == "linear"}
    assert filtered == {"A", "left.R", "diffuse.G", "Y"}
    for name in ("Z", "id", "motion.x", "uCryptoObject00.R", "CryptoAsset01.A", "N.X"):
        assert kernel_of(name) == "nearest"


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.sampled_from([HALF, Fraction(2), Fraction(1, 4)]))
def test_frames_of_a_few_px_go_through(size: int, scale: Fraction) -> None:
    x = to_codes(texture(1, size, 10 - size), "uint10")
    steps = (
        [step(Replicate(scale=scale))]
        if scale > 1
        else [step(Halve())] * (2 if scale == Fraction(1, 4) else 1)
    )
    clip = MemoryClip({1001: make_frame(1001, x, sample_type="uint10")})
    got, _ = render(clip, steps, [1001])[1001]
    rows, columns = (-(-n // scale.denominator) * scale.numerator for n in (10 - size, size))
    assert got.pixels.shape == (rows, columns, 3)


def test_a_larger_output_needs_more_memory_and_is_planned_for() -> None:
    uhd = FrameSize(width=1920, height=1080, channels=3, colors=3, sample_type="half")
    plain = plan_memory(uhd, [BoxBlur()], budget=1 << 40, workers=2, base=0)
    large = plan_memory(uhd, [Replicate(scale=Fraction(4))], budget=1 << 40, workers=2, base=0)
    out = 16 * uhd.full
    assert large.peak - plain.peak > 3 * (out - uhd.full)
    small = plan_memory(uhd, [Halve()], budget=1 << 40, workers=2, base=0)
    assert small.peak < plain.peak
