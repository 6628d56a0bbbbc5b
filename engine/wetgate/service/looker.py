"""The child that looks at pictures for the service: one JSON request a line, one answer a line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from wetgate.model.errors import ServiceError, WetgateError
from wetgate.model.units import parse_bytes
from wetgate.service.protocol import error_body

if TYPE_CHECKING:
    from wetgate.service.previewing import PreviewDesk


def probe(request: Mapping[str, Any]) -> dict[str, Any]:
    """Say what a plate is."""
    from wetgate.model.errors import ColorSpaceUnknown
    from wetgate.render.source import open_clip

    space, why = None, ""
    plate, config, layer = request["plate"], request.get("config"), request.get("layer")
    try:
        clip = open_clip(plate, input_space=request.get("input_space"), config=config, layer=layer)
        space = clip.color_space
        why = clip.facts.decision.note if clip.facts.decision is not None else ""
    except ColorSpaceUnknown as error:
        why = str(error)
        clip = open_clip(plate, config=config, layer=layer, must_decide=False)
    with clip:
        info, numbers = clip.info, clip.frames
        return {
            "pattern": str(clip.sequence.directory / clip.sequence.pattern),
            "expression": clip.sequence.expression,
            "first": numbers[0],
            "last": numbers[-1],
            "frames": len(numbers),
            "chosen": request.get("frames"),
            "missing": sorted(clip.missing),
            "width": info.data_window.width,
            "height": info.data_window.height,
            "channels": list(info.channels),
            "sample_type": info.sample_type,
            "format": info.header.format,
            "pixel_aspect": info.pixel_aspect,
            "input_space": space,
            "space_decision": why,
            "frame_rate": str(clip.frame_rate) if clip.frame_rate is not None else None,
        }


def plan(request: Mapping[str, Any]) -> dict[str, Any]:
    """Say what a job would do and need."""
    from wetgate.render.job import plan_job

    made = plan_job(job_options(request))
    facts = asdict(made)
    facts["frame_rate"] = str(made.frame_rate) if made.frame_rate is not None else None
    return {"plan": facts}


def recipes(_request: Mapping[str, Any]) -> dict[str, Any]:
    """List the built-in recipes."""
    from wetgate.recipe import builtin_recipes, load_recipe

    loaded = [load_recipe(name) for name in builtin_recipes()]
    return {
        "recipes": [
            {
                "name": recipe.name,
                "summary": recipe.description,
                "operators": [step.operator for step in recipe.steps],
                "document": _without_nulls(recipe.document()),
            }
            for recipe in loaded
        ]
    }


def _without_nulls(document: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in document.items() if value is not None}


def job_options(request: Mapping[str, Any]) -> Any:
    """Make the options of a job from the facts of a request whose paths are resolved."""
    from wetgate.recipe.schema import recipe_from_document
    from wetgate.render.options import JobOptions

    facts = dict(request["options"])
    recipe = facts["recipe"]
    if isinstance(recipe, dict):
        facts["recipe"] = recipe_from_document(recipe, name="unnamed", where="recipe")
    facts["memory"] = parse_bytes(facts["memory"]) if facts.get("memory") else None
    facts["allow_noncommercial"] = facts.pop("accept_noncommercial", False)
    return JobOptions(**facts)


def page(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a question of the review page about an output."""
    from wetgate.service.review.desk import answer_page

    return answer_page(request)


_desk: PreviewDesk | None = None
"""Holds a job open between previews; this process does nothing else."""


def preview(request: Mapping[str, Any]) -> dict[str, Any]:
    """Put one frame of a job where a host can map it."""
    global _desk
    if _desk is None:
        from wetgate.service.previewing import PreviewDesk

        _desk = PreviewDesk()
    return _desk.answer(request, job_options(request))


Verb = Callable[[Mapping[str, Any]], dict[str, Any]]
VERBS: dict[str, Verb] = {
    "probe": probe,
    "plan": plan,
    "recipes": recipes,
    "preview": preview,
    "page": page,
}


def answer(line: bytes) -> dict[str, Any]:
    """Do what a request asks; an error is an answer as well."""
    try:
        request = json.loads(line)
        return VERBS[request["do"]](request)
    except WetgateError as error:
        return error_body(error)
    except MemoryError:
        return error_body(ServiceError("the system has no memory left"))
    except Exception as error:  # a bug must not end the warm process without a word
        return error_body(ServiceError(f"{type(error).__name__}: {error}"))


def main() -> None:
    """Answer until the input ends."""
    # Libraries may write to stdout; the answers go where it was.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        for line in sys.stdin.buffer:
            out.write(json.dumps(answer(line)).encode() + b"\n")
            out.flush()
    except BrokenPipeError:
        pass  # the service is dead; its files are removed all the same
    finally:
        if _desk is not None:
            _desk.close()


if __name__ == "__main__":
    main()
