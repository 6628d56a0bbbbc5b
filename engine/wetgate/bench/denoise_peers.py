"""The peers of the denoise benchmark, each behind one call: a clip and a strength in, frames out.

Every peer sees values that are not cut: an integer transport spreads the noisy clip's whole
range over its codes. All run on one thread.
"""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgate.bench.denoise_clips import Frames, NoisyClip
from wetgate.bench.table import package_versions
from wetgate.model.errors import UsageError
from wetgate.operators.denoise.noise import clipped_moments
from wetgate.simulate.film import GrainSpec

_OPPONENT = np.array([[1 / 3, 1 / 3, 1 / 3], [0.5, 0.0, -0.5], [0.25, -0.5, 0.25]])
"""The color transform of BM3D. Source: Dabov et al., ICIP 2007."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filtered:
    """Frames of a peer, in the order asked for, and CPU seconds a frame."""

    frames: tuple[NDArray[np.float32], ...]
    cpu_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One filter in one variant, with a strength to search.

    Attributes:
        run: denoises the frames with the given indices.
        start: strength to start the search at; `factor` from one strength to the next.
        lowest, highest: range of strengths the filter takes.
        slow: whether strengths are tried on part of a frame only.
        as_shipped: False for a peer helped by something of ours, shown but not competed with.
        wins: whether it is among the strongest somewhere; the others can be left out of a first
            look.
    """

    name: str
    version: str
    run: Callable[[NoisyClip, Sequence[int], float], Filtered]
    start: Callable[[NoisyClip], float]
    factor: float
    lowest: float = 0.0
    highest: float = 1e9
    slow: bool = False
    as_shipped: bool = True
    wins: bool = False


