"""The parts of the engine one by one: planes, windows, memory plans, precision, the journal."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.operators import BoxBlur, Paired, TwoStage
from wetgate.color.config import load_config
from wetgate.io.raw import to_codes
from wetgate.model.box import Box
from wetgate.model.errors import OutOfMemory, OutputError, UnsupportedImage, UsageError
from wetgate.render.encoding import Encoding, compose, make_encoding
from wetgate.render.locking import control_lock
from wetgate.render.manifest import FrameRecord, Journal, fold, record_from_json
from wetgate.render.memory import FrameSize, fit_tile, plan_memory, tile_overhead
from wetgate.render.options import JobOptions
from wetgate.render.precision import Change, holds, quantized
from wetgate.render.shelf import alpha_channel, color_channels
from wetgate.render.store import PlaneStore
from wetgate.render.windows import Shots, gather, reflect

HALVES = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)


# --- planes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "values", "bytes_"),
    [
        ("uint8", np.arange(256, dtype=np.float32) / np.float32(255), 1),
        ("uint10", np.arange(1024, dtype=np.float32) / np.float32(1023), 2),
        ("uint12", np.arange(4096, dtype=np.float32) / np.float32(4095), 2),
        ("uint16", np.arange(65536, dtype=np.float32) / np.float32(65535), 2),
        ("half", HALVES, 2),
        ("uint10", np.float32([0.1234567, -0.5, 2.0, np.nan]), 4),
        ("uint10", np.float32([-0.0, 1.0]), 4),
        ("half", np.float32([1.0001, 70000.0]), 4),
        ("float", np.float32([1e-38, -0.0, np.inf, np.nan]), 4),
    ],
)
def test_a_plane_gives_back_the_same_bits_in_the_least_room(
    kind: Any,
    values: np.ndarray,
    bytes_: int,
    tmp_path: Path,  # type: ignore[type-arg]
) -> None:
    pixels = np.ascontiguousarray(np.resize(values, (len(values), 2, 1)))
    for limit in (None, 0):
        store = PlaneStore(memory_limit=limit, scratch=tmp_path)
        plane = store.keep_exact(pixels, kind)
        got = plane.rows(0, len(values))
        assert np.array_equal(got.view(np.uint32), pixels.view(np.uint32))
        part = plane.rows(1, 2)
        assert np.array_equal(part.view(np.uint32), pixels[1:2].view(np.uint32))
        spot = gather(plane, Box(1, 1, 2, 2))
        assert spot.flags.c_contiguous
        assert np.array_equal(spot.view(np.uint32), pixels[1:2, 1:].view(np.uint32))
        size = store._used if limit is None else store.spilled
        assert size == pixels.size * bytes_
        plane.release()
        assert store._used == 0


def test_scratch_files_leave_nothing_behind(tmp_path: Path) -> None:
    store = PlaneStore(memory_limit=0, scratch=tmp_path / "scratch")
    plane = store.keep_exact(np.ones((4, 4, 3), np.float32), "float")
    plane.release()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_planes_are_read_from_many_threads(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).random((64, 16, 3), dtype=np.float32)
    plane = PlaneStore(memory_limit=0, scratch=tmp_path).keep_exact(pixels, "float")
    wrong: list[int] = []

    def read(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(200):
            y = int(rng.integers(0, 60))
            if not np.array_equal(plane.rows(y, y + 4), pixels[y : y + 4]):
                wrong.append(y)

    threads = [threading.Thread(target=read, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# --- windows --------------------------------------------------------------------------------


@given(st.integers(1, 9), st.integers(-30, 30), st.integers(0, 40))
def test_reflection_is_what_numpy_pads(size: int, start: int, length: int) -> None:
    line = np.arange(size)
    padded = np.pad(line, 80, mode="reflect") if size > 1 else np.zeros(161, int)
    want = padded[80 + start : 80 + start + length]
    assert np.array_equal(line[reflect(start, start + length, size)], want)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(-9, 20), st.integers(-9, 20),
       st.integers(1, 20), st.integers(1, 20))  # fmt: skip
def test_gather_reads_any_region(w: int, h: int, x: int, y: int, rw: int, rh: int) -> None:
    pixels = np.random.default_rng(w * 13 + h).random((h, w, 2), dtype=np.float32)
    plane = PlaneStore(memory_limit=None).keep_exact(pixels, "float")
    got = gather(plane, Box(x, y, x + rw, y + rh))
    want = pixels[reflect(y, y + rh, h)][:, reflect(x, x + rw, w)]
    assert np.array_equal(got, want) and got.flags.c_contiguous


def test_shots_split_at_cuts() -> None:
    shots = Shots((5, 9))
    assert [shots.index(n) for n in (1, 4, 5, 8, 9, 100)] == [0, 0, 1, 1, 2, 2]
    assert shots.split([1, 4, 9]) == [[1, 4], [], [9]]
    assert shots.same(5, 8) and not shots.same(4, 5)


# --- memory ---------------------------------------------------------------------------------

UHD = FrameSize(width=3840, height=2160, channels=3, colors=3, sample_type="uint10")


@given(st.integers(1, 5000), st.integers(16, 2000))
def test_fitted_tiles_cover_with_no_more_tiles_than_asked(length: int, wanted: int) -> None:
    fitted = fit_tile(length, wanted)
    assert 1 <= fitted <= max(length, 1)
    assert fitted % 16 == 0 or fitted == length
    asked = -(-length // wanted)
    assert -(-length // fitted) <= asked


def test_overhead_is_counted_pixel_by_pixel() -> None:
    size = FrameSize(width=100, height=70, channels=3, colors=3, sample_type="half")
    tiles = list(Box.of_size(100, 70).tiles(40, 30))
    computed = sum(t.grown(5).area for t in tiles)
    assert tile_overhead(size, (40, 30), 5) == pytest.approx(computed / 7000)


def test_more_memory_never_makes_a_slower_plan_and_no_plan_exceeds_its_budget() -> None:
    operators = [TwoStage(), Paired()]
    plans = [
        plan_memory(UHD, operators, budget=b << 20, workers=4, base=250 << 20)
        for b in (1024, 1536, 2048, 4096, 8192)
    ]
    for budget, plan in zip((1024, 1536, 2048, 4096, 8192), plans, strict=True):
        assert plan.peak <= budget << 20
    assert [p.overlap for p in plans] == sorted(p.overlap for p in plans)
    assert plans[-1].scratch_bytes == 0 and plans[-1].overlap
    assert plans[0].scratch_bytes > 0


def test_what_cannot_fit_is_refused_with_the_figure_that_would() -> None:
    with pytest.raises(OutOfMemory) as caught:
        plan_memory(UHD, [BoxBlur()], budget=300 << 20, workers=2, base=250 << 20)
    need = int(str(caught.value.remedy).split("--memory ")[1].split("MB")[0])
    plan_memory(UHD, [BoxBlur()], budget=need << 20, workers=2, base=250 << 20)


# --- encodings ------------------------------------------------------------------------------


def test_the_working_space_follows_what_the_file_is() -> None:
    config = load_config()

    def made(working: Any, space: str) -> Encoding:
        return make_encoding(
            working, space=space, config=config, sample_type="uint10",
            premultiplied=False, code_range="full",
        )  # fmt: skip

    assert made("log", "ACEScct").is_identity and made("source", "ACEScg").is_identity
    assert made("log", "ACEScg").signed_log
    assert made("linear", "ACES2065-1").is_identity
    linear = made("linear", "ACEScct")
    assert linear.forward is not None and linear.backward is not None
    codes = (np.arange(1024, dtype=np.float32) / 1023).reshape(32, 32, 1).repeat(3, -1)
    again = linear.decode(linear.encode(codes))
    np.testing.assert_allclose(again, codes, atol=2e-6)
    one = linear.encode(codes[..., :1])
    np.testing.assert_allclose(one[..., 0], linear.encode(codes)[..., 1])


def test_legal_codes_are_expanded_before_they_are_converted() -> None:
    config = load_config()
    encoding = make_encoding(
        "linear", space="Rec.1886 Rec.709 - Display", config=config, sample_type="uint10",
        premultiplied=False, code_range="legal",
    )  # fmt: skip
    white = np.full((1, 1, 3), 940 / 1023, np.float32)
    full = make_encoding(
        "linear", space="Rec.1886 Rec.709 - Display", config=config, sample_type="uint10",
        premultiplied=False, code_range="full",
    )  # fmt: skip
    np.testing.assert_allclose(encoding.encode(white), full.encode(np.ones_like(white)), rtol=1e-5)
    np.testing.assert_allclose(encoding.decode(encoding.encode(white)), white, rtol=1e-5)


def test_premultiplied_colors_are_divided_for_operators_and_multiplied_again() -> None:
    alpha = np.float32([[[1.0], [0.5], [0.0]]])
    color = np.float32([[[0.4] * 3, [0.2] * 3, [0.7] * 3]])
    encoding = Encoding(signed_log=True, premultiplied=True)
    work = encoding.encode(color, alpha)
    assert work[0, 0, 0] == work[0, 1, 0], "the same color under other coverage"
    got = compose(
        color, work, work + np.float32(0.05), encoding,
        strength=1.0, alpha=alpha, sample_type="float",
    )  # fmt: skip
    plain = Encoding(signed_log=True)
    opaque = plain.decode(plain.encode(color[:, :1]) + np.float32(0.05))[0, 0, 0]
    np.testing.assert_allclose(got[0, :2, 0], [opaque, opaque / 2], rtol=1e-5)


def test_channels_are_found_by_name() -> None:
    assert color_channels(("A", "B", "G", "R", "Z")) == (3, 2, 1)
    assert color_channels(("Y", "A")) == (0,)
    assert alpha_channel(("A", "B", "G", "R")) == 0 and alpha_channel(("R", "G", "B")) is None
    with pytest.raises(UnsupportedImage, match="Z, id"):
        color_channels(("Z", "id"))


# --- precision ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["uint8", "uint10", "uint12", "uint16", "half", "float"])
def test_a_file_holds_the_nearest_value_and_no_other(kind: Any) -> None:
    rng = np.random.default_rng(1)
    wanted = rng.uniform(-0.2, 1.2, (32, 32, 3)).astype(np.float32)
    right = quantized(wanted, kind)
    assert holds(wanted, right, kind)
    depth = {"uint8": 8, "uint10": 10, "uint12": 12, "uint16": 16}.get(kind)
    if depth:
        odd = np.array([[[np.nan, np.inf, -np.inf]]], np.float32)
        assert holds(odd, np.array([[[0, 1, 0]]], np.float32), kind)
        assert quantized(odd, kind).tolist() == [[[0, 1, 0]]]
    step = 1 / (2**depth - 1) if depth else 2.0**-11
    for wrong in (right + np.float32(step), np.where(right == right[0, 0, 0], np.nan, right)):
        assert not holds(wanted, wrong.astype(np.float32), kind)


def test_what_a_codec_rounds_to_16_bits_is_held() -> None:
    halves = np.arange(0x3C01, dtype=np.uint16).view(np.float16).astype(np.float32)
    nearest = np.rint(halves.astype(np.float64) * 65535)
    assert np.array_equal(to_codes(halves, 65535), nearest)
    got = (nearest.astype(np.float32) / np.float32(65535))[:, None, None]
    assert holds(halves[:, None, None], got, "uint16")
    clear = np.abs(halves.astype(np.float64) * 65535 - nearest) < 0.4
    for code in (nearest - 1, nearest + 1):
        wrong = (code.astype(np.float32) / np.float32(65535))[:, None, None]
        assert not any(
            holds(halves[at : at + 1, None, None], wrong[at : at + 1], "uint16")
            for at in np.flatnonzero(clear)[1:-1:31]
        )


def test_half_patterns_are_compared_bit_by_bit() -> None:
    pixels = HALVES.reshape(256, 256, 1)
    assert holds(pixels, pixels, "half")
    other = pixels.copy()
    other.view(np.uint32)[255, 255, 0] ^= 1 << 13  # the payload of a NaN
    assert not holds(pixels, other, "half")


def test_change_counts_pixels_and_the_greatest_difference() -> None:
    a = np.zeros((10, 10, 3), np.float32)
    b = a.copy()
    b[2, 3] = (0, 0.5, -0.75)
    b[9, 9, 2] = np.nan
    change = Change()
    for y in range(0, 10, 4):
        change.add(a[y : y + 4], b[y : y + 4])
    assert (change.pixels, change.changed, change.greatest) == (100, 2, 0.75)


# --- journal and locks ----------------------------------------------------------------------


def test_the_last_line_of_a_frame_counts_and_rubbish_does_not(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.latest() == {}
    for number, digest in ((1, "a"), (2, "b"), (1, "c")):
        journal.append(FrameRecord(frame=number, status="written", digest=digest))
    with open(journal.path, "ab") as file:
        file.write(b'{"frame": 2, "status"')
    assert {n: r.digest for n, r in journal.latest().items()} == {1: "c", 2: "b"}
    journal.append(FrameRecord(frame=3, status="failed", error="x", warnings=("w",)))
    with open(journal.path, "ab") as file:
        file.write(b'[1]\n{"frame": "x"}\n\xff\n{"frame": 9}\n')
    found = journal.latest()
    assert set(found) == {1, 2, 3} and found[3].warnings == ("w",)
    path = fold(tmp_path, {"job": {"a": 1}})
    folded = json.loads(path.read_text("utf-8"))
    assert [f["frame"] for f in folded["frames"]] == [1, 2, 3]
    assert record_from_json(folded["frames"][2]) == found[3]


def test_lines_of_many_writers_never_mix(tmp_path: Path) -> None:
    def write(base: int) -> None:
        for i in range(40):
            Journal(tmp_path).append(FrameRecord(frame=base + i, status="written", file="x" * 500))

    threads = [threading.Thread(target=write, args=(1000 * k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Journal(tmp_path).latest()) == 160


def test_the_lock_of_a_dead_process_is_broken_and_a_live_one_respected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import platform

    from wetgate.render import locking

    dead = {"host": platform.node(), "pid": 4194301, "started": 1.0}
    (tmp_path / "lock").write_text(json.dumps(dead), "utf-8")
    with control_lock(tmp_path):
        assert json.loads((tmp_path / "lock").read_text("utf-8"))["pid"] == os.getpid()
        monkeypatch.setattr(locking, "_PATIENCE_SECONDS", 0.1)
        with pytest.raises(OutputError, match="another run"), control_lock(tmp_path):
            pass
    assert not (tmp_path / "lock").exists()


# --- options --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [{"resume": True, "overwrite": True}, {"threads": 0}, {"memory": 0}, {"policy": "loose"}],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        JobOptions(plate="a", out="b", **wrong)
