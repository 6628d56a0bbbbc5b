"""Sequences on disk, in every notation that artists write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from wetgate.io.notation import parse_name
from wetgate.io.ranges import FrameRange
from wetgate.io.sequence import find_sequence, output_sequence, same_file_tree
from wetgate.model.errors import SequenceError


def make(directory: Path, *names: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        (directory / name).write_bytes(b"x")
    return directory


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    names = [f"plate.{n}.exr" for n in (1001, 1002, 1003, 1005)]
    return make(tmp_path / "plate", *names, "notes.txt", ".hidden.0001.exr")


@pytest.mark.parametrize(
    "notation",
    [
        "",
        "plate.%04d.exr",
        "plate.####.exr",
        "plate.@@@@.exr",
        "plate.#.exr",
        "plate.$F4.exr",
        "plate.$F.exr",
        "plate.<F4>.exr",
        "plate.[1001-1005].exr",
        "plate.{1001..1005}.exr",
        "plate.1001-1005####.exr",
        "plate.%04d.exr 1001-1005",
    ],
)
def test_every_notation_finds_the_same_frames(plate: Path, notation: str) -> None:
    found = find_sequence(plate / notation)
    assert found.numbers == (1001, 1002, 1003, 1005)
    assert found.missing == {1004}
    assert [found.path(n) for n in found.numbers] == [
        plate / f"plate.{n}.exr" for n in found.numbers
    ]


def test_the_printed_expression_names_the_frames_again(plate: Path) -> None:
    found = find_sequence(plate)
    assert found.expression == "plate.%04d.exr 1001-1003,1005"
    again = find_sequence(plate / found.expression)
    assert again.numbers == found.numbers
    assert again.missing == frozenset()  # the expression asks for no gap


def test_one_file_is_a_sequence_of_one_frame(plate: Path) -> None:
    found = find_sequence(plate / "plate.1002.exr")
    assert (found.numbers, found.missing) == ((1002,), frozenset())
    assert found.path(1002) == plate / "plate.1002.exr"


def test_a_file_without_number_keeps_its_plain_name(tmp_path: Path) -> None:
    make(tmp_path, "100%d.png", "still.png")
    for name in ("100%d.png", "still.png"):
        found = find_sequence(tmp_path / name)
        assert len(found.numbers) == 1
        assert found.path(found.numbers[0]) == tmp_path / name


def test_a_subset_reports_what_it_asks_for_in_vain(plate: Path) -> None:
    found = find_sequence(plate, FrameRange.from_str("1001-1007x2"))
    assert found.numbers == (1001, 1003, 1005)
    assert found.missing == {1007}
    with pytest.raises(SequenceError, match=r"none of the frames 5-7 exists.*1001-1003,1005"):
        find_sequence(plate, FrameRange.from_str("5-7"))


def test_unpadded_numbers_sort_by_value(tmp_path: Path) -> None:
    make(tmp_path, *(f"hr{n}.png" for n in range(31)))
    found = find_sequence(tmp_path)
    assert found.pattern == "hr%d.png"
    assert found.numbers == tuple(range(31))


def test_padding_grows_beyond_its_width(tmp_path: Path) -> None:
    make(tmp_path, "a.0998.dpx", "a.9999.dpx", "a.10000.dpx")
    found = find_sequence(tmp_path)
    assert found.pattern == "a.%04d.dpx"
    assert found.numbers == (998, 9999, 10000)


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["n.-002.exr", "n.-001.exr", "n.0000.exr", "n.0001.exr"], (-2, -1, 0, 1)),
        (["n.-0002.exr", "n.-0001.exr", "n.0000.exr", "n.0001.exr"], (-2, -1, 0, 1)),
        (["n_-1.exr", "n_0.exr", "n_1.exr"], (-1, 0, 1)),
        (["n-0001.exr", "n-0002.exr"], (1, 2)),
    ],
)
def test_negative_numbers_in_both_paddings(
    tmp_path: Path, names: list[str], numbers: tuple[int, ...]
) -> None:
    make(tmp_path, *names)
    found = find_sequence(tmp_path)
    assert found.numbers == numbers
    assert sorted(found.name(n) for n in numbers) == sorted(names)


def test_only_the_digits_that_vary_are_the_number(tmp_path: Path) -> None:
    make(tmp_path, *(f"sh010_{n:04d}_10bit.dpx" for n in range(5)))
    found = find_sequence(tmp_path)
    assert found.pattern == "sh010_%04d_10bit.dpx"
    assert found.numbers == (0, 1, 2, 3, 4)


def test_two_sequences_in_a_directory_are_refused_by_name(tmp_path: Path) -> None:
    make(tmp_path, *(f"{v}.{n:04d}.exr" for v in ("left", "right") for n in (1, 2)))
    with pytest.raises(SequenceError, match=r"2 sequences: left.%04d.exr 1-2, right.%04d.exr 1-2"):
        find_sequence(tmp_path)


def test_two_shots_of_one_shape_are_two_sequences(tmp_path: Path) -> None:
    make(tmp_path, *(f"sh{s}.{n:04d}.exr" for s in (10, 20) for n in (1, 2)))
    with pytest.raises(SequenceError, match="2 sequences"):
        find_sequence(tmp_path)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("plate.%V.%04d.exr", "views"),
        ("plate.%04d.%04d.exr", "2 frame tokens"),
        ("absent.%04d.exr", "no file matches"),
        ("plate.######.exr", "another number of digits"),
        ("absent.exr", "no such file"),
        ("nowhere/plate.####.exr", "cannot be listed"),
        ("plate.[1001-1100x0].exr", "chunk"),
    ],
)
def test_what_cannot_be_found_says_why(plate: Path, expression: str, said: str) -> None:
    with pytest.raises(SequenceError, match=said):
        find_sequence(plate / expression)


@pytest.mark.parametrize("notation", ["", "plate.%04d.exr"])
def test_what_is_named_like_a_frame_counts_even_when_it_cannot_be_read(
    plate: Path, notation: str
) -> None:
    # At the end of a shot nothing else would tell that a frame is lost.
    (plate / "plate.1000.exr").mkdir()
    (plate / "other.0001.dpx").mkdir()
    last = 1005
    try:
        os.symlink(plate / "gone.exr", plate / "plate.1006.exr")
        last = 1006
    except OSError:
        pass  # a system without symbolic links
    found = find_sequence(plate / notation)
    assert found.numbers == (1000, 1001, 1002, 1003, *range(1005, last + 1))
    assert found.missing == {1004}


def test_names_too_long_for_the_system_are_not_found(tmp_path: Path) -> None:
    with pytest.raises(SequenceError):
        find_sequence(tmp_path / ("n" * 300))
    with pytest.raises(SequenceError):
        find_sequence(tmp_path / ("n" * 300) / "plate.%04d.exr")


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SequenceError, match="holds no images"):
        find_sequence(make(tmp_path, "readme.txt"))


def test_a_directory_keeps_the_names_and_a_pattern_gives_them(plate: Path, tmp_path: Path) -> None:
    source = find_sequence(plate)
    kept = output_sequence(tmp_path / "out", source)
    assert kept.path(1001) == tmp_path / "out" / "plate.1001.exr"
    assert kept.missing == frozenset()
    given = output_sequence(tmp_path / "out" / "new.######.dpx", source)
    assert given.path(1001) == tmp_path / "out" / "new.001001.dpx"
    assert given.numbers == source.numbers
    with pytest.raises(SequenceError, match="one name for 4 frames"):
        output_sequence(tmp_path / "one.exr", source)
    with pytest.raises(SequenceError, match="the output names frames 1-4"):
        output_sequence(tmp_path / "one.[0001-0004].exr", source)
    one = find_sequence(plate / "plate.1001.exr")
    assert output_sequence(tmp_path / "one.exr", one).path(1001) == tmp_path / "one.exr"


def test_links_do_not_hide_a_source_directory(plate: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "other")
    assert same_file_tree(plate, plate)
    assert same_file_tree(plate, plate / "restored" / "v1")
    assert not same_file_tree(plate, other)
    assert not same_file_tree(plate, tmp_path)
    link = tmp_path / "link"
    try:
        os.symlink(plate, link)
    except OSError as error:
        pytest.skip(f"no symbolic links here: {error}")
    assert same_file_tree(plate, link)
    assert same_file_tree(plate, link / "not yet")
    assert same_file_tree(link, plate)


@pytest.mark.parametrize(
    ("text", "canonical", "count"),
    [
        ("1001-1100x2,1203", "1001-1099x2,1203", 51),
        ("5,3,4", "3-5", 3),
        ("-5--1", "-5--1", 5),
        ("10-1", "1-10", 10),
        ("7", "7", 1),
    ],
)
def test_ranges_print_canonically(text: str, canonical: str, count: int) -> None:
    frames = FrameRange.from_str(text)
    assert (str(frames), len(frames)) == (canonical, count)


@pytest.mark.parametrize("text", ["", "a", "1-", "1.5-2", "1-10x0", "1-99999999"])
def test_malformed_ranges_are_refused(text: str) -> None:
    with pytest.raises(SequenceError):
        FrameRange.from_str(text)


@pytest.mark.parametrize("token", ["%999999999d", "%0" + 9000 * "9" + "d", 33 * "#", "$F100"])
def test_a_padding_that_no_file_system_holds_is_refused(token: str) -> None:
    with pytest.raises(SequenceError, match="at most 32"):
        parse_name(f"plate.{token}.exr")
