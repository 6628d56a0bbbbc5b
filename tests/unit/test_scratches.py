"""The scratches operator: film against picture, bits outside, tiles, decisions, the store."""

from __future__ import annotations

import json
from functools import lru_cache

import numpy as np
import pytest
from numpy.typing import NDArray
from wetgate.operators.base import Analysis, Judged, Provenance, SourceFacts
from wetgate.operators.registry import make_operator
from wetgate.operators.scratches import film, follow, profile
from wetgate.operators.scratches import shot as scratch_shot
from wetgate.operators.scratches.fit import Course
from wetgate.operators.scratches.lines import LEVELS_PER_DEVIATION, Strips, evidence_of
from wetgate.operators.scratches.operator import MATTE, ScratchesOperator
from wetgate.operators.scratches.tracks import track_of, tracks_of
from wetgate.operators.verbs import assert_footprint_honest, judge_operator

W, H, N = 128, 96, 8
FIRST = 1001
FACTS = SourceFacts(sample_type="uint10", width=W, height=H, channels=3, is_log_working=False)
Frames = dict[int, NDArray[np.float32]]


def picture() -> NDArray[np.float64]:
    """Blurred noise, wide enough to pan over."""
    import cv2

    noise = np.random.default_rng(3).standard_normal((H, W + 64))
    soft = cv2.GaussianBlur(noise, (0, 0), 5.0)
    return np.asarray(0.45 + 0.08 * soft / soft.std())


def place_of(number: int) -> NDArray[np.float64]:
    """x of the scratch in each row: it wanders along the film, across the frame lines."""
    t = number - FIRST + np.arange(H) / H
    return np.asarray(60.3 + 2.0 * np.sin(2 * np.pi * t / 9.0))


def drawn(number: int, sigma: float = 0.8) -> NDArray[np.float64]:
    u = np.arange(W)[None, :] - place_of(number)[:, None]
    core = np.exp(-0.5 * (u / sigma) ** 2)
    sides = sum(np.exp(-0.5 * ((u + s * 3 * sigma) / sigma) ** 2) for s in (-1, 1))
    return np.asarray(core - 0.15 * sides)


def shot(
    pan: float = 2.0, strength: float = 0.06, lost: float = 0.0, pole: float | None = None
) -> tuple[Frames, Frames]:
    """Return frames and their twins without a scratch, grain and all, in 10-bit codes."""
    wide = picture()
    frames, twins = {}, {}
    for k in range(N):
        number = FIRST + k
        rng = np.random.default_rng(100 + k)
        start = round(pan * k)
        clean = wide[:, start : start + W].copy()
        if pole is not None:
            u = np.arange(W) - (70.0 - pole * k)
            clean += (0.75 - clean) * np.clip(2.0 - np.abs(u), 0, 1)[None, :]
        clean += 0.008 * rng.standard_normal(clean.shape)
        twin = np.repeat(clean[..., None], 3, axis=2)
        add = drawn(number)[..., None]
        marred = twin + strength * add
        if lost:
            cover = np.clip(lost * drawn(number), 0, 1)[..., None]
            marred = twin + cover * (0.85 - twin)
        twins[number] = np.rint(twin * 1023).astype(np.float32) / np.float32(1023)
        frames[number] = np.rint(marred * 1023).astype(np.float32) / np.float32(1023)
    return frames, twins


@lru_cache(maxsize=1)
def usual() -> tuple[Frames, Frames, Analysis]:
    frames, twins = shot()
    analysis = ScratchesOperator().analyse(lambda n: frames[n], sorted(frames), FACTS)
    return frames, twins, json.loads(json.dumps(analysis))


@lru_cache(maxsize=1)
def torn() -> tuple[Frames, Frames, Analysis]:
    frames, twins = shot(pan=3.0, lost=0.95)
    analysis = ScratchesOperator().analyse(lambda n: frames[n], sorted(frames), FACTS)
    return frames, twins, json.loads(json.dumps(analysis))


