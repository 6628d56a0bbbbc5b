"""The parts of deartifact beside plain second implementations."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from wetgate import _native
from wetgate.measure.artifacts import grid_jump
from wetgate.model.box import Box
from wetgate.operators.base import Window
from wetgate.operators.deartifact import net
from wetgate.operators.deartifact.borders import Evening, even_borders
from wetgate.operators.deartifact.classical import (
    change_to_pixels,
    mosquito_share,
    restore,
    strength_for,
    to_planes,
)
from wetgate.operators.deartifact.coding import Coding
from wetgate.operators.deartifact.grid import block_basis, find_grid, grid_at, traces
from wetgate.operators.deartifact.quality import (
    MOST,
    features,
    quality_model,
    quantiser_step,
    with_height,
)

Luma = NDArray[np.float32]


def basis() -> NDArray[np.float64]:
    """The orthonormal DCT-II from its definition."""
    rows = []
    for k in range(8):
        wave = [np.cos(np.pi * k * (2 * n + 1) / 16) for n in range(8)]
        rows.append(np.array(wave) / np.linalg.norm(wave))
    return np.array(rows)


def photograph(seed: int = 3, size: tuple[int, int] = (192, 256)) -> Luma:
    """Smooth shading, soft edges at all angles and fine texture: nothing lies on a grid."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float64)
    picture = 0.5 + 0.15 * np.sin(x / 37 + y / 51)
    for _ in range(40):
        cx, cy = rng.uniform(0, size[1]), rng.uniform(0, size[0])
        r, soft = rng.uniform(5, 45), rng.uniform(0.6, 3)
        cover = 1 / (1 + np.exp((np.hypot(x - cx, y - cy) - r) / soft))
        picture += cover * (rng.uniform(0.1, 0.9) - picture)
    return (picture + rng.normal(0, 0.004, size)).astype(np.float32)


def coded(luma: Luma, step: float, offset: tuple[int, int] = (0, 0), size: int = 8) -> Luma:
    """Quantise the 8x8 DCT with one step; blocks start at the offset, rims keep their pixels."""
    out = luma.astype(np.float64).copy()
    b = basis()
    for y in range(offset[1], luma.shape[0] - 7, size):
        for x in range(offset[0], luma.shape[1] - 7, size):
            block = luma[y : y + 8, x : x + 8].astype(np.float64)
            samples = np.rint(b @ block @ b.T / step) * step
            out[y : y + 8, x : x + 8] = b.T @ samples @ b
    return out.astype(np.float32)


PHOTO = photograph()


def test_the_basis_is_the_dct() -> None:
    np.testing.assert_allclose(block_basis(), basis(), atol=1e-6)


def test_shrinking_blocks_is_what_the_plain_loop_does() -> None:
    rng = np.random.default_rng(5)
    plane = rng.normal(0, 0.1, (29, 37)).astype(np.float32)
    shifts, anchor = [(0, 0), (3, 5), (6, 1)], (2, 7)
    threshold = rng.uniform(0.02, 0.2, 64).astype(np.float32).reshape(8, 8)
    scale = [0.5, 1.5]
    b = basis()
    want = []
    for factor in scale:
        total, weight = np.zeros(plane.shape), np.zeros(plane.shape)
        for dx, dy in shifts:
            for y in range((anchor[1] + dy) % 8, plane.shape[0] - 7, 8):
                for x in range((anchor[0] + dx) % 8, plane.shape[1] - 7, 8):
                    samples = b @ plane[y : y + 8, x : x + 8] @ b.T
                    keep = np.abs(samples) > threshold.T * factor  # stored transposed
                    keep[0, 0] = True
                    share = 1.0 / keep.sum()
                    total[y : y + 8, x : x + 8] += share * (b.T @ (samples * keep) @ b)
                    weight[y : y + 8, x : x + 8] += share
        want.append(np.where(weight > 0, total / np.maximum(weight, 1e-9), plane))
    got = _native.shrink_blocks(plane, anchor, shifts, threshold.ravel(), scale)
    np.testing.assert_allclose(got, np.array(want), atol=2e-6)


