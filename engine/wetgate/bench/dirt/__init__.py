"""Dirt found and repaired with the automatic setting, beside peers at their best for each clip.

Damage with known truth on moving and static plates, and clean action on which nothing may be
found. Detectors of the literature, filters of ffmpeg and OpenCV's inpainting run in the same run
on the same frames; a repair among the peers is told every pixel of the dirt that shows.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from wetgate.bench.dirt import cost, rows
from wetgate.bench.dirt.clips import (
    FRAMES,
    HEIGHT,
    SCORED,
    WIDTH,
    Plate,
    action_plan,
    damage_plan,
    held_out_overlays,
    plates,
)
from wetgate.bench.dirt.filters import filters
from wetgate.bench.dirt.measure import (
    ALONE,
    Clean,
    Damaged,
    common_settings,
    measure_clean,
    measure_damaged,
)
from wetgate.bench.dirt.runner import dirt_operator
from wetgate.bench.material import data_folder
from wetgate.bench.table import BenchRow, BenchTable, machine_facts, package_versions
from wetgate.model.errors import UsageError

_log = logging.getLogger(__name__)

_QUICK = ("photo, hand-held", "still, fast pan", "static, one mover", "still, locked off")
_ACTION = (
    "photo, hand-held",
    "still, fast pan",
    "still, locked off",
    "aspen",
    "leaves, parallax",
    "static, one mover",
)
"""Plates that action plays before: the first four at hand, in a quick run the first two."""
_METHOD = (
    f"{WIDTH}x{HEIGHT} px, {FRAMES} frames a clip, {len(SCORED)} of a dirty one scored, all of a "
    "clean one. Pixel F1 with 1 px tolerance, object F1 at IoU > 0.3, both on what shows: blobs "
    "that change no pixel by 3 deviations of the grain, and soft rims, count neither way. Means "
    "over plates, intervals bootstrapped over plates (over clips for actions and confidence). "
    "PSNR in the core of the holes against the scan without dirt, errors of a clip pooled; "
    "'without grain': against the picture beneath the grain. A blob is invisible when its hole "
    "reaches 28 dB, or does so beneath the grain, and its edge shows no step beyond the 95 % "
    "of those about it in the undamaged scan; LPIPS, whose weights are not at hand, is not asked"
)


def run(*, quick: bool = False, data: Path | None = None) -> BenchTable:
    """Measure detection, repair, false removal, confidence and cost.

    Args:
        quick: four plates with medium dirt, each action once, cost on a sixteenth of a frame.
        data: folder of published pictures and overlays; None looks at `WETGATE_TEST_DATA`, then
            at `../shared/data`. What is not there is skipped and counted.
    """
    folder = data_folder(data)
    found, skipped = plates(folder, _QUICK if quick else None)
    operator = dirt_operator()
    if operator is None:
        skipped.append("wetgate: this build has no operator dirt; peers alone")
    made, missing = filters()
    skipped += missing
    dirty: list[Damaged] = []
    with tempfile.TemporaryDirectory(prefix="wetgate-bench-") as scratch:
        overlays: Path | None = None
        try:
            overlays = held_out_overlays(folder, Path(scratch))
        except (FileNotFoundError, UsageError) as error:
            skipped.append(str(error))
        for make in damage_plan(found, overlays, quick=quick):
            dirty.append(measure_damaged(make(), operator, made))
            _tell(dirty[-1])
    settings = common_settings([d for d in dirty if d.group == "moving"] or dirty)
    stages = [p for name in _ACTION for p in found if p.name == name][: 2 if quick else 4]
    clean: list[Clean] = []
    for make in action_plan(stages, quick=quick):
        clean.append(measure_clean(make(), operator, made, settings))
        _log.info("CLEAN %s | %s: %s", clean[-1].plate, clean[-1].kind, clean[-1].altered)
    return table(dirty, clean, skipped, _cost(found, quick=quick))


def _cost(found: Sequence[Plate], *, quick: bool) -> list[BenchRow]:
    if not found:
        return []
    return cost.cost_rows(*cost.measure(found[0], quick=quick))


def _tell(case: Damaged) -> None:
    best = max((n for n in case.found if n != ALONE), key=lambda n: case.found[n].pixels.f1)
    _log.info(
        "DIRTY %s | %s: best peer %s %.3f, objects %.3f; wetgate %s; %s",
        case.plate, case.kind, best, case.found[best].pixels.f1, case.objects[best],
        f"{case.found[ALONE].pixels.f1:.3f} {case.objects[ALONE]:.3f}"
        if ALONE in case.found else "absent",
        {n: round(m.hole, 1) for n, m in case.mended.items()},
    )  # fmt: skip


def table(
    dirty: Sequence[Damaged],
    clean: Sequence[Clean],
    skipped: Sequence[str],
    costs: Sequence[BenchRow],
) -> BenchTable:
    """Lay out all that was measured."""
    versions = ("wetgate", "opencv-python-headless", "imageio-ffmpeg", "numpy")
    return BenchTable(
        name="dirt",
        rows=(
            *rows.detection_rows(dirty),
            *rows.repair_rows(dirty),
            *rows.clean_rows(clean, dirty),
            *rows.confidence_rows(rows.claims_by_clip(dirty, clean)),
            *costs,
            _left_row(dirty),
            BenchRow(
                case="skipped",
                wetgate=float(len(skipped)),
                unit="",
                note="; ".join(skipped) + f" [{_METHOD}]",
            ),
        ),
        data={f"{c.plate} | {c.kind}": c.digest for c in (*_facts(dirty), *_facts(clean))},
        versions=package_versions(versions),
        machine=machine_facts(),
    )


def _facts(cases: Sequence[Damaged] | Sequence[Clean]) -> list[Damaged | Clean]:
    return list(cases)


def _left_row(dirty: Sequence[Damaged]) -> BenchRow:
    reasons: dict[str, int] = {}
    for case in dirty:
        for why, count in case.left.items():
            reasons[why] = reasons.get(why, 0) + count
    return BenchRow(
        case="blobs found on dirty clips and left alone",
        wetgate=float(sum(reasons.values())),
        unit="",
        note="; ".join(f"{why}: {n}" for why, n in sorted(reasons.items(), key=lambda r: -r[1])),
    )


def draw(made: BenchTable, stem: Path) -> list[Path]:
    """Draw the reliability diagram from the table; nothing without matplotlib or without claims.

    Args:
        stem: path of the drawing without its suffix.
    """
    bins = [
        (float(row.extra["predicted"]), row.wetgate, float(row.extra["blobs"]))
        for row in made.rows
        if row.case.startswith("confidence ") and float(row.extra["blobs"]) > 0
    ]
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        _log.info("no drawing: matplotlib is not installed (the report extra)")
        return []
    if not bins:
        return []
    figure = Figure(figsize=(5, 6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    predicted, true, counts = zip(*bins, strict=True)
    upper.plot((0, 1), (0, 1), color="0.7", linewidth=1)
    upper.plot(predicted, true, marker="o")
    upper.set(ylabel="share that is dirt", ylim=(-0.02, 1.02), xlim=(-0.02, 1.02))
    lower.bar(predicted, counts, width=0.06)
    lower.set(xlabel="predicted confidence", ylabel="blobs", yscale="log")
    path = stem.with_suffix(".svg")
    figure.savefig(path)
    return [path]