def made(frames: Frames, analysis: Analysis, number: int, **params: object) -> Judged:
    operator = ScratchesOperator(**params)  # type: ignore[arg-type]
    return judge_operator(operator, frames, number, facts=FACTS, analysis=analysis, tile=(48, 40))


def test_a_scratch_is_found_where_it_was_drawn() -> None:
    _, _, analysis = usual()
    (track,) = [t for t in tracks_of(analysis) if not t.why]
    assert track.polarity == 1
    assert not track.value
    strips = Strips.of(H)
    for number, here in track.frames.items():
        truth = np.interp(strips.middles, np.arange(H), place_of(number))
        part = slice(here.first, here.first + len(here.place))
        assert np.abs(here.place - truth[part]).max() < 0.35
    assert len(track.frames) == N


def test_nine_tenths_of_its_contrast_go() -> None:
    frames, twins, analysis = usual()
    before = after = 0.0
    for number in (FIRST + 1, FIRST + 4, FIRST + 6):
        out = made(frames, analysis, number).pixels
        shape = drawn(number)[..., None]
        before += abs(float(((frames[number] - twins[number]) * shape).sum()))
        after += abs(float(((out - twins[number]) * shape).sum()))
    assert after < 0.1 * before


def test_every_bit_that_no_fix_claims_is_the_scans() -> None:
    frames, _, analysis = usual()
    number = FIRST + 3
    judged = made(frames, analysis, number)
    assert judged.fixes is not None and judged.classes is not None
    outside = judged.fixes == 0
    assert np.array_equal(judged.pixels[outside], frames[number][outside])
    assert not judged.classes[outside].any()
    assert set(np.unique(judged.classes)) == {Provenance.UNTOUCHED, Provenance.REEXPOSED}
    far = np.abs(np.arange(W)[None, :] - place_of(number)[:, None]) > 18
    assert outside[far].all()
    (record,) = judged.records
    assert record.kind == "scratch"
    assert record.applied
    assert record.area == int((~outside).sum())
    rows, columns = np.nonzero(~outside)
    box = record.box
    assert box.x0 <= columns.min() and columns.max() < box.x1
    assert (box.y0, box.y1) == (rows.min(), rows.max() + 1)
    assert float(judged.planes[MATTE].max()) <= 1.0
    assert (judged.planes[MATTE][~outside] > 0).all()


def test_tiles_and_far_frames_change_nothing() -> None:
    frames, _, analysis = usual()
    assert_footprint_honest(ScratchesOperator(), frames, FIRST + 4, facts=FACTS, analysis=analysis)


def test_the_twin_keeps_all_its_bits() -> None:
    _, twins, _ = usual()
    analysis = ScratchesOperator().analyse(lambda n: twins[n], sorted(twins), FACTS)
    assert [t for t in tracks_of(analysis) if not t.why] == []
    out = made(twins, analysis, FIRST + 2)
    assert np.array_equal(out.pixels, twins[FIRST + 2])


@pytest.mark.parametrize("speed", [0.0, 2.0], ids=["still", "along"])
def test_a_pole_of_the_picture_stays(speed: float) -> None:
    frames, _ = shot(pan=2.0 if speed else 0.0, strength=0.0, pole=speed)
    analysis = ScratchesOperator().analyse(lambda n: frames[n], sorted(frames), FACTS)
    found = tracks_of(analysis)
    assert [t for t in found if not t.why] == []
    assert all(t.confidence < 0.5 for t in found)


def test_a_letterbox_is_no_scratch() -> None:
    _, twins, _ = usual()
    frames = {n: f.copy() for n, f in twins.items()}
    for frame in frames.values():
        frame[:10] = frame[-10:] = 0.09
        frame[:, :20] = frame[:, -20:] = 0.09
    analysis = ScratchesOperator().analyse(lambda n: frames[n], sorted(frames), FACTS)
    assert [t for t in tracks_of(analysis) if not t.why] == []


