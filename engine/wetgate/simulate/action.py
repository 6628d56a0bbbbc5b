"""Clean picture content that dirt detectors take for dirt: it must be left alone.

Sparkles and strobes last one frame as dirt does, speculars hardly longer, rain and confetti are
small and many, limbs and birds move further than a flow search looks. Each is drawn over the
scene before the film sees it, with its coverage and its motion as truth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wetgate.simulate.dirt_shapes import Placed, fill
from wetgate.simulate.random import Domain, stream

Kind = Literal["sparkles", "rain", "confetti", "strobe", "limbs", "birds", "speculars"]
Points = NDArray[np.float64]
ToPixel = Callable[[Points], Points]
_SHUTTER = 0.5
_INSTANTS = 9
_TABLE_LANE = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSpec:
    """What happens before the camera.

    Attributes:
        kind: "sparkles" (glints of one frame), "rain" (streaks), "confetti" (tumbling colored
            paper), "strobe" (flashes over the whole frame), "limbs" (arms that swing fast),
            "birds" (small, dark, flapping), "speculars" (facets that flash as they turn).
        amount: factor on how many there are (on how often, for a strobe).
        speed: factor on how fast they move.
    """

    kind: Kind = "sparkles"
    amount: float = 1.0
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing on one frame.

    Attributes:
        identity: the same on every frame it is on (sparkles: of this frame only).
        box: `(x0, y0, x1, y1)` px that it touches, half-open; may hang over the frame.
        motion: `(x, y)` px from this frame to the next, of its center; None when it is gone then.
    """

    identity: int
    box: tuple[int, int, int, int]
    motion: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class ActionTruth:
    """The action of one frame: `seen = gain * (1 - cover) * scene + light`.

    Attributes:
        cover: float32 `(height, width)`, 0-1: where clean content moves that is no dirt.
        light: float32 `(height, width, 3)`, scene-linear.
        gain: of the whole frame (strobe).
        things: what is on the frame.
    """

    cover: NDArray[np.float32]
    light: NDArray[np.float32]
    gain: float
    things: tuple[Thing, ...]

    def apply(self, scene: NDArray[np.float32]) -> NDArray[np.float32]:
        """Put the action before a scene-linear picture `(height, width, 3)`."""
        behind = np.float32(self.gain) * (1 - self.cover)[..., None]
        result: NDArray[np.float32] = behind * scene + self.light
        return result


@dataclass(frozen=True, slots=True)
class _Shape:
    """A thing at one instant: outlines in px of the scene; on another `lap` it starts anew."""

    outlines: tuple[Points, ...]
    center: tuple[float, float]
    color: tuple[float, float, float]
    opacity: float
    line: float | None = None
    lap: int = 0


@dataclass(frozen=True, slots=True)
class _Actor:
    """A thing over time: its shape at any time, in frames; None when it is not there."""

    identity: int
    at: Callable[[float], _Shape | None]


def action_truth(
    spec: ActionSpec,
    seed: int,
    number: int,
    size: tuple[int, int],
    to_pixel: ToPixel | None = None,
) -> ActionTruth:
    """Return the action of one frame of `size` `(width, height)`.

    Args:
        to_pixel: maps points of the scene `(n, 2)` to pixels; for weave.
    """
    width, height = size
    cover = np.zeros((height, width), np.float32)
    light = np.zeros((height, width, 3), np.float32)
    if spec.kind == "strobe":
        return ActionTruth(cover, light, _strobe_gain(spec, seed, number), ())
    place: ToPixel = to_pixel or (lambda points: points)
    things = []
    for actor in _CAST[spec.kind](spec, seed, number, size):
        here = actor.at(float(number))
        box = _expose(actor, number, place, cover, light)
        if here is None or box is None:
            continue
        after = actor.at(float(number + 1)) if spec.kind != "sparkles" else None
        motion = None
        if after is not None and after.lap == here.lap:
            motion = after.center[0] - here.center[0], after.center[1] - here.center[1]
        things.append(Thing(actor.identity, box, motion))
    return ActionTruth(cover, light, 1.0, tuple(things))


