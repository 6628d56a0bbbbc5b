"""What a shot's frames say of its blur and noise, as JSON, and how the filters read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.base import Analysis, FrameReader, Pixels, SourceFacts
from wetgate.operators.deblur.classical import KNEE, LEAST_SIGMA, MOST_SIGMA, encode
from wetgate.operators.deblur.estimate import VISIBLE, Blur, Edges, judge, measure_edges
from wetgate.operators.deblur.spectrum import detail_bound, detail_of
from wetgate.operators.denoise.noise import ChannelNoise
from wetgate.operators.denoise.profile import BLOCK, measure

_SAMPLES = 5
_LEAST_SIDE = 64
_QUANTUM = 1.0 / np.sqrt(12.0)  # deviation of rounding, in codes
_FLOOR_BITS = {"uint8": 8, "uint10": 10, "uint12": 12}


def analysis_bytes(pixels: int) -> int:
    """Return the most memory that `measure_shot` takes for frames of so many px."""
    return 80 * pixels + (80 << 20)


def measure_shot(
    read: FrameReader, frames: Sequence[int], facts: SourceFacts, told: float | None
) -> dict[str, object]:
    """Measure blur on frames spread over the shot, and the noise of encoded luma.

    Args:
        told: deviation of the blur in px if the user knows it, else None.

    Returns:
        `sigma`: px to sharpen by, 0 to leave the shot alone. `verdict`, `shape`, `measured`,
        `across`, `degrees`, `edges`: see `estimate.Blur`. `frames`: looked at; `moving`: of them,
        blurred by motion. `noise`: polynomial and range of the variance against encoded luma,
        and its floor.
    """
    noise = _noise(read, frames, facts)
    found: list[tuple[Edges, Blur]] = []
    detail: list[NDArray[np.float64]] = []
    if min(facts.width, facts.height) >= _LEAST_SIDE:
        count = min(_SAMPLES, len(frames))
        picks = np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))
        for k in picks:
            linear = read(frames[k])
            level = noise_at({"noise": noise}, np.full((1, 1, 1), 0.5, np.float32))[0, 0]
            edges = measure_edges(linear, KNEE, float(level) * float(np.log1p(1.0 / KNEE)))
            found.append((edges, judge(edges)))
            detail.append(detail_of(linear, lambda logged: noise_at({"noise": noise}, logged)))
    blur, moving = _together(found)
    bound = detail_bound(np.concatenate(detail) if detail else np.empty(0))
    verdict, measured = blur.verdict, blur.sigma
    if verdict == "lens" and bound < measured:
        measured = bound
        verdict = "lens" if measured >= VISIBLE else "sharp"
    sigma = told
    if sigma is None:
        sigma = min(max(measured, LEAST_SIGMA), MOST_SIGMA) if verdict == "lens" else 0.0
    return {
        "sigma": float(sigma),
        "told": told is not None,
        "verdict": verdict,
        "shape": blur.shape,
        "measured": measured,
        "across": blur.across,
        "degrees": blur.degrees,
        "edges": blur.edges,
        "frames": len(found),
        "moving": moving,
        "noise": noise,
    }


def _together(found: Sequence[tuple[Edges, Blur]]) -> tuple[Blur, int]:
    """Judge a shot: moved if half of its frames that can be told are, else by the others' edges.

    Frames are judged one by one first, since motion changes its direction along a shot and
    would look like a lens once pooled.
    """
    told = [(e, b) for e, b in found if b.verdict != "unknown"]
    moved = [b for _, b in told if b.verdict == "motion"]
    if moved and 2 * len(moved) >= len(told):
        return max(moved, key=lambda b: b.across), len(moved)
    still = [e for e, b in found if b.verdict != "motion"]
    if not still:
        return judge(Edges.none()), len(moved)
    return judge(Edges.joined(still)), len(moved)


def _noise(read: FrameReader, frames: Sequence[int], facts: SourceFacts) -> dict[str, object]:
    """Measure the noise of encoded luma; what rounding to codes makes is the least of it."""
    depth = _FLOOR_BITS.get(facts.sample_type, 12)
    floor = float(_QUANTUM / (2**depth - 1))
    if min(facts.width, facts.height) < BLOCK:
        return {"variance": [floor**2, 0.0, 0.0], "range": [0.0, 1.0], "floor": floor}

    def luma(number: int) -> Pixels:
        logged = encode(read(number))
        return np.ascontiguousarray(logged.mean(axis=2, keepdims=True, dtype=np.float32))

    seen = SourceFacts(
        sample_type=facts.sample_type,
        width=facts.width,
        height=facts.height,
        channels=1,
        is_log_working=True,
    )
    channel = measure(luma, frames, seen).channels[0]
    return {
        "variance": [channel.a, channel.b, channel.c],
        "range": [channel.low, channel.high],
        "floor": floor,
    }


def noise_at(analysis: Analysis, logged: Pixels) -> NDArray[np.float32]:
    """Return the deviation of the noise of encoded luma at each pixel, `(h, w)`.

    Args:
        logged: `(h, w, channel)`, encoded.
    """
    noise = cast(Mapping[str, object], analysis["noise"])
    a, b, c = cast(Sequence[float], noise["variance"])
    low, high = cast(Sequence[float], noise["range"])
    model = ChannelNoise(a, b, c, low, high)
    floor = cast(float, noise["floor"])
    variance = model.variance(logged.mean(axis=2, dtype=np.float64))
    return np.sqrt(np.maximum(variance, floor**2)).astype(np.float32)


def words(analysis: Analysis) -> str:
    """Say in a sentence what was found and what follows."""
    sigma = cast(float, analysis["sigma"])
    across, degrees = cast(float, analysis["across"]), cast(float, analysis["degrees"])
    measured = cast(float, analysis["measured"])
    verdict = analysis["verdict"]
    if verdict == "motion":
        found = (
            f"the blur is directional, {across:.1f} px along {degrees:.0f} degrees and "
            f"{measured:.1f} px across: motion, which this operator cannot take back"
        )
    elif verdict == "sharp":
        found = f"the sharpest edges are blurred by {measured:.2f} px, which is sharp"
    elif verdict == "unknown":
        found = "too few lone edges to tell how wide the blur is, or whether it has a direction"
    else:
        found = f"the lens blurs by {measured:.2f} px"
    if analysis["told"]:
        return f"told to take back {sigma:.2f} px; {found}"
    return f"{found}; left as it is" if sigma <= 0.0 else f"{found}; taken back"
