"""Noise with its law known, and what the classical passes make of it, for the denoise tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.model.box import Box
from wetgate.operators.base import (
    Analysis,
    FrameSurvey,
    PairSurvey,
    Pixels,
    SourceFacts,
    Stage,
    Window,
    pixels_of,
)
from wetgate.operators.denoise.operator import DenoiseOperator
from wetgate.operators.denoise.shot import shot_noise
from wetgate.simulate.camera import CameraSpec, Layer, photograph, view_of
from wetgate.train.pictures import Pictures

_BLOCK = 8
_FIELD = 512
SHOT, LENGTH = 144, 9
"""Side and number of frames of a training clip, px and frames."""
_SOURCE = 400


@dataclass(frozen=True, slots=True)
class NoiseLaw:
    """Gaussian noise of variance `a + b x` a channel, white or filtered by a Gaussian.

    Attributes:
        a, b: `(3,)` variance polynomial, display-referred units.
        aperture: deviation of the filter that correlates it, px; 0 for white noise.
        spectrum: `(8, 8)` variances of its DCT samples, mean 1.
        flatness: geometric over arithmetic mean of `spectrum`.
    """

    a: NDArray[np.float64]
    b: NDArray[np.float64]
    aperture: float
    spectrum: NDArray[np.float64]
    flatness: float

    def deviation(self, signal: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the deviation at each sample of `(..., 3)` pixels."""
        variance = self.a + self.b * np.clip(signal.astype(np.float64), 0.0, 1.0)
        return np.sqrt(variance).astype(np.float32)

    def add(self, clean: Pixels, rng: np.random.Generator) -> Pixels:
        """Return the picture with noise drawn from `rng`."""
        field = correlated_field(rng, clean.shape, self.aperture)
        return np.asarray(clean + self.deviation(clean) * field, np.float32)


def draw_law(rng: np.random.Generator) -> NoiseLaw:
    """Draw a noise law: deviations of 1-60 codes of 255, some signal-dependent, some filtered."""
    code = rng.uniform(1, 60) if rng.uniform() < 0.5 else np.exp(rng.uniform(0.0, np.log(60)))
    variance = (code / 255) ** 2 * np.ones(3)
    kind = rng.uniform()
    if kind < 0.35:
        variance = variance * rng.uniform(0.5, 1.6, 3)
    share = rng.uniform(0.2, 0.9) if kind < 0.25 else 0.0
    aperture = rng.uniform(0.35, 0.8) if rng.uniform() < 0.25 else 0.0
    field = correlated_field(rng, (_FIELD, _FIELD, 1), aperture)[..., 0]
    spectrum = block_spectrum(field) if aperture else np.ones((_BLOCK, _BLOCK))
    flatness = float(np.exp(np.log(spectrum).mean()) / spectrum.mean())
    return NoiseLaw(
        variance * (1 - share), 2 * variance * share, float(aperture), spectrum, flatness
    )


def white_law(rng: np.random.Generator) -> NoiseLaw:
    """Draw white noise of 3-60 codes of 255, the same in all channels: all a lone frame tells."""
    variance = (rng.uniform(3, 60) / 255) ** 2 * np.ones(3)
    return NoiseLaw(variance, np.zeros(3), 0.0, np.ones((_BLOCK, _BLOCK)), 1.0)


def correlated_field(
    rng: np.random.Generator, shape: tuple[int, ...], aperture: float
) -> NDArray[np.float32]:
    """Return normal noise of unit deviation, filtered by a Gaussian of `aperture` px."""
    import cv2

    white = rng.standard_normal(shape, dtype=np.float32)
    if aperture == 0.0:
        return white
    reach = int(np.ceil(4 * aperture))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / aperture) ** 2)
    taps /= np.sqrt((taps**2).sum())
    soft = cv2.sepFilter2D(white, -1, taps, taps, borderType=cv2.BORDER_REFLECT_101)
    return soft.reshape(shape).astype(np.float32)


