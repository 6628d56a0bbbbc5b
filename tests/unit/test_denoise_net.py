"""The network stages of denoise: bounded, guarded, the same whatever the tile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from wetgate.backends import Session, load_session
from wetgate.model.box import Box
from wetgate.operators.base import Provenance, SourceFacts
from wetgate.operators.deartifact import net as deartifact_net
from wetgate.operators.denoise import net as denoise_net
from wetgate.operators.denoise.net import (
    BLOCK,
    LIMIT,
    NOTE,
    SPATIAL_PLANES,
    guarded,
    spatial_planes,
)
from wetgate.operators.denoise.operator import DenoiseOperator
from wetgate.operators.verbs import judge_operator, run_operator

from tests.support.nets import make_package

RNG = np.random.default_rng(5)
SIZE = 72
SIGMA = 0.05


def _picture(size: int = SIZE) -> NDArray[np.float32]:
    y, x = np.mgrid[0:size, 0:size]
    waves = 0.5 + 0.2 * np.sin(x / 9.0) * np.cos(y / 7.0)
    return np.repeat(waves[..., None], 3, axis=2).astype(np.float32)


def _noise(seed: int, size: int = SIZE) -> NDArray[np.float32]:
    return (SIGMA * np.random.default_rng(seed).standard_normal((size, size, 3))).astype(np.float32)


def _operator(folder: Path, **params: object) -> DenoiseOperator:
    common = {"kind": "unet", "unshuffle": 2, "gain": 0.3}
    spatial = make_package(
        folder, name="spatial", planes_in=SPATIAL_PLANES, task="denoise", **common
    )
    temporal = make_package(
        folder, name="temporal", planes_in=SPATIAL_PLANES + 12, seed=2, task="denoise-temporal",
        temporal_radius=2, **common,
    )  # fmt: skip
    return DenoiseOperator(
        radius=1, step=4, net=str(spatial.folder), temporal_net=str(temporal.folder), **params
    )  # type: ignore[arg-type]


def _facts(channels: int = 3) -> SourceFacts:
    return SourceFacts(
        sample_type="float", width=SIZE, height=SIZE, channels=channels, is_log_working=False
    )


def _shot(channels: int = 3) -> dict[int, NDArray[np.float32]]:
    clean = _picture()
    frames = {n: np.roll(clean, n % 7, axis=1) + _noise(n) for n in range(3, 8)}
    return {n: np.ascontiguousarray(f[..., :channels]) for n, f in frames.items()}


def test_tiles_never_show_with_networks(tmp_path: Path) -> None:
    operator = _operator(tmp_path)
    assert operator.spec.footprint.temporal_radius == 4
    whole = run_operator(operator, _shot(), 5, facts=_facts())
    parts = run_operator(operator, _shot(), 5, facts=_facts(), tile=(SIZE, 40))
    assert np.array_equal(parts, whole)


def test_networks_change_the_result_and_without_them_it_is_the_classical_one(
    tmp_path: Path,
) -> None:
    operator, shot = _operator(tmp_path), _shot()
    plain = run_operator(DenoiseOperator(radius=1, step=4, net="none"), shot, 5, facts=_facts())
    ours = run_operator(operator, shot, 5, facts=_facts())
    assert np.abs(ours - plain).max() > 0.005
    assert operator.spec.provenance == Provenance.INFERRED
    assert operator.without_network().spec.provenance == Provenance.FILTERED
    assert operator.without_network().models() == ()
    again = run_operator(operator.without_network(), shot, 5, facts=_facts())
    assert np.array_equal(again, plain)


def test_gray_clips_pass_the_networks(tmp_path: Path) -> None:
    out = run_operator(_operator(tmp_path), _shot(1), 5, facts=_facts(1))
    assert out.shape == (SIZE, SIZE, 1)


def test_a_silent_network_leaves_the_fusion_of_the_second_pass(tmp_path: Path) -> None:
    """With corrections of zero the stages are the classical passes (radius 1 either way)."""
    shot = _shot()
    names = []
    for name, planes in (("s", SPATIAL_PLANES), ("t", SPATIAL_PLANES + 12)):
        package = make_package(tmp_path, name=name + "-zero", planes_in=planes, gain=0.0)
        names.append(str(package.folder))
    # `make_package` leaves a bias of some hundredths: the corrections are that many deviations.
    operator = DenoiseOperator(radius=1, step=4, net=names[0], temporal_net=names[1])
    ours = run_operator(operator, shot, 5, facts=_facts())
    plain = run_operator(DenoiseOperator(radius=1, step=4, net="none"), shot, 5, facts=_facts())
    assert np.abs(ours - plain).max() < 0.4 * SIGMA


@pytest.mark.parametrize("note", [NOTE, deartifact_net.NOTE])
def test_notes_do_not_name_the_operator_which_the_engine_puts_before_them(note: str) -> None:
    assert note.startswith("network held back")


def test_corrections_are_bounded() -> None:
    base, sigma = _picture(), np.full((SIZE, SIZE, 3), SIGMA, np.float32)
    wild = np.full_like(base, 50.0)
    noisy = base + LIMIT * sigma  # what is left after the bounded correction is nothing
    out, _ = guarded(base, wild, noisy, sigma, Box.of_size(SIZE, SIZE))
    assert np.abs(out - base).max() <= LIMIT * SIGMA * 1.0001


def test_white_noise_passes_and_a_removed_edge_is_refused() -> None:
    base, sigma = _picture(), np.full((SIZE, SIZE, 3), SIGMA, np.float32)
    change = 0.3 * _noise(3)
    out, weight = guarded(base, change, base + change + _noise(4), sigma, Box.of_size(SIZE, SIZE))
    assert weight is None
    assert np.array_equal(out, base + change)

    noisy = base + change + _noise(4)
    noisy[24:56, 24:56] += 4 * SIGMA  # something in the source that the result does not have
    out, weight = guarded(base, change, noisy, sigma, Box.of_size(SIZE, SIZE))
    assert weight is not None
    assert (weight[32:48, 32:48] == 0).all() and (weight[:8] == 1).all()
    assert np.array_equal(out[32:48, 32:48], base[32:48, 32:48])
    assert np.array_equal(out[:8], (base + change)[:8])


@pytest.mark.parametrize("offset", [(0, 0), (5, 9), (16, 3)])
def test_the_guard_does_not_depend_on_the_region(offset: tuple[int, int]) -> None:
    size = 128
    base, sigma = _picture(size), np.full((size, size, 3), SIGMA, np.float32)
    change, noisy = 0.3 * _noise(3, size), _picture(size) + _noise(4, size)
    noisy[50:80, 60:90] += 3.2 * SIGMA
    whole, weight = guarded(base, change, noisy, sigma, Box.of_size(size, size))
    assert weight is not None
    y, x = offset
    part = np.s_[y : y + 100, x : x + 90]
    region = Box(x, y, x + 90, y + 100)
    some, _ = guarded(base[part], change[part], noisy[part], sigma[part], region)
    inner = np.s_[2 * BLOCK : 100 - 2 * BLOCK, 2 * BLOCK : 90 - 2 * BLOCK]
    assert np.array_equal(some[inner], whole[part][inner])


REFUSED = Box(16, 16, 64, 64)
"""Whole blocks of the guard. Weights run between the middles of blocks, so the first and the last
pixel without any correction are `BLOCK / 2` inside."""


def _loud_inside(
    session: object, planes: NDArray[np.float32], region: Box, sigma: NDArray[np.float32]
) -> NDArray[np.float32]:
    """A network that asks for more than noise can explain inside the box."""
    change = np.full_like(sigma, 0.3) * sigma
    # A lone frame comes mirrored too, and the box with it.
    left, right = (
        (REFUSED.x0, REFUSED.x1) if region.x0 + region.x1 > 0 else (-REFUSED.x1, -REFUSED.x0)
    )
    top, bottom = (
        (REFUSED.y0, REFUSED.y1) if region.y0 + region.y1 > 0 else (-REFUSED.y1, -REFUSED.y0)
    )
    loud = Box(left, top, right, bottom).intersect(region)
    if not loud.is_empty:
        change[loud.within(region)] *= 6
    return change


@pytest.mark.parametrize("frames", [range(3, 8), range(5, 6)], ids=["shot", "lone frame"])
def test_classes_say_which_pixels_no_network_had_a_word_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: range
) -> None:
    monkeypatch.setattr("wetgate.operators.denoise.net._run", _loud_inside)
    shot = {n: _picture() + _noise(n) for n in frames}
    operator = _operator(tmp_path)
    done = judge_operator(operator, shot, 5, facts=_facts())
    assert done.classes is not None
    assert set(np.unique(done.classes)) == {Provenance.FILTERED, Provenance.INFERRED}
    filtered = done.classes == Provenance.FILTERED
    first, last = REFUSED.x0 + BLOCK // 2, REFUSED.x1 - BLOCK // 2
    assert filtered[first + 4 : last - 4, first + 4 : last - 4].all()
    filtered_outside = filtered.copy()
    filtered_outside[first:last, first:last] = False
    assert not filtered_outside.any()

    # The oracle: what is called classical is what the classical passes make.
    plain = run_operator(operator.without_network(), shot, 5, facts=_facts())
    apart = np.abs(done.pixels - plain).max(axis=2)
    assert apart[filtered].max() < 0.1 * SIGMA < 0.2 * SIGMA < np.median(apart[~filtered])

    parts = judge_operator(operator, shot, 5, facts=_facts(), tile=(SIZE, 40))
    assert np.array_equal(parts.classes, done.classes)


def test_a_pixel_fused_from_what_a_network_made_is_not_called_classical(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spatial network is refused nowhere, the temporal one in a box: all is inferred."""

    def run(
        session: Session, planes: NDArray[np.float32], region: Box, sigma: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        if session.card.task == "denoise":
            return np.asarray(0.3 * sigma, np.float32)
        return _loud_inside(session, planes, region, sigma)

    monkeypatch.setattr("wetgate.operators.denoise.net._run", run)
    shot = {n: _picture() + _noise(n) for n in range(3, 8)}
    done = judge_operator(_operator(tmp_path), shot, 5, facts=_facts())
    assert NOTE in done.notes and done.classes is None


@pytest.mark.parametrize(("down", "across"), [(-1, -1), (1, -1), (-1, 1)])
def test_a_lone_frame_mirrored_gives_the_result_mirrored(
    tmp_path: Path, down: int, across: int
) -> None:
    """The mean is the same, though the network alone answers otherwise to either."""
    package = make_package(
        tmp_path, name="s", planes_in=SPATIAL_PLANES, task="denoise", kind="unet", unshuffle=2,
        gain=0.3,
    )  # fmt: skip
    session = load_session(package, backend="onnx")
    size = 64  # whole cells of the network's strides, so that the mirrored frame has the same grid
    base, sigma = _picture(size) + 0.2 * _noise(6, size), np.full((size, size, 3), SIGMA)
    level = sigma.astype(np.float32)
    region, way = Box.of_size(size, size), np.s_[::down, ::across]
    planes = spatial_planes(base, base + _noise(7, size), level, flatness=1.0)
    other = np.ascontiguousarray(planes[(slice(None), *way)])

    mean = denoise_net._run_mirrored(session, planes, region, level)
    again = denoise_net._run_mirrored(session, other, region, level)[way]
    once = denoise_net._run(session, planes, region, level)
    alone = denoise_net._run(session, other, region, level)[way]
    assert np.abs(mean - again).max() < 1e-6 < 1e-4 < np.abs(once - alone).max()
    assert np.abs(mean - once).max() > 1e-5


def test_planes_are_finite_and_small_on_hdr() -> None:
    base = np.full((8, 8, 3), 1000.0, np.float32)
    base[:4] = -0.05
    planes = spatial_planes(base, base + 1, np.full_like(base, 0.01), flatness=1.0)
    assert planes.shape == (SPATIAL_PLANES, 8, 8)
    assert np.isfinite(planes).all()
    assert np.abs(planes).max() < 40
