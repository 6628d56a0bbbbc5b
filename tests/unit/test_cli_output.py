"""How the command line speaks: JSON values, amounts, time left, progress."""

import io
import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from wetgate.cli.output import Output, plain
from wetgate.cli.progress import Pace, job_view
from wetgate.model.errors import FrameReadError, UsageError
from wetgate.model.units import format_bytes, format_seconds, parse_bytes
from wetgate.operators.base import Provenance
from wetgate.render.events import AnalysisProgress, FrameDone, FrameReport, Planned, Warned


@dataclass(frozen=True)
class Sample:
    where: Path
    rate: Fraction
    shares: tuple[tuple[int, float], ...]


class TestAmounts:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("4GB", 4_000_000_000),
            ("4GiB", 2**32),
            ("512 mib", 2**29),
            ("1.5G", 1_500_000_000),
            ("1048576", 2**20),
        ],
    )
    def test_memory_is_read_as_written(self, text: str, expected: int) -> None:
        assert parse_bytes(text) == expected

    @pytest.mark.parametrize("text", ["", "much", "4 gigs", "-4GB", "0GB", "4GB GB", "1e9"])
    def test_nonsense_is_refused(self, text: str) -> None:
        with pytest.raises(UsageError):
            parse_bytes(text)

    def test_amounts_are_told_in_a_fitting_unit(self) -> None:
        assert [format_bytes(n) for n in (12, 2_000, 3_900_000_000)] == ["12 B", "2.0 kB", "3.9 GB"]
        assert [format_seconds(s) for s in (0.85, 4.21, 185, 7800)] == [
            "850 ms",
            "4.2 s",
            "3 min 05 s",
            "2 h 10 min",
        ]


class TestJson:
    def test_values_become_json(self) -> None:
        sample = Sample(Path("a/b"), Fraction(24000, 1001), ((3, 0.5),))
        assert plain(sample) == {
            "where": str(Path("a/b")),
            "rate": "24000/1001",
            "shares": [[3, 0.5]],
        }
        assert plain({"x": np.float32("nan"), 1: np.int64(4)}) == {"x": None, "1": 4}
        assert plain(Provenance.FILTERED) == "filtered"
        assert plain(frozenset({3, 1})) == [1, 3]
        assert plain(b"\x00\xff") == "00ff"

    def test_events_are_one_line_each_and_silence_the_prose(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        output = Output(json=True)
        output.line("prose")
        output.event("frame", number=1001, note="two\nlines")
        output.warn("careful")
        lines = capsys.readouterr().out.splitlines()
        assert [json.loads(line)["event"] for line in lines] == ["frame", "warning"]

    def test_errors_carry_their_facts(self, capsys: pytest.CaptureFixture[str]) -> None:
        error = FrameReadError("is empty", path="a.dpx", frame=7, remedy="scan it again")
        Output(json=True).error(error)
        record = json.loads(capsys.readouterr().err)
        assert record["code"] == "FrameReadError"
        assert (record["exit_code"], record["frame"], record["path"]) == (3, 7, "a.dpx")
        assert "expected" not in record

    def test_errors_are_one_line_for_people(self, capsys: pytest.CaptureFixture[str]) -> None:
        Output().error(FrameReadError("two\nlines", path="a.dpx"))
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err == "wetgate: a.dpx: two lines\n"


class TestPace:
    def test_nothing_is_promised_before_two_steps(self) -> None:
        assert Pace().update(1, 10, now=5.0) is None

    def test_time_left_follows_the_last_steps(self) -> None:
        pace = Pace()
        for step in range(100):
            pace.update(step, 1000, now=step * 10.0)
        left = None
        for step in range(100, 130):
            left = pace.update(step, 1000, now=1000 + (step - 100) * 1.0)
        assert left == pytest.approx(1000 - 129, rel=0.01)


def events() -> list[Any]:
    plan: Any = SimpleNamespace(frames=(1001, 1002), missing=(1003,))
    return [
        Planned(plan),
        AnalysisProgress("cuts", 1, 2),
        AnalysisProgress("cuts", 2, 2),
        FrameDone(FrameReport(number=1001, status="written", changed_fraction=0.5, seconds=1.5)),
        Warned("the [bold]light[/bold] flickers"),
        FrameDone(FrameReport(number=1002, status="skipped")),
        FrameDone(FrameReport(number=1003, status="failed", error="no such [red]file[/red]")),
    ]


class TestProgress:
    def test_plain_lines_count_frames_and_name_failures(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with job_view(Output()) as view:
            for event in events():
                view(event)
        captured = capsys.readouterr()
        lines = captured.out.splitlines()
        assert lines[1] == "cuts 2/2"
        assert lines[2].startswith("1001  written, 50.0 % changed, 1.5 s  (1/3")
        assert lines[-1] == "1003  FAILED: no such [red]file[/red]  (3/3)"
        assert captured.err == "warning: the [bold]light[/bold] flickers\n"

    def test_json_has_one_event_each(self, capsys: pytest.CaptureFixture[str]) -> None:
        with job_view(Output(json=True)) as view:
            for event in events()[1:]:
                view(event)
        told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [e["event"] for e in told] == ["analysis"] * 2 + ["frame", "warning"] + ["frame"] * 2
        assert told[2]["report"]["changed_fraction"] == 0.5

    def test_a_terminal_gets_bars_and_the_bad_news(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from rich.console import Console

        screen = io.StringIO()
        console = Console(file=screen, force_terminal=True, width=100, color_system=None)
        monkeypatch.setattr(Output, "is_terminal", property(lambda _: True))
        monkeypatch.setattr(Output, "console", lambda _: console)
        with job_view(Output()) as view:
            for event in events():
                view(event)
        shown = screen.getvalue()
        assert "3/3" in shown
        assert "frames" in shown
        assert "no such [red]file[/red]" in shown
        assert "the [bold]light[/bold] flickers" in shown
