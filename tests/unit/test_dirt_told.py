"""What a map of defects says is believed, whatever detection finds beside it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from wetgate.operators.dirt.blobs import BlobTable, find_blobs
from wetgate.operators.dirt.detect import CONFIDENCE, PLANES, SPIKE, TRUST


def found(by_map: int, doubtful: int) -> BlobTable:
    """One blob of so many px that a map marks, and so many that detection doubts."""
    planes = np.zeros((40, 60, PLANES), np.float32)
    planes[..., TRUST] = 1
    row = planes[20, 20 : 20 + by_map + doubtful]
    row[:, SPIKE] = -6
    row[:by_map, CONFIDENCE] = 1.0
    row[by_map:, CONFIDENCE] = 0.22
    return find_blobs(planes, SimpleNamespace(smallest=1, largest=64), {})


@pytest.mark.parametrize(("by_map", "doubtful"), [(8, 0), (8, 1), (4, 4)])
def test_a_doubtful_px_beside_it_takes_nothing_from_what_a_map_tells(
    by_map: int, doubtful: int
) -> None:
    (blob,) = found(by_map, doubtful).blobs
    assert blob.area == by_map + doubtful
    assert blob.told and blob.confidence == 1.0


def test_a_px_of_a_map_does_not_speak_for_a_large_blob() -> None:
    (blob,) = found(2, 9).blobs
    assert not blob.told and blob.confidence < 1.0