def _expose(
    actor: _Actor,
    number: int,
    place: ToPixel,
    cover: NDArray[np.float32],
    light: NDArray[np.float32],
) -> tuple[int, int, int, int] | None:
    """Draw an actor over the open time of the shutter: instants, averaged."""
    instants: list[list[Placed]] = []
    color = np.zeros(3, np.float32)
    for k in range(_INSTANTS):
        shape = actor.at(number + _SHUTTER * (k / (_INSTANTS - 1) - 0.5))
        instants.append([])
        if shape is None:
            continue
        color = np.asarray(shape.color, np.float32)
        for outline in shape.outlines:
            left, top, drawn = fill(place(outline), shape.line)
            instants[-1].append((left, top, drawn * np.float32(shape.opacity)))
    drawn_all = [placed for instant in instants for placed in instant]
    if not drawn_all:
        return None
    x0, y0 = min(p[0] for p in drawn_all), min(p[1] for p in drawn_all)
    x1 = max(p[0] + p[2].shape[1] for p in drawn_all)
    y1 = max(p[1] + p[2].shape[0] for p in drawn_all)
    mean = np.zeros((y1 - y0, x1 - x0), np.float32)
    for instant in instants:
        whole = np.zeros_like(mean)
        for left, top, drawn in instant:
            rows, columns = drawn.shape
            area = whole[top - y0 : top - y0 + rows, left - x0 : left - x0 + columns]
            np.maximum(area, drawn, out=area)
        mean += whole / np.float32(_INSTANTS)
    height, width = cover.shape
    a, b, c, d = max(0, x0), max(0, y0), min(width, x1), min(height, y1)
    if c > a and d > b:
        alpha = mean[b - y0 : d - y0, a - x0 : c - x0]
        under = cover[b:d, a:c]
        light[b:d, a:c] *= (1 - alpha)[..., None]
        light[b:d, a:c] += alpha[..., None] * color
        cover[b:d, a:c] = under + alpha * (1 - under)
    return x0, y0, x1, y1


def _strobe_gain(spec: ActionSpec, seed: int, number: int) -> float:
    draw = stream(seed, Domain.ACTION, number)
    is_flash = draw.uniform() < 0.15 * spec.amount
    gain = float(draw.uniform(1.8, 6.0))
    return gain if is_flash else 1.0


def _star(radius: float) -> Points:
    angle = np.arange(8) * math.pi / 4
    reach = radius * np.where(np.arange(8) % 2 == 0, 1.0, 0.35)
    return np.stack((reach * np.cos(angle), reach * np.sin(angle)), axis=-1)


def _sparkles(spec: ActionSpec, seed: int, number: int, size: tuple[int, int]) -> Iterator[_Actor]:
    """Glints on water: a band of the picture, another set on every frame."""
    band = stream(seed, Domain.ACTION, 0, _TABLE_LANE)
    low = float(band.uniform(0.1, 0.6))
    high = low + float(band.uniform(0.15, 0.4))
    draw = stream(seed, Domain.ACTION, number)
    for index in range(int(draw.poisson(26 * spec.amount))):
        center = draw.uniform(0, 1) * size[0], draw.uniform(low, high) * size[1]
        radius = 1.1 * math.exp(0.5 * float(draw.standard_normal()))
        light = float(draw.uniform(1.5, 8))
        outline = _star(radius) + center
        shape = _Shape((outline,), center, (light, light, 0.95 * light), 1.0)
        yield _Actor(index, _fixed(shape))


def _fixed(shape: _Shape) -> Callable[[float], _Shape]:
    return lambda _: shape


def _rain(spec: ActionSpec, seed: int, number: int, size: tuple[int, int]) -> Iterator[_Actor]:
    """Drops that cross the picture in a few frames, drawn as far as they fall in a shutter."""
    width, height = size
    table = stream(seed, Domain.ACTION, 0, _TABLE_LANE)
    slant = float(table.uniform(-0.2, 0.2))
    for index in range(round(90 * spec.amount)):
        x0, phase, speed, depth = (float(v) for v in table.uniform(0, 1, 4))
        per_frame = spec.speed * (0.09 + 0.14 * speed) * height

        def at(
            time: float,
            x0: float = x0,
            phase: float = phase,
            per_frame: float = per_frame,
            depth: float = depth,
        ) -> _Shape:
            way = phase * 1.4 * height + time * per_frame
            lap = math.floor(way / (1.4 * height))
            y = way - lap * 1.4 * height - 0.2 * height
            # Another place on every lap, in a way that any frame knows.
            x = (x0 + 0.618034 * lap) % 1.0 * width + slant * y
            length = 0.5 * _SHUTTER * per_frame
            line = np.array([(x - slant * length, y - length), (x + slant * length, y + length)])
            return _Shape((line,), (x, y), (0.8, 0.85, 0.9), 0.25 + 0.35 * depth, 0.8 + depth, lap)

        yield _Actor(index, at)


