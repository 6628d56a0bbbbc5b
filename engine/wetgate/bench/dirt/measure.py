"""Measure one clip: the operator and every peer, down to the few figures that the table needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wetgate.bench.dirt.clips import FIRST, FRAMES, SCORED, DirtyClip
from wetgate.bench.dirt.filters import Filter, around_of
from wetgate.bench.dirt.peers import detectors, suspicion
from wetgate.bench.dirt.runner import Altered, altered_of, claims_of, restore
from wetgate.bench.dirt.scores import SUCCESS_DB, Errors, errors_in, judge_blob, labels_of
from wetgate.bench.dirt.search import (
    Found,
    Repaired,
    Setting,
    called_at,
    detect_peers,
    detection,
    filter_peers,
    grain_deviation,
    repair_peers,
    repaired,
)
from wetgate.bench.dirt.visible import shown_by_frame
from wetgate.bench.table import digest_bytes
from wetgate.operators.base import Operator, ReadsPlanes

ALL_FRAMES = range(FIRST, FIRST + FRAMES)
ALONE, TOLD = "wetgate", "wetgate, told the matte"
JUDGED = ("Telea", "Navier-Stokes", "temporal median", "temporal median along motion")
_BAND = 12


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many."""

    part: int = 0
    whole: int = 0

    def __add__(self, other: Share) -> Share:
        """Pool two."""
        return Share(self.part + other.part, self.whole + other.whole)

    @property
    def value(self) -> float:
        """Return the share, NaN of nothing."""
        return self.part / self.whole if self.whole else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """What a repair reached on one clip.

    Attributes:
        hole, rim, beneath: PSNR, dB, as in `dirt_search.Repaired`.
        shown: blobs that became invisible, of those whose content a neighbor shows; `others` of
            the rest; None where blobs were not judged.
        close: of `shown`'s, by PSNR of the hole against the scan alone, seams apart.
        offered: PSNR in the holes of `shown` alone, dB.
    """

    hole: float
    rim: float
    beneath: float
    shown: Share | None = None
    others: Share | None = None
    close: Share | None = None
    offered: float = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Damaged:
    """What was measured on a clip with dirt.

    Attributes:
        hidden, blobs: how many blobs the grain hides, and how many it does not.
        found: detection by name; peers at the setting with the best pixel F1.
        objects: object F1 by name; peers at the setting with the best object F1.
        mended: repairs by name.
        claims: confidence of every blob found and whether it is dirt.
        altered: clean pixels that wetgate changed.
        settings: of the peers.
    """

    plate: str
    group: str
    kind: str
    digest: str
    hidden: int
    blobs: int
    found: Mapping[str, Found]
    objects: Mapping[str, float]
    mended: Mapping[str, Mended]
    claims: Sequence[tuple[float, bool]] = ()
    altered: Altered = field(default_factory=Altered)
    settings: Mapping[str, Setting] = field(default_factory=dict)
    left: Mapping[str, int] = field(default_factory=dict)


def measure_damaged(
    clip: DirtyClip, operator: Operator | None, filters: Sequence[Filter]
) -> Damaged:
    """Measure a clip with dirt."""
    around = around_of(clip.pixels, 2)
    shown = shown_by_frame(clip, SCORED)
    found: dict[str, Found] = {}
    objects: dict[str, float] = {}
    repairs: list[Repaired] = repair_peers(clip, SCORED, around)
    settings: dict[str, Setting] = {}
    detected = detect_peers(clip, SCORED, around)
    for mend, detector in filter_peers(clip, SCORED, around, filters):
        repairs.append(mend)
        detected.append(detector)
    for peer in detected:
        found[peer.name] = peer.by_pixels
        objects[peer.name] = peer.by_objects.objects.f1
        settings[peer.name] = peer.setting
    claims: list[tuple[float, bool]] = []
    altered = Altered()
    left: dict[str, int] = {}
    if operator is not None:
        alone = restore(operator, clip, SCORED)
        total = Found()
        for n in SCORED:
            total += detection(alone.labels[n] > 0, alone.labels[n], clip.masks[n])
            for fix in alone.records[n]:
                if not fix.applied:
                    left[fix.why] = left.get(fix.why, 0) + 1
        found[ALONE], objects[ALONE] = total, total.objects.f1
        repairs.append(repaired(ALONE, clip, alone.frames))
        claims = claims_of(clip, alone)
        altered = altered_of(clip, alone.frames)
        if isinstance(operator, ReadsPlanes) and "defects" in operator.planes():
            maps = {n: clip.masks[n].told.astype(np.float32) for n in clip.frames}
            told = restore(operator, clip, SCORED, maps)
            repairs.append(repaired(TOLD, clip, told.frames))
    return Damaged(
        plate=clip.plate,
        group=clip.group,
        kind=clip.kind,
        digest=digest_bytes(*(clip.frames[n].pixels.tobytes() for n in clip.frames)),
        hidden=sum(clip.masks[n].hidden for n in SCORED),
        blobs=sum(clip.masks[n].count for n in SCORED),
        found=found,
        objects=objects,
        mended={r.name: _mended(clip, r, shown) for r in repairs},
        claims=claims,
        altered=altered,
        settings=settings,
        left=left,
    )


