"""Gather what a finished job left behind into its report page."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from wetgate.io.formats import layer_in, read_frame
from wetgate.model.errors import WetgateError
from wetgate.model.frame import Frame
from wetgate.model.units import format_bytes, format_seconds
from wetgate.model.version import __version__
from wetgate.operators.base import Operator, Pixels, Provenance, UsesModels
from wetgate.operators.registry import make_operator
from wetgate.recipe import Recipe, load_recipe
from wetgate.render.analysis import load_analysis
from wetgate.render.events import FrameReport, JobReport
from wetgate.render.frames import canvas_of, nearest_over
from wetgate.render.manifest import CONTROL, FrameRecord, Journal
from wetgate.render.options import JobOptions
from wetgate.render.plan import Plan
from wetgate.render.reporting.fixes import fixes_section
from wetgate.render.reporting.noise import profiles_of
from wetgate.render.reporting.page import (
    Comparison,
    Crop,
    Fact,
    ReportData,
    Row,
    ShotRow,
    StepFacts,
    Tile,
    write_report,
)
from wetgate.render.reporting.preview import data_uri, difference, display, shrink, telling_details
from wetgate.render.reporting.summary import summarize
from wetgate.render.shelf import color_channels
from wetgate.render.source import SourceClip, open_clip
from wetgate.render.windows import Shots

PAGE = "report.html"
AMPLIFICATION = 4
_SHOWN_FRAMES = 3
_LONGEST = 1280
_CROP = 240
_BIT_DEPTHS = {"uint8": 8, "uint10": 10, "uint12": 12, "uint16": 16}


def write_job_report(report: JobReport, plan: Plan, options: JobOptions) -> Path:
    """Write `report.html` beside the frames and return its path.

    Previews that cannot be made are left out, with a warning on the page.

    Raises:
        OutputError: when the page cannot be written.
    """
    page = report.directory / PAGE
    write_report(page, gather(report, plan, options))
    return page


def gather(report: JobReport, plan: Plan, options: JobOptions) -> ReportData:
    """Collect everything the page shows."""
    records = Journal(report.directory / CONTROL).latest()
    comparisons, trouble = _comparisons(report, plan, options)
    done = [f for f in report.frames if f.status != "failed"]
    failed = report.failed
    pixels = plan.out_width * plan.out_height
    numbers = [frame.number for frame in done]
    fixes, unseen = fixes_section(report.directory, numbers, pixels, str(options.plate))
    trouble += unseen
    wanted = len(plan.frames) + len(plan.missing)
    versions = next((r.versions for r in records.values() if r.versions), {})
    recipe = options.recipe if isinstance(options.recipe, Recipe) else load_recipe(options.recipe)
    return ReportData(
        title=Path(plan.source).name,
        subtitle=f"restored with the recipe {plan.recipe}",
        status=f"{len(done)} of {wanted} frames verified",
        status_class="good" if len(done) == wanted else "bad",
        version=versions.get("wetgate", __version__),
        made=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        tiles=_tiles(report, plan, done),
        comparisons=comparisons,
        amplification=AMPLIFICATION,
        preview_note=(
            f"Previews are reduced to {_LONGEST} px, shown as sRGB and rounded to 8 bits; details "
            "are at full size. The frames themselves are neither tone-mapped nor rounded further "
            "than their format is."
        ),
        facts=_facts(plan, report),
        steps=_steps(plan, recipe, options),
        profiles=profiles_of(_analysis(report, trouble), plan.sample_type),
        rows=[_row(f, records.get(f.number), plan) for f in _by_number(report.frames)],
        shots=[
            ShotRow(str(s.shot + 1), str(s.frames), s.share_text, s.text)
            for s in summarize(report.frames, _shots(report), report.networks)
        ],
        fixes=fixes,
        losses=plan.losses,
        warnings=[*plan.warnings, *report.warnings, *trouble],
        failures=[f"frame {f.number}: {f.error}" for f in failed],
        versions=versions,
    )


def _by_number(frames: Sequence[FrameReport]) -> list[FrameReport]:
    return sorted(frames, key=lambda f: f.number)


def _tiles(report: JobReport, plan: Plan, done: Sequence[FrameReport]) -> list[Tile]:
    changed = float(np.mean([f.changed_fraction for f in done])) if done else 0.0
    highest = max((k for f in done for k, share in f.classes if share > 0), default=0)
    generated = max((f.generative_fraction for f in done), default=0.0)
    seconds = [f.seconds for f in done if f.status != "skipped"]
    skipped = len(seconds) < len(done)
    tiles = [
        Tile(str(len(report.frames)), "frames"),
        Tile(f"{100 * changed:.1f} %", "of pixels changed"),
        Tile(_class_name(highest), "highest provenance class"),
        Tile(f"{100 * generated:.0f} %", "invented detail"),
        Tile(format_seconds(report.seconds), "this run" if skipped else "in all"),
    ]
    if seconds:
        tiles.append(Tile(format_seconds(float(np.mean(seconds))), "a frame"))
    return tiles


def _class_name(number: int) -> str:
    return Provenance(number).name.lower()


def _facts(plan: Plan, report: JobReport) -> list[Fact]:
    rate = f", {float(plan.frame_rate):g} frames/s" if plan.frame_rate is not None else ""
    facts = [
        ("Source", plan.source),
        ("Output", plan.target),
        ("Picture", f"{plan.size_text}, {', '.join(plan.channels)}{rate}"),
        ("Samples", plan.sample_type),
        ("Input space", plan.input_space),
        ("Decided by", plan.space_decision),
        ("Output space", plan.output_space),
        ("Color config", plan.config),
        ("Policy", plan.policy),
        ("Recipe", f"{plan.recipe}, {plan.recipe_digest}"),
        ("Memory", f"{format_bytes(plan.peak_memory)} planned"),
        ("Tiles", f"{plan.tile[0]} x {plan.tile[1]} px, {plan.workers} threads"),
        *(("Network", str(use)) for use in report.networks),
        ("Manifest", str(report.manifest) if report.manifest is not None else ""),
        ("Analysis", str(report.analysis) if report.analysis is not None else ""),
    ]
    return [(name, value) for name, value in facts if value]


def _steps(plan: Plan, recipe: Recipe, options: JobOptions) -> list[StepFacts]:
    steps: list[StepFacts] = []
    for step, (name, version) in zip(recipe.steps, plan.operators, strict=True):
        strength = step.strength if options.strength is None else options.strength
        operator = make_operator(step.operator, step.params)
        instead = [f.reason for f in plan.fallbacks if f.step == len(steps)]
        if instead and isinstance(operator, UsesModels):
            operator = operator.without_network() or operator
        shown: list[Fact] = [("strength", f"{strength:g}"), *_settings(operator)]
        radius = operator.spec.footprint.temporal_radius
        shown.append(("sees", f"{radius} frames either side" if radius else "one frame"))
        shown.append(("provenance", _class_name(operator.spec.provenance)))
        shown += [("model", str(model)) for model in plan.models if model.step == len(steps)]
        shown += [("not as asked", reason) for reason in instead]
        if options.matte is not None:
            shown.append(("matte", str(options.matte)))
        steps.append(StepFacts(name=name, note=f"version {version}", facts=tuple(shown)))
    return steps


def _settings(operator: Operator) -> list[Fact]:
    """Return an operator's parameters, those left at their defaults too."""
    if not dataclasses.is_dataclass(operator):
        return []
    names = [field.name for field in dataclasses.fields(operator)]
    return [(name.replace("_", " "), str(getattr(operator, name))) for name in names]


