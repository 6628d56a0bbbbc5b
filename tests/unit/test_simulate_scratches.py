"""Scratches of the simulator against their declared laws."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from wetgate.simulate import (
    DamagedShot,
    DamageSpec,
    GrainSpec,
)
from wetgate.simulate.camera import film_grid
from wetgate.simulate.scratches import ScratchSpec, scratch_truth, scratches_on
from wetgate.simulate.weave import WeaveFrame, still

Pixels = NDArray[np.float32]


def picture(height: int = 60, width: int = 80, seed: int = 3) -> Pixels:
    rng = np.random.default_rng(seed)
    return (0.1 + 0.6 * rng.random((height, width, 3))).astype(np.float32)


def film_xy(width: int, height: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return film_grid(still((width, height)))


class TestScratches:
    def test_a_row_sums_to_the_closed_form(self) -> None:
        spec = ScratchSpec(count=1.0, life=20, lost_share=0.0, fading=0.6, lobes=0.4)
        x, y = film_xy(400, 50)
        seen = 0
        for number in range(0, 2400, 40):
            truth = scratch_truth(spec, 8, number, x, y)
            margin = [s for s in truth.scratches if 60 < s.center.min() <= s.center.max() < 340]
            if len(truth.scratches) != 1 or not margin:
                continue
            (scratch,) = margin
            expected = scratch.strength * scratch.sigma * math.sqrt(2 * math.pi) * (1 - 0.4)
            sums = truth.add.astype(np.float64).sum(axis=1)
            # Profiles are cut where they are below a thousandth.
            assert sums == pytest.approx(expected * scratch.amplitude, rel=5e-3, abs=1e-5)
            seen += 1
        assert seen >= 5

    def test_the_center_of_mass_follows_the_track(self) -> None:
        spec = ScratchSpec(count=1.0, life=200, lost_share=0.0, lobes=0.0, wander=4.0)
        x, y = film_xy(300, 60)
        for number in range(0, 24_000, 400):
            truth = scratch_truth(spec, 2, number, x, y)
            alone = len(truth.scratches) == 1 and (truth.scratches[0].amplitude > 0.2).all()
            if alone and 40 < truth.scratches[0].center.mean() < 260:
                break
        else:
            pytest.fail("no scratch alone on 60 frames")
        add = np.abs(truth.add.astype(np.float64))
        mass = (add * x).sum(axis=1) / add.sum(axis=1)
        assert mass == pytest.approx(truth.scratches[0].center, abs=5e-3)

    def test_it_goes_on_over_the_frame_line(self) -> None:
        spec = ScratchSpec(count=4, life=50)
        here, there = (
            {s.identity: s for s in scratches_on(spec, 6, n, (200, 120))} for n in (30, 31)
        )
        both = here.keys() & there.keys()
        assert both
        for identity in both:
            above, below = here[identity], there[identity]
            step = above.center[-1] - above.center[-2]
            assert below.center[0] == pytest.approx(above.center[-1] + step, abs=0.02)
            assert (above.sigma, above.strength) == (below.sigma, below.strength)

    def test_number_and_length_follow_the_declared_means(self) -> None:
        spec = ScratchSpec(count=3.0, life=12.0)
        lives: dict[tuple[int, int], float] = {}
        on_frame = []
        for number in range(1000, 1300):
            found = scratches_on(spec, 5, number, (64, 10))
            on_frame.append(sum(float((s.amplitude > 0).mean()) for s in found))
            for scratch in found:
                share = float((scratch.amplitude > 0).mean())
                lives[scratch.identity] = lives.get(scratch.identity, 0.0) + share
        # The cut at five times the mean takes 5 exp(-5) and what lies beyond: 0.7 % in all.
        assert np.mean(on_frame) == pytest.approx(3.0, rel=0.2)
        whole = [v for (block, _), v in lives.items() if 1000 <= block * 16 <= 1220]
        assert np.mean(whole) == pytest.approx(12.0, rel=0.25)

    def test_it_can_be_undone_but_where_the_picture_is_lost(self) -> None:
        spec = ScratchSpec(count=8, lost_share=0.4)
        x, y = film_xy(120, 60)
        truth = scratch_truth(spec, 3, 12, x, y)
        given = picture(60, 120)
        out = truth.apply(given)
        assert np.array_equal(
            out[(truth.keep == 1) & (truth.add == 0)], given[(truth.keep == 1) & (truth.add == 0)]
        )
        back = truth.undo(out)
        well = truth.keep > 0.05
        assert back[well] == pytest.approx(given[well], abs=1e-5)
        assert (truth.keep < 0.5).any()
        assert (truth.add < 0).any()

    def test_the_matte_is_where_codes_changed(self) -> None:
        base = DamageSpec(encoding="as-is", grain=GrainSpec(), seed=3)
        scratched = DamageSpec(
            encoding="as-is", grain=GrainSpec(), seed=3, scratches=ScratchSpec(count=5)
        )
        shot, plain = (DamagedShot(lambda _: picture(), s) for s in (scratched, base))
        frame = shot[7]
        assert np.array_equal(frame.truth.scratch_matte, (frame.pixels != plain[7].pixels).any(-1))
        assert frame.truth.scratch_matte.any()

    def test_scratches_move_with_the_film(self) -> None:
        spec = ScratchSpec(count=3, life=30, wander=0.0, fading=0.0, lobes=0.0)
        gate = WeaveFrame((3.0, 0.0), 0.0, np.zeros((2, 3)), (200, 40))
        straight = scratch_truth(spec, 3, 9, *film_xy(200, 40))
        moved = scratch_truth(spec, 3, 9, *film_grid(gate))
        assert straight.add.any() or (straight.keep < 1).any()
        assert moved.add[:, 3:] == pytest.approx(straight.add[:, :-3], abs=1e-6)
