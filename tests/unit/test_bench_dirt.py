"""The dirt benchmark: the operator's side, and the table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from support.dirt_blocks import blocks, dirty_blocks
from wetgate.bench import dirt
from wetgate.bench.dirt.clips import (
    FIRST,
    HEIGHT,
    WIDTH,
    DirtyClip,
)
from wetgate.bench.dirt.filters import around_of, filters
from wetgate.bench.dirt.measure import Clean, Damaged, Mended, Share, common_settings
from wetgate.bench.dirt.runner import (
    Altered,
    altered_of,
    called_labels,
    claims_of,
    delivered,
    facts_of,
    restore,
)
from wetgate.bench.dirt.scores import (
    Counts,
)
from wetgate.bench.dirt.search import Found, Setting
from wetgate.bench.streaming import run_streaming
from wetgate.bench.table import BenchTable
from wetgate.model.box import Box
from wetgate.operators.base import (
    Analysis,
    Fix,
    Footprint,
    FrameReader,
    Judged,
    NoSurveys,
    OperatorSpec,
    Provenance,
    SourceFacts,
    Stage,
    Window,
)

_RNG = np.random.default_rng


@pytest.fixture
def clip() -> DirtyClip:
    return dirty_blocks()


def _fix(number: int, box: Box, *, applied: bool, anchor: tuple[int, int] = (0, 0)) -> Fix:
    return Fix(
        number=number, frame=FIRST, anchor=anchor, kind="dust", box=box, area=4, polarity=1,
        confidence=0.8, applied=applied,
    )  # fmt: skip


def test_what_is_delivered_and_called_dirt() -> None:
    source = np.full((10, 10, 3), 300 / 1023, np.float32)
    fixes = np.zeros((10, 10), np.uint32)
    fixes[2:4, 2:4] = 1
    matte = (fixes > 0).astype(np.float32)
    sure = 0.8 * matte
    sure[7:9, 7:9] = 0.8
    sure[0, :] = 0.3
    said = Judged(
        np.full_like(source, 0.5),
        fixes=fixes,
        planes={"dirt.matte": matte, "dirt.confidence": sure},
        records=(
            _fix(1, Box(2, 2, 4, 4), applied=True),
            _fix(2, Box(6, 6, 10, 10), applied=False),
        ),
    )
    shown = delivered(source, said)
    assert np.array_equal(shown[fixes == 0], source[fixes == 0])
    assert (shown[fixes > 0] == np.float32(512) / np.float32(1023)).all()
    assert np.array_equal(
        called_labels(said), fixes.astype(int) + 2 * ((sure > 0.5) & (fixes == 0))
    )
    assert delivered(source, Judged(said.pixels)) is source
    with pytest.raises(ValueError, match="matte"):
        called_labels(Judged(said.pixels))


class _Marker(NoSurveys):
    """Mark what the map of defects marks, and say so."""

    @property
    def footprint(self) -> Footprint:
        return Footprint()

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Judged:
        told = window.planes["defects"][..., 0]
        fixes = (told > 0).astype(np.uint32)
        return Judged(
            np.where(fixes[..., None] > 0, np.float32(0), window.center),
            fixes=fixes,
            planes={"dirt.matte": told, "dirt.confidence": told},
            records=(_fix(1, Box(2, 2, 4, 4), applied=True, anchor=(2, 2)),),
        )


class _Marking:
    """An operator of one stage."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (_Marker(),)

    @property
    def spec(self) -> OperatorSpec:
        return OperatorSpec(
            name="marking", version=1, footprint=Footprint(), working_space="log",
            provenance=Provenance.BORROWED,
        )  # fmt: skip

    def analyse(self, read: FrameReader, frames: Sequence[int], facts: SourceFacts) -> Analysis:
        return {}


def test_a_map_reaches_the_operator_and_its_words_come_back(clip: DirtyClip) -> None:
    numbers = range(FIRST, FIRST + 2)
    maps = {n: clip.masks[n].told.astype(np.float32) for n in numbers}
    done = restore(_Marking(), clip, numbers, maps)
    for n in numbers:
        told = clip.masks[n].told
        assert (done.frames[n][told] == 0).all()
        assert np.array_equal(done.frames[n][~told], clip.frames[n].pixels[~told])
        assert np.array_equal(done.labels[n] > 0, told)
    streamed = run_streaming(
        _Marking(), clip.pixels, list(numbers), facts_of(128, 96),
        {n: {"defects": m[..., None]} for n, m in maps.items()},
    )  # fmt: skip
    assert len(streamed.stage_seconds) == 1
    assert streamed.cpu_seconds == pytest.approx(sum(streamed.stage_seconds))
    claims = claims_of(clip, done)
    near = clip.masks[FIRST].touched[1:4, 1:4].any()
    assert len(claims) == 2 and claims[0] == (0.8, bool(near))


