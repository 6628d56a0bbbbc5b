"""What the network of deartifact learns from, beside plain second ways to the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from wetgate.operators.deartifact import net

pytest.importorskip("torch", reason="training is an extra")
pytest.importorskip("av", reason="coding needs PyAV")

from wetgate.train.pictures import Pictures
from wetgate.train.tasks import deartifact
from wetgate.train.tasks.deartifact import KINDS, Task, example, example_of

SIDE = deartifact._SIZE


def _picture(side: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(4)
    y, x = np.mgrid[0:side, 0:side].astype(np.float64)
    picture = np.full((side, side, 3), 0.45)
    for _ in range(50):
        cx, cy, r = rng.uniform(0, side), rng.uniform(0, side), rng.uniform(3, 30)
        cover = 1 / (1 + np.exp((np.hypot(x - cx, y - cy) - r) / 0.6))[..., None]
        picture += cover * (rng.uniform(0.1, 0.9, 3) - picture)
    return (picture + 0.02 * np.sin(x * 0.9 + y * 0.5)[..., None]).astype(np.float32)


def _turned(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(frames.swapaxes(1, 2))


def _coded(clean: NDArray[np.float32]) -> NDArray[np.float32]:
    from wetgate.simulate.codec import CodecSpec, compress

    return compress(clean, CodecSpec(codec="jpeg", quality=20)).frames


def test_planes_of_a_turned_picture_are_the_turned_planes() -> None:
    clean = _picture(SIDE)[None]
    coded = _coded(clean)
    one = example_of(clean, coded, [0])
    other = example_of(_turned(clean), _turned(coded), [0])
    assert one is not None and other is not None
    want = one["x"][0][deartifact._TRANSPOSED].swapaxes(1, 2).astype(np.float32)
    got = other["x"][0].astype(np.float32)
    # The shifts of the transforms are no square, and the estimates look at x and y in turn.
    np.testing.assert_allclose(got[17:], want[17:], atol=1e-3)
    assert float(np.sqrt(np.mean((got - want) ** 2))) < 0.05
    assert float(np.sqrt(np.mean((got - one["x"][0].astype(np.float32)) ** 2))) > 0.3


def test_planes_of_a_clip_backwards_are_the_planes_with_neighbors_exchanged() -> None:
    picture = _picture(SIDE + 8)
    clean = np.stack([picture[n : n + SIDE, 2 * n : 2 * n + SIDE] for n in range(3)])
    coded = _coded(clean)
    one, other = example_of(clean, coded, [1]), example_of(clean[::-1], coded[::-1], [1])
    assert one is not None and other is not None
    want = one["x"][0][deartifact._REVERSED].astype(np.float32)
    np.testing.assert_allclose(other["x"][0].astype(np.float32), want, atol=2e-2)
    assert np.abs(want[3] - want[4]).max() > 0.1


def test_the_target_takes_the_classical_result_to_the_truth() -> None:
    clean = _picture(SIDE)[None]
    made = example_of(clean, _coded(clean), [0])
    assert made is not None
    planes, error = made["x"][0].astype(np.float64), float(made["error"])
    base = planes[0] / 4 + 0.5
    luma = clean[0].astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(base + error * made["target"][0, 0], luma, atol=2e-3)
    left = np.sqrt(np.mean(((luma - base) / error) ** 2))
    assert float(made["left"][0]) == pytest.approx(left, rel=0.01)


def test_a_clip_of_a_codec_is_of_that_codec() -> None:
    rng = np.random.default_rng(2)
    assert KINDS[int(example(rng, "mpeg2", _picture)["kind"])] == "mpeg2"
    assert KINDS[int(example(rng, "still", _picture)["kind"])] == "still"


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    made = Task(width=4, deep=1, stills=1, clips=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deartifact, "_PER_SHARD", 2)
        patch.setattr(deartifact, "_HELD", 1)
        made.prepare(Path(tmp_path_factory.mktemp("shards")), Pictures([]), 1)
    return made


def test_the_loss_is_the_square_of_what_is_left_in_units_of_the_twins(task: Task) -> None:
    batch = task.batch(np.random.default_rng(3), 4)
    assert batch.x.shape == (4, len(net.INPUTS), 64, 64)
    assert batch.unit is not None and batch.weight is not None
    # Patches start where blocks start.
    assert (batch.x[:, 17, :, 0] == 0.5).all() and (batch.x[:, 18, 0] == 0.5).all()
    wanted = batch.target / batch.unit
    left = 1e-3 / 6.0 / batch.unit[:, :1]
    small = 0.01 * left
    soft = 1e-3

    # A step of the network changes the loss as half the square in RMS errors would.
    def loss(correction: NDArray[np.float32]) -> NDArray[np.float64]:
        off = (batch.unit * (correction - wanted)).astype(np.float64)
        return batch.weight * np.sqrt(off * off + soft * soft)

    slope = (loss(wanted + small) - loss(wanted))[:, 0] / (0.5 * 0.01**2)
    np.testing.assert_allclose(slope, 1.0, rtol=0.02)
    color = (loss(wanted + small) - loss(wanted))[:, 1:] / (0.5 * 0.01**2)
    np.testing.assert_allclose(color, 0.2**2, rtol=0.02)


def test_no_correction_validates_as_the_twin(task: Task) -> None:
    figures = task.validate(lambda x: np.zeros((len(x), 3, *x.shape[2:]), np.float32))
    assert set(figures) == {f"{t}{k} dB" for t in ("", "twin ") for k in KINDS[:3]}
    for kind in KINDS[:3]:
        assert figures[f"{kind} dB"] == pytest.approx(figures[f"twin {kind} dB"], abs=1e-9)
