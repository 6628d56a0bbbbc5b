"""A closer look at a line: fitted to what a frame has more than other frames predict.

Strip by strip the picture is either taken for a random walk, as on a first look, or for what other
frames show of it; each counts by how little it answers beside the line, where no scratch is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.scratches.behind import Band
from wetgate.operators.scratches.fit import (
    ROUNDS,
    Course,
    Reading,
    course_of,
    deviation,
    moved_on,
    per_strip,
    read_plain,
    roughness,
)
from wetgate.operators.scratches.lines import Strips
from wetgate.operators.scratches.profile import (
    ROUGHNESS,
    STEPS,
    Profile,
    ProfileSums,
    RowFilters,
    inverse_covariance,
    lay_weights,
)

_LEAST_TOLD = 0.02
"""Least share of a line's information that must be left where prediction holds some of it."""
_PLAIN = 1.5
"""A plain reading errs by more than it shows beside: edges under the line stay in all frames."""

_Float = NDArray[np.float64]


def fit_closer(
    luma: NDArray[np.float32],
    strips: Strips,
    course: Course,
    filters: RowFilters,
    profile: Profile,
    band: Band | None,
    *,
    fixed: bool,
    removed: bool,
) -> tuple[Course, _Float]:
    """Fit a line on a frame; return it and how much each strip relies on other frames, 0-1.

    Args:
        luma: `(height, width)`. course: what is known of it; the band was made along it.
        filters, profile: of its cross section. fixed: keep the place.
        removed: whether the line was taken off of the frames that predict.
    """
    start = now = course
    share = np.zeros(len(course.place))
    ghost = None if band is None else band.ghost(profile)
    for _ in range(1 if fixed else ROUNDS if not removed else ROUNDS - 1):
        plain = read_plain(luma, strips, now, filters)
        reading = plain
        if band is not None and ghost is not None:
            before = start.rows(strips)[2] if removed else np.zeros(len(band.rows))
            rest = _read_rest(band, ghost, before, strips, now, profile)
            reading, share = _joined(plain, rest)
        now = course_of(now, reading, strips)
        if not fixed:
            now = moved_on(now, reading, strips, start.place)
    return now, share


def _joined(plain: Reading, rest: Reading) -> tuple[Reading, _Float]:
    """Weigh two readings of the same strips by what they answer beside the line."""
    told = np.isfinite(rest.own)
    if not told.any():
        return plain, np.zeros(len(told))
    usual = np.sqrt(np.mean(rest.beside[told] ** 2))
    spread = deviation(np.where(told[:, None], rest.beside, usual))
    precise = np.where(told, 1.0 / np.maximum(spread, 1e-12) ** 2, 0.0)
    rough = 1.0 / np.maximum(_PLAIN * deviation(plain.beside), 1e-12) ** 2
    share = precise / (precise + rough)
    values = {}
    for name in ("own", "moved", "beside", "sides", "level"):
        ours = np.nan_to_num(getattr(rest, name))
        weight = share if ours.ndim == 1 else share[:, None]
        values[name] = weight * ours + (1.0 - weight) * getattr(plain, name)
    return replace(plain, **values), share


