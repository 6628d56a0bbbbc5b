"""What the DPX codec promises beside identity: header facts, patches, rounding, limits."""

from __future__ import annotations

import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from corpus.make_dpx import FIELDS, METHOD_A, METHOD_B, PACKED, Spec, make
from wetgate.io import dpx_reference, formats
from wetgate.io.dpx import read_frame, read_info, write_frame
from wetgate.io.options import Limits, WriteOptions
from wetgate.model.box import Box
from wetgate.model.errors import DiskFull, FrameReadError, OutputError, UnsupportedImage
from wetgate.model.frame import Frame, SampleType, SourceHeader


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "plate.1043.dpx"
    path.write_bytes(make(Spec(6, 4, 10, METHOD_A, odd_fill=True, user_bytes=64))[0])
    return path


def bare_frame(pixels: np.ndarray, channels: str, sample_type: SampleType) -> Frame:
    window = Box.of_size(pixels.shape[1], pixels.shape[0])
    return Frame(
        number=1,
        pixels=pixels.astype(np.float32),
        channels=tuple(channels),
        data_window=window,
        display_window=window,
        color_space="Raw",
        sample_type=sample_type,
        header=SourceHeader("exr"),
        pixel_aspect=2.0,
    )


def changed_bytes(before: bytes, after: bytes) -> set[int]:
    assert len(before) == len(after)
    return {i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b}


# ---- what the header says -----------------------------------------------------------------------


@pytest.mark.parametrize("order", "><")
def test_every_field_is_reported_in_both_byte_orders(order: str, tmp_path: Path) -> None:
    path = tmp_path / "a.dpx"
    path.write_bytes(make(Spec(5, order=order))[0])
    info = read_info(path)
    found = info.header.attributes
    for name, (_, code, value) in FIELDS.items():
        if isinstance(value, bytes):
            assert found[name] == value.decode()
        elif code == "f":
            assert found[name] == pytest.approx(value, rel=1e-6), name
        else:
            assert found[name] == value, name
    assert found["TimeCode"] == "01:02:03:04"
    assert found["KeyCode"] == "02 4E A12345 6789 03"
    assert found["Orientation"] == 5
    assert (found["Transfer"], found["Colorimetric"], found["BitDepth"]) == (3, 1, 10)
    assert found["ByteOrder"] == {">": "big", "<": "little"}[order]
    assert info.pixel_aspect == 2.0
    assert info.frame_rate == Fraction(24000, 1001)


def test_undefined_fields_are_absent(tmp_path: Path) -> None:
    data = bytearray(make(Spec(5))[0])
    data[1408:2048] = b"\xff" * 640
    data[36:136] = bytes(100)
    path = tmp_path / "a.dpx"
    path.write_bytes(data)
    info = read_info(path)
    absent = {"FileName", "TimeCode", "KeyCode", "FrameRate", "XScannedSize", "PixelAspectRatio"}
    assert not absent & info.header.attributes.keys()
    assert info.pixel_aspect == 1.0 and info.frame_rate is None
    with pytest.raises(TypeError):
        info.header.attributes["FileName"] = "x"  # type: ignore[index]


def test_further_elements_have_prefixed_names_and_are_announced(tmp_path: Path) -> None:
    path = tmp_path / "a.dpx"
    path.write_bytes(make(Spec(5, elements=(50, 0)))[0])
    info = read_info(path)
    assert info.header.attributes["Element2.Descriptor"] == 0
    assert info.carried == ("element 2: descriptor 0, 10-bit",)
    assert info.channels == ("R", "G", "B")


def test_abgr_and_single_elements_come_in_the_usual_order(tmp_path: Path) -> None:
    path = tmp_path / "a.dpx"
    for elements in ((52,), (3, 2, 1, 4), (50, 4)):
        path.write_bytes(make(Spec(5, elements=elements))[0])
        assert read_info(path).channels == ("R", "G", "B", "A")


# ---- what writing changes, and what not ---------------------------------------------------------


