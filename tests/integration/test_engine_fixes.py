"""Single defects repaired on real files: outside of them every bit is the scan's.

What is written is read by readers that share nothing with the engine: DPX by its header and a
shift of words, EXR by the OpenEXR library.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
from numpy.typing import NDArray
from support.fixers import Mend, Mender, Spots
from support.operators import Lift, inner
from support.plates import recipe, register, write_plate
from wetgate.color.shaper import signed_log
from wetgate.model.box import Box
from wetgate.model.errors import (
    BackendError,
    InputError,
    OutputError,
    RecipeError,
    UsageError,
    WetgateError,
)
from wetgate.operators import registry
from wetgate.operators.base import Analysis, Judged, Provenance, SourceFacts, Window
from wetgate.recipe import Recipe
from wetgate.render import job as job_module
from wetgate.render import planner
from wetgate.render.events import JobReport
from wetgate.render.fix_sink import WrittenFixes
from wetgate.render.job import JobOptions, run_job, verify_output
from wetgate.render.manifest import CONTROL, Journal

W, H = 64, 32
FRAMES = range(1001, 1004)
BORROWED, UNDONE = int(Provenance.BORROWED), int(Provenance.REEXPOSED)
Made = NDArray[Any]


@pytest.fixture(autouse=True)
def _operators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_FACTORIES", dict(registry._FACTORIES))
    register()
    registry._FACTORIES["mend"] = Mender


@dataclass(frozen=True)
class Spot:
    x: int
    y: int
    width: int
    bright: bool

    @property
    def at(self) -> tuple[slice, slice]:
        return slice(self.y, self.y + 1), slice(self.x, self.x + self.width)


def spots(number: int) -> list[Spot]:
    """One spot in every third row, away from the rim; bright and dark in turn."""
    rng = np.random.default_rng(number)
    return [
        Spot(int(rng.integers(4, W - 8)), y, int(rng.integers(1, 5)), k % 2 == 0)
        for k, y in enumerate(range(2, H - 2, 3))
    ]


def scene(number: int) -> NDArray[np.float32]:
    """The picture moves to the left by a px a frame, under spots of 1 and 0."""
    wide = np.random.default_rng(9).integers(100, 700, (H, W + 20, 3)) / 1023
    out = wide[:, number - 1000 : number - 1000 + W].astype(np.float32)
    for spot in spots(number):
        out[spot.at] = float(spot.bright)
    return out


def bright_scene(number: int) -> NDArray[np.float32]:
    """The same in light: from 0.0005 to 8, under spots of 60."""
    out = np.exp2(20 * scene(number) - 11).astype(np.float32)
    for spot in spots(number):
        out[spot.at] = 60.0 if spot.bright else 0.0
    return out


def run(plate: Path, out: Path, what: Recipe | None = None, **options: Any) -> JobReport:
    return run_job(JobOptions(plate=plate, out=out, recipe=what or recipe("mend"), **options))


def done(plate: Path, out: Path, what: Recipe | None = None, **options: Any) -> JobReport:
    report = run(plate, out, what, **options)
    assert report.exit_code == 0, [f.error for f in report.failed]
    return report


def dpx_codes(path: Path) -> Made:
    """10-bit RGB, one word a px, by the file's own header (SMPTE 268M)."""
    data = path.read_bytes()
    order = ">" if data[:4] == b"SDPX" else "<"
    (offset,) = struct.unpack(order + "I", data[4:8])
    width, height = struct.unpack(order + "II", data[772:780])
    (packing,) = struct.unpack(order + "H", data[804:806])
    assert (data[800], data[803], packing) == (50, 10, 1)
    words = np.frombuffer(data, order + "u4", width * height, offset).reshape(height, width)
    return np.stack([(words >> shift) & 1023 for shift in (22, 12, 2)], axis=-1)


def exr_planes(path: Path) -> dict[str, Made]:
    file = OpenEXR.File(str(path), separate_channels=True)
    return {name: channel.pixels for name, channel in file.channels().items()}


def exr_color(path: Path) -> Made:
    planes = exr_planes(path)
    assert all(planes[n].dtype == np.float16 for n in "RGB")
    return np.stack([planes[n] for n in "RGB"], axis=-1).view(np.uint16)


