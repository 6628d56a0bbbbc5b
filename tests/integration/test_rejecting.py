"""Fixes of scratches and dirt rejected in one shot: what comes out is read by other readers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.clips import MemoryClip, make_frame
from support.plates import write_plate
from support.spotted import dpx_codes, exr_planes, sidecar
from wetgate.model.frame import SampleType
from wetgate.operators.registry import make_operator
from wetgate.recipe import load_recipe
from wetgate.render.analysis import ShotAnalyses, load_analysis
from wetgate.render.bound import BoundStep
from wetgate.render.chain import Chain
from wetgate.render.encoding import Encoding
from wetgate.render.fixes.lines import FixLine
from wetgate.render.fixes.replay import replay
from wetgate.render.fixes.restored import open_restored
from wetgate.render.fixes.revert import Request, change_fixes
from wetgate.render.fixes.verdicts import Verdicts, save_verdicts
from wetgate.render.job import JobOptions, run_job, verify_output
from wetgate.render.shelf import Shelf
from wetgate.render.store import PlaneStore
from wetgate.render.windows import Shots
from wetgate.render.workers import Workers

W, H = 128, 96
FRAMES = range(1001, 1009)
DIRT: Mapping[int, tuple[tuple[int, int, int, int], ...]] = {
    1002: ((58, 20, 66, 26),),
    1004: ((57, 50, 63, 55), (20, 30, 25, 35), (30, 31, 35, 36)),
    1005: ((60, 47, 66, 53), (96, 70, 103, 74)),
    1007: ((24, 60, 29, 66), (59, 80, 64, 84)),
}
"""Boxes `(x0, y0, x1, y1)`: on the scratch, beside each other, and alone."""
Samples = NDArray[Any]


def place_of(number: int) -> NDArray[np.float64]:
    """x of the scratch in each row: it wanders along the film, across the frame lines."""
    t = number - FRAMES[0] + np.arange(H) / H
    return np.asarray(60.3 + 2.0 * np.sin(2 * np.pi * t / 9.0))


def scene(number: int) -> NDArray[np.float32]:
    """A soft picture that pans by 2 px a frame, with grain, a bright scratch and dark dirt."""
    import cv2

    noise = np.random.default_rng(3).standard_normal((H, W + 64))
    soft = cv2.GaussianBlur(noise, (0, 0), 5.0)
    start = 2 * (number - FRAMES[0])
    picture = (0.45 + 0.08 * soft / soft.std())[:, start : start + W]
    rng = np.random.default_rng(100 + number)
    picture = picture + 0.008 * rng.standard_normal(picture.shape)
    picture += 0.06 * np.exp(-0.5 * ((np.arange(W)[None] - place_of(number)[:, None]) / 0.8) ** 2)
    for x0, y0, x1, y1 in DIRT.get(number, ()):
        picture[y0:y1, x0:x1] = 0.1 + 0.004 * rng.standard_normal((y1 - y0, x1 - x0))
    codes = np.repeat(picture[..., None], 3, axis=2)
    return (np.rint(codes * 1023) / 1023).astype(np.float32)


def light(number: int) -> NDArray[np.float32]:
    return np.exp2(20 * scene(number) - 11).astype(np.float32)


def write(folder: Path, suffix: str, kind: SampleType) -> Path:
    picture = scene if suffix == "dpx" else light
    return write_plate(folder, FRAMES, suffix=suffix, sample_type=kind, picture=picture)


def render(plate: Path, out: Path, what: str, rejected: Collection[str] = (), **more: Any) -> Path:
    verdicts = None
    if rejected:
        verdicts = out.parent / f"{out.name}.json"
        save_verdicts(verdicts, Verdicts(rejected=frozenset(rejected)))
    space = "ACEScct" if next(plate.glob("*.dpx"), None) else "ACEScg"
    report = run_job(
        JobOptions(
            plate=plate, out=out, recipe=what, input_space=space, decisions=verdicts, threads=1,
            **more,
        )
    )  # fmt: skip
    assert report.exit_code == 0, [f.error for f in report.failed]
    return out


@pytest.fixture(scope="module")
def dpx(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The plate, and what `film-clean-only` makes of it without a verdict."""
    folder = tmp_path_factory.mktemp("dpx")
    plate = write(folder / "in", "dpx", "uint10")
    return plate, render(plate, folder / "first", "film-clean-only")


def fixes_of(out: Path) -> dict[str, FixLine]:
    return {name: fix for name, fix in open_restored(out).all_fixes().items() if fix.pixels}


def crossed(out: Path) -> frozenset[str]:
    """Scratches with a fix of dirt across them on their frame."""
    fixes = fixes_of(out)
    found = set()
    for name, fix in fixes.items():
        made = sidecar(out, fix.frame)["fix"]
        dirt = [f.number for f in fixes.values() if f.operator == "dirt" and f.frame == fix.frame]
        y, x = np.nonzero(np.isin(made, dirt))
        on_it = np.abs(x - place_of(fix.frame)[y]) < 1
        if fix.operator == "scratches" and on_it.any():
            found.add(name)
    return frozenset(found)


def chosen(out: Path, which: str) -> frozenset[str]:
    fixes = fixes_of(out)
    if which == "a scratch with dirt on it":
        return frozenset(sorted(crossed(out))[:1])
    if which == "dirt beside dirt":
        name = next(n for n, f in sorted(fixes.items()) if f.frame == 1004 and f.anchor[0] < 27)
        return frozenset({name})
    return frozenset(sorted(fixes)[::2])