def test_changed_pixels_change_nothing_but_samples(source: Path, tmp_path: Path) -> None:
    frame = read_frame(source, 1043, color_space="Raw")
    target = tmp_path / "out.dpx"
    write_frame(frame.replace_pixels(1 - frame.pixels, color_space="Raw"), target)
    before, after = source.read_bytes(), target.read_bytes()
    assert after[: 2048 + 64] == before[: 2048 + 64]
    words = np.frombuffer(before[2112:], ">u4"), np.frombuffer(after[2112:], ">u4")
    assert (words[0] & 3 == words[1] & 3).all() and (words[0] & 3).any()
    for shift in (2, 12, 22):
        assert (((words[0] >> shift & 1023) + (words[1] >> shift & 1023)) == 1023).all()


def test_a_new_name_patches_the_name_field_alone(source: Path, tmp_path: Path) -> None:
    frame = read_frame(source, 1043, color_space="Raw")
    target = tmp_path / "tmp.wetgate-tmp"
    write_frame(frame, target, options=WriteOptions(file_name="plate.1043.dpx"))
    assert target.read_bytes() == source.read_bytes()
    write_frame(frame, target, options=WriteOptions(file_name="restored.1043.dpx"))
    changed = changed_bytes(source.read_bytes(), target.read_bytes())
    assert changed and changed <= set(range(36, 136))
    assert target.read_bytes()[36:136] == b"restored.1043.dpx".ljust(100, b"\0")


def test_a_new_color_space_replaces_both_color_bytes(source: Path, tmp_path: Path) -> None:
    frame = read_frame(source, 1043, color_space="Raw")
    target = tmp_path / "out.dpx"
    for interop_id, expected in (
        ("lin_rec709_scene", (2, 6)),
        ("ocio:adx10_apd_scene", (13, 1)),
        ("ocio:acescct_ap1_scene", (0, 0)),
        (None, (0, 0)),
    ):
        options = WriteOptions(color_space_changed=True, interop_id=interop_id)
        write_frame(frame, target, options=options)
        after = target.read_bytes()
        assert changed_bytes(source.read_bytes(), after) <= {801, 802}
        assert (after[801], after[802]) == expected


def test_creation_time_is_renewed_only_with_the_pixels(source: Path, tmp_path: Path) -> None:
    frame = read_frame(source, 1043, color_space="Raw")
    target = tmp_path / "out.dpx"
    stamp = "2026:11:05:10:00:00:UTC"
    write_frame(frame, target, options=WriteOptions(creation_time=stamp, pixels_changed=False))
    assert target.read_bytes() == source.read_bytes()
    write_frame(frame, target, options=WriteOptions(creation_time=stamp))
    assert changed_bytes(source.read_bytes(), target.read_bytes()) <= set(range(136, 160))
    assert read_info(target).header.attributes["CreationDate"] == stamp


def test_another_size_keeps_every_other_fact(tmp_path: Path) -> None:
    source, target = tmp_path / "in.dpx", tmp_path / "out.dpx"
    source.write_bytes(
        make(Spec(5, 3, 10, METHOD_B, order="<", user_bytes=64, gap=7, trailing=9))[0]
    )
    frame = read_frame(source, 1, color_space="Raw")
    window = Box.of_size(9, 4)
    pixels = np.linspace(0, 1, 9 * 4 * 3, dtype=np.float32).reshape(4, 9, 3)
    bigger = replace(frame, pixels=pixels, data_window=window, display_window=window)
    write_frame(bigger, target)
    before, after = source.read_bytes(), target.read_bytes()
    geometry = {*range(4, 8), *range(16, 20), *range(770, 780), *range(780, 820)}
    assert changed_bytes(before[: 2048 + 71], after[: 2048 + 71]) <= geometry
    assert after[-9:] == before[-9:]
    assert struct.unpack_from("<I", after, 16)[0] == len(after)
    again = read_frame(target, 1, color_space="Raw")
    assert again.data_window == window
    assert np.abs(again.pixels - pixels).max() <= 0.5001 / 1023
    assert again.header.attributes["Packing"] == METHOD_B


def test_another_size_beside_a_carried_element_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "in.dpx"
    source.write_bytes(make(Spec(5, 3, elements=(50, 50)))[0])
    frame = read_frame(source, 1, color_space="Raw")
    window = Box.of_size(5, 2)
    smaller = replace(
        frame, pixels=frame.pixels[:2].copy(), data_window=window, display_window=window
    )
    with pytest.raises(UnsupportedImage, match="element 2: RGB"):
        write_frame(smaller, tmp_path / "out.dpx")


