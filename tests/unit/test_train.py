"""Training: reproducible, resumable, licensed, and what it exports is what it trained."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from wetgate.model.errors import InputError, RecipeError

torch = pytest.importorskip("torch", reason="training needs the torch extra")
pytest.importorskip("safetensors", reason="training needs the torch extra")

from wetgate.train import loop  # noqa: E402
from wetgate.train.export import export, weights_of  # noqa: E402
from wetgate.train.nets import Net, PlainNet, SmallUNet  # noqa: E402
from wetgate.train.pictures import (  # noqa: E402
    Pictures,
    evaluation_digests,
    photograph_records,
)
from wetgate.train.shards import make_shards  # noqa: E402
from wetgate.train.task import Batch, Planes, Predict, TrainingRecipe, load_recipe  # noqa: E402
from wetgate.train.tasks.denoise_data import (  # noqa: E402
    block_spectrum,
    correlated_field,
    draw_law,
)

RECIPE = TrainingRecipe(
    name="tiny-net", version=1, task="none", seed=3, steps=40, batch=4, rate=3e-3
)


class TinyTask:
    """Take a constant away: what a network learns in a few steps."""

    def make_net(self) -> Net:
        return PlainNet(3, 3, width=8, depth=2)

    def prepare(self, folder: Path, pictures: Pictures, seed: int) -> None:
        pass

    def batch(self, rng: np.random.Generator, count: int) -> Batch:
        x = rng.random((count, 3, 16, 16), dtype=np.float32)
        return Batch(x=x, base=x, target=x - np.float32(0.25))

    def validate(self, predict: Predict) -> dict[str, float]:
        batch = self.batch(np.random.default_rng(9), 4)
        error = batch.base + predict(batch.x) - batch.target
        return {"set dB": float(-10 * np.log10(np.mean(error**2))), "twin set dB": 12.04}

    def card(self) -> Mapping[str, object]:
        names = ("r", "g", "b")
        return {"task": "generic", "inputs": names, "outputs": names, "description": "tiny"}


def _run(folder: Path, steps: int = 40) -> loop.Trained:
    torch.set_num_threads(1)
    recipe = replace(RECIPE, steps=steps)
    return loop.train(recipe, TinyTask(), folder, every=20, device="cpu")


def _weights(trained: loop.Trained) -> list[Planes]:
    return [p.detach().numpy() for p in trained.net.parameters()]


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    first, second = _weights(_run(tmp_path / "a")), _weights(_run(tmp_path / "b"))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_run_broken_off_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _weights(_run(tmp_path / "whole"))
    steps = 0
    plain = TinyTask.batch

    def failing(self: TinyTask, rng: np.random.Generator, count: int) -> Batch:
        nonlocal steps
        steps += count == RECIPE.batch
        if steps > 30:
            raise KeyboardInterrupt
        return plain(self, rng, count)

    monkeypatch.setattr(TinyTask, "batch", failing)
    with pytest.raises(KeyboardInterrupt):
        _run(tmp_path / "broken")
    monkeypatch.undo()
    resumed = _weights(_run(tmp_path / "broken"))
    assert all(np.array_equal(a, b) for a, b in zip(whole, resumed, strict=True))
    assert [line["step"] for line in loop.read_log(tmp_path / "broken" / "log.jsonl")] == [40.0]


def test_it_learns(tmp_path: Path) -> None:
    start = TinyTask().validate(lambda x: np.zeros_like(x))["set dB"]
    assert _run(tmp_path, steps=300).figures["set dB"] > start + 10


@pytest.mark.parametrize(
    "net",
    [
        PlainNet(2, 1, width=4, depth=3, scale=2),
        SmallUNet(2, 1, width=4, deep=2),
        SmallUNet(2, 1, width=4, deep=1, scale=2),
    ],
)
def test_nothing_beyond_the_halo_reaches_a_pixel(net: Net) -> None:
    for p in net.parameters():
        torch.nn.init.uniform_(p, 0.01, 0.05)  # all positive: nothing cancels, no ReLU closes
    m, size = net.size_multiple, 2 * net.halo + 32
    size += -size % m
    x = torch.zeros(1, 2, size, size)
    middle = size // 2
    with torch.no_grad():
        plain = net(x)
        for dy in range(m):
            for dx in range(m):
                moved = x.clone()
                moved[..., middle + dy, middle + dx] = 1.0
                hit = ((net(moved) - plain)[0, 0] != 0).nonzero().numpy() // net.scale
                away = np.abs(hit - np.array([middle + dy, middle + dx])).max()
                assert net.halo - m - 4 <= away <= net.halo


def test_the_package_is_the_trained_network(tmp_path: Path) -> None:
    from wetgate.backends import load_session
    from wetgate.weights import open_package

    trained = _run(tmp_path / "run")
    export(tmp_path, RECIPE, TinyTask(), trained, Pictures([]))
    package = open_package(tmp_path / "tiny-net")
    package.verify()
    x = np.random.default_rng(1).random((2, 3, 20, 24), dtype=np.float32)
    with torch.no_grad():
        want = trained.net(torch.from_numpy(x)).numpy()
    got = load_session(package, backend="onnx").run(x)
    assert np.abs(got - want).max() < 1e-5
    assert package.card.parameters == sum(w.size for w in _weights(trained))
    assert package.card.quality[0].twin_value == 12.04
    again = weights_of(package)
    for name, value in trained.net.state_dict().items():
        assert torch.equal(again[name], value)


def test_no_evaluation_picture_is_on_record(shared_data: Path) -> None:
    listed = (shared_data / "SHA256SUMS").read_text("utf-8").splitlines()
    kept_apart = {line.split()[0] for line in listed if "eval/" in line}
    assert kept_apart
    assert kept_apart == evaluation_digests()
    assert not kept_apart & {record.sha256 for record in photograph_records()}


def test_every_photograph_has_a_licence() -> None:
    records = photograph_records()
    assert len(records) > 20
    assert all(r.licence and r.author and len(r.sha256) == 64 for r in records)


def test_a_folder_without_recorded_photographs_is_refused(tmp_path: Path) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "mine.png"), np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(InputError, match="no photograph with a licence"):
        Pictures.load([tmp_path])


def test_a_picture_kept_for_evaluation_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2
    from wetgate.train import pictures

    path = tmp_path / "butterfly.png"
    cv2.imwrite(str(path), np.zeros((32, 32, 3), np.uint8))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(pictures, "evaluation_digests", lambda: frozenset({digest}))
    with pytest.raises(InputError, match="kept for evaluation"):
        Pictures.load([tmp_path])


def test_held_out_photographs_never_train() -> None:
    record = photograph_records()[0]
    red, blue = np.zeros((2, 400, 400, 3), np.uint8)
    red[..., 0], blue[..., 2] = 200, 200
    shots = [(replace(record, file=f"{i:02d}.jpg"), blue if i == 6 else red) for i in range(8)]
    pictures = Pictures(shots, generated=0.0)
    assert [r.file for r, held in pictures.uses() if held] == ["06.jpg"]
    rng = np.random.default_rng(0)
    crops = pictures.crops(rng, 40, 64)
    assert crops.shape == (40, 64, 64, 3)
    assert crops[..., 0].min() > 0.4 and crops[..., 2].max() == 0.0


def test_shards_are_made_once_and_depend_on_their_number_alone(tmp_path: Path) -> None:
    made = []

    def make(rng: np.random.Generator) -> dict[str, Planes]:
        made.append(1)
        return {"v": rng.random(3, dtype=np.float32)}

    few = make_shards(tmp_path, "kind", seed=1, count=2, per_shard=2, make=make)
    more = make_shards(tmp_path, "kind", seed=1, count=3, per_shard=2, make=make)
    assert len(made) == 6
    assert np.array_equal(few[1]["v"], more[1]["v"])
    other = make_shards(tmp_path, "kind", seed=2, count=1, per_shard=2, make=make)
    assert not np.array_equal(few[0]["v"], other[0]["v"])


@pytest.mark.parametrize("aperture", [0.5, 0.8, 1.2])
def test_correlated_noise_has_the_correlation_of_its_filter(aperture: float) -> None:
    field = correlated_field(np.random.default_rng(2), (512, 512, 1), aperture)[..., 0]
    assert abs(float(field.std()) - 1) < 0.02
    # The autocorrelation of a Gaussian of deviation s is one of deviation s sqrt(2), sampled.
    reach = np.arange(-12, 13)
    taps = np.exp(-0.5 * (reach / aperture) ** 2)
    want = float((taps[1:] * taps[:-1]).sum() / (taps**2).sum())
    assert abs(float((field[:, 1:] * field[:, :-1]).mean()) - want) < 0.02


def test_white_noise_has_a_flat_spectrum() -> None:
    field = np.random.default_rng(2).standard_normal((512, 512)).astype(np.float32)
    assert np.abs(block_spectrum(field) - 1).max() < 0.12


def test_laws_stay_in_their_range() -> None:
    rng = np.random.default_rng(4)
    for _ in range(50):
        law = draw_law(rng)
        level = 255 * np.sqrt(law.a + 0.5 * law.b)
        assert level.min() > 0.6 and level.max() < 60 * 1.3
        assert 0 < law.flatness <= 1


def test_committed_recipes_load() -> None:
    folder = Path(loop.__file__).parent / "recipes"
    names = [path.stem for path in folder.glob("*.toml")]
    assert "wg-denoise" in names
    for name in names:
        assert load_recipe(name).name == name
    with pytest.raises(RecipeError, match="no training recipe"):
        load_recipe("nonsense")
