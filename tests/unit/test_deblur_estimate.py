"""How wide a blur is, of which shape, and whether it has a direction."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from support.blurs import by_fourier, leaves
from wetgate.operators.base import Analysis, SourceFacts
from wetgate.operators.deblur.psf import deviation_of, disc_psf, gaussian_psf, motion_psf
from wetgate.operators.deblur.shot import measure_shot, noise_at, words

SHARP = leaves(220, 240)
CODES = 1.5 / 255


def measured(*frames: NDArray[np.float32], told: float | None = None) -> Analysis:
    facts = SourceFacts(
        sample_type="half",
        width=frames[0].shape[1],
        height=frames[0].shape[0],
        channels=frames[0].shape[2],
        is_log_working=False,
    )
    return measure_shot(lambda n: frames[n], range(len(frames)), facts, told)


def noisy(picture: NDArray[np.float32], seed: int = 1) -> NDArray[np.float32]:
    deviates = np.random.default_rng(seed).standard_normal(picture.shape, np.float32)
    return (picture + np.float32(CODES) * deviates).astype(np.float32)


@pytest.mark.parametrize(
    ("kernel", "shape"),
    [
        (gaussian_psf(0.9), "gaussian"),
        (gaussian_psf(1.5), "gaussian"),
        (gaussian_psf(2.1), "gaussian"),
        (disc_psf(3.2), "disc"),
    ],
)
def test_the_width_of_a_lens_is_found(kernel: NDArray[np.float64], shape: str) -> None:
    found = measured(noisy(by_fourier(SHARP, kernel)))
    assert found["verdict"] == "lens"
    assert found["sigma"] == pytest.approx(deviation_of(kernel), rel=0.15)
    assert found["shape"] == shape
    assert "taken back" in words(found)


@pytest.mark.parametrize("degrees", [0.0, 35.0, 90.0, 140.0])
def test_motion_is_told_from_a_lens_with_its_direction(degrees: float) -> None:
    found = measured(noisy(by_fourier(SHARP, motion_psf(7.0, degrees))))
    assert found["verdict"] == "motion"
    assert found["sigma"] == 0.0
    apart = abs(float(str(found["degrees"])) - degrees) % 180
    assert min(apart, 180 - apart) < 12
    assert "directional" in words(found) and "left as it is" in words(found)


def test_a_shot_that_moves_in_every_direction_is_still_motion() -> None:
    kernels = [motion_psf(7.0, d) for d in (0.0, 45.0, 90.0, 135.0)]
    found = measured(*(noisy(by_fourier(SHARP, k), i) for i, k in enumerate(kernels)))
    assert (found["verdict"], found["moving"], found["sigma"]) == ("motion", 4, 0.0)


def test_one_frame_of_motion_does_not_speak_for_the_shot() -> None:
    soft = by_fourier(SHARP, gaussian_psf(1.4))
    shaken = by_fourier(SHARP, motion_psf(8.0, 20.0))
    found = measured(noisy(soft, 1), noisy(soft, 2), noisy(shaken, 3), noisy(soft, 4))
    assert (found["verdict"], found["moving"]) == ("lens", 1)
    assert found["sigma"] == pytest.approx(1.4, rel=0.15)


def test_a_sharp_shot_is_called_sharp() -> None:
    found = measured(noisy(SHARP))
    assert (found["verdict"], found["sigma"]) == ("sharp", 0.0)


def test_without_lone_edges_nothing_is_claimed() -> None:
    y, x = np.mgrid[0:160, 0:160]
    waves = np.repeat((0.3 + 0.1 * np.sin(x * 0.9 + 0.2 * y))[..., None], 3, axis=2)
    found = measured(waves.astype(np.float32))
    assert (found["verdict"], found["sigma"]) == ("unknown", 0.0)
    assert "too few" in words(found)


def test_edges_of_one_direction_cannot_tell() -> None:
    """Bars across: a motion along them leaves no trace."""
    bars = np.full((200, 240, 3), 0.1, np.float32)
    for k in range(10, 200, 40):
        bars[k : k + 20] += 0.2
    found = measured(noisy(by_fourier(bars, gaussian_psf(1.4))))
    assert int(str(found["edges"])) > 100
    assert (found["verdict"], found["sigma"]) == ("unknown", 0.0)


def test_texture_that_is_there_overrules_soft_edges() -> None:
    """Soft shapes in sharp grass: no lens blurs the one and not the other."""
    soft = by_fourier(SHARP, gaussian_psf(2.0))
    found = measured(soft)
    grass = np.random.default_rng(4).standard_normal(soft.shape[:2])[..., None] * 0.1
    grass[: grass.shape[0] // 2] = 0.0
    crisp = measured((soft * (1 + grass)).astype(np.float32))
    assert float(str(found["sigma"])) > 1.7
    assert float(str(crisp["sigma"])) < 0.5 * float(str(found["sigma"]))


def test_what_the_user_says_is_done_and_what_was_found_is_said() -> None:
    found = measured(noisy(by_fourier(SHARP, motion_psf(7.0, 35.0))), told=1.1)
    assert (found["sigma"], found["verdict"]) == (1.1, "motion")
    assert words(found).startswith("told to take back 1.10 px")


def test_exposure_does_not_change_the_verdict() -> None:
    soft = by_fourier(SHARP, gaussian_psf(1.5))
    found = [measured(soft * np.float32(gain)) for gain in (0.25, 1.0, 30.0)]
    assert {f["verdict"] for f in found} == {"lens"}
    widths = [float(str(f["sigma"])) for f in found]
    assert max(widths) - min(widths) < 0.12


def test_the_noise_is_that_of_the_encoded_luma() -> None:
    gray = np.full((96, 128, 3), 0.25, np.float32)
    rng = np.random.default_rng(6)
    frames = [gray + np.float32(0.004) * rng.standard_normal(gray.shape, np.float32) for _ in "ab"]
    found = measured(*frames)
    # d encoded / d light = 1 / ((x + knee) ln(1 + 1 / knee)), three channels averaged.
    want = 0.004 / np.sqrt(3) / ((0.25 + 1 / 32) * np.log(33))
    from wetgate.operators.deblur.classical import encode

    assert noise_at(found, encode(gray))[0, 0] == pytest.approx(want, rel=0.12)


def test_frames_too_small_to_tell_are_left_alone() -> None:
    assert measured(SHARP[:40, :50].copy())["sigma"] == 0.0
    assert measured(SHARP[:6, :5].copy())["sigma"] == 0.0
