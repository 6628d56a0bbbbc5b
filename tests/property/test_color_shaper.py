"""The shapers are odd, monotone, and undone by their inverses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wetgate.color.shaper import (
    asinh_shaper,
    asinh_shaper_inverse,
    signed_log,
    signed_log_inverse,
)

PAIRS = [(signed_log, signed_log_inverse), (asinh_shaper, asinh_shaper_inverse)]
pictures = st.lists(
    st.floats(-65504, 65504, width=32, allow_subnormal=False), min_size=1, max_size=40
)


def column(values: list[float]) -> np.ndarray:
    return np.asarray(values, np.float32).reshape(-1, 1, 1)


@pytest.mark.parametrize(("shaper", "inverse"), PAIRS)
@given(values=pictures)
def test_inverse_undoes_the_shaper(shaper, inverse, values) -> None:
    x = column(values)
    back = inverse(shaper(x)).astype(np.float64)
    error = np.abs(back - x)
    # One rounding of the shaped value, carried through the slope of the curve.
    assert (error <= 16 * 2.0**-24 * np.abs(x) + 1e-38).all()


@pytest.mark.parametrize(("shaper", "inverse"), PAIRS)
@given(values=pictures)
def test_odd_and_monotone(shaper, inverse, values) -> None:
    x = np.sort(column(values), axis=0)
    y = shaper(x)
    assert np.array_equal(shaper(-x), -y)
    assert (np.diff(y, axis=0) >= 0).all()
    assert np.array_equal(np.sign(y), np.sign(x))


@given(
    value=st.floats(-65504, 65504, width=32, allow_subnormal=False),
    knee=st.floats(1e-4, 1.0),
)
def test_signed_log_is_its_closed_form(value: float, knee: float) -> None:
    got = float(signed_log(column([value]), knee)[0, 0, 0])
    want = math.copysign(math.log1p(abs(value) / knee) / math.log1p(1 / knee), value)
    assert got == pytest.approx(want, rel=1.3e-7, abs=1e-38)


def test_fixed_points_and_range() -> None:
    x = column([0.0, 1.0, -1.0, 65504.0])
    assert signed_log(x).ravel()[:3].tolist() == [0.0, 1.0, -1.0]
    assert 3.2 < signed_log(x)[3, 0, 0] < 3.3
    assert asinh_shaper(column([16.0]))[0, 0, 0] == 1.0
    assert 1.90 < asinh_shaper(x)[3, 0, 0] < 1.93


def test_slope_is_continuous_at_zero() -> None:
    h = np.float32(1e-6)
    y = signed_log(column([-h, 0.0, h])).ravel().astype(np.float64)
    assert (y[2] - y[1]) / (y[1] - y[0]) == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize(("shaper", "inverse"), PAIRS)
def test_non_finite_passes_through(shaper, inverse) -> None:
    x = column([np.inf, -np.inf, np.nan])
    for curve in (shaper, inverse):
        y = curve(x).ravel()
        assert y[0] == np.inf and y[1] == -np.inf and np.isnan(y[2])
    assert inverse(column([1e4]))[0, 0, 0] == np.inf


@pytest.mark.parametrize("cut", [1, 7, 1000])
def test_same_bits_for_any_cut(cut: int) -> None:
    x = np.random.default_rng(4).normal(0, 3, (300, 257, 3)).astype(np.float32)
    for shaper, inverse in PAIRS:
        for curve in (shaper, inverse):
            whole = curve(x)
            parts = [curve(x[y : y + cut]) for y in range(0, 300, cut)]
            assert np.array_equal(whole, np.concatenate(parts))


def test_wrong_types_and_knees_are_refused() -> None:
    with pytest.raises(ValueError, match="float32"):
        signed_log(np.zeros((1, 1, 1)))  # type: ignore[arg-type]
    for knee in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="knee must be above 0"):
            signed_log(column([1.0]), knee)
