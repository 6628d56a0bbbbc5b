"""Scratches that tore the emulsion off: what shows in its place, and where to borrow the picture.

Such a scratch covers a share of the picture with a value of its own. Where the share is small the
picture is still there and can be had back; in the core it is gone. Another frame may show the
same place of the picture beside the scratch, if the picture moved: its pixels are borrowed, a
strip at a time, where what surrounds them agrees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.base import FrameReader, SourceFacts
from wetgate.operators.denoise.flow import FlowPicture, estimate_flow, flow_picture
from wetgate.operators.scratches.fit import Course
from wetgate.operators.scratches.lines import Strips, luma_of
from wetgate.operators.scratches.profile import STEPS, Profile
from wetgate.operators.scratches.tracks import LOST, STRENGTHS, Loan, Track
from wetgate.operators.scratches.votes import bridge

FARTHEST = 32
"""Most px on either axis between a lost place and where its picture is borrowed."""
_SEARCH = 2
_RIM = 7
_MORE_ROWS = 4
_WORST = 2.5
_SHARE = 0.25
_LEAST_RIM = 0.5

_Float = NDArray[np.float64]


def value_of(courses: Mapping[int, Course], profile: Profile, covers: float) -> float:
    """Return the luma that shows where the emulsion is lost.

    Args:
        covers: share of the picture that the core covers on the whole.
    """
    own = np.concatenate([c.own for c in courses.values()])
    level = np.concatenate([c.level for c in courses.values()])
    weight = 1.0 / np.maximum(np.concatenate([c.error for c in courses.values()]), 1e-9) ** 2
    peak = float(profile.values.mean(axis=0)[profile.values.shape[1] // 2])
    return float(
        np.average(level, weights=weight) + np.average(own, weights=weight) * peak / covers
    )


def find_loans(
    tracks: Sequence[Track],
    read: FrameReader,
    frames: Sequence[int],
    facts: SourceFacts,
    radius: int,
) -> list[dict[int, tuple[Loan, ...]]]:
    """Return for each track, by frame number, where each of its strips is borrowed from."""
    strips = Strips.of(facts.height)
    loans: list[dict[int, tuple[Loan, ...]]] = [{} for _ in tracks]
    lost = [i for i, t in enumerate(tracks) if t.value and not t.why]
    place = {n: k for k, n in enumerate(frames)}
    wanted = sorted({n for i in lost for n in tracks[i].frames})
    pictures: dict[int, tuple[NDArray[np.float32], FlowPicture]] = {}
    limits: list[float] = []

    def picture(number: int) -> tuple[NDArray[np.float32], FlowPicture]:
        if number not in pictures:
            pixels = read(number)
            luma = luma_of(pixels).copy()
            for track in tracks:
                if number in track.frames:
                    rows, x, _ = track.frames[number].rows(strips)
                    bridge(luma, rows, x, track.profile.reach)
            if not limits:
                limits.extend(float(v) for v in np.percentile(luma, (0.5, 99.5)))
            pictures[number] = pixels, flow_picture(luma, limits[0], limits[1], 1.5)
        return pictures[number]

    found: list[tuple[int, int, Loan, float, float]] = []
    for number in wanted:
        for old in [n for n in pictures if abs(place[n] - place[number]) > radius]:
            del pictures[old]
        near = [n for n in frames if n != number and abs(place[n] - place[number]) <= radius]
        near.sort(key=lambda n: (abs(n - number), n))
        here = picture(number)
        flows = {n: estimate_flow(here[1], picture(n)[1]) for n in near}
        for i in lost:
            if number not in tracks[i].frames:
                continue
            own = tracks[i].frames[number]
            peak = float(np.abs(tracks[i].profile.values).mean(axis=0).max())
            for k, (x, share) in enumerate(zip(own.place, own.strength * peak, strict=True)):
                if share < LOST:
                    continue
                strip = own.first + k
                best: tuple[float, Loan] | None = None
                for n in near:
                    row = np.array([round(float(strips.middles[strip]))], np.int64)
                    aside = tracks[i].profile.reach + 6
                    columns = np.rint(np.array([x - aside, x + aside])).astype(np.int64)
                    columns = np.clip(columns, 0, facts.width - 1)
                    ways = flows[n].at(columns, row)[0]
                    for way in ways:
                        one = _best(
                            tracks, i, strip, x, number, n, way, here[0], picture(n)[0], strips
                        )
                        if one is not None and (best is None or one[0] < best[0]):
                            best = one
                if best is not None:
                    level = float(here[0][int(strips.middles[strip])].mean())
                    apart = share * abs(float(np.mean(tracks[i].value)) - level)
                    found.append((i, number, best[1], best[0], apart))
    if found:
        usual = float(np.quantile([f[3] for f in found], 0.25))
        for i, number, loan, error, apart in found:
            if error <= _WORST * usual and error <= (_SHARE * apart) ** 2:
                loans[i][number] = (*loans[i].get(number, ()), loan)
    return loans


def _best(
    tracks: Sequence[Track],
    index: int,
    strip: int,
    x: float,
    number: int,
    source: int,
    way: _Float,
    here: NDArray[np.float32],
    there: NDArray[np.float32],
    strips: Strips,
) -> tuple[float, Loan] | None:
    """Return the least mean square difference around a strip, and the loan that has it."""
    height, width = here.shape[:2]
    reach = tracks[index].profile.reach
    top = max(0, strip * strips.rows - _MORE_ROWS)
    bottom = min(height, (strip + 1) * strips.rows + _MORE_ROWS)
    middle = round(x)
    half = _core_of(tracks[index])
    core = middle + np.arange(-half, half + 1)
    beside = np.arange(reach + 1, reach + 1 + _RIM)
    columns = middle + np.concatenate([-beside[::-1], beside])
    if columns[0] < 0 or columns[-1] >= width:
        return None
    rim = here[top:bottom, columns].astype(np.float64)
    best: tuple[float, Loan] | None = None
    start = np.rint(way).astype(int)
    for dy in range(start[1] - _SEARCH, start[1] + _SEARCH + 1):
        for dx in range(start[0] - _SEARCH, start[0] + _SEARCH + 1):
            if max(abs(dx), abs(dy)) > FARTHEST or top + dy < 0 or bottom + dy > height:
                continue
            if columns[0] + dx < 0 or columns[-1] + dx >= width:
                continue
            clear = _clear_of(tracks, source, (top + bottom) // 2 + dy, columns + dx, strips)
            lent = _clear_of(tracks, source, (top + bottom) // 2 + dy, core + dx, strips)
            if not lent.all() or clear.mean() < _LEAST_RIM:
                continue
            other = there[top + dy : bottom + dy, columns[clear] + dx].astype(np.float64)
            mine = rim[:, clear]
            apart = mine - other
            shift = apart.mean(axis=(0, 1))
            # Luma decides: the grain of single channels is coarser than what is looked for.
            error = float(np.mean((apart - shift).mean(axis=2) ** 2))
            if best is None or error < best[0]:
                steps = tuple(round(float(v) * STRENGTHS) for v in shift)
                best = error, Loan(strip, source, dx, dy, steps)
    return best


def _clear_of(
    tracks: Sequence[Track], number: int, row: int, columns: NDArray[np.intp], strips: Strips
) -> NDArray[np.bool_]:
    """Return which columns of a row no line of that frame reaches."""
    clear = np.ones(len(columns), np.bool_)
    for track in tracks:
        own = track.frames.get(number)
        if own is None:
            continue
        strip = row // strips.rows - own.first
        if 0 <= strip < len(own.place):
            clear &= np.abs(columns - own.place[strip]) > track.profile.reach
    return clear


def _core_of(track: Track) -> int:
    """Return the px either side of the middle at which a line may hide too much."""
    size = np.abs(track.profile.values).mean(axis=0)
    away = np.abs(np.arange(len(size)) - len(size) // 2) / STEPS
    return int(np.ceil(away[size >= LOST].max(initial=0.0) + 0.5))
