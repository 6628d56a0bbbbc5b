"""Measure the noise of a shot: variance against signal, spectrum, channel covariance.

Noise is what does not follow motion. Pairs of neighboring frames are laid over each other in
8x8 blocks along sub-pixel motion; the difference of blocks with little texture is noise at every
frequency, which a spatial high-pass cannot see of grain, once the noise that interpolation took
away is put back. Medians over blocks reject what moved wrongly or was uncovered. A shot of one
frame falls back to the high frequencies of its smoothest blocks and white noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.base import FrameReader, Pixels, SourceFacts
from wetgate.operators.denoise.fit import BINS, fit_channel
from wetgate.operators.denoise.flow import estimate_flow, flow_picture
from wetgate.operators.denoise.noise import ChannelNoise

BLOCK = 8
_PAIRS = 6
_MOST_BLOCKS = 6144  # of a pair: 19 MB of float64 each for signal and residual
_TAPS = 8
_MEDIAN_OF_CHI2 = 0.454936  # median of the chi-squared distribution, one degree of freedom
_SMOOTH_SHARE = 0.15
_SPIKE = 3.0
_MOST_EXCESS = 1.6  # variance of a block over the model's; white noise reaches it in 1 of 1000
_ROUNDING = 1e-6  # of values near 1, with room for the interpolation between equal ones
_MOST_FLAT = 0.5  # white noise of one code in integers makes 0.27 of neighbors equal
_QUIETEST = 0.02  # deviation of the quietest channel, as a share of the noisiest one's

_Blocks = NDArray[np.float64]
"""`(block, channel, 8, 8)`."""

_Ends = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""Per channel, whether codes pile up at the low end and at the high one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Blocks of one frame and what is left of them against its neighbor."""

    signal: _Blocks
    residual: _Blocks
    texture: NDArray[np.float64]
    flat: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the blocks of a shot said.

    Attributes:
        channels: the fitted model of each channel.
        bins: per channel, rows of (signal, deviation, blocks) that the fit saw.
        residual: residual blocks of the smooth half, in the working encoding.
        signal: mean signal of those blocks, `(block, channel)`.
        temporal: whether neighbors could be compared (else a single frame was measured).
        held: share of pairs that were exact copies of each other.
    """

    channels: tuple[ChannelNoise, ...]
    bins: tuple[tuple[tuple[float, float, int], ...], ...]
    residual: _Blocks
    signal: NDArray[np.float64]
    temporal: bool
    held: float


def measure(read: FrameReader, frames: Sequence[int], facts: SourceFacts) -> Measured:
    """Measure one shot.

    Args:
        read: gives frames `(height, width, channel)` in the working encoding.
        frames: numbers of the shot, ascending; the first has the size of `facts`, at least 8 px.
    """
    pairs: list[Pair] = []
    held = 0
    clipping: list[_Ends] = []
    for here, there in _sample_pairs(frames):
        compared = _compared(read(here), read(there), facts)
        if compared is None:
            continue
        ends, equal, pair = compared
        clipping.append(ends)
        held += equal
        if pair is not None:
            pairs.append(pair)
    temporal = bool(pairs)
    seen = max(len(clipping), 1)
    if not pairs:  # nothing moves or nothing compares, so only space can tell
        alone = read(frames[0])
        clipping.append(_clips(alone, facts))
        pairs.append(_alone(alone))
    low = np.any([c[0] for c in clipping], axis=0)
    high = np.any([c[1] for c in clipping], axis=0)
    signal = np.concatenate([p.signal for p in pairs])
    residual = np.concatenate([p.residual for p in pairs])
    texture = np.concatenate([p.texture for p in pairs])
    flat = np.concatenate([p.flat for p in pairs])
    del pairs
    telling = _not_empty(signal, residual, flat)
    if telling.any():
        signal, residual, texture = signal[telling], residual[telling], texture[telling]
    else:
        residual = np.zeros_like(residual)
    smooth = _smooth(texture, signal)
    signal, residual = signal[smooth], residual[smooth]
    means = signal.mean(axis=(2, 3))
    fits = [
        fit_channel(means[:, c], residual[:, c], bool(low[c]), bool(high[c]))
        for c in range(signal.shape[1])
    ]
    channels = _not_far_apart([f[0] for f in fits])
    plain = _explained(channels, means, residual)
    return Measured(
        channels=channels,
        bins=tuple(f[1] for f in fits),
        residual=residual[plain],
        signal=means[plain],
        temporal=temporal,
        held=held / seen,
    )


def _compared(a: Pixels, b: Pixels, facts: SourceFacts) -> tuple[_Ends, bool, Pair | None] | None:
    """Compare two neighbors; None where one is a stray of another size.

    Returns:
        where codes pile up, whether the frames are equal, and what told them apart if anything.
    """
    shape = facts.height, facts.width, facts.channels
    if a.shape != shape or b.shape != shape:
        return None
    ends, equal = _clips(a, facts), np.array_equal(a, b)
    return ends, equal, None if equal else _against(a, b)


def measuring_bytes(pixels: int) -> int:
    """Return the most memory that `measure` takes for frames of so many px.

    Two frames and what is made of them to compare them, with the blocks of the pairs before, each
    as signal and residual in float64; once frames are gone, the blocks of all, joined and picked
    from.
    """
    blocks = 3 * BLOCK**2 * 8 * min(pixels // BLOCK**2, _MOST_BLOCKS)
    return max(33 * pixels + 19 * blocks, 5 * _PAIRS * blocks)


def _not_empty(signal: _Blocks, residual: _Blocks, flat: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell the blocks that are no copies to the last bit: letterbox bars, empty alpha.

    They never went through what made the noise, and being the smoothest of all they would speak
    for it. But in clean graphics (titles over black) the copies speak the truth: where noise is,
    hardly a sample equals the one beside it. When the others are flat too, what they differ by is
    motion, and no block is told.
    """
    spread = np.ptp(residual, axis=(2, 3)).max(axis=1)
    told: NDArray[np.bool_] = spread > _ROUNDING * np.maximum(
        1.0, np.abs(signal).max(axis=(1, 2, 3))
    )
    if told.any() and np.median(flat[told]) >= _MOST_FLAT:
        told = np.zeros(len(told), np.bool_)
    return told


