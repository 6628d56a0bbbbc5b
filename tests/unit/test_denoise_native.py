"""The native loops against plain numpy written from the same description."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray
from wetgate import _native

P = 8
_Array = NDArray[np.float64]


def _dct() -> _Array:
    k, i = np.arange(P)[:, None], np.arange(P)[None, :]
    m = np.sqrt(2 / P) * np.cos(np.pi * (i + 0.5) * k / P)
    m[0] /= np.sqrt(2)
    return np.asarray(m)


def _haar(n: int) -> _Array:
    h = np.eye(n)
    length = n
    while length > 1:
        step = np.eye(n)
        step[:length, :length] = 0
        for i in range(length // 2):
            step[i, 2 * i] = step[i, 2 * i + 1] = np.sqrt(0.5)
            step[length // 2 + i, 2 * i] = np.sqrt(0.5)
            step[length // 2 + i, 2 * i + 1] = -np.sqrt(0.5)
        h = step @ h
        length //= 2
    return h


def _patch(plane: _Array, x: int, y: int) -> _Array:
    return plane[y : y + P, x : x + P]


def _window() -> _Array:
    taps = np.kaiser(P, 2.0)
    return np.outer(taps, taps)


def _matches(guides, center, flows, index, rx, ry, par):  # type: ignore[no-untyped-def]
    """Candidates by the description: best of each neighbor, then the best of all."""
    height, width = guides[center].shape
    reference = _patch(guides[center], rx, ry)

    def scan(frame: int, cx: int, cy: int, radius: int) -> list[tuple[float, int, int, int]]:
        found = []
        for y in range(max(cy - radius, 0), min(cy + radius, height - P) + 1):
            for x in range(max(cx - radius, 0), min(cx + radius, width - P) + 1):
                if frame == center and (x, y) == (rx, ry):
                    continue
                d = float(((reference - _patch(guides[frame], x, y)) ** 2).sum())
                if d < par["threshold"]:
                    found.append((d, frame, x, y))
        return found

    everything = scan(center, rx, ry, par["radius_here"])
    for frame, flow in enumerate(flows):
        if frame == center or guides[frame] is None:
            continue
        local = scan(frame, rx, ry, par["radius_there"] // 2)
        if flow is not None:
            dx, dy = (int(v) for v in flow[index])
            if max(abs(dx), abs(dy)) <= par["reach"]:
                local += scan(frame, rx + dx, ry + dy, par["radius_there"])
        everything += sorted(set(local))[: par["per_frame"]]
    best = sorted(everything)[: par["group_size"] - 1]
    size = 1 << int(np.log2(len(best) + 1))
    return [(0.0, center, rx, ry), *best[: size - 1]]


def _collaborate(noisy, basic, guides, flows, refs_x, refs_y, noise, par):  # type: ignore[no-untyped-def]
    center = len(noisy) // 2
    shape = noisy[center].shape
    total, weight = np.zeros(shape), np.zeros(shape)
    d, kaiser = _dct(), _window()
    for j, ry in enumerate(refs_y):
        for i, rx in enumerate(refs_x):
            group = _matches(guides, center, flows, (j, i), rx, ry, par)
            h = _haar(len(group))
            for c in range(shape[0]):

                def transform(frames, c=c, group=group, h=h):  # type: ignore[no-untyped-def]
                    spectra = [d @ _patch(frames[f][c], x, y) @ d.T for _, f, x, y in group]
                    return np.tensordot(h, np.array(spectra), 1)

                coefficients, variance = transform(noisy), noise[c].reshape(P, P).T
                if basic:
                    guide = transform(basic) ** 2
                    gain = guide / (guide + variance)
                else:
                    gain = (coefficients**2 > par["hard"] ** 2 * variance).astype(float)
                    gain[0, 0, 0] = 1.0
                left = float((gain**2 * variance).sum())
                back = np.tensordot(h.T, coefficients * gain, 1)
                for k, (_, f, x, y) in enumerate(group):
                    if f == center:
                        total[c, y : y + P, x : x + P] += kaiser / left * (d.T @ back[k] @ d)
                        weight[c, y : y + P, x : x + P] += kaiser / left
    return total / weight


@pytest.mark.parametrize("wiener", [False, True])
def test_collaborate_equals_the_plain_version(wiener: bool) -> None:
    rng = np.random.default_rng(2)
    height, width = 26, 30
    clean = np.cumsum(rng.standard_normal((3, height, width)), axis=2) * 0.5
    noisy = [clean + rng.standard_normal(clean.shape) for _ in range(3)]
    basic = [clean + 0.3 * rng.standard_normal(clean.shape) for _ in range(3)] if wiener else []
    guides = [(b if wiener else n)[0] for b, n in zip(basic or noisy, noisy, strict=True)]
    refs_x, refs_y = [0, 4, 8, 12, 16, 20, 22], [0, 4, 8, 12, 16, 18]
    flows = [rng.integers(-3, 4, (6, 7, 2)).astype(np.int16), None, None]
    noise = (0.5 + rng.random((3, 64))).astype(np.float32)
    par = {
        "radius_here": 3, "radius_there": 2, "group_size": 8, "per_frame": 2,
        "reach": 2, "threshold": 1e9, "hard": 2.5,
    }  # fmt: skip
    to32 = [np.ascontiguousarray(n, np.float32) for n in noisy]
    got = _native.collaborate(
        to32,
        [np.ascontiguousarray(b, np.float32) for b in basic],
        [np.ascontiguousarray(g, np.float32) for g in guides],
        flows,
        (0, 0, width, height),
        (0, 0, width, height),
        refs_x,
        refs_y,
        noise,
        None,
        (0.0, 1.0),
        par,
    )
    want = _collaborate(noisy, basic, guides, flows, refs_x, refs_y, noise, par)
    # Thresholds and the order of near-equal matches may fall differently in single precision;
    # such a coefficient is small against the picture, and rare.
    error = np.abs(got - want)
    assert np.median(error) < 1e-5
    assert np.mean(error > 1e-3) < (0.002 if wiener else 0.02)


def _textured(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Make values of no pattern by integers alone: the same in every version of numpy."""
    index = np.arange(int(np.prod(shape)), dtype=np.uint64) + np.uint64(seed << 32)
    for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):
        index = (index ^ (index >> np.uint64(29))) * np.uint64(factor)
    return ((index >> np.uint64(40)).astype(np.float32) / np.float32(1 << 21)).reshape(shape)