def test_a_limited_change_stays_within_the_quantiser_interval() -> None:
    rng = np.random.default_rng(6)
    change = rng.normal(0, 0.1, (26, 41)).astype(np.float32)
    limit = np.full(64, 0.08, np.float32)
    got = _native.limit_blocks(change, (3, 1), limit)
    b = basis()
    for y in range(1, 26 - 7, 8):
        for x in range(3, 41 - 7, 8):
            before = b @ change[y : y + 8, x : x + 8] @ b.T
            after = b @ got[y : y + 8, x : x + 8] @ b.T
            np.testing.assert_allclose(after, np.clip(before, -0.08, 0.08), atol=1e-6)
    np.testing.assert_array_equal(got[0], change[0])
    np.testing.assert_array_equal(got[:, :3], change[:, :3])


def test_blocks_do_not_depend_on_where_the_array_was_cut() -> None:
    threshold, shifts = (
        np.full(64, 0.05, np.float32),
        [(2 * i, 2 * j) for j in range(4) for i in range(4)],
    )
    whole = _native.shrink_blocks(PHOTO, (5, 2), shifts, threshold, [1.0])[0]
    y, x = 43, 61
    part = np.ascontiguousarray(PHOTO[y : y + 80, x : x + 90])
    cut = _native.shrink_blocks(part, ((5 - x) % 8, (2 - y) % 8), shifts, threshold, [1.0])[0]
    np.testing.assert_array_equal(cut[7:-7, 7:-7], whole[y + 7 : y + 73, x + 7 : x + 83])


EVENING = Evening(share=0.8, start=1.2, full=1.6)


def _evened_plainly(plane: Luma, start: int, error: float) -> NDArray[np.float64]:
    """The change across vertical borders, pixel by pixel from the definition."""
    high, wide = plane.shape
    p = plane.astype(np.float64)
    jump = np.zeros(p.shape)
    for x in range(2, wide - 1):
        jump[:, x] = p[:, x] - p[:, x - 1]
        jump[:, x] -= ((p[:, x - 1] - p[:, x - 2]) + (p[:, x + 1] - p[:, x])) / 2
    limited = np.minimum(np.abs(jump), 4 * error)

    def mean(x: int, y: int, places: range) -> float:
        cells = [
            limited[b, x + o] if 0 <= x + o < wide and 0 <= b < high else 0.0
            for o in places
            for b in range(y - 16, y + 17)
        ]
        return float(np.mean(cells))

    change = np.zeros((high, wide + 4))
    for x in range(start % 4, wide, 4):
        for y in range(high):
            here, usual = mean(x, y, range(-16, 17, 16)), mean(x, y, range(-18, 19, 4))
            times = here / max(usual, 1e-12)
            sure = np.clip((times - EVENING.start) / (EVENING.full - EVENING.start), 0, 1)
            kept = np.clip((7 - abs(jump[y, x]) / error) / 4, 0, 1)
            taken = EVENING.share * sure * max(1 - usual / max(here, 1e-12), 0) * kept * jump[y, x]
            for step, share in enumerate((0.4, 0.15)):
                change[y, 2 + x - 1 - step] += share * taken
                change[y, 2 + x + step] -= share * taken
    return change[:, 2:-2]


def test_borders_are_evened_as_the_plain_loop_does() -> None:
    rng = np.random.default_rng(12)
    plane = rng.normal(0.5, 0.01, (40, 44)).astype(np.float32)
    plane[:, 11:19] += np.float32(0.06)
    plane[14:] -= np.float32(0.03)
    want = _evened_plainly(plane, 3, 0.01) + _evened_plainly(plane.T, 6, 0.01).T
    got = even_borders(plane, (3, 6), 0.01, EVENING)
    np.testing.assert_allclose(got, want, atol=2e-6)
    assert np.abs(want[:, 11]).max() > 0.003


def test_evening_takes_jumps_at_borders_and_leaves_edges_and_texture() -> None:
    blocks = np.kron(np.random.default_rng(13).normal(0, 0.02, (16, 20)), np.ones((8, 8)))
    shown = (photograph(5, (128, 160)) + blocks).astype(np.float32)
    change = even_borders(shown, (0, 0), 0.02, strength_for(1.0).evening)
    assert grid_jump(shown + change) < 0.25 * grid_jump(shown)
    elsewhere = even_borders(shown, (2, 2), 0.02, strength_for(1.0).evening)
    assert np.abs(elsewhere).mean() < 0.05 * np.abs(change).mean()
    edge = np.full((64, 64), 0.2, np.float32)
    edge[:, 32:] = 0.9
    assert not even_borders(edge, (0, 0), 0.02, strength_for(1.0).evening).any()


