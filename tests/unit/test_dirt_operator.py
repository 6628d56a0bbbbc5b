"""The dirt operator: repairs with the true matte for a detector, and the promises of the whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from support.dirty import SIGMA, DirtyClip, TruthfulDirt, dirty_clip
from wetgate.model.box import Box
from wetgate.operators.base import (
    Judged,
    Pixels,
    Provenance,
    ReadsPlanes,
    SourceFacts,
    TakesDecisions,
    UsesModels,
)
from wetgate.operators.dirt import stage
from wetgate.operators.dirt.operator import DirtOperator
from wetgate.operators.registry import make_operator
from wetgate.operators.verbs import assert_footprint_honest, judge_operator

SPOTS = {4: ((30, 20, 36, 25), (80, 50, 83, 62), (100, 30, 104, 33)), 5: ((60, 70, 66, 78),)}


@pytest.fixture(autouse=True)
def sure(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the true matte says is believed, whatever the blobs look like."""
    monkeypatch.setattr(stage, "judge", lambda table, beside: np.full(len(table), 0.95))


def restored(clip: DirtyClip, number: int = 4, **params: object) -> Judged:
    operator = TruthfulDirt(clip, DirtOperator(net="none", **params))  # type: ignore[arg-type]
    return judge_operator(operator, clip.pixels, number, facts=clip.facts)


def same_bits(a: Pixels, b: Pixels) -> bool:
    return bool(np.array_equal(a.view(np.uint32), b.view(np.uint32)))


def test_every_fix_is_a_copy_from_where_its_origin_says() -> None:
    clip = dirty_clip(dirt=SPOTS)
    made = restored(clip)
    assert made.fixes is not None and made.origins is not None and made.classes is not None
    inside = made.fixes > 0
    assert inside[clip.dirty[4]].all()
    assert same_bits(made.pixels[~inside], clip.pixels[4][~inside])
    assert np.array_equal(made.classes > 0, inside)
    assert [f.applied for f in made.records] == [True] * 3
    y, x = np.nonzero(made.classes == Provenance.BORROWED)
    assert y.size >= np.count_nonzero(clip.dirty[4])
    step, dx, dy = made.origins[y, x].T
    assert (dx == 3 * step).all() and (dy == -2 * step).all()  # the motion of the clip
    for k in np.unique(step).astype(int):
        one = step == k
        there = clip.pixels[4 + k][y[one] - 2 * k, x[one] + 3 * k]
        assert same_bits(made.pixels[y[one], x[one]], there)
    assert not made.origins[~inside].any()
    error = made.pixels[inside] - clip.clean[4][inside]
    assert np.sqrt(np.mean(error**2)) < 1.6 * SIGMA


def test_records_say_what_the_maps_show() -> None:
    clip = dirty_clip(dirt=SPOTS)
    made = restored(clip)
    assert made.fixes is not None and made.origins is not None
    for fix in made.records:
        mine = made.fixes == fix.number
        y, x = np.nonzero(mine)
        assert fix.box == Box(x.min(), y.min(), x.max() + 1, y.max() + 1)
        assert fix.area == y.size and fix.frame == 4 and fix.polarity == -1
        assert clip.dirty[4][fix.anchor[1], fix.anchor[0]]
        assert fix.offset == tuple(made.origins[fix.anchor[1], fix.anchor[0], 1:])
        assert fix.source == 4 + made.origins[fix.anchor[1], fix.anchor[0], 0]
        assert fix.provenance == Provenance.BORROWED
    assert len({f.id for f in made.records}) == 3
    assert np.array_equal(made.planes["dirt.matte"] > 0, made.fixes > 0)
    assert (made.planes["dirt.confidence"][clip.dirty[4]] == np.float32(0.95)).all()


def test_tiles_do_not_show() -> None:
    clip = dirty_clip(dirt={4: ((30, 20, 36, 25), (60, 30, 70, 66), (62, 28, 65, 29))})
    operator = TruthfulDirt(clip, DirtOperator(net="none", largest=48))
    analysis = operator.analyse(lambda n: clip.pixels[n], sorted(clip.pixels), clip.facts)
    whole = judge_operator(operator, clip.pixels, 4, facts=clip.facts, analysis=analysis)
    for tile in ((32, 32), (50, 96), (128, 17)):
        cut = judge_operator(
            operator, clip.pixels, 4, facts=clip.facts, analysis=analysis, tile=tile
        )
        assert same_bits(cut.pixels, whole.pixels)
        assert cut.records == whole.records
        for a, b in ((cut.fixes, whole.fixes), (cut.origins, whole.origins)):
            assert a is not None and b is not None and np.array_equal(a, b)


