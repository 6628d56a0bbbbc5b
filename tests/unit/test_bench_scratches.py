"""The scratch bench: what its numbers mean, on material small enough to know the answer."""

from __future__ import annotations

import numpy as np
import pytest
from wetgate.bench import scratch_peers, scratch_plates, scratches
from wetgate.bench.dirt.clips import FIRST, Plate
from wetgate.bench.scratches import Case, Seen, table, template, threshold_of


def case(plate: str, reduced: float, loss: float, false: int, found: int) -> Case:
    seen = Seen(
        frames=10, found=found, peers=dict.fromkeys(scratch_peers.DETECTORS, 2), reduced=reduced
    )
    return Case(
        plate=plate,
        kind="usual",
        scratches=(seen,),
        loss=loss,
        twin_loss=0.0,
        false=false,
        frames=50,
        altered=0.0,
        inside={"as scanned": 30.0, "wetgate": 36.0, "cv2 Telea": 32.0},
        cpu_seconds=0.1,
        analysis_seconds=0.2,
        digest=plate,
    )


def test_a_tenth_of_light_is_twenty_codes() -> None:
    assert abs(scratches.TENTH * 1023 - 20.7) < 0.01


def test_the_template_is_what_the_simulator_adds() -> None:
    frames = np.full((1, 64, 80, 3), 0.2, np.float32)
    spec = scratches.KINDS["usual"]
    from dataclasses import replace

    clip = scratches._clip(
        Plate("flat", "static", np.repeat(frames, 15, axis=0)), replace(spec, count=1.0), 23
    )
    told = 0
    for frame in clip.values():
        truth = frame.truth.scratches
        assert truth is not None
        total = sum((template(frame, s) * s.strength for s in truth.scratches), np.zeros((64, 80)))
        assert np.allclose(total, truth.add, atol=2e-3)
        told += bool(truth.scratches)
    assert told > 3
    assert FIRST in clip


def test_the_threshold_lets_no_more_through_than_the_goal() -> None:
    quiet: list[list[scratch_peers.Line]] = [[(float(k % 7), 3.0, 0.0)] for k in range(200)]
    quiet[0][0] = (9.0, 1.0, 0.0)
    quiet[1][0] = (8.0, 1.0, 0.0)
    least = threshold_of(quiet)
    assert sum(line[0] > least for frame in quiet for line in frame) == 2


@pytest.mark.parametrize("name", sorted(scratch_peers.DETECTORS))
def test_detectors_find_a_line(name: str) -> None:
    frame = 0.4 + 0.01 * np.random.default_rng(1).standard_normal((96, 128, 3)).astype(np.float32)
    frame[:, 50] -= 0.05
    score, x, slope = scratch_peers.DETECTORS[name](frame.astype(np.float32))[0]
    assert abs(x - 50) <= 1
    assert score > 6
    assert abs(slope) < 0.02


@pytest.mark.parametrize("name", sorted(scratch_peers.REPAIRS))
def test_repairs_touch_the_hole_alone(name: str) -> None:
    ramp = np.linspace(0.2, 0.6, 64, dtype=np.float32)
    frame = np.repeat(np.tile(ramp, (32, 1))[..., None], 3, axis=2)
    hole = np.zeros((32, 64), np.bool_)
    hole[:, 30:32] = True
    marred = frame.copy()
    marred[hole] += 0.3
    out = scratch_peers.REPAIRS[name](marred, hole)
    assert np.array_equal(out[~hole], marred[~hole])
    assert np.abs(out[hole] - frame[hole]).max() < 0.05


def test_rows_hold_the_goals() -> None:
    good = table([case("a", 0.95, 0.01, 0, 9), case("b", 0.93, 0.02, 0, 7)], ["city: absent"])
    rows = {r.case: r for r in good.rows}
    assert rows["usual: contrast taken away, of those found"].wetgate == pytest.approx(0.94)
    assert rows["usual: contrast taken away, of those found"].reached
    recall = rows["usual: recall, scratches times frames"]
    assert (recall.wetgate, recall.peer) == (pytest.approx(0.8), pytest.approx(0.2))
    assert rows["twins: false lines per 100 frames"].reached
    assert "city: absent" in rows["CPU time a frame, 256 x 192"].note
    bad = table([case("a", 0.5, 0.2, 3, 9)], [])
    rows = {r.case: r for r in bad.rows}
    assert rows["usual: contrast taken away, of those found"].reached is False
    assert rows["usual: px without scratches: PSNR lost"].reached is False
    assert rows["twins: false lines per 100 frames"].wetgate == pytest.approx(6.0)
    assert rows["twins: false lines per 100 frames"].reached is False


def test_facades_have_upright_edges_all_over() -> None:
    still, panned = scratch_plates.facades()
    assert (still.group, panned.group) == ("static", "moving")
    assert np.abs(np.diff(still.frames, axis=0)).max() < 1e-6
    assert np.abs(np.diff(panned.frames, axis=0)).max() > 0.01
    for plate in (still, panned):
        luma = plate.frames[0].mean(axis=2)
        edges = np.abs(np.diff(luma, axis=1)) > 0.05
        # A window of up to 27 px and up to 15 px to the next: two sides, two of the mullion.
        assert edges.any(axis=0).mean() > 4 / (27 + 15)
