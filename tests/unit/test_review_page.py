"""What the review page shows, against plain oracles: views, differences, mattes, scopes, fixes."""

from __future__ import annotations

import base64
import json
import math
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PyOpenColorIO as ocio
import pytest
from numpy.typing import NDArray
from support.fixed import FixedOut, make_fixed
from support.plates import write_plate
from wetgate.color.config import load_config
from wetgate.io.atomic import digest_file
from wetgate.io.exr_planes import encode_planes, write_planes
from wetgate.model.box import Box
from wetgate.model.errors import FrameReadError, InputError, UsageError
from wetgate.render.fixes.verdicts import load_verdicts
from wetgate.render.manifest import CONTROL, FrameRecord, Journal, fold
from wetgate.service.review.adopt import adopted_job
from wetgate.service.review.desk import Desk
from wetgate.service.review.fixes import fix_crops, judge, list_fixes
from wetgate.service.review.routes import asked_for
from wetgate.service.review.scopes import BINS, make_scopes, range_words
from wetgate.service.review.shot import Asked, Shot
from wetgate.service.review.views import CLASS_COLORS, make_view

Codes = NDArray[np.uint8]
Floats = NDArray[np.float32]
W, H = 96, 64


def decoded(png: bytes) -> Codes:
    found = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert found is not None
    assert found.dtype == np.uint8
    return np.asarray(found[..., ::-1], np.uint8)


def exact_view(pixels: Floats, space: str) -> Floats:
    """What OCIO itself makes of a space on the config's first display, in codes of 255."""
    config = ocio.Config.CreateFromFile(str(load_config().path))
    display = config.getDefaultDisplay()
    view = config.getDefaultView(display, space)
    forward = ocio.TRANSFORM_DIR_FORWARD
    cpu = config.getProcessor(space, display, view, forward).getOptimizedCPUProcessor(
        ocio.OPTIMIZATION_LOSSLESS
    )
    out = np.ascontiguousarray(pixels, np.float32).copy()
    cpu.applyRGB(out)
    return np.asarray(np.clip(out, 0, 1) * 255, np.float32)


def make_shot(
    folder: Path,
    before: Floats,
    after: Floats,
    *,
    space: str,
    suffix: str = "exr",
    operator: str = "dirt",
    classes: NDArray[np.uint32] | None = None,
    range_: str | None = None,
) -> Shot:
    """An output of one frame, 7, as a job would leave it; nothing is rendered."""
    kind: Any = "half" if suffix == "exr" else "uint10"
    places = []
    for name, pixels in (("in", before), ("out", after)):
        places.append(
            write_plate(
                folder / name,
                [7],
                width=pixels.shape[1],
                height=pixels.shape[0],
                suffix=suffix,
                sample_type=kind,
                picture=lambda _, pixels=pixels: pixels,
            )
        )
    plate, out = places
    (out / CONTROL).mkdir()
    sidecar = ""
    if classes is not None:
        sidecar = "provenance/provenance.0007.exr"
        (out / "provenance").mkdir()
        box = Box(0, 0, classes.shape[1], classes.shape[0])
        data = encode_planes(
            {"class": classes}, data_window=box, display_window=box, pixel_aspect=1.0, facts={}
        )
        write_planes(out / sidecar, data)
    name = f"plate.0007.{suffix}"
    Journal(out / CONTROL).append(
        FrameRecord(
            frame=7,
            status="written",
            file=name,
            digest=digest_file(out / name),
            provenance_file=sidecar,
        )
    )
    recipe = {
        "schema": "wetgate.recipe/1",
        "name": "r",
        "config": "",
        "input_space": space,
        "output_space": "same-as-input",
        "range": range_,
        "steps": [{"operator": operator, "strength": 1.0, "params": {}}],
    }
    facts = {
        "input_space": space,
        "output_space": space,
        "source": f"plate.%04d.{suffix} 7",
        "target": f"plate.%04d.{suffix}",
        "recipe": recipe,
        "call": {"plate": str(plate / f"plate.%04d.{suffix}")},
    }
    fold(out / CONTROL, {"job": facts})
    return Shot(out)


def smooth(
    seed: int, width: int = W, height: int = H, low: float = 0.2, high: float = 0.7
) -> Floats:
    rng = np.random.default_rng(seed)
    # Muted, as pictures are: the table of a view is coarse where the view bends sharply.
    small = (0.1 + 0.8 * rng.random((5, 7, 1)) + 0.1 * rng.random((5, 7, 3))).astype(np.float32)
    wide = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(low + (high - low) * wide, np.float32)


