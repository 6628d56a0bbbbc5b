"""Decisions files: what is written reads back, what nobody knows is refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fixed import make_fixed
from wetgate.model.errors import InputError, UsageError
from wetgate.operators.dirt.verdicts import verdicts_of
from wetgate.operators.registry import make_operator
from wetgate.render.analysis import ClipAnalysis, FrameStamp, ShotAnalyses
from wetgate.render.decisions import DecisionsFile, decide, load_decisions
from wetgate.render.fixes.decide import decide_fixes
from wetgate.render.fixes.restored import open_restored
from wetgate.render.fixes.verdicts import (
    Verdicts,
    json_schema,
    load_verdicts,
    parse_verdicts,
    save_verdicts,
)

IDS = st.from_regex(r"[a-z]{1,5}[0-9]?-(0|-?[1-9][0-9]{0,5})-(0|[1-9][0-9]{0,3})-7", fullmatch=True)
HERE = Path("decisions.json")


@settings(max_examples=30, deadline=None)
@given(st.sets(IDS), st.sets(IDS), st.text(max_size=9), st.text(max_size=9))
def test_verdicts_read_back(accepted: set[str], rejected: set[str], by: str, note: str) -> None:
    verdicts = Verdicts(
        accepted=frozenset(accepted - rejected), rejected=frozenset(rejected), by=by, note=note
    )
    assert parse_verdicts(json.loads(json.dumps(verdicts.document())), HERE) == verdicts


@settings(max_examples=30, deadline=None)
@given(st.sets(IDS), st.sets(IDS), st.sets(IDS), st.sets(IDS))
def test_the_newer_verdict_counts(
    old_yes: set[str], old_no: set[str], yes: set[str], no: set[str]
) -> None:
    no = no - yes
    merged = Verdicts(accepted=frozenset(old_yes), rejected=frozenset(old_no - old_yes)).merged(
        accept=yes, reject=no
    )
    assert merged.accepted == (old_yes - no) | yes
    assert merged.rejected == ((old_no - old_yes) - yes) | no
    assert not merged.accepted & merged.rejected
    assert merged.merged(clear=[*yes, *no]).accepted == old_yes - no - yes


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=20))
def test_the_schema_takes_the_ids_that_the_reader_takes(text: str) -> None:
    pattern = json_schema()["properties"]["accepted"]["items"]["pattern"]  # type: ignore[index]
    for name in (text, f"dirt-{text}-1-2", f"dirt-1-2-{text}", f"{text}-1-2-3"):
        try:
            parse_verdicts({"schema": "wetgate.decisions/1", "accepted": [name]}, HERE)
            taken = True
        except InputError:
            taken = False
        # Frame 0 has one spelling, and numbers end where a computer's do.
        if len(name) < 30 and name.isascii():
            assert taken == bool(re.search(pattern, name) and not name.endswith("\n"))


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "no schema"),
        ({}, "no schema"),
        ({"schema": "wetgate.decisions/2"}, "wetgate.decisions/2"),
        ({"rejcted": []}, "did you mean 'rejected'"),
        ({"accepted": "dirt-1-2-3"}, "a list of ids"),
        ({"accepted": [7]}, "accepted[0] is 7"),
        ({"rejected": ["dirt-1-2-3", "1-2-3"]}, "rejected[1] is '1-2-3'"),
        ({"rejected": ["dirt-01-2-3"]}, "dirt-01-2-3"),
        ({"rejected": ["dirt-1-2-3", "dirt-1-2-3"]}, "twice"),
        ({"accepted": ["dirt-1-2-3"], "rejected": ["dirt-1-2-3"]}, "accepted and rejected"),
        ({"by": ["me"]}, "expected text"),
    ],
)
def test_what_is_not_as_it_should_be_is_told(tmp_path: Path, document: object, said: str) -> None:
    if isinstance(document, dict) and document:
        document = {"schema": "wetgate.decisions/1", **document}
    path = tmp_path / "decisions.json"
    path.write_text(json.dumps(document))
    for read in (load_verdicts, load_decisions):
        with pytest.raises(InputError, match=re.escape(said)) as caught:
            read(path)
        assert caught.value.path == path


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "decisions.json"
    path.write_bytes(content)
    with pytest.raises(InputError):
        load_verdicts(path)
    with pytest.raises(InputError):
        load_verdicts(tmp_path / "absent.json")


def test_verdicts_gather_in_the_file_of_the_output(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001, 1002])
    one, two, three = sorted(made.pixels)[:3]
    path, _ = decide_fixes(made.out, reject=[one], accept=[two], by="A. Curator")
    assert path == made.out / "decisions.json"
    page = tmp_path / "from-page.json"
    save_verdicts(page, Verdicts(accepted=frozenset({one}), rejected=frozenset({three})))
    decide_fixes(made.out, take=page)
    decide_fixes(made.out, clear=[two])
    verdicts = load_verdicts(path)
    assert verdicts.accepted == {one}
    assert verdicts.rejected == {three}
    assert verdicts.by == "A. Curator"
    assert load_decisions(path).rejected == (three,)


def test_a_verdict_keeps_the_confidence_it_was_told_against(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001, 1002])
    name, other = sorted(made.pixels)[:2]
    was = open_restored(made.out).all_fixes()[name].confidence
    path, verdicts = decide_fixes(made.out, reject=[name])
    assert verdicts.confidences == {name: was}
    assert load_decisions(path).confidences == ((name, was),)
    earlier = 0.5 * was
    save_verdicts(path, Verdicts(rejected=frozenset({name}), confidences={name: earlier}))
    _, verdicts = decide_fixes(made.out, accept=[other])
    assert verdicts.confidences[name] == earlier
    assert set(verdicts.confidences) == {name, other}
    _, verdicts = decide_fixes(made.out, clear=[name])
    assert set(verdicts.confidences) == {other}


@pytest.mark.parametrize("wrong", [{"dirt-1-2-3": 2}, {"dirt-1-2-3": True}, {"no": 0.5}, [0.5]])
def test_a_confidence_is_a_number_by_id(wrong: object) -> None:
    document = {"schema": "wetgate.decisions/1", "confidences": wrong}
    with pytest.raises(InputError, match="confidences"):
        parse_verdicts(document, HERE)


def test_the_verdicts_of_a_shot_teach_the_confidence_of_the_rest() -> None:
    rejected = tuple(f"dirt-{n}-5-5" for n in range(1001, 1009))
    told = DecisionsFile(rejected=rejected, confidences=tuple((name, 0.7) for name in rejected))
    shots = ShotAnalyses(operator="dirt", version=1, shots=({"deviation": 0.1},))
    stamp = FrameStamp(digest="")
    frames = dict.fromkeys(range(1001, 1011), stamp)
    measured = ClipAnalysis(
        context="", clip="", frames=frames, cuts=(), detected=(), steps=(shots,)
    )
    for decisions, learned in ((told, True), (replace(told, confidences=()), False)):
        after = decide(measured, decisions, [make_operator("dirt", {})])
        verdicts = verdicts_of(after.steps[0].shots[0])
        assert (verdicts.shift < -1.0, verdicts.shift == 0.0) == (learned, not learned)
        assert verdicts.weighed == (8 if learned else 0)


def test_what_is_rejected_is_told_to_the_engine_and_is_in_the_digest() -> None:
    """Scratches makes its rejected fixes as ever, so that its own analysis says nothing of them."""
    measured = ClipAnalysis(
        context="", clip="", frames={1001: FrameStamp(digest="")}, cuts=(), detected=(),
        steps=(ShotAnalyses(operator="scratches", version=1, shots=({"tracks": []},)),),
    ).sealed()  # fmt: skip
    operators = [make_operator("scratches", {})]
    names = ("dirt-1001-3-4", "scratches-1001-3-4", "scratches-1002-3-4", "scratches-1001-9-0")
    digests = {measured.digest}
    for count, gone in ((2, {"1001-3-4"}), (4, {"1001-3-4", "1001-9-0"})):
        after = decide(measured, DecisionsFile(rejected=names[:count]), operators)
        assert after.steps[0].rejected == gone, "of frames that are there, without the step"
        digests.add(after.digest)
    assert len(digests) == 3
    nothing = decide(measured, DecisionsFile(rejected=names[:1]), operators)
    assert nothing.digest == measured.digest


def test_a_verdict_on_no_fix_is_refused_with_the_nearest(tmp_path: Path) -> None:
    made = make_fixed(tmp_path, [1001], each=1)
    (name,) = made.pixels
    for call in ({"accept": [name + "0"]}, {"reject": [name + "0"]}, {"clear": [name + "0"]}):
        with pytest.raises(UsageError, match=f"did you mean '{name}'"):
            decide_fixes(made.out, **call)  # type: ignore[arg-type]
    page = tmp_path / "from-page.json"
    save_verdicts(page, Verdicts(accepted=frozenset({name + "0"})))
    with pytest.raises(UsageError, match="no fix"):
        decide_fixes(made.out, take=page)
    with pytest.raises(UsageError, match="named twice"):
        decide_fixes(made.out, accept=[name], reject=[name])
    assert not (made.out / "decisions.json").exists()


def test_a_verdict_of_older_times_can_be_cleared(tmp_path: Path) -> None:
    """A render that obeyed may not find the defect again; its verdict must not stick for ever."""
    made = make_fixed(tmp_path, [1001])
    path = made.out / "decisions.json"
    save_verdicts(path, Verdicts(rejected=frozenset({"dirt-7-7-7"})))
    decide_fixes(made.out, clear=["dirt-7-7-7"])
    assert load_verdicts(path) == Verdicts()
