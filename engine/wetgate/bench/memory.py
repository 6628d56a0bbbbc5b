"""Whether a restoration stays inside its memory budget, and does not grow with the shot."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
from pathlib import Path

from wetgate.bench.plates import SPACE, write_plate
from wetgate.bench.table import BenchRow, BenchTable, machine_facts, package_versions
from wetgate.model.errors import WetgateError
from wetgate.operators.base import UsesModels
from wetgate.operators.registry import make_operator
from wetgate.recipe import builtin_recipes, load_recipe
from wetgate.weights import list_models

_log = logging.getLogger(__name__)

_UHD = (3840, 2160)
_SMALL = (160, 96)
_GROWTH_GOAL = 1.05
_COARSE = """
schema = "wetgate.recipe/1"
[[steps]]
operator = "denoise"
[steps.params]
step = 6
net = "none"
"""
"""The classical denoise on a coarser patch grid: the same memory in a quarter of the time."""


def run(*, quick: bool = False, data: Path | None = None) -> BenchTable:
    """Measure the peak resident memory of restoring processes.

    Each case is a process of its own that restores with the `denoise` recipe, or with one of
    those whose networks come with wetgate.

    Args:
        quick: the 1 GB case and a shorter small shot only.
        data: unused; the plates are generated.
    """
    rows: list[BenchRow] = []
    digests: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        large = folder / "uhd"
        digests["generated UHD, 13 frames"] = write_plate(large, range(1, 14), *_UHD)
        for gigabytes in (1,) if quick else (1, 2, 4):
            rows.append(_budget_row(large, folder / f"out{gigabytes}", gigabytes))
        for recipe in () if quick else _with_networks():
            rows.append(_row_or_reason(large, folder / f"out-{recipe}", recipe))
            _log.info("%s: %.0f MB %s", rows[-1].case, rows[-1].wetgate, rows[-1].note)
        long = 150 if quick else 500
        small = folder / "small"
        digests[f"generated {_SMALL[0]}x{_SMALL[1]}, {long} frames"] = write_plate(
            small, range(1, long + 1), *_SMALL
        )
        rows.append(_growth_row(folder, small, long))
    return BenchTable(
        name="memory",
        rows=tuple(rows),
        data=digests,
        versions=package_versions(("wetgate", "numpy", "opencv-python-headless")),
        machine=machine_facts(),
    )


def _budget_row(plate: Path, out: Path, gigabytes: int) -> BenchRow:
    """Restore one frame with a full window of neighbors inside a budget."""
    recipe = out.with_suffix(".toml")
    recipe.write_text(_COARSE, "utf-8")
    found = _restore(plate, out, memory=gigabytes << 30, frames="7", recipe=str(recipe))
    peak = float(found["peak_mb"])
    budget = gigabytes * 1024.0
    return BenchRow(
        case=f"UHD 10-bit DPX, denoise without networks, --memory {gigabytes}GB",
        wetgate=peak,
        peer=budget,
        peer_name="budget",
        ratio=peak / budget,
        goal="<= 1",
        reached=peak <= budget,
        unit="MB",
        extra={"planned MB": float(found["planned_mb"]), "seconds": float(found["seconds"])},
    )


def _with_networks() -> list[str]:
    """Return the built-in recipes whose networks are all there."""
    found = []
    for name in builtin_recipes():
        steps = [make_operator(s.operator, s.params) for s in load_recipe(name).steps]
        models = [m for step in steps if isinstance(step, UsesModels) for m in step.models()]
        here = {package.card.name for package in list_models()}
        if models and here.issuperset(models):
            found.append(name)
    return found


def _row_or_reason(plate: Path, out: Path, recipe: str) -> BenchRow:
    """Measure one recipe; where that fails, a full disk say, the other rows are not lost."""
    try:
        return _network_row(plate, out, recipe)
    except WetgateError as error:
        return BenchRow(
            case=_case(recipe), wetgate=0.0, unit="MB", goal="<= 1", reached=False,
            note=f"not measured: {error}",
        )  # fmt: skip


def _case(recipe: str) -> str:
    return f"UHD 10-bit DPX, {recipe} with its network, --memory 2GB"


def _network_row(plate: Path, out: Path, recipe: str) -> BenchRow:
    """Restore one frame by a recipe with a network, with as many neighbors as it looks at.

    Where 2 GB are refused the frame is restored in what the refusal asks for.
    """
    budget = allowed = 2048
    found = _restore(plate, out, memory=budget << 20, frames="7", recipe=recipe)
    if "needs_mb" in found:
        allowed = int(found["needs_mb"])
        found = _restore(plate, out, memory=allowed << 20, frames="7", recipe=recipe)
    peak = float(found["peak_mb"])
    asked = f"2GB is refused before the first frame; restored in the {allowed} MB asked for"
    return BenchRow(
        case=_case(recipe),
        wetgate=peak,
        peer=float(budget),
        peer_name="budget",
        ratio=peak / budget,
        goal="<= 1",
        reached=allowed == budget and peak <= budget,
        unit="MB",
        extra={"planned MB": float(found["planned_mb"]), "seconds": float(found["seconds"])},
        note=asked if allowed > budget else "",
    )


def _growth_row(folder: Path, plate: Path, long: int) -> BenchRow:
    """Compare a long shot with its first 50 frames."""
    short = folder / "short"
    short.mkdir()
    for number in range(1, 51):
        name = f"plate.{number:04d}.dpx"
        (short / name).write_bytes((plate / name).read_bytes())
    few = _restore(short, folder / "short-out", memory=4 << 30, frames="", recipe="denoise")
    many = _restore(plate, folder / "long-out", memory=4 << 30, frames="", recipe="denoise")
    ratio = float(many["peak_mb"]) / float(few["peak_mb"])
    return BenchRow(
        case=f"{_SMALL[0]}x{_SMALL[1]} DPX, denoise, {long} frames beside 50",
        wetgate=float(many["peak_mb"]),
        peer=float(few["peak_mb"]),
        peer_name="50 frames",
        ratio=ratio,
        goal=f"<= {_GROWTH_GOAL}",
        reached=ratio <= _GROWTH_GOAL,
        unit="MB",
    )


def _restore(
    plate: Path, out: Path, *, memory: int, frames: str, recipe: str
) -> dict[str, float | str]:
    """Run one restoration in a fresh process and return what it says of itself."""
    request = json.dumps(
        {
            "plate": str(plate),
            "out": str(out),
            "memory": memory,
            "frames": frames or None,
            "recipe": recipe,
            "input_space": SPACE,
            "threads": 2,
        }
    )
    command = [sys.executable, "-m", "wetgate.bench.memory_child", request]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise WetgateError(
            f"the restoring process ended with {done.returncode}: {done.stderr.strip()[-500:]}"
        )
    found: dict[str, float | str] = json.loads(done.stdout)
    return found