def test_altered_pixels_are_counted_where_no_dirt_lies(clip: DirtyClip) -> None:
    frame, masks = clip.frames[FIRST], clip.masks[FIRST]
    sigma = frame.truth.grain_sigma
    assert sigma is not None
    y, x = np.argwhere(~masks.touched)[7]
    v, u = np.argwhere(masks.dirt)[0]
    shown = frame.pixels.copy()
    shown[y, x, 1] += 3.5 * sigma[y, x, 1]
    shown[y, x - 1 if not masks.touched[y, x - 1] else x, 2] += np.float32(1e-3)
    shown[v, u] += 1
    got = altered_of(clip, {FIRST: shown}, blobs=2)
    assert (got.pixels, got.by_much, got.blobs) == (int((~masks.touched).sum()), 1, 2)
    assert got.at_all in (1, 2) and (got + got).frames == 2


def _case(plate: str, ours: float, peer: float, hole: float) -> Damaged:
    def found(f1: float) -> Found:
        counts = Counts(round(1000 * f1), 1000, round(1000 * f1), 1000)
        return Found(pixels=counts, objects=counts, all_pixels=counts, all_objects=counts)

    def mended(db: float) -> Mended:
        return Mended(
            hole=db, rim=40.0, beneath=db + 1, shown=Share(9, 10), others=Share(0, 2),
            close=Share(8, 10),
        )  # fmt: skip

    setting = Setting(variant=0, blur=0.0, threshold=4.0 if peer > 0.5 else 5.0, least=1)
    return Damaged(
        plate=plate, group="moving", kind="light", digest="xxh128:0", hidden=1, blobs=10,
        found={"wetgate": found(ours), "ROD in place": found(peer)},
        objects={"wetgate": ours, "ROD in place": peer},
        mended={"wetgate": mended(hole), "Telea": mended(20.0)},
        claims=[(0.9, True)] * 9 + [(0.9, False)],
        settings={"ROD in place": setting},
    )  # fmt: skip


def test_the_table_says_who_leads_and_what_was_reached(tmp_path: Path) -> None:
    cases = [_case("a", 0.95, 0.8, 30.0), _case("a", 0.85, 0.8, 20.0), _case("b", 0.96, 0.4, 29.0)]
    clean = [
        Clean(
            plate="a", kind="rain", digest="xxh128:1", candidates=3,
            altered={
                "wetgate": Altered(pixels=1000, at_all=4, by_much=2, frames=50, blobs=1),
                "ROD in place": Altered(pixels=1000, at_all=9, frames=50, blobs=7),
            },
        )
    ]  # fmt: skip
    made = dirt.table(cases, clean, ["overlays: absent"], [])
    rows = {row.case: row for row in made.rows}
    f1 = rows["moving: pixel F1"]
    assert f1.wetgate == pytest.approx((0.90 + 0.96) / 2) and f1.reached is True
    assert f1.peer == pytest.approx((0.8 + 0.4) / 2)
    assert str(f1.extra["lead with 95 %"]).startswith("0.33 (0.1 to 0.56)")
    hole = rows["moving: PSNR in the hole, wetgate"]
    assert hole.wetgate == pytest.approx(27.0) and hole.reached is False
    assert hole.goal == ">= 28 dB and +6 dB"
    assert rows["moving: blobs invisible, wetgate"].wetgate == pytest.approx(90.0)
    rain = rows["all action: false blobs per 100 frames"]
    assert rain.peer == 14.0  # the peer's row comes later
    false = next(r for r in made.rows if r.case == rain.case and r.goal)
    assert false.wetgate == 2.0 and false.reached is False
    assert "altered by 3 deviations 2000 ppm, at all 4000 ppm" in str(false.extra["more"])
    error = rows["confidence: expected calibration error"]
    assert error.wetgate == pytest.approx(0.0, abs=1e-9) and error.reached is True
    assert rows["confidence 0.9 to 1.0: share that is dirt"].wetgate == pytest.approx(0.9)
    assert "overlays: absent" in rows["skipped"].note
    assert common_settings(cases)["ROD in place"].threshold == 4.0
    assert "pixel F1" in made.to_text()
    if pytest.importorskip("matplotlib", reason="draws the diagram"):
        (drawing,) = dirt.draw(made, tmp_path / "dirt-now")
        assert drawing.name == "dirt-now.svg" and "<svg" in drawing.read_text(encoding="utf-8")


def test_without_the_operator_the_peers_are_measured_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dirt, "dirt_operator", lambda: None)
    monkeypatch.setattr(dirt, "plates", lambda data, names: ([blocks()], []))
    monkeypatch.setattr(dirt, "data_folder", lambda data: None)
    monkeypatch.setattr(dirt, "filters", lambda: (filters()[0][:1], []))
    monkeypatch.setattr(dirt, "_cost", lambda found, quick: [])
    made = dirt.run(quick=True)
    assert isinstance(made, BenchTable)
    row = next(r for r in made.rows if r.case == "static: pixel F1")
    assert math.isnan(row.wetgate) and row.peer is not None and row.peer > 0.5
    skipped = next(r for r in made.rows if r.case == "skipped")
    assert "no operator dirt" in skipped.note and "film-damage" in skipped.note
    assert (WIDTH, HEIGHT) == (256, 192)
    assert around_of({1: blocks().frames[0]}, 1).still[1].others == {}