def _flatness(own: _Blocks) -> NDArray[np.float64]:
    """Return the share of samples in each block that equal the one to their left."""
    return np.asarray((own[..., 1:] == own[..., :-1]).mean(axis=(1, 2, 3)))


def _explained(
    channels: Sequence[ChannelNoise], means: NDArray[np.float64], residual: _Blocks
) -> NDArray[np.bool_]:
    """Tell the blocks that hold little more than the noise found: the others hold texture.

    All blocks count when fewer than a quarter would be left.
    """
    ratio = np.zeros(len(means))
    for c, noise in enumerate(channels):
        ratio += residual[:, c].var(axis=(1, 2)) / noise.variance(means[:, c])
    plain: NDArray[np.bool_] = ratio / len(channels) < _MOST_EXCESS
    return plain if plain.mean() >= 0.25 else np.ones(len(means), np.bool_)


def _not_far_apart(channels: Sequence[ChannelNoise]) -> tuple[ChannelNoise, ...]:
    """Raise the noise of channels far below the noisiest one.

    Counted in its own noise, a nearly clean channel has values so large that, once channels are
    rotated into each other, nothing of the noisy ones can be told.
    """
    means = [float(np.mean(c.variance(np.linspace(c.low, c.high, 33)))) for c in channels]
    least = max(means) * _QUIETEST**2
    return tuple(
        replace(c, a=least, b=0.0, c=0.0) if mean < least else c
        for c, mean in zip(channels, means, strict=True)
    )


def _sample_pairs(frames: Sequence[int]) -> list[tuple[int, int]]:
    """Spread pairs of consecutive frames evenly over the shot."""
    if len(frames) < 2:
        return []
    starts = np.unique(np.linspace(0, len(frames) - 2, _PAIRS).round().astype(int))
    return [(frames[i], frames[i + 1]) for i in starts]


