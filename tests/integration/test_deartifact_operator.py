"""The deartifact operator as the engine calls it: its law, its ends, its goals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.nets import make_package
from wetgate.measure import psnr
from wetgate.measure.artifacts import blockiness, grid_jump, mosquito, reduction
from wetgate.model.box import Box
from wetgate.model.errors import ModelLoadError, RecipeError
from wetgate.operators.base import Judged, Provenance, SourceFacts, Window
from wetgate.operators.deartifact import net
from wetgate.operators.deartifact.classical import Planes, to_planes
from wetgate.operators.deartifact.net import INPUTS, OUTPUTS, NetChoice
from wetgate.operators.deartifact.operator import MODEL, DeartifactOperator, report
from wetgate.operators.registry import make_operator
from wetgate.operators.verbs import assert_footprint_honest, judge_operator, run_operator
from wetgate.simulate.camera import CameraSpec, Layer, photograph, view_of

Frames = dict[int, NDArray[np.float32]]
WIDTH, HEIGHT, COUNT = 144, 112, 7
CLASSICAL = DeartifactOperator(net="none")


def _facts(channels: int = 3, size: tuple[int, int] = (WIDTH, HEIGHT)) -> SourceFacts:
    return SourceFacts(
        sample_type="uint8", width=size[0], height=size[1], channels=channels, is_log_working=False
    )


def _clean() -> Frames:
    """A slow pan over shaded disks with fine texture."""
    rng = np.random.default_rng(21)
    y, x = np.mgrid[0:176, 0:208].astype(np.float64)
    picture = np.full((176, 208, 3), 0.45)
    for _ in range(70):
        cx, cy, r = rng.uniform(0, 208), rng.uniform(0, 176), rng.uniform(3, 30)
        cover = 1 / (1 + np.exp((np.hypot(x - cx, y - cy) - r) / 0.6))[..., None]
        shade = rng.uniform(0.1, 0.9, 3) * (1 + 0.3 * ((x - cx) / r)[..., None] * cover)
        picture += cover * (np.clip(shade, 0.02, 0.98) - picture)
    picture += 0.02 * np.sin(x * 0.9 + y * 0.5)[..., None]
    layer = Layer(np.clip(picture, 0, 1).astype(np.float32))
    camera = CameraSpec(pan=(1.3, 0.6), shake=0.4, first=0)
    size = WIDTH, HEIGHT
    return {
        1001 + n: photograph([layer], [view_of(camera, 3, n, size=size, layer=layer)], size)
        for n in range(COUNT)
    }


CLEAN = _clean()


@pytest.fixture(scope="module")
def coded() -> Frames:
    pytest.importorskip("av", reason="coding needs PyAV")
    return _compressed(codec="h264", crf=35)


def _compressed(**settings: object) -> Frames:
    from wetgate.simulate.codec import encode_decode

    result = encode_decode(np.stack(list(CLEAN.values())), **settings)  # type: ignore[arg-type]
    return dict(zip(CLEAN, result.frames, strict=True))


def _analysis(frames: Frames, operator: DeartifactOperator = CLASSICAL) -> Mapping[str, object]:
    channels = next(iter(frames.values())).shape[2]
    return operator.analyse(lambda n: frames[n], sorted(frames), _facts(channels))


def _told(frames: Frames, abrupt: float = 0.15) -> Mapping[str, object]:
    """What an analysis of a shot large enough would say: the true error and the codec's grid."""
    wrong = [to_planes(f)[0] - to_planes(CLEAN[n])[0] for n, f in frames.items()]
    error = float(np.sqrt(np.mean(np.square(wrong))))
    return {
        "error": error, "period": 8.0, "offset": [0, 0], "score": 20.0, "height": abrupt * error,
        "step": 3.0 * error,
        "told": False,
    }  # fmt: skip


def _with_net(folder: Path, gain: float = 0.02) -> DeartifactOperator:
    package = make_package(
        folder, name="wg-test", task="deartifact", inputs=INPUTS, outputs=OUTPUTS,
        planes_in=len(INPUTS), planes_out=len(OUTPUTS), kind="unet",
        gain=gain,
    )  # fmt: skip
    return DeartifactOperator(net=str(package.folder))


def test_a_clean_shot_keeps_its_bits() -> None:
    analysis = _analysis(CLEAN)
    assert analysis["error"] == 0.0
    got = run_operator(CLASSICAL, CLEAN, 1003, facts=_facts(), analysis=analysis)
    np.testing.assert_array_equal(got.view(np.uint32), CLEAN[1003].view(np.uint32))
    assert "left as it is" in report(analysis)


