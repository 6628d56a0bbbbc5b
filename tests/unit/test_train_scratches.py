"""The lines that the confidence of scratches is fitted to, and the fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the torch extra")

from wetgate.operators.scratches.confidence import FEATURES
from wetgate.train import scratch_calibration as fits
from wetgate.train.scratch_calibration import Line
from wetgate.train.tasks._dirt_plates import Filmed

FILM = Filmed(name="leaves-pan", file="leaves 77", pan=(2.4, 0.0))


def drawn(count: int, seed: int) -> list[Line]:
    """Lines whose first feature alone says what they are, more or less."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        is_so = rng.uniform() < 0.5
        values = rng.standard_normal(len(FEATURES)) * 0.3
        values[0] += 1.0 if is_so else -1.0
        found.append(
            Line(
                film="f",
                kind="usual" if is_so else "none",
                frames=10,
                on=1.0 if is_so else 0.0,
                facts={},
                features=tuple(values),
            )
        )
    return found


def test_lines_of_a_film_say_which_are_scratches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kinds = {k: fits.KINDS[k] for k in ("none", "usual")}
    monkeypatch.setattr(fits, "KINDS", kinds)
    monkeypatch.setattr(fits, "FILMS", {"fitted": (FILM,)})
    fits.write_lines(tmp_path, [], 0, 1)
    lines = fits.read_lines(tmp_path, "fitted")
    assert {line.on for line in lines if line.kind == "none"} <= {0.0}
    real = [line for line in lines if line.on > 0.6]
    assert real and all(line.kind == "usual" for line in real)
    assert all(len(line.features) == len(FEATURES) for line in lines)
    before = (tmp_path / "fitted" / "leaves-pan.json").read_bytes()
    fits.write_lines(tmp_path, [], 0, 1)  # what is there stays
    assert (tmp_path / "fitted" / "leaves-pan.json").read_bytes() == before


def test_what_is_half_on_a_scratch_teaches_nothing() -> None:
    lines = drawn(4, 1)
    half = Line(film="f", kind="usual", frames=9, on=0.4, facts={}, features=lines[0].features)
    known, is_so = fits.sorted_out([*lines, half])
    assert known == lines
    assert list(is_so) == [line.on for line in lines]


def test_the_fit_tells_lines_apart_and_figures_count_them() -> None:
    judge = fits.fit(drawn(400, 2))
    others = drawn(300, 3)
    told = fits.figures(judge, others, films=5)
    is_so = np.array([line.on > 0.5 for line in others])
    sure = np.array([float(judge([np.array([v]) for v in x.features])[0]) for x in others])
    # What speaks against a line bounds it as well: here the first feature is that.
    sure = np.minimum(sure, [2 / (1 + np.exp(-x.features[0])) for x in others])
    assert told["scratches"] == is_so.sum()
    assert told["scratches found at 0.9"] == (sure[is_so] >= 0.9).sum()
    assert told["other lines taken at 0.5"] == (sure[~is_so] >= 0.5).sum()
    frames = 10 * (sure[~is_so] >= 0.5).sum()
    assert told["false lines in 100 bare frames at 0.5"] == pytest.approx(
        100 * frames / (2 * 5 * 15), abs=0.01
    )
    assert (sure[is_so] >= 0.5).mean() > 0.95
    assert told["expected calibration error"] < 0.08