def _digest_of_collaborate(width: int, radius: int, level_of: float = 0.0) -> str:
    height, count = 25, 3
    noisy = [_textured((2, height, width), k) for k in range(count)]
    if level_of:  # few levels: candidates that are equally far apart abound
        noisy = [np.floor(n / np.float32(level_of)) for n in noisy]
    basic = [n + _textured(n.shape, k + 9) for k, n in enumerate(noisy)]
    refs_x = sorted({*range(0, width - 7, 3), width - 8})
    refs_y = sorted({*range(0, height - 7, 3), height - 8})
    flow = (_textured((len(refs_y), len(refs_x), 2), 5) - 4).astype(np.int16)
    par = {
        "radius_here": radius, "radius_there": 3, "group_size": 16, "per_frame": 3,
        "reach": 64, "threshold": 2e3, "hard": 2.5,
    }  # fmt: skip
    frame, level = (0, 0, width, height), (0.0, 1.0)
    noise = _textured((2, 64), 7)
    places = (frame, frame, refs_x, refs_y, noise, None, level)
    flows = [flow, None, None]
    made = [
        _native.collaborate(noisy, [], [n[0].copy() for n in noisy], flows, *places, par),
        _native.collaborate(
            noisy, basic, [b[0].copy() for b in basic], flows, *places, {**par, "hard": 0.0}
        ),
    ]
    return hashlib.sha256(b"".join(m.astype("<f4").tobytes() for m in made)).hexdigest()[:16]


