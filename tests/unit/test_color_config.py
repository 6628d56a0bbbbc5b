"""The pinned config and its conversions."""

from __future__ import annotations

import importlib.util
import math
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from wetgate.color.config import ColorConfig, data_file, load_config
from wetgate.model.errors import ColorSpaceUnknown, InputError

ROOT = Path(__file__).resolve().parents[2]
CINEON = "Cineon Log - Film Scan"


@pytest.fixture(scope="module")
def config() -> ColorConfig:
    return load_config()


def grey(values: object) -> np.ndarray:
    return np.repeat(np.asarray(values, np.float32)[None, :, None], 3, axis=2)


def test_checked_in_config_is_what_the_script_makes() -> None:
    script = ROOT / "install" / "make_ocio_config.py"
    spec = importlib.util.spec_from_file_location("make_ocio_config", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.make_config().encode() == (ROOT / "ocio/wetgate-studio-v5.ocio").read_bytes()


def test_default_config_ignores_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "host.ocio"
    other.write_bytes(data_file("wetgate-studio-v5.ocio").read_bytes().replace(b"cineon,", b"c9n,"))
    monkeypatch.setenv("OCIO", str(other))
    assert load_config().find("cineon") == CINEON
    host = load_config("env")
    assert host.find("c9n") == CINEON
    assert host.find("cineon") is None
    assert host.digest != load_config().digest
    monkeypatch.delenv("OCIO")
    with pytest.raises(InputError, match=r"\$OCIO is not set"):
        load_config("env")


def test_digest_follows_the_luts_a_config_names(tmp_path: Path) -> None:
    text = """ocio_profile_version: 2
search_path: luts
roles: {default: a}
displays:
  d:
    - !<View> {name: v, colorspace: a}
colorspaces:
  - !<ColorSpace> {name: a}
  - !<ColorSpace>
    name: b
    from_scene_reference: !<FileTransform> {src: "curve.spi1d"}
"""
    (tmp_path / "luts").mkdir()
    lut = tmp_path / "luts" / "curve.spi1d"
    digests = []
    for top in ("1.0", "2.0"):
        lut.write_text(f"Version 1\nFrom 0.0 1.0\nLength 2\nComponents 1\n{{\n0.0\n{top}\n}}\n")
        path = tmp_path / f"config{top}.ocio"
        path.write_text(text)
        digests.append(load_config(path).digest)
    assert digests[0] != digests[1]


@pytest.mark.parametrize("bad", ["ocio://default", "ocio://studio-config-latest", "ocio://nope"])
def test_moving_builtin_names_are_refused(bad: str) -> None:
    with pytest.raises(InputError):
        load_config(bad)


def test_unusable_config_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such OCIO config"):
        load_config(tmp_path / "absent.ocio")
    broken = tmp_path / "broken.ocio"
    broken.write_text("ocio_profile_version: 2\n")
    with pytest.raises(InputError, match=r"broken\.ocio: not a usable OCIO config"):
        load_config(broken)


@pytest.mark.parametrize(
    ("name", "interop_id", "encoding"),
    [
        ("ACES2065-1", "lin_ap0_scene", "scene-linear"),
        ("ACEScg", "lin_ap1_scene", "scene-linear"),
        ("ACEScct", "ocio:acescct_ap1_scene", "log"),
        ("ADX10", "ocio:adx10_apd_scene", "log"),
        ("ADX16", "ocio:adx16_apd_scene", "log"),
        (CINEON, "wetgate:cineon_rec709_scene", "log"),
        ("Linear Rec.709 (sRGB)", "lin_rec709_scene", "scene-linear"),
        ("sRGB Encoded Rec.709 (sRGB)", "srgb_rec709_scene", "sdr-video"),
        ("Gamma 2.4 Encoded Rec.709", "g24_rec709_scene", "sdr-video"),
        ("Camera Rec.709", "ocio:itu709_rec709_scene", "sdr-video"),
        ("Gamma 2.6 P3-D65 - Display", "g26_p3d65_display", "sdr-video"),
        ("Rec.1886 Rec.709 - Display", "g24_rec709_display", "sdr-video"),
        ("Rec.2100-PQ - Display", "pq_rec2020_display", "hdr-video"),
        ("ARRI LogC3 (EI800)", "ocio:arrilogc3_awg3_scene", "log"),
        ("Apple Log 2", "ocio:applelog_applewg_scene", "log"),
        ("Raw", "data", "data"),
    ],
)
def test_names_of_the_pinned_version(
    config: ColorConfig, name: str, interop_id: str, encoding: str
) -> None:
    assert name in config.spaces()
    assert config.resolve(interop_id) == name
    assert config.interop_id(name) == interop_id
    assert config.encoding(name) == encoding
    assert config.is_data(name) == (name == "Raw")


def test_cineon_is_found_by_every_name(config: ColorConfig) -> None:
    names = ["cineon", "Cineon", "kodaklog", "KodakLog", "wetgate:cineon_rec709_scene", CINEON]
    assert {config.resolve(name) for name in names} == {CINEON}


def test_unknown_name_suggests_the_nearest(config: ColorConfig) -> None:
    with pytest.raises(ColorSpaceUnknown, match=r'no color space "ACES-cgg".*"ACEScg"'):
        config.resolve("ACES-cgg")
    with pytest.raises(ColorSpaceUnknown, match="Cineon Log - Film Scan"):
        config.resolve("film scan")
    with pytest.raises(ColorSpaceUnknown):
        config.resolve("")


def test_no_rule_makes_every_exr_aces(config: ColorConfig) -> None:
    assert config.rule_space("/shot/plate.1001.exr") is None
    assert config.rule_space("/shot/plate.1001.dpx") is None
    assert config.rule_space("/scans/cineon/plate.1001.dpx") == (CINEON, "ColorSpaceNamePathSearch")
    assert config.rule_space("/shot/cut.mov") == ("Rec.1886 Rec.709 - Display", "Movies")


def cineon_to_linear(code: float) -> float:
    offset = math.pow(10.0, (95 - 685) * 0.002 / 0.6)
    return (math.pow(10.0, (code - 685) * 0.002 / 0.6) - offset) / (1.0 - offset)


def test_cineon_follows_its_closed_form(config: ColorConfig) -> None:
    codes = np.arange(1024)
    got = config.processor("cineon", "lin_rec709_scene").apply(grey(codes / 1023.0))
    want = np.array([cineon_to_linear(c) for c in codes])
    assert np.allclose(got[0, :, 1], want, rtol=1e-5, atol=1e-7)
    table = {95: (0.0, 1e-6), 445: (0.149, 5e-4), 470: (0.183, 5e-4), 685: (1.0, 1e-6)}
    for code, (value, slack) in {**table, 1023: (13.5, 0.05)}.items():
        assert abs(got[0, code, 0] - value) < slack


def test_every_film_code_round_trips_through_acescg(config: ColorConfig) -> None:
    codes = np.arange(1024)
    linear = config.processor("cineon", "ACEScg").apply(grey(codes / 1023.0))
    back = config.processor("ACEScg", "cineon").apply(linear)
    assert np.array_equal(
        np.rint(back * 1023.0).astype(int), np.broadcast_to(codes[None, :, None], back.shape)
    )
    assert np.abs(back * 1023.0 - codes[None, :, None]).max() < 1e-3


def test_acescct_follows_its_closed_form(config: ColorConfig) -> None:
    linear = np.concatenate([np.linspace(-1, 0.02, 200), np.geomspace(0.01, 65504, 400)])
    got = config.processor("ACEScg", "ACEScct").apply(grey(linear))[0, :, 2].astype(np.float64)
    x = linear.astype(np.float32).astype(np.float64)
    # S-2016-001, ACEScct: a straight line below 0.0078125, log2 above.
    curve = (np.log2(np.maximum(x, 1e-9)) + 9.72) / 17.52
    want = np.where(x <= 0.0078125, 10.5402377416545 * x + 0.0729055341958355, curve)
    assert np.abs(got - want).max() < 1e-5
    assert got.min() < -10.0 and got.max() > 1.46


def test_lossless_round_trip_is_far_better_than_the_default(config: ColorConfig) -> None:
    x = grey(np.geomspace(1e-3, 6e4, 20000))
    back = config.processor("ACEScct", "ACEScg").apply(
        config.processor("ACEScg", "ACEScct").apply(x)
    )
    relative = np.abs(back / x - 1.0)
    assert np.median(relative) < 6e-7


def test_gamut_negatives_survive(config: ColorConfig) -> None:
    pure_green = np.array([[[0.0, 1.0, 0.0], [-0.25, 3.0, 70.0]]], np.float32)
    wide = config.processor("Linear S-Gamut3.Cine", "ACEScg")
    converted = wide.apply(pure_green)
    assert converted.min() < -0.05
    back = config.processor("ACEScg", "Linear S-Gamut3.Cine").apply(converted)
    assert np.allclose(back, pure_green, rtol=3e-6, atol=3e-6)


@pytest.mark.parametrize(("src", "dst"), [("ACEScg", "ACEScct"), ("cineon", "ACEScg")])
def test_nan_and_inf_poison_nothing(config: ColorConfig, src: str, dst: str) -> None:
    rng = np.random.default_rng(5)
    clean = rng.random((9, 11, 3), dtype=np.float32)
    dirty = clean.copy()
    payload = np.array([0x7FC12345], np.uint32).view(np.float32)[0]
    dirty[2, 3, 0], dirty[4, 4, 1], dirty[8, 10] = payload, np.inf, -np.inf
    convert = config.processor(src, dst)
    got = convert.apply(dirty)
    assert got[2, 3, 0].view(np.uint32) == 0x7FC12345
    assert got[4, 4, 1] == np.inf and (got[8, 10] == -np.inf).all()
    assert np.isfinite(got[2, 3, 1:]).all() and np.isfinite(got[4, 4, [0, 2]]).all()
    untouched = np.isfinite(dirty).all(axis=2)
    assert np.array_equal(got[untouched], convert.apply(clean)[untouched])


def test_apply_leaves_its_argument_alone_and_takes_any_strides(config: ColorConfig) -> None:
    packed = np.random.default_rng(2).random((16, 24, 4), dtype=np.float32)
    before = packed.copy()
    convert = config.processor("ACEScg", "ACEScct")
    view = packed[::2, ::3, :3]
    got = convert.apply(view)
    assert np.array_equal(packed, before)
    assert got.flags.c_contiguous and np.array_equal(got, convert.apply(view.copy()))
    for wrong in (packed, packed[..., :3].astype(np.float64), packed[..., 0]):
        with pytest.raises(ValueError, match="float32"):
            convert.apply(wrong)


def test_same_bits_for_any_split_and_eight_threads(config: ColorConfig) -> None:
    pixels = np.random.default_rng(3).normal(0.2, 0.7, (257, 263, 3)).astype(np.float32)
    convert = config.processor("cineon", "ACEScct")
    whole = convert.apply(pixels)
    rows = np.concatenate([convert.apply(pixels[y : y + 7]) for y in range(0, 257, 7)])
    columns = np.concatenate([convert.apply(pixels[:, x : x + 1]) for x in range(263)], axis=1)
    assert np.array_equal(whole, rows) and np.array_equal(whole, columns)
    with ThreadPoolExecutor(8) as pool:
        results = list(
            pool.map(
                lambda _: load_config().processor("cineon", "ACEScct").apply(pixels), range(16)
            )
        )
    assert all(np.array_equal(whole, result) for result in results)


def test_processors_are_made_once_and_identity_keeps_bits(config: ColorConfig) -> None:
    assert config.processor("cineon", "ACEScg") is config.processor("kodaklog", "lin_ap1_scene")
    same = config.processor("ACEScg", "lin_ap1_scene")
    assert same.is_identity
    every_half = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)
    pixels = np.resize(every_half, (1, 65538, 3)).copy()
    assert np.array_equal(same.apply(pixels).view(np.uint32), pixels.view(np.uint32))