def test_evened_borders_do_not_depend_on_where_the_array_was_cut() -> None:
    whole = even_borders(PHOTO, (5, 2), 0.02, EVENING)
    y, x = 43, 61
    part = np.ascontiguousarray(PHOTO[y : y + 80, x : x + 90])
    cut = even_borders(part, ((5 - x) % 8, (2 - y) % 8), 0.02, EVENING)
    np.testing.assert_array_equal(cut[24:-24, 24:-24], whole[y + 24 : y + 56, x + 24 : x + 66])


def test_abrupt_blocks_are_filtered_harder_and_believed() -> None:
    film, jpeg = strength_for(0.05), strength_for(1.1)
    assert film.drop < jpeg.drop and film.evening.share == 0.0 and jpeg.evening.share == 1.0
    # Where blocks end softly their jump says nothing; where they end abruptly it weighs most.
    assert with_height(0.02, 0.002) == pytest.approx(0.02)
    assert with_height(0.02, 0.0242) == pytest.approx(0.02 * 1.1**0.75)
    assert with_height(0.002, 0.0135) == pytest.approx(0.01)
    assert with_height(1.0, 2.0) == MOST


@pytest.mark.parametrize("step", [0.05, 0.12])
def test_the_step_of_the_quantiser_is_read_off_the_samples(step: float) -> None:
    frames = [np.rint(255 * coded(photograph(k), step, (3, 6))) / 255 for k in (3, 4)]
    assert quantiser_step(frames, (3, 6)) == pytest.approx(step, rel=0.04)
    assert quantiser_step(frames, (0, 0)) < 0.4 * step
    assert quantiser_step([np.full((64, 64), 0.4, np.float32)], (0, 0)) == 0.0
    # The step counts where blocks end abruptly, and never for less than the error does.
    assert strength_for(1.0, 6.0).drop == pytest.approx(0.65 * 6.0)
    assert strength_for(1.0, 1.0).drop == strength_for(1.0, 2.0).drop < strength_for(1.0).drop
    assert strength_for(0.2, 6.0) == strength_for(0.2)


def test_a_grid_that_is_known_is_taken_where_it_is_said_to_be() -> None:
    found = traces([coded(photograph(k), 0.06, (3, 6)) for k in (3, 4)])
    auto = find_grid(found)
    told = grid_at(found, (11, 14))
    assert auto is not None and told.offset == (3, 6) and told.period == 8.0
    assert told.height == pytest.approx(auto.height) and told.score == pytest.approx(auto.score)
    assert grid_at(traces([PHOTO]), (0, 0)).height < 0.1 * told.height


def test_a_warp_by_whole_pixels_moves_pixels() -> None:
    rng = np.random.default_rng(7)
    planes = rng.random((2, 40, 48)).astype(np.float32)
    flow = np.zeros((20, 24, 2), np.int16)
    flow[..., 0], flow[..., 1] = 3 * 32, -2 * 32
    warped, seen = _native.warp(planes, flow, (0, 0, 48, 40), (0, 0), 2, 16.0)
    np.testing.assert_allclose(warped[:, 2:, :45], planes[:, :-2, 3:], atol=1e-6)
    assert seen[2:, :45].all() and not seen[:2].any() and not seen[:, 45:].any()
    np.testing.assert_array_equal(warped[:, :2], planes[:, :2])
    _, near = _native.warp(planes, flow, (0, 0, 48, 40), (0, 0), 2, 2.5)
    assert not near.any()


def test_planes_and_back() -> None:
    pixels = np.random.default_rng(8).uniform(-0.5, 3.0, (9, 11, 3)).astype(np.float32)
    np.testing.assert_allclose(change_to_pixels(to_planes(pixels)), pixels, atol=2e-6)
    gray = pixels[..., :1]
    np.testing.assert_array_equal(change_to_pixels(to_planes(gray)), gray)
    assert to_planes(np.ones((2, 2, 3), np.float32))[1:] == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize("offset", [(0, 0), (3, 6)])
def test_the_grid_of_a_coded_picture_is_found(offset: tuple[int, int]) -> None:
    frames = [coded(photograph(k), 0.06, offset) for k in (3, 4)]
    grid = find_grid(traces(frames))
    assert grid is not None
    assert grid.offset == offset and grid.period == 8.0 and grid.is_whole
    assert grid.height > 0.0


