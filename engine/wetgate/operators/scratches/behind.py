"""What other frames say of the picture under a line: predicted, and taken away.

A scratch stands elsewhere on the picture in every frame, or soon does. Frames near in time are laid
over a band along the line, to hundredths of a pixel; their weighted mean predicts the picture, hard
edges and all, and what the frame has more than that is grain and scratch. Where the scratch stands
near in those frames too, the prediction holds a share of it: the share is known, and what is read
from the difference accounts for it. Where it stands still on the picture nothing is left to read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.scratches.fit import Course, gathered
from wetgate.operators.scratches.lines import Strips
from wetgate.operators.scratches.motion import (
    SAME,
    Levels,
    composed,
    global_motion,
    levels_of,
    moved_to,
)
from wetgate.operators.scratches.profile import Profile

_RADIUS = 9
_MEMORY = 1 << 28
"""Most bytes of luma of the frames either side. At least two either side are held, whatever they
take; the frame between them and one that has just come are held beside."""
_SOURCES = 6
_APART, _PER_FRAME = 6.0, 0.15
_RIM = 14
_ROUNDS = 3
_STRAYS = 0.4
"""Deviation of a strip's motion from that of the whole picture, px."""

_Float = NDArray[np.float64]


def radius_of(height: int, width: int) -> int:
    """Return how many frames either side are held at a time for frames of a size."""
    return min(max(_MEMORY // (2 * 4 * height * width), 2), _RADIUS)


@dataclass(frozen=True, slots=True)
class Band:
    """A band along a line on one frame, less what other frames predict.

    Attributes:
        rows: `(n,)`. anchor: `(n,)` the column in the middle of each row's band.
        rest: `(n, 2 * half + 1)` luma less prediction; scratches as known so far are taken off
            of the frames that predict, of this frame all but the line itself.
        shown: the prediction itself.
        shares, gaps: `(source, n)` how much each frame counts, and `(source, n, 2 * half + 1)` px
            from the center of the line there, at what it shows here; far off where it is not there.
        strengths: `(source, n)` what was taken off there.
    """

    rows: NDArray[np.intp]
    anchor: NDArray[np.intp]
    rest: _Float
    shown: _Float
    shares: _Float
    gaps: _Float
    strengths: _Float

    @property
    def half(self) -> int:
        """Return the px either side of the anchor."""
        return int((self.rest.shape[1] - 1) // 2)

    def ghost(self, profile: Profile, *, known: bool = False) -> _Float:
        """Return what of the line itself the prediction holds, `(n, 2 * half + 1)`.

        Where its strength is 1; or at the strengths that were taken off.
        """
        luma = Profile(profile.values.mean(axis=0, keepdims=True))
        total = np.zeros_like(self.rest)
        for share, gap, strength in zip(self.shares, self.gaps, self.strengths, strict=True):
            near = np.abs(gap) < profile.reach
            if near.any():
                drawn = np.zeros_like(gap)
                drawn[near] = luma.at(gap[near])[:, 0]
                total += (share * strength if known else share)[:, None] * drawn
        return total


@dataclass(slots=True)
class Window:
    """Frames near one another in time, with what is known of their scratches taken off."""

    radius: int
    strips: Strips
    cleaned: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    levels: dict[int, Levels] = field(default_factory=dict)
    steps: dict[int, _Float] = field(default_factory=dict)
    far: dict[tuple[int, int], _Float] = field(default_factory=dict)
    strays: dict[tuple[int, int, int, int], _Float] = field(default_factory=dict)

    def put(
        self, index: int, luma: NDArray[np.float32], lines: Sequence[tuple[Course, Profile]]
    ) -> None:
        """Add a frame, and let go those that no frame yet to be looked at can reach.

        Args:
            lines: what is known to lie on it.
        """
        self.cleaned[index] = taken_off(luma, lines, self.strips) if lines else luma
        for old in [k for k in self.cleaned if k < index - 2 * self.radius]:
            self._forget(old)

    def clear(self) -> None:
        """Let go of all frames; how they moved stays known."""
        for old in list(self.cleaned):
            self._forget(old)

    def keep_lines(self, names: Set[int]) -> None:
        """Let go of what was found of all lines but these; their own grows with the shot."""
        self.strays = {key: found for key, found in self.strays.items() if key[0] in names}

    def _forget(self, index: int) -> None:
        del self.cleaned[index]
        self.levels.pop(index, None)

    def _reduced(self, index: int) -> Levels:
        if index not in self.levels:
            self.levels[index] = levels_of(self.cleaned[index])
        return self.levels[index]

    def motion(self, here: int, there: int) -> _Float:
        """Return the affine map of the whole picture from one frame to another."""
        if (here, there) not in self.far:
            low, high = min(here, there), max(here, there)
            total = SAME
            for k in range(low, high):
                if k not in self.steps:
                    self.steps[k] = global_motion(self._reduced(k), self._reduced(k + 1))
                total = composed(total, self.steps[k])
            if high - low > 1:
                total = global_motion(self._reduced(low), self._reduced(high), total)
            self.far[low, high] = total
            self.far[high, low] = np.linalg.inv(np.vstack([total, [0.0, 0.0, 1.0]]))[:2]
        return self.far[here, there]

    def sources(self, index: int, courses: Mapping[int, Course]) -> list[int]:
        """Return the frames that tell most of the picture under a line, in their order."""
        own = courses[index]
        middles = self.strips.middles[own.first : own.stop]
        scores = []
        for other in self.cleaned:
            if other == index or abs(other - index) > self.radius:
                continue
            apart = _APART
            if other in courses:
                x, y = moved_to(self.motion(index, other), own.place, middles)
                there = courses[other]
                at = np.interp(y, self.strips.middles[there.first : there.stop], there.place)
                apart = min(float(np.median(np.abs(x - at))), _APART)
            scores.append((apart - _PER_FRAME * abs(other - index), -abs(other - index), other))
        return sorted(other for _, _, other in sorted(scores, reverse=True)[:_SOURCES])

    def band(
        self,
        index: int,
        name: int,
        courses: Mapping[int, Course],
        profile: Profile,
        half: int,
        *,
        removed: bool,
    ) -> Band | None:
        """Return the band along a line on a frame; None where no frame predicts it.

        Args:
            name: number of the line. courses: of the line, by frame.
            profile: what is known of its cross section.
            removed: whether it is taken off of the frames held here.
        """
        chosen = self.sources(index, courses)
        if not chosen:
            return None
        own = courses[index]
        rows, place, strength = own.rows(self.strips)
        anchor = np.rint(place).astype(np.intp)
        luma = self.cleaned[index]
        height, width = luma.shape
        here = gathered(luma, rows, anchor, half).astype(np.float64)
        columns = anchor[:, None] + np.arange(-half, half + 1)
        x, y = (
            columns.astype(np.float64),
            np.repeat(rows[:, None].astype(np.float64), columns.shape[1], axis=1),
        )
        away = np.abs(columns - place[:, None])
        core = profile.reach + 1
        rim = (away > core) & (away <= core + _RIM) & (columns >= 0) & (columns < width)
        reach = min(core + _RIM + 1, half)
        part = slice(half - reach, half + reach + 1)
        near = here[:, part], rim[:, part], *_slopes(luma, rows, anchor, reach)
        bands, gaps, errors, taken = [], [], [], []
        for other in chosen:
            to_x, to_y = moved_to(self.motion(index, other), x, y)
            key = name, index, other, own.first
            at = to_x[:, part], to_y[:, part]
            dx, dy, error = self._matched(key, self.cleaned[other], near, *at)
            to_x, to_y = to_x + dx[:, None], to_y + dy[:, None]
            laid = _laid(self.cleaned[other], to_x, to_y)
            line = to_y[:, half]
            inside = (to_x[:, half - core] > 0) & (to_x[:, half + core] < width - 1)
            inside &= (line > -0.5) & (line < height - 0.5)
            error[~inside] = np.inf
            gap, known = np.full_like(to_x, 1e3), np.zeros(len(rows))
            if other in courses:
                there = courses[other]
                rows_there, place_there, strength_there = there.rows(self.strips)
                on = (line >= rows_there[0] - 1) & (line <= rows_there[-1] + 1)
                middle = np.interp(line, rows_there, place_there)
                gap = np.where(on[:, None], to_x - middle[:, None], 1e3)
                known = np.where(on, np.interp(line, rows_there, strength_there), 0.0)
            bands.append(laid)
            gaps.append(gap)
            errors.append(error)
            taken.append(known if removed else np.zeros(len(rows)))
        table = np.array(errors)
        least = table.min(axis=0)
        told = np.isfinite(least)
        shares = np.zeros_like(table)
        shares[:, told] = (least[told] / table[:, told]) ** 2
        shares /= np.maximum(shares.sum(axis=0), 1e-12)
        shown = np.einsum("sn,snk->nk", shares, np.array(bands))
        rest = here - shown
        if removed:
            luma_profile = Profile(profile.values.mean(axis=0, keepdims=True))
            rest += strength[:, None] * luma_profile.at(columns - place[:, None])[..., 0]
        # Where no frame shows the place there is no prediction: the band tells nothing there.
        rest[~told] = np.nan
        return Band(rows, anchor, rest, shown, shares, np.array(gaps), np.array(taken))

    def _matched(
        self,
        key: tuple[int, int, int, int],
        source: NDArray[np.float32],
        near: tuple[_Float, NDArray[np.bool_], _Float, _Float],
        x: _Float,
        y: _Float,
    ) -> tuple[_Float, _Float, _Float]:
        """Return by how much rows of a frame must move to lie best, and their mean square error.

        Strips beside the line are matched one by one, held to the motion of the whole picture.

        Args:
            key: under which what is found is kept, to begin with the next time.
            near: of the band along the line luma, what to match, and how luma changes across and
                down. x, y: where its px lie in the frame.
        """
        here, rim, across, down = near
        rows = len(here)
        strip = np.arange(rows) // self.strips.rows
        count = int(strip[-1]) + 1
        middles = (np.bincount(strip, np.arange(rows)) / np.bincount(strip)).astype(np.float64)
        known = self.strays.get(key)
        fresh = known is None or known.shape[1] != count
        dx, dy = np.zeros((2, count)) if known is None or fresh else known
        size = _beside(_summed(rim, strip))
        products = [_beside(_summed(rim * p, strip)) for p in (across**2, across * down, down**2)]
        for turn in range((_ROUNDS if fresh else 1) + 1):
            at_x, at_y = (np.interp(np.arange(rows), middles, d) for d in (dx, dy))
            apart = _laid(source, x + at_x[:, None], y + at_y[:, None]) - here
            level = _summed(apart * rim, strip) / np.maximum(_summed(rim, strip), 1)
            apart = (apart - level[strip][:, None]) * rim
            error = np.maximum(_beside(_summed(apart**2, strip)) / np.maximum(size, 1), 1e-10)
            if turn == (_ROUNDS if fresh else 1):
                break
            # What lies far off, another thing in motion most likely, pulls by no more than that.
            limit = 2.5 * np.sqrt(error)[strip][:, None]
            apart = np.minimum(np.maximum(apart, -limit), limit)
            hold = error / _STRAYS**2
            xx, xy, yy = products[0] + hold, products[1], products[2] + hold
            right_x = _beside(_summed(across * apart, strip)) + hold * dx
            right_y = _beside(_summed(down * apart, strip)) + hold * dy
            size2 = xx * yy - xy**2
            dx = dx - (yy * right_x - xy * right_y) / size2
            dy = dy - (xx * right_y - xy * right_x) / size2
        self.strays[key] = np.stack([dx, dy])
        # Next to nothing beside the line at the edge of a frame: nothing says how well it lies.
        error[size < _RIM] = np.inf
        return at_x, at_y, error[strip]


def _laid(source: NDArray[np.float32], x: _Float, y: _Float) -> _Float:
    """Return a frame at places between px."""
    import cv2

    at = x.astype(np.float32), y.astype(np.float32)
    return cv2.remap(source, *at, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(
        np.float64
    )


def _summed(values: NDArray[np.float64] | NDArray[np.bool_], strip: NDArray[np.intp]) -> _Float:
    """Return the sum over each strip."""
    return np.bincount(strip, values.sum(axis=1)).astype(np.float64)


def _beside(values: _Float) -> _Float:
    """Return the sum over each strip and its neighbors."""
    total = 3.0 * values
    total[1:] += values[:-1] - values[1:]
    total[:-1] += values[1:] - values[:-1]
    return np.asarray(total)


def _slopes(
    luma: NDArray[np.float32], rows: NDArray[np.intp], anchor: NDArray[np.intp], half: int
) -> tuple[_Float, _Float]:
    """Return how luma changes across and down at each px of a band, a px."""
    last = len(luma) - 1
    wide = gathered(luma, rows, anchor, half + 1).astype(np.float64)
    above = gathered(luma, np.maximum(rows - 1, 0), anchor, half)
    below = gathered(luma, np.minimum(rows + 1, last), anchor, half)
    return 0.5 * (wide[:, 2:] - wide[:, :-2]), 0.5 * (below - above).astype(np.float64)


def taken_off(
    luma: NDArray[np.float32],
    lines: Sequence[tuple[Course, Profile]],
    strips: Strips,
) -> NDArray[np.float32]:
    """Return luma less what is known of the lines on it."""
    out = luma.copy()
    last = luma.shape[1] - 1
    for course, profile in lines:
        rows, place, strength = course.rows(strips)
        reach = profile.reach
        columns = np.rint(place).astype(np.intp)[:, None] + np.arange(-reach - 1, reach + 2)
        shape = Profile(profile.values.mean(axis=0, keepdims=True))
        drawn = strength[:, None] * shape.at(columns - place[:, None])[..., 0]
        inside = (columns >= 0) & (columns <= last)
        at = np.broadcast_to(rows[:, None], columns.shape)[inside], columns[inside]
        out[at] -= drawn[inside].astype(np.float32)
    return out
