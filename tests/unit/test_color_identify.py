"""Every way in which a file's color space is decided, and every refusal."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from wetgate.color.config import ColorConfig, load_config
from wetgate.color.identify import SpaceDecision, identify
from wetgate.color.png_tags import PngTags, read_png_tags
from wetgate.model.box import Box
from wetgate.model.errors import ColorSpaceUnknown
from wetgate.model.frame import ImageInfo, SourceHeader

CINEON = "Cineon Log - Film Scan"
CONFIG = load_config()
AP1 = (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767)


def info_of(kind: str, **attributes: object) -> ImageInfo:
    return ImageInfo(
        header=SourceHeader(format=kind, attributes=attributes),
        channels=("R", "G", "B"),
        sample_type="half",
        data_window=Box.of_size(4, 4),
        display_window=Box.of_size(4, 4),
    )


def decide(
    kind: str,
    path: str = "/shot/plate.1043.x",
    override: str | None = None,
    config: ColorConfig = CONFIG,
    **attributes: object,
) -> SpaceDecision:
    return identify(Path(path), info_of(kind, **attributes), config, override=override)


def refusal(kind: str, path: str = "/shot/plate.1043.x", **attributes: object) -> str:
    with pytest.raises(ColorSpaceUnknown) as caught:
        decide(kind, path, **attributes)
    return str(caught.value)


def test_the_callers_word_beats_everything() -> None:
    got = decide(
        "exr",
        "/scans/cineon/plate.1001.exr",
        override="adx10",
        acesImageContainerFlag=1,
        colorInteropID="lin_rec709_scene",
    )
    assert (got.space, got.source, got.trust) == ("ADX10", "explicit", "stated")
    with pytest.raises(ColorSpaceUnknown, match='no color space "ADX12"'):
        decide("dpx", override="ADX12")


@pytest.mark.parametrize("flag", ["acesImageContainerFlag", "acesImageContainer"])
def test_both_spellings_of_the_aces_flag(flag: str) -> None:
    got = decide("exr", **{flag: 1, "colorInteropID": "lin_rec709_scene", "chromaticities": AP1})
    assert (got.space, got.source, got.trust) == ("ACES2065-1", "aces-container", "stated")
    with pytest.raises(ColorSpaceUnknown):
        decide("exr", **{flag: 0})


@pytest.mark.parametrize(
    ("stated", "space"),
    [
        ("lin_ap1_scene", "ACEScg"),
        ("ocio:arrilogc4_awg4_scene", "ARRI LogC4"),
        ("my-studio:lin_rec2020_scene", "Linear Rec.2020"),
        ("studio:ocio:acescct_ap1_scene", "ACEScct"),
        ("wetgate:cineon_rec709_scene", CINEON),
        ("data", "Raw"),
    ],
)
def test_interop_id_and_its_namespace(stated: str, space: str) -> None:
    got = decide("exr", "/scans/acescc/plate.1.exr", colorInteropID=stated, chromaticities=AP1)
    assert (got.space, got.source, got.trust) == (space, "interop-id", "stated")
    assert stated in got.note


def test_interop_id_of_the_configs_own_local_spaces(tmp_path: Path) -> None:
    text = """ocio_profile_version: 2.1
name: acme
roles: {default: raw}
displays:
  d:
    - !<View> {name: v, colorspace: raw}
colorspaces:
  - !<ColorSpace> {name: raw, isdata: true}
  - !<ColorSpace> {name: lens, aliases: ["acme:local:lens_x"]}
