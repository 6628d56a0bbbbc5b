"""The table of benchmarks: ratios, intervals, and the same facts as text and JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from wetgate.bench import table
from wetgate.bench.table import BenchRow, BenchTable, bootstrap_ratio, cpu_interleaved, speed_row


def test_the_ratio_is_of_medians_and_lies_in_its_interval() -> None:
    rng = np.random.default_rng(3)
    ours, peer = rng.normal(10, 0.5, 21), rng.normal(80, 4, 21)
    ratio, (low, high) = bootstrap_ratio(ours.tolist(), peer.tolist())
    assert ratio == pytest.approx(np.median(peer) / np.median(ours))
    assert low < ratio < high
    assert low > 7 and high < 9
    assert bootstrap_ratio(ours.tolist(), peer.tolist()) == (ratio, (low, high))
    assert bootstrap_ratio([2.0] * 5, [6.0] * 5) == (3.0, (3.0, 3.0))


def test_a_missed_goal_is_said() -> None:
    row = speed_row("case", "peer 1.0", [10.0] * 7, [70.0] * 7, at_least=8)
    assert (row.ratio, row.reached, row.goal) == (7.0, False, ">= 8")
    assert "NO" in BenchTable(name="t", rows=(row,)).to_text()


def test_turns_alternate_and_the_first_is_not_counted() -> None:
    calls: list[str] = []
    ticks = iter(range(1000))
    ours, peer = cpu_interleaved(
        lambda: calls.append("o"),
        lambda: calls.append("p"),
        4,
        clock=lambda: float(next(ticks)),
    )
    assert "".join(calls) == "op" + "op" + "po" + "op" + "po"
    assert ours == peer == [1000.0] * 4


def test_text_and_json_hold_the_same_facts() -> None:
    rows = (
        BenchRow(case="a", wetgate=1.5, peer=3.0, peer_name="p", ratio=2.0, interval=(1.9, 2.1)),
        BenchRow(case="b", wetgate=7, unit="dB", note="look closer"),
    )
    made = BenchTable(
        name="x", rows=rows, data={"clip": "xxh128:1"}, versions={"numpy": "2"},
        machine=table.machine_facts(),
    )  # fmt: skip
    loaded = json.loads(made.to_json())
    assert loaded["schema"] == "wetgate.bench/1"
    assert loaded["rows"][0]["interval"] == [1.9, 2.1]
    assert loaded["machine"]["cores"] == made.machine["cores"]
    text = made.to_text()
    for word in ("1.90 to 2.10", "7 dB", "look closer", "clip xxh128:1", "numpy 2"):
        assert word in text


def test_absent_packages_are_called_absent() -> None:
    found = table.package_versions(["numpy", "no-such-distribution-here"])
    assert found["numpy"] == np.__version__
    assert found["no-such-distribution-here"] == "absent"


def test_the_codec_benchmark_runs_and_is_ahead_of_its_peer() -> None:
    pytest.importorskip("OpenImageIO")
    pytest.importorskip("wetgate._native")
    from wetgate.bench import io

    made = io.run(quick=True)
    assert [row.case.split(", ")[1] for row in made.rows] == ["file to float32", "float32 to file"]
    # The goals are judged by `wetgate bench io` on a quiet machine; here only the direction is.
    assert all(row.ratio is not None and row.ratio > 1.5 for row in made.rows)
    assert all(digest.startswith("xxh128:") for digest in made.data.values())
