"""Single defects repaired on real files: outside of them every bit is the scan's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fixers import Mend, Mender
from support.operators import Lift
from support.plates import recipe, register, write_plate
from support.spotted import (
    FRAMES,
    PART,
    H,
    Taken,
    W,
    bright_scene,
    done,
    dpx_codes,
    exr_color,
    exr_planes,
    scene,
    sidecar,
    spots,
    tree,
    write_decisions,
)
from wetgate.color.shaper import signed_log
from wetgate.model.box import Box
from wetgate.operators import registry
from wetgate.operators.base import Provenance
from wetgate.render import job as job_module
from wetgate.render import planner
from wetgate.render.fix_sink import WrittenFixes
from wetgate.render.job import verify_output
from wetgate.render.manifest import CONTROL, Journal

BORROWED, UNDONE = int(Provenance.BORROWED), int(Provenance.REEXPOSED)


@pytest.fixture(autouse=True)
def _operators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_FACTORIES", dict(registry._FACTORIES))
    register()
    registry._FACTORIES["mend"] = Mender


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
