"""The scanner's own blur and sharpening, and the narrow bandwidth of tape."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LUMA = (0.2126, 0.7152, 0.0722)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannerSpec:
    """Separable filters on the encoded picture.

    Attributes:
        blur: standard deviation `(x, y)` of the Gaussian response, px; 0 for none.
        sharpen: aperture correction: so much of what a further blur of `sharpen_radius` px takes
            away is added back; leaves halos.
        sharpen_radius: standard deviation, px.
        chroma_blur: standard deviation `(x, y)` of the further blur of the color differences, px
            (tape carries color at a tenth of the bandwidth).
        chroma_shift: px by which color lies to the right of luma.
    """

    blur: tuple[float, float] = (0.45, 0.45)
    sharpen: float = 0.0
    sharpen_radius: float = 1.0
    chroma_blur: tuple[float, float] = (0.0, 0.0)
    chroma_shift: float = 0.0

    def kernels(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the taps of `blur` along x and y, each with sum 1."""
        return gauss_taps(self.blur[0]), gauss_taps(self.blur[1])

    def transfer(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the modulation transfer of luma at frequencies `x` and `y`, cycles a px."""
        base = _response(gauss_taps(self.blur[0]), x) * _response(gauss_taps(self.blur[1]), y)
        if not self.sharpen:
            return base
        taps = gauss_taps(self.sharpen_radius)
        soft = _response(taps, x) * _response(taps, y)
        result: NDArray[np.float64] = base * (1 + self.sharpen * (1 - soft))
        return result


def gauss_taps(sigma: float, shift: float = 0.0) -> NDArray[np.float64]:
    """Return a sampled Gaussian about `shift`, odd length, sum 1; a single 1 when sigma is 0.

    A shift without blur is interpolated linearly.
    """
    reach = max(math.ceil(4 * sigma), 0) + math.ceil(abs(shift))
    axis = np.arange(-reach, reach + 1) - shift
    taps = np.exp(-0.5 * (axis / sigma) ** 2) if sigma > 0 else np.maximum(0, 1 - np.abs(axis))
    result: NDArray[np.float64] = taps / taps.sum()
    return result


def _response(taps: NDArray[np.float64], frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    offsets = np.arange(taps.size) - taps.size // 2
    waves = np.cos(2 * math.pi * np.multiply.outer(frequency, offsets))
    result: NDArray[np.float64] = (waves * taps).sum(axis=-1)
    return result


def scan(picture: NDArray[np.float32], spec: ScannerSpec) -> NDArray[np.float32]:
    """Filter an encoded picture `(height, width, 3)`; edges repeat."""
    result = picture
    if any(spec.blur):
        result = separable(result, *spec.kernels())
    if spec.sharpen:
        taps = gauss_taps(spec.sharpen_radius)
        result = result + np.float32(spec.sharpen) * (result - separable(result, taps, taps))
    if any(spec.chroma_blur) or spec.chroma_shift:
        red, green, blue = (np.float32(w) * result[..., k] for k, w in enumerate(_LUMA))
        luma = (red + green + blue)[..., None]
        across = gauss_taps(spec.chroma_blur[0], spec.chroma_shift)
        result = luma + separable(result - luma, across, gauss_taps(spec.chroma_blur[1]))
    return result


def separable(
    picture: NDArray[np.float32], across: NDArray[np.float64], down: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Convolve `(height, width, channel)` with taps of odd length along x and y; edges repeat."""
    result = picture
    for axis, taps in ((1, across), (0, down)):
        if taps.size == 1:
            continue
        reach = taps.size // 2
        pads = [(0, 0)] * 3
        pads[axis] = (reach, reach)
        padded = np.pad(result, pads, mode="edge")
        length = picture.shape[axis]
        total = np.zeros(picture.shape, np.float32)
        # Convolution: the tap at +k takes from k before.
        for k, weight in enumerate(taps[::-1].astype(np.float32)):
            window = [slice(None)] * 3
            window[axis] = slice(k, k + length)
            total += weight * padded[tuple(window)]
        result = total
    return result