def test_small_frames_keep_their_bits() -> None:
    frames = {n: f[:40, :90].copy() for n, f in CLEAN.items()}
    facts = _facts(size=(90, 40))
    analysis = CLASSICAL.analyse(lambda n: frames[n], sorted(frames), facts)
    assert "too few blocks" in report(analysis)
    got = run_operator(CLASSICAL, frames, 1003, facts=facts, analysis=analysis)
    np.testing.assert_array_equal(got, frames[1003])


@pytest.mark.parametrize("abrupt", [0.0, 0.2, 1.0])
def test_the_classical_step_keeps_to_its_footprint(coded: Frames, abrupt: float) -> None:
    analysis = _told(coded, abrupt)
    assert_footprint_honest(CLASSICAL, coded, 1004, facts=_facts(), analysis=analysis)


def test_the_network_step_keeps_to_its_footprint(coded: Frames, tmp_path: Path) -> None:
    operator = _with_net(tmp_path)
    assert operator.spec.provenance is Provenance.INFERRED
    assert operator.spec.footprint.temporal_radius == 1
    analysis = _told(coded, 1.0)
    assert_footprint_honest(operator, coded, 1004, facts=_facts(), analysis=analysis)
    changed = run_operator(operator, coded, 1004, facts=_facts(), analysis=analysis)
    twin = run_operator(CLASSICAL, coded, 1004, facts=_facts(), analysis=analysis)
    assert np.abs(changed - twin).max() > 1e-5


def test_all_three_goals_at_once(coded: Frames) -> None:
    """Lower thresholds than the goals': a small drawn clip, and no network."""
    analysis = _told(coded)
    before, after = [], []
    gains = []
    for number in (1003, 1004, 1005):
        got = run_operator(CLASSICAL, coded, number, facts=_facts(), analysis=analysis)
        truth, old, new = (to_planes(f[number])[0] for f in (CLEAN, coded, {number: got}))
        gains.append(psnr(truth, new) - psnr(truth, old))
        before.append((blockiness(truth, old), mosquito(truth, old)))
        after.append((blockiness(truth, new), mosquito(truth, new)))
    (blocks, noise), (blocks_left, noise_left) = np.mean(before, axis=0), np.mean(after, axis=0)
    assert np.mean(gains) > 0.2
    assert reduction(noise, noise_left) > 0.4
    assert abs(blocks_left) < abs(blocks)


@pytest.mark.parametrize(
    "settings", [{"codec": "mpeg2", "qscale": 10}, {"codec": "jpeg", "quality": 20}]
)
def test_codecs_without_loop_filter(settings: dict[str, object]) -> None:
    pytest.importorskip("av", reason="coding needs PyAV")
    frames = _compressed(**settings)
    analysis = _analysis(frames)
    assert analysis["period"] == 8.0 and analysis["offset"] == [0, 0]
    got = run_operator(CLASSICAL, frames, 1004, facts=_facts(), analysis=analysis)
    truth, old, new = (to_planes(f[1004])[0] for f in (CLEAN, frames, {1004: got}))
    assert psnr(truth, new) > psnr(truth, old) + 0.5
    assert reduction(blockiness(truth, old), blockiness(truth, new)) > 0.6


@pytest.mark.parametrize("quality", [10, 25, 50])
def test_the_network_that_ships_beats_the_classical_step_after_jpeg(quality: int) -> None:
    """On drawn pictures, which it never saw; it is what runs when nothing is said."""
    pytest.importorskip("av", reason="coding needs PyAV")
    frames = _compressed(codec="jpeg", quality=quality)
    operator = DeartifactOperator(blocks="8")
    assert operator.models() == (MODEL,)
    analysis = _analysis(frames, operator)
    gains = []
    for number in (1003, 1005):
        truth = to_planes(CLEAN[number])[0]
        got, twin = (
            to_planes(run_operator(o, frames, number, facts=_facts(), analysis=analysis))[0]
            for o in (operator, CLASSICAL)
        )
        gains.append(psnr(truth, got) - psnr(truth, twin))
    assert np.mean(gains) > 0.15, gains


