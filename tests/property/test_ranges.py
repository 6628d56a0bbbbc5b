"""Ranges and names survive being written down."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from wetgate.io.notation import parse_name, print_name, printf_pattern
from wetgate.io.ranges import FrameRange
from wetgate.io.sequence import find_sequence

numbers = st.integers(-2000, 100_000)


@given(st.sets(numbers, min_size=1, max_size=60))
def test_the_canonical_text_reads_back(values: set[int]) -> None:
    frames = FrameRange.from_numbers(values)
    assert FrameRange.from_str(str(frames)) == frames
    assert list(frames) == sorted(values)
    assert all((n in frames) == (n in values) for n in range(-10, 10))


@given(st.text("abz._-%#", max_size=6), st.integers(1, 8), st.text("abz._-%", max_size=5), numbers)
def test_a_printed_pattern_is_exact(prefix: str, width: int, suffix: str, number: int) -> None:
    pattern = printf_pattern(prefix, width, suffix)
    printed = print_name(pattern, number, sign_beside_digits=False)
    assert printed == prefix + (f"%0{width}d" % number) + suffix


@given(st.sampled_from(["####", "%04d", "$F4", "<F4>", "@@@@"]), st.text("abz._-", max_size=6))
def test_equal_notations_give_equal_names(token: str, prefix: str) -> None:
    named = parse_name(f"{prefix}{token}.exr")
    assert named is not None
    assert named.pattern == f"{prefix}%04d.exr"


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(-99, 2000), min_size=2, max_size=12), st.integers(1, 5))
def test_a_directory_gives_back_its_numbers(values: set[int], width: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        for value in values:
            (Path(directory) / f"p.{value:0{width}d}.exr").touch()
        found = find_sequence(Path(directory) / f"p.%0{width}d.exr")
        assert found.numbers == tuple(sorted(values))
        assert found.missing == set(range(min(values), max(values) + 1)) - values
