"""Training and fitting of dirt: material, labels, losses and figures against brute force."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the torch extra")

from wetgate.operators.dirt.net import INPUTS, QUIET
from wetgate.simulate import DamagedShot, DamageSpec, DirtSpec, GrainSpec
from wetgate.train import dirt_calibration as fits
from wetgate.train.generated import fine_lines, generated_picture
from wetgate.train.pictures import Pictures
from wetgate.train.task import Batch, load_recipe
from wetgate.train.tasks import _dirt_clips, dirt
from wetgate.train.tasks._dirt_clips import CLEAN, DIRT, UNSURE, labels_of, make_clip
from wetgate.train.tasks._dirt_scenes import Scene
from wetgate.train.tasks.dirt import Task, average_precision, best_f1


def small(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_dirt_clips, "SIZE", (128, 112))
    patch.setattr(_dirt_clips, "_ROOM", 48)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    with pytest.MonkeyPatch.context() as patch:
        small(patch)
        patch.setattr(dirt, "_PER_SHARD", 1)
        patch.setattr(dirt, "CENTERS", (3,))
        patch.setenv("WETGATE_TEST_DATA", str(tmp_path_factory.mktemp("nothing")))
        made = Task(clips=1)
        made.prepare(tmp_path_factory.mktemp("shards"), Pictures([]), seed=3)
    return made


def test_batches_depend_on_the_generator_alone(task: Task) -> None:
    one, two = (task.batch(np.random.default_rng(5), 3) for _ in range(2))
    assert np.array_equal(one.x, two.x) and np.array_equal(one.target, two.target)
    assert not np.array_equal(one.x, task.batch(np.random.default_rng(6), 3).x)
    assert one.binary and one.x.shape[1] == len(INPUTS)
    assert set(np.unique(one.target)) <= {0.0, 1.0}
    # What does not stand out starts from certainty, and what does from the classical logit.
    assert np.array_equal(one.base, 4.0 * one.x[:, 10:11]) and one.base.min() == QUIET


def test_only_what_stands_out_and_is_known_is_learned(task: Task) -> None:
    made = task.batch(np.random.default_rng(5), 6)
    assert made.weight is not None and made.weight.max() <= 1.0
    asked = made.weight > 0
    assert asked.any() and np.all(made.x[:, 10:11][asked] > 0.25 * QUIET)
    for one in made.weight:
        counted = np.unique(one[one > 0])
        assert len(counted) <= 1  # all of a patch alike
        if counted.size:
            # As much as of so many where few stand out, by the root where many do.
            count = int((one > 0).sum())
            assert counted[0] == pytest.approx(min(1.0, (64 / count) ** 0.5))


def test_a_scene_moves_as_it_was_drawn() -> None:
    rng = np.random.default_rng(3)
    moved = set()
    for _ in range(24):
        scene = Scene(rng, Pictures([]), size=(96, 64), frames=3, room=40, held=False)
        first, second = scene(0), scene(1)
        assert first.shape == (64, 96, 3) and first.min() >= 0.0
        assert np.array_equal(first, scene(0))
        moved.add(bool(np.abs(first - second).max() > 0))
    assert moved == {True, False}


def test_fine_lines_are_fine_and_stay_in_range() -> None:
    steps = []
    for seed in range(12):
        chart = fine_lines(np.random.default_rng(seed), 96)
        assert chart.shape == (96, 96, 3) and chart.dtype == np.float32
        assert chart.min() >= 0.0 and chart.max() <= 1.0
        assert np.array_equal(chart, fine_lines(np.random.default_rng(seed), 96))
        steps.append(np.abs(np.diff(chart[..., 1], axis=1)).mean() / chart.std())
    smooth = generated_picture(np.random.default_rng(1), 96)
    # A wave of period p has a mean step of about 4 sqrt(2) / p of its deviation.
    assert np.median(steps) > 0.25
    assert np.abs(np.diff(smooth[..., 1], axis=1)).mean() / smooth.std() < np.median(steps)


def test_a_clip_is_made_again_from_its_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)
    one, two = (make_clip(np.random.default_rng(4), Pictures([]), action="birds") for _ in range(2))
    assert np.array_equal(one.pixels, two.pixels) and np.array_equal(one.labels, two.labels)
    assert {CLEAN, DIRT} <= set(np.unique(one.labels))
    clean = make_clip(np.random.default_rng(4), Pictures([]), action="rain", dirty=False)
    assert not clean.labels.any()


def test_labels_are_those_of_what_shows() -> None:
    plain = np.full((80, 100, 3), 0.18, np.float32)
    dirty = DirtSpec(specks=12, opacity=(0.9, 1.0))
    spec = DamageSpec(seed=5, grain=GrainSpec(), dirt=dirty)
    frame = DamagedShot(lambda _: plain, spec)[1]
    labels = labels_of(frame)
    truth = frame.truth
    assert np.array_equal(labels != CLEAN, truth.matte)
    assert truth.grain_sigma is not None
    change = (np.abs(frame.pixels - truth.undirtied) / truth.grain_sigma).max(axis=2)
    assert (labels == DIRT).sum() > 50 and change[labels == DIRT].min() > 1.0
    full = truth.dirt_coverage > 0.85
    assert np.all(labels[full & (change > 3.0)] == DIRT)
    faint = truth.matte & (truth.dirt_coverage < 0.05)
    assert np.all(labels[faint] == UNSURE)
    quiet = replace(spec, dirt=replace(dirty, opacity=(0.001, 0.002)))
    assert not (labels_of(DamagedShot(lambda _: plain, quiet)[1]) == DIRT).any()


def test_the_binary_loss_is_the_cross_entropy() -> None:
    import torch
    from wetgate.train.loop import _loss

    rng = np.random.default_rng(2)
    base = rng.normal(0, 2, (2, 1, 8, 8)).astype(np.float32)
    target = (rng.uniform(size=base.shape) < 0.4).astype(np.float32)
    weight = rng.uniform(0, 1, base.shape).astype(np.float32)
    change = rng.normal(0, 9, base.shape).astype(np.float32)

    class Fixed(torch.nn.Module):
        def forward(self, _: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(change)

    batch = Batch(x=base, base=base, target=target, weight=weight, limit=8.0, binary=True)
    p = 1 / (1 + np.exp(-(base.astype(np.float64) + np.clip(change, -8, 8))))
    want = np.mean(weight * -(target * np.log(p) + (1 - target) * np.log1p(-p)))
    got = float(_loss(Fixed(), batch, "cpu", False))  # type: ignore[arg-type]
    assert got == pytest.approx(want, rel=1e-4)


def test_figures_equal_brute_force() -> None:
    rng = np.random.default_rng(8)
    truth = rng.uniform(size=200) < 0.3
    scores = (truth + rng.normal(0, 0.8, 200)).astype(np.float32)
    f1, precision = [], []
    for t in np.unique(scores):
        called = scores >= t
        right = (called & truth).sum()
        f1.append(2 * right / (called.sum() + truth.sum()))
    for t in scores[truth]:
        called = scores >= t
        precision.append((called & truth).sum() / called.sum())
    assert best_f1(scores, truth) == pytest.approx(max(f1))
    assert average_precision(scores, truth) == pytest.approx(np.mean(precision))


def test_a_fit_of_one_switch_gives_the_odds() -> None:
    switch = np.repeat([0.0, 1.0], 500)
    is_so = np.concatenate([np.arange(500) < 100, np.arange(500) < 400]).astype(np.float64)
    fitted = fits.fit([switch], is_so, 1e-9, ("switch",))
    assert fitted([np.array([0.0, 1.0])]) == pytest.approx([0.2, 0.8], abs=1e-3)


def test_the_calibration_error_is_the_gap() -> None:
    sure = np.array([0.95] * 10 + [0.25] * 20)
    is_so = np.array([1] * 8 + [0] * 2 + [1] * 5 + [0] * 15, np.int8)
    want = (10 * abs(0.95 - 0.8) + 20 * abs(0.25 - 0.25)) / 30
    assert fits.calibration_error(sure, is_so) == pytest.approx(want)


def test_a_calibration_keeps_what_is_not_fitted_again(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    first = fits.fit([np.array([0.0, 1.0] * 9)], np.array([0.0, 1.0, 1.0] * 6), 1e-3, ("a",))
    fits.write(path, {"pixel": first}, {"pixel": {"clips": 3}})
    fits.write(path, {"other": first}, {})
    text = path.read_text("utf-8")
    assert '"pixel"' in text and '"other"' in text and '"clips": 3' in text


def test_a_shot_is_clean_when_no_blob_may_be_dirt() -> None:
    def shot(*kinds: int) -> list[fits.FrameBlobs]:
        of = np.array(kinds, np.int8)
        none = fits.looks_of(np.zeros((4, 5), np.int32), 0, np.zeros((4, 5, 6), np.float32))
        return [fits.FrameBlobs(none, of[:1], (4, 5)), fits.FrameBlobs(none, of[1:], (4, 5))]

    assert fits.is_clean(shot()) and fits.is_clean(shot(0, 0, 0))
    assert not fits.is_clean(shot(0, 0, 1)) and not fits.is_clean(shot(-1, 0))


def test_the_committed_recipe_makes_its_task() -> None:
    recipe = load_recipe("wg-dirt")
    net = recipe.make_task().make_net()
    assert sum(p.numel() for p in net.parameters()) < 300_000
