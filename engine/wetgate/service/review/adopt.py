"""Take an output that the service has not rendered for a finished job of its own."""

from __future__ import annotations

from pathlib import Path

from wetgate.io.ranges import FrameRange
from wetgate.render.fixes.rerender import recorded_recipe
from wetgate.render.fixes.restored import Restored, open_restored

_TEXTS = ("plate", "matte", "holdout", "defects", "layer")


def adopted_job(directory: str | Path) -> dict[str, object]:
    """Return the request that would render an output again, made of what is on record there.

    Keys are those of a job of the service; `recipe` is the document of the recipe as it was
    resolved, with spaces, range and config in it.

    Raises:
        InputError: nothing is on record there, or not what was done.
    """
    restored = open_restored(directory)
    facts, call = restored.facts, restored.call
    recipe = recorded_recipe(restored)
    document = {key: value for key, value in recipe.document().items() if value is not None}
    job: dict[str, object] = {
        "out": str(_out(restored)),
        "recipe": document | {"name": recipe.name},
        "frames": str(FrameRange.from_numbers(sorted(restored.records))),
        "policy": str(facts.get("policy") or "creative"),
        "provenance": str(call.get("provenance") or "auto"),
        "accept_noncommercial": bool(call.get("accept_noncommercial")),
        "label": Path(str(facts.get("source") or restored.directory)).name,
    }
    return job | {name: str(call[name]) for name in _TEXTS if call.get(name)}


def _out(restored: Restored) -> Path:
    """Return directory and pattern of the frames, wherever the directory lies now."""
    folder = restored.directory.absolute()
    pattern = Path(str(restored.facts.get("target") or "")).name
    return folder / pattern if pattern else folder