def test_a_cropped_grid_is_followed() -> None:
    pytest.importorskip("av", reason="coding needs PyAV")
    frames = {
        n: np.ascontiguousarray(f[3:, 5:]) for n, f in _compressed(codec="mpeg2", qscale=10).items()
    }
    analysis = CLASSICAL.analyse(
        lambda n: frames[n], sorted(frames), _facts(size=(WIDTH - 5, HEIGHT - 3))
    )
    assert analysis["offset"] == [3, 5]


def test_a_shift_of_values_shifts_the_result(coded: Frames) -> None:
    """Values beyond 0-1 and below 0 are as good as any: nothing is clamped."""
    analysis = _told(coded)
    want = run_operator(CLASSICAL, coded, 1004, facts=_facts(), analysis=analysis)
    high = {n: f + np.float32(100) for n, f in coded.items()}
    # Flow is estimated on 0-1; without neighbors the two must agree to the rounding of 100.
    one, other = {1004: coded[1004]}, {1004: high[1004]}
    want = run_operator(CLASSICAL, one, 1004, facts=_facts(), analysis=analysis)
    got = run_operator(CLASSICAL, other, 1004, facts=_facts(), analysis=analysis)
    assert got.max() > 100.5
    np.testing.assert_allclose(got - 100, want, atol=2e-3)


def test_gray_clips(coded: Frames, tmp_path: Path) -> None:
    gray = {n: np.ascontiguousarray(to_planes(f)[0][..., None]) for n, f in coded.items()}
    analysis = _told(coded, 1.0)
    for operator in (CLASSICAL, _with_net(tmp_path)):
        got = run_operator(operator, gray, 1004, facts=_facts(1), analysis=analysis)
        assert got.shape == (HEIGHT, WIDTH, 1)
        truth = to_planes(CLEAN[1004])[0]
        assert psnr(truth, got[..., 0]) > psnr(truth, gray[1004][..., 0])


def _window(frames: Frames, number: int) -> Window:
    box = Box(0, 0, WIDTH, HEIGHT)
    return Window(
        number=number, pixels=(frames[number],) * 3, previous=(), valid=(False, True, False),
        pairs=(None,) * 3, region=box, tile=box, frame=box,
    )  # fmt: skip


def test_the_report_says_what_became_of_a_shot(coded: Frames) -> None:
    stage = CLASSICAL.stages[0]
    left = stage(_window(CLEAN, 1003), _analysis(CLEAN), _facts())
    assert isinstance(left, Judged)
    assert np.shares_memory(left.pixels, CLEAN[1003])
    assert len(left.notes) == 1 and "left as it is" in left.notes[0]
    done = stage(_window(coded, 1003), _told(coded), _facts())
    assert isinstance(done, Judged)
    assert len(done.notes) == 1 and "8 px blocks from (0, 0)" in done.notes[0]


def test_a_network_that_is_held_back_says_where(
    coded: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stage,) = _with_net(tmp_path).stages
    (classical,) = CLASSICAL.stages
    box = Box(0, 0, WIDTH, HEIGHT)
    region = box.grown(stage.footprint.halo)
    rows, columns = box.within(region)
    seen = np.zeros((region.height, region.width, 3), np.float32)
    seen[rows, columns] = coded[1004]

    def run(
        choice: NetChoice, planes: Planes, inner: Box, offset: tuple[int, int], unit: float
    ) -> object:
        change = np.full((3, *planes.shape[1:]), 0.5, np.float32)
        left = box.within(inner)[1].start
        change[:, :, left : left + 48] = net.REFUSED + 0.5
        return change, ()

    monkeypatch.setattr("wetgate.operators.deartifact.net.run", run)
    window = Window(
        number=1004, pixels=(seen,) * 3, previous=(), valid=(False, True, False),
        pairs=(None,) * 3, region=region, tile=box, frame=box,
    )  # fmt: skip
    done = stage(window, _told(coded, 1.0), _facts())
    twin = classical(window, _told(coded, 1.0), _facts())
    assert isinstance(done, Judged) and isinstance(twin, Judged)
    assert done.classes is not None and net.NOTE in done.notes
    held = done.classes == Provenance.FILTERED
    same = (done.pixels == twin.pixels).all(axis=2)
    np.testing.assert_array_equal(held, same)
    assert held[:, 4:40].all() and not held[:, 60:].any()