def _mended(clip: DirtyClip, repair: Repaired, shown: Mapping[int, NDArray[np.bool_]]) -> Mended:
    plain = Mended(hole=repair.hole.psnr, rim=repair.rim.psnr, beneath=repair.beneath.psnr)
    if repair.name not in (ALONE, TOLD, *JUDGED):
        return plain
    seen, others, close = Share(), Share(), Share()
    offered = Errors()
    for number, frame in repair.frames.items():
        truth, masks = clip.frames[number].truth, clip.masks[number]
        sigma = truth.grain_sigma
        assert sigma is not None  # every clip of this bench has grain
        for k in range(masks.count):
            hole = masks.objects == k + 1
            area = _about(hole)
            verdict = judge_blob(
                truth.undirtied[area], truth.clean[area], sigma[area], frame[area], hole[area]
            )
            one = Share(int(verdict.is_invisible), 1)
            if shown[number][k]:
                seen += one
                offered += errors_in(truth.undirtied, frame, hole)
                close += Share(int(verdict.psnr >= SUCCESS_DB), 1)
            else:
                others += one
    return Mended(
        hole=plain.hole,
        rim=plain.rim,
        beneath=plain.beneath,
        shown=seen,
        others=others,
        close=close,
        offered=offered.psnr,
    )


def _about(hole: NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    return (
        slice(max(0, int(rows[0]) - _BAND), int(rows[-1]) + _BAND + 1),
        slice(max(0, int(columns[0]) - _BAND), int(columns[-1]) + _BAND + 1),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Clean:
    """What was done to a clip that has no dirt.

    Attributes:
        altered: by name; of detectors the blobs alone are counted.
        candidates: blobs that wetgate found, repaired or not.
    """

    plate: str
    kind: str
    digest: str
    altered: Mapping[str, Altered]
    claims: Sequence[tuple[float, bool]] = ()
    candidates: int = 0


def measure_clean(
    clip: DirtyClip,
    operator: Operator | None,
    filters: Sequence[Filter],
    settings: Mapping[str, Setting],
) -> Clean:
    """Measure a clip without dirt.

    Args:
        settings: of the detectors, those that did best on the clips with dirt.
    """
    altered: dict[str, Altered] = {}
    around = around_of(clip.pixels, 2)
    unit = np.float32(grain_deviation(clip, list(clip.frames)))
    known = detectors()
    for name, setting in settings.items():
        kind, _, how = name.partition(" ")
        if kind not in known:
            continue
        table = around.moved if how == "along motion" else around.still
        total = Altered()
        for n in clip.frames:
            plane = suspicion(table[n], known[kind][setting.variant], setting.blur) / unit
            called = called_at(plane, setting)
            total += Altered(
                pixels=called.size,
                at_all=int(called.sum()),
                frames=1,
                blobs=int(labels_of(called).max()),
            )
        altered[name] = total
    for made in filters:
        tried = [altered_of(clip, variant(clip.pixels, around)) for variant in made.variants]
        altered[made.name] = min(tried, key=lambda a: a.by_much)
    claims: list[tuple[float, bool]] = []
    candidates = 0
    if operator is not None:
        done = restore(operator, clip, ALL_FRAMES)
        blobs = sum(fix.applied for records in done.records.values() for fix in records)
        altered[ALONE] = altered_of(clip, done.frames, blobs)
        claims = claims_of(clip, done)
        candidates = len(claims)
    return Clean(
        plate=clip.plate,
        kind=clip.kind,
        digest=digest_bytes(*(clip.frames[n].pixels.tobytes() for n in clip.frames)),
        altered=altered,
        claims=claims,
        candidates=candidates,
    )


def common_settings(cases: Sequence[Damaged]) -> dict[str, Setting]:
    """Return for each detector the setting chosen most often, ties to the higher threshold."""
    chosen: dict[str, Setting] = {}
    for name in cases[0].settings if cases else ():
        picks = [c.settings[name] for c in cases]
        chosen[name] = max(set(picks), key=lambda s: (picks.count(s), s.threshold, s.least, s.blur))
    return chosen