def _row(frame: FrameReport, record: FrameRecord | None, plan: Plan) -> Row:
    failed = frame.status == "failed"
    resized = (plan.out_width, plan.out_height) != (plan.width, plan.height)
    shares = ", ".join(f"{_class_name(k)} {100 * v:.1f} %" for k, v in frame.classes)
    return Row(
        number=frame.number,
        status=frame.status,
        status_class="bad" if failed else "good",
        seconds=f"{frame.seconds:.2f}",
        changed=None if failed else frame.changed_fraction,
        provenance="" if failed else shares or _class_name(0),
        max_change="" if failed or resized else _change_text(frame.max_change, plan.sample_type),
        source_digest=record.source_digest if record is not None else "",
        output_digest=frame.digest or "",
        notes="; ".join((*frame.remarks, *((frame.error,) if frame.error else ()))),
    )


def _change_text(change: float, sample_type: str) -> str:
    bits = _BIT_DEPTHS.get(sample_type)
    if bits is None:
        return f"{change:.4g}"
    codes = round(change * ((1 << bits) - 1))
    return f"{codes} code{'' if codes == 1 else 's'}"


def _analysis(report: JobReport, trouble: list[str]) -> Sequence[Mapping[str, object]]:
    if report.analysis is None:
        return ()
    try:
        analysis = load_analysis(report.analysis)
    except WetgateError as error:
        trouble.append(f"no noise plot: {error}")
        return ()
    return tuple(shot for step in analysis.steps for shot in step.shots)


