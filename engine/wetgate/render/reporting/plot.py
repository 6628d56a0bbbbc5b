"""Noise curves as inline SVG; the colors come from the report's style sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup

_WIDTH, _HEIGHT = 560, 300
_LETTER = 6.6
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, _WIDTH - 14, 16, _HEIGHT - 46


@dataclass(frozen=True, slots=True)
class Curve:
    """A line through `x`, `y`, and the measured `dots` that it stands for."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dots: Sequence[tuple[float, float]] = ()


def plot(curves: Sequence[Curve], *, x_label: str, y_label: str) -> Markup:
    """Return a plot of curves in red, green, blue; points that are not finite are left out."""
    from markupsafe import Markup, escape

    lines = [_finite(zip(curve.x, curve.y, strict=True)) for curve in curves]
    dots = [_finite(curve.dots) for curve in curves]
    every = [point for points in (*lines, *dots) for point in points] or [(0.0, 0.0)]
    x_ticks = ticks(min(p[0] for p in every), max(p[0] for p in every))
    y_ticks = ticks(0.0, max(p[1] for p in every))
    place = _placing(x_ticks, y_ticks)
    parts = _axes(x_ticks, y_ticks, place)
    key = _LEFT + 14.0
    for index, (curve, line) in enumerate(zip(curves, lines, strict=True)):
        for x, y in (place(*p) for p in dots[index]):
            parts.append(f'<circle class="k{index % 3} dot" cx="{x:.1f}" cy="{y:.1f}" r="2.2"/>')
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*p) for p in line))
        parts.append(f'<polyline class="curve c{index % 3}" points="{joined}"/>')
        parts.append(f'<circle class="k{index % 3}" cx="{key:.0f}" cy="{_TOP + 2}" r="4"/>')
        parts.append(f'<text x="{key + 9:.0f}" y="{_TOP + 6}">{escape(curve.name)}</text>')
        key += 34 + _LETTER * len(curve.name)
    parts.append(
        f'<text x="{(_LEFT + _RIGHT) / 2}" y="{_HEIGHT - 8}" text-anchor="middle">'
        f"{escape(x_label)}</text>"
        f'<text transform="translate(14 {(_TOP + _BOTTOM) / 2}) rotate(-90)" '
        f'text-anchor="middle">{escape(y_label)}</text>'
    )
    return Markup(
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="100%" role="img" '
        f'aria-label="{escape(y_label)} against {escape(x_label)}">{"".join(parts)}</svg>'
    )


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Return about `wanted` round numbers whose first and last enclose the range."""
    if not high > low:
        high = low + 1.0
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * k for k in range(first, last + 1)]


def _finite(pairs: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]


def _placing(
    x_ticks: Sequence[float], y_ticks: Sequence[float]
) -> Callable[[float, float], tuple[float, float]]:
    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return _LEFT + (_RIGHT - _LEFT) * across, _BOTTOM - (_BOTTOM - _TOP) * up

    return place


def _axes(
    x_ticks: Sequence[float],
    y_ticks: Sequence[float],
    place: Callable[[float, float], tuple[float, float]],
) -> list[str]:
    parts = []
    for tick in y_ticks:
        _, y = place(x_ticks[0], tick)
        kind = "axis" if tick == y_ticks[0] else "grid"
        parts.append(f'<line class="{kind}" x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:.4g}</text>')
    for tick in x_ticks:
        x, _ = place(tick, y_ticks[0])
        parts.append(f'<text x="{x:.1f}" y="{_BOTTOM + 18}" text-anchor="middle">{tick:.4g}</text>')
    return parts