def _read_rest(
    band: Band, ghost: _Float, before: _Float, strips: Strips, now: Course, profile: Profile
) -> Reading:
    """Read strength and displacement from a band; strips that cannot tell are NaN.

    Args:
        ghost: what of the line the prediction holds where its strength is 1.
        before: `(row,)` the strength at which the line was taken off of the frames that predict.
    """
    rows, x, _ = now.rows(strips)
    luma = Profile(profile.values.mean(axis=0, keepdims=True))
    half = profile.reach + 4
    aside = (half + 2, half + 7)
    whole = np.rint(x).astype(np.intp)
    shown = band.rest - before[:, None] * ghost
    shift = np.clip(whole - band.anchor, -_slack(band, half), _slack(band, half))
    at = band.anchor + shift
    first = band.half + shift - half
    take = first[:, None] + np.arange(2 * half + 1)
    index = np.arange(len(rows))[:, None]
    distance = at[:, None] + np.arange(-half, half + 1) - x[:, None]
    own = luma.at(distance)[..., 0]
    slope = (luma.at(distance + 0.125) - luma.at(distance - 0.125))[..., 0] / 0.25
    design = np.stack([own - ghost[index, take], -slope, np.ones_like(own)], axis=2)
    told: NDArray[np.bool_] = np.asarray(np.isfinite(shown).all(axis=1))
    wide = np.where(told[:, None], shown, 0.0)
    reach = half + aside[-1]
    around = (band.half + shift - reach)[:, None] + np.arange(2 * reach + 1)
    per_row = roughness(wide[index, around], half)[0]
    rough = np.rint(per_strip(per_row, strips)).astype(np.intp)[index[:, 0] // strips.rows]
    taps = np.zeros((len(rows), 2, 2 * half + 1))
    for r in np.unique(rough):
        inverse = inverse_covariance(half, ROUGHNESS[r])
        mine = rough == r
        weighed = np.einsum("nwk,wv->nkv", design[mine], inverse)
        normal = np.einsum("nkv,nvl->nkl", weighed, design[mine])
        alone = np.einsum("nw,wv,nv->n", own[mine], inverse, own[mine])
        enough = normal[:, 0, 0] > _LEAST_TOLD * np.maximum(alone, 1e-30)
        told[mine] &= enough
        normal[~enough] = np.eye(3)
        taps[mine] = np.einsum("nkl,nlw->nkw", np.linalg.inv(normal), weighed)[:, :2]
    size = np.abs(own) + 1e-12
    size /= size.sum(axis=1, keepdims=True)
    offsets = np.array((0, *aside, *(-a for a in aside)))
    parts = wide[index[..., None], take[..., None] + offsets]
    values = per_strip(np.matmul(taps, parts), strips)
    # A strip that cannot be read as a whole is not read in part.
    values[np.bincount(index[:, 0] // strips.rows, ~told) > 0] = np.nan
    return Reading(
        own=values[:, 0, 0],
        moved=values[:, 1, 0],
        beside=values[:, 0, 1:],
        sides=values[:, 1, 1:],
        level=per_strip((size * band.shown[index, take]).sum(axis=1), strips),
        steps=np.zeros((len(values), len(offsets))),
    )


def _slack(band: Band, half: int) -> int:
    """Return how far a line may stray from the middle of a band that was made for it."""
    return max(0, band.half - (2 * half + 7))


def add_rest(
    sums: ProfileSums,
    band: Band,
    strips: Strips,
    course: Course,
    profile: Profile,
    share: _Float,
    *,
    removed: bool,
) -> None:
    """Add what a band says of the cross section, strips alone that rely on other frames.

    Args:
        share: `(strip,)` from `fit_closer`; strips below a half are left out.
    """
    rows, x, strength = course.rows(strips)
    half = (sums.rows.shape[2] - 1) // 2
    reach = half - 4
    size = 2 * reach * STEPS + 1
    around = (band.half - half) + np.arange(2 * half + 1)
    shown = (band.rest - band.ghost(profile, known=True))[:, around]
    columns = band.anchor[:, None] + np.arange(-half, half + 1)
    strip = np.arange(len(rows)) // strips.rows
    chosen = share > 0.5
    chosen &= np.bincount(strip, np.isfinite(shown).all(axis=1), len(share)) == np.bincount(strip)
    if not chosen.any():
        return
    mine = chosen[strip]
    count = np.bincount(strip[mine], minlength=len(share))
    lays = np.zeros(len(share) * (2 * half + 1) * size)
    place = (strip[:, None] * (2 * half + 1) + np.arange(2 * half + 1)) * size

    def lay(gap: _Float, weight: _Float) -> None:
        at, taps = lay_weights(gap[mine], reach)
        flat = place[mine][..., None] + at
        np.add.at(lays, flat.ravel(), (taps * weight[mine][:, None, None]).ravel())

    lay(columns - x[:, None], strength)
    for part, gap, taken in zip(band.shares, band.gaps, band.strengths, strict=True):
        lay(gap[:, around], -part * (taken if removed else strength))
    lays = lays.reshape(len(share), 2 * half + 1, size)
    per_row, _, grain = roughness(np.where(mine[:, None], shown, 0.0), half - 8)
    rough = np.rint(per_strip(per_row, strips)).astype(np.intp)
    for k in np.flatnonzero(chosen):
        inverse = inverse_covariance(half, ROUGHNESS[rough[k]])
        part = shown[strip == k]
        middle = np.median(part, axis=0)
        limit = 2.5 * 1.4826 * np.median(np.abs(part - middle), axis=0)
        target = np.clip(part, middle - limit, middle + limit).mean(axis=0)
        target = target - target.mean()
        own = lays[k] / count[k]
        drawn = own @ _samples(profile, reach)
        told = float(drawn @ inverse @ drawn) / max(float(course.strength[k]) ** 2, 1e-24)
        unit = 1.0 / max(told, 1e-12)
        noise = max(course.error[k] ** 2 / unit, float(grain[0]) / count[k])
        # Nor does a strip tell more than it agrees with what is known so far.
        apart = target - drawn
        noise = max(noise, float(apart @ inverse @ apart) / len(apart))
        weighed = own.T @ inverse / noise
        sums.normal += weighed @ own
        sums.right += weighed @ target


def _samples(profile: Profile, reach: int) -> _Float:
    """Return luma's cross section over `2 * reach * STEPS + 1` samples."""
    luma = profile.values.mean(axis=0)
    extra = (reach - profile.reach) * STEPS
    return np.pad(luma, extra) if extra >= 0 else luma[-extra:extra]
