"""The DPX codec over the generated corpus: the same bytes back, the right codes, both kernels."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from corpus.make_dpx import DEPTHS, SAMPLES, Spec, corpus, make
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from wetgate.io import dpx, dpx_reference
from wetgate.io.dpx import read_frame, read_info, write_frame
from wetgate.model.frame import Frame

NATIVE = pytest.importorskip("wetgate._native")

# What each stored sample is, written down from the standard, not from the codec.
STORED = {
    1: ["R"],
    2: ["G"],
    3: ["B"],
    4: ["A"],
    6: ["Y"],
    10: ["Cb"],
    11: ["Cr"],
    50: ["R", "G", "B"],
    51: ["R", "G", "B", "A"],
    52: ["A", "B", "G", "R"],
    101: ["C", "Y", "A"],
    100: ["C", "Y"],
    102: ["Cb", "Y", "Cr"],
    103: ["Cb", "Y", "Cr", "A"],
}


@pytest.fixture
def by_numpy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run the codec without its native loops."""
    monkeypatch.setattr(dpx, "_kernels", lambda: (dpx_reference.unpack, dpx_reference.pack))
    yield


def expected_planes(spec: Spec, codes: list[np.ndarray]) -> dict[str, NDArray[np.uint64]]:
    """Return codes by channel at full width, of the elements that join into one picture."""
    planes: dict[str, NDArray[np.uint64]] = {}
    for descriptor, values in zip(spec.elements, codes, strict=True):
        names = STORED.get(descriptor)
        parts = {p for n in names or () for p in (("Cb", "Cr") if n == "C" else (n,))}
        if not parts or parts & planes.keys():
            continue
        grid = values.reshape(spec.height, spec.width, SAMPLES[descriptor])
        for slot, name in enumerate(names or ()):
            if name != "C":
                planes[name] = grid[:, :, slot]
                continue
            # Every pixel takes the chroma of its pair; a last odd pixel the Cr before it.
            column = np.arange(spec.width)
            planes["Cb"] = grid[:, column // 2 * 2, slot]
            red = column // 2 * 2 + 1
            planes["Cr"] = grid[:, np.where(red < spec.width, red, red - 2), slot]
    return planes


def stored_codes(frame: Frame, bits: int) -> NDArray[np.uint64]:
    """Return the codes that the pixels stand for; float32 as its bits."""
    if bits == 32:
        return frame.pixels.view(np.uint32).astype(np.uint64)
    scaled = frame.pixels.astype(np.float64) * ((1 << bits) - 1)
    assert np.abs(scaled - np.rint(scaled)).max() < 0.01
    return np.rint(scaled).astype(np.uint64)


def check_one(spec: Spec, folder: Path) -> None:
    data, codes = make(spec)
    source, target = folder / "source.dpx", folder / "target.dpx"
    source.write_bytes(data)
    frame = read_frame(source, 7, color_space="Raw")
    found = stored_codes(frame, spec.bits)
    planes = expected_planes(spec, codes)
    assert set(frame.channels) == set(planes), spec.name
    for index, channel in enumerate(frame.channels):
        if channel == "Cr" and spec.elements[0] in (100, 101) and spec.width == 1:
            continue  # one pixel of 4:2:2 stores no Cr at all
        assert (found[:, :, index] == planes[channel]).all(), f"{spec.name}: {channel}"
    write_frame(frame, target)
    assert target.read_bytes() == data, f"{spec.name} is not byte-identical"


@pytest.mark.parametrize(("bits", "packing"), DEPTHS)
def test_identity_is_byte_identical_and_codes_are_true(
    bits: int, packing: int, tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    specs = [s for s in corpus() if (s.bits, s.packing) == (bits, packing)]
    for spec in specs:
        check_one(spec, tmp_path)
    record_property("byte_identical_files", len(specs))
    assert len(specs) > 160


def test_the_corpus_covers_what_it_claims() -> None:
    specs = list(corpus())
    assert len(specs) > 1500
    film = {s.width for s in specs if s.bits == 10 and s.elements == (50,)}
    assert {1998, 2048, 3655, 3656, 4096} <= film
    assert {s.width % 4 for s in specs} == {0, 1, 2, 3}
    for flag in ("user_bytes", "gap", "line_padding", "image_padding", "trailing", "odd_fill"):
        assert {bool(getattr(s, flag)) for s in specs} == {True, False}


def test_native_and_numpy_give_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, native_out, numpy_out = (tmp_path / n for n in ("s.dpx", "c.dpx", "n.dpx"))
    for spec in list(corpus())[::3]:
        source.write_bytes(make(spec)[0])
        native = read_frame(source, 1, color_space="Raw")
        # Pixels that lie on no code, between codes, outside the range, and not numbers at all.
        rng = np.random.default_rng(spec.seed)
        wild = rng.normal(0.5, 0.6, native.pixels.shape).astype(np.float32)
        wild.flat[:: wild.size // 3 + 1] = np.nan
        halves = (rng.integers(0, (1 << min(spec.bits, 16)) - 1, wild.shape) + 0.5).astype(
            np.float32
        )
        wild[::2] = (halves / np.float32((1 << min(spec.bits, 16)) - 1))[::2]
        changed = native.replace_pixels(wild, color_space="Raw")
        write_frame(changed, native_out)
        with monkeypatch.context() as patch:
            patch.setattr(dpx, "_kernels", lambda: (dpx_reference.unpack, dpx_reference.pack))
            plain = read_frame(source, 1, color_space="Raw")
            write_frame(changed, numpy_out)
        assert plain.pixels.tobytes() == native.pixels.tobytes(), spec.name
        assert plain.header.payload.fill == native.header.payload.fill, spec.name
        assert native_out.read_bytes() == numpy_out.read_bytes(), spec.name


@pytest.mark.usefixtures("by_numpy")
def test_numpy_alone_is_byte_identical(tmp_path: Path) -> None:
    for spec in list(corpus())[::11]:
        check_one(spec, tmp_path)


@settings(max_examples=80, deadline=None)
@given(
    depth=st.sampled_from(DEPTHS),
    width=st.integers(1, 70),
    height=st.integers(1, 6),
    elements=st.sampled_from([(50,), (51,), (52,), (6,), (100,), (101,), (103,), (1, 2, 3)]),
    order=st.sampled_from("<>"),
    paddings=st.tuples(*[st.integers(0, 40)] * 5),
    odd_fill=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_any_geometry_is_byte_identical(
    tmp_path_factory: pytest.TempPathFactory, depth, width, height, elements, order, paddings,
    odd_fill, seed,
) -> None:  # fmt: skip
    user, gap, line, image, trailing = paddings
    spec = Spec(
        width, height, *depth, elements, order,
        user_bytes=user, gap=gap, line_padding=line, image_padding=image, trailing=trailing,
        odd_fill=odd_fill, seed=seed,
    )  # fmt: skip
    check_one(spec, tmp_path_factory.getbasetemp())


@pytest.mark.parametrize(
    ("spec", "pixel_format", "channels"),
    [
        (Spec(1998, 2, 8, 0, (50,)), "rgb24", 3),
        (Spec(1998, 2, 10, 1, (50,), "<"), "gbrp10le", 3),
        (Spec(4096, 2, 10, 1, (51,)), "gbrap10le", 4),
        (Spec(2047, 2, 10, 1, (6,)), "gray10le", 1),
        (Spec(3655, 2, 12, 1, (50,)), "gbrp12le", 3),
        (Spec(3655, 2, 12, 0, (50,)), "gbrp12le", 3),
        (Spec(3655, 2, 16, 0, (50,)), "rgb48le", 3),
        (Spec(3655, 2, 16, 0, (50,), "<"), "rgb48le", 3),
    ],
    ids=lambda value: value.name if isinstance(value, Spec) else str(value),
)
def test_ffmpeg_reads_the_same_codes(
    spec: Spec, pixel_format: str, channels: int, tmp_path: Path
) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    path = tmp_path / "second.dpx"
    path.write_bytes(make(spec)[0])
    command = [
        ffmpeg,
        "-v",
        "error",
        "-i",
        str(path),
        "-f",
        "rawvideo",
        "-pix_fmt",
        pixel_format,
        "-",
    ]
    out = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    codes = np.frombuffer(out, np.uint8 if pixel_format == "rgb24" else "<u2")
    if pixel_format.startswith("gb"):
        planes = codes.reshape(channels, spec.height, spec.width)
        order = [2, 0, 1, 3][:channels]  # stored as G, B, R, A
        codes = np.stack([planes[i] for i in order], axis=2)
    else:
        codes = codes.reshape(spec.height, spec.width, channels)
    frame = read_frame(path, 1, color_space="Raw")
    assert (stored_codes(frame, spec.bits) == codes).all()


def test_published_files_are_byte_identical(shared_data: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.dpx"
    names = ["L", "R", "dpx_nuke_10bits_rgb", "dpx_nuke_16bits_rgba", "seed", "stereo"]
    for name in (*names, "malformed/crash-1chan-10bit-filled-methodA"):
        source = shared_data / "dpx" / f"{name}.dpx"
        write_frame(read_frame(source, 1, color_space="Raw"), target)
        assert target.read_bytes() == source.read_bytes(), name
    left, both = (
        read_frame(shared_data / "dpx" / n, 1, color_space="Raw") for n in ("L.dpx", "stereo.dpx")
    )
    assert (left.pixels == both.pixels).all()
    assert read_info(shared_data / "dpx" / "stereo.dpx").carried == ("element 2: RGB, 10-bit",)