def package(name: str) -> Any:
    """Import a package of the bench extra.

    Raises:
        UsageError: when it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"this benchmark needs {error.name}", remedy="pip install 'wetgate[bench]'"
        ) from error


def true_sigma(case: NoisyClip) -> float:
    """Return the RMS deviation of the noise over the channels, in units of the encoding."""
    return float(np.sqrt(np.mean(np.square(case.sigma))))


@dataclass(frozen=True, slots=True)
class CodeRange:
    """A range that holds the whole noisy clip, and the way into it and back."""

    low: float
    high: float

    @property
    def span(self) -> float:
        """Return the length of the range."""
        return self.high - self.low

    def codes(self, pixels: Frames, top: int) -> NDArray[np.float64]:
        """Return whole codes 0 to `top`."""
        return np.rint((pixels.astype(np.float64) - self.low) * (top / self.span))

    def pixels(self, codes: NDArray[Any], top: int) -> NDArray[np.float32]:
        """Return what codes stand for."""
        return (codes * (self.span / top) + self.low).astype(np.float32)


def range_of(case: NoisyClip) -> CodeRange:
    """Return the range of a noisy clip, at least 0-1."""
    return CodeRange(min(0.0, float(case.noisy.min())), max(1.0, float(case.noisy.max())))


# BM3D


def bm3d_peers(case: NoisyClip) -> list[Peer]:
    """Return BM3D told what suits the case, frame by frame."""
    version = package_versions(["bm3d"])["bm3d"]
    made = partial(Peer, version=version, factor=1.25, slow=True)
    if case.grain is None:
        plain = made(name="BM3D", run=_bm3d_white, start=true_sigma, wins=True)
        if not case.clip.dark:
            return [plain]
        helped = made(
            name="BM3D + clip debias, true sigma",
            run=_bm3d_debiased,
            start=true_sigma,
            as_shipped=False,
        )
        return [plain, helped]
    # Grain has more noise at low frequencies than white noise: plain BM3D wants more strength.
    return [
        made(name="BM3D", run=_bm3d_white, start=lambda c: 1.5 * true_sigma(c), factor=1.3),
        made(name="BM3D, true spectrum", run=_bm3d_colored, start=lambda _: 1.0, wins=True),
    ]


@contextlib.contextmanager
def old_name_of_trapezoid() -> Iterator[None]:
    """Lend numpy 2.4 the name `trapz` for the time of a call: bm3d 4.0.3 still uses it."""
    if hasattr(np, "trapz"):
        yield
        return
    np.trapz = np.trapezoid  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del np.trapz  # type: ignore[attr-defined]


def _bm3d_white(case: NoisyClip, wanted: Sequence[int], strength: float) -> Filtered:
    bm3d = package("bm3d")
    return _each(case, wanted, lambda z: bm3d.bm3d_rgb(z, strength))


def _bm3d_debiased(case: NoisyClip, wanted: Sequence[int], strength: float) -> Filtered:
    """Run BM3D, then undo what clipping did to the mean, told the true noise."""
    plain = _bm3d_white(case, wanted, strength)
    x = np.linspace(0.0, 1.0, 4096)
    mean, _ = clipped_moments(x, true_sigma(case))
    frames = tuple(np.interp(f, mean, x).astype(np.float32) for f in plain.frames)
    return Filtered(frames=frames, cpu_seconds=plain.cpu_seconds)


def _bm3d_colored(case: NoisyClip, wanted: Sequence[int], strength: float) -> Filtered:
    """Run BM3D told the spectrum of every opponent channel, cross-channel correlation included.

    `bm3d_rgb` can only be told channels that do not correlate, so its color transform is done
    here; the planes are scaled to its range 0-1 as it does itself.
    """
    bm3d = package("bm3d")
    spec = case.grain
    if spec is None:
        raise ValueError("only grain has a spectrum to tell")
    covariance = np.full((3, 3), spec.correlation) + (1 - spec.correlation) * np.eye(3)
    covariance = covariance * np.outer(case.sigma, case.sigma)
    variance = np.diag(_OPPONENT @ covariance @ _OPPONENT.T)
    back = np.linalg.inv(_OPPONENT)

    def run(z: NDArray[np.float64]) -> NDArray[np.float64]:
        planes = z @ _OPPONENT.T
        low, high = planes.min(axis=(0, 1)), planes.max(axis=(0, 1))
        spectrum = grain_spectrum(spec, z.shape[0], z.shape[1])[..., None] * (
            variance / (high - low) ** 2
        )
        # bm3d compares blocks of the first plane and takes its noise as that plane's.
        result = bm3d.bm3d((planes - low) / (high - low), strength**2 * spectrum)
        return np.asarray((result * (high - low) + low) @ back.T)

    return _each(case, wanted, run)


def grain_spectrum(spec: GrainSpec, height: int, width: int) -> NDArray[np.float64]:
    """Return the expected |DFT|^2 of unit grain, `(height, width)`; its mean is height * width."""
    rows = spec.spectrum(np.fft.fftfreq(height).astype(np.float64))
    columns = spec.spectrum(np.fft.fftfreq(width).astype(np.float64))
    return np.outer(rows, columns) * (height * width)


def _each(
    case: NoisyClip,
    wanted: Sequence[int],
    run: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> Filtered:
    with old_name_of_trapezoid():
        start = time.process_time()
        frames = tuple(run(case.noisy[i].astype(np.float64)).astype(np.float32) for i in wanted)
        spent = time.process_time() - start
    return Filtered(frames=frames, cpu_seconds=spent / len(wanted))


# OpenCV


def opencv_peers() -> list[Peer]:
    """Return the non-local means of OpenCV over five frames."""
    version = package_versions(["opencv-python-headless"])["opencv-python-headless"]
    return [
        Peer(
            name="OpenCV NLM-multi, 8-bit Lab",
            version=version,
            run=_nlm_lab,
            start=lambda c: 0.5 * 255 * true_sigma(c) / range_of(c).span,
            factor=1.2,
        ),
        Peer(
            name="OpenCV NLM-multi, 16-bit L1",
            version=version,
            run=_nlm_deep,
            start=lambda c: 1.2 * 65535 * true_sigma(c) / range_of(c).span,
            factor=1.15,
            wins=True,
        ),
    ]


def _nlm_lab(case: NoisyClip, wanted: Sequence[int], strength: float) -> Filtered:
    import cv2

    codes = range_of(case).codes(case.noisy, 255).astype(np.uint8)[..., ::-1]
    clip = [np.ascontiguousarray(c) for c in codes]
    return _nlm(
        case,
        wanted,
        255,
        lambda i: cv2.fastNlMeansDenoisingColoredMulti(clip, i, 5, None, strength, strength, 7, 21)[
            ..., ::-1
        ],
    )


def _nlm_deep(case: NoisyClip, wanted: Sequence[int], strength: float) -> Filtered:
    import cv2

    codes = range_of(case).codes(case.noisy, 65535).astype(np.uint16)
    clip = [np.ascontiguousarray(c) for c in codes]
    return _nlm(
        case,
        wanted,
        65535,
        lambda i: cv2.fastNlMeansDenoisingMulti(clip, i, 5, [strength], None, 7, 21, cv2.NORM_L1),
    )


def _nlm(
    case: NoisyClip, wanted: Sequence[int], top: int, run: Callable[[int], NDArray[Any]]
) -> Filtered:
    import cv2

    cv2.setNumThreads(1)
    start = time.process_time()
    codes = [run(i) for i in wanted]
    spent = time.process_time() - start
    back = range_of(case)
    return Filtered(
        frames=tuple(back.pixels(c, top) for c in codes), cpu_seconds=spent / len(wanted)
    )