def _confetti(spec: ActionSpec, seed: int, number: int, size: tuple[int, int]) -> Iterator[_Actor]:
    """Paper that falls, sways and tumbles: edge-on it is gone for a frame."""
    width, height = size
    table = stream(seed, Domain.ACTION, 0, _TABLE_LANE)
    for index in range(round(40 * spec.amount)):
        x0, phase, fall, sway, spin, turn = (float(v) for v in table.uniform(0, 1, 6))
        color = tuple(float(v) for v in table.uniform(0.05, 1.4, 3))
        side = float(table.uniform(2.0, 5.0))

        def at(
            time: float,
            x0: float = x0,
            phase: float = phase,
            fall: float = fall,
            sway: float = sway,
            spin: float = spin,
            turn: float = turn,
            color: tuple[float, ...] = color,
            side: float = side,
        ) -> _Shape | None:
            way = phase * 1.2 + time * spec.speed * (0.008 + 0.02 * fall)
            lap = math.floor(way / 1.2)
            y = (way - 1.2 * lap - 0.1) * height
            swing = 0.03 * height * math.sin(time * 0.3 * spec.speed + 20 * sway)
            x = (x0 + 0.618034 * lap) % 1.0 * width + swing
            edge = math.cos(time * (0.4 + spin) * spec.speed + 9 * turn)
            if abs(edge) < 0.12:
                return None
            angle = 0.5 * time * spin + 7 * turn
            u = np.array([math.cos(angle), math.sin(angle)]) * side
            v = np.array([-math.sin(angle), math.cos(angle)]) * side * edge
            quad = np.array([x, y]) + np.array([u + v, u - v, -u - v, v - u])
            return _Shape((quad,), (x, y), (color[0], color[1], color[2]), 1.0, lap=lap)

        yield _Actor(index, at)


def _limbs(spec: ActionSpec, seed: int, number: int, size: tuple[int, int]) -> Iterator[_Actor]:
    """Arms of two links that swing through a good part of the picture within a few frames."""
    width, height = size
    table = stream(seed, Domain.ACTION, 0, _TABLE_LANE)
    for index in range(max(1, round(3 * spec.amount))):
        root = float(table.uniform(0.15, 0.85)) * width, float(table.uniform(0.4, 0.9)) * height
        lengths = [float(v) * height for v in table.uniform(0.16, 0.28, 2)]
        swing, rate, phase, base = (float(v) for v in table.uniform(0, 1, 4))
        tint = float(table.uniform(0.08, 0.5))

        def at(
            time: float,
            root: tuple[float, float] = root,
            lengths: list[float] = lengths,
            swing: float = swing,
            rate: float = rate,
            phase: float = phase,
            base: float = base,
            tint: float = tint,
        ) -> _Shape:
            beat = spec.speed * (0.2 + 0.25 * rate) * time + 2 * math.pi * phase
            upper = -math.pi / 2 + (base - 0.5) + (0.7 + 0.5 * swing) * math.sin(beat)
            lower = upper + 0.9 * math.sin(beat + 0.8)
            elbow = (
                root[0] + lengths[0] * math.cos(upper),
                root[1] + lengths[0] * math.sin(upper),
            )
            hand = elbow[0] + lengths[1] * math.cos(lower), elbow[1] + lengths[1] * math.sin(lower)
            thick = 0.16 * lengths[0]
            links = _link(root, elbow, thick, 0.75 * thick), _link(elbow, hand, thick, 0.6 * thick)
            return _Shape(links, hand, (tint, 0.75 * tint, 0.6 * tint), 1.0)

        yield _Actor(index, at)


