"""Whether a result depends on how the work was split, and what the engine costs by itself."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from wetgate.bench.plates import SPACE, make_nothing, write_plate
from wetgate.bench.table import (
    BenchRow,
    BenchTable,
    bootstrap_ratio,
    cpu_interleaved,
    digest_bytes,
    machine_facts,
    package_versions,
)
from wetgate.io.atomic import digest_file
from wetgate.io.formats import read_frame, write_frame
from wetgate.io.options import WriteOptions
from wetgate.io.ranges import FrameRange
from wetgate.model.errors import OutOfMemory, VerifyFailed
from wetgate.recipe import Recipe, Step
from wetgate.render.job import JobOptions, plan_job, run_job

_OVERHEAD_GOAL = 1.05
_RECIPE = Recipe(
    name="split",
    steps=(Step(operator="denoise", params={"radius": 2}),),
    input_space=SPACE,
)
_NOTHING = Recipe(name="nothing", steps=(Step(operator="nothing"),), input_space=SPACE)


def run(*, quick: bool = False, data: Path | None = None) -> BenchTable:
    """Restore one shot in many ways and compare the files; then time a restoration of nothing.

    Args:
        quick: a shorter shot and fewer repeats.
        data: unused; the plates are generated.
    """
    count = 8 if quick else 18
    with tempfile.TemporaryDirectory(dir=_ram()) as name:
        folder = Path(name)
        digest = write_plate(folder / "in", range(1, count + 1), 320, 180)
        rows = _splits(folder, list(range(1, count + 1)))
        for width, height in ((2048, 1556),) if quick else ((2048, 1556), (3840, 2160)):
            rows.append(_overhead(folder / f"{width}", width, height, 7 if quick else 15))
    return BenchTable(
        name="split",
        rows=tuple(rows),
        data={f"generated 320x180 10-bit DPX, {count} frames": digest},
        versions=package_versions(("wetgate", "numpy", "opencv-python-headless")),
        machine=machine_facts(),
    )


def _ram() -> Path | None:
    ram = Path("/dev/shm")
    return ram if ram.is_dir() else None


def _splits(folder: Path, numbers: list[int]) -> list[BenchRow]:
    plate = folder / "in"
    budgets = _budgets(plate, folder / "plan")

    def whole(out: Path, *, threads: int = 2, memory: int | None = None) -> None:
        _render(plate, out, None, threads=threads, memory=memory)

    def chunks(out: Path, parts: Sequence[Sequence[int]]) -> None:
        for part in parts:
            _render(plate, out, part)

    ways: dict[str, Callable[[Path], None]] = {
        "again": whole,
        "one frame at a time, reversed": lambda out: chunks(out, [[n] for n in numbers[::-1]]),
        **{
            f"chunks of {size}": lambda out, size=size: chunks(  # type: ignore[misc]
                out, [numbers[i : i + size] for i in range(0, len(numbers), size)]
            )
            for size in (7, 16)
        },
        "one thread": lambda out: whole(out, threads=1),
        **{
            f"budget of {budget >> 20} MB": lambda out, budget=budget: whole(out, memory=budget)  # type: ignore[misc]
            for budget in budgets
        },
    }
    whole(folder / "whole")
    want = _digests(folder / "whole")
    rows = []
    for name, way in ways.items():
        out = folder / name.replace(" ", "-")
        way(out)
        got = _digests(out)
        equal = sum(got.get(file) == digest for file, digest in want.items())
        rows.append(
            BenchRow(
                case=f"denoise, {name}",
                wetgate=equal,
                peer=len(want),
                peer_name="frames of the whole run",
                goal="all equal",
                reached=got == want,
                unit="frames",
                extra={"digest": digest_bytes(repr(sorted(got.items())).encode())},
            )
        )
    return rows


def _render(
    plate: Path,
    out: Path,
    numbers: Sequence[int] | None,
    *,
    threads: int = 2,
    memory: int | None = None,
) -> None:
    report = run_job(
        JobOptions(
            plate=plate,
            out=out,
            recipe=_RECIPE,
            frames=None if numbers is None else FrameRange.from_numbers(numbers),
            threads=threads,
            memory=memory,
            resume=numbers is not None,
        )
    )
    if report.exit_code:
        raise VerifyFailed("; ".join(str(f.error) for f in report.failed), path=out)


def _budgets(plate: Path, out: Path) -> list[int]:
    """Return three budgets that make different plans: roomy, tight, and the least that fits."""
    roomy = 4 << 30
    top = plan_job(JobOptions(plate=plate, out=out, recipe=_RECIPE, threads=2)).peak_memory
    fitting = []
    for step in range(24):
        budget = top - (step << 20)
        try:
            plan_job(JobOptions(plate=plate, out=out, recipe=_RECIPE, threads=2, memory=budget))
        except OutOfMemory:
            break
        fitting.append(budget)
    # Some room above the least: the process may have grown by the time it is used.
    tight = fitting[len(fitting) // 2] if fitting else top
    least = fitting[-2] if len(fitting) > 1 else top
    return [roomy, tight, least]


def _digests(folder: Path) -> dict[str, str]:
    return {p.name: digest_file(p) for p in sorted(folder.glob("*.dpx"))}


def _overhead(folder: Path, width: int, height: int, repeats: int) -> BenchRow:
    """Compare the CPU time of restoring with an idle operator with that of its codec calls.

    The codec calls of a frame are one read, one write and the reading back of what was written.
    """
    frames = 64 if width < 3000 else 16  # a job's fixed cost, 20 ms or so, is not a frame's
    plate = folder / "in"
    write_plate(plate, range(1, frames + 1), width, height)
    out = folder / "out"
    out.mkdir()
    options = JobOptions(
        plate=plate, out=out, recipe=_NOTHING, threads=1, overwrite=True, memory=8 << 30
    )

    def engine() -> None:
        report = run_job(options, make=make_nothing)
        if any(f.status != "passed-through" for f in report.frames):
            raise VerifyFailed("an operator that does nothing changed frames", path=out)

    def codec() -> None:
        for number in range(1, frames + 1):
            source = plate / f"plate.{number:04d}.dpx"
            target = out / source.name
            frame = read_frame(source, number, color_space=SPACE)
            target.unlink(missing_ok=True)
            write_frame(
                frame, target, options=WriteOptions(file_name=source.name, pixels_changed=False)
            )
            del frame
            read_frame(target, number, color_space=SPACE)

    ours, peer = cpu_interleaved(engine, codec, repeats)
    inverse, (low, high) = bootstrap_ratio(ours, peer)
    ratio = 1.0 / inverse
    return BenchRow(
        case=f"idle operator over 10-bit RGB DPX {width}x{height}",
        wetgate=sum(ours) / len(ours) / frames,
        peer=sum(peer) / len(peer) / frames,
        peer_name="its codec calls",
        ratio=ratio,
        interval=(1.0 / high, 1.0 / low),
        goal=f"<= {_OVERHEAD_GOAL}",
        reached=ratio <= _OVERHEAD_GOAL,
        unit="ms CPU a frame",
        note="read, write and read-back; the engine also hashes source and output",
    )