@pytest.mark.parametrize("which", ["a scratch with dirt on it", "dirt beside dirt", "many"])
def test_what_is_rejected_is_the_scans_and_nothing_else_changes(
    dpx: tuple[Path, Path], which: str, tmp_path: Path
) -> None:
    plate, first = dpx
    rejected, known = chosen(first, which), fixes_of(first)
    assert rejected and len(known) > 10
    again = render(
        plate, tmp_path / "again", "film-clean-only", rejected,
        analysis_path=first / ".wetgate" / "analysis.json",
    )  # fmt: skip
    back = tmp_path / "back"
    shutil.copytree(first, back)
    change_fixes(back, Request(ids=sorted(rejected)))
    for n in FRAMES:
        name = f"plate.{n}.dpx"
        planes = sidecar(first, n)
        gone = np.isin(planes["fix"], [known[i].number for i in rejected if known[i].frame == n])
        assert gone.any() == any(known[i].frame == n for i in rejected)
        want = np.where(gone[..., None], dpx_codes(plate / name), dpx_codes(first / name))
        assert np.array_equal(dpx_codes(again / name), want)
        assert np.array_equal(dpx_codes(back / name), want), "revert says the same"
        made, reverted = sidecar(again, n), sidecar(back, n)
        for plane in ("class", "fix", "source", "offset.x", "offset.y"):
            assert np.array_equal(made[plane], np.where(gone, 0, planes[plane]))
            assert np.array_equal(reverted[plane], made[plane])
    told = open_restored(again).all_fixes()
    for name, fix in told.items():
        if name in rejected:
            assert (fix.applied, fix.why, fix.pixels, fix.provenance) == (False, "rejected", 0, 0)
        elif name in known:
            old = known[name]
            assert (fix.box, fix.facts, fix.pixels) == (old.box, old.facts, old.pixels)
            assert (fix.source, fix.offset, fix.digest) == (old.source, old.offset, old.digest)
    assert told.keys() == open_restored(first).all_fixes().keys()
    assert verify_output(again).problems == ()
    replayed = replay(again, tmp_path / "replayed")
    assert (replayed.way, {f.verdict for f in replayed.frames}) == ("journal", {"same"})


def test_the_step_behind_would_have_seen_the_scratch(dpx: tuple[Path, Path]) -> None:
    """What the tests above rest on: dirt lies on scratches that are repaired."""
    assert len(crossed(dpx[1])) >= 3


def test_denoise_sees_the_picture_with_the_fixes_taken_back(tmp_path: Path) -> None:
    """As `film-scan` does: its third step, run alone on what the first two are to leave."""
    plate = write(tmp_path / "in", "exr", "float")
    clean = render(plate, tmp_path / "clean", "film-clean-only")
    scan = render(plate, tmp_path / "scan", "film-scan")
    known = fixes_of(clean)
    rejected = frozenset(sorted(crossed(clean))[:1]) | frozenset(sorted(known)[1:4])
    analysis = scan / ".wetgate" / "analysis.json"
    decided = render(plate, tmp_path / "decided", "film-scan", rejected, analysis_path=analysis)
    pictures = {}
    for n in FRAMES:
        name = f"plate.{n}.exr"
        numbers = [known[i].number for i in rejected if known[i].frame == n]
        gone = np.isin(sidecar(clean, n)["fix"], numbers)[..., None]
        pictures[n] = np.where(gone, color(plate / name), color(clean / name))
    want = denoised(pictures, load_analysis(analysis).steps[2])
    changed = 0
    for n in FRAMES:
        got = color(decided / f"plate.{n}.exr")
        assert np.array_equal(got, want[n])
        changed += int(np.count_nonzero(got != color(scan / f"plate.{n}.exr")))
    assert changed
    made = {n: sidecar(decided, n)["fix"] for n in FRAMES}
    assert not any(np.isin(made[known[i].frame], [known[i].number]).any() for i in rejected)


def color(path: Path) -> Samples:
    planes = exr_planes(path)
    assert all(planes[name].dtype == np.float32 for name in "RGB")
    return np.stack([planes[name] for name in "RGB"], axis=-1)


def denoised(pictures: Mapping[int, Samples], measured: ShotAnalyses) -> dict[int, Samples]:
    """Run the third step of `film-scan` alone, with what the whole recipe measured for it."""
    step = load_recipe("film-scan").steps[2]
    assert (step.operator, measured.operator) == ("denoise", "denoise")
    params = json.loads(json.dumps(dict(step.params)))
    source = MemoryClip({n: make_frame(n, picture) for n, picture in pictures.items()})
    store = PlaneStore(memory_limit=None)
    bound = BoundStep(
        operator=make_operator("denoise", params),
        encoding=Encoding(signed_log=True),
        strength=step.strength,
        is_log_working=True,
    )
    with Workers(1) as pool:
        chain = Chain(
            shelf=Shelf(source, store), store=store, steps=[bound], shots=Shots(),
            analyses=[measured], workers=pool, tile=(999, 999),
        )  # fmt: skip
        done = {}
        for n in FRAMES:
            chain.retain([n])
            found = chain.finish(n).color
            done[n] = pictures[n] if found is None else found.copy()
        chain.retain([])
    return done