def _clips(pixels: Pixels, facts: SourceFacts) -> _Ends:
    """Tell per channel whether codes pile up at either end, as clipped noise does."""
    count = pixels.shape[2]
    if facts.is_log_working or not facts.sample_type.startswith("uint"):
        return np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    step = 1.0 / 255.0
    low = np.zeros(count, np.bool_)
    high = np.zeros(count, np.bool_)
    for c in range(count):
        plane = pixels[..., c]
        near = [np.count_nonzero((plane > k * step) & (plane <= (k + 1) * step)) for k in range(4)]
        far = [
            np.count_nonzero((plane < 1 - k * step) & (plane >= 1 - (k + 1) * step))
            for k in range(4)
        ]
        at_low, at_high = np.count_nonzero(plane <= 0.0), np.count_nonzero(plane >= 1.0)
        enough = plane.size / 2000
        low[c] = at_low > max(_SPIKE * max(near), enough)
        high[c] = at_high > max(_SPIKE * max(far), enough)
    return low, high


def _lattice(pixels: Pixels) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return top left corners `(rows, columns)` of at most `_MOST_BLOCKS` blocks, spread evenly."""
    rows, columns = pixels.shape[0] // BLOCK, pixels.shape[1] // BLOCK
    stride = max(1, int(np.ceil(np.sqrt(rows * columns / _MOST_BLOCKS))))
    return np.arange(0, rows, stride) * BLOCK, np.arange(0, columns, stride) * BLOCK


def _cut(pixels: Pixels, y: NDArray[np.int64], x: NDArray[np.int64], side: int = BLOCK) -> _Blocks:
    """Cut squares of `side` px whose top left corners are at `(y[i], x[i])`."""
    offset = np.arange(side)
    cut = pixels[(y[:, None] + offset)[:, :, None], (x[:, None] + offset)[:, None, :]]
    return np.ascontiguousarray(cut.transpose(0, 3, 1, 2), np.float64)


def _luma(pixels: Pixels) -> NDArray[np.float32]:
    return np.asarray(pixels.mean(axis=2, dtype=np.float64), np.float32)


def _against(a: Pixels, b: Pixels) -> Pair | None:
    """Compare a frame with its neighbor along motion; None when no block finds its place."""
    luma_a, luma_b = _luma(a), _luma(b)
    low, high = (float(v) for v in np.percentile(luma_a, (0.5, 99.5)))
    picture_a = flow_picture(luma_a, low, high, 1.5)
    picture_b = flow_picture(luma_b, low, high, 1.5)
    flow = estimate_flow(picture_a, picture_b)
    y, x = _lattice(a)
    shift = flow.at(x + BLOCK // 2, y + BLOCK // 2)
    at_y, at_x = np.broadcast_arrays(y[:, None], x[None, :])
    from_x, from_y = at_x + shift[..., 0], at_y + shift[..., 1]
    room = BLOCK + _TAPS // 2
    inside = (
        (from_x >= _TAPS)
        & (from_x <= a.shape[1] - 1 - room)
        & (from_y >= _TAPS)
        & (from_y <= a.shape[0] - 1 - room)
    )
    if not inside.any():
        return None
    own = _cut(a, at_y[inside], at_x[inside])
    other, passed = _moved(b, from_y[inside], from_x[inside])
    signal = 0.5 * (own + other)
    # What interpolation took from the neighbor's noise at each frequency is known: undo it.
    level = dct_blocks(own - other) / np.sqrt(1.0 + passed[:, None])
    return Pair(
        signal=signal, residual=_inverse_dct(level), texture=_texture(signal), flat=_flatness(own)
    )


def _moved(
    pixels: Pixels, y: NDArray[np.float64], x: NDArray[np.float64]
) -> tuple[_Blocks, NDArray[np.float64]]:
    """Cut blocks at fractional corners by windowed-sinc interpolation.

    Returns:
        The blocks, and the power `(block, 8, 8)` that the interpolation passes at the
        frequencies of the DCT.
    """
    whole_y, whole_x = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    kernel_y, power_y = _lanczos(y - whole_y)
    kernel_x, power_x = _lanczos(x - whole_x)
    reach = _TAPS // 2 - 1
    wide = _cut(pixels, whole_y - reach, whole_x - reach, BLOCK + _TAPS - 1)
    tall = np.zeros((*wide.shape[:2], BLOCK, wide.shape[3]))
    out = np.zeros((*wide.shape[:2], BLOCK, BLOCK))
    for k in range(_TAPS):
        tall += kernel_y[:, None, k, None, None] * wide[:, :, k : k + BLOCK]
    for k in range(_TAPS):
        out += kernel_x[:, None, k, None, None] * tall[..., k : k + BLOCK]
    return out, power_y[:, :, None] * power_x[:, None, :]


def _lanczos(fraction: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return kernels `(block, tap)` for fractions of a px and their power at DCT frequencies.

    Source: Duchon, "Lanczos filtering in one and two dimensions", J. Appl. Meteorology 18 (1979).
    """
    taps = np.arange(_TAPS) - (_TAPS // 2 - 1)
    t = taps[None, :] - fraction[:, None]
    kernel = np.sinc(t) * np.sinc(t / (_TAPS // 2))
    kernel /= kernel.sum(axis=1, keepdims=True)
    phase = np.exp(1j * np.pi / BLOCK * np.multiply.outer(taps, np.arange(BLOCK)))
    return kernel, np.asarray(np.abs(kernel @ phase) ** 2)


def _alone(a: Pixels) -> Pair:
    """Take the high frequencies of a frame's own blocks for noise, as white."""
    y, x = _lattice(a)
    at_y, at_x = np.broadcast_arrays(y[:, None], x[None, :])
    own = _cut(a, at_y.ravel(), at_x.ravel())
    spectrum = dct_blocks(own)
    k = np.add.outer(np.arange(BLOCK), np.arange(BLOCK))
    high = spectrum[..., k >= BLOCK]  # 28 of 64 samples
    reach = -(-BLOCK * BLOCK // high.shape[-1])
    filled = np.concatenate([high] * reach, axis=-1)[..., : BLOCK * BLOCK]
    residual = filled.reshape(*filled.shape[:-1], BLOCK, BLOCK)
    return Pair(signal=own, residual=residual, texture=_texture(own), flat=_flatness(own))


def _texture(signal: _Blocks) -> NDArray[np.float64]:
    """Rank blocks by the variance of their luma.

    Of two frames with independent Gaussian noise, mean and difference are independent too: to
    rank by the mean does not favour small differences.
    """
    return np.asarray(signal.mean(axis=1).var(axis=(1, 2)))


def _smooth(texture: NDArray[np.float64], signal: _Blocks) -> NDArray[np.bool_]:
    """Pick the smoothest blocks of every level of luma, so that no level is left out."""
    level = signal.mean(axis=(1, 2, 3))
    order = np.argsort(level, kind="stable")
    chosen = np.zeros(level.size, np.bool_)
    for part in np.array_split(order, max(1, min(BINS, level.size // 64))):
        if part.size:
            limit = np.quantile(texture[part], _SMOOTH_SHARE)
            chosen[part[texture[part] <= limit]] = True
    return chosen


def dct_matrix() -> NDArray[np.float64]:
    """Return the orthonormal DCT-II matrix of 8 samples, row k = basis k."""
    k = np.arange(BLOCK)[:, None]
    i = np.arange(BLOCK)[None, :]
    matrix = np.sqrt(2.0 / BLOCK) * np.cos(np.pi * (i + 0.5) * k / BLOCK)
    matrix[0] /= np.sqrt(2.0)
    return np.asarray(matrix)


def dct_blocks(blocks: _Blocks) -> _Blocks:
    """Transform `(..., 8, 8)` blocks by the orthonormal DCT-II."""
    m = dct_matrix()
    return np.asarray(m @ blocks @ m.T)


def _inverse_dct(spectra: _Blocks) -> _Blocks:
    m = dct_matrix()
    return np.asarray(m.T @ spectra @ m)


def spectrum(planes: _Blocks) -> NDArray[np.float64]:
    """Return the noise variance of every DCT sample, `(channel, 8, 8)`, by medians.

    Args:
        planes: residual blocks `(block, channel, 8, 8)` in the units wanted.
    """
    energy = np.median(dct_blocks(planes) ** 2, axis=0) / _MEDIAN_OF_CHI2
    return np.asarray(energy)
