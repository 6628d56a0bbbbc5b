"""Lay out what the dirt benchmark measured: a row for each figure and peer, with intervals.

What is independent is the plate: figures are averaged over the clips of a plate first, and
intervals are bootstrapped over plates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from wetgate.bench.dirt.figures import Figure, over_plates, shares
from wetgate.bench.dirt.measure import ALONE, JUDGED, TOLD, Clean, Damaged, Share
from wetgate.bench.dirt.runner import Altered
from wetgate.bench.dirt.scores import Bin, calibration_error, reliability
from wetgate.bench.dirt.search import Found
from wetgate.bench.table import BenchRow
from wetgate.measure import bootstrap_mean

F1_GOALS: Mapping[str, float] = {"moving": 0.92, "static": 0.96}
HOLE_DB, OVER_TELEA_DB = 28.0, 6.0
INVISIBLE, FALSE_BLOBS, CALIBRATION = 0.92, 1.0, 0.05
_TELEA = "Telea"

Claim = tuple[float, bool]


# Detection


def detection_rows(cases: Sequence[Damaged]) -> list[BenchRow]:
    """Return pixel and object F1 of wetgate beside every peer, then by strength and by plate."""
    rows: list[BenchRow] = []
    for group, goal in F1_GOALS.items():
        here = [c for c in cases if c.group == group]
        if not here:
            continue
        for kind, value in (("pixel F1", _pixel_f1), ("object F1", _object_f1)):
            rows += _beside_peers(f"{group}: {kind}", here, value, goal)
        for strength in dict.fromkeys(c.kind for c in here):
            rows.append(_breakdown(f"{group}: {strength}", [c for c in here if c.kind == strength]))
    for plate in dict.fromkeys(c.plate for c in cases):
        rows.append(_breakdown(f"plate: {plate}", [c for c in cases if c.plate == plate]))
    return rows


def _pixel_f1(case: Damaged, name: str) -> float | None:
    found = case.found.get(name)
    return None if found is None else found.pixels.f1


def _object_f1(case: Damaged, name: str) -> float | None:
    return case.objects.get(name)


def _beside_peers(
    title: str,
    cases: Sequence[Damaged],
    value: Callable[[Damaged, str], float | None],
    goal: float,
) -> list[BenchRow]:
    ours = over_plates(cases, lambda c: value(c, ALONE))
    peers = [n for n in dict.fromkeys(n for c in cases for n in c.found) if n != ALONE]
    figures = {n: over_plates(cases, lambda c, n=n: value(c, n)) for n in peers}  # type: ignore[misc]
    rows = []
    for name in sorted(peers, key=lambda n: -figures[n].mean):

        def lead(case: Damaged, name: str = name) -> float | None:
            mine, theirs = value(case, ALONE), value(case, name)
            return None if mine is None or theirs is None else mine - theirs

        rows.append(
            BenchRow(
                case=title,
                wetgate=ours.mean,
                peer=figures[name].mean,
                peer_name=f"{name}, best setting for the clip",
                interval=ours.interval,
                goal=f">= {goal:g}",
                reached=None if ours.interval is None else ours.mean >= goal,
                unit="",
                extra={
                    "peer with 95 %": str(figures[name]),
                    "lead with 95 %": str(over_plates(cases, lead)),
                },
            )
        )
    return rows


def _breakdown(title: str, cases: Sequence[Damaged]) -> BenchRow:
    peers = [n for n in dict.fromkeys(n for c in cases for n in c.found) if n != ALONE]

    def best(case: Damaged) -> float:
        return max(case.found[n].pixels.f1 for n in peers)

    ours = over_plates(cases, lambda c: _pixel_f1(c, ALONE))
    more = {
        "object F1": str(over_plates(cases, lambda c: _object_f1(c, ALONE))),
        "hidden in grain": str(sum(c.hidden for c in cases)),
    }
    mine = [c.found[ALONE] for c in cases if ALONE in c.found]
    if mine:
        sums = sum(mine, Found())
        more |= {
            "precision": f"{sums.pixels.precision:.3f}",
            "recall": f"{sums.pixels.recall:.3f}",
            "of objects": f"{sums.objects.precision:.3f} and {sums.objects.recall:.3f}",
            "nothing ignored": f"{sums.all_pixels.f1:.3f}, objects {sums.all_objects.f1:.3f}",
        }
    return BenchRow(
        case=f"{title}: pixel F1",
        wetgate=ours.mean,
        interval=ours.interval,
        peer=over_plates(cases, best).mean,
        peer_name="the best peer of each clip",
        unit="",
        extra={"blobs": float(sum(c.blobs for c in cases)), "more": _told(more)},
    )


# Repair


def repair_rows(cases: Sequence[Damaged]) -> list[BenchRow]:
    """Return PSNR in the hole and in the rim beside every peer, and blobs that are invisible."""
    rows: list[BenchRow] = []
    for group in F1_GOALS:
        here = [c for c in cases if c.group == group]
        if not here:
            continue
        names = list(dict.fromkeys(n for c in here for n in c.mended))
        ours = [n for n in (TOLD, ALONE) if n in names] or [ALONE]
        peers = [n for n in names if n not in (TOLD, ALONE)]
        for mine in ours:
            rows += [_hole_row(group, mine, name, here) for name in peers]
        rows += [_invisible_row(group, name, here) for name in (*ours, *JUDGED)]
    return rows


def _hole(case: Damaged, name: str) -> float | None:
    return case.mended[name].hole if name in case.mended else None


def _hole_row(group: str, mine: str, name: str, cases: Sequence[Damaged]) -> BenchRow:
    ours = over_plates(cases, lambda c: _hole(c, mine))
    peer = over_plates(cases, lambda c: _hole(c, name))

    def gain(case: Damaged) -> float | None:
        a, b = _hole(case, mine), _hole(case, name)
        return None if a is None or b is None else a - b

    def of(who: str, what: Literal["rim", "beneath", "offered"]) -> Figure:
        with_it = [c for c in cases if who in c.mended]
        return over_plates(with_it, lambda c: float(getattr(c.mended[who], what)))

    lead = over_plates(cases, gain)
    told = name in JUDGED or name == "spatial median"
    wanted = f">= {HOLE_DB:g} dB"
    reached: bool | None = ours.mean >= HOLE_DB
    if name == _TELEA:
        wanted += f" and +{OVER_TELEA_DB:g} dB"
        reached = reached and lead.mean >= OVER_TELEA_DB
    return BenchRow(
        case=f"{group}: PSNR in the hole, {mine}",
        wetgate=ours.mean,
        peer=peer.mean,
        peer_name=f"{name}{', told the matte' * told}",
        interval=ours.interval,
        goal=wanted,
        reached=None if ours.interval is None else reached,
        unit="dB",
        extra={
            "peer with 95 %": str(peer),
            "lead with 95 %": str(lead),
            "more": _told(
                {
                    "rim": str(of(mine, "rim")),
                    "peer's": str(of(name, "rim")),
                    "without grain": str(of(mine, "beneath")),
                    "the peer's": str(of(name, "beneath")),
                    "of blobs that a neighbor shows": str(of(mine, "offered")),
                    "of these the peer's": str(of(name, "offered")),
                }
            ),
        },
    )


def _invisible_row(group: str, name: str, cases: Sequence[Damaged]) -> BenchRow:
    is_ours = name in (ALONE, TOLD)
    with_it = [c for c in cases if name in c.mended]
    share = shares(with_it, lambda c: c.mended[name].shown)
    mine = TOLD if any(TOLD in c.mended for c in cases) else ALONE
    # A peer stands beside wetgate told as much as it was.
    ours = share if is_ours else shares([c for c in cases if mine in c.mended], _shown_by(mine))
    counts = [c.mended[name].shown for c in with_it]
    whole = sum(s.whole for s in counts if s is not None)
    return BenchRow(
        case=f"{group}: blobs invisible, {name if is_ours else mine}",
        wetgate=100 * ours.mean,
        peer=None if is_ours else 100 * share.mean,
        peer_name="" if is_ours else f"{name}, told the matte",
        interval=_times(ours.interval, 100),
        goal=f">= {100 * INVISIBLE:g} %" if is_ours else "",
        reached=ours.mean >= INVISIBLE if is_ours and share.interval else None,
        unit="%",
        extra={
            "peer with 95 %": "" if is_ours else str(share),
            "blobs": float(whole),
            "more": _told(
                {
                    "of blobs that no neighbor shows": str(
                        shares(with_it, lambda c: c.mended[name].others)
                    ),
                    "by PSNR of the hole alone": str(
                        shares(with_it, lambda c: c.mended[name].close)
                    ),
                }
            ),
        },
    )


def _shown_by(name: str) -> Callable[[Damaged], Share | None]:
    return lambda case: case.mended[name].shown


def _times(interval: tuple[float, float] | None, by: float) -> tuple[float, float] | None:
    return None if interval is None else (by * interval[0], by * interval[1])


# False removal


def clean_rows(cases: Sequence[Clean], damaged: Sequence[Damaged]) -> list[BenchRow]:
    """Return false blobs and altered pixels by action, over all of them, and on dirty clips."""
    rows: list[BenchRow] = []
    acted = [c for c in cases if "plate" not in c.kind]
    titles = [(kind, [c for c in cases if c.kind == kind]) for kind in _kinds(cases)]
    for title, here in [*titles, ("all action", acted)]:
        rows.append(_false_row(title, here, goal=title == "all action"))
    for name in dict.fromkeys(n for c in acted for n in c.altered if n != ALONE):
        rows.append(_false_peer_row(name, acted))
    if any(ALONE in c.found for c in damaged):
        total = sum((c.altered for c in damaged), Altered())
        rows.append(
            BenchRow(
                case="clips with dirt: clean pixels altered by more than 3 deviations",
                wetgate=1e6 * total.by_much / max(total.pixels, 1),
                unit="ppm",
                extra={"more": f"at all: {1e6 * total.at_all / max(total.pixels, 1):.4g} ppm"},
            )
        )
    return rows


def _kinds(cases: Sequence[Clean]) -> list[str]:
    return list(dict.fromkeys(c.kind for c in cases))


def _false_row(title: str, cases: Sequence[Clean], *, goal: bool) -> BenchRow:
    with_it = [c.altered[ALONE] for c in cases if ALONE in c.altered]
    total = sum(with_it, Altered())
    rates = [100 * a.blobs / a.frames for a in with_it]
    rate, interval = bootstrap_mean(rates) if rates else (math.nan, None)
    most = 100 * poisson_most(total.blobs) / max(total.frames, 1)
    return BenchRow(
        case=f"{title}: false blobs per 100 frames",
        wetgate=rate,
        interval=interval,
        goal=f"<= {FALSE_BLOBS:g}" if goal else "",
        reached=rate <= FALSE_BLOBS if goal and rates else None,
        unit="",
        extra={
            "blobs": float(total.blobs),
            "more": _told(
                {
                    "frames": str(total.frames),
                    "at most, by Poisson": f"{most:.3g}",
                    "clean px altered by 3 deviations": f"{_ppm(total, total.by_much)} ppm",
                    "at all": f"{_ppm(total, total.at_all)} ppm",
                    "left alone": str(sum(c.candidates for c in cases) - total.blobs),
                }
            ),
        },
    )


def _false_peer_row(name: str, cases: Sequence[Clean]) -> BenchRow:
    each = [c.altered[name] for c in cases]
    total = sum(each, Altered())
    ours = sum((c.altered[ALONE] for c in cases if ALONE in c.altered), Altered())
    if not total.blobs:
        return BenchRow(
            case="all action: clean px altered by 3 deviations",
            wetgate=1e6 * ours.by_much / ours.pixels if ours.pixels else math.nan,
            peer=1e6 * total.by_much / max(total.pixels, 1),
            peer_name=f"{name}, its gentlest setting",
            unit="ppm",
            extra={"more": f"at all: {_ppm(ours, ours.at_all)}, peer {_ppm(total, total.at_all)}"},
        )
    mean, interval = bootstrap_mean([100 * a.blobs / a.frames for a in each])
    return BenchRow(
        case="all action: false blobs per 100 frames",
        wetgate=100 * ours.blobs / ours.frames if ours.frames else math.nan,
        peer=mean,
        peer_name=f"{name}, best common setting",
        unit="",
        extra={
            "peer with 95 %": str(Figure(mean, interval)),
            "more": f"called dirt: {_ppm(total, total.at_all)} ppm",
        },
    )


def _ppm(total: Altered, part: int) -> str:
    return f"{1e6 * part / max(total.pixels, 1):.4g}"


def _told(facts: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items() if value)


def poisson_most(events: int) -> float:
    """Return the mean of which so few events are seen with a chance of 2.5 % (exact).

    Source: Garwood, "Fiducial limits for the Poisson distribution", Biometrika 28, 1936.
    """
    low, high = float(events), events + 10.0 + 10.0 * math.sqrt(events + 1.0)
    for _ in range(80):
        mean = 0.5 * (low + high)
        terms = [k * math.log(mean) - mean - math.lgamma(k + 1) for k in range(events + 1)]
        if sum(math.exp(t) for t in terms) > 0.025:
            low = mean
        else:
            high = mean
    return high


# Confidence


def claims_by_clip(damaged: Sequence[Damaged], clean: Sequence[Clean]) -> list[list[Claim]]:
    """Return the claims of every clip that made some."""
    every = [list(c.claims) for c in damaged] + [list(c.claims) for c in clean]
    return [claims for claims in every if claims]


def confidence_rows(clips: Sequence[Sequence[Claim]]) -> list[BenchRow]:
    """Return the expected calibration error, bootstrapped over clips, and the ten bins."""
    if not clips:
        return []
    error, interval = _error_of(clips)
    rows = [
        BenchRow(
            case="confidence: expected calibration error",
            wetgate=error,
            interval=interval,
            goal=f"<= {CALIBRATION:g}",
            reached=error <= CALIBRATION,
            unit="",
            extra={"blobs": float(sum(len(c) for c in clips))},
        )
    ]
    for k, each in enumerate(reliability([claim for clip in clips for claim in clip])):
        rows.append(_bin_row(k, each))
    return rows


def _error_of(clips: Sequence[Sequence[Claim]]) -> tuple[float, tuple[float, float]]:
    every = calibration_error(reliability([claim for clip in clips for claim in clip]))
    rng = np.random.default_rng(1)
    errors = []
    for _ in range(400):
        picked = rng.integers(0, len(clips), len(clips))
        errors.append(calibration_error(reliability([x for i in picked for x in clips[i]])))
    low, high = np.quantile(errors, [0.025, 0.975])
    return every, (float(low), float(high))


def _bin_row(index: int, each: Bin) -> BenchRow:
    return BenchRow(
        case=f"confidence {index / 10:.1f} to {(index + 1) / 10:.1f}: share that is dirt",
        wetgate=each.true,
        unit="",
        extra={"predicted": each.predicted, "blobs": float(each.count)},
    )
