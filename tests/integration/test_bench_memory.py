"""The process that `wetgate bench memory` measures."""

from __future__ import annotations

from pathlib import Path

from wetgate.bench.memory import _restore, _row_or_reason
from wetgate.bench.plates import write_plate


def test_a_refusal_names_a_budget_that_is_enough(tmp_path: Path) -> None:
    plate = tmp_path / "plate"
    write_plate(plate, range(1, 4), 160, 96)

    def restored(folder: str, memory: int) -> dict[str, float | str]:
        return _restore(plate, tmp_path / folder, memory=memory, frames="2", recipe="upscale2")

    refused = restored("refused", 1 << 20)
    assert set(refused) == {"needs_mb"}
    assert not (tmp_path / "refused").exists()
    asked = int(refused["needs_mb"])
    made = restored("made", asked << 20)
    assert float(made["planned_mb"]) <= asked
    assert 0 < float(made["peak_mb"]) <= asked
    assert [p.name for p in (tmp_path / "made").glob("*.dpx")] == ["plate.0002.dpx"]


def test_a_row_that_cannot_be_measured_says_why(tmp_path: Path) -> None:
    row = _row_or_reason(tmp_path / "nothing", tmp_path / "out", "upscale2")
    assert row.reached is False
    assert "not measured" in row.note and "nothing" in row.note
