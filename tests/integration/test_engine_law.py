"""The law on real files: however a shot is split, the output files are the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.plates import file_digests, recipe, register, write_plate
from wetgate.io.ranges import FrameRange
from wetgate.recipe import Recipe
from wetgate.render import memory as memory_module
from wetgate.render.events import JobReport
from wetgate.render.job import JobOptions, plan_job, run_job, verify_output
from wetgate.render.reporting.job import write_job_report

FRAMES = range(1001, 1021)


@pytest.fixture(autouse=True)
def _operators(monkeypatch: pytest.MonkeyPatch) -> None:
    from wetgate.operators import registry

    monkeypatch.setattr(registry, "_FACTORIES", dict(registry._FACTORIES))
    register()


def scene(number: int) -> np.ndarray:  # type: ignore[type-arg]
    """Two shots with a cut at 1012."""
    seed = 3 if number < 1012 else 4
    rng = np.random.default_rng(seed)
    big = np.kron(rng.random((9, 40, 3)), np.ones((8, 8, 1)))
    grain = 0.02 * np.random.default_rng(number).standard_normal((48, 80, 3))
    x = 2 * (number - 1001) % 60
    return (0.1 + 0.7 * big[8:56, x : x + 80] + grain).astype(np.float32)


def run(plate: Path, out: Path, what: Recipe, **options: Any) -> JobReport:
    report = run_job(JobOptions(plate=plate, out=out, recipe=what, **options))
    assert report.exit_code == 0, [f.error for f in report.failed]
    return report


def chunked(plate: Path, out: Path, what: Recipe, chunks: Sequence[Sequence[int]]) -> None:
    for chunk in chunks:
        run(plate, out, what, frames=FrameRange.from_numbers(chunk), resume=True)


@pytest.mark.parametrize("suffix", ["dpx", "exr"])
def test_every_split_gives_the_same_bytes(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exr = suffix == "exr"
    plate = write_plate(
        tmp_path / "in", FRAMES, suffix=suffix, picture=scene,
        sample_type="half" if exr else "uint10",
    )  # fmt: skip
    what = recipe("paired", "two", space="ACEScg" if exr else "ACEScct")
    whole = run(plate, tmp_path / "whole", what, threads=2)
    want = file_digests(tmp_path / "whole")
    assert len(want) == len(FRAMES)
    assert all(f.changed_fraction > 0.9 for f in whole.frames)
    numbers = list(FRAMES)
    for size in (7, 16):
        out = tmp_path / f"chunks{size}"
        chunked(plate, out, what, [numbers[i : i + size] for i in range(0, len(numbers), size)])
        assert file_digests(out) == want, f"chunks of {size}"
    alone = tmp_path / "alone"
    # Every EXR job starts a reading process of its own: some frames are enough there.
    ones = numbers[::-5] if exr else numbers[::-1]
    chunked(plate, alone, what, [[n] for n in ones])
    got = file_digests(alone)
    assert len(got) == len(ones)
    assert all(want[name] == content for name, content in got.items()), "alone, in reverse"
    run(plate, tmp_path / "one", what, threads=1)
    assert file_digests(tmp_path / "one") == want, "one thread"

    monkeypatch.setattr(memory_module, "process_base", lambda _steps, _models: 0)
    plans = set()
    for budget in (700_000, 1_500_000, 64_000_000):
        out = tmp_path / f"memory{budget}"
        options = JobOptions(plate=plate, out=out, recipe=what, memory=budget, threads=2)
        plan = plan_job(options)
        plans.add((plan.tile, plan.workers, plan.scratch_bytes))
        run(plate, out, what, memory=budget, threads=2)
        assert file_digests(out) == want, f"{budget} bytes"
    assert len(plans) == 3, "the budgets made different plans"
    assert verify_output(tmp_path / "whole").exit_code == 0


def test_a_cut_is_found_and_no_window_crosses_it(tmp_path: Path) -> None:
    import json

    plate = write_plate(tmp_path / "in", FRAMES, picture=scene)
    run(plate, tmp_path / "out", recipe("mean"))
    analysis = json.loads((tmp_path / "out/.wetgate/analysis.json").read_text("utf-8"))
    assert analysis["cuts"] == [1012]
    # The shots on their own give the same frames as the two together.
    for name, numbers in (("a", range(1001, 1012)), ("b", range(1012, 1021))):
        part = write_plate(tmp_path / name, numbers, picture=scene)
        run(part, tmp_path / f"{name}-out", recipe("mean"))
        for file, content in file_digests(tmp_path / f"{name}-out").items():
            assert content == (tmp_path / "out" / file).read_bytes(), file


def test_the_edited_cut_list_is_kept_and_used(tmp_path: Path) -> None:
    import json

    plate = write_plate(tmp_path / "in", range(1, 9))
    out = tmp_path / "out"
    run(plate, out, recipe("paired"))
    path = out / ".wetgate/analysis.json"
    before = file_digests(out)
    document = json.loads(path.read_text("utf-8"))
    assert document["cuts"] == []
    document["cuts"] = [5]
    path.write_text(json.dumps(document), "utf-8")
    report = run(plate, out, recipe("paired"), resume=True)
    assert {f.status for f in report.frames} == {"written"}
    after = json.loads(path.read_text("utf-8"))
    assert after["cuts"] == [5] and after["detected_cuts"] == []
    assert len(after["steps"][0]["shots"]) == 2
    assert after["steps"][0]["shots"][0]["count"] == 4
    changed = {n for n, c in file_digests(out).items() if c != before[n]}
    assert "plate.0004.dpx" in changed and "plate.0005.dpx" in changed


@pytest.mark.parametrize(
    ("suffix", "kind"), [("dpx", "uint10"), ("dpx", "uint16"), ("exr", "half")]
)
def test_doing_nothing_passes_pixels_through(suffix: str, kind: Any, tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "in", range(1, 4), suffix=suffix, sample_type=kind)
    for names in ((), ("nothing",), ("copy",), ("copy", "nothing")):
        out = tmp_path / ("out" + "-".join(names))
        space = "ACEScg" if suffix == "exr" else "ACEScct"
        report = run(plate, out, recipe(*names, space=space))
        assert {f.status for f in report.frames} == {"passed-through"}
        assert all(f.changed_fraction == 0 and f.classes == () for f in report.frames)
        if suffix == "dpx":
            assert file_digests(out) == file_digests(plate)


def test_shares_changed_and_their_class_are_counted(tmp_path: Path) -> None:
    def picture(_: int) -> np.ndarray:  # type: ignore[type-arg]
        pixels = np.full((48, 64, 3), 0.25, np.float32)
        pixels[:12, :, 0] = 0.75  # a quarter of the pixels will be lifted
        return pixels

    plate = write_plate(tmp_path / "in", [1], picture=picture)
    one = run(plate, tmp_path / "one", recipe("lift")).frames[0]
    assert one.changed_fraction == 0.25 and dict(one.classes) == {3: 0.25}
    assert one.max_change == pytest.approx(0.125, abs=1e-3)
    two = run(plate, tmp_path / "two", recipe("lift", "painter", "copy")).frames[0]
    assert dict(two.classes) == {5: 0.25} and two.generative_fraction == 0.25
    three = run(plate, tmp_path / "three", recipe("invert", "invert")).frames[0]
    assert three.changed_fraction == 0 and three.classes == ()


def test_strength_and_matte_blend_by_the_formula(tmp_path: Path) -> None:
    from wetgate.io.formats import read_frame

    plate = write_plate(tmp_path / "in", [1, 2])
    ramp = np.linspace(0, 1, 64, dtype=np.float32)

    def matte(_: int) -> np.ndarray:  # type: ignore[type-arg]
        return np.broadcast_to(ramp[None, :, None], (48, 64, 3)).astype(np.float32)

    mattes = write_plate(tmp_path / "matte", [1, 2], picture=matte, sample_type="uint16")
    run(plate, tmp_path / "out", recipe("invert"), matte=mattes, strength=0.5)
    source = read_frame(plate / "plate.0001.dpx", 1, color_space="x").pixels
    got = read_frame(tmp_path / "out/plate.0001.dpx", 1, color_space="x").pixels
    weight = (np.rint(ramp * 65535) / 65535 * 0.5)[None, :, None]
    want = source + weight * ((1 - source) - source)
    assert np.abs(got - want).max() < 0.51 / 1023
    assert np.array_equal(got[:, 0], source[:, 0])
    # The matte belongs to what a resumed run compares.
    again = run(plate, tmp_path / "out", recipe("invert"), matte=mattes, strength=0.5, resume=True)
    assert {f.status for f in again.frames} == {"skipped"}
    write_plate(mattes, [2], picture=lambda n: 1 - matte(n), sample_type="uint16")
    again = run(plate, tmp_path / "out", recipe("invert"), matte=mattes, strength=0.5, resume=True)
    assert [f.status for f in again.frames] == ["skipped", "written"]


def test_another_output_space_converts_the_whole_picture_and_nothing_else(tmp_path: Path) -> None:
    from wetgate.color.config import load_config
    from wetgate.io.formats import read_frame

    rng = np.random.default_rng(1)
    pixels = rng.normal(0.4, 0.5, (24, 32, 4)).astype(np.float16).astype(np.float32)
    pixels[..., 3] = 1.0
    pixels[3, 4, 0] = np.nan
    plate = write_plate(
        tmp_path / "in", [1], suffix="exr", sample_type="half",
        channels=("R", "G", "B", "A"), picture=lambda _: pixels,
    )  # fmt: skip
    run(plate, tmp_path / "out", recipe(space="ACEScg"), output_space="ACES2065-1")
    got = read_frame(tmp_path / "out/plate.0001.exr", 1, color_space="x")
    order = [got.channels.index(n) for n in "RGBA"]
    want = load_config().processor("ACEScg", "ACES2065-1").apply(pixels[..., :3])
    np.testing.assert_array_equal(
        got.pixels[..., order][..., :3], want.astype(np.float16).astype(np.float32)
    )
    np.testing.assert_array_equal(got.pixels[..., order][..., 3], pixels[..., 3])
    same = run(plate, tmp_path / "same", recipe(space="ACEScg"), output_space="ACEScg")
    assert same.frames[0].status == "passed-through"


def test_a_movie_is_a_clip_of_numbered_frames(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "in" / "shot.mkv"
    path.parent.mkdir()
    pictures = [(scene(n) * 255).clip(0, 255).astype(np.uint8) for n in range(1001, 1007)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 80, 48, "yuv444p10le"
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv444p10le")))
        container.mux(stream.encode(None))
    what = recipe("mean", space="sRGB Encoded Rec.709 (sRGB)")
    run(path, tmp_path / "out", what)
    run(path, tmp_path / "part", what, frames="3")
    whole = file_digests(tmp_path / "out")
    assert sorted(whole) == [f"shot.{n:04d}.exr" for n in range(1, 7)]
    assert file_digests(tmp_path / "part") == {"shot.0003.exr": whole["shot.0003.exr"]}


@pytest.mark.parametrize(("color", "other"), [("f2", "f4"), ("f4", "f2")])
def test_channels_of_several_types_are_each_verified_in_their_own(
    color: str, other: str, tmp_path: Path
) -> None:
    openexr = pytest.importorskip("OpenEXR")
    rng = np.random.default_rng(3)
    planes = {c: rng.uniform(0.1, 0.9, (24, 32)).astype(color) for c in "RGB"}
    planes |= {c: rng.uniform(0.1, 0.9, (24, 32)).astype(other) for c in ("A", "Z")}
    (tmp_path / "in").mkdir()
    openexr.File({}, dict(planes)).write(str(tmp_path / "in/plate.0001.exr"))
    run(tmp_path / "in", tmp_path / "out", recipe("lift", space="ACEScg"))
    got = openexr.File(str(tmp_path / "out/plate.0001.exr"), separate_channels=True).channels()
    for name, plane in planes.items():
        assert got[name].pixels.dtype == plane.dtype
        assert np.array_equal(got[name].pixels, plane) == (name in "AZ")


def test_a_layer_is_restored_and_the_others_keep_their_bits(tmp_path: Path) -> None:
    openexr = pytest.importorskip("OpenEXR")
    rng = np.random.default_rng(5)
    names = ("R", "G", "B", "left.R", "left.G", "left.B", "depth.Z")
    planes = {name: rng.uniform(0.1, 0.9, (24, 32)).astype("f2") for name in names}
    (tmp_path / "in").mkdir()
    openexr.File({}, dict(planes)).write(str(tmp_path / "in/plate.0001.exr"))
    lift = recipe("lift", space="ACEScg")
    run(tmp_path / "in", tmp_path / "out", lift, layer="left")
    got = openexr.File(str(tmp_path / "out/plate.0001.exr"), separate_channels=True).channels()
    for name, plane in planes.items():
        assert np.array_equal(got[name].pixels, plane) != name.startswith("left.")
    options = JobOptions(
        plate=tmp_path / "in", out=tmp_path / "dpx/plate.%04d.dpx", recipe=lift, layer="left"
    )
    plan = plan_job(options)
    page = write_job_report(run_job(options), plan, options).read_text("utf-8")
    assert "no preview" not in page and "data:image" in page