@pytest.mark.parametrize("facts", [{"period": 10.96}, {"height": 0.0002}])
def test_after_a_resize_and_after_a_loop_filter_no_network_runs(
    coded: Frames, tmp_path: Path, facts: Mapping[str, object]
) -> None:
    analysis = {**_told(coded, 1.0), **facts}
    done = judge_operator(_with_net(tmp_path), coded, 1004, facts=_facts(), analysis=analysis)
    twin = run_operator(CLASSICAL, coded, 1004, facts=_facts(), analysis=analysis)
    np.testing.assert_array_equal(done.pixels, twin)
    assert done.classes is not None and (done.classes == Provenance.FILTERED).all()
    assert net.NOT_ASKED in done.notes


@pytest.mark.parametrize("offset", [(0, 0), (3, 6)])
def test_the_networks_strides_follow_the_blocks(
    coded: Frames, tmp_path: Path, offset: tuple[int, int]
) -> None:
    """A crop of the frame whose blocks start elsewhere gets the same, away from the rims."""
    operator = _with_net(tmp_path)
    one = {1004: coded[1004]}
    want = run_operator(operator, one, 1004, facts=_facts(), analysis=_told(coded, 1.0))
    y, x = (-offset[1]) % 8, (-offset[0]) % 8
    part = {1004: np.ascontiguousarray(coded[1004][y:, x:])}
    facts = _facts(size=(WIDTH - x, HEIGHT - y))
    analysis = {**_told(coded, 1.0), "offset": list(offset)}
    got = run_operator(operator, part, 1004, facts=facts, analysis=analysis)
    np.testing.assert_allclose(got[56:-56, 56:-56], want[y:, x:][56:-56, 56:-56], atol=1e-6)


def test_blocks_that_a_network_gives_back_are_evened(
    coded: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = _with_net(tmp_path)
    analysis = _told(coded, 1.0)
    one = {1004: coded[1004]}

    def jump(amount: float) -> float:
        def run(
            choice: NetChoice, planes: Planes, inner: Box, offset: tuple[int, int], unit: float
        ) -> object:
            y, x = np.mgrid[inner.y0 : inner.y1, inner.x0 : inner.x1] // 8
            change = np.zeros((3, *planes.shape[1:]), np.float32)
            change[0] = amount * (2.0 * ((x + y) % 2) - 1.0)
            return change, ()

        monkeypatch.setattr("wetgate.operators.deartifact.net.run", run)
        got = run_operator(operator, one, 1004, facts=_facts(), analysis=analysis)
        return grid_jump(to_planes(got)[0])

    # A jump of 1.2 errors at every border: most of it is gone again.
    given = 1.2 * float(analysis["error"])  # type: ignore[arg-type]
    assert jump(0.6) - jump(0.0) < 0.35 * given


def test_a_grid_that_is_told_is_believed() -> None:
    told = DeartifactOperator(blocks="8@11,3")
    analysis = _analysis(CLEAN, told)
    assert analysis["offset"] == [3, 3] and analysis["told"] is True
    assert float(analysis["error"]) > 0.0  # type: ignore[arg-type]
    assert "as told" in report(analysis)
    assert _analysis(CLEAN, DeartifactOperator(blocks="8"))["offset"] == [0, 0]
    got = run_operator(told, CLEAN, 1003, facts=_facts(), analysis=analysis)
    assert not np.array_equal(got, CLEAN[1003])
    for wrong in ("4", "8@1", "yes", "8@-1,2", ""):
        with pytest.raises(RecipeError, match="blocks"):
            make_operator("deartifact", {"blocks": wrong})


def test_parameters_and_the_way_without_network() -> None:
    operator = make_operator("deartifact", {"strength": 0.5, "net": "none"})
    assert isinstance(operator, DeartifactOperator)
    assert operator.models() == () and operator.spec.provenance is Provenance.FILTERED
    assert operator.spec.working_space == "source" and operator.spec.needs_analysis
    assert replace(operator, net="auto").without_network() == operator
    with pytest.raises(RecipeError, match="strength"):
        make_operator("deartifact", {"strength": 3.0})


def test_a_network_of_another_kind_is_refused(tmp_path: Path) -> None:
    package = make_package(tmp_path, planes_in=3, planes_out=3)
    with pytest.raises(ModelLoadError, match="planes of another kind"):
        DeartifactOperator(net=str(package.folder)).spec  # noqa: B018


def test_less_strength_changes_less(coded: Frames) -> None:
    analysis = _told(coded)
    moved = []
    for strength in (0.5, 1.0):
        operator = DeartifactOperator(strength=strength, net="none")
        got = run_operator(operator, coded, 1004, facts=_facts(), analysis=analysis)
        moved.append(float(np.abs(got - coded[1004]).mean()))
    assert 0.0 < moved[0] < moved[1]
