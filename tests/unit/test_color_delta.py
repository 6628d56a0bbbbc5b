"""Delta application, premultiplication and legal range."""

from __future__ import annotations

import numpy as np
import pytest
from wetgate.color.config import load_config
from wetgate.color.delta import (
    ALPHA_EPSILON,
    apply_delta,
    compress_legal,
    convert_premultiplied,
    expand_legal,
    premultiply,
    unpremultiply,
)

FORWARD = load_config().processor("ACEScg", "ACEScct")
INVERSE = load_config().processor("ACEScct", "ACEScg")


def finite_halves() -> np.ndarray:
    """Every finite half as a channel, with others in other orders beside it."""
    every = np.arange(65536, dtype=np.uint16).view(np.float16)
    every = every[np.isfinite(every)].astype(np.float32)
    return np.stack([every, every[::-1], np.roll(every, 777)], axis=-1)[None]


def bits(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels).view(np.uint32)


def test_doing_nothing_in_acescct_keeps_every_half_bit_for_bit() -> None:
    source = finite_halves()
    before = FORWARD.apply(source)
    assert source.shape == (1, 63488, 3)
    out = apply_delta(source, before, before.copy(), INVERSE.apply)
    assert np.array_equal(bits(out), bits(source))
    # The plain way there and back does not.
    assert not np.array_equal(bits(INVERSE.apply(before)), bits(source))


def test_only_changed_pixels_change() -> None:
    source = finite_halves()
    before = FORWARD.apply(source)
    after = before.copy()
    after[0, ::7, 1] += np.float32(0.05)
    out = apply_delta(source, before, after, INVERSE.apply)
    touched = np.zeros(source.shape[:2], bool)
    touched[0, ::7] = True
    assert np.array_equal(bits(out)[~touched], bits(source)[~touched])
    # The change stands in the channel that was changed, and only there.
    assert np.array_equal(bits(out)[..., [0, 2]], bits(source)[..., [0, 2]])
    assert np.count_nonzero(out[0, ::7, 1] != source[0, ::7, 1]) > 8900


def test_the_change_is_that_of_the_conversion() -> None:
    source = np.linspace(-0.5, 60.0, 3 * 500, dtype=np.float32).reshape(1, 500, 3)
    before = FORWARD.apply(source)
    after = before * np.float32(0.97)
    out = apply_delta(source, before, after, INVERSE.apply)
    assert np.allclose(out, INVERSE.apply(after), rtol=1e-4, atol=1e-6)


def test_without_a_conversion_the_result_stands_as_it_is() -> None:
    source = np.array([[[-0.0, 0.25, np.nan]]], np.float32)
    after = np.array([[[0.0, 0.3, np.nan]]], np.float32)
    out = apply_delta(source, source, after, None)
    assert np.array_equal(bits(out), bits(after))
    assert not np.shares_memory(out, after)  # a caller may go on writing into it
    # The same whether the source came as what the operator got or as a copy of it.
    assert np.array_equal(bits(apply_delta(source, source.copy(), after, None)), bits(after))
    same = apply_delta(source, source, source, None)
    assert np.array_equal(bits(same), bits(source))
    with pytest.raises(ValueError, match="shapes differ"):
        apply_delta(source, source, after[..., :2], None)


def test_negative_zero_survives_a_change_beside_it() -> None:
    source = np.array([[[-0.0, 0.5, 0.5]]], np.float32)
    before = FORWARD.apply(source)
    after = before.copy()
    after[0, 0, 1] += np.float32(0.1)
    out = apply_delta(source, before, after, INVERSE.apply)
    assert np.signbit(out[0, 0, 0]) and out[0, 0, 1] > 0.5


def test_premultiplied_color_is_divided_for_the_conversion() -> None:
    color = np.full((1, 1, 3), 0.09, np.float32)
    alpha = np.full((1, 1), 0.5, np.float32)
    got = convert_premultiplied(color, alpha, FORWARD.apply)
    straight = FORWARD.apply(np.full((1, 1, 3), 0.18, np.float32)) * 0.5
    assert np.allclose(got, straight, rtol=1e-6)
    assert got[0, 0, 0] == pytest.approx(0.2068, abs=2e-4)
    assert FORWARD.apply(color)[0, 0, 0] == pytest.approx(0.3565, abs=2e-4)


@pytest.mark.parametrize("alpha", [0.0, -0.25, ALPHA_EPSILON, np.nan, np.inf])
def test_color_without_coverage_is_emission(alpha: float) -> None:
    color = np.array([[[3.0, -0.1, 0.5]]], np.float32)
    got = convert_premultiplied(color, np.array([[alpha]], np.float32), FORWARD.apply)
    assert np.array_equal(got, FORWARD.apply(color))


def test_premultiplication_is_undone() -> None:
    rng = np.random.default_rng(1)
    color = rng.normal(0.3, 1.0, (40, 40, 3)).astype(np.float32)
    alpha = rng.uniform(-0.1, 1.5, (40, 40)).astype(np.float32)
    alpha[rng.random((40, 40)) < 0.3] = 1.0
    back = premultiply(unpremultiply(color, alpha), alpha)
    assert np.allclose(back, color, rtol=3e-7, atol=0)
    solid = alpha == 1.0
    assert np.array_equal(bits(back[solid]), bits(color[solid]))


@pytest.mark.parametrize("depth", [8, 10, 12, 16])
@pytest.mark.parametrize("chroma", [False, True])
def test_legal_range_comes_back_code_for_code(depth: int, chroma: bool) -> None:
    top = (1 << depth) - 1
    codes = np.arange(top + 1)
    pixels = (codes / top).astype(np.float32)[None, :, None]
    full = expand_legal(pixels, depth, chroma=chroma)
    step = 1 << (depth - 8)
    black, span = (128 * step, 224 * step) if chroma else (16 * step, 219 * step)
    assert full[0, black, 0] == pytest.approx(0.0, abs=1e-6)
    assert np.allclose(full[0, :, 0], (codes - black) / span, rtol=1e-6, atol=1e-6)
    assert full.min() < -0.05 and full.max() > (0.5 if chroma else 1.05)
    back = compress_legal(full, depth, chroma=chroma)
    assert np.array_equal(np.rint(back[0, :, 0] * top).astype(int), codes)


def test_ten_bit_limits_are_64_and_940() -> None:
    pixels = (np.array([64, 940], np.float64) / 1023).astype(np.float32)[None, :, None]
    assert np.allclose(expand_legal(pixels, 10)[0, :, 0], [0.0, 1.0], atol=1e-6)
    with pytest.raises(ValueError, match="8 to 16 bits"):
        expand_legal(pixels, 32)
