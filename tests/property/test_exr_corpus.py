"""Doing nothing to an EXR changes nothing: samples bit for bit, header values byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from wetgate.io import formats
from wetgate.io.exr_header import read_header
from wetgate.io.options import WriteOptions

from tests.corpus import make_exr
from tests.support.exr_oracle import differences

COMPRESSIONS = (make_exr.LOSSLESS, make_exr.LOSSY)
UNCHANGED = WriteOptions(pixels_changed=False)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return list(make_exr.generate(tmp_path_factory.mktemp("exr")))


def rewrite(path: Path, out: Path) -> None:
    frame = formats.read_frame(path, 1, color_space="any")
    formats.write_frame(frame, out, options=UNCHANGED)


def test_every_file_survives(corpus: list[Path], tmp_path: Path) -> None:
    exact, lossy, levels = 0, 0, 0
    for path in corpus:
        out = tmp_path / path.name
        rewrite(path, out)
        found = differences(path, out)
        if path.stem == "mipmap":
            losses = " ".join(formats.read_info(path).losses)
            assert "mipmap levels" in losses
            names = {text.removeprefix("part 0: ") for text in found} - {"tiles"}
            assert names and all(name in losses for name in names)
            levels += 1
        elif path.stem.startswith(("lossy", "dwaa")):
            # Either the compression gave the samples back, or ZIP did.
            changed = [f for f in found if f.endswith("compression")]
            changed += [f for f in found if f.endswith("dwaCompressionLevel")]
            assert found == changed, path.name
            assert any("lossy" in text for text in formats.read_info(path).losses)
            lossy += 1
        else:
            assert found == [], path.name
            was, now = (read_header(p, most_parts=9) for p in (path, out))
            assert was.packed() == now.packed(), path.name
            exact += 1
    present = [[make_exr.compression(n) for n in names] for names in COMPRESSIONS]
    kept, changing = (sum(code is not None for code in codes) for codes in present)
    assert (exact, lossy, levels) == (2 * kept + 14, changing + 2, 1)


def test_the_frame_holds_every_half_as_its_own_value(corpus: list[Path]) -> None:
    path = next(p for p in corpus if p.stem == "half-zip")
    frame = formats.read_frame(path, 1, color_space="any")
    expected = make_exr.every_half()
    assert frame.channels == ("R", "G", "B", "A")
    red = frame.pixels[..., 0]
    assert (red[~(red != red)] == expected.astype("f4")[~(red != red)]).all()
    assert frame.non_finite is not None
    patterns = expected.view("u2")
    for channel in (patterns, patterns[::-1], patterns.T):
        assert frame.non_finite[(channel & 0x7C00) == 0x7C00].all()
    both = [(c & 0x7C00) == 0x7C00 for c in (patterns, patterns[::-1], patterns.T)]
    assert frame.non_finite.sum() == (both[0] | both[1] | both[2]).sum()
