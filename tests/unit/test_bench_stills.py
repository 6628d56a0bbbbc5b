"""The bench of single pictures times both sides in the same run, whatever it remembers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from wetgate.bench import stills
from wetgate.bench.denoise_peers import Filtered, Peer


@pytest.mark.parametrize(("count", "wanted"), [(1, "d"), (2, "bf"), (3, "bdf"), (7, "abcdefg")])
def test_pictures_are_spread_over_the_set(count: int, wanted: str) -> None:
    assert stills.spread("abcdefg", count) == list(wanted)
    assert stills.spread("ab", 9) == ["a", "b"]


def test_times_are_of_this_run_though_scores_are_remembered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rng = np.random.default_rng(3)
    pictures = {n: rng.random((64, 64, 3), dtype=np.float32) for n in "abc"}
    ran: Counter[str] = Counter()
    spent = {"seconds": 5.0}

    def run(case, wanted, strength):  # type: ignore[no-untyped-def]
        ran[case.clip.name] += 1
        return Filtered(frames=tuple(case.noisy[i] for i in wanted), cpu_seconds=spent["seconds"])

    peer = Peer(
        name="BM3D", version="0", run=run, start=lambda _: 1.0, factor=1.25
    )  # fmt: skip
    monkeypatch.setattr(stills, "published_stills", lambda *_: (pictures, []))
    monkeypatch.setattr(stills, "data_folder", lambda data: data)
    monkeypatch.setattr(stills, "bm3d_peers", lambda _: [peer])
    monkeypatch.setattr(stills, "SIGMAS", (25,))
    monkeypatch.setattr(stills, "_SIDE", 64)
    monkeypatch.setattr(stills, "_TIMED", 1)

    def cost(anew: int) -> stills.BenchRow:
        rows = stills.run(cache=tmp_path).rows
        assert f"{anew} of this run, {3 - anew} remembered" in rows[0].note
        return next(row for row in rows if "CPU" in row.case)

    first = cost(3)
    assert dict(ran) == {"a": 1, "b": 1, "c": 1}
    spent["seconds"] = 9.0
    second = cost(1)
    assert dict(ran) == {"a": 1, "b": 2, "c": 1}  # b alone was timed; the others are remembered
    assert (first.peer, second.peer) == (5.0, 9.0)
    assert "median of 1 of 3 pictures" in second.note
    assert second.ratio == pytest.approx(9.0 / second.wetgate)
