"""What the EXR reader chooses, and what the writer changes on purpose."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from wetgate.io import formats
from wetgate.io.options import Limits, WriteOptions
from wetgate.io.raw import NanBits, to_half
from wetgate.model.box import Box
from wetgate.model.errors import FrameReadError, OutputError, UnsupportedImage, UsageError
from wetgate.model.frame import Frame

from tests.corpus import make_exr

SHAPE = (40, 50)


def read(path: Path, layer: str | None = None) -> Frame:
    return formats.read_frame(path, 7, color_space="any", layer=layer)


def header_of(path: Path) -> dict[str, object]:
    return dict(OpenEXR.File(str(path)).header())


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "plain.exr"
    make_exr.write(path, make_exr.every_attribute(), make_exr.rgb(make_exr.smooth, SHAPE))
    return path


def test_the_first_part_with_color_is_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "parts.exr"
    make_exr.write_parts(path)
    info = formats.read_info(path)
    assert info.channels == ("R", "G", "B", "A")
    assert info.data_window == Box(-4, -4, 68, 52)
    assert info.display_window == Box(0, 0, 64, 48)
    assert info.carried == ("part 'depth'", "part 'ids'", "part 'other'")
    assert info.header.attributes["take"] == 3


@pytest.mark.parametrize(
    ("layer", "channels", "first"),
    [
        ("depth", ("Z",), ("depth", "Z")),
        ("right", ("R", "G", "B"), ("other", "right.R")),
        ("other", ("R", "G", "B"), ("other", "right.R")),
        ("ids", ("cover",), ("ids", "cover")),
    ],
)
def test_a_layer_is_a_part_a_view_or_a_prefix(
    tmp_path: Path, layer: str, channels: tuple[str, ...], first: tuple[str, str]
) -> None:
    path = tmp_path / "parts.exr"
    make_exr.write_parts(path)
    frame = read(path, layer)
    assert frame.channels == channels
    parts = {p.header["name"]: p for p in OpenEXR.File(str(path), separate_channels=True).parts}
    expected = parts[first[0]].channels[first[1]].pixels.astype(np.float32)
    assert frame.pixels[..., 0].tobytes() == expected.tobytes()


def test_a_layer_of_one_part_leaves_the_others_alone(tmp_path: Path) -> None:
    path, out = tmp_path / "views.exr", tmp_path / "out.exr"
    left, right = make_exr.rgb(make_exr.smooth, SHAPE), make_exr.smooth(9, SHAPE)
    make_exr.write(path, {}, {**left, "right.R": right, "right.id": make_exr.ids(0, SHAPE)})
    frame = read(path, "right")
    assert frame.channels == ("R",)
    doubled = frame.replace_pixels(frame.pixels * np.float32(2), color_space="any")
    formats.write_frame(doubled, out)
    found = OpenEXR.File(str(out), separate_channels=True).channels()
    assert (found["right.R"].pixels == right * np.float16(2)).all()
    assert (found["right.id"].pixels == make_exr.ids(0, SHAPE)).all()
    assert all(found[c].pixels.tobytes() == left[c].tobytes() for c in "RGB")


def test_an_unknown_layer_names_those_there_are(tmp_path: Path) -> None:
    path = tmp_path / "parts.exr"
    make_exr.write_parts(path)
    with pytest.raises(UnsupportedImage, match=r"no part, view or layer 'x'.*depth, beauty, left"):
        formats.read_info(path, layer="x")


def test_deep_and_subsampled_are_refused_by_name(tmp_path: Path) -> None:
    deep, thin = tmp_path / "deep.exr", tmp_path / "thin.exr"
    make_exr.write_deep(deep)
    make_exr.write_subsampled(thin)
    with pytest.raises(UnsupportedImage, match="the image holds deep data"):
        read(deep)
    with pytest.raises(UnsupportedImage, match="channel 'BY' of the image is subsampled 2 x 2"):
        read(thin)


def test_a_file_of_ids_alone_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "ids.exr"
    make_exr.write(path, {}, {"id": make_exr.ids(0, SHAPE)})
    with pytest.raises(UnsupportedImage, match="no half or float channel"):
        read(path)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(channels=2), "3 channels"),
        (Limits(resolution=45), "50 x 40 pixels"),
        (Limits(image_mb=0), "MB of pixels"),
    ],
)
def test_limits_refuse_before_decoding(plain: Path, limits: Limits, said: str) -> None:
    with pytest.raises(UnsupportedImage, match=said):
        formats.read_info(plain, limits=limits)


def test_every_truncation_is_refused(plain: Path, tmp_path: Path) -> None:
    data = plain.read_bytes()
    cut = tmp_path / "cut.exr"
    for size in [*range(0, 60, 7), *range(60, len(data), len(data) // 40), len(data) - 1]:
        cut.write_bytes(data[:size])
        with pytest.raises((FrameReadError, UnsupportedImage)):
            read(cut)


def test_changed_pixels_drop_what_speaks_of_the_old_ones(plain: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.exr"
    frame = read(plain)
    formats.write_frame(frame, out, options=WriteOptions(pixels_changed=True))
    gone = set(header_of(plain)) - set(header_of(out))
    assert gone == {"preview", "nuke/node_hash"}
    losses = " ".join(formats.read_info(plain).losses)
    assert all(name in losses for name in gone)


def test_a_new_color_space_drops_every_inherited_color_value(plain: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.exr"
    options = WriteOptions(color_space_changed=True, interop_id="lin_ap1_scene")
    formats.write_frame(read(plain), out, options=options)
    now = header_of(out)
    assert {"chromaticities", "adoptedNeutral", "whiteLuminance"}.isdisjoint(now)
    assert now["colorInteropID"] == "lin_ap1_scene"
    assert now["owner"] == "The Owner"


def test_nothing_is_invented(tmp_path: Path) -> None:
    path, out = tmp_path / "bare.exr", tmp_path / "out.exr"
    make_exr.write(path, {}, make_exr.rgb(make_exr.smooth, SHAPE))
    formats.write_frame(read(path), out)
    assert set(header_of(out)) == set(header_of(path))
    fresh = dataclasses.replace(
        read(path), header=dataclasses.replace(read(path).header, payload=None)
    )
    formats.write_frame(fresh, out)
    assert {"capDate", "colorInteropID", "oiio:ColorSpace"}.isdisjoint(header_of(out))


def test_bytes_that_are_no_text_are_kept_and_spelled_out(plain: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.exr"
    strange = make_exr.attribute(b"sha1 \xff:sha1", b"string", b"\xfe\xff latin")
    make_exr.splice(plain, strange)
    info = formats.read_info(plain)
    assert info.header.attributes["sha1 \\xff:sha1"] == "\\xfe\\xff latin"
    assert "".join(info.losses).encode()
    formats.write_frame(read(plain), out, options=WriteOptions(pixels_changed=False))
    assert strange in out.read_bytes()


def test_provenance_is_written_under_our_name(plain: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.exr"
    options = WriteOptions(provenance={"recipe": "xxh128:0", "wetgate:generative": "no"})
    formats.write_frame(read(plain), out, options=options)
    now = header_of(out)
    assert (now["wetgate:recipe"], now["wetgate:generative"]) == ("xxh128:0", "no")


@pytest.mark.parametrize(("code", "kept"), [("NO", True), ("ZIP", False)])
def test_the_aces_flag_stays_only_where_it_is_true(tmp_path: Path, code: str, kept: bool) -> None:
    path, out = tmp_path / "aces.exr", tmp_path / "out.exr"
    header = {"compression": make_exr.compression(code), "acesImageContainerFlag": 1}
    make_exr.write(path, header, make_exr.rgb(make_exr.smooth, SHAPE))
    formats.write_frame(read(path), out, options=WriteOptions(pixels_changed=False))
    assert ("acesImageContainerFlag" in header_of(out)) == kept
    listed = any("acesImageContainerFlag" in t for t in formats.read_info(path).losses)
    assert listed != kept


def test_lossy_sources_never_lose_twice(tmp_path: Path) -> None:
    path, out = tmp_path / "dwa.exr", tmp_path / "out.exr"
    header = {"compression": OpenEXR.DWAA_COMPRESSION, "dwaCompressionLevel": 60.0}
    make_exr.write(path, header, make_exr.rgb(make_exr.smooth, (96, 96)))
    frame = read(path)
    brighter = frame.replace_pixels(frame.pixels + np.float32(0.25), color_space="any")
    formats.write_frame(brighter, out)
    assert header_of(out)["compression"] == OpenEXR.ZIP_COMPRESSION
    again = read(out)
    assert (again.pixels == brighter.pixels.astype(np.float16)).all()
    formats.write_frame(frame, out, options=WriteOptions(compression="dwaa:60"))
    assert header_of(out)["compression"] == OpenEXR.DWAA_COMPRESSION
    assert header_of(out)["dwaCompressionLevel"] == 60.0
    with pytest.raises(UsageError, match="compression 'gif'"):
        formats.write_frame(frame, out, options=WriteOptions(compression="gif"))


def test_channels_that_keep_their_window_forbid_another(tmp_path: Path) -> None:
    path = tmp_path / "ids.exr"
    pixels = {**make_exr.rgb(make_exr.smooth, SHAPE), "id": make_exr.ids(0, SHAPE)}
    make_exr.write(path, {}, pixels)
    frame = read(path)
    smaller = dataclasses.replace(frame, pixels=frame.pixels[:20], data_window=Box(0, 0, 50, 20))
    with pytest.raises(OutputError, match="channels id cover"):
        formats.write_frame(smaller, tmp_path / "out.exr")


def test_half_rounds_to_nearest_and_stays_finite() -> None:
    values = np.array([65504, 65519.996, 65520, 1e30, -1e30, np.inf, -np.inf, 1 + 2**-11], "f4")
    found = to_half(values.reshape(1, 2, 4), None).reshape(-1)
    assert found.tolist() == [65504, 65504, 65504, 65504, -65504, np.inf, -np.inf, 1]


def test_nan_bits_come_back_only_where_nothing_changed() -> None:
    half = np.array([0x7C01, 0xFE05, 0x3C00], "u2").view("f2").reshape(1, 3, 1)
    full = half.astype(np.float32)
    quiet = (full.view("u4") | 0x00400000).view("f4")
    quiet[0, 2] = 1
    bits = NanBits(
        np.array([0, 1]), half.view("u2").reshape(-1)[:2], quiet.view("u4").reshape(-1)[:2]
    )
    assert to_half(quiet, bits).view("u2").reshape(-1).tolist() == [0x7C01, 0xFE05, 0x3C00]
    changed = quiet.copy()
    changed[0, 0] = 2
    assert to_half(changed, bits).reshape(-1)[0] == 2


def test_other_formats_become_exr_without_losing_codes(tmp_path: Path) -> None:
    import cv2

    for depth, sample in (("u1", "half"), ("u2", "float")):
        most = np.iinfo(depth).max
        codes = np.random.default_rng(0).integers(0, most, (9, 11, 3), depth, endpoint=True)
        png, out = tmp_path / "a.png", tmp_path / "a.exr"
        cv2.imwrite(str(png), codes[..., ::-1])
        formats.write_frame(read(png), out, options=WriteOptions(format="exr"))
        frame = read(out)
        assert frame.sample_type == sample
        assert (np.rint(frame.pixels * most) == codes).all()


def test_frame_bytes_hold_an_uncompressed_file(tmp_path: Path) -> None:
    path = tmp_path / "parts.exr"
    make_exr.write_parts(path)
    frame = read(path)
    formats.write_frame(frame, tmp_path / "o.exr", options=WriteOptions(compression="none"))
    size = (tmp_path / "o.exr").stat().st_size
    assert size <= formats.frame_bytes(formats.read_info(path)) <= size * 1.1 + 4096


def test_going_to_dpx_names_what_stays_behind(plain: Path) -> None:
    info = formats.read_info(plain)
    text = "\n".join(formats.metadata_losses(info, "dpx"))
    for name in ("exr owner", "exr timeCode", "exr nuke/node_hash", "half samples become"):
        assert name in text
    assert (
        formats.metadata_losses(formats.read_info(plain), "exr") == formats.read_info(plain).losses
    )
