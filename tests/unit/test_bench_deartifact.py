"""What the deartifact benchmark says of figures that are known beforehand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from wetgate.bench import deartifact, deartifact_peers
from wetgate.bench.deartifact import H264, OTHERS, Case, Condition, Score, gone, table
from wetgate.bench.deartifact_peers import Best, Filter, best_of
from wetgate.simulate.ycc import JPEG_CODING, Planes, video_coding


def _planes(value: int = 100, frames: int = 3) -> Planes:
    rng = np.random.default_rng(4)
    luma = rng.integers(value, value + 20, (frames, 32, 48), dtype=np.uint8)
    chroma = rng.integers(120, 136, (2, frames, 16, 24), dtype=np.uint8)
    return Planes(luma, chroma[0], chroma[1], video_coding("bt709"))


def _case(clip: str, blocking: float, gain: float = 0.5, condition: Condition = H264[0]) -> Case:
    coded = Score(psnr=30.0, blocking=1e-3, mosquito=2e-4)
    ours = Score(psnr=30.0 + gain, blocking=blocking, mosquito=5e-5)
    best = Best(name="ffmpeg spp", strength=8.0, planes=_planes(), at_end=False, cpu_seconds=0.1)
    return Case(
        clip=clip, condition=condition, digest="0", coded=coded,
        twin=replace(ours, psnr=30.2), net=ours, told=replace(ours, psnr=30.3), found=clip != "b",
        by_chance=-2e-5 if clip == "a" else 4e-5,
        peers=((best, replace(coded, psnr=30.1)), (replace(best, name="b"), coded)),
    )  # fmt: skip


def test_the_share_gone_is_that_of_sums_and_overshoot_counts() -> None:
    cases = [_case("a", 1e-4), _case("b", -3e-4)]
    assert gone(cases, lambda c: c.ours, lambda s: s.blocking) == pytest.approx(1 - 4e-4 / 2e-3)
    assert gone(cases, lambda c: c.coded, lambda s: s.blocking) == 0.0


def test_goals_are_read_on_h264_and_all_three_named() -> None:
    rows = {r.case: r for r in table([_case("a", 5e-5), _case("b", 1e-4)], ["x: absent"]).rows}
    name = H264[0].name
    assert rows[f"mean gain, {name} (2)"].wetgate == pytest.approx(0.5)
    assert rows[f"mean gain, {name} (2)"].reached is True
    assert rows[f"blocking gone, {name} (2)"].wetgate == pytest.approx(92.5)
    assert rows[f"blocking gone, {name} (2)"].reached is True
    assert "without a trace of a grid 97 %" in rows[f"blocking gone, {name} (2)"].note
    assert rows[f"mosquito noise gone, {name} (2)"].wetgate == pytest.approx(75.0)
    assert rows[f"network over its twin, {name} (2)"].wetgate == pytest.approx(0.3)
    assert rows[f"gain over the best peer, {name} (2)"].wetgate == pytest.approx(0.4)
    assert rows["clips skipped"].wetgate == 1.0
    assert rows[f'mean gain, {name}, blocks = "8" (2)'].wetgate == pytest.approx(0.3)
    assert rows[f"b | {name}"].extra["grid found"] == 0.0
    assert rows[f"a | {name}"].peer_name == "ffmpeg spp @ 8"
    low = table([_case("a", 5e-4, 0.1)], []).rows
    assert [r.reached for r in low if r.goal] == [False, False, False, True]
    other = table([_case("a", 5e-4, 0.1, OTHERS[0])], []).rows
    assert all(r.reached is None for r in other)


def test_the_best_strength_is_refined_between_its_neighbors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def pipe(graph: str, planes: Planes, names_range: bool) -> tuple[Planes, float]:
        asked.append(graph)
        shift = float(graph.split("=")[1].split(":")[0])
        return replace(planes, luma=planes.luma + np.uint8(round(shift))), 0.3

    monkeypatch.setattr(deartifact_peers, "_pipe", pipe)
    wanted = _planes().luma.astype(float) + 14
    best = best_of(
        Filter(name="f", graph="f={s}:t={t}", strengths=(4, 8, 16, 32)), _planes(), (0, 2),
        lambda p: -float(np.abs(p.luma - wanted).mean()),
    )  # fmt: skip
    assert best.strength == 12.0 or best.strength == 16.0
    assert asked[0] == "f=4:t=2" and "f=24:t=12" in asked and "f=12:t=6" in asked
    assert not best.at_end and best.cpu_seconds == pytest.approx(0.1)


def test_frames_come_back_from_ffmpeg_as_they_went() -> None:
    pytest.importorskip("imageio_ffmpeg", reason="ffmpeg comes with the bench extra")
    planes = _planes()
    back, seconds = deartifact_peers._pipe("null", planes)
    for name in ("luma", "blue", "red"):
        np.testing.assert_array_equal(getattr(back, name), getattr(planes, name))
    assert seconds >= 0.0


def test_every_filter_takes_codes_of_full_range() -> None:
    pytest.importorskip("imageio_ffmpeg", reason="ffmpeg comes with the bench extra")
    planes = replace(_planes(frames=1), coding=JPEG_CODING)
    for item in deartifact_peers.FILTERS:
        text = f"{item.strengths[0]:g}"
        graph = item.graph.replace("{s}", text).replace("{t}", text)
        back, _ = deartifact_peers._pipe(graph, planes, item.names_range)
        # A range taken for another would move the mean by ten codes or more.
        assert abs(float(back.luma.mean()) - float(planes.luma.mean())) < 2, item.name


def test_without_published_pictures_they_are_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("av", reason="coding needs PyAV")
    monkeypatch.setattr(deartifact, "measure_case", lambda c, k, quick: _case(c.name, 1e-4, 0.5, k))
    monkeypatch.setattr(
        deartifact, "clips", lambda folder, names: ([], [f"{n}: absent" for n in names])
    )
    rows = deartifact.run(data=tmp_path).rows
    assert rows[-1].case == "clips skipped" and rows[-1].wetgate == 6.0