def test_a_lost_core_is_borrowed_from_a_named_frame() -> None:
    frames, twins, analysis = torn()
    (track,) = [t for t in tracks_of(analysis) if not t.why]
    assert track.value
    assert np.allclose(track.value, 0.85, atol=0.12)
    number = FIRST + 4
    judged = made(frames, analysis, number)
    assert judged.classes is not None and judged.origins is not None
    lent = judged.classes == Provenance.BORROWED
    assert lent.any()
    assert not (judged.classes == Provenance.INFERRED).any()
    # Read the loans back by the record alone: one shift of light for each strip and source.
    strip = np.arange(H) // Strips.of(H).rows
    for y in np.unique(strip[np.nonzero(lent)[0]]):
        rows, columns = np.nonzero(lent & (strip == y)[:, None])
        step, dx, dy = judged.origins[rows[0], columns[0]].astype(int)
        there = frames[number + step][rows + dy, columns + dx]
        apart = judged.pixels[rows, columns] - there
        assert np.abs(apart - apart[0]).max() < 1e-6
        assert np.abs(apart).max() < 0.05
    core = drawn(number) > 0.75
    left = np.abs(judged.pixels - twins[number])[core & lent].mean()
    assert left < 0.15 * np.abs(frames[number] - twins[number])[core & lent].mean()
    (record,) = judged.records
    assert record.provenance == Provenance.BORROWED
    assert record.source in frames


def test_nothing_is_invented_unless_asked() -> None:
    frames, _, analysis = torn()
    alone = {**analysis, "tracks": [dict(t) for t in analysis["tracks"]]}  # type: ignore[attr-defined]
    for track in alone["tracks"]:
        track["frames"] = {n: {**f, "loans": []} for n, f in track["frames"].items()}
    kept = made(frames, alone, FIRST + 4)
    filled = made(frames, alone, FIRST + 4, invent=True)
    assert kept.classes is not None and filled.classes is not None
    assert int(kept.classes.max()) == Provenance.REEXPOSED
    assert "no frame shows" in kept.records[0].why
    invented = filled.classes == Provenance.INFERRED
    assert invented.any()
    assert np.array_equal(kept.pixels[invented], frames[FIRST + 4][invented])
    assert filled.records[0].provenance == Provenance.INFERRED
    assert ScratchesOperator().spec.provenance == Provenance.BORROWED
    assert ScratchesOperator(invent=True).spec.provenance == Provenance.INFERRED


def test_an_accepted_fix_alone_is_made_and_a_rejected_one_is_left_to_the_engine() -> None:
    frames, _, analysis = usual()
    operator = ScratchesOperator()
    plain = made(frames, analysis, FIRST + 3)
    name = plain.records[0].id
    decided = operator.decided(analysis, {"rejected": [name]})
    assert "decisions" not in analysis
    there = made(frames, decided, FIRST + 3)
    assert plain.records[0].applied and there.records == plain.records
    assert np.array_equal(there.pixels, plain.pixels)
    strict = {**analysis, "tracks": [{**t, "why": "w"} for t in analysis["tracks"]]}  # type: ignore[attr-defined]
    accepted = operator.decided(strict, {"accepted": [name]})
    again = made(frames, accepted, FIRST + 3)
    assert np.array_equal(again.pixels, plain.pixels)
    other = made(frames, accepted, FIRST + 4)
    assert np.array_equal(other.pixels, frames[FIRST + 4])


def test_what_the_file_keeps_comes_back() -> None:
    _, _, analysis = usual()
    for document in analysis["tracks"]:  # type: ignore[attr-defined]
        assert json.loads(json.dumps(track_of(document).as_json())) == document


def test_evidence_is_for_lines_and_not_for_steps() -> None:
    rng = np.random.default_rng(1)
    luma = (0.4 + 0.01 * rng.standard_normal((H, W))).astype(np.float32)
    luma[:, 40] += 0.03
    luma[:, 90:] += 0.1
    levels = evidence_of(luma, Strips.of(H))[1].astype(np.float64) / LEVELS_PER_DEVIATION
    assert levels[:, 40].mean() > 2.5
    assert np.abs(levels[:, 88:93].mean(axis=0)).max() < 1.0


