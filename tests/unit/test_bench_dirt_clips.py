"""The material of the dirt benchmark, and what of it other frames show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.dirt_blocks import blocks, dirty_blocks
from wetgate.bench.dirt.clips import (
    ACTIONS,
    FIRST,
    NUMBERS,
    DirtyClip,
    action_clip,
    action_plan,
    damage_plan,
    dirty_clip,
    held_out_overlays,
)
from wetgate.bench.dirt.truth import in_deviations
from wetgate.bench.dirt.visible import is_shown
from wetgate.simulate.dirt_shapes import is_held_out

_RNG = np.random.default_rng


@pytest.fixture
def clip() -> DirtyClip:
    return dirty_blocks()


def test_masks_tell_dirt_from_rim_and_from_clean(clip: DirtyClip) -> None:
    for number, frame in clip.frames.items():
        masks, truth = clip.masks[number], frame.truth
        assert np.array_equal(masks.touched, np.any(frame.pixels != truth.undirtied, axis=-1))
        assert not (masks.dirt & masks.ignored).any()
        assert np.array_equal(masks.dirt | masks.ignored, masks.touched)
        assert (masks.dirt <= (masks.objects > 0)).all() and (masks.objects > 0)[masks.dirt].all()
        change = in_deviations(frame, truth.undirtied, frame.pixels)
        assert (change[masks.dirt] > 1).all()
        for k in range(masks.count):
            assert change[masks.objects == k + 1].max() > 3
        assert (masks.told <= masks.touched).all() and masks.told[masks.objects > 0].all()
        hidden = masks.core & (masks.objects == 0)
        assert not hidden.any() or change[hidden].max() <= 3
    assert sum(m.count for m in clip.masks.values()) > 100


def test_frames_are_10_bit_codes_and_the_same_dirt_never_comes_twice(clip: DirtyClip) -> None:
    codes = clip.frames[FIRST].pixels * np.float64(1023)
    assert np.allclose(codes, np.rint(codes), atol=1e-3)
    again = dirty_clip(blocks(), "heavy", 11)
    assert np.array_equal(again.frames[FIRST].pixels, clip.frames[FIRST].pixels)
    other = dirty_clip(blocks(), "heavy", 12)
    assert not np.array_equal(other.masks[FIRST].dirt, clip.masks[FIRST].dirt)
    plates_ = [blocks(), replace(blocks(), name="again")]
    made = [make() for make in damage_plan(plates_, None, quick=True)]
    assert [c.kind for c in made] == ["medium", "medium"]
    assert not np.array_equal(made[0].masks[FIRST].dirt, made[1].masks[FIRST].dirt)


def test_a_full_run_has_every_strength_and_every_action(tmp_path: Path) -> None:
    found = [replace(blocks(), name=name) for name in "abc"]
    # Three strengths a plate, and overlays of one strength on each.
    assert len(list(damage_plan(found, tmp_path, quick=False))) == 3 * 3 + 3
    assert len(list(damage_plan(found, None, quick=False))) == 3 * 3
    assert len(list(action_plan(found[:2], quick=False))) == 2 * (len(ACTIONS) + 1)
    assert len(list(action_plan(found[:2], quick=True))) == len(ACTIONS) + 1


@pytest.mark.parametrize("kind", ["speculars", None])
def test_action_is_clean(kind: str | None) -> None:
    acted = action_clip(blocks(), "speculars" if kind else None, 11)
    assert acted.masks == {} and len(acted.frames) == len(NUMBERS)
    assert not any(f.truth.matte.any() for f in acted.frames.values())
    moved = [f.truth.action for f in acted.frames.values()]
    assert all((a is not None) == (kind is not None) for a in moved)
    assert {"limbs", "rain", "confetti", "sparkles", "strobe", "birds", "speculars"} == set(ACTIONS)


def test_only_held_out_overlays_are_used(shared_data: Path, tmp_path: Path) -> None:
    folder = held_out_overlays(shared_data, tmp_path / "kept")
    files = [p.name for p in folder.glob("*/*.png")]
    every = [p.name for p in (shared_data / "film-damage").glob("*/*.png")]
    assert sorted(files) == sorted(n for n in every if is_held_out(n))
    assert 0.1 < len(files) / len(every) < 0.3
    with pytest.raises(FileNotFoundError, match="film-damage"):
        held_out_overlays(tmp_path, tmp_path / "none")


def test_content_is_shown_where_it_moved_to_unless_dirt_lies_there() -> None:
    rng = _RNG(12)
    there = rng.uniform(0, 1, (60, 80, 3)).astype(np.float32)
    here = np.roll(there, (3, -7), axis=(0, 1))
    blob = np.zeros((60, 80), np.bool_)
    blob[20:28, 30:41] = True
    clean = np.zeros((60, 80), np.bool_)
    assert is_shown(here, blob, 1e-6, there, clean)
    dirty = clean.copy()
    dirty[20, 40] = True  # where the blob's content lies there
    assert not is_shown(here, blob, 1e-6, there, dirty)
    assert not is_shown(here, blob, 1e-6, there, clean, search=4)
    assert not is_shown(here, blob, 1e-3, 1 - there, clean)


def test_content_is_found_between_pixels() -> None:
    y, x = np.mgrid[0:60, 0:80].astype(np.float32)
    waves = [np.sin((x + s) / 5) * np.cos(y / 7) for s in (0.0, 0.5)]
    here, there = (np.repeat(0.5 + 0.3 * w[..., None], 3, axis=2) for w in waves)
    blob = np.zeros((60, 80), np.bool_)
    blob[20:30, 30:40] = True
    assert is_shown(here, blob, 4e-5, there, np.zeros_like(blob))
