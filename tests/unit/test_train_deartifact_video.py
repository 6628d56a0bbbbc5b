"""Scenes that the second network of deartifact learns from, and its task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="training is an extra")
pytest.importorskip("av", reason="coding needs PyAV")

from wetgate.train.pictures import Pictures
from wetgate.train.tasks import _scenes, deartifact_video
from wetgate.train.tasks._coded_clips import RATES, random_h264
from wetgate.train.tasks.deartifact import KINDS
from wetgate.train.tasks.deartifact_video import CODECS, Task, example, random_codec, random_coding

SIZE, COUNT = 64, 4


def _picture(side: int) -> NDArray[np.float32]:
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    gray = 0.5 + 0.2 * np.sin(0.31 * x) * np.cos(0.23 * y) + 0.1 * np.sin(0.9 * x + 0.4 * y)
    return np.repeat(gray[..., None], 3, axis=2).astype(np.float32)


def test_a_scene_is_decided_by_its_generator_and_stays_in_range() -> None:
    for seed in range(12):
        one, other = (
            _scenes.scene(np.random.default_rng(seed), _picture, SIZE, COUNT) for _ in range(2)
        )
        np.testing.assert_array_equal(one, other)
        assert one.shape == (COUNT, SIZE, SIZE, 3) and one.dtype == np.float32
        assert one.min() >= 0.0 and one.max() <= 1.0 and one.std() > 0.01


def test_a_chart_creeps_by_less_than_a_pixel_most_of_the_time() -> None:
    """Phase correlation, which knows nothing of the camera, finds the steps."""
    steps = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        layer = _scenes.Layer(_picture(_scenes.picture_size(SIZE)))
        frames = _scenes._shot(rng, [layer], SIZE, COUNT, slow=True)[..., 0]
        window = np.hanning(SIZE)[:, None] * np.hanning(SIZE)
        a, b = (np.fft.fft2((f - f.mean()) * window) for f in frames[:2])
        cross = np.fft.ifft2(a.conj() * b / (np.abs(a * b) + 1e-9)).real
        y, x = np.unravel_index(int(cross.argmax()), cross.shape)
        steps.append(max(min(y, SIZE - y), min(x, SIZE - x)))
        assert np.abs(frames[1] - frames[0]).max() > 0.0
    assert np.mean(np.array(steps) <= 1) > 0.8


def test_what_stands_in_front_covers_a_part_and_moves_before_the_rest() -> None:
    covered, moving = [], 0
    for seed in range(30):
        levels = iter([0.2] + 3 * [0.8])

        def flat(side: int, levels: Iterator[float] = levels) -> NDArray[np.float32]:
            return np.full((side, side, 3), next(levels), np.float32)

        frames = _scenes._in_depth(np.random.default_rng(seed), flat, SIZE, COUNT)
        front = np.abs(frames - 0.2).max(axis=3) > 1e-3
        covered.append(float(front.mean()))
        # The rear is flat: whatever changes is an edge of something in front.
        moving += bool((np.abs(frames[1] - frames[0]) > 1e-3).any())
        assert not (np.abs(frames[1] - frames[0]).max(axis=2) > 1e-3)[~front[0] & ~front[1]].any()
    assert 0.1 < np.mean(covered) < 0.7 and moving >= 20


def test_h264_is_drawn_in_many_ways_within_its_rates() -> None:
    rng = np.random.default_rng(1)
    specs = [random_h264(rng) for _ in range(200)]
    assert {s.codec for s in specs} == {"h264"} and len({s.preset for s in specs}) == 3
    assert {s.gop for s in specs} == {None, 12, 24} and {s.b_frames for s in specs} == {None, 0, 2}
    rates = np.array([s.crf for s in specs], np.float64)
    low, high = RATES["h264"]
    assert low <= rates.min() < low + 1.0 and high - 1.0 < rates.max() <= high
    codecs = [random_codec(rng) for _ in range(400)]
    assert set(codecs) == set(CODECS) and 0.8 < codecs.count("h264") / 400 < 0.95
    assert all(random_coding(rng, codec).codec == codec for codec in CODECS)


def test_an_example_is_of_the_codec_that_was_asked_for() -> None:
    made = example(np.random.default_rng(5), "mpeg2", _picture)
    assert KINDS[int(made["kind"])] == "mpeg2"
    assert made["x"].shape[0] == made["target"].shape[0] == deartifact_video._PICKS


def test_the_task_keeps_its_material_apart_and_starts_at_the_twin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deartifact_video, "_PER_SHARD", 1)
    monkeypatch.setattr(deartifact_video, "_HELD", 1)
    task = Task(width=4, deep=1, clips=1)
    task.prepare(tmp_path, Pictures([]), 1)
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {
        "deartifact-scene-seed1",
        "deartifact-held-scene-h264-seed1000003",
        "deartifact-held-scene-mpeg2-seed1000003",
    }
    batch = task.batch(np.random.default_rng(2), 2)
    assert batch.x.shape == (2, 19, 64, 64) and np.isfinite(batch.target).all()
    figures = task.validate(lambda x: np.zeros((len(x), 3, *x.shape[2:]), np.float32))
    assert set(figures) == {f"{t}{c} dB" for t in ("", "twin ") for c in CODECS}
    for codec in CODECS:
        assert figures[f"{codec} dB"] == pytest.approx(figures[f"twin {codec} dB"], abs=1e-9)
