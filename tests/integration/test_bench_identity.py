"""`wetgate bench identity`: counts what survives, and cannot be fooled."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from wetgate.bench.table import BenchRow
from wetgate.model.errors import UsageError

from tests.corpus import make_dpx, make_exr

identity = pytest.importorskip("wetgate.bench.identity")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    (folder / "dpx").mkdir(parents=True)
    for number, spec in enumerate(islice(make_dpx.corpus(), 0, None, 97)):
        (folder / f"dpx/{number:02d}_{spec.name}").write_bytes(make_dpx.make(spec)[0])
    for path in make_exr.generate(folder / "exr"):
        if path.stem not in ("mixed-zip", "lossy-dwaa", "attributes", "mipmap", "four-parts"):
            path.unlink()
    make_exr.write_deep(folder / "exr/deep.exr")
    whole = (folder / "exr/mixed-zip.exr").read_bytes()
    (folder / "exr/torn.exr").write_bytes(whole[:-100])
    return folder


def rows(table: Any) -> dict[str, BenchRow]:
    return {row.case: row for row in table.rows}


def test_every_file_is_counted_once_and_as_what_it_is(corpus: Path) -> None:
    found = rows(identity.run(data=corpus))
    dpx = found["DPX, byte by byte"]
    assert (dpx.wetgate, dpx.peer, dpx.reached) == (16, 16, True)
    pixels, header = found["EXR, every sample"], found["EXR, header kept or listed"]
    assert (pixels.wetgate, pixels.peer, pixels.reached) == (5, 5, True), pixels.note
    assert (header.wetgate, header.reached) == (5, True)
    assert "mipmap levels" in header.note and "dwaa is lossy" in header.note
    assert found["EXR, refused by name"].note == "exr/deep.exr: the image holds deep data"
    assert found["EXR, damaged, refused"].wetgate == 1
    with pytest.raises(UsageError, match="--data"):
        identity.run(data=corpus / "nothing")


def test_a_writer_that_changes_something_is_found_out(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wetgate.io.formats as formats

    honest = formats.write_frame

    def shifted(frame: Any, path: Path, **options: Any) -> None:
        pixels = frame.pixels.copy()
        pixels[0, 0, 0] = 0.25 if pixels[0, 0, 0] != 0.25 else 0.5
        honest(frame.replace_pixels(pixels, color_space="x"), path, **options)

    monkeypatch.setattr(formats, "write_frame", shifted)
    found = rows(identity.run(data=corpus))
    for case in ("DPX, byte by byte", "EXR, every sample"):
        assert found[case].reached is False and found[case].wetgate == 0
        assert found[case].note
