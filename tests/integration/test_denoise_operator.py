"""The denoise operator as the engine calls it: its law, its ends, its quality."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray
from wetgate.model.errors import RecipeError, UnsupportedImage
from wetgate.operators.base import SourceFacts
from wetgate.operators.denoise.operator import DenoiseOperator
from wetgate.operators.registry import make_operator
from wetgate.operators.verbs import assert_footprint_honest, run_operator
from wetgate.simulate.resample import sample_grid

_classical = partial(DenoiseOperator, net="none")
WIDTH, HEIGHT = 120, 96
SIGMA = 20 / 255
_Frames = dict[int, NDArray[np.float32]]


def _facts(sample_type: str = "float", channels: int = 3) -> SourceFacts:
    return SourceFacts(
        sample_type=sample_type,  # type: ignore[arg-type]
        width=WIDTH,
        height=HEIGHT,
        channels=channels,
        is_log_working=False,
    )


def _clean(frames: int = 7) -> _Frames:
    rng = np.random.default_rng(21)
    y, x = np.mgrid[0:160, 0:200]
    picture = np.full((160, 200, 3), 0.45, np.float32)
    for _ in range(50):
        cx, cy, r = rng.integers(0, 200), rng.integers(0, 160), rng.integers(4, 30)
        picture[(x - cx) ** 2 + (y - cy) ** 2 < r * r] = rng.random(3) * 0.8 + 0.1
    picture += (0.06 * np.sin(x * 0.7 + y * 0.3))[..., None].astype(np.float32)
    size = WIDTH, HEIGHT
    return {
        1001 + i: sample_grid(picture, size, (10.2 + 2.3 * i, 8.7 + 0.8 * i), 1.0)
        for i in range(frames)
    }


def _noisy(clean: _Frames, sigma: float = SIGMA) -> _Frames:
    return {
        n: (f + sigma * np.random.default_rng(n).standard_normal(f.shape)).astype(np.float32)
        for n, f in clean.items()
    }


def _psnr(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(-10 * np.log10(np.mean((a.astype(np.float64) - b) ** 2)))


CLEAN = _clean()
NOISY = _noisy(CLEAN)


def test_tiles_and_far_frames_never_show() -> None:
    assert_footprint_honest(_classical(radius=1, step=4), NOISY, 1004, facts=_facts())


def test_gray_pictures_are_denoised_too() -> None:
    gray = {n: np.ascontiguousarray(f[..., 1:2]) for n, f in NOISY.items()}
    out = run_operator(_classical(radius=1), gray, 1004, facts=_facts(channels=1))
    assert _psnr(out, CLEAN[1004][..., 1:2]) > _psnr(gray[1004], CLEAN[1004][..., 1:2]) + 7


def test_noise_goes_and_the_picture_stays() -> None:
    operator = _classical(radius=2)
    out = run_operator(operator, NOISY, 1004, facts=_facts())
    assert _psnr(out, CLEAN[1004]) > _psnr(NOISY[1004], CLEAN[1004]) + 9.5
    assert abs(float(np.mean(out - CLEAN[1004]))) < 0.002


def test_the_first_and_the_last_frame_come_back_nearly_as_good() -> None:
    operator = _classical(radius=1)
    middle = _psnr(run_operator(operator, NOISY, 1004, facts=_facts()), CLEAN[1004])
    for end in (1001, 1007):
        out = run_operator(operator, NOISY, end, facts=_facts())
        assert _psnr(out, CLEAN[end]) > middle - 1.5


def test_a_shot_without_noise_comes_back_bit_for_bit() -> None:
    still = {n: CLEAN[1001] for n in range(1001, 1004)}
    flat = {n: np.round(f * 0 + 0.5, 2).astype(np.float32) for n, f in still.items()}
    out = run_operator(_classical(radius=1), flat, 1002, facts=_facts("uint10"))
    assert np.array_equal(out, flat[1002])


def test_clean_titles_over_black_come_back_bit_for_bit() -> None:
    frames = {}
    for i in range(5):
        frame = np.zeros((HEIGHT, WIDTH, 3), np.float32)
        for k in range(5):  # a row of block letters that moves 1 px a frame
            frame[30:56, 14 + 18 * k + i : 26 + 18 * k + i] = 0.9
            frame[38:50, 18 + 18 * k + i : 22 + 18 * k + i] = 0.0
        frames[1001 + i] = frame
    out = run_operator(_classical(radius=1), frames, 1003, facts=_facts("half"))
    assert np.array_equal(out, frames[1003])


def test_grain_keep_mixes_exactly_what_was_removed() -> None:
    def run(keep: float) -> NDArray[np.float32]:
        operator = _classical(radius=1, step=4, grain_keep=keep)
        return run_operator(operator, NOISY, 1004, facts=_facts())

    none, some, everything = run(0.0), run(0.3), run(1.0)
    assert np.array_equal(everything, NOISY[1004])
    assert np.array_equal(some, none + np.float32(0.3) * (NOISY[1004] - none))


def test_dark_clipped_noise_leaves_no_lift_of_the_blacks() -> None:
    dark = {n: (f * 0.2).astype(np.float32) for n, f in CLEAN.items()}
    clipped = {
        n: (np.clip(np.rint(f * 255), 0, 255) / 255).astype(np.float32)
        for n, f in _noisy(dark, 30 / 255).items()
    }
    out = run_operator(_classical(radius=2), clipped, 1004, facts=_facts("uint8"))
    source_bias = float(np.mean(clipped[1004] - dark[1004])) * 255
    assert source_bias > 3.0
    assert abs(float(np.mean(out - dark[1004]))) * 255 < 0.5
    assert _psnr(out, dark[1004]) > _psnr(clipped[1004], dark[1004]) + 12


def test_values_beyond_zero_and_one_are_kept() -> None:
    stretched = {n: (f * 6 - 2).astype(np.float32) for n, f in CLEAN.items()}
    noisy = _noisy(stretched, 0.3)
    out = run_operator(_classical(radius=1), noisy, 1004, facts=_facts())
    assert out.min() < -1.0
    assert out.max() > 3.0
    assert _psnr(out, stretched[1004]) > _psnr(noisy[1004], stretched[1004]) + 8


@pytest.mark.parametrize(
    "params",
    [
        {"radius": 9},
        {"radius": 2.5},
        {"step": True},
        {"step": 1},
        {"grain_keep": 1.5},
        {"sigma_scale": 0},
        {"strenght": 1},
    ],
)
def test_wrong_parameters_are_refused(params: dict[str, object]) -> None:
    with pytest.raises(RecipeError):
        make_operator("denoise", params)


@pytest.mark.parametrize("size", [(1, 1), (7, 7), (7, 40), (8, 8), (17, 9)])
@pytest.mark.parametrize("count", [1, 3])
def test_frames_of_any_size_come_back(size: tuple[int, int], count: int) -> None:
    width, height = size
    rng = np.random.default_rng(3)
    frames = {
        n: (0.4 + 0.02 * rng.standard_normal((height, width, 3))).astype(np.float32)
        for n in range(count)
    }
    facts = replace(_facts(), width=width, height=height)
    out = run_operator(_classical(radius=1), frames, 0, facts=facts)
    assert np.isfinite(out).all()
    assert np.array_equal(out, frames[0]) == (min(size) < 8)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_black_or_white_shot_comes_back_bit_for_bit(level: float) -> None:
    frames = {n: np.full((HEIGHT, WIDTH, 3), level, np.float32) for n in range(3)}
    out = run_operator(_classical(radius=1), frames, 1, facts=_facts("uint10"))
    assert np.array_equal(out, frames[1])


def test_a_channel_without_noise_does_not_spoil_the_others() -> None:
    clean = {n: f.copy() for n, f in CLEAN.items() if n < 1005}
    for frame in clean.values():
        frame[..., 2] = 0.0
        frame[40:44, 20:60, 2] = 0.5
    noisy = _noisy(clean)
    for number, frame in noisy.items():
        frame[..., 2] = clean[number][..., 2]
    out = run_operator(_classical(radius=1, step=4), noisy, 1002, facts=_facts())
    for channel in (0, 1):
        want, had = clean[1002][..., channel], noisy[1002][..., channel]
        assert _psnr(out[..., channel], want) > _psnr(had, want) + 9
    assert np.abs(out[..., 2] - clean[1002][..., 2]).max() < 0.2 * SIGMA


@pytest.mark.parametrize("stray", [CLEAN[1001][:40, :48], CLEAN[1001][..., :1]])
def test_a_stray_frame_of_another_shape_does_not_stop_the_measuring(
    stray: NDArray[np.float32],
) -> None:
    frames = {**NOISY, 1004: np.ascontiguousarray(stray)}
    analysis = _classical().analyse(lambda n: frames[n], sorted(frames), _facts())
    assert analysis["temporal"]
    assert analysis["deviation"] == pytest.approx(SIGMA, rel=0.1)


def test_a_frame_with_other_channels_than_its_shot_is_refused_by_name() -> None:
    analysis = _classical().analyse(lambda n: NOISY[n], sorted(NOISY), _facts())
    gray = {1001: np.ascontiguousarray(NOISY[1001][..., :1])}
    with pytest.raises(UnsupportedImage, match="1 color channels"):
        run_operator(_classical(), gray, 1001, facts=_facts(channels=1), analysis=analysis)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [3e38, -3e38])
def test_a_stray_value_near_the_end_of_float_hurts_its_surroundings_only(value: float) -> None:
    frames = {n: f.copy() for n, f in NOISY.items() if n < 1004}
    frames[1002][8, 8] = value
    out = run_operator(_classical(radius=1, step=4), frames, 1003, facts=_facts())
    assert np.isfinite(out[-24:, -24:]).all()


def test_a_letterboxed_shot_of_few_codes_is_denoised() -> None:
    rng = np.random.default_rng(9)
    clean = _clean()
    shot = {}
    for number, frame in clean.items():
        noisy = np.clip(frame + SIGMA * rng.standard_normal(frame.shape), 0, 1)
        noisy[: HEIGHT * 3 // 8] = noisy[-HEIGHT * 3 // 8 :] = 0.0
        shot[number] = (np.rint(noisy * 255) / 255).astype(np.float32)
    operator = _classical()
    got = run_operator(operator, shot, 1004, facts=_facts("uint8"))
    inner = slice(HEIGHT * 3 // 8, HEIGHT - HEIGHT * 3 // 8)
    assert _psnr(got[inner], clean[1004][inner]) > _psnr(shot[1004][inner], clean[1004][inner]) + 3


def test_empty_parts_of_a_picture_say_nothing_about_its_noise() -> None:
    # Premultiplied colors are exactly 0 where alpha is, and so are letterbox bars.
    clean = _clean()
    rng = np.random.default_rng(9)
    noisy = {
        n: (f + SIGMA * rng.standard_normal(f.shape)).astype(np.float32) for n, f in clean.items()
    }
    for share in (0.3, 0.6, 0.75):
        edge = int(HEIGHT * share)
        shot = {n: f.copy() for n, f in noisy.items()}
        for frame in shot.values():
            frame[:edge] = 0.0
        operator = _classical()
        analysis = operator.analyse(shot.__getitem__, sorted(shot), _facts())
        assert analysis["deviation"] == pytest.approx(SIGMA, rel=0.15), share  # type: ignore[arg-type]
        got = run_operator(operator, shot, 1004, facts=_facts())
        inner = slice(edge, HEIGHT)
        assert (
            _psnr(got[inner], clean[1004][inner])
            > _psnr(noisy[1004][inner], clean[1004][inner]) + 3
        )


def test_clean_titles_that_move_over_black_stay_finite_and_sharp() -> None:
    rng = np.random.default_rng(8)
    page = np.kron(rng.random((12, 50)) < 0.3, np.ones((6, 2)))[..., None]
    frames = {n: np.zeros((HEIGHT, WIDTH, 3), np.float32) for n in range(5)}
    for number, frame in frames.items():
        top = 20 - 2 * number
        frame[top : top + 72, 10:110] = page
    out = run_operator(_classical(radius=1), frames, 2, facts=_facts())
    assert np.abs(out - frames[2]).max() < 0.05


def test_shipped_networks_add_to_the_classical_passes() -> None:
    ours = run_operator(DenoiseOperator(radius=1, net="auto"), NOISY, 1004, facts=_facts())
    plain = run_operator(_classical(radius=1), NOISY, 1004, facts=_facts())
    assert _psnr(ours, CLEAN[1004]) > _psnr(plain, CLEAN[1004]) + 0.1


def test_a_lone_frame_gains_too() -> None:
    alone = {1004: NOISY[1004]}
    ours = run_operator(DenoiseOperator(net="auto"), alone, 1004, facts=_facts())
    plain = run_operator(_classical(), alone, 1004, facts=_facts())
    assert _psnr(ours, CLEAN[1004]) > _psnr(plain, CLEAN[1004])