def _shots(report: JobReport) -> Shots:
    try:
        return load_analysis(report.analysis).shots if report.analysis is not None else Shots()
    except WetgateError:
        return Shots()


def _comparisons(
    report: JobReport, plan: Plan, options: JobOptions
) -> tuple[list[Comparison], list[str]]:
    """Return a few frames before and after, and what went wrong with others."""
    found: list[Comparison] = []
    trouble: list[str] = []
    there = [f for f in _by_number(report.frames) if f.path is not None and f.status != "failed"]
    if not there:
        return found, trouble
    try:
        clip = open_clip(
            options.plate,
            input_space=plan.input_space if plan.config else None,
            config=options.config,
            layer=options.layer,
            must_decide=bool(plan.config),
        )
    except WetgateError as error:
        return found, [f"no previews: {error}"]
    with clip:
        for frame in _spread(there, _SHOWN_FRAMES):
            try:
                found.append(_compare(clip, frame, plan, options))
            except WetgateError as error:
                trouble.append(f"no preview of frame {frame.number}: {error}")
    return found, trouble


def _spread(frames: Sequence[FrameReport], count: int) -> list[FrameReport]:
    """Take frames at the middles of `count` equal parts; the first one when there are few."""
    places = {int((k + 0.5) * len(frames) / count) for k in range(count)}
    return [frames[place] for place in sorted(places)]


def _compare(clip: SourceClip, report: FrameReport, plan: Plan, options: JobOptions) -> Comparison:
    assert report.path is not None  # the caller chose frames that are there
    layer = layer_in(report.path, options.layer)
    restored = read_frame(report.path, report.number, color_space=plan.output_space, layer=layer)
    source = clip[report.number]
    before = _shown(source, plan.input_space, clip)
    after = _shown(restored, plan.output_space, clip)
    if after.shape != before.shape:
        before = nearest_over(before, canvas_of(source), canvas_of(restored))
    crops: list[Crop] = []
    for x, y in telling_details(before, after, _CROP):
        area = (slice(y, y + _CROP), slice(x, x + _CROP))
        for name, picture in (("Source", before[area]), ("Restored", after[area])):
            crops.append(
                Crop(
                    picture=data_uri(picture, lossless=True),
                    width=picture.shape[1],
                    height=picture.shape[0],
                    caption=f"{name}, full size at {x}, {y}",
                )
            )
    small_before, small_after = shrink(before, _LONGEST), shrink(after, _LONGEST)
    return Comparison(
        number=report.number,
        before=data_uri(small_before),
        after=data_uri(small_after),
        difference=data_uri(difference(small_before, small_after, AMPLIFICATION)),
        width=small_before.shape[1],
        height=small_before.shape[0],
        crops=tuple(crops),
    )


def _shown(frame: Frame, space: str, clip: SourceClip) -> Pixels:
    """Return a frame as a display shows it; as it is where nobody decided its space."""
    index = list(color_channels(frame.channels)) or [0]
    picture = np.ascontiguousarray(frame.pixels[..., index])
    return display(picture, space, clip.facts.config)