"""
    path = tmp_path / "c.ocio"
    path.write_text(text)
    config = load_config(path)
    assert decide("exr", config=config, colorInteropID="other:lens_x").space == "lens"


def test_an_id_that_does_not_resolve_is_an_error_not_a_shrug() -> None:
    text = refusal("exr", "/scans/acescg/plate.1.exr", colorInteropID="acme:lens_x")
    assert 'colorInteropID "acme:lens_x", which the config wetgate-studio-v5 does not have' in text
    assert "--input-space" in text


@pytest.mark.parametrize("silent", ["unknown", ""])
def test_an_id_that_says_nothing_leaves_the_next_to_decide(silent: str) -> None:
    assert decide("exr", "/x/acescg/p.exr", colorInteropID=silent).source == "file-rule"
    assert decide("exr", colorInteropID=silent, chromaticities=AP1).source == "chromaticities"


@pytest.mark.parametrize(
    ("path", "space"),
    [
        ("/scans/cineon/plate.1001.dpx", CINEON),
        ("/scans/Cineon/plate.1001.dpx", CINEON),
        ("/show/plate_ACEScg_v002.1001.exr", "ACEScg"),
        ("/show/acescct/plate_lin_rec709.1001.exr", "Linear Rec.709 (sRGB)"),
        ("/show/ARRI LogC4/plate.1001.exr", "ARRI LogC4"),
    ],
)
def test_a_path_that_names_a_space(path: str, space: str) -> None:
    got = decide("exr", path, chromaticities=AP1)
    assert (got.space, got.source, got.trust) == (space, "file-rule", "rule")


@pytest.mark.parametrize(
    "path",
    [
        "/shows/traces/faces.1001.exr",
        "/mnt/raw/plate.1001.exr",
        "/show/aces/plate.1001.exr",
        "/none/data/plate.1001.exr",
        "/show/xcineon/plate.1001.exr",
        "/show/reference/plate.1001.exr",
    ],
)
def test_a_path_that_only_seems_to(path: str) -> None:
    assert "nothing in the file, its path or the call decides" in refusal("exr", path)


def test_rules_after_the_path_search_still_count() -> None:
    got = decide("movie", "/shows/traces/cut.mov")
    assert (got.space, got.source) == ("Rec.1886 Rec.709 - Display", "file-rule")


def test_relative_and_absolute_paths_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "kodaklog"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert decide("dpx", "plate.1001.dpx", Transfer=1).space == CINEON


@pytest.mark.parametrize(
    ("xy", "space"),
    [
        (AP1, "ACEScg"),
        (np.array(AP1, np.float32), "ACEScg"),
        (tuple(v + 0.001 for v in AP1), "ACEScg"),
        ((0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329), "Linear Rec.709 (sRGB)"),
        ((0.7347, 0.2653, 0, 1, 0.0001, -0.077, 0.32168, 0.33767), "ACES2065-1"),
        ((0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329), "Linear P3-D65"),
        ((0.708, 0.292, 0.17, 0.797, 0.131, 0.046, 0.3127, 0.329), "Linear Rec.2020"),
        ((0.64, 0.33, 0.21, 0.71, 0.15, 0.06, 0.3127, 0.329), "Linear AdobeRGB"),
    ],
)
def test_chromaticities_are_inferred_with_low_trust(xy: object, space: str) -> None:
    got = decide("exr", chromaticities=xy)
    assert (got.space, got.source, got.trust) == (space, "chromaticities", "inferred")
    assert got.note == "inferred from chromaticities, low trust"


@pytest.mark.parametrize(
    "xy", [tuple(v + 0.0015 for v in AP1), AP1[:6], "AP1", (1, 0, 0, 1, 0, 0, 1 / 3, 1 / 3)]
)
def test_other_chromaticities_are_refused(xy: object) -> None:
    assert "those of no known color space" in refusal("exr", chromaticities=xy)


def test_an_untagged_file_is_refused_with_the_choices() -> None:
    for kind in ("exr", "tiff", "png", "movie", "dpx"):
        text = refusal(kind, "/shot/plate.1043.x")
        assert text.startswith(f"{Path('/shot/plate.1043.x')}: nothing in the file")
        assert 'pass --input-space NAME, for example "ACEScg" or "Linear Rec.709 (sRGB)"' in text


@pytest.mark.parametrize(
    ("transfer", "depth", "space"),
    [(13, 10, "ADX10"), (13, 16, "ADX16"), (6, 10, "Camera Rec.709"), (6, 8, "Camera Rec.709")],
)
def test_dpx_transfer_bytes_that_decide(transfer: int, depth: int, space: str) -> None:
    got = decide("dpx", Transfer=transfer, BitDepth=depth)
    assert (got.space, got.source, got.trust) == (space, "header", "stated")


@pytest.mark.parametrize(("byte", "word"), [(1, "printing density"), (3, "logarithmic")])
def test_dpx_film_log_is_never_guessed(byte: int, word: str) -> None:
    assert refusal("dpx", "/shot/plate.1043.dpx", Transfer=byte, BitDepth=10) == (
        f"{Path('/shot/plate.1043.dpx')}: "
        f'transfer {byte} ("{word}") means some film log and does not decide a color space; '
        f'pass --input-space NAME, for example "{CINEON}" or "ADX10" or "ADX16"'
    )


def test_dpx_linear_states_no_primaries() -> None:
    text = refusal("dpx", Transfer=2, BitDepth=16)
    assert 'transfer 2 ("linear") does not state the primaries' in text
    assert '"Linear Rec.709 (sRGB)"' in text


@pytest.mark.parametrize("byte", [0, 4, 5, 7, 8, 9, 10, 11, 12, 14, 200, 255])
def test_other_dpx_transfer_bytes_decide_nothing(byte: int) -> None:
    text = refusal("dpx", Transfer=byte, BitDepth=10)
    assert f"transfer {byte} " in text and "does not decide a color space" in text


def test_adx_of_another_depth_is_refused() -> None:
    assert "at 12 bits decides no color space" in refusal("dpx", Transfer=13, BitDepth=12)


def test_a_cineon_file_is_film_log_undecided() -> None:
    assert f'"{CINEON}" or "ADX10"' in refusal("cineon", "/shot/plate.1.cin")


@pytest.mark.parametrize(
    ("primaries", "transfer", "space"),
    [
        (1, 1, "Rec.1886 Rec.709 - Display"),
        (1, 13, "sRGB - Display"),
        (9, 16, "Rec.2100-PQ - Display"),
        (9, 18, "Rec.2100-HLG - Display"),
        (12, 16, "ST2084-P3-D65 - Display"),
        (9, 8, "Linear Rec.2020"),
    ],
)
def test_movies_by_their_code_points(primaries: int, transfer: int, space: str) -> None:
    got = decide("movie", "/shot/cut.mov", color_primaries=primaries, color_trc=transfer)
    assert (got.space, got.source, got.trust) == (space, "header", "stated")


def test_movies_with_other_code_points_are_not_taken_for_rec709() -> None:
    text = refusal("movie", "/shot/cut.mov", color_primaries=5, color_trc=6)
    assert "color primaries 5 and transfer 6" in text
    assert decide("movie", "/shot/cut.mov", color_primaries=2, color_trc=2).source == "file-rule"
    assert "nothing in the file" in refusal("movie", "/shot/cut.mkv", color_primaries=2)


def png(path: Path, *chunks: tuple[bytes, bytes]) -> Path:
    def chunk(kind: bytes, body: bytes) -> bytes:
        check = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0))
    body = b"".join(chunk(kind, data) for kind, data in chunks)
    rows = chunk(b"IDAT", zlib.compress((b"\0" + bytes(6)) * 2))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + body + rows + chunk(b"IEND", b""))
    return path


def gama(value: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(value * 100000))


def chrm(*xy: float) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *(round(v * 100000) for v in (*xy[6:], *xy[:6])))


P3 = (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329)


@pytest.mark.parametrize(
    ("chunks", "space", "trust"),
    [
        ([(b"sRGB", b"\0")], "sRGB Encoded Rec.709 (sRGB)", "stated"),
        ([(b"cICP", bytes([9, 16, 0, 1])), (b"sRGB", b"\0")], "Rec.2100-PQ - Display", "stated"),
        ([(b"iCCP", b"sRGB IEC61966-2.1\0\0x")], "sRGB Encoded Rec.709 (sRGB)", "stated"),
        ([gama(0.45455)], "Gamma 2.2 Encoded Rec.709", "inferred"),
        ([gama(1.0)], "Linear Rec.709 (sRGB)", "inferred"),
        ([gama(1.0), chrm(*P3)], "Linear P3-D65", "inferred"),
        ([gama(0.45455), chrm(*AP1)], "Gamma 2.2 Encoded AP1", "inferred"),
    ],
)
def test_png_says_so_in_its_chunks(
    tmp_path: Path, chunks: list[tuple[bytes, bytes]], space: str, trust: str
) -> None:
    path = png(tmp_path / "p.png", *chunks)
    # What a library fills in does not count.
    got = decide("png", str(path), **{"oiio:ColorSpace": "pq_rec2020_display"})
    assert (got.space, got.source, got.trust) == (space, "header", trust)


@pytest.mark.parametrize(
    ("chunks", "words"),
    [
        ([], "nothing in the file"),
        ([(b"iCCP", b"Eci RGB v2\0\0x")], 'ICC profile "Eci RGB v2"'),
        ([(b"cICP", bytes([5, 6, 0, 1]))], "color primaries 5 and transfer 6"),
        ([gama(0.45455), chrm(*P3)], 'no "g22_p3d65_scene"'),
        ([gama(0.5), chrm(1, 0, 0, 1, 0, 0, 0.3, 0.3)], "no known color space"),
        ([(b"gAMA", bytes(4))], "nothing in the file"),
    ],
)
def test_png_that_does_not_say(
    tmp_path: Path, chunks: list[tuple[bytes, bytes]], words: str
) -> None:
    path = png(tmp_path / "p.png", *chunks)
    assert words in refusal("png", str(path), **{"oiio:ColorSpace": "srgb_rec709_scene"})


def test_png_tags_of_damaged_files_are_empty(tmp_path: Path) -> None:
    whole = png(tmp_path / "p.png", gama(0.45455)).read_bytes()
    for length in (0, 4, 8, 12, 40, 44):
        path = tmp_path / "cut.png"
        path.write_bytes(whole[:length])
        assert read_png_tags(path) == PngTags()
    assert read_png_tags(tmp_path / "absent.png") == PngTags()
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(whole[:8] + struct.pack(">I", 0xFFFFFFFF) + b"iCCP" + b"x" * 10)
    assert read_png_tags(bomb).icc_name == "x" * 10


def test_tiff_by_exif_and_profile() -> None:
    assert decide("tiff", **{"Exif:ColorSpace": 1}).space == "sRGB Encoded Rec.709 (sRGB)"
    profile = {"ICCProfile": b"...", "ICCProfile:profile_description": "sRGB IEC61966-2.1"}
    assert decide("tiff", **profile).space == "sRGB Encoded Rec.709 (sRGB)"
    assert "nothing in the file" in refusal("tiff", **{"Exif:ColorSpace": 65535})
    profile["ICCProfile:profile_description"] = "Adobe RGB (1998)"
    assert 'ICC profile "Adobe RGB (1998)"' in refusal("tiff", **profile)


def test_a_config_without_the_space_is_named(tmp_path: Path) -> None:
    path = tmp_path / "small.ocio"
    path.write_text(
        "ocio_profile_version: 2\nroles: {default: raw}\ndisplays:\n  d:\n"
        "    - !<View> {name: v, colorspace: raw}\n"
        "colorspaces:\n  - !<ColorSpace> {name: raw, isdata: true}\n"
    )
    small = load_config(path)
    with pytest.raises(ColorSpaceUnknown, match=r'small\.ocio has no "ocio:adx10_apd_scene"'):
        decide("dpx", config=small, Transfer=13, BitDepth=10)
