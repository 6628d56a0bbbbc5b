"""Frames of another size on disk: windows, headers, channels, records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.plates import file_digests, recipe, register, write_plate
from wetgate.io.dpx_header import parse_header
from wetgate.io.formats import read_frame
from wetgate.model.errors import RecipeError, UnsupportedImage
from wetgate.operators import registry
from wetgate.recipe import Recipe
from wetgate.render.job import JobOptions, JobReport, plan_job, run_job, verify_output
from wetgate.render.reporting.job import write_job_report


@pytest.fixture(autouse=True)
def tiny_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_FACTORIES", registry._FACTORIES)
    register()


def run(plate: Path, out: Path, what: Recipe, **more: Any) -> JobReport:
    report = run_job(JobOptions(plate=plate, out=out, recipe=what, **more))
    assert report.exit_code == 0, [f.error for f in report.failed]
    return report


def test_an_overscanned_exr_keeps_its_place_its_types_and_its_numbers(tmp_path: Path) -> None:
    openexr = pytest.importorskip("OpenEXR")
    rng = np.random.default_rng(4)
    planes = {c: rng.uniform(-0.05, 1000, (15, 21)).astype("f2") for c in "RGB"}
    planes["R"][3, 4] = np.float16(np.nan)
    planes["A"] = np.ones((15, 21), "f2")
    planes["Z"] = rng.uniform(1, 1e6, (15, 21)).astype("f4")
    planes["id"] = rng.integers(0, 2**32, (15, 21), dtype=np.uint32)
    (tmp_path / "in").mkdir()
    header = {
        "dataWindow": (np.array([-3, 5], "i4"), np.array([17, 19], "i4")),
        "displayWindow": (np.array([0, 4], "i4"), np.array([14, 16], "i4")),
        "pixelAspectRatio": 2.0,
        "owner": "somebody",
        "xDensity": 100.0,
    }
    openexr.File(header, dict(planes)).write(str(tmp_path / "in/plate.0001.exr"))
    options = JobOptions(
        plate=tmp_path / "in", out=tmp_path / "out", recipe=recipe("replicate", space="ACEScg")
    )
    plan = plan_job(options)
    assert (plan.width, plan.height, plan.out_width, plan.out_height) == (21, 15, 42, 30)
    assert "channels A: resized with a linear filter" in plan.losses
    assert "channels Z, id: every pixel takes the nearest sample" in plan.losses
    report = run_job(options)
    assert report.exit_code == 0
    file = openexr.File(str(tmp_path / "out/plate.0001.exr"), separate_channels=True)
    made, got = file.header(), file.channels()
    assert [tuple(map(int, corner)) for corner in made["dataWindow"]] == [(-6, 6), (35, 35)]
    assert [tuple(map(int, corner)) for corner in made["displayWindow"]] == [(0, 4), (29, 29)]
    assert made["pixelAspectRatio"] == 2.0 and made["owner"] == "somebody"
    assert made["xDensity"] == 200.0
    for name, plane in planes.items():
        assert got[name].pixels.dtype == plane.dtype, name
        want = plane.repeat(2, 0).repeat(2, 1)
        if name in "RGB":  # a NaN in one channel keeps all bits of its pixel
            assert np.array_equal(got[name].pixels, want, equal_nan=True), name
        else:
            assert np.array_equal(got[name].pixels, want), name
    (frame,) = report.frames
    assert dict(frame.classes) == {5: 1.0} and frame.changed_fraction == 1.0
    assert "replicate: 4 pixels stay not finite" in "".join(frame.notes)
    assert verify_output(tmp_path / "out").exit_code == 0


def test_a_dpx_states_its_new_size_and_keeps_the_rest_of_its_header(tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "in", [1, 2], width=63, height=47)
    for number in (1, 2):
        path = plate / f"plate.{number:04d}.dpx"
        frame = read_frame(path, number, color_space="x")
        raw = parse_header(frame.header.raw or b"")
        words = {("XCenter", None): 31.0, ("Creator", None): "a scanner", ("XOffset", None): 5}
        raw = raw.patched(words)  # type: ignore[arg-type]
        with open(path, "r+b") as file:
            file.write(raw.raw)
    run(plate, tmp_path / "twice", recipe("replicate"))
    run(plate, tmp_path / "half", recipe("halve"))
    for folder, width, height, center in (("twice", 126, 94, 62.0), ("half", 32, 24, 15.5)):
        path = tmp_path / folder / "plate.0001.dpx"
        data = path.read_bytes()
        header = parse_header(data[:2048])
        assert (header.width, header.height) == (width, height)
        assert header.value("XCenter") == center and header.value("XOffset") == 5
        assert header.value("Creator") == "a scanner"
        # 10-bit RGB, method A: one word of 32 bits a pixel.
        assert header.elements[0].bit_depth == 10
        assert len(data) == header.file_size == header.image_offset + 4 * width * height
        oiio = pytest.importorskip("OpenImageIO")
        there = oiio.ImageBuf(str(path)).get_pixels("uint16") >> 6
        own = np.rint(read_frame(path, 1, color_space="x").pixels * 1023)
        assert np.array_equal(there, own)
    source = read_frame(plate / "plate.0001.dpx", 1, color_space="x").pixels
    twice = read_frame(tmp_path / "twice/plate.0001.dpx", 1, color_space="x").pixels
    assert np.array_equal(twice, source.repeat(2, 0).repeat(2, 1))


def test_every_split_and_every_restart_gives_the_same_files(tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "in", range(1, 5), width=53, height=37)
    what = recipe("paired", "enlarged", "halve", "replicate")
    run(plate, tmp_path / "whole", what)
    want = file_digests(tmp_path / "whole")
    for frames in ("3-4", "1-2"):
        run(plate, tmp_path / "parts", what, frames=frames, resume=True, threads=1)
    assert file_digests(tmp_path / "parts") == want
    (tmp_path / "parts/plate.0003.dpx").unlink()
    again = run(plate, tmp_path / "parts", what, resume=True)
    assert [f.status for f in again.frames].count("skipped") == 3
    assert file_digests(tmp_path / "parts") == want
    other = run(plate, tmp_path / "parts", recipe("paired", "replicate"), resume=True)
    assert {f.status for f in other.frames} == {"written"}


def test_strength_needs_something_to_blend_with(tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "in", [1])
    with pytest.raises(RecipeError, match=r"'halve' scales by 1/2.*strength of 0\.5"):
        run(plate, tmp_path / "out", recipe("halve"), strength=0.5)
    with pytest.raises(RecipeError, match="with a matte"):
        run(plate, tmp_path / "out", recipe("halve"), matte=plate)
    run(plate, tmp_path / "out", recipe("replicate"), strength=0.5)


def test_a_matte_of_the_source_follows_the_picture(tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "in", [1], width=32, height=24)

    def right(_: int) -> np.ndarray:  # type: ignore[type-arg]
        matte = np.zeros((24, 32, 3), np.float32)
        matte[:, 16:] = 1
        return matte

    mattes = write_plate(tmp_path / "matte", [1], picture=right)
    report = run(plate, tmp_path / "out", recipe("replicate", "lift"), matte=mattes)
    source = read_frame(plate / "plate.0001.dpx", 1, color_space="x").pixels
    got = read_frame(tmp_path / "out/plate.0001.dpx", 1, color_space="x").pixels
    want = source.repeat(2, 0).repeat(2, 1)
    assert np.array_equal(got[:, :31], want[:, :31])
    lifted = np.where(want > 0.5, want + np.float32(0.125), want)
    assert np.abs(got[:, 33:] - lifted[:, 33:]).max() < 0.51 / 1023
    classes = dict(report.frames[0].classes)
    assert classes[2] > 0.2 and classes[5] >= 0.5 and sum(classes.values()) == pytest.approx(1)


def test_files_with_other_pictures_beside_are_refused(tmp_path: Path) -> None:
    openexr = pytest.importorskip("OpenEXR")
    (tmp_path / "in").mkdir()
    plane = np.ones((8, 8), "f2")
    parts = [
        openexr.Part({"name": name}, {"R": plane, "G": plane, "B": plane}) for name in ("a", "b")
    ]
    openexr.File(parts).write(str(tmp_path / "in/plate.0001.exr"))
    with pytest.raises(UnsupportedImage, match="2 parts"):
        run(tmp_path / "in", tmp_path / "out", recipe("replicate", space="ACEScg"))
    assert not (tmp_path / "out").exists()
    run(tmp_path / "in", tmp_path / "same", recipe("copy", space="ACEScg"))


def test_another_format_and_another_space_take_the_new_size(tmp_path: Path) -> None:
    plate = write_plate(
        tmp_path / "in", [1], width=16, height=12, suffix="exr", sample_type="half",
        channels=("R", "G", "B", "A"), picture=lambda _: np.full((12, 16, 4), 0.5, np.float32),
    )  # fmt: skip
    what = recipe("replicate", space="ACEScg")
    run(plate, tmp_path / "out", what, output_space="ACES2065-1")
    got = read_frame(tmp_path / "out/plate.0001.exr", 1, color_space="x")
    assert got.pixels.shape == (24, 32, 4)
    run(plate, tmp_path / "plain", recipe(space="ACEScg"), output_space="ACES2065-1")
    plain = read_frame(tmp_path / "plain/plate.0001.exr", 1, color_space="x")
    assert np.array_equal(got.pixels, plain.pixels.repeat(2, 0).repeat(2, 1))
    run(plate, tmp_path / "tiff/p.%04d.tif", what)
    tiff = read_frame(tmp_path / "tiff/p.0001.tif", 1, color_space="x")
    assert tiff.pixels.shape == (24, 32, 4) and (tiff.pixels == 0.5).all()


def test_the_report_lays_both_sizes_over_each_other(tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "in", [1], width=63, height=47)
    for name, size in (("replicate", "63 x 47 -&gt; 126 x 94"), ("halve", "-&gt; 32 x 24")):
        options = JobOptions(plate=plate, out=tmp_path / name, recipe=recipe(name))
        plan = plan_job(options)
        page = write_job_report(run_job(options), plan, options).read_text("utf-8")
        assert size in page and "no preview" not in page and "data:image" in page


def test_a_frame_unlike_the_plate_is_told_by_its_own_size(tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "in", [1, 2], width=32, height=24)
    write_plate(plate, [3], width=34, height=24)
    report = run(plate, tmp_path / "out", recipe("replicate"))
    assert [bool(f.warnings) for f in report.frames] == [False, False, True]
    assert "34 x 24 px, where the plate begins with 32 x 24 px" in report.frames[2].warnings[0]


def test_nan_of_a_half_file_is_still_its_own_kind_when_enlarged(tmp_path: Path) -> None:
    bits = np.full((6, 8, 3), 0x3800, np.uint16)
    bits[2, 3] = 0x7D01  # a signaling NaN with a payload
    frame_of = bits.view(np.float16).astype(np.float32)
    plate = write_plate(
        tmp_path / "in", [1], suffix="exr", sample_type="half", picture=lambda _: frame_of
    )
    run(plate, tmp_path / "out", recipe("replicate", space="ACEScg"))
    got = read_frame(tmp_path / "out/plate.0001.exr", 1, color_space="x").pixels
    assert np.isnan(got[4:6, 6:8]).all() and np.count_nonzero(np.isnan(got)) == 12


def test_the_plan_counts_the_disk_of_the_new_size(tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "in", [1, 2], width=320, height=200)
    options = JobOptions(plate=plate, out=tmp_path / "out", recipe=recipe("copy"))
    once = plan_job(options).disk_bytes
    fourfold = plan_job(replace(options, recipe=recipe("replicate"))).disk_bytes
    assert fourfold == pytest.approx(4 * once, rel=1e-3)
