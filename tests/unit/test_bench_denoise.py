"""The denoise benchmark: its noise, its search, its runner and its arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from wetgate.bench import denoise
from wetgate.bench.denoise_clips import (
    CONDITIONS,
    DARK_CONDITIONS,
    GRAIN,
    SCORED,
    CleanClip,
    NoisyClip,
    add_noise,
    cropped,
    dead_leaves,
    night,
)
from wetgate.bench.denoise_peers import Filtered, Peer, grain_spectrum, range_of
from wetgate.bench.denoise_search import Best, Score, ScoreCache, best_of_peer, climb
from wetgate.bench.streaming import run_streaming
from wetgate.bench.table import BenchRow, BenchTable
from wetgate.operators.base import Footprint, OperatorSpec, Provenance, SourceFacts
from wetgate.operators.denoise.operator import DenoiseOperator
from wetgate.operators.verbs import run_operator
from wetgate.simulate.film import GrainSpec, grain_field

_BY_NAME = {c.name: c for c in CONDITIONS}


def _gray(value: float = 0.5, frames: int = 9, size: tuple[int, int] = (48, 64)) -> CleanClip:
    return CleanClip("gray", np.full((frames, *size, 3), value, np.float32))


# noise


@pytest.mark.parametrize("sigma", [10, 20, 40])
def test_float_noise_has_its_deviation_and_is_not_cut(sigma: int):
    case = add_noise(_gray(1.0), _BY_NAME[f"sigma {sigma}, float"])
    assert float((case.noisy - case.clean).std()) == pytest.approx(sigma / 255, rel=0.01)
    assert case.noisy.max() > 1.0 + 2 * sigma / 255
    assert case.sample_type == "float"


def test_clipped_noise_is_8_bit_codes_and_loses_half_at_black():
    case = add_noise(_gray(0.0), _BY_NAME["sigma 20, 8-bit"])
    codes = case.noisy.astype(np.float64) * 255
    assert np.allclose(codes, np.rint(codes), atol=1e-4)
    assert case.noisy.min() == 0.0
    # the mean of max(z, 0): s / sqrt(2 pi)
    assert codes.mean() == pytest.approx(20 / np.sqrt(2 * np.pi), rel=0.02)


def test_grain_is_what_its_law_says_in_10_bit_codes():
    case = add_noise(_gray(0.4, frames=12), GRAIN)
    codes = case.noisy.astype(np.float64) * 1023
    assert np.allclose(codes, np.rint(codes), atol=1e-3)
    measured = (case.noisy - case.clean).std(axis=(0, 1, 2))
    assert np.allclose(measured, GrainSpec().sigma(case.clean[0, :1, :1])[0, 0], rtol=0.04)
    assert np.allclose(case.sigma, measured, rtol=0.04)


def test_noise_repeats_itself_and_differs_from_frame_to_frame():
    first, again = (add_noise(_gray(), _BY_NAME["sigma 10, float"]).noisy for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first[0], first[1])


def test_spectrum_told_to_a_peer_is_that_of_the_grain():
    spec = GrainSpec(radius=1.1)
    size = 128, 160  # large against the grain: fields do not wrap, the DFT does
    power = np.mean(
        [
            np.abs(np.fft.fft2(grain_field(spec, 5, n, size)[..., 0].astype(np.float64))) ** 2
            for n in range(40)
        ],
        axis=0,
    )
    told = grain_spectrum(spec, *size)
    assert told.mean() == pytest.approx(size[0] * size[1], rel=1e-6)
    low = np.ix_(np.arange(-8, 9), np.arange(-10, 11))
    assert power[low].mean() == pytest.approx(told[low].mean(), rel=0.05)
    assert power[48:80, 64:96].mean() < 0.05 * power[low].mean()


def test_a_night_has_a_mean_code_of_30_and_deep_blacks():
    frames = np.stack([dead_leaves((64, 48), seed=s) for s in (1, 2)])
    dark = night(CleanClip("day", frames))
    assert dark.dark
    assert dark.frames.mean() * 255 == pytest.approx(30, abs=0.01)
    assert np.mean(dark.frames == 0) > 0.05
    assert np.all(np.diff(dark.frames.ravel()[np.argsort(frames.ravel())]) >= -1e-6)


def test_dark_clips_meet_the_clipped_conditions_alone():
    cases = denoise.plan([_gray(), replace(_gray(), name="n", dark=True)], quick=False)
    assert {c for clip, c in cases if clip.dark} == set(DARK_CONDITIONS)
    assert {c for clip, c in cases if not clip.dark} == set(CONDITIONS)
    assert all(c.bits == 8 and c.sigma >= 20 for c in DARK_CONDITIONS)


def test_cropping_takes_the_middle():
    frames = np.zeros((2, 10, 12, 3), np.float32)
    frames[:, 3:7, 4:8] = 1
    assert cropped(frames, 4, 4).shape == (2, 4, 4, 3)
    assert cropped(frames, 4, 4).min() == 1


def test_transport_holds_the_whole_range():
    case = add_noise(_gray(1.0), _BY_NAME["sigma 40, float"])
    span = range_of(case)
    for top in (255, 65535):
        codes = span.codes(case.noisy, top)
        assert codes.min() >= 0 and codes.max() <= top
        back = span.pixels(codes, top)
        assert np.abs(back - case.noisy).max() <= 0.51 * span.span / top


# search


@pytest.mark.parametrize("top", [-7, -2, 0, 1, 6])
def test_the_climb_brackets_the_best(top: int):
    found = climb(lambda step: -float((step - top) ** 2), first=2)
    assert max(found, key=lambda step: found[step] or 0.0 if step == top else -1e9) == top
    assert {top - 1, top, top + 1} <= set(found)


def test_the_climb_stops_at_the_end_of_the_range():
    found = climb(lambda step: float(step) if step <= 3 else None, first=1)
    assert found[3] == 3.0
    assert found[4] is None
    assert 5 not in found


@dataclass
class _Blend:
    """A peer whose result is the truth plus an error that is least at one strength."""

    best: float
    calls: int = 0

    def __call__(self, case: NoisyClip, wanted: Sequence[int], strength: float) -> Filtered:
        self.calls += 1
        error = np.float32(0.01 + 0.05 * abs(np.log(strength / self.best)))
        return Filtered(frames=tuple(case.clean[i] + error for i in wanted), cpu_seconds=0.5)


def _peer(run: _Blend, **facts: object) -> Peer:
    made = Peer(name="blend", version="1", run=run, start=lambda _: 1.0, factor=1.25)
    return replace(made, **facts)  # type: ignore[arg-type]


def test_each_peer_gets_its_best_strength():
    case = add_noise(_gray(), _BY_NAME["sigma 10, float"])
    run = _Blend(best=1.25**4)
    best = best_of_peer(case, _peer(run), ScoreCache(None))
    assert best.strength == pytest.approx(1.25**4)
    assert best.score.psnr == pytest.approx(40.0, abs=1e-3)
    assert best.score.flicker == pytest.approx(0.0, abs=1e-4)
    assert not best.at_end
    ended = best_of_peer(case, _peer(run, highest=1.6), ScoreCache(None))
    assert ended.strength == pytest.approx(1.25**2)
    assert ended.at_end


def test_scores_are_kept_by_everything_that_decides_them(tmp_path: Path):
    case = add_noise(_gray(), _BY_NAME["sigma 10, float"])
    run = _Blend(best=1.0)
    cache = ScoreCache(tmp_path)
    first = cache.measure(case, _peer(run), 1.0, SCORED)
    again = ScoreCache(tmp_path).measure(case, _peer(run), 1.0, SCORED)
    assert run.calls == 1
    assert again == replace(first, cached=True) and not first.cached
    other = replace(case, noisy=case.noisy + np.float32(1e-3))
    cache.measure(other, _peer(run), 1.0, SCORED)
    cache.measure(case, _peer(run), 1.1, SCORED)
    cache.measure(case, _peer(run, version="2"), 1.0, SCORED)
    cache.measure(case, _peer(run, name="other"), 1.0, SCORED)
    cache.measure(case, _peer(run), 1.0, SCORED[:1])
    assert run.calls == 6


# the runner


@dataclass(frozen=True)
class _Mix:
    """A stage that uses everything a window has: neighbours, surveys, the stage before."""

    radius: int
    halo: int

    @property
    def footprint(self) -> Footprint:
        return Footprint(temporal_radius=self.radius, halo=self.halo)

    def survey_frame(self, whole, analysis, facts):
        return float(whole.mean())

    def survey_pair(self, here, there):
        return here - 2 * there

    def __call__(self, window, analysis, facts):
        total = np.zeros_like(window.center)
        for k, (pixels, valid) in enumerate(zip(window.pixels, window.valid, strict=True)):
            if valid:
                total += np.roll(pixels, k - self.radius, axis=1) * np.float32(k + 1)
                if window.pairs[k] is not None:
                    total += np.float32(window.pairs[k])
        for previous in window.previous:
            total += np.roll(previous, 1, axis=0) * np.float32(1 / 3)
        return np.ascontiguousarray(total[window.tile.within(window.region)])


@dataclass(frozen=True)
class _TwoStages:
    spec = OperatorSpec(
        name="mix",
        version=1,
        footprint=Footprint(temporal_radius=3, halo=5),
        working_space="log",
        provenance=Provenance.FILTERED,
    )
    stages = (_Mix(2, 3), _Mix(1, 2))

    def analyse(self, read, frames, facts):
        return {"mean": float(np.mean([read(n).mean() for n in frames]))}


@pytest.mark.parametrize("operator", [_TwoStages(), DenoiseOperator(radius=1, step=6, net="none")])
def test_the_shared_run_gives_the_bits_of_the_plain_one(operator):
    rng = np.random.default_rng(2)
    still = rng.random((24, 40, 3), dtype=np.float32)
    frames = {
        n: still + rng.normal(0, 0.05, still.shape).astype(np.float32) for n in range(101, 108)
    }
    facts = SourceFacts(sample_type="float", width=40, height=24, channels=3, is_log_working=False)
    streamed = run_streaming(operator, frames, (101, 104, 105), facts)
    assert sorted(streamed.frames) == [101, 104, 105]
    for number in (101, 104, 105):
        plain = run_operator(operator, frames, number, facts=facts)
        assert np.array_equal(streamed.frames[number], plain)
    assert streamed.cpu_seconds >= 0.0


# the table


def _case(clip: str, ours: float, theirs: float, flicker: tuple[float, float, float], **facts):
    def best(name: str, psnr: float, flicker: float) -> Best:
        peer = replace(_peer(_Blend(best=1.0)), name=name)
        score = Score(psnr=psnr, flicker=flicker, cpu_seconds=7.0, cached=True)
        return Best(peer=peer, strength=0.5, score=score)

    return denoise.Case(
        clip=replace(_gray(), name=clip, dark=facts.get("dark", False)),
        condition=facts.get("condition", CONDITIONS[1]),
        digest="xxh128:0",
        width=64,
        height=48,
        noisy=Score(psnr=22.0, flicker=28.0, cpu_seconds=0.0),
        wetgate=Score(psnr=ours, flicker=flicker[0], cpu_seconds=0.3),
        plain=Score(psnr=ours - 0.2, flicker=flicker[0], cpu_seconds=0.3),
        best=best("strong", theirs, flicker[1]),
        calmest=best("calm", theirs - 1, flicker[2]),
        helped=(),
    )


def test_goals_are_judged_as_they_are_stated():
    cases = [
        _case("a", 33.0, 31.0, (4.0, 8.0, 6.0)),
        _case("b", 30.4, 30.0, (5.0, 10.0, 10.0)),
        _case("c", 36.0, 31.5, (2.0, 5.0, 4.0), dark=True, condition=DARK_CONDITIONS[0]),
    ]
    table = denoise.table(cases, ["d: not there"])
    rows = {row.case: row for row in table.rows}
    assert rows["a | sigma 20, float"].reached is True
    assert rows["b | sigma 20, float"].reached is False
    assert rows["c | sigma 20, 8-bit"].reached is True
    over_twin = rows["networks over the classical passes (3 clips)"]
    assert over_twin.wetgate == pytest.approx(0.2) and over_twin.reached is True
    overall = rows["mean gain over all clips (2 clips)"]
    assert overall.wetgate == pytest.approx(1.2) and overall.reached is False
    assert overall.interval is not None
    assert overall.interval[0] == pytest.approx(0.4) and overall.interval[1] == pytest.approx(2.0)
    worst = rows["worst clip: b | sigma 20, float"]
    assert worst.wetgate == pytest.approx(0.4) and worst.reached is False
    assert rows["mean gain, dark clipped 8-bit (1 clips)"].wetgate == pytest.approx(4.5)
    flicker = rows["flicker under the best peer's"]
    assert flicker.wetgate == pytest.approx(100 * (0.5 + 0.5 + 0.6) / 3)
    assert flicker.reached is True
    calmest = rows["flicker under the least of any peer"]
    assert calmest.wetgate == pytest.approx(100 * (1 / 3 + 0.5 + 0.5) / 3)
    assert calmest.reached is False
    assert rows["clips skipped"].wetgate == 1 and "d: not there" in rows["clips skipped"].note


def test_clips_not_cases_are_what_is_resampled():
    cases = [
        _case("a", 32.0, 31.0, (4.0, 8.0, 8.0)),
        _case("a", 36.0, 33.0, (4.0, 8.0, 8.0), condition=GRAIN),
        _case("b", 32.0, 31.0, (4.0, 8.0, 8.0)),
    ]
    rows = {row.case: row for row in denoise.table(cases, []).rows}
    assert rows["mean gain over all clips (2 clips)"].wetgate == pytest.approx(1.5)


def test_extra_figures_become_columns_and_empty_ones_go():
    rows = (
        BenchRow(case="one", wetgate=1.0, extra={"flicker": 2.5, "by whom": "me"}),
        BenchRow(case="two", wetgate=2.0),
    )
    head, _, first, *_ = BenchTable(name="t", rows=rows).to_text().splitlines()
    assert head.split() == ["case", "wetgate", "flicker", "by", "whom"]
    assert first.split() == ["one", "1", "ms", "2.5", "me"]


def test_published_clips_that_are_absent_are_counted(tmp_path: Path):
    from wetgate.bench.denoise_clips import clips

    found, skipped = clips(tmp_path, ("city", "aspen"))
    assert found == []
    assert [s.split(":")[0] for s in skipped] == ["city", "aspen"]


# peers that need the bench extra


def test_the_way_through_ffmpeg_loses_nothing():
    pytest.importorskip("imageio_ffmpeg", reason="comes with the bench extra")
    from wetgate.bench.denoise_ffmpeg import pipe

    codes = np.random.default_rng(4).integers(0, 65536, (3, 16, 24, 3)).astype("<u2")
    back, seconds = pipe("format=gbrp16,null", codes)
    assert np.array_equal(back, codes)
    assert seconds >= 0.0


@pytest.mark.parametrize("told", ["BM3D", "BM3D, true spectrum"])
def test_bm3d_removes_the_grain_it_is_told_of(told: str):
    pytest.importorskip("bm3d", reason="comes with the bench extra")
    from wetgate.bench.denoise_peers import bm3d_peers

    case = add_noise(_gray(0.4, size=(40, 48)), GRAIN)
    peer = next(p for p in bm3d_peers(case) if p.name == told)
    done = peer.run(case, (4,), peer.start(case))
    before = (case.noisy[4] - case.clean[4]).std()
    after = (done.frames[0] - case.clean[4]).std()
    assert after < 0.45 * before
    assert done.frames[0].dtype == np.float32