def sidecar(out: Path, number: int) -> dict[str, Made]:
    return exr_planes(out / "provenance" / f"provenance.{number:04d}.exr")


def tree(folder: Path) -> dict[str, bytes]:
    """All frames and provenance planes of an output, by name."""
    found = [*folder.glob("*.dpx"), *folder.glob("*.exr"), *folder.glob("provenance/*")]
    return {str(p.relative_to(folder)): p.read_bytes() for p in found}


@pytest.fixture(scope="module")
def dpx_plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_plate(tmp_path_factory.mktemp("in"), FRAMES, suffix="dpx", picture=scene)


def check_maps(out: Path, number: int, step: int = 0) -> None:
    """The sidecar says of each px what `spots` says, by a loop over them."""
    planes = sidecar(out, number)
    want = {name: np.zeros((H, W)) for name in ("class", "fix", "source", "offset.x", "offset.y")}
    matte = np.zeros((H, W), np.float16)
    for k, spot in enumerate(spots(number), start=1):
        later = number < FRAMES[-1]
        want["class"][spot.at] = BORROWED if spot.bright else UNDONE
        want["fix"][spot.at] = k + step
        matte[spot.at] = 1
        if spot.bright:
            want["source"][spot.at] = number + (1 if later else -1)
            want["offset.x"][spot.at] = -1 if later else 1
    assert set(planes) == {*want, "mend.matte"}
    for name, plane in want.items():
        assert np.array_equal(planes[name], plane), name
    assert [planes[n].dtype for n in ("class", "fix", "source")] == ["uint32", "uint32", "float32"]
    assert planes["mend.matte"].dtype == np.float16
    assert np.array_equal(planes["mend.matte"], matte)


def test_outside_of_fixes_every_code_is_the_scans_and_borrowed_ones_are_the_neighbors(
    dpx_plate: Path, tmp_path: Path
) -> None:
    report = done(dpx_plate, tmp_path / "out")
    for frame in report.frames:
        n = frame.number
        want = dpx_codes(dpx_plate / f"plate.{n}.dpx")
        later = 1 if n < FRAMES[-1] else -1
        behind = dpx_codes(dpx_plate / f"plate.{n + later}.dpx")
        for spot in spots(n):
            rows, columns = spot.at
            if spot.bright:
                want[spot.at] = behind[rows, slice(columns.start - later, columns.stop - later)]
            else:
                want[spot.at] = round(1023 * 0.25)
        assert np.array_equal(dpx_codes(tmp_path / "out" / f"plate.{n}.dpx"), want)
        check_maps(tmp_path / "out", n)
        count = sum(s.width for s in spots(n) if s.bright)
        assert dict(frame.classes)[BORROWED] == pytest.approx(count / (W * H))
        assert (frame.fixed, frame.left) == (len(spots(n)), 0)
    assert verify_output(tmp_path / "out").problems == ()


def test_half_floats_in_light_come_from_the_neighbor_bit_by_bit(tmp_path: Path) -> None:
    plate = write_plate(
        tmp_path / "in", FRAMES, suffix="exr", sample_type="half", picture=bright_scene
    )
    sixty = float(signed_log(np.full((1, 1, 3), 60.0, np.float32))[0, 0, 0])
    registry._FACTORIES["mend"] = lambda: Mender(working="log", bright=sixty)
    done(plate, tmp_path / "out", recipe("mend", space="ACEScg"), provenance="layers")
    for n in FRAMES:
        source, got = (exr_color(tmp_path / at / f"plate.{n}.exr") for at in ("in", "out"))
        later = 1 if n < FRAMES[-1] else -1
        behind = exr_color(plate / f"plate.{n + later}.exr")
        outside = np.ones((H, W), bool)
        for spot in spots(n):
            outside[spot.at] = False
            rows, columns = spot.at
            there = behind[rows, slice(columns.start - later, columns.stop - later)]
            assert np.array_equal(got[spot.at], there) == spot.bright
        assert np.array_equal(got[outside], source[outside])
        layers = exr_planes(tmp_path / "out" / f"plate.{n}.exr")
        assert np.array_equal(layers["provenance.class"] > 0, ~outside)
        assert layers["provenance.mend.matte"].dtype == np.float16
    assert not (tmp_path / "out" / "provenance").exists()


