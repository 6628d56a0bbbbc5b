"""Render an output again from its record: recipe, plate, analysis, decisions, policy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast, get_args

from wetgate.io.ranges import FrameRange
from wetgate.model.errors import InputError, OutputError, VerifyFailed, WetgateError
from wetgate.recipe.schema import Recipe, recipe_from_document
from wetgate.render.events import Event, FrameDone
from wetgate.render.fixes.replayed import OnEvent, OnFrame, Replayed
from wetgate.render.fixes.restored import Restored, open_restored
from wetgate.render.fixes.revert import Request, change_fixes
from wetgate.render.fixes.verdicts import DECISIONS_SCHEMA, parse_verdicts, save_verdicts
from wetgate.render.options import JobOptions, Policy, ProvenanceOutput


def render_again(
    base: Restored, out: Path, plate: str, tell: OnFrame, watch: OnEvent
) -> tuple[Replayed, ...]:
    """Render the frames on record anew, take back what was taken back, and compare.

    Raises:
        InputError: the record does not say what was done.
        WetgateError: whatever keeps the job from starting, a stale analysis above all.
    """
    from wetgate.render.job import run_job

    options = recorded_options(base, out, plate)
    done: dict[int, Replayed] = {}

    def on_event(event: Event) -> None:
        watch(event)
        if isinstance(event, FrameDone) and event.report.status == "failed":
            number = event.report.number
            error = OutputError(event.report.error or "failed", frame=number)
            done[number] = Replayed(number=number, verdict="failed", error=error)

    run_job(options, on_event=on_event)
    made = open_restored(out)
    states = base.states() if base.journal.path.exists() else {}
    for number in base.numbers:
        if number not in done:
            reverted = states[number].reverted if number in states else frozenset()
            done[number] = _compared(base, made, number, reverted)
        tell(done[number])
    return tuple(done[number] for number in sorted(done))


def recorded_options(base: Restored, out: Path, plate: str) -> JobOptions:
    """Return the job that made an output, to be done again in another directory.

    Raises:
        InputError: the record does not say what was done.
    """
    facts = base.facts
    call = base.call
    policy = str(facts.get("policy", "creative"))
    provenance = str(call.get("provenance") or "auto")
    if policy not in get_args(Policy) or provenance not in get_args(ProvenanceOutput):
        raise InputError(f"policy {policy!r}, provenance {provenance!r}", path=base.control)
    pattern = str(facts.get("target") or "")

    def text(name: str) -> str | None:
        found = call.get(name)
        return str(found) if found else None

    analysis = base.control / "analysis.json"
    return JobOptions(
        plate=plate,
        out=out / Path(pattern).name if pattern else out,
        recipe=recorded_recipe(base),
        frames=FrameRange.from_numbers(base.numbers),
        policy=cast(Policy, policy),
        matte=text("matte"),
        holdout=text("holdout"),
        defects=text("defects"),
        decisions=_decisions(facts, out),
        provenance=cast(ProvenanceOutput, provenance),
        layer=text("layer"),
        allow_noncommercial=bool(call.get("accept_noncommercial")),
        overwrite=True,  # what is there is on record there, or was refused before
        analysis_path=analysis if analysis.exists() else None,
    )


def recorded_recipe(base: Restored) -> Recipe:
    """Return the recipe as it was resolved.

    Raises:
        InputError: it is not on record. RecipeError: it is none that this version knows.
    """
    found = base.facts.get("recipe")
    if not isinstance(found, dict):
        raise InputError("the recipe is not on record", path=base.control / "manifest.json")
    document = {key: value for key, value in found.items() if value is not None}
    return recipe_from_document(
        document, name=str(found.get("name", "replayed")), where=str(base.control)
    )


def _decisions(facts: Mapping[str, object], out: Path) -> Path | None:
    found = facts.get("decisions")
    if not isinstance(found, dict) or not (found.get("accepted") or found.get("rejected")):
        return None
    path = out / ".wetgate" / "decisions.json"
    save_verdicts(path, parse_verdicts({**found, "schema": DECISIONS_SCHEMA}, path))
    return path


def _compared(base: Restored, made: Restored, number: int, reverted: frozenset[str]) -> Replayed:
    """Compare a frame with the record, once fixes are taken back that were taken back."""
    record = base.records[number]
    digest = made.records[number].digest if number in made.records else "none"
    if reverted:
        try:
            (changed,) = change_fixes(made.directory, Request(ids=sorted(reverted)))
            digest = changed.digest
        except WetgateError as trouble:
            return Replayed(number=number, verdict="differs", error=trouble)
    if digest == record.digest:
        return Replayed(number=number, verdict="same")
    error = VerifyFailed(
        digest, path=made.directory, frame=number, expected=f"{record.digest} as recorded"
    )
    return Replayed(number=number, verdict="differs", error=error)