@pytest.mark.parametrize(
    ("sample_type", "bits"), [("uint8", 8), ("uint10", 10), ("uint12", 12), ("uint16", 16)]
)
def test_a_frame_from_elsewhere_gets_a_plain_header(
    sample_type: SampleType, bits: int, tmp_path: Path
) -> None:
    path = tmp_path / "new.dpx"
    codes = np.arange(7 * 5 * 3).reshape(5, 7, 3) * 13 % (1 << bits)
    top = (1 << bits) - 1
    frame = bare_frame(codes / np.float64(top), "RGB", sample_type)
    options = WriteOptions(file_name="new.dpx", interop_id="wetgate:cineon_rec709_scene")
    write_frame(frame, path, options=options)
    info = read_info(path)
    found = info.header.attributes
    assert (found["FileName"], found["BitDepth"], found["Transfer"]) == ("new.dpx", bits, 3)
    assert found["FileSize"] == path.stat().st_size
    assert info.pixel_aspect == 2.0
    assert not {"TimeCode", "KeyCode", "FrameRate", "XOffset", "Gamma"} & found.keys()
    again = read_frame(path, 1, color_space="Raw")
    assert (np.rint(again.pixels.astype(np.float64) * top) == codes).all()


def test_half_and_float_become_float_without_loss(tmp_path: Path) -> None:
    path = tmp_path / "f.dpx"
    pixels = np.array([[[-0.25, np.nan, 65504.0, 1.0], [np.inf, 1e-7, 0.5, 0.0]]], np.float32)
    write_frame(bare_frame(pixels, "RGBA", "half"), path)
    again = read_frame(path, 1, color_space="Raw")
    assert again.pixels.tobytes() == pixels.tobytes()
    assert again.sample_type == "float"
    assert again.non_finite is not None and again.non_finite.tolist() == [[True, True]]


def test_channels_no_descriptor_holds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedImage, match="R, Z"):
        write_frame(bare_frame(np.zeros((2, 2, 2)), "RZ", "uint10"), tmp_path / "x.dpx")


# ---- codes and floats ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "packing"),
    [(8, PACKED), (10, PACKED), (10, METHOD_A), (12, METHOD_B), (12, PACKED), (16, PACKED)],
)
def test_every_code_is_the_rounded_quotient_and_comes_back(
    bits: int, packing: int, tmp_path: Path
) -> None:
    path = tmp_path / "ramp.dpx"
    top = (1 << bits) - 1
    ramp = (np.arange(top + 1) / np.float64(top)).astype(np.float32)
    write_frame(bare_frame(ramp.reshape(1, -1, 1), "Y", f"uint{bits}"), path)  # type: ignore[arg-type]
    frame = read_frame(path, 1, color_space="Raw")
    assert frame.pixels.ravel().tobytes() == ramp.tobytes()
    assert np.diff(frame.pixels.ravel()).min() > 0


def test_rounding_is_to_nearest_and_the_range_is_the_files(tmp_path: Path) -> None:
    path = tmp_path / "odd.dpx"
    for bits, slack in ((8, 1e-4), (10, 1e-4), (12, 3e-4), (16, 1e-9)):
        top = (1 << bits) - 1
        rng = np.random.default_rng(bits)
        inside = rng.random(997, dtype=np.float32)
        values = np.concatenate([inside, [-1.0, -0.0, 1.0, 1.5, np.inf, -np.inf, np.nan]])
        frame = bare_frame(values.reshape(1, -1, 1), "Y", f"uint{bits}")  # type: ignore[arg-type]
        write_frame(frame, path)
        codes = read_frame(path, 1, color_space="Raw").pixels.ravel().astype(np.float64) * top
        error = np.abs(codes[:997] - inside.astype(np.float64) * top)
        assert error.max() <= 0.5 + slack
        assert np.rint(codes[997:]).tolist() == [0, 0, top, top, top, 0, 0]


