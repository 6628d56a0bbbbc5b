"""`wetgate review | decide | revert | replay` as people and programs call them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.fixed import FixedOut, make_fixed
from support.plates import file_digests
from wetgate.cli.app import run
from wetgate.render.fixes.verdicts import Verdicts, load_verdicts, save_verdicts


@pytest.fixture
def made(tmp_path: Path) -> FixedOut:
    return make_fixed(tmp_path, [1001, 1002])


def events(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_revert_and_apply(made: FixedOut, capsys: pytest.CaptureFixture[str]) -> None:
    name = sorted(made.pixels)[0]
    was = file_digests(made.out)
    assert run(["revert", str(made.out), "--fix", name, "--by", "me", "--note", "a bird"]) == 0
    assert f"{name} taken back" in capsys.readouterr().out
    want = made.scan(1001)[made.pixels[name]]
    assert np.array_equal(made.result(1001)[made.pixels[name]], want)
    assert run(["revert", str(made.out), "--fix", name]) == 0
    assert "was taken back before" in capsys.readouterr().out
    assert run(["verify", str(made.out)]) == 0
    capsys.readouterr()
    assert run(["revert", str(made.out), "--fix", name, "--apply", "--json"]) == 0
    (event,) = events(capsys.readouterr().out)
    assert event["event"] == "applied"
    assert event["frame"]["fixes"] == [name]  # type: ignore[index]
    assert file_digests(made.out) == was


def test_a_wrong_id_is_one_line_and_exit_2(
    made: FixedOut, capsys: pytest.CaptureFixture[str]
) -> None:
    name = sorted(made.pixels)[0]
    for command in (["revert", "--fix"], ["decide", "--reject"]):
        assert run([command[0], str(made.out), command[1], name + "1"]) == 2
        said = capsys.readouterr().err.strip().splitlines()
        assert len(said) == 1
        assert "did you mean" in said[0]
    assert run(["revert", str(made.out)]) == 2
    assert run(["decide", str(made.out)]) == 2
    assert run(["revert", str(made.plate), "--fix", name]) == 3
    assert run(["review", str(made.plate)]) == 3


def test_review_then_decide(
    made: FixedOut, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    assert run(["review", str(made.out), "--out", str(page), "--most", "3", "--json"]) == 0
    (event,) = events(capsys.readouterr().out)
    assert (event["shown"], event["page"]) == (3, str(page))
    assert page.read_text("utf-8").count("<article") == 3
    one, two = sorted(made.pixels)[:2]
    saved = tmp_path / "saved.json"
    save_verdicts(saved, Verdicts(rejected=frozenset({one})))
    assert run(["decide", str(made.out), "--take", str(saved), "--accept", two]) == 0
    verdicts = load_verdicts(made.out / "decisions.json")
    assert (verdicts.accepted, verdicts.rejected) == ({two}, {one})
    assert "--decisions" in capsys.readouterr().out
    other = tmp_path / "mine.json"
    assert run(["decide", str(made.out), "--reject", two, "--out", str(other)]) == 0
    assert load_verdicts(other).rejected == {two}


def test_replay_says_which_way_it_went(
    made: FixedOut, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["replay", str(made.out), "--to", str(tmp_path / "again")]) == 0
    said = capsys.readouterr().out
    assert "no operator was run" in said
    assert "2 of 2 frames: the same file" in said
    assert file_digests(tmp_path / "again") == file_digests(made.out)
    journal = made.out / ".wetgate/fixes.jsonl"
    journal.write_text(journal.read_text().replace('"samples":"xxh128:', '"samples":"xxh128:0'))
    code = run(["replay", str(made.out), "--to", str(tmp_path / "other"), "--json"])
    assert code == 7
    last = events(capsys.readouterr().out)[-1]
    assert (last["way"], last["counts"], last["exit_code"]) == ("journal", {"differs": 2}, 7)
    assert run(["replay", str(made.out), "--to", str(made.out)]) == 2
    assert run(["replay", str(made.out), "--to", str(made.plate)]) == 5