@pytest.mark.parametrize(
    ("width", "radius", "digest"),
    [
        (9, 2, "332e1e2781ffe16b"),
        (15, 4, "f2aa325534e254c7"),
        (22, 8, "414724bf13b7ee32"),
        (22, 18, "f70a8fdab172e8cb"),
        (23, 1, "b1148073d8e4a3e3"),
        (23, 18, "3ee4683d66be3266"),
        (40, 8, "11a17c46428f0791"),
        (61, 18, "b24bd0274f607330"),
    ],
)
def test_how_candidates_are_laid_out_in_lanes_changes_no_bit(
    width: int, radius: int, digest: str
) -> None:
    # Recorded before candidates were compared in blocks: one at a time, its rows the lanes.
    # Frames narrower than a block, as wide as one, a px wider and several blocks wide.
    assert _digest_of_collaborate(width, radius) == digest


@pytest.mark.parametrize(
    ("width", "radius", "level", "digest"),
    [
        (40, 8, 1.0, "aa5c23809d3c4747"),
        (61, 18, 4.0, "159349bc214b5b7f"),
        (61, 12, 7.9, "79cef6e7a4982b7b"),
    ],
)
def test_what_the_reference_before_found_changes_no_bit(
    width: int, radius: int, level: float, digest: str
) -> None:
    # Recorded before a search was bounded by what lay near the reference before. Where distances
    # are alike the first candidate counts, however few of them are looked at.
    assert _digest_of_collaborate(width, radius, level) == digest


def test_lowpass_is_the_binomial_with_edges_repeated() -> None:
    plane = np.random.default_rng(0).random((13, 17), dtype=np.float32)
    padded = np.pad(plane.astype(np.float64), 1, mode="edge")
    taps = np.outer([1, 2, 1], [1, 2, 1]) / 16
    want = sum(taps[j, i] * padded[j : j + 13, i : i + 17] for j in range(3) for i in range(3))
    assert np.abs(_native.lowpass(plane, (0, 0, 17, 13)) - want).max() < 1e-6


def test_fusion_averages_what_agrees_and_leaves_out_what_does_not() -> None:
    rng = np.random.default_rng(4)
    y, x = np.mgrid[0:64, 0:80]
    clean = np.stack([10 * np.sin(x * 0.2) * np.cos(y * 0.15), 5 * np.cos(x * 0.1)])
    frames = [(clean + rng.standard_normal(clean.shape)).astype(np.float32) for _ in range(5)]
    frames[4] = frames[4] + np.float32(40)  # another picture: must not bleed in
    still = np.zeros((32, 40, 2), np.int16)
    flows = [still, still, None, still, still]
    variance = 2 * (6 / 16) ** 2  # of the low-passed difference of two unit noises
    fused = _native.fuse(frames, flows, (0, 0, 80, 64), (0, 0), 2, 16.0, variance)
    inner = np.s_[:, 8:-8, 8:-8]
    assert np.std((fused - clean)[inner]) < 0.6  # four frames of unit noise: 0.5
    assert abs(np.mean((fused - clean)[inner])) < 0.1


def test_fusion_follows_a_known_shift() -> None:
    rng = np.random.default_rng(6)
    wide = np.cumsum(rng.standard_normal((1, 60, 90)), axis=2).astype(np.float32)
    wide -= wide.mean()
    center, moved = wide[..., 10:74].copy(), wide[..., 7:71].copy()  # picture moves 3 px right
    flow = np.zeros((60, 64, 2), np.int16)
    flow[..., 0] = 3 * 32
    fused = _native.fuse(
        [moved, center, moved], [flow, None, flow], (0, 0, 64, 60), (0, 0), 1, 16.0, 0.3
    )
    assert np.abs(fused - center)[..., :58].max() < 1e-4