@pytest.mark.parametrize("space", ["ACEScct", "ACEScg", "Linear Rec.709 (sRGB)", "Cineon"])
def test_the_table_of_a_view_is_the_view(space: str) -> None:
    config = load_config()
    viewer, name = config.viewer(space)
    assert name.startswith("sRGB - Display, ACES 2.0")
    rng = np.random.default_rng(5)
    if config.encoding(space) == "log":
        pixels = rng.uniform(0.1, 0.8, (4000, 1)) + rng.uniform(-0.05, 0.05, (4000, 3))
    else:
        pixels = np.exp2(rng.uniform(-7, 4, (4000, 1))) * (1 + 0.3 * rng.uniform(-1, 1, (4000, 3)))
    pixels = pixels.astype(np.float32)
    shown = np.clip(viewer.apply(pixels), 0, 1) * 255
    assert float(np.abs(shown - exact_view(pixels, config.resolve(space))).max()) < 2
    other, _ = config.viewer("ACES2065-1")
    assert float(np.abs(other.apply(pixels) - viewer.apply(pixels)).max()) > 0.02


def test_a_frame_is_shown_by_the_configs_view_and_never_enlarged(tmp_path: Path) -> None:
    before, after = smooth(1), smooth(2)
    with make_shot(tmp_path, before, after, space="ACEScct", suffix="dpx") as shot:
        for kind, pixels in (("source", before), ("restored", after)):
            view = make_view(shot, 7, kind, width=1000)  # type: ignore[arg-type]
            shown = decoded(view.png)
            assert shown.shape == (H, W, 3)
            stored = np.rint(pixels * 1023) / 1023
            wanted = exact_view(stored.astype(np.float32), "ACEScct")
            assert float(np.abs(shown - wanted).max()) < 2
            assert view.facts["space"] == "ACEScct"