def block_spectrum(field: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean power of the orthonormal 8x8 DCT of a field's blocks, mean 1."""
    n = np.arange(_BLOCK)
    basis = np.cos(np.pi * (2 * n[None] + 1) * n[:, None] / (2 * _BLOCK)) * np.sqrt(2 / _BLOCK)
    basis[0] /= np.sqrt(2)
    side = field.shape[0] // _BLOCK
    blocks = field.reshape(side, _BLOCK, side, _BLOCK).transpose(0, 2, 1, 3).astype(np.float64)
    power = np.mean((basis @ blocks @ basis.T) ** 2, axis=(0, 1))
    return np.asarray(power / power.mean())


def analysis_of(law: NoiseLaw, clean: Pixels, *, temporal: bool = True) -> dict[str, object]:
    """Return what the operator's own analysis would say of a law, were it exact.

    Args:
        temporal: whether frames of the shot could be compared.
    """
    spectrum = law.spectrum.copy()
    spectrum[0, 0] = min(spectrum[0, 0], spectrum[0, 1] + spectrum[1, 0])
    analysis: dict[str, object] = {
        "deviation": float(np.sqrt((law.a + 0.5 * law.b).mean())),
        "channels": [
            {"variance": [float(a), float(b), 0.0], "range": [0.0, 1.0], "clips": [False, False]}
            for a, b in zip(law.a, law.b, strict=True)
        ],
        "spectrum": [[float(v) for v in spectrum.ravel()]] * 3,
        "luma": [0.0, 1.0],
        "temporal": temporal,
    }
    luma = shot_noise(analysis, 1.0).to_units(np.ascontiguousarray(clean))[0]
    analysis["luma"] = [float(luma.min()) - 4.0, float(luma.max()) + 4.0]
    return analysis


def classical_passes(
    frames: Mapping[int, Pixels], analysis: Analysis, stages: int = 2
) -> dict[int, Pixels]:
    """Run the operator's first passes on every frame of a small shot, whole frames at once.

    The result is without the bias of the noise curve, as the spatial network gets it.
    """
    made = run_stages(DenoiseOperator(net="none").stages[:stages], frames, analysis)
    noise = shot_noise(analysis, 1.0)
    return {n: noise.to_pixels(noise.to_units(pixels)) for n, pixels in made.items()}


def run_stages(
    stages: Sequence[Stage], frames: Mapping[int, Pixels], analysis: Analysis
) -> dict[int, Pixels]:
    """Run stages of the operator on every frame of a small shot, whole frames at once."""
    current: dict[int, Pixels] = {}
    for stage in stages:
        windows = windows_of(stage, frames, current, analysis)
        current = {n: pixels_of(stage(w, analysis, facts_of(w))) for n, w in windows.items()}
    return current


def windows_of(
    stage: Stage,
    frames: Mapping[int, Pixels],
    previous: Mapping[int, Pixels],
    analysis: Analysis,
    numbers: Sequence[int] | None = None,
) -> dict[int, Window]:
    """Return the windows that a stage sees of a small shot, whole frames without halo.

    Args:
        previous: output of the stage before; empty for the first one.
        numbers: center frames; None for all.
    """
    height, width, _ = next(iter(frames.values())).shape
    box = Box.of_size(width, height)
    seen = previous or frames
    surveys: dict[int, FrameSurvey] = {}
    radius, windows = stage.footprint.temporal_radius, {}
    for number in frames if numbers is None else numbers:
        around = [n if n in frames else None for n in range(number - radius, number + radius + 1)]
        used = [number if n is None else n for n in around]
        pairs: list[PairSurvey | None] = []
        for n in around:
            if n is None or n == number:
                pairs.append(None)
                continue
            for k in (n, number):
                if k not in surveys:
                    surveys[k] = stage.survey_frame(seen[k], analysis, facts_of(frames[k]))
            pairs.append(stage.survey_pair(surveys[number], surveys[n]))
        windows[number] = Window(
            number=number,
            pixels=tuple(frames[n] for n in used),
            previous=tuple(previous[n] for n in used) if previous else (),
            valid=tuple(n is not None for n in around),
            pairs=tuple(pairs),
            region=box,
            tile=box,
            frame=box,
        )
    return windows


def facts_of(frame: Window | Pixels) -> SourceFacts:
    """Return the facts of a float clip that a frame or window is of."""
    height, width, channels = (frame.center if isinstance(frame, Window) else frame).shape
    return SourceFacts(
        sample_type="float", width=width, height=height, channels=channels, is_log_working=False
    )


def draw_clip(rng: np.random.Generator, pictures: Pictures, *, held: bool = False) -> list[Pixels]:
    """Film one to three layers with a moving camera; `LENGTH` clean frames of `SHOT` px."""
    take = pictures.held_out if held else pictures.crops
    count = 1 + int(rng.integers(0, 3))
    sources = take(rng, count, _SOURCE)
    layers = [Layer(sources[0], parallax=1.0)]
    for source in sources[1:]:
        layers.append(Layer(source, _cover(rng), parallax=float(rng.uniform(1.0, 3.0))))
    seed = int(rng.integers(1 << 31))
    speed = float(np.exp(rng.uniform(np.log(0.1), np.log(3.5)))) if rng.uniform() < 0.85 else 0.0
    angle = rng.uniform(0, 2 * np.pi)
    camera = CameraSpec(
        scale=float(rng.uniform(1.0, 1.9)),
        pan=(speed * float(np.cos(angle)), speed * float(np.sin(angle))),
        zoom=float(rng.uniform(0.992, 1.008)) if rng.uniform() < 0.5 else 1.0,
        shake=float(rng.uniform(0, 1.5)) if rng.uniform() < 0.5 else 0.0,
        first=LENGTH // 2,
    )
    size = SHOT, SHOT
    return [
        np.clip(
            photograph(
                layers, [view_of(camera, seed, n, size=size, layer=la) for la in layers], size
            ),
            0,
            1,
        ).astype(np.float32)
        for n in range(LENGTH)
    ]


def _cover(rng: np.random.Generator) -> NDArray[np.float32]:
    y, x = np.mgrid[0:_SOURCE, 0:_SOURCE].astype(np.float32)
    cover = np.zeros((_SOURCE, _SOURCE), np.float32)
    for _ in range(int(rng.integers(1, 4))):
        cx, cy = rng.uniform(0.25 * _SOURCE, 0.75 * _SOURCE, 2)
        angle, long, short = rng.uniform(0, np.pi), rng.uniform(25, 90), rng.uniform(8, 50)
        u = ((x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)) / long
        v = (-(x - cx) * np.sin(angle) + (y - cy) * np.cos(angle)) / short
        cover = np.maximum(cover, np.clip((1 - np.hypot(u, v)) * short + 0.5, 0, 1))
    return cover
