"""Filmed photographs for the judges of dirt: which clips there are, and that they are the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the torch extra")

from wetgate.model.errors import InputError
from wetgate.simulate import DamageSpec
from wetgate.simulate.dirt_shapes import is_held_out
from wetgate.train.tasks import _dirt_plates as plates
from wetgate.train.tasks._dirt_clips import ACTIONS, CLEAN, DIRT, DirtClip, gather_overlays

FILM = plates.Filmed(name="a film", file="leaves 9", pan=(1.0, 0.0), acted=True)


def test_a_film_has_every_strength_and_every_action(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    specs: list[DamageSpec] = []

    def noted(frames: np.ndarray, spec: DamageSpec) -> DirtClip:
        specs.append(spec)
        return DirtClip(np.zeros((1, 1, 1, 3), np.uint16), np.zeros((1, 1, 1), np.uint8))

    monkeypatch.setattr(plates, "_clip", noted)
    monkeypatch.setattr(plates, "_filmed", lambda film, picture: picture)
    still = plates.Filmed(name="still", file="lines 5")
    names = [n for n, _ in plates.filmed_clips((7, (FILM, still)), [], tmp_path)]
    acts = [f"a film, {kind}" for kind in (*ACTIONS, "nothing")]
    own = ["light", "overlays, light", "medium", "heavy"]
    assert names[: 4 + len(acts)] == [*(f"a film, {n}" for n in own), *acts]
    assert names[4 + len(acts) :] == [
        f"still, {n}" for n in ("light", "medium", "overlays, medium", "heavy")
    ]
    assert len({s.seed for s in specs}) == len(specs)
    assert all(s.grain is not None for s in specs)
    assert [s.dirt is None for s in specs] == [False] * 4 + [True] * len(acts) + [False] * 4
    assert len(list(plates.filmed_clips((7, (FILM,)), [], None))) == 3 + len(acts)


def test_a_clip_is_made_again_and_says_where_its_dirt_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plates, "_NUMBERS", range(1001, 1003))
    one, two = (next(plates.film_clips(0, FILM, 5, [], None))[1] for _ in range(2))
    assert np.array_equal(one.pixels, two.pixels) and np.array_equal(one.labels, two.labels)
    assert one.pixels.shape == (2, plates.SIZE[1], plates.SIZE[0], 3)
    assert {CLEAN, DIRT} <= set(np.unique(one.labels))
    other = next(plates.film_clips(0, FILM, 6, [], None))[1]
    assert not np.array_equal(other.labels, one.labels)


def test_what_is_generated_depends_on_its_seed() -> None:
    one, same, other = (plates._picture(f"chart {k}", []) for k in (3, 3, 4))
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    assert one.shape == (440, 440, 3) and one.min() >= 0.0


def test_only_photographs_on_record_are_filmed(tmp_path: Path) -> None:
    (tmp_path / "Garden.jpg").write_bytes(b"another picture of that name")
    film = plates.Filmed(name="x", file="Garden.jpg")
    with pytest.raises(InputError, match="licence on record"):
        next(plates.film_clips(0, film, 5, [tmp_path], None))


def test_the_films_to_choose_by_share_nothing_with_those_of_the_fits() -> None:
    for (one, here), (two, there) in [(plates.FITTED, plates.CHOSEN)]:
        assert not {f.file for f in here} & {f.file for f in there}
        assert not {f.name for f in here} & {f.name for f in there}
        assert abs(one - two) > 100 * (len(here) + len(there))


def test_damage_that_measures_is_not_laid(shared_data: Path, tmp_path: Path) -> None:
    folder = gather_overlays(tmp_path / "kept", held=False)
    if folder is None:
        pytest.skip("no film damage beside the package")
    names = [p.name for p in folder.glob("*/*.png")]
    assert names and not any(is_held_out(n) for n in names)