def test_a_clean_picture_has_no_grid() -> None:
    assert find_grid(traces([photograph(k) for k in (3, 4, 5)])) is None
    noise = np.random.default_rng(1).random((128, 160)).astype(np.float32)
    assert find_grid(traces([noise])) is None
    assert find_grid(traces([np.full((128, 160), 0.3, np.float32)])) is None


@pytest.mark.parametrize("zoom", [1.37, 1.5])
def test_a_resized_grid_is_reported_by_its_period(zoom: float) -> None:
    cv2 = pytest.importorskip("cv2")
    clean = [photograph(k) for k in (3, 4)]
    size = round(256 * zoom), round(192 * zoom)

    def resized(frame: Luma) -> Luma:
        return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC), np.float32)

    grid = find_grid(traces([resized(coded(f, 0.12)) for f in clean]))
    assert grid is not None and not grid.is_whole
    assert grid.period == pytest.approx(8 * zoom, abs=0.1)
    assert find_grid(traces([resized(f) for f in clean])) is None


def test_a_clean_picture_made_smaller_has_no_grid() -> None:
    cv2 = pytest.importorskip("cv2")
    for scale in (0.8, 0.75, 0.5):
        size = round(256 * scale), round(192 * scale)
        frames = [cv2.resize(photograph(k), size, interpolation=cv2.INTER_AREA) for k in (3, 4)]
        assert find_grid(traces([np.asarray(f, np.float32) for f in frames])) is None


def test_one_frame_coded_by_itself_is_enough_and_its_place_among_the_others_nothing() -> None:
    clean = [photograph(k) for k in range(3, 11)]
    for place in (0, 5):
        frames = list(clean)
        frames[place] = coded(clean[place], 0.05)
        grid = find_grid(traces(frames))
        assert grid is not None and grid.offset == (0, 0)
    moved = [*clean[:5], coded(clean[5], 0.05, (3, 6)), *clean[6:]]
    assert find_grid(traces(moved)) is None


def test_what_each_frame_shows_is_what_it_shows_alone() -> None:
    frames = [photograph(3), coded(photograph(4), 0.05, (2, 0))]
    each = traces(frames).each
    for k, frame in enumerate(frames):
        alone = traces([frame])
        np.testing.assert_allclose(each[k], [alone.border, alone.poor], atol=1e-12)


def test_a_few_edges_on_the_grid_are_no_grid() -> None:
    picture = PHOTO.copy()
    picture[:, 64:72] += np.float32(0.3)
    picture[96:104] -= np.float32(0.2)
    assert find_grid(traces([picture])) is None


def test_the_quality_model_rises_with_the_step() -> None:
    estimates = []
    for step in (0.03, 0.08, 0.2):
        frames = [coded(photograph(k), step) for k in (3, 4)]
        found = traces(frames)
        grid = find_grid(found)
        assert grid is not None
        estimates.append(quality_model().error(features(frames, found, grid)))
    assert estimates[0] < estimates[1] < estimates[2]


def test_too_small_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="64 x 64"):
        traces([np.zeros((40, 200), np.float32)])


def test_mosquito_noise_is_looked_for_in_flat_places_near_edges() -> None:
    picture = np.full((64, 96), 0.3, np.float32)
    picture[:, 48:] = 0.8
    share = mosquito_share(picture, 0.02)
    assert share[30, 44] == 1.0 and share[30, 52] == 1.0  # beside the edge
    assert share[30, 47] == 0.0 and share[30, 48] == 0.0  # the edge itself
    assert share[30, 20] == 0.0 and share[30, 80] == 0.0  # far away


def _window(source: NDArray[np.float32]) -> Window:
    box = Box(0, 0, source.shape[1], source.shape[0])
    return Window(
        number=2, pixels=(source,) * 3, previous=(), valid=(False, True, False),
        pairs=(None, None, None), region=box, tile=box, frame=box,
    )  # fmt: skip


def _coding(offset: tuple[int, int] = (0, 0)) -> Coding:
    return Coding(error=0.02, abrupt=0.7, step=2.5, offset=offset)


