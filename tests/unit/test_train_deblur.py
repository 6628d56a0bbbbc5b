"""Training material of the deblur network: made anew it is the same, and it fits the operator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the torch extra")

from wetgate.operators.deblur.classical import encode
from wetgate.operators.deblur.planes import INPUTS
from wetgate.train.pictures import Pictures
from wetgate.train.task import load_recipe
from wetgate.train.tasks import deblur
from wetgate.train.tasks.deblur import Task, from_code, noise_of_code, to_code


@pytest.fixture(autouse=True, scope="module")
def few_held_out() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deblur, "_HELD_OUT", 2)
        yield


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    made = Task(examples=6)
    made.prepare(tmp_path_factory.mktemp("shards"), Pictures([]), seed=3)
    return made


def test_batches_depend_on_the_generator_alone(task: Task, tmp_path: Path) -> None:
    again = Task(examples=6)
    again.prepare(tmp_path, Pictures([]), seed=3)
    one, two = (t.batch(np.random.default_rng(5), 4) for t in (task, again))
    assert np.array_equal(one.x, two.x) and np.array_equal(one.target, two.target)
    other = task.batch(np.random.default_rng(6), 4)
    assert not np.array_equal(one.x, other.x)


def test_shards_are_opened_again_and_made_anew_for_another_seed(tmp_path: Path) -> None:
    first = Task(examples=2)
    first.prepare(tmp_path, Pictures([]), seed=3)
    stamp = (tmp_path / "deblur.npy").stat().st_mtime_ns
    Task(examples=2).prepare(tmp_path, Pictures([]), seed=3)
    assert (tmp_path / "deblur.npy").stat().st_mtime_ns == stamp
    second = Task(examples=2)
    second.prepare(tmp_path, Pictures([]), seed=4)
    rng = np.random.default_rng
    assert not np.array_equal(first.batch(rng(1), 2).x, second.batch(rng(1), 2).x)


def test_planes_are_those_of_the_card(task: Task) -> None:
    batch = task.batch(np.random.default_rng(1), 5)
    assert batch.x.shape == (5, len(INPUTS), 64, 64)
    assert batch.base.shape == batch.target.shape == (5, 3, 64, 64)
    assert batch.limit is not None and (batch.limit > 0).all()
    # The base is the classical result, which the network sees too.
    assert np.array_equal(batch.x[:, 3:6], batch.base)
    assert task.card()["inputs"] == INPUTS
    # Sharpened is nearer to the truth than the source, in the mean.
    far = np.abs(batch.x[:, 0:3] - batch.target).mean()
    assert np.abs(batch.base - batch.target).mean() < far


def test_validation_of_a_silent_network_gives_the_twin(task: Task) -> None:
    figures = task.validate(lambda x: np.zeros((len(x), 3, *x.shape[2:]), np.float32))
    name = next(k for k in figures if k.startswith("Gaussian"))
    assert figures[name] == pytest.approx(figures[f"twin {name}"])
    assert figures[name] > figures["as blurred dB"] + 1.0


def test_codes_and_light_are_each_other_s_inverse() -> None:
    code = np.linspace(-0.02, 3.0, 400, dtype=np.float32)
    assert np.allclose(to_code(from_code(code)), code, atol=3e-6)


def test_noise_in_codes_is_noise_of_the_encoding() -> None:
    rng = np.random.default_rng(2)
    for gray in (0.1, 0.4, 0.9):
        code = gray + rng.standard_normal((200, 200, 3)).astype(np.float32) * np.float32(2 / 255)
        luma = encode(from_code(code)).mean(axis=2)
        level = encode(from_code(np.full((1, 1, 1), gray, np.float32)))[..., 0]
        assert noise_of_code(level, 2.0)[0, 0] == pytest.approx(float(luma.std()), rel=0.03)


def test_the_recipe_makes_the_task() -> None:
    recipe = load_recipe("wg-deblur")
    net = recipe.make_task().make_net()
    assert 100_000 < sum(p.numel() for p in net.parameters()) < 400_000
