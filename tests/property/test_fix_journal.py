"""The journal of fixes: what is written reads back, what is torn is passed over."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wetgate.model.errors import FrameReadError
from wetgate.model.frame import SampleType
from wetgate.render.fixes.codes import codes_of, pixels_of
from wetgate.render.fixes.journal import FixJournal
from wetgate.render.fixes.lines import (
    ChangeLine,
    FixLine,
    FrameLine,
    Line,
    line_bytes,
    parse_line,
)
from wetgate.render.fixes.names import FixName, nearest_name, parse_name
from wetgate.render.fixes.tiles import Tiles, load_tiles, save_tiles
from wetgate.render.manifest import append_synced

texts = st.text(max_size=12)
numbers = st.integers(-(2**40), 2**40)
finite = st.floats(allow_nan=False, allow_infinity=False)

fix_lines = st.builds(
    FixLine,
    id=texts,
    output=texts,
    step=numbers,
    operator=texts,
    version=numbers,
    threshold=st.none() | finite,
    number=numbers,
    frame=numbers,
    anchor=st.tuples(numbers, numbers),
    box=st.tuples(numbers, numbers, numbers, numbers),
    kind=texts,
    area=numbers,
    polarity=numbers,
    confidence=finite,
    applied=st.booleans(),
    why=texts,
    provenance=numbers,
    source=numbers,
    offset=st.tuples(finite, finite),
    facts=st.dictionaries(texts, finite, max_size=3),
    pixels=numbers,
    digest=texts,
)
frame_lines = st.builds(
    FrameLine,
    frame=numbers,
    output=texts,
    file=texts,
    samples=texts,
    source_file=texts,
    source_digest=texts,
    context=texts,
    recipe=texts,
    fixes=numbers,
    tiles=texts,
    tiles_digest=texts,
    only_fixes=st.booleans(),
    channels=st.lists(texts, max_size=4).map(tuple),
    sample_type=st.sampled_from(get_args(SampleType)),
    layer=st.none() | texts,
    write=st.dictionaries(texts, st.none() | st.booleans() | texts, max_size=3),
    closed=texts,
)
change_lines = st.builds(
    ChangeLine,
    event=st.sampled_from(["revert", "apply"]),
    frame=numbers,
    fixes=st.lists(texts, max_size=4).map(tuple),
    before=texts,
    output=texts,
    samples=texts,
    made=texts,
    wetgate=texts,
    by=texts,
    note=texts,
)
lines = st.one_of(fix_lines, frame_lines, change_lines)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=50, deadline=None)
@given(lines)
def test_a_line_reads_back_as_it_was(line: Line) -> None:
    text = line_bytes(line)
    assert text.endswith(b"\n")
    assert text.count(b"\n") == 1
    assert parse_line(text) == line
    assert line_bytes(parse_line(text)) == text  # type: ignore[arg-type]


@settings(max_examples=50, deadline=None)
@given(lines, st.data())
def test_a_torn_line_is_none(line: Line, data: st.DataObject) -> None:
    text = line_bytes(line).rstrip(b"\n")
    cut = data.draw(st.integers(0, len(text) - 1))
    assert parse_line(text[:cut]) is None


@settings(max_examples=50, deadline=None)
@given(lines, st.data())
def test_another_type_or_a_missing_key_is_none(line: Line, data: st.DataObject) -> None:
    value = json.loads(line_bytes(line))
    key = data.draw(st.sampled_from(sorted(value)))
    if data.draw(st.booleans()):
        del value[key]
        gone = parse_line(json.dumps(value).encode())
        # Only what may be absent from the start may be left out.
        assert gone is None or key in ("layer", "threshold")
    else:
        value[key] = data.draw(json_values)
        parse_line(json.dumps(value).encode())  # whatever it says, it does not raise


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_no_error(text: bytes) -> None:
    assert parse_line(text) is None


def test_nesting_beyond_reason_is_no_error() -> None:
    assert parse_line(b"[" * 100_000) is None


def fix(frame: int, output: str, number: int) -> FixLine:
    return FixLine(
        id=f"dirt-{frame}-{number}-0",
        output=output,
        step=0,
        operator="dirt",
        version=1,
        threshold=0.5,
        number=number,
        frame=frame,
        anchor=(number, 0),
        box=(number, 0, number + 1, 1),
        kind="dust",
        area=1,
        polarity=1,
        confidence=0.75,
        applied=True,
        pixels=1,
    )


def frame_line(frame: int, output: str, count: int) -> FrameLine:
    return FrameLine(
        frame=frame,
        output=output,
        file=f"{frame}.dpx",
        samples="",
        source_file="",
        source_digest="",
        context="",
        recipe="",
        fixes=count,
        tiles="",
        tiles_digest="",
        only_fixes=True,
        channels=("R", "G", "B"),
        sample_type="uint10",
        layer=None,
        write={},
    )


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 4)), min_size=1, max_size=6),
    st.data(),
)
def test_a_kill_anywhere_leaves_whole_frames_and_the_rest_goes_on(
    batches: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Write batches one after another, each possibly cut off and told again from the start."""
    with tempfile.TemporaryDirectory() as folder:
        journal = FixJournal(Path(folder))
        want: dict[int, tuple[str, set[str]]] = {}
        for at, (frame, count) in enumerate(batches):
            output = f"xxh128:{at}"
            batch = [fix(frame, output, n) for n in range(1, count + 1)]
            whole = b"".join(map(line_bytes, [*batch, frame_line(frame, output, count)]))
            cut = data.draw(st.integers(0, len(whole) - 1))
            append_synced(journal.path, whole[:cut])  # which a kill cut short
            if data.draw(st.booleans()):
                journal.append(*batch, frame_line(frame, output, count))
            elif cut < len(whole) - 1:
                continue
            want[frame] = output, {f.id for f in batch}
        ledger = journal.read()
        assert {
            frame: (states[-1].output, set(states[-1].fixes))
            for frame, states in ledger.states.items()
        } == want
        for frame, (output, ids) in want.items():
            state = journal.read([frame]).at(frame, output)
            assert state is not None
            assert set(state.fixes) == ids


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sets(st.integers(1, 5))), max_size=6))
def test_states_follow_what_was_taken_back_and_applied(
    changes: list[tuple[bool, set[int]]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        journal = FixJournal(Path(folder))
        journal.append(*[fix(7, "a", n) for n in range(1, 6)], frame_line(7, "a", 5))
        reverted: set[int] = set()
        at = "a"
        for step, (back, named) in enumerate(changes):
            reverted = reverted | named if back else reverted - named
            output = f"o{step}"
            journal.append(
                ChangeLine(
                    event="revert" if back else "apply",
                    frame=7,
                    fixes=tuple(f"dirt-7-{n}-0" for n in sorted(named)),
                    before=at,
                    output=output,
                    samples="",
                    made="",
                    wetgate="",
                )
            )
            at = output
        state = journal.read().at(7, at)
        assert state is not None
        assert state.reverted == {f"dirt-7-{n}-0" for n in reverted}
        assert len(state.changes) == len(changes)


sizes = st.lists(st.integers(0, 5), min_size=1, max_size=4)


def tiles_of(counts: list[int], wide: bool, seed: int) -> Tiles:
    rng = np.random.default_rng(seed)
    total = sum(counts)
    kind = np.uint32 if wide else np.uint16
    return Tiles(
        number=np.cumsum(rng.integers(1, 5, len(counts))).astype(np.int32),
        first=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        x=rng.integers(0, 4000, total).astype(np.int32),
        y=rng.integers(0, 3000, total).astype(np.int32),
        before=rng.integers(0, 2**16, (total, 3)).astype(kind),
        after=rng.integers(0, 2**16, (total, 3)).astype(kind),
        classes=rng.integers(1, 6, total).astype(np.uint8),
        origins=rng.standard_normal((total, 3)).astype(np.float32),
    )


@settings(max_examples=25, deadline=None)
@given(sizes, st.booleans(), st.integers(0, 2**32))
def test_tile_data_reads_back(counts: list[int], wide: bool, seed: int) -> None:
    tiles = tiles_of(counts, wide, seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fixes" / "1.npz"
        digest = save_tiles(path, tiles)
        again = load_tiles(path, frame=1, digest=digest)
        for name in Tiles.__dataclass_fields__:
            assert getattr(again, name).dtype == getattr(tiles, name).dtype
            assert np.array_equal(getattr(again, name), getattr(tiles, name))
        assert save_tiles(path, again) == digest  # equal data, equal file
        for at, number in enumerate(tiles.number.tolist()):
            assert again.index(number) == at
            assert again.digest(at) == tiles.digest(at)
        assert again.index(int(tiles.number[-1]) + 1) is None


@settings(max_examples=25, deadline=None)
@given(sizes, st.integers(0, 2**32), st.data())
def test_damaged_tile_data_is_told(counts: list[int], seed: int, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fixes" / "1.npz"
        digest = save_tiles(path, tiles_of(counts, False, seed))
        content = bytearray(path.read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(content)
        with pytest.raises(FrameReadError):
            load_tiles(path, frame=1, digest=digest)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(get_args(SampleType)), st.data())
def test_codes_come_back_from_float32(kind: SampleType, data: st.DataObject) -> None:
    top = {"uint8": 255, "uint10": 1023, "uint12": 4095, "uint16": 65535}.get(kind)
    limit = top if top is not None else (65535 if kind == "half" else 2**32 - 1)
    codes = np.array(data.draw(st.lists(st.integers(0, limit), min_size=3, max_size=3)))[None]
    codes = codes.astype(np.uint32 if kind == "float" else np.uint16)
    pixels = pixels_of(codes, kind)
    # NaN samples of half may change their bits on the way; those of float32 and numbers do not.
    sound = np.isfinite(pixels) if kind == "half" else np.ones(pixels.shape, bool)
    assert np.array_equal(codes_of(pixels, kind)[sound], codes[sound])
    if top is not None:
        assert math.isclose(float(pixels[0, 0]), codes[0, 0] / top, rel_tol=1e-7)


names = st.builds(
    FixName,
    step=st.sampled_from(["dirt", "dirt2", "scratches"]),
    frame=st.integers(-9, 99999),
    x=st.integers(0, 9999),
    y=st.integers(0, 9999),
)


@settings(max_examples=50, deadline=None)
@given(names)
def test_names_come_apart_and_together(name: FixName) -> None:
    assert parse_name(str(name)) == name


@settings(max_examples=50, deadline=None)
@given(st.sets(names, min_size=1, max_size=8), names)
def test_the_nearest_name_is_the_nearest_place_of_its_frame(
    known: set[FixName], meant: FixName
) -> None:
    found = parse_name(nearest_name(str(meant), {str(n) for n in known}) or "")
    there = [n for n in known if n.frame == meant.frame]
    if there:
        assert found is not None
        assert found.frame == meant.frame
        best = min((n.x - meant.x) ** 2 + (n.y - meant.y) ** 2 for n in there)
        assert (found.x - meant.x) ** 2 + (found.y - meant.y) ** 2 == best