def half_hidden(common: int) -> DirtyClip:
    """A hole 16 px wide, of which every neighbor shows but the left or the right part.

    Args:
        common: width of what is dirty in all of them, px; below 0 for what is clean in all.
    """
    box = (30, 20, 46, 32)
    dirt = {4: (box, (90, 60, 95, 66))}
    for k in (-3, -2, -1, 1, 2, 3):
        x, y = box[0] + 3 * k, box[1] - 2 * k
        parts = ((x, y, x + 8 + common, y + 12), (x + 8, y, x + 16, y + 12))
        dirt[4 + k] = (parts[k % 2],)
    return dirty_clip(dirt=dirt)


@pytest.mark.parametrize("tile", [(32, 32), (40, 96), (128, 17)])
def test_a_hole_laid_from_parts_is_the_same_in_any_tile(tile: tuple[int, int]) -> None:
    clip = half_hidden(-5)
    operator = TruthfulDirt(clip, DirtOperator(net="none"))
    whole = judge_operator(operator, clip.pixels, 4, facts=clip.facts)
    parts = judge_operator(operator, clip.pixels, 4, facts=clip.facts, tile=tile)
    for field in ("pixels", "classes", "fixes", "origins"):
        assert np.array_equal(getattr(whole, field), getattr(parts, field)), field
    first = min(whole.records, key=lambda r: r.anchor)
    assert first.applied and first.facts["sources"] >= 2
    assert whole.origins is not None and whole.fixes is not None
    y, x = np.nonzero(whole.fixes == first.number)
    step, dx, dy = whole.origins[y, x].T.astype(int)
    assert len(np.unique(step)) >= 2
    assert (dx == 3 * step).all() and (dy == -2 * step).all()
    for k in np.unique(step):
        one = step == k
        at = y[one] - 2 * k, x[one] + 3 * k
        assert not clip.dirty[4 + int(k)][at].any()
        assert same_bits(whole.pixels[y[one], x[one]], clip.pixels[4 + int(k)][at])


def test_what_no_neighbor_shows_of_a_hole_stays() -> None:
    clip = half_hidden(3)
    made = restored(clip)
    first = min(made.records, key=lambda r: r.anchor)
    assert first.applied and made.fixes is not None
    common = np.zeros(clip.dirty[4].shape, np.bool_)
    common[20:32, 38:41] = True
    assert not made.fixes[common].any() and first.facts["left"] >= np.count_nonzero(common)
    assert same_bits(made.pixels[common], clip.pixels[4][common])
    mended = made.fixes == first.number
    assert np.abs(made.pixels - clip.clean[4])[mended].max() < 8 * SIGMA


def test_neighboring_defects_share_no_pixel() -> None:
    clip = dirty_clip(dirt={4: ((30, 20, 36, 25), (30, 28, 36, 32), (39, 20, 43, 32))})
    made = restored(clip)
    assert made.fixes is not None and len(made.records) == 3
    assert sum(f.area for f in made.records) == np.count_nonzero(made.fixes)
    assert not (made.pixels[clip.dirty[4]] < 0.2).any()


def test_a_person_has_the_last_word() -> None:
    clip = dirty_clip(dirt=SPOTS)
    operator = TruthfulDirt(clip, DirtOperator(net="none", threshold=0.97))
    analysis = operator.analyse(lambda n: clip.pixels[n], sorted(clip.pixels), clip.facts)
    before = judge_operator(operator, clip.pixels, 4, facts=clip.facts, analysis=analysis)
    assert [(f.applied, f.why) for f in before.records] == [(False, "below the threshold")] * 3
    assert same_bits(before.pixels, clip.pixels[4])
    first, second, _ = (f.id for f in before.records)
    decided = operator.inner.decided(analysis, {"accepted": [first], "rejected": [second]})
    after = judge_operator(operator, clip.pixels, 4, facts=clip.facts, analysis=decided)
    assert [f.applied for f in after.records] == [True, False, False]
    assert [f.why for f in after.records] == ["", "rejected", "below the threshold"]
    assert after.fixes is not None
    kept = after.fixes != after.records[0].number
    assert same_bits(after.pixels[kept], clip.pixels[4][kept])