@pytest.mark.parametrize(("tile", "threads"), [((16, 16), 3), ((W, 5), 1), ((7, H), 2)])
def test_tiles_threads_and_chunks_give_the_same_files(
    tile: tuple[int, int],
    threads: int,
    dpx_plate: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verdicts = tmp_path / "decisions.json"
    spot = spots(1002)[3]
    write_decisions(verdicts, rejected=[f"mend-1002-{spot.x}-{spot.y}"])
    done(dpx_plate, tmp_path / "whole", decisions=verdicts)
    want = tree(tmp_path / "whole")
    plan_memory = planner.plan_memory

    def tiled(*args: Any, **names: Any) -> Any:
        return replace(plan_memory(*args, **names), tile=tile)

    monkeypatch.setattr(planner, "plan_memory", tiled)
    out = tmp_path / "parts"
    for n in reversed(FRAMES):
        done(dpx_plate, out, decisions=verdicts, frames=f"{n}", threads=threads, resume=True)
    assert tree(out) == want
    assert len(want) == 2 * len(FRAMES)


def write_decisions(path: Path, **lists: list[str]) -> None:
    path.write_text(json.dumps({"schema": "wetgate.decisions/1", "by": "a test", **lists}))


def test_a_rejected_fix_is_left_out_and_nothing_else_changes(
    dpx_plate: Path, tmp_path: Path
) -> None:
    out, verdicts = tmp_path / "out", tmp_path / "decisions.json"
    done(dpx_plate, out)
    before = {n: dpx_codes(out / f"plate.{n}.dpx") for n in FRAMES}
    spot = spots(1002)[4]
    write_decisions(verdicts, rejected=[f"mend-1002-{spot.x}-{spot.y}", "paint-1002-1-1"])
    told = done(dpx_plate, out, decisions=verdicts, resume=True)
    assert [f.status for f in told.frames] == ["written"] * 3, "resume sees new verdicts"
    assert any("'paint'" in text for text in told.warnings)
    for n in FRAMES:
        want = before[n].copy()
        if n == 1002:
            want[spot.at] = dpx_codes(dpx_plate / f"plate.{n}.dpx")[spot.at]
        assert np.array_equal(dpx_codes(out / f"plate.{n}.dpx"), want)
    assert sidecar(out, 1002)["fix"][spot.y, spot.x] == 0
    assert {f.number: (f.fixed, f.left) for f in told.frames}[1002] == (len(spots(1002)) - 1, 1)
    again = done(dpx_plate, out, decisions=verdicts, resume=True)
    assert {f.status for f in again.frames} == {"skipped"}
    assert json.loads((out / CONTROL / "job.json").read_text())["decisions"]["rejected"][0] == (
        f"mend-1002-{spot.x}-{spot.y}"
    )
    back = done(dpx_plate, out, resume=True)
    assert {f.status for f in back.frames} == {"written"}
    assert all(np.array_equal(dpx_codes(out / f"plate.{n}.dpx"), before[n]) for n in FRAMES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ('{"schema": "wetgate.decisions/2"}', "wetgate.decisions/1"),
        ('{"schema": "wetgate.decisions/1", "accepted": ["dirt"]}', "'dirt'"),
        ('{"schema": "wetgate.decisions/1", "rejected": "a-1-2-3"}', "a list of ids"),
        ('{"schema": "wetgate.decisions/1", "accepted": ["a-1-2-3"], "rejected": ["a-1-2-3"]}',
         "accepted and rejected"),
    ],
)  # fmt: skip
def test_malformed_decisions_are_refused(
    text: str, said: str, dpx_plate: Path, tmp_path: Path
) -> None:
    file = tmp_path / "decisions.json"
    file.write_text(text)
    with pytest.raises(InputError, match=said):
        run(dpx_plate, tmp_path / "out", decisions=file)
    assert not (tmp_path / "out").exists()