def test_a_smaller_view_averages_areas(tmp_path: Path) -> None:
    pixels = smooth(1, low=0.0, high=4.0)
    with make_shot(tmp_path, pixels, pixels, space="ACEScg") as shot:
        shown = decoded(make_view(shot, 7, "source", width=W // 2).png)
    halves = pixels.astype(np.float16).astype(np.float32)
    means = halves.reshape(H // 2, 2, W // 2, 2, 3).mean(axis=(1, 3))
    assert float(np.abs(shown - exact_view(means, "ACEScg")).max()) < 2


def test_what_is_not_finite_does_not_spread(tmp_path: Path) -> None:
    pixels = np.full((H, W, 3), 0.18, np.float32)
    broken = pixels.copy()
    broken[10, 10] = np.nan
    broken[20, 20] = np.inf
    with make_shot(tmp_path, broken, pixels, space="ACEScg") as shot:
        shown = decoded(make_view(shot, 7, "source", width=W // 2).png)
        good = decoded(make_view(shot, 7, "restored", width=W // 2).png)
    apart = (shown != good).any(-1)
    assert sorted(map(tuple, np.argwhere(apart))) == [(5, 5), (10, 10)]


def test_a_difference_is_signed_and_amplified(tmp_path: Path) -> None:
    before = np.full((H, W, 3), 400 / 1023, np.float32)
    after = before.copy()
    after[0:8] += np.float32(10 / 1023)
    after[8:16] -= np.float32(10 / 1023)
    after[16:24] += np.float32(300 / 1023)
    with make_shot(tmp_path, before, after, space="ACEScct", suffix="dpx") as shot:
        for gain in (4.0, 16.0):
            view = make_view(shot, 7, "difference", gain=gain)
            shown = decoded(view.png)
            step = gain * 10 / 1023
            for rows, value in (
                (slice(0, 8), 0.5 + step),
                (slice(8, 16), 0.5 - step),
                (slice(16, 24), 1.0),
                (slice(24, H), 0.5),
            ):
                assert np.all(np.abs(shown[rows] - 255 * value) <= 1), (gain, value)
            assert view.facts["gain"] == gain
            assert view.facts["most"] == pytest.approx(300 / 1023, abs=1e-6)
            assert view.facts["least"] == pytest.approx(-10 / 1023, abs=1e-6)


def test_a_difference_of_light_is_taken_in_the_log_that_the_step_works_in(tmp_path: Path) -> None:
    before = np.full((H, W, 3), 4.0, np.float32)
    after = before.copy()
    after[:8] = 8.0
    after[8:16] = -0.5
    with make_shot(tmp_path, before, after, space="ACEScg") as shot:
        view = make_view(shot, 7, "difference", gain=1)
        shown = decoded(view.png)
    knee = 2.0**-7

    def log(x: float) -> float:
        return math.copysign(math.log1p(abs(x) / knee) / math.log1p(1 / knee), x)

    assert view.facts["working"] == "log"
    assert abs(int(shown[0, 0, 0]) - 255 * (0.5 + log(8) - log(4))) <= 1
    assert view.facts["least"] == pytest.approx(log(-0.5) - log(4), abs=1e-4)


def test_a_matte_shows_a_single_px_and_counts_all(tmp_path: Path) -> None:
    pixels = smooth(3, 640, 480)
    classes = np.zeros((480, 640), np.uint32)
    classes[100, 100] = 5
    classes[200:300, 200:400] = 4
    with make_shot(tmp_path, pixels, pixels, space="ACEScg", classes=classes) as shot:
        view = make_view(shot, 7, "matte", width=160)
    shown = decoded(view.png).astype(int)
    gray = np.ptp(shown, axis=-1) <= 1
    assert sorted(map(tuple, np.argwhere(~gray))) == [
        (25, 25),
        *((y, x) for y in range(50, 75) for x in range(50, 100)),
    ]
    assert np.all(np.abs(shown[60, 70] - CLASS_COLORS[4]) <= 1)
    legend = {entry["class"]: entry["share"] for entry in view.facts["legend"]}  # type: ignore[attr-defined]
    total = 640 * 480
    assert legend == {
        0: pytest.approx((total - 20001) / total),
        4: pytest.approx(20000 / total),
        5: pytest.approx(1 / total),
    }


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["exr", "dpx"])
def test_a_view_of_a_large_frame_takes_less_than_a_second(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(6)
    pixels = smooth(6, 3840, 2160)
    pixels += (0.02 * rng.standard_normal(pixels.shape)).astype(np.float32)
    space = "ACEScg" if suffix == "exr" else "ACEScct"
    shot = make_shot(tmp_path, pixels, pixels, space=space, suffix=suffix)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        for kind in ("source", "restored", "difference"):
            spent = []
            for _ in range(3):  # the least counts: others share the cores' caches
                with Shot(shot.restored.directory) as cold:
                    assert cold.clip.frames == (7,)
                    start = time.process_time()
                    make_view(cold, 7, kind, width=1280)  # type: ignore[arg-type]
                    spent.append(time.process_time() - start)
            assert min(spent) < 1, (kind, spent)
    finally:
        cv2.setNumThreads(threads)


def test_an_output_without_planes_says_so(tmp_path: Path) -> None:
    with make_shot(tmp_path, smooth(1), smooth(2), space="ACEScg") as shot:
        with pytest.raises(InputError, match="no provenance planes"):
            make_view(shot, 7, "matte")
        with pytest.raises(InputError, match="no such frame"):
            make_view(shot, 8, "restored")
        with pytest.raises(FrameReadError):
            make_view(shot, 8, "source")


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "secret"}, {"width": 8}, {"width": 100000}, {"gain": 0.0}, {"gain": float("nan")}],
)
def test_views_that_make_no_sense_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with (
        make_shot(tmp_path, smooth(1), smooth(2), space="ACEScg") as shot,
        pytest.raises(UsageError),
    ):
        make_view(shot, 7, **{"kind": "difference", **wrong})


def test_scopes_are_counts_of_the_working_space(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    pixels = rng.normal(0.4, 0.8, (40, 60, 3)).astype(np.float16).astype(np.float32)
    pixels[0, 0] = (np.nan, np.inf, -3.0)
    pixels[1, 1, 2] = 90.0
    with make_shot(tmp_path, pixels, pixels, space="ACEScg") as shot:
        scopes = make_scopes(shot, shot.result(7))
        told = scopes.to_json()
    knee = 2.0**-7
    counts = {name: [0] * BINS for name in "RGB"}
    wave = {name: np.zeros((BINS, 60), np.int64) for name in "RGB"}
    values = []
    for y in range(40):
        for x in range(60):
            for at, name in enumerate("RGB"):
                v = float(pixels[y, x, at])
                if math.isfinite(v):
                    w = math.copysign(math.log1p(abs(v) / knee) / math.log1p(1 / knee), v)
                    values.append((y, x, name, w))
    low, high = told["range"]  # type: ignore[misc]
    assert low < min(v[-1] for v in values) < 0
    assert high > max(v[-1] for v in values) > 1
    for _, x, name, w in values:
        place = min(BINS - 1, max(0, math.floor((w - low) / (high - low) * BINS)))
        counts[name][place] += 1
        wave[name][place, x] += 1
    for name in "RGB":
        # A value on the border of two bins may fall to either, by how the log rounds.
        assert np.abs(scopes.histogram[name] - counts[name]).sum() <= 2
        assert np.abs(scopes.waveform[name] - wave[name]).sum() <= 2
        sent = np.frombuffer(
            base64.b64decode(told["waveform"]["counts"][name]),
            "<u2",  # type: ignore[index]
        ).reshape(BINS, 60)
        assert np.array_equal(sent, scopes.waveform[name])
    assert scopes.every == 1
    assert scopes.space == "signed log of ACEScg: 0 is 0, 1 is 1, in which dirt works"
    json.dumps(told, allow_nan=False)


def test_scopes_follow_the_step(tmp_path: Path) -> None:
    pixels = smooth(4, low=0.1, high=0.9)
    with make_shot(tmp_path / "a", pixels, pixels, space="ACEScct", suffix="dpx") as shot:
        same = make_scopes(shot, shot.source(7))
        assert same.space == "the values of the file (ACEScct), in which dirt works"
        assert (same.low, same.high) == (0.0, 1.0)
    with make_shot(
        tmp_path / "b", pixels, pixels, space="ACEScct", suffix="dpx", operator="deblur"
    ) as shot:
        light = make_scopes(shot, shot.source(7))
        assert light.space == "scene-linear, in which deblur works"
        # ACEScct 0.9 is 2 ** (0.9 * 17.52 - 9.72), 66 times white.
        assert 30 < light.high < 70


def test_large_frames_are_sampled_evenly_and_counted_whole(tmp_path: Path) -> None:
    pixels = np.full((1200, 1600, 3), 0.5, np.float32)
    pixels[:, :800] = 0.25
    pixels[1, 1] = -2.0  # falls between the px that are plotted
    with make_shot(tmp_path, pixels, pixels, space="ACEScg") as shot:
        scopes = make_scopes(shot, shot.source(7), "source")
    assert scopes.every == 4
    assert scopes.histogram["G"].sum() == 600 * 800
    assert scopes.words[0] == "3 samples (5.2e-05 %) below 0, the lowest -2"
    left = scopes.waveform["R"][:, :128].sum(axis=1)
    right = scopes.waveform["R"][:, 128:].sum(axis=1)
    assert (np.flatnonzero(left).tolist(), np.flatnonzero(right).tolist()) == ([64], [128])


def test_what_is_out_of_range_is_told_in_words() -> None:
    pixels = np.float32([[[0.5, 1.0, 0.0]]])
    assert range_words(pixels) == ("none below 0, the lowest 0", "none above 1, the highest 1")
    pixels = np.float32([[[-0.25, 2.0, np.nan], [4.0, 0.5, 0.5]]])
    assert range_words(pixels) == (
        "1 sample (16.7 %) below 0, the lowest -0.25",
        "2 samples (33.3 %) above 1, the highest 4",
        "1 sample (16.7 %) not finite",
    )
    assert range_words(np.full((1, 1, 1), np.nan, np.float32))[2] == "1 sample (100.0 %) not finite"


@pytest.fixture
def made(tmp_path: Path) -> FixedOut:
    return make_fixed(tmp_path, [1001, 1002])


def test_fixes_are_listed_by_doubt_or_by_frame(made: FixedOut) -> None:
    with Shot(made.out) as shot:
        by_doubt: Any = list_fixes(shot)
        doubts = [abs(f["confidence"] - 0.5) for f in by_doubt["fixes"]]
        assert doubts == sorted(doubts)
        few: Any = list_fixes(shot, order="frame", most=10)
        assert few["total"] == by_doubt["total"] == len(by_doubt["fixes"])
        assert {f["id"] for f in few["fixes"]} == {f["id"] for f in by_doubt["fixes"][:10]}
        assert [f["frame"] for f in few["fixes"]] == sorted(f["frame"] for f in few["fixes"])
        with pytest.raises(UsageError):
            list_fixes(shot, order="price")


def test_verdicts_go_on_record_and_come_back(made: FixedOut) -> None:
    one, two = sorted(made.pixels)[:2]
    path, _ = judge(made.out, accept=[one], reject=[two])
    with Shot(made.out) as shot:
        told: Any = list_fixes(shot)
    verdicts = {f["id"]: f["verdict"] for f in told["fixes"] if f["verdict"]}
    assert verdicts == {one: "accepted", two: "rejected"}
    judge(made.out, clear=[two])
    assert load_verdicts(path).rejected == frozenset()
    with pytest.raises(UsageError, match="nothing is decided"):
        judge(made.out)
    with pytest.raises(UsageError, match="no fix"):
        judge(made.out, reject=["dirt-1-2-3"])


def test_a_fix_is_shown_close_as_scan_and_result(made: FixedOut) -> None:
    name = max(made.pixels, key=lambda n: len(made.pixels[n][0]))
    rows, columns = made.pixels[name]
    with Shot(made.out) as shot:
        told: Any = fix_crops(shot, name)
    assert [p["name"] for p in told["panels"]] == ["before", "after", "matte"]
    pictures = [decoded(base64.b64decode(p["picture"].partition(",")[2])) for p in told["panels"]]
    x0, y0 = told["corner"]
    assert all(p.shape == (told["height"], told["width"], 3) for p in pictures)
    assert (pictures[0] != pictures[1]).any(-1)[rows - y0, columns - x0].any()
    assert told["trouble"] == []
    with Shot(made.out) as shot, pytest.raises(UsageError, match="no fix"):
        fix_crops(shot, "dirt-1001-9-9999")


def test_the_desk_sees_a_changed_output(made: FixedOut) -> None:
    with Desk() as desk:
        told: Any = desk.frames(made.out)
        assert [f["number"] for f in told["frames"]] == [1001, 1002]
        first = desk.view(made.out, 1001, "restored", None, None)
        assert desk.view(made.out, 1001, "restored", None, None) is first
        name = made.name(1001)
        (made.out / name).write_bytes((made.plate / name).read_bytes())
        record = FrameRecord(
            frame=1001, status="written", file=name, digest=digest_file(made.out / name)
        )
        Journal(made.out / CONTROL).append(record)
        second = desk.view(made.out, 1001, "restored", None, None)
        assert second.png != first.png
        assert second.png == desk.view(made.out, 1001, "source", None, None).png


def test_a_scan_that_has_gone_is_told_and_the_rest_is_shown(made: FixedOut) -> None:
    made.plate.rename(made.plate.with_name("elsewhere"))
    with Desk() as desk:
        told: Any = desk.frames(made.out)
        assert told["trouble"].startswith("the scan is not shown")
        assert decoded(desk.view(made.out, 1001, "restored", None, None).png).shape == (64, 96, 3)
        with pytest.raises(InputError):
            desk.view(made.out, 1001, "source", None, None)


def test_a_job_that_still_runs_is_shown_by_what_it_was_asked_for(tmp_path: Path) -> None:
    before, after = smooth(1), smooth(2)
    with make_shot(tmp_path, before, after, space="ACEScg") as shot:
        out = shot.restored.directory
        wanted = [make_view(shot, 7, kind).png for kind in ("source", "restored")]  # type: ignore[arg-type]
    (out / CONTROL / "manifest.json").unlink()  # written at the end
    asked = asked_for([str(tmp_path / "in"), "--out=x", "--input-space=ACEScg", "--resume"])
    assert asked == {"plate": str(tmp_path / "in"), "input_space": "ACEScg"}
    with Desk() as desk:
        desk.go_by(Asked(**asked))
        views = [desk.view(out, 7, kind, None, None).png for kind in ("source", "restored")]
        assert views == wanted
        (out / CONTROL / "manifest.jsonl").unlink()  # and before the first frame is done:
        told: Any = desk.frames(out)
        assert [(f["number"], f["status"]) for f in told["frames"]] == [(7, "not rendered")]
        assert desk.view(out, 7, "source", None, None).png == wanted[0]
        with pytest.raises(InputError, match="no such frame on record"):
            desk.view(out, 7, "restored", None, None)
        with pytest.raises(InputError, match="no record of frames"):
            Shot(out)


def test_what_nobody_tells_is_not_guessed(tmp_path: Path) -> None:
    with make_shot(tmp_path, smooth(1), smooth(2), space="ACEScg") as shot:
        out = shot.restored.directory
    (out / CONTROL / "manifest.json").unlink()
    with Shot(out) as blind:
        assert blind.input_space == "unknown"
        with pytest.raises(InputError, match="does not say where the scan is"):
            blind.source(7)


def test_an_adopted_output_can_be_made_again_as_it_was(tmp_path: Path) -> None:
    with make_shot(tmp_path, smooth(1), smooth(2), space="ACEScg", range_="legal") as shot:
        job: Any = adopted_job(shot.restored.directory)
    assert job["plate"] == str(tmp_path / "in" / "plate.%04d.exr")
    assert job["out"] == str(tmp_path / "out" / "plate.%04d.exr")
    assert job["frames"] == "7"
    assert job["recipe"]["steps"] == [{"operator": "dirt", "strength": 1.0, "params": {}}]
    assert (job["recipe"]["input_space"], job["recipe"]["range"]) == ("ACEScg", "legal")
    with pytest.raises(InputError):
        adopted_job(tmp_path / "in")
