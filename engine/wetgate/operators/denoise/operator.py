"""The denoise operator: measured noise, three motion-compensated passes, no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

from wetgate import _native
from wetgate.model.errors import UnsupportedImage
from wetgate.operators.base import (
    Analysis,
    Footprint,
    FrameReader,
    FrameSurvey,
    OperatorSpec,
    PairSurvey,
    Pixels,
    Provenance,
    SourceFacts,
    Stage,
    Window,
)
from wetgate.operators.denoise import passes
from wetgate.operators.denoise.flow import FlowPicture, estimate_flow, flow_picture
from wetgate.operators.denoise.noise import ChannelNoise, noise_units
from wetgate.operators.denoise.passes import PATCH, ShotNoise, stacked
from wetgate.operators.denoise.profile import Measured, measure, spectrum

_QUIET_CODES = 0.25
_GAIN_POINTS = 256
_LEAST_VARIANCE = 1e-6
"""In noise units: where most blocks are clean nothing is left at a frequency, and the passes
divide by what there is."""
_OVERLAP = 0.55
"""Patches of one frame overlap, and what correlated noise they share does not average out. The
variance that a group still holds grows with the correlation; measured on grain of apertures 0.5,
0.7 and 1.0 px, this law comes within 0.05 dB of the best factor for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DenoiseOperator:
    """Remove noise and grain that do not follow the picture.

    Args:
        radius: frames either side that the first two passes each look at (1-4); the third sees 1.
        step: px between reference patches (2-6); smaller is slower and slightly better.
        sigma_scale: factor on the measured noise deviation (0.5-2); 1 trusts the measurement.
        grain_keep: share of what was removed that is mixed back, 0 (none) to 1 (the source).

    Caveats:
        Finer than 8 x 8 px, a frame is returned as it is. A shot whose noise is under a quarter
        of a code of its file (or of 1/65535 for float files) is returned bit for bit.
    """

    radius: int = 3
    step: int = 3
    sigma_scale: float = 1.0
    grain_keep: float = 0.0

    def __post_init__(self) -> None:
        for name, low, high in (("radius", 1, 4), ("step", 2, 6), ("sigma_scale", 0.5, 2.0)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must lie in {low}-{high}, got {value}")
            if isinstance(low, int) and type(value) is not int:
                raise ValueError(f"{name} must be a whole number, got {value!r}")
        if not 0.0 <= self.grain_keep <= 1.0:
            raise ValueError(f"grain_keep must lie in 0-1, got {self.grain_keep}")

    @property
    def spec(self) -> OperatorSpec:
        """Return the declared facts."""
        return OperatorSpec(
            name="denoise",
            version=1,
            footprint=Footprint(
                temporal_radius=2 * self.radius + 1,
                halo=2 * passes.HALO + passes.FUSION_HALO,
                bytes_per_pixel=_bytes_per_pixel(self.radius),
            ),
            working_space="log",
            provenance=Provenance.FILTERED,
            needs_analysis=True,
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return the thresholding pass, the Wiener pass and the fusion of what they made."""
        return (
            _FirstPass(self, self.radius),
            _SecondPass(self, self.radius, exact_output=True),
            _ThirdPass(self, 1, passes.FUSION_HALO),
        )

    def analyse(self, read: FrameReader, frames: Sequence[int], facts: SourceFacts) -> Analysis:
        """Measure the noise of a shot; see `profile` for how."""
        if min(facts.width, facts.height) < PATCH:
            return {"deviation": 0.0}
        measured = measure(read, frames, facts)
        return _describe(measured, facts)


@dataclass(frozen=True, slots=True)
class _Pass:
    operator: DenoiseOperator
    radius: int
    halo: int = passes.HALO
    exact_output: bool = False

    @property
    def footprint(self) -> Footprint:
        return Footprint(
            temporal_radius=self.radius,
            halo=self.halo,
            bytes_per_pixel=_bytes_per_pixel(self.radius),
            # A picture of one byte and, for every neighbor, vectors of four bytes for 2 x 2 px.
            survey_bytes_per_pixel=1 + 2 * self.radius,
            exact_output=self.exact_output,
        )

    def survey_pair(self, here: FrameSurvey, there: FrameSurvey) -> PairSurvey:
        return estimate_flow(cast(FlowPicture, here), cast(FlowPicture, there))

    def _noise(self, analysis: Analysis, facts: SourceFacts) -> ShotNoise:
        noise = shot_noise(analysis, self.operator.sigma_scale)
        if len(noise.spectrum) != facts.channels:
            raise UnsupportedImage(
                f"a frame with {facts.channels} color channels",
                expected=f"{len(noise.spectrum)}, as where the shot begins",
                remedy="restore it on its own",
            )
        return noise

    def _survey(
        self, whole: Pixels, analysis: Analysis, facts: SourceFacts, blur: float
    ) -> FrameSurvey | None:
        if _idle(analysis, facts):
            return None
        noise = self._noise(analysis, facts)
        return flow_picture(noise.to_units(whole)[0], *noise.luma, blur)


@dataclass(frozen=True, slots=True)
class _FirstPass(_Pass):
    threshold: float = 2.9

    def survey_frame(
        self, whole: Pixels, analysis: Analysis, facts: SourceFacts
    ) -> FrameSurvey | None:
        return self._survey(whole, analysis, facts, 1.5)

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels:
        if _idle(analysis, facts):
            return _tile_of(window, window.center)
        noise = self._noise(analysis, facts)
        planes = passes.first_pass(window, noise, step=self.operator.step, threshold=self.threshold)
        return noise.to_pixels_biased(planes)


@dataclass(frozen=True, slots=True)
class _SecondPass(_Pass):
    def survey_frame(
        self, whole: Pixels, analysis: Analysis, facts: SourceFacts
    ) -> FrameSurvey | None:
        return self._survey(whole, analysis, facts, 0.7)

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels:
        if _idle(analysis, facts):
            return _tile_of(window, window.center)
        noise = self._noise(analysis, facts)
        planes = passes.second_pass(window, noise, step=self.operator.step)
        return noise.to_pixels_biased(planes)


@dataclass(frozen=True, slots=True)
class _ThirdPass(_Pass):
    def survey_frame(
        self, whole: Pixels, analysis: Analysis, facts: SourceFacts
    ) -> FrameSurvey | None:
        return self._survey(whole, analysis, facts, 0.5)

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Pixels:
        source = _tile_of(window, window.center)
        if _idle(analysis, facts) or self.operator.grain_keep == 1.0:
            return source
        noise = self._noise(analysis, facts)
        planes = passes.third_pass(window, noise)
        tile = window.tile.within(window.region)
        clean = noise.to_pixels(np.ascontiguousarray(planes[:, tile[0], tile[1]]))
        if self.operator.grain_keep == 0.0:
            return clean
        keep = np.float32(self.operator.grain_keep)
        mixed: Pixels = clean + keep * (source - clean)
        return mixed


def _tile_of(window: Window, pixels: Pixels) -> Pixels:
    return np.ascontiguousarray(pixels[window.tile.within(window.region)])


def _bytes_per_pixel(radius: int) -> int:
    # Both passes: noisy and basic planes of every frame, guides, fusion scratch.
    return (2 * radius + 1) * (12 + 12 + 8) + 64


def _idle(analysis: Analysis, facts: SourceFacts) -> bool:
    if min(facts.width, facts.height) < PATCH:
        return True
    depth = {"uint8": 8, "uint10": 10, "uint12": 12}.get(facts.sample_type, 16)
    code = 1.0 / (2**depth - 1)
    return bool(cast(float, analysis["deviation"]) < _QUIET_CODES * code)


def _describe(measured: Measured, facts: SourceFacts) -> dict[str, object]:
    """Turn measurements into JSON values that `shot_noise` reads back."""
    units = [noise_units(c) for c in measured.channels]
    forward = stacked([u.forward for u in units])
    blocks = _residual_in_units(measured, forward)
    shape = spectrum(blocks)
    clips = any(c.clips for c in measured.channels)
    if not measured.temporal:
        shape = np.ones_like(shape)
    elif clips:  # the level of what clipping left is in the gain curve; keep the shape alone
        shape = shape / np.mean(shape[:, 1:, 1:], axis=(1, 2), keepdims=True)
    # A light that flickers is not grain: the mean of a block may vary little more than its
    # lowest frequencies do.
    lowest = 0.5 * (shape[:, 0, 1] + shape[:, 1, 0])
    shape[:, 0, 0] = np.minimum(shape[:, 0, 0], 2.0 * lowest)
    least = np.maximum(1e-3 * shape.mean(axis=(1, 2), keepdims=True), _LEAST_VARIANCE)
    shape = np.maximum(shape, least)
    luma = measured.signal.astype(np.float32)[:, None, :]
    level = _luma_in_units(luma, forward)
    margin = 4.0 * float(np.sqrt(shape[0].mean()))
    deviations = [
        float(np.sqrt(c.variance(np.array([0.5 * (c.low + c.high)]))[0])) for c in measured.channels
    ]
    return {
        "deviation": float(np.mean(deviations)),
        "channels": [
            {
                "variance": [c.a, c.b, c.c],
                "range": [c.low, c.high],
                "clips": [c.clips_low, c.clips_high],
            }
            for c in measured.channels
        ],
        "bins": [[list(row) for row in rows] for rows in measured.bins],
        "spectrum": [[round(float(v), 6) for v in plane.ravel()] for plane in shape],
        "covariance": _covariance(measured),
        "luma": [float(level.min()) - margin, float(level.max()) + margin],
        "temporal": measured.temporal,
        "held": measured.held,
    }


def _residual_in_units(
    measured: Measured, forward: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> NDArray[np.float64]:
    """Rotate the residual blocks into noise units about the blocks' own signal."""
    base = measured.signal[:, :, None, None]
    count = len(base)

    def planes(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
        flat = np.ascontiguousarray(
            blocks.transpose(0, 2, 3, 1).reshape(count, PATCH * PATCH, -1).astype(np.float32)
        )
        units = _native.to_noise_units(flat, *forward)
        stacked_units = units.reshape(-1, count, PATCH, PATCH).transpose(1, 0, 2, 3)
        return np.asarray(stacked_units, np.float64)

    still = np.broadcast_to(base, measured.residual.shape)
    return planes(base + measured.residual) - planes(still)


def _luma_in_units(
    pixels: Pixels, forward: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> NDArray[np.float32]:
    planes = _native.to_noise_units(np.ascontiguousarray(pixels), *forward)
    return np.asarray(planes[0])


def _covariance(measured: Measured) -> list[list[float]]:
    """Return the covariance of noise between channels, in the working encoding."""
    flat = measured.residual.transpose(1, 0, 2, 3)
    flat = flat - flat.mean(axis=(2, 3), keepdims=True)
    flat = flat.reshape(flat.shape[0], -1)
    limit = 4.0 * 1.4826 * np.median(np.abs(flat), axis=1, keepdims=True)
    inside = np.all(np.abs(flat) <= limit, axis=0)
    covariance = np.atleast_2d(np.cov(flat[:, inside]))
    return [[float(v) for v in row] for row in covariance]


def shot_noise(analysis: Analysis, sigma_scale: float) -> ShotNoise:
    """Build what the passes need from a shot's analysis; cached, pure."""
    channels = cast(Sequence[Mapping[str, Sequence[float]]], analysis["channels"])
    key = tuple(
        (*c["variance"], *c["range"], bool(c["clips"][0]), bool(c["clips"][1])) for c in channels
    )
    planes = tuple(tuple(p) for p in cast(Sequence[Sequence[float]], analysis["spectrum"]))
    luma = cast(Sequence[float], analysis["luma"])
    return _shot_noise(key, planes, (luma[0], luma[1]), sigma_scale)


@lru_cache(maxsize=32)
def _shot_noise(
    key: tuple[tuple[float, float, float, float, float, bool, bool], ...],
    planes: tuple[tuple[float, ...], ...],
    luma: tuple[float, float],
    sigma_scale: float,
) -> ShotNoise:
    units = [noise_units(ChannelNoise(*k)) for k in key]
    # The native spectrum is stored transposed: rows and columns change places.
    shape = np.array(planes, np.float64).reshape(len(planes), PATCH, PATCH)
    shape = shape.transpose(0, 2, 1) * sigma_scale**2
    grain = shape * (1.0 + _OVERLAP * (1.0 - _flatness(shape)))[:, None, None]
    gain, gain_range = None, (0.0, 1.0)
    if any(k[5] or k[6] for k in key):
        signal = np.sum([u.gain_signal.astype(np.float64) for u in units], axis=0)
        signal = signal / np.sqrt(len(units))
        left = np.mean([u.gain_levels.astype(np.float64) for u in units], axis=0)
        rising = np.maximum.accumulate(signal)
        keep = np.concatenate([[True], np.diff(rising) > 1e-9])
        points = np.linspace(rising[keep][0], rising[keep][-1], _GAIN_POINTS)
        gain = np.interp(points, rising[keep], left[keep]).astype(np.float32)
        gain_range = (float(points[0]), float(points[-1]))
    return ShotNoise(
        forward=stacked([u.forward for u in units]),
        backward=stacked([u.backward for u in units]),
        spectrum=np.ascontiguousarray(grain.reshape(len(planes), -1).astype(np.float32)),
        # Where every median was 0 there is no noise to speak of; the passes still need a floor.
        low_variance=max(float(_low_passed_variance(shape[0])), 1e-6),
        gain=gain,
        gain_range=gain_range,
        luma=luma,
    )


def _flatness(spectra: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return geometric over arithmetic mean of each plane: 1 for white noise, near 0 for grain.

    Source: Gray, Markel, "A spectral-flatness measure for studying the autocorrelation method of
    linear prediction of speech analysis", IEEE TASSP 22 (1974).
    """
    logs = np.log(np.maximum(spectra, 1e-30)).mean(axis=(1, 2))
    return np.asarray(np.exp(logs) / np.maximum(spectra.mean(axis=(1, 2)), 1e-30))


def _low_passed_variance(spectrum_of_luma: NDArray[np.float64]) -> float:
    """Return the variance of noise after the 3x3 binomial, from its DCT spectrum.

    The binomial's response at DCT frequency k of 8 is (1 + cos(pi k / 8)) / 2 a direction.
    """
    response = ((1.0 + np.cos(np.pi * np.arange(PATCH) / PATCH)) / 2.0) ** 2
    return float(np.mean(spectrum_of_luma * np.outer(response, response)))
