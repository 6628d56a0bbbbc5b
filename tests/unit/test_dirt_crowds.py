"""A frame of very many blobs is judged as any other, in little memory."""

from __future__ import annotations

import tracemalloc
from dataclasses import fields

import numpy as np
import pytest
from wetgate.operators.dirt import looks as dirt_looks
from wetgate.operators.dirt.detect import CONFIDENCE, PICTURE, PLANES, SPIKE, TRUST
from wetgate.operators.dirt.looks import Looks, looks_of, population
from wetgate.operators.dirt.neighbors import Likeness, company_features, compare_looks


def strewn(seed: int, across: int, down: int) -> tuple[Looks, tuple[int, int]]:
    """Return the looks of a frame with a speck of random size in every cell of 12 px."""
    rng = np.random.default_rng(seed)
    shape = (12 * down, 12 * across)
    planes = np.zeros((*shape, PLANES), np.float32)
    planes[..., TRUST], planes[..., PICTURE] = 0.9, 0.4
    labels = np.zeros(shape, np.int32)
    for k in range(across * down):
        y, x = 12 * (k // across) + 3, 12 * (k % across) + 3
        area = np.s_[y : y + rng.integers(1, 6), x : x + rng.integers(1, 6)]
        labels[area] = k + 1
        planes[area][..., SPIKE] = rng.choice([-9.0, 9.0]) * rng.uniform(0.5, 2.0)
        planes[area][..., CONFIDENCE] = 0.9
    return looks_of(labels, across * down, planes), shape


def test_in_parts_or_at_once_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    (here, shape), (there, _) = strewn(1, 20, 10), strewn(2, 19, 10)
    rng = np.random.default_rng(3)
    sure, alone = rng.random(190), rng.random(200)

    def all_of() -> tuple[Likeness, list[np.ndarray]]:
        like = compare_looks(here, there, sure, shape)
        company = company_features(here, alone, {-1: like, 1: like}, shape)
        return like, [*population(here, shape), *company]

    whole, columns = all_of()
    monkeypatch.setattr(dirt_looks, "_MOST_PAIRS", 1)
    parts, columns_of_parts = all_of()
    for field in fields(Likeness):
        a, b = getattr(whole, field.name), getattr(parts, field.name)
        # Sums of products may differ in their last bit with how many are added side by side.
        np.testing.assert_allclose(a, b, rtol=1e-12, err_msg=field.name)
    for a, b in zip(columns, columns_of_parts, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_three_thousand_blobs_take_little_memory() -> None:
    looks, shape = strewn(1, 60, 50)
    sure = np.full(3000, 0.5)
    tracemalloc.start()
    try:
        like = compare_looks(looks, looks, sure, shape)
        company_features(looks, sure, {-1: like}, shape)
        population(looks, shape)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100 << 20  # one table of all against all takes 72 MB, a comparison ten of them