def grey(folder: Path, values: Mapping[str, NDArray[np.float32]]) -> Path:
    """The same picture for every frame, as EXR with these channels."""
    stacked = np.stack(list(values.values()), axis=-1).astype(np.float32)
    return write_plate(
        folder, FRAMES, suffix="exr", sample_type="half", channels=tuple(values),
        picture=lambda _: stacked,
    )  # fmt: skip


def test_a_holdout_keeps_the_scan_and_the_record_says_so(
    dpx_plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = Taken()
    monkeypatch.setattr(job_module, "_sinks", lambda _job: (taken,))
    spot = next(s for s in spots(1001) if s.width > 1)
    held = np.zeros((H, W), np.float32)
    held[:12] = 1
    held[spot.y, spot.x] = 1
    mattes = grey(tmp_path / "mattes", {"Y": held})
    done(dpx_plate, tmp_path / "out", holdout=mattes, frames="1001")
    source, got = (dpx_codes(at / "plate.1001.dpx") for at in (dpx_plate, tmp_path / "out"))
    assert np.array_equal(got[held == 1], source[held == 1])
    for record in taken.by_frame[1001].fixes:
        x, y = record.fix.anchor
        if y < 12:
            assert not record.fix.applied and record.fix.why == "held out by the matte"
            assert record.fix.provenance == 0 and record.fix.source == 0
        elif (x, y) == (spot.x, spot.y):
            assert record.fix.applied and record.fix.facts["held_out"] == 1
        else:
            assert record.fix.applied and not record.fix.why
            assert (got[y, x] != source[y, x]).any()
    done(dpx_plate, tmp_path / "half", matte=grey(tmp_path / "m", {"Y": 0 * held}), frames="1001")
    assert np.array_equal(dpx_codes(tmp_path / "half" / "plate.1001.dpx"), source)


def test_a_map_of_defects_reaches_the_operator_by_channel(dpx_plate: Path, tmp_path: Path) -> None:
    here = np.zeros((H, W), np.float32)
    here[:12] = 1
    maps = grey(tmp_path / "maps", {"R": 0 * here, "G": 0 * here, "B": 0 * here, "IR": 1 - here})
    named = ((f"{maps}#!IR", here == 0), (f"{maps}/plate.####.exr#IR", here == 1))
    for name, clean in named:
        out = tmp_path / f"out{len(name)}"
        done(dpx_plate, out, defects=name, frames="1002")
        source, got = (dpx_codes(at / "plate.1002.dpx") for at in (dpx_plate, out))
        changed = (source != got).any(axis=-1)
        assert changed.any() and not changed[clean].any()
        again = done(dpx_plate, out, defects=name, frames="1002", resume=True)
        assert again.frames[0].status == "skipped"
    other = done(dpx_plate, out, defects=f"{maps}#!IR", frames="1002", resume=True)
    assert other.frames[0].status == "written", "another channel is another job"
    with pytest.raises(InputError, match="no channel 'UV'"):
        run(dpx_plate, tmp_path / "bad", defects=f"{maps}#UV", frames="1002")


PART = Box(3, 1, W - 2, H - 4)


class Taken:
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.by_frame: dict[int, WrittenFixes] = {}
        self.by_name: dict[int, str] = {}
        self.samples: dict[int, tuple[Made, Made]] = {}

    def take(self, written: WrittenFixes) -> None:
        self.by_frame[written.frame] = written
        self.samples[written.frame] = written.before(PART), written.after(PART)

    def named(self, frame: int, digest: str) -> None:
        self.by_name[frame] = digest


def test_sinks_get_codes_before_and_after(
    dpx_plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = Taken()
    monkeypatch.setattr(job_module, "_sinks", lambda _job: (taken,))
    done(dpx_plate, tmp_path / "out", provenance="none")
    records = Journal(tmp_path / "out" / CONTROL).latest()
    assert sorted(taken.by_frame) == list(FRAMES)
    for n, written in taken.by_frame.items():
        source, got = (dpx_codes(at / f"plate.{n}.dpx") for at in (dpx_plate, tmp_path / "out"))
        part = PART.within(Box.of_size(W, H))
        before, after = taken.samples[n]
        assert before.dtype == after.dtype == np.uint16
        assert np.array_equal(before, source[part]) and np.array_equal(after, got[part])
        assert np.array_equal(written.made > 0, (source != got).any(axis=-1))
        assert written.digest == records[n].digest == taken.by_name[n]
        assert written.file == records[n].file
        assert written.only_fixes and not written.not_comparable
        names = [f"mend-{n}-{s.x}-{s.y}" for s in spots(n)]
        assert [record.id for record in written.fixes] == names
    assert not (tmp_path / "out" / "provenance").exists()


def test_steps_have_their_own_fixes_and_the_map_names_the_last(
    dpx_plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = Taken()
    monkeypatch.setattr(job_module, "_sinks", lambda _job: (taken,))
    registry._FACTORIES["lift"] = lambda: Lift(above=0.5)
    done(dpx_plate, tmp_path / "out", recipe("mend", "lift"))
    written = taken.by_frame[1002]
    assert not written.only_fixes
    source = dpx_codes(dpx_plate / "plate.1002.dpx")
    lifted = (written.classes == Provenance.FILTERED) & (written.made == 0)
    assert np.array_equal(lifted, (source > 511).any(axis=-1) & (written.made == 0))
    mended = [s.at for s in spots(1002) if s.bright]
    assert all((written.classes[at] == BORROWED).all() for at in mended)

    # What the first step borrows from its neighbors is what the second finds: no spot is left.
    taken.by_frame.clear()
    registry._FACTORIES["first"] = lambda: Mender(last=Mend(only="dark"))
    registry._FACTORIES["second"] = Mender
    done(dpx_plate, tmp_path / "two", recipe("first", "second"))
    written = taken.by_frame[1002]
    assert written.only_fixes
    count = len(spots(1002))
    labels = [(r.operator, r.number, r.fix.applied) for r in written.fixes]
    bright = [s.bright for s in spots(1002)]
    first = [("mend", k, not b) for k, b in enumerate(bright, start=1)]
    second = [("mend2", count + k, True) for k in range(1, sum(bright) + 1)]
    assert labels == first + second
    for k, spot in enumerate(spots(1002), start=1):
        number = int(written.made[spot.y, spot.x])
        record = next(r for r in written.fixes if r.number == number)
        assert record.fix.anchor == (spot.x, spot.y)
        assert record.operator == ("mend2" if spot.bright else "mend")
        assert number == k or spot.bright


@dataclass(frozen=True)
class Liar(Mend):
    """Tells the engine one thing wrong."""

    lie: str = ""

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Judged:
        said = super().__call__(window, analysis, facts)
        assert said.fixes is not None and said.classes is not None and said.origins is not None
        first = said.records[0]
        changes: dict[str, Any] = {
            "class": {"classes": np.where(said.fixes > 0, np.uint8(5), said.classes)},
            "nowhere": {"origins": 0 * said.origins},
            "unknown": {"records": said.records[1:]},
            "modest": {"records": (replace(first, provenance=Provenance.UNTOUCHED),)},
            "boastful": {"records": (replace(first, provenance=Provenance.INFERRED),)},
            "elsewhere": {"records": (replace(first, frame=7), *said.records[1:])},
            "twins": {"records": (replace(first, number=first.number + 99), *said.records)},
            "nan": {"records": (replace(first, facts={"px": float("nan")}), *said.records[1:])},
            "type": {"fixes": said.fixes.astype(np.int64)},
        }
        return replace(said, **changes[self.lie])


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ("class", "class 5"),
        ("nowhere", "from nowhere"),
        ("unknown", "by fix 1"),
        ("modest", "above that of their fix|by fix"),
        ("boastful", "of class 5"),
        ("elsewhere", "frame 7"),
        ("twins", "names 2 fixes"),
        ("nan", "finite"),
        ("type", "int64"),
    ],
)
def test_an_operator_that_lies_fails_the_frame(
    lie: str, said: str, dpx_plate: Path, tmp_path: Path
) -> None:
    registry._FACTORIES["mend"] = lambda: Mender(last=Liar(lie=lie))
    report = run(dpx_plate, tmp_path / "out", policy="archival", frames="1001")
    assert report.exit_code == 4 and not list((tmp_path / "out").glob("*.dpx"))
    assert re.search(said, str(report.failed[0].error))
    assert not (tmp_path / "out" / "provenance").exists()


def test_the_policy_is_held_at_the_time_of_writing(dpx_plate: Path, tmp_path: Path) -> None:
    registry._FACTORIES["mend"] = lambda: Mender(provenance=Provenance.INFERRED)
    with pytest.raises(RecipeError, match="class 5"):
        run(dpx_plate, tmp_path / "out", policy="archival")
    assert not (tmp_path / "out").exists(), "refused before the first frame"

    def painted(window: Window, analysis: Analysis, facts: SourceFacts) -> Judged:
        return Judged(window.center[inner(window)] + np.float32(0.1))

    class Painter(Lift):
        __call__ = staticmethod(painted)  # type: ignore[assignment]

    for kind, exit_code in ((Provenance.FILTERED, 0), (Provenance.INFERRED, 7)):
        made = Painter(name="paint", provenance=Provenance.FILTERED)
        registry._FACTORIES["paint"] = lambda made=made: made
        out = tmp_path / f"out{kind}"
        with pytest.MonkeyPatch.context() as patch:
            # What the chain hands to the writer is not what the operator said at planning.
            from wetgate.render.bound import BoundStep

            patch.setattr(BoundStep, "mark", property(lambda _step, kind=kind: int(kind)))
            report = run(dpx_plate, out, recipe("paint"), policy="archival", frames="1001")
        assert report.exit_code == exit_code
        if exit_code:
            assert "pixels of class 5 (inferred)" in str(report.failed[0].error)
            assert not list(out.glob("*.dpx"))


def test_provenance_of_any_recipe_and_where_it_cannot_go(dpx_plate: Path, tmp_path: Path) -> None:
    done(dpx_plate, tmp_path / "plain", recipe("lift"), frames="1001")
    assert not (tmp_path / "plain" / "provenance").exists()
    report = done(
        dpx_plate, tmp_path / "plain", recipe("lift"), frames="1001", provenance="sidecar",
        resume=True,
    )  # fmt: skip
    assert report.frames[0].status == "written", "the sidecar was not there"
    source, got = (dpx_codes(at / "plate.1001.dpx") for at in (dpx_plate, tmp_path / "plain"))
    planes = sidecar(tmp_path / "plain", 1001)
    changed = (source != got).any(axis=-1)
    assert np.array_equal(planes["class"], np.where(changed, 3, 0)) and not planes["fix"].any()
    side = tmp_path / "plain" / "provenance" / "provenance.1001.exr"
    side.write_bytes(side.read_bytes()[:-9])
    assert "provenance" in str(verify_output(tmp_path / "plain").problems[0])
    again = done(
        dpx_plate, tmp_path / "plain", recipe("lift"), frames="1001", provenance="sidecar",
        resume=True,
    )  # fmt: skip
    assert again.frames[0].status == "written" and verify_output(tmp_path / "plain").good == 1
    with pytest.raises(UsageError, match="dpx has no layers"):
        run(dpx_plate, tmp_path / "layers", provenance="layers")
    with pytest.raises(UsageError, match="provenance"):
        JobOptions(plate=dpx_plate, out="out", provenance="both")  # type: ignore[arg-type]


def test_a_sink_that_fails_keeps_the_frame_from_its_name(
    dpx_plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(Taken):
        def take(self, written: WrittenFixes) -> None:
            raise InputError("no room in the journal", frame=written.frame)

    monkeypatch.setattr(job_module, "_sinks", lambda _job: (Full(),))
    report = run(dpx_plate, tmp_path / "out", frames="1001")
    assert isinstance(report.failed[0].error, str | WetgateError)
    assert "no room in the journal" in str(report.failed[0].error)
    left = [p.name for p in (tmp_path / "out").rglob("*") if p.suffix in (".dpx", ".exr")]
    assert left == []


def test_the_command_line_takes_verdicts_mattes_and_maps(dpx_plate: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner
    from wetgate.cli.app import app

    spot, what = spots(1002)[0], tmp_path / "mend.toml"
    what.write_text('schema = "wetgate.recipe/1"\n[[steps]]\noperator = "mend"\n')
    write_decisions(tmp_path / "d.json", rejected=[f"mend-1002-{spot.x}-{spot.y}"])
    held = grey(tmp_path / "held", {"Y": (np.mgrid[0:H, 0:W][0] > 20).astype(np.float32)})
    usual = [str(dpx_plate), "--out", str(tmp_path / "out"), "--recipe", str(what)]
    usual += ["--input-space", "ACEScct", "--frames", "1002"]
    runner = CliRunner()
    plan = runner.invoke(app, ["plan", *usual])
    assert plan.exit_code == 0 and "of every pixel: sidecar" in plan.output
    refused = runner.invoke(app, ["plan", *usual, "--provenance", "layers"])
    assert isinstance(refused.exception, UsageError)
    made = runner.invoke(
        app,
        ["restore", *usual, "--decisions", str(tmp_path / "d.json"), "--holdout", str(held),
         "--defects", f"{held}#!Y", "--policy", "archival", "--provenance", "sidecar"],
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    source, got = (dpx_codes(at / "plate.1002.dpx") for at in (dpx_plate, tmp_path / "out"))
    changed = (source != got).any(axis=-1)
    want = np.zeros((H, W), bool)
    for other in spots(1002)[1:]:
        want[other.at] = other.y <= 20
    assert np.array_equal(changed, want) and want.any()
    assert np.array_equal(sidecar(tmp_path / "out", 1002)["class"] > 0, want)


@pytest.mark.parametrize(
    ("steps", "options", "said"),
    [
        (("mend", "replicate"), {}, "another size"),
        (("mend",), {"output_space": "ACEScg"}, "another color space"),
        (("mend",), {"out": "plate.%04d.exr"}, ""),
    ],
)
def test_planes_lie_over_what_is_written_in_any_form(
    steps: tuple[str, ...],
    options: dict[str, str],
    said: str,
    dpx_plate: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Told(Taken):
        def take(self, written: WrittenFixes) -> None:
            self.by_frame[written.frame] = written
            if written.not_comparable:
                with pytest.raises(ValueError, match=written.not_comparable):
                    written.before(PART)
            else:
                self.samples[written.frame] = written.before(PART), written.after(PART)

    taken = Told()
    monkeypatch.setattr(job_module, "_sinks", lambda _job: (taken,))
    name = options.pop("out", "")
    done(dpx_plate, tmp_path / name, recipe(*steps), frames="1002", **options)
    written = taken.by_frame[1002]
    assert written.not_comparable == said and written.only_fixes == (not said)
    scale = 2 if "replicate" in steps else 1
    planes = sidecar(tmp_path, 1002)
    assert planes["fix"].shape == (scale * H, scale * W)
    for k, spot in enumerate(spots(1002), start=1):
        rows, columns = (slice(scale * s.start, scale * s.stop) for s in spot.at)
        assert (planes["fix"][rows, columns] == k).all()
        assert (planes["offset.x"][rows, columns] == -scale * spot.bright).all()
    assert np.count_nonzero(planes["fix"]) == scale**2 * sum(s.width for s in spots(1002))
    if said:
        assert planes["class"].all(), "no px is the scan's any more"
        return
    before, after = taken.samples[1002]
    part = PART.within(Box.of_size(W, H))
    codes = dpx_codes(dpx_plate / "plate.1002.dpx")[part]
    assert before.dtype == np.float16
    assert np.array_equal(before, (codes / 1023).astype(np.float32).astype(np.float16))
    made = exr_planes(tmp_path / "plate.1002.exr")
    assert np.array_equal(after, np.stack([made[n] for n in "RGB"], axis=-1)[part])


def test_a_source_is_not_written_to_by_way_of_a_link(dpx_plate: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "provenance").symlink_to(dpx_plate, target_is_directory=True)
    with pytest.raises(OutputError, match="directory of the source"):
        run(dpx_plate, tmp_path / "out")


def test_a_last_stage_with_planes_of_its_own_is_refused(dpx_plate: Path, tmp_path: Path) -> None:
    registry._FACTORIES["mend"] = lambda: Mender(last=Spots())
    with pytest.raises(BackendError, match="last stage returns 5 channels"):
        run(dpx_plate, tmp_path / "out")