def test_a_path_is_the_best_of_all_paths() -> None:
    """Against every path there is, on a film so small that all can be tried."""
    rng = np.random.default_rng(5)
    steps, width = 5, 5
    film_ = rng.integers(-60, 120, (steps, width)).astype(np.int8)
    gains = follow._gains(1)
    scores, _ = follow._forward(film_, gains, per_frame=100)
    turn = {-1: follow._TURN, 0: 0.0, 1: follow._TURN}
    jump = dict(zip(range(-3, 4), follow._JUMP, strict=True))

    def best(step: int, x: int) -> float:
        own = float(gains[int(film_[step, x]) + 128])
        before = 0.0
        if step:
            moves = jump if step % 100 == 0 else turn
            for dx, price in moves.items():
                if 0 <= x + dx < width:
                    before = max(before, best(step - 1, x + dx) - price)
        return max(before + own, 0.0)

    want = [[best(s, x) for x in range(width)] for s in range(steps)]
    assert np.allclose(scores, want, atol=1e-4)


def test_filters_read_strength_and_place_without_error() -> None:
    shape = profile.gaussian_profile(0.9, 1.0)
    filters = profile.row_filters(shape)
    u = np.arange(-filters.half, filters.half + 1, dtype=np.float64)
    for phase in (0, 3, 8):
        center = phase / profile.PHASES - 0.5
        row = 0.3 + 0.05 * shape.at(u - center - 0.02)[:, 0]
        for rough in range(len(profile.ROUGHNESS)):
            strength, moved = filters.taps[rough, phase] @ row
            assert strength == pytest.approx(0.05, rel=0.01)
            assert moved / strength == pytest.approx(0.02, abs=0.003)


def test_a_profile_passes_through_its_samples() -> None:
    values = np.random.default_rng(2).random((3, 4 * 2 * 4 + 1))
    values[:, 0] = values[:, -1] = 0
    shape = profile.Profile(values)
    samples = np.arange(-4 * 4 + 1, 4 * 4) / profile.STEPS
    assert np.allclose(shape.at(samples), values[:, 1:-1].T)
    assert not shape.at(np.array([-4.0, 4.0, 9.0])).any()


def test_a_straight_line_is_smooth_already() -> None:
    line = 0.05 + 0.0001 * np.arange(500)
    assert np.allclose(film.film_smoothed(line, np.full(500, 0.01)), line, atol=1e-6)
    rng = np.random.default_rng(4)
    noisy = line + 0.01 * rng.standard_normal(500)
    smooth = film.film_smoothed(noisy, np.full(500, 0.01))
    assert np.std(smooth - line) < 0.25 * np.std(noisy - line)


def test_ends_without_a_scratch_are_cut_off() -> None:
    rng = np.random.default_rng(6)
    own = 0.005 * rng.standard_normal(40)
    own[10:30] += 0.05
    beside = 0.005 * rng.standard_normal((40, 4))
    full = np.full(40, 0.005)
    course = Course(0, np.full(40, 9.0), own, full, own, full, beside, np.zeros((40, 5)))
    (kept,) = film.trimmed({0: course}).values()
    assert (kept.first, kept.stop) == (10, 30)


@pytest.mark.parametrize(
    "params", [{"threshold": 2.0}, {"radius": 9}, {"radius": True}, {"invent": 1}]
)
def test_parameters_out_of_range_are_refused(params: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(params))):
        ScratchesOperator(**params)  # type: ignore[arg-type]


def test_it_is_made_by_name() -> None:
    assert isinstance(make_operator("scratches", {"threshold": 0.7}), ScratchesOperator)


def test_a_candidate_of_which_nothing_stands_up_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a weak line all strips may be cut off again; the shot goes on without it."""
    frames, _, _ = usual()
    monkeypatch.setattr(scratch_shot, "trimmed", lambda courses: {})
    found = ScratchesOperator().analyse(lambda n: frames[n], sorted(frames), FACTS)
    assert found == {"tracks": []}


def test_short_and_small_shots_are_left_alone() -> None:
    frames, _, _ = usual()
    operator = ScratchesOperator()
    assert tracks_of(operator.analyse(lambda n: frames[n], [FIRST], FACTS)) == ()