def _link(a: tuple[float, float], b: tuple[float, float], at_a: float, at_b: float) -> Points:
    """Return a tapered link with round ends."""
    heading = math.atan2(b[1] - a[1], b[0] - a[0])
    half = np.linspace(math.pi / 2, 3 * math.pi / 2, 9)
    first = np.stack((np.cos(half + heading), np.sin(half + heading)), axis=-1) * at_a + a
    half = half + math.pi
    second = np.stack((np.cos(half + heading), np.sin(half + heading)), axis=-1) * at_b + b
    return np.concatenate((first, second))


def _birds(spec: ActionSpec, seed: int, number: int, size: tuple[int, int]) -> Iterator[_Actor]:
    """Birds that cross the picture, wings up and down within three to six frames."""
    width, height = size
    table = stream(seed, Domain.ACTION, 0, _TABLE_LANE)
    for index in range(max(1, round(7 * spec.amount))):
        y0, phase, pace, flap, heading, span = (float(v) for v in table.uniform(0, 1, 6))

        def at(
            time: float,
            y0: float = y0,
            phase: float = phase,
            pace: float = pace,
            flap: float = flap,
            heading: float = heading,
            span: float = span,
        ) -> _Shape:
            sign = 1 if heading < 0.5 else -1
            way = phase * 1.3 + sign * time * spec.speed * (0.012 + 0.03 * pace)
            lap = math.floor(way / 1.3)
            x = (way - 1.3 * lap - 0.15) * width
            y = (0.1 + 0.6 * y0) * height + 0.02 * height * math.sin(time / 5 + 9 * phase)
            wing = (0.012 + 0.022 * span) * height
            lift = wing * math.sin(time * (1.0 + flap) * spec.speed + 8 * phase)
            body = 0.3 * wing
            left = np.array([(x, y - body), (x - wing, y - lift), (x, y + body)])
            right = np.array([(x, y - body), (x + wing, y - lift), (x, y + body)])
            return _Shape((left, right), (x, y), (0.02, 0.02, 0.025), 1.0, lap=lap)

        yield _Actor(index, at)


def _speculars(spec: ActionSpec, seed: int, number: int, size: tuple[int, int]) -> Iterator[_Actor]:
    """Facets of chrome, glass or wet leaves: one flashes while its normal sweeps past the lamp."""
    table = stream(seed, Domain.ACTION, 0, _TABLE_LANE)
    for index in range(round(40 * spec.amount)):
        yield _Actor(index, partial(_facet, spec.speed, size, table.uniform(0, 1, 8)))


def _facet(speed: float, size: tuple[int, int], facts: Points, time: float) -> _Shape | None:
    """Return a flash, which swells, slides and dies within one to four frames."""
    x0, y0, phase, rate, heading, large, stretch, bright = (float(v) for v in facts)
    turns = phase + time * speed * (0.025 + 0.06 * rate)
    lap = math.floor(turns + 0.5)
    lobe = math.exp(-(((turns - lap) / 0.03) ** 2))
    if lobe < 0.05:
        return None
    along = np.array([math.cos(math.pi * heading), math.sin(math.pi * heading)])
    across = np.array([-along[1], along[0]])
    # Another facet on every lap, in a way that any frame knows.
    base = np.array([(x0 + 0.618034 * lap) % 1.0, (y0 + 0.754878 * lap) % 1.0]) * size
    center = base + 1.2 * size[1] * (turns - lap) * along
    angle = np.arange(12)[:, None] * math.pi / 6
    reach = 0.7 + 2.0 * large**2
    ring = (1 + 3 * stretch) * np.cos(angle) * along + np.sin(angle) * across
    peak = 2 + 10 * bright
    middle = float(center[0]), float(center[1])
    return _Shape((center + reach * ring,), middle, (peak, peak, 0.96 * peak), lobe, lap=lap)


_CAST: Mapping[str, Callable[[ActionSpec, int, int, tuple[int, int]], Iterator[_Actor]]] = (
    MappingProxyType(
        {
            "sparkles": _sparkles,
            "rain": _rain,
            "confetti": _confetti,
            "limbs": _limbs,
            "birds": _birds,
            "speculars": _speculars,
        }
    )
)