def test_what_is_rejected_is_repaired_for_the_engine_to_take_back() -> None:
    """Only the matte, which is of what stays repaired, is without it."""
    clip = dirty_clip(dirt=SPOTS)
    operator = TruthfulDirt(clip)
    analysis = operator.analyse(lambda n: clip.pixels[n], sorted(clip.pixels), clip.facts)
    before = judge_operator(operator, clip.pixels, 4, facts=clip.facts, analysis=analysis)
    gone = before.records[1]
    decided = operator.inner.decided(analysis, {"accepted": [], "rejected": [gone.id]})
    after = judge_operator(operator, clip.pixels, 4, facts=clip.facts, analysis=decided)
    assert before.fixes is not None and after.fixes is not None
    assert gone.applied and after.records == before.records
    assert same_bits(after.pixels, before.pixels) and np.array_equal(after.fixes, before.fixes)
    mine = before.fixes == gone.number
    was, now = before.planes["dirt.matte"], after.planes["dirt.matte"]
    assert was[mine].all() and not now[mine].any()
    assert np.array_equal(was[~mine], now[~mine])


def test_verdicts_move_others_only_when_asked() -> None:
    clip = dirty_clip(dirt=SPOTS)
    told = {"accepted": [], "rejected": [f"9-{k}-0" for k in range(40)]}
    told["confidences"] = {i: 0.95 for i in told["rejected"]}  # type: ignore[assignment]
    for moved, applied in ((False, 3), (True, 0)):
        operator = TruthfulDirt(clip, DirtOperator(net="none", recalibrate=moved))
        analysis = operator.analyse(lambda n: clip.pixels[n], sorted(clip.pixels), clip.facts)
        decided = operator.inner.decided(analysis, told)
        made = judge_operator(operator, clip.pixels, 4, facts=clip.facts, analysis=decided)
        assert sum(f.applied for f in made.records) == applied
        (note,) = made.notes
        assert note.startswith("verdicts on single fixes (40) move the logit of the confidence")
        assert note.endswith("would act on") is not moved


def test_what_is_too_large_is_told_and_left() -> None:
    clip = dirty_clip(dirt={4: ((30, 20, 60, 25), (80, 50, 83, 56))})
    made = restored(clip, largest=16)
    assert [(f.applied, f.why) for f in made.records] == [(False, "too large"), (True, "")]
    assert same_bits(made.pixels[20:25, 30:60], clip.pixels[4][20:25, 30:60])


def test_what_is_dirty_in_every_frame_stays() -> None:
    box = (40, 30, 48, 38)
    clip = dirty_clip(dirt={n: (box,) for n in range(1, 8)}, motion=(0, 0))
    made = restored(clip)
    assert [(f.applied, f.why) for f in made.records] == [(False, "no frame shows what is behind")]
    assert same_bits(made.pixels, clip.pixels[4])
    invented = restored(clip, invent=True)
    assert invented.classes is not None
    assert [f.provenance for f in invented.records] == [Provenance.INFERRED]
    assert np.array_equal(invented.classes == Provenance.INFERRED, clip.dirty[4])
    assert (invented.pixels[clip.dirty[4]] > 0.25).all()


def test_a_frame_dirty_all_over_stays() -> None:
    clip = dirty_clip(dirt={4: ((0, 0, 128, 96),)})
    made = restored(clip)
    assert not any(f.applied for f in made.records) and len(made.records) == 1
    assert same_bits(made.pixels, clip.pixels[4])


@pytest.mark.parametrize("number", [1, 7])
def test_the_ends_of_a_shot_borrow_from_one_side(number: int) -> None:
    clip = dirty_clip(dirt={number: SPOTS[4]})
    made = restored(clip, number)
    assert all(f.applied for f in made.records) and len(made.records) == 3
    assert made.origins is not None
    steps = made.origins[..., 0][clip.dirty[number]]
    assert (steps * (1 if number == 1 else -1) > 0).all()


def test_a_single_frame_has_nothing_to_borrow() -> None:
    clip = dirty_clip(dirt={4: SPOTS[4]}, frames=range(4, 5))
    made = restored(clip)
    assert same_bits(made.pixels, clip.pixels[4])
    assert all(not f.applied for f in made.records) and len(made.records) == 3


def test_gray_frames() -> None:
    clip = dirty_clip(dirt=SPOTS, channels=1)
    made = restored(clip)
    assert made.pixels.shape == (96, 128, 1) and all(f.applied for f in made.records)
    error = made.pixels[clip.dirty[4]] - clip.clean[4][clip.dirty[4]]
    assert np.sqrt(np.mean(error**2)) < 2 * SIGMA


