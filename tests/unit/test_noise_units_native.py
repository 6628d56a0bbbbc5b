"""The native curves and the warp against numpy, written from what they are documented to do."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from wetgate import _native

_Plane = NDArray[np.float32]


def _curves(channels: int, seed: int = 3) -> tuple[_Plane, _Plane]:
    rng = np.random.default_rng(seed)
    rising = np.cumsum(rng.random((channels, 257)) + 0.1, axis=1).astype(np.float32)
    ranges = np.array([[-0.1 - 0.1 * c, 1.2 + 0.1 * c] for c in range(channels)], np.float32)
    return rising, ranges


def _pixels(channels: int) -> _Plane:
    rng = np.random.default_rng(channels)
    return (rng.random((37, 53, channels)) * 2 - 0.5).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 3])
def test_luma_is_the_first_plane_to_the_bit(channels: int) -> None:
    pixels, curves = _pixels(channels), _curves(channels)
    planes = _native.to_noise_units(pixels, *curves)
    assert np.array_equal(_native.to_noise_luma(pixels, *curves), planes[0])
    # And that plane is the sum of the curves' values over the root of their number.
    values = [
        np.interp(pixels[..., c], np.linspace(*curves[1][c], curves[0].shape[1]), curves[0][c])
        for c in range(channels)
    ]
    inside = np.all((pixels > -0.1) & (pixels < 1.2), axis=2)
    expected = np.sum(values, axis=0) / np.sqrt(channels)
    assert inside.any()
    assert np.allclose(planes[0][inside], expected[inside], rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_part_of_a_frame_is_read_where_it_lies(channels: int) -> None:
    pixels, curves = _pixels(channels), _curves(channels)
    for part in (pixels[5:30, 7:41], pixels[::2], pixels[::-1], pixels[:, ::2], pixels[:, :, ::-1]):
        copied = np.ascontiguousarray(part)
        assert np.array_equal(
            _native.to_noise_units(part, *curves), _native.to_noise_units(copied, *curves)
        )
        assert np.array_equal(
            _native.to_noise_luma(part, *curves), _native.to_noise_luma(copied, *curves)
        )


def test_curves_take_float32_of_one_or_three_channels() -> None:
    curves = _curves(3)
    with pytest.raises(TypeError):
        _native.to_noise_units(_pixels(3).astype(np.float64), *curves)
    with pytest.raises(ValueError, match="one or three channels"):
        _native.to_noise_luma(np.zeros((4, 4, 2), np.float32), *curves)
    with pytest.raises(ValueError, match="height, width, channel"):
        _native.to_noise_luma(np.zeros((4, 4), np.float32), *curves)


@pytest.mark.parametrize("channels", [1, 3])
def test_interpolation_is_numpys_to_the_bit(channels: int) -> None:
    rng = np.random.default_rng(9)
    low, high = np.float32(-0.37), np.float32(1.21)
    knots = np.stack([np.linspace(float(low) - c, float(high), 4096) for c in range(channels)])
    values = rng.random(knots.shape).astype(np.float32).astype(np.float64)
    on_knots = np.float32(knots[0, ::37])
    odd = np.float32([np.nan, np.inf, -np.inf, -0.0, 1e30, -1e30, low, high, knots[0, -2]])
    near = np.concatenate([np.nextafter(on_knots, np.float32(s)) for s in (-9, 9)])
    samples = np.concatenate([rng.random(5000, np.float32) * 3 - 1, on_knots, near, odd])
    pixels = np.stack([np.roll(samples, c) for c in range(channels)], axis=1)[None]
    expected = np.stack(
        [np.interp(pixels[..., c], knots[c], values[c]) for c in range(channels)], axis=-1
    )
    found = _native.interpolate(pixels, knots, values)
    assert np.array_equal(found, expected.astype(np.float32), equal_nan=True)


def test_interpolation_refuses_knots_that_are_not_evenly_spaced() -> None:
    pixels, even = np.zeros((2, 2, 1), np.float32), np.linspace(0.0, 1.0, 8)[None]
    for knots in (even**2, even[:, ::-1].copy(), np.zeros((1, 8))):
        with pytest.raises(ValueError, match="evenly"):
            _native.interpolate(pixels, knots, even)
    with pytest.raises(ValueError, match="knots"):
        _native.interpolate(pixels, even, even[:, :4])


def _cubic(t: float) -> list[float]:
    """Keys' kernel with a = -0.5 at distances 1 + t, t, 1 - t and 2 - t."""

    def near(d: float) -> float:
        return 1.5 * d**3 - 2.5 * d**2 + 1

    def far(d: float) -> float:
        return -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2

    return [far(1 + t), near(t), near(1 - t), far(2 - t)]