def test_data_is_never_converted(config: ColorConfig) -> None:
    with pytest.raises(ColorSpaceUnknown, match='"Raw" holds data'):
        config.processor("Raw", "ACEScg")
    assert config.processor("Raw", "data").is_identity


@pytest.mark.parametrize("flags", ["0", "0xFFFFFFFF"])
def test_the_environment_does_not_change_bits(flags: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(8).random((20, 20, 3), dtype=np.float32)
    text = data_file("wetgate-studio-v5.ocio")
    want = load_config().processor("ACEScg", "ACEScct").apply(pixels)
    monkeypatch.setenv("OCIO_OPTIMIZATION_FLAGS", flags)
    fresh = load_config(text)
    got = fresh.processor("ACEScg", "ACEScct").apply(pixels)
    assert fresh is not load_config() and np.array_equal(want, got)
    assert os.environ["OCIO_OPTIMIZATION_FLAGS"] == flags


def test_the_config_is_found_where_a_wheel_puts_it(tmp_path: Path) -> None:
    for part in ("__init__.py", "color", "model"):
        source, target = ROOT / "engine" / "wetgate" / part, tmp_path / "wetgate" / part
        copy = shutil.copytree if source.is_dir() else shutil.copy
        target.parent.mkdir(exist_ok=True)
        copy(source, target)
    shutil.copytree(ROOT / "ocio", tmp_path / "wetgate" / "ocio")
    libraries = str(Path(np.__file__).parents[1])
    code = (
        "from wetgate.color.config import data_file, load_config;"
        "from wetgate.color.policy import load_policy; load_policy();"
        "print(data_file('policy.toml').parent, load_config().digest)"
    )
    # Without `site`, the development install's own finder is not there to help.
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), libraries])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "wetgate" / "ocio"), load_config().digest]


def test_color_loads_without_opencolorio() -> None:
    code = (
        "import sys, wetgate.color, wetgate.color.config, wetgate.color.nonfinite;"
        "sys.exit('PyOpenColorIO' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