def test_light_that_changes_is_followed() -> None:
    clip = dirty_clip(dirt=SPOTS, light=0.02)
    made = restored(clip)
    assert all(f.applied for f in made.records)
    error = made.pixels[clip.dirty[4]] - clip.clean[4][clip.dirty[4]]
    assert abs(error.mean()) < 0.5 * SIGMA


def test_values_of_any_size_and_sign_come_through() -> None:
    clip = dirty_clip(dirt=SPOTS)
    wide = {n: (p * np.float32(900) - np.float32(500)) for n, p in clip.pixels.items()}
    facts = replace(clip.facts, sample_type="float", is_log_working=True)
    made = restored(replace(clip, pixels=wide, facts=facts))
    assert all(f.applied for f in made.records) and made.fixes is not None
    assert np.isfinite(made.pixels).all() and made.pixels.min() < -200
    assert same_bits(made.pixels[made.fixes == 0], wide[4][made.fixes == 0])
    error = made.pixels[clip.dirty[4]] / 900 + 500 / 900 - clip.clean[4][clip.dirty[4]]
    assert np.sqrt(np.mean(error**2)) < 2 * SIGMA


# --- the whole operator ---------------------------------------------------------------------


@pytest.fixture
def own_judgement(monkeypatch: pytest.MonkeyPatch, sure: None) -> None:
    monkeypatch.undo()


@pytest.mark.usefixtures("own_judgement")
def test_the_whole_finds_and_repairs_and_leaves_the_rest_alone() -> None:
    clip = dirty_clip(dirt=SPOTS)
    made = judge_operator(DirtOperator(net="none"), clip.pixels, 4, facts=clip.facts)
    assert made.fixes is not None
    dirty = clip.dirty[4]
    assert np.mean(made.fixes[dirty] > 0) > 0.95
    before = np.sqrt(np.mean((clip.pixels[4] - clip.clean[4])[dirty] ** 2))
    after = np.sqrt(np.mean((made.pixels - clip.clean[4])[dirty] ** 2))
    assert after < 0.1 * before
    assert same_bits(made.pixels[made.fixes == 0], clip.pixels[4][made.fixes == 0])
    clean = judge_operator(DirtOperator(net="none"), clip.clean, 4, facts=clip.facts)
    assert same_bits(clean.pixels, clip.clean[4])


@pytest.mark.usefixtures("own_judgement")
def test_the_footprint_is_honest() -> None:
    clip = dirty_clip(dirt=SPOTS, frames=range(1, 14), motion=(1, 0))
    pixels: Mapping[int, Pixels] = clip.pixels
    operator = DirtOperator(net="none", largest=24, radius=1)
    assert_footprint_honest(operator, pixels, 4, facts=clip.facts)


@pytest.mark.usefixtures("own_judgement")
@pytest.mark.parametrize("size", [(5, 4), (9, 8), (40, 8)])
def test_small_frames_come_back(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    frames = {n: rng.random((size[1], size[0], 3), dtype=np.float32) for n in (1, 2, 3)}
    facts = SourceFacts(
        sample_type="uint10", width=size[0], height=size[1], channels=3, is_log_working=False
    )
    made = judge_operator(DirtOperator(net="none"), frames, 2, facts=facts)
    assert made.pixels.shape == frames[2].shape and np.isfinite(made.pixels).all()
    if made.fixes is not None:
        assert same_bits(made.pixels[made.fixes == 0], frames[2][made.fixes == 0])


def test_what_it_declares() -> None:
    operator = make_operator("dirt", {"net": "none"})
    assert isinstance(operator, DirtOperator)
    assert isinstance(operator, UsesModels)
    assert isinstance(operator, TakesDecisions)
    assert isinstance(operator, ReadsPlanes)
    assert operator.spec.provenance == Provenance.BORROWED and not operator.spec.generative
    assert operator.models() == () and operator.planes() == ("defects",)
    inventing = DirtOperator(invent=True)
    assert inventing.spec.provenance == Provenance.INFERRED and inventing.spec.generative
    # No classical path makes an invention less of one.
    assert inventing.without_network().spec.provenance == Provenance.INFERRED
    assert DirtOperator(net="other").models() == ("other",)


@pytest.mark.parametrize(
    "params",
    [
        {"polarity": "white"},
        {"threshold": 1.5},
        {"smallest": 0},
        {"smallest": 500, "largest": 10},
        {"largest": 1000},
        {"largest": 64.5},
        {"radius": 3},
    ],
)
def test_settings_out_of_range_are_refused(params: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(params))):
        DirtOperator(**params)  # type: ignore[arg-type]