def test_what_the_network_sees() -> None:
    rng = np.random.default_rng(9)
    source = rng.random((24, 32, 3)).astype(np.float32)
    base = to_planes((source + rng.normal(0, 0.01, source.shape)).astype(np.float32))
    shrunk = (base[0] + rng.normal(0, 0.01, (len(net.DROPS), 24, 32))).astype(np.float32)
    planes = net.net_planes(_window(source), base, shrunk, _coding((3, 0)))
    assert planes.shape == (len(net.INPUTS), 24, 32)
    luma = source @ np.array([0.299, 0.587, 0.114])
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    around = sum(
        kernel[j, i] * np.pad(base[0], 2, mode="edge")[j : j + 24, i : i + 32]
        for j in range(5)
        for i in range(5)
    )
    limited = np.clip((base[0] - around) / 0.04, -4, 4)
    np.testing.assert_allclose(planes[1], limited, atol=1e-4)
    np.testing.assert_allclose(planes[2], (luma - base[0]) / 0.04, atol=1e-4)
    # Neighbors that are not there show what the center shows.
    np.testing.assert_array_equal(planes[3], planes[2])
    np.testing.assert_array_equal(planes[4], planes[2])
    np.testing.assert_allclose(planes[5:10], (shrunk - base[0]) / 0.04, atol=1e-4)
    np.testing.assert_allclose(planes[12:14], (to_planes(source)[1:] - base[1:]) / 0.04, atol=1e-4)
    assert planes[14, 0, 0] == pytest.approx(0.5 * np.log2(255 * 0.02))
    assert planes[15, 0, 0] == pytest.approx(0.5 * np.log2(1 + 255 * 0.05))
    assert planes[16, 0, 0] == pytest.approx(0.7)
    rim = planes[17, 0] == 0.5
    assert np.flatnonzero(rim).tolist() == [2, 3, 10, 11, 18, 19, 26, 27]
    middle = planes[18, :, 0] < -0.35
    assert np.flatnonzero(middle).tolist() == [3, 4, 11, 12, 19, 20]


def test_gray_frames_have_no_color_for_the_network() -> None:
    gray = np.random.default_rng(10).random((16, 16, 1)).astype(np.float32)
    base = np.ascontiguousarray(gray[None, ..., 0])
    planes = net.net_planes(_window(gray), base, base.repeat(len(net.DROPS), axis=0), _coding())
    assert not planes[10:14].any()


def test_what_the_network_sees_is_limited_and_the_picture_is_not() -> None:
    wide = np.full((16, 16, 3), 1000.0, np.float32)
    base = to_planes(wide - np.float32(7))
    shrunk = base[:1].repeat(len(net.DROPS), axis=0)
    planes = net.net_planes(_window(wide), base, shrunk, _coding())
    assert np.abs(planes).max() == 4.0 and np.isfinite(planes).all()


def test_corrections_are_bounded_and_held_back_where_they_are_implausible() -> None:
    change = np.full((3, 32, 32), 0.5, np.float32)
    change[:, 4, 4] = 50.0
    out, passed = net.corrected(change, 3, 0.01, Box(0, 0, 32, 32))
    assert passed is None
    assert out[0, 4, 4] == pytest.approx(net.LIMIT * 0.01)
    assert out[0, 20, 20] == pytest.approx(0.005)
    change[0, 16:24, 16:24] = net.REFUSED + 0.5
    out, passed = net.corrected(change, 3, 0.01, Box(0, 0, 32, 32))
    assert passed is not None
    assert passed[19, 19] < 0.2 and passed[4, 4] == 1.0
    assert abs(out[0, 19:21, 19:21]).max() < 0.2 * 0.01 * (net.REFUSED + 0.5)
    assert out[0, 4, 20] == pytest.approx(0.005)
    assert net.corrected(change, 1, 0.01, Box(0, 0, 32, 32))[0].shape == (1, 32, 32)


def test_luma_is_shrunk_by_as_many_errors_as_asked_for() -> None:
    rng = np.random.default_rng(14)
    luma = (PHOTO[:64, :72] + rng.normal(0, 0.02, (64, 72))).astype(np.float32)
    pixels = np.repeat(luma[..., None], 3, axis=2)
    frames = [None, to_planes(pixels), None]
    change, shrunk = restore(
        _window(pixels), frames, 0.02, (0, 0), strength_for(0.5), drops=(1.0, 50.0)
    )
    assert change.shape == (3, 64, 72) and shrunk.shape == (2, 64, 72)
    detail = [float(np.abs(np.diff(p, axis=1)).mean()) for p in (luma, shrunk[0], shrunk[1])]
    assert detail[0] > detail[1] > detail[2]