def test_chroma_of_a_pair_is_stored_as_its_mean(tmp_path: Path) -> None:
    path = tmp_path / "uv.dpx"
    path.write_bytes(make(Spec(6, 2, 10, METHOD_A, (100,)))[0])
    frame = read_frame(path, 1, color_space="Raw")
    assert frame.channels == ("Y", "Cb", "Cr")
    pixels = frame.pixels.copy()
    pixels[:, 0::2, 1], pixels[:, 1::2, 1] = 400 / 1023, 500 / 1023
    write_frame(frame.replace_pixels(pixels, color_space="Raw"), path)
    again = read_frame(path, 1, color_space="Raw").pixels * 1023
    assert np.rint(again[:, :, 1]).tolist() == [[450.0] * 6] * 2
    assert np.allclose(again[:, :, [0, 2]], frame.pixels[:, :, [0, 2]] * 1023, atol=0.01)


# ---- what cannot be done ------------------------------------------------------------------------


def test_limits_are_checked_before_memory_is_taken(source: Path) -> None:
    for limits in (Limits(resolution=5), Limits(channels=2), Limits(image_mb=-1)):
        with pytest.raises(FrameReadError, match="limit"):
            read_frame(source, 1, color_space="Raw", limits=limits)


def test_missing_files_layers_and_targets_are_named(source: Path, tmp_path: Path) -> None:
    with pytest.raises(FrameReadError, match="No such file") as caught:
        read_frame(tmp_path / "gone.dpx", 5, color_space="Raw")
    assert caught.value.frame == 5
    with pytest.raises(UnsupportedImage, match="layer 'left'"):
        formats.read_frame(source, 1, color_space="Raw", layer="left")
    frame = read_frame(source, 1, color_space="Raw")
    with pytest.raises(OutputError, match="cannot be written"):
        write_frame(frame, tmp_path / "no" / "where.dpx")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_a_full_disk(source: Path) -> None:
    with pytest.raises(DiskFull):
        write_frame(read_frame(source, 1, color_space="Raw"), Path("/dev/full"))


def test_the_kernels_check_their_border() -> None:
    native = pytest.importorskip("wetgate._native")
    pixels, data = np.zeros((2, 4, 3), np.float32), np.zeros(2 * 16, np.uint8)
    good = {"row_bytes": 16, "bits": 10, "packing": 1, "big_endian": True, "channel": (0, 1, 2)}
    assert native.dpx_unpack(data, pixels, **good) is False
    for change in (
        {"row_bytes": 12},
        {"row_bytes": 17},
        {"bits": 11},
        {"packing": 3},
        {"channel": (0, 1, 3)},
        {"channel": ()},
        {"channel": (0, 1, 2, 0, 1)},
        {"odd_channel": 3},
    ):
        with pytest.raises(ValueError):
            native.dpx_unpack(data, pixels, **(good | change))
    for wrong in (pixels[:, ::2], pixels.astype(np.float64), pixels[0], np.asfortranarray(pixels)):
        with pytest.raises((ValueError, TypeError)):
            native.dpx_unpack(data, wrong, **good)
    for short in (data[:-1], data[::2], data.astype(np.uint16)):
        with pytest.raises((ValueError, TypeError)):
            native.dpx_unpack(short, pixels, **good)
    frozen = pixels.copy()
    frozen.flags.writeable = False
    with pytest.raises(ValueError):
        native.dpx_unpack(data, frozen, **good)
    with pytest.raises(ValueError):
        native.empty_frame(1 << 20, 1 << 20, 4)


def test_recycled_memory_is_never_shared_by_two_living_frames() -> None:
    native = pytest.importorskip("wetgate._native")
    first = native.empty_frame(600, 500, 3)
    address = first.ctypes.data
    row = first[3]
    del first
    second = native.empty_frame(600, 500, 3)
    assert second.ctypes.data != address  # a view keeps the first one alive
    del row
    assert native.empty_frame(600, 500, 3).ctypes.data == address
    native.trim_frames()


def test_the_reference_is_what_runs_without_native(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wetgate.io import dpx

    monkeypatch.setitem(__import__("sys").modules, "wetgate._native", None)
    monkeypatch.delattr("wetgate._native", raising=False)
    dpx._kernels.cache_clear()
    try:
        assert dpx._kernels() == (dpx_reference.unpack, dpx_reference.pack)
        assert read_frame(source, 1, color_space="Raw").pixels.shape == (4, 6, 3)
    finally:
        dpx._kernels.cache_clear()