def _warped(
    plane: _Plane,
    flow: NDArray[np.int16],
    frame: tuple[int, int, int, int],
    origin: tuple[int, int],
    scale: int,
    reach: float,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """One px after the other, in float64, from the description of `warp`."""
    height, width = plane.shape
    rows, columns = flow.shape[:2]
    out, ok = plane.astype(np.float64), np.zeros(plane.shape, np.bool_)
    for y in range(max(frame[1], 0), min(frame[3], height)):
        for x in range(max(frame[0], 0), min(frame[2], width)):
            v, u = (y + origin[1] + 0.5) / scale - 0.5, (x + origin[0] + 0.5) / scale - 0.5
            i, k = int(np.floor(v)), int(np.floor(u))
            r = [min(max(n, 0), rows - 1) for n in (i, i + 1)]
            c = [min(max(n, 0), columns - 1) for n in (k, k + 1)]
            top = flow[r[0], c[0]] * (1 - (u - k)) + flow[r[0], c[1]] * (u - k)
            bottom = flow[r[1], c[0]] * (1 - (u - k)) + flow[r[1], c[1]] * (u - k)
            dx, dy = (top * (1 - (v - i)) + bottom * (v - i)) / 32
            tx, ty = x + dx, y + dy
            x_in = max(frame[0], 0) <= tx <= min(frame[2], width) - 1
            y_in = max(frame[1], 0) <= ty <= min(frame[3], height) - 1
            if not (abs(dx) <= reach and abs(dy) <= reach and x_in and y_in):
                continue
            ok[y, x] = True
            fx, fy = int(np.floor(tx)), int(np.floor(ty))
            wx, wy = _cubic(tx - fx), _cubic(ty - fy)
            at_x = [min(max(fx + n, 0), width - 1) for n in (-1, 0, 1, 2)]
            at_y = [min(max(fy + n, 0), height - 1) for n in (-1, 0, 1, 2)]
            out[y, x] = np.array(wy) @ plane[np.ix_(at_y, at_x)].astype(np.float64) @ np.array(wx)
    return out, ok


@pytest.mark.parametrize(
    ("scale", "frame", "origin", "reach"),
    [
        (1, (0, 0, 45, 34), (0, 0), 9.0),
        (2, (3, 2, 41, 31), (0, 0), 64.0),
        (4, (-6, -9, 45, 30), (6, 9), 5.0),
        (4, (-50, -3, 400, 300), (50, 3), 64.0),
    ],
)
def test_warp_is_cubic_convolution_along_the_flow(
    scale: int, frame: tuple[int, int, int, int], origin: tuple[int, int], reach: float
) -> None:
    rng = np.random.default_rng(scale + frame[3])
    planes = rng.random((2, 34, 45), dtype=np.float32)
    shape = (34 + origin[1]) // scale + 1, (45 + origin[0]) // scale + 1, 2
    # Odd counts of 1/32 px at every sample: no place lies on an edge that rounding could move.
    flow = (2 * rng.integers(-120, 120, shape) + 1).astype(np.int16)
    found, ok = _native.warp(planes, flow, frame, origin, scale, reach)
    expected = [_warped(p, flow, frame, origin, scale, reach) for p in planes]
    assert 0.1 < expected[0][1].mean() < 1
    assert np.array_equal(ok > 0, expected[0][1])
    for plane, (values, _) in zip(found, expected, strict=True):
        assert np.abs(plane - values).max() < 1e-5


def test_warp_gives_the_same_bits_in_every_tile() -> None:
    rng = np.random.default_rng(1)
    height, width, reach = 90, 120, 4.0
    plane = rng.random((1, height, width), dtype=np.float32)
    flow = rng.integers(-128, 129, (height // 4 + 1, width // 4 + 1, 2)).astype(np.int16)
    whole, seen = _native.warp(plane, flow, (0, 0, width, height), (0, 0), 4, reach)
    for x0, y0, x1, y1 in ((0, 0, 60, 50), (31, 17, 99, 83), (70, 40, width, height)):
        part = np.ascontiguousarray(plane[:, y0:y1, x0:x1])
        frame = -x0, -y0, width - x0, height - y0
        moved, ok = _native.warp(part, flow, frame, (x0, y0), 4, reach)
        rim = 8  # motion and kernel
        top, left = (rim if y0 else 0), (rim if x0 else 0)
        bottom = y1 - y0 - (rim if y1 < height else 0)
        right = x1 - x0 - (rim if x1 < width else 0)
        assert np.array_equal(
            moved[:, top:bottom, left:right],
            whole[:, y0 + top : y0 + bottom, x0 + left : x0 + right],
        )
        assert np.array_equal(
            ok[top:bottom, left:right], seen[y0 + top : y0 + bottom, x0 + left : x0 + right]
        )