def test_fusion_leaves_alone_what_moves_beyond_its_reach() -> None:
    rng = np.random.default_rng(7)
    frames = [rng.random((1, 20, 20), dtype=np.float32) for _ in range(3)]
    far = np.full((20, 20, 2), 6 * 32, np.int16)
    fused = _native.fuse(frames, [far, None, far], (0, 0, 20, 20), (0, 0), 1, 5.0, 1.0)
    assert np.array_equal(fused, frames[1])


@pytest.mark.parametrize(
    "change",
    [
        {"noise": np.ones((3, 63), np.float32)},
        {"tile": (0, 0, 40, 8)},
        {"ref_x": [30]},
        {"guide": [None]},
    ],
)
def test_collaborate_refuses_what_does_not_fit(change: dict[str, object]) -> None:
    frame = np.zeros((3, 16, 16), np.float32)
    call: dict[str, object] = {
        "noisy": [frame],
        "basic": [],
        "guide": [frame[0]],
        "flow": [None],
        "frame": (0, 0, 16, 16),
        "tile": (0, 0, 16, 16),
        "ref_x": [0, 8],
        "ref_y": [0, 8],
        "noise": np.ones((3, 64), np.float32),
        "level": None,
        "level_range": (0.0, 1.0),
        "parameters": {
            "radius_here": 1, "radius_there": 1, "group_size": 4, "per_frame": 1,
            "reach": 1, "threshold": 1.0, "hard": 1.0,
        },
    }  # fmt: skip
    call.update(change)
    with pytest.raises(ValueError, match="denoise"):
        _native.collaborate(**call)  # type: ignore[arg-type]


def test_a_patch_far_to_the_right_is_filtered_like_any_other() -> None:
    frame = np.random.default_rng(5).standard_normal((1, 8, 24)).astype(np.float32)
    parameters = {
        "radius_here": 4, "radius_there": 1, "group_size": 4, "per_frame": 1,
        "reach": 1, "threshold": 1e30, "hard": 1.0,
    }  # fmt: skip

    def last_patch(width: int) -> _Array:
        wide = np.zeros((1, 8, width), np.float32)
        wide[..., -24:] = frame
        return _native.collaborate(
            [wide], [], [wide[0].copy()], [None], (0, 0, width, 8), (width - 8, 0, width, 8),
            [width - 8], [0], np.ones((1, 64), np.float32), None, (0.0, 1.0), parameters,
        )  # fmt: skip

    assert np.array_equal(last_patch(40000), last_patch(24))


@pytest.mark.parametrize("value", [3e38, -3e38, np.inf, np.nan])
def test_values_beyond_every_curve_come_through_without_harm(value: float) -> None:
    tables = np.stack([np.linspace(-50, 50, 64, dtype=np.float32)] * 3)
    pixels = np.full((8, 8, 3), 0.25, np.float32)
    pixels[2, 3] = value
    planes = _native.to_noise_units(pixels, tables, np.array([[0, 1]] * 3, np.float32))
    back = _native.from_noise_units(planes, tables, np.array([[-50, 50]] * 3, np.float32))
    assert not np.isfinite(back[2, 3]).all()
    rest = np.ones((8, 8), bool)
    rest[2, 3] = False
    assert np.isfinite(back[rest]).all() and np.ptp(back[rest]) == 0
    parameters = {
        "radius_here": 2, "radius_there": 1, "group_size": 4, "per_frame": 1,
        "reach": 1, "threshold": 1e30, "hard": 1.0,
    }  # fmt: skip
    filtered = _native.collaborate(
        [planes], [], [planes[0].copy()], [None], (0, 0, 8, 8), (0, 0, 8, 8), [0], [0],
        np.ones((3, 64), np.float32), np.ones(4, np.float32), (-50.0, 50.0), parameters,
    )  # fmt: skip
    assert filtered.shape == planes.shape
