"""What a request may say: messages, roots, files of a sequence, the words made of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wetgate.model.errors import (
    BadRequest,
    InputError,
    NotAllowed,
    SequenceError,
    UsageError,
    WetgateError,
)
from wetgate.service.arguments import restore_arguments, to_toml
from wetgate.service.frames import plate_of_files
from wetgate.service.protocol import (
    AdoptRequest,
    JobRequest,
    PreviewRequest,
    ReleaseRequest,
    ToldError,
    error_body,
    parse_message,
    status_of,
)
from wetgate.service.security import Roots

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MODELS = (JobRequest, PreviewRequest, AdoptRequest, ReleaseRequest)


def touch(folder: Path, *names: str) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")
    return [str(folder / name) for name in names]


class TestMessages:
    @pytest.mark.parametrize(
        "body",
        [
            b"{",
            b"[]",
            b"null",
            b"7",
            b"\xff\xfe{}",
            b'{"plate": NaN}',
            b'{"strength": Infinity, "plate": "/a"}',
            b'{"plate": 7}',
            b'{"plate": "relative/p.%04d.exr"}',
            b'{"plate": ""}',
            b'{"plate": "/a\\u0000b"}',
            b'{"plate": "/\\ud800"}',
            b'{"files": ["/a", "b"]}',
            b'{"files": "/a"}',
            b'{"plate": "/a", "colour": 1}',
            b'{"plate": "/a", "policy": "anything"}',
            b'{"plate": "/a", "threads": "2"}',
            b'{"plate": "/a", "resume": 1}',
            b'{"plate": "/a", "recipe": "sub/r.toml"}',
            b'{"plate": "/a", "config": "config.ocio"}',
            b'{"plate": "/a", "strength": 1' + b"0" * 5000 + b"}",
            b"[" * 100_000,
        ],
    )
    def test_what_is_no_request_is_refused_with_its_place(self, body: bytes) -> None:
        with pytest.raises(BadRequest):
            parse_message(JobRequest, body)

    def test_a_whole_request_is_taken(self) -> None:
        asked = {"plate": "/a/p.%04d.exr", "out": "/b", "recipe": {"steps": []}, "strength": 1}
        found = parse_message(JobRequest, json.dumps(asked).encode())
        assert found.model_dump(exclude_defaults=True) == asked | {"strength": 1.0}

    @given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
    def test_any_bytes_are_a_request_or_refused(self, body: bytes) -> None:
        for model in MODELS:
            try:
                parse_message(model, body)
            except BadRequest as error:
                assert str(error)

    @given(
        st.dictionaries(
            st.sampled_from(sorted(JobRequest.model_fields)),
            st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()),
        )
    )
    def test_any_json_is_a_request_or_refused(self, document: dict[str, Any]) -> None:
        try:
            found = parse_message(JobRequest, json.dumps(document).encode())
        except BadRequest:
            return
        for name, value in found.paths():
            assert Path(value).is_absolute() and "\0" not in value, name


def test_errors_keep_their_class_words_and_exit_code() -> None:
    error = SequenceError("no file matches", path="/a/b.exr")
    told = error_body(error)["error"]
    assert told == {
        "code": "SequenceError",
        "message": "/a/b.exr: no file matches",
        "exit_code": InputError.exit_code,
    }
    assert isinstance(told, dict)
    assert error_body(ToldError.of(told))["error"] == told
    assert [status_of(e("x")) for e in (BadRequest, NotAllowed, UsageError, WetgateError)] == [
        400,
        403,
        422,
        422,
    ]


JSON = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=5))
def test_a_document_written_as_toml_reads_back_the_same(document: dict[str, Any]) -> None:
    assert tomllib.loads(to_toml(document)) == document


def test_toml_has_no_null_and_no_half_characters() -> None:
    with pytest.raises(UsageError, match="null"):
        to_toml({"steps": [{"strength": None}]})
    with pytest.raises(UsageError, match="half a character"):
        to_toml({"name": "\ud800"})


class TestFiles:
    def test_some_frames_name_the_whole_sequence_and_themselves(self, tmp_path: Path) -> None:
        files = touch(tmp_path, *(f"a_v2.{n:04d}.exr" for n in range(8, 13)))
        found = plate_of_files([files[3], files[1], files[2], files[1]])
        assert found.plate == str(tmp_path / "a_v2.%04d.exr")
        assert found.frames == "9-11"

    @pytest.mark.parametrize(
        ("names", "plate", "frames"),
        [
            (("p.1001.dpx",), "p.%04d.dpx", "1001"),
            (("p.99.dpx", "p.100.dpx"), "p.%d.dpx", "99-100"),
            (("50%_p1.dpx", "50%_p2.dpx"), "50%_p%d.dpx", "1-2"),
            (("s01_0001.exr", "s01_0003.exr"), "s01_%04d.exr", "1,3"),
            (("p.-001.exr", "p.0001.exr"), "p.%04d.exr", "-1,1"),
            (("title.exr",), "title.exr", None),
            (("reel2.mov",), "reel2.mov", None),
        ],
    )
    def test_every_kind_of_name(
        self, tmp_path: Path, names: tuple[str, ...], plate: str, frames: str | None
    ) -> None:
        found = plate_of_files(touch(tmp_path, *names))
        assert (found.plate, found.frames) == (str(tmp_path / plate), frames)

    @pytest.mark.parametrize(
        "names",
        [
            ("a.1001.exr", "b.1002.exr"),
            ("a.1001.exr", "a.1002.dpx"),
            ("a.1.exr", "a.0002.exr"),
            ("a.0001.exr", "title.exr"),
            ("a_v1.1001.exr", "a_v2.1002.exr"),
            ("a##.1.exr", "b##.2.exr"),
        ],
    )
    def test_frames_of_several_sequences_are_refused_with_a_way_out(
        self, tmp_path: Path, names: tuple[str, ...]
    ) -> None:
        with pytest.raises(SequenceError, match=r"one sequence|rename the frames"):
            plate_of_files(touch(tmp_path, *names))

    def test_several_directories_a_lost_file_and_none_at_all(self, tmp_path: Path) -> None:
        here = touch(tmp_path / "a", "p.1.exr") + touch(tmp_path / "b", "p.2.exr")
        with pytest.raises(SequenceError, match="several directories"):
            plate_of_files(here)
        with pytest.raises(SequenceError, match="no such file"):
            plate_of_files([here[0], str(tmp_path / "a" / "p.2.exr")])
        with pytest.raises(UsageError, match="empty"):
            plate_of_files([])


class TestRoots:
    def crafted(self, root: Path, outside: Path) -> list[str]:
        """Two hundred ways of naming a place outside."""
        names = ["", "x", "x.%04d.exr", "deep/er/x", "..", ".", "%2e%2e", "\\..\\x", "x:y"]
        ways = [
            str(outside),
            f"{root}/../{outside.name}",
            f"{root}/in/../../{outside.name}",
            f"{root}/./../{outside.name}",
            f"{root}/link",
            f"{root}/in/link",
            f"{root}/loop/link",
            f"//{outside}",
            f"{root}x",
            f"{root}/../{root.name}x",
            "/",
            "/etc",
            "/proc/self/root",
            f"/proc/self/cwd/{outside}",
            f"{root}/link/../link",
            f"{root}/in/\u2025/../../../{outside.name}",
            "/dev/shm",
            f"{root}/..",
            "//server/share",
            f"{root}/abs",
            "/C:",
            f"{root}/../../../../../../../etc",
            f"{root}/link/.",
        ]
        return [f"{way}/{name}" for way in ways for name in names]

    def test_no_crafted_path_leads_outside(self, tmp_path: Path) -> None:
        root, outside = tmp_path / "root", tmp_path / "outside"
        for folder in (root / "in", outside):
            folder.mkdir(parents=True)
        (root / "link").symlink_to(outside)
        (root / "in" / "link").symlink_to("../../outside")
        (root / "loop").symlink_to("in")
        (root / "abs").symlink_to("/")
        roots = Roots([root])
        paths = self.crafted(root, outside)
        assert len(paths) >= 200
        let_through = []
        for path in paths:
            try:
                let_through.append(roots.resolve(path))
            except NotAllowed:
                continue
        assert let_through == []

    def test_what_lies_inside_is_followed_to_where_it_is(self, tmp_path: Path) -> None:
        root = tmp_path / "root"
        (root / "real").mkdir(parents=True)
        (root / "link").symlink_to("real")
        (tmp_path / "way").symlink_to(root)
        roots = Roots([tmp_path / "way"])
        assert roots.resolve(str(root / "link" / "p.%04d.exr")) == str(root / "real/p.%04d.exr")
        assert roots.resolve(str(tmp_path / "way" / "new")) == str(root / "new")
        assert Roots().resolve("/anywhere/../at all") == "/anywhere/../at all"

    def test_a_frame_that_is_a_link_outside_is_refused(self, tmp_path: Path) -> None:
        root = tmp_path / "root"
        secret = touch(tmp_path / "outside", "p.1002.exr")[0]
        touch(root, "p.1001.exr")
        (root / "p.1002.exr").symlink_to(secret)
        request = JobRequest(plate=str(root / "p.%04d.exr"), out=str(root / "out"))
        with pytest.raises(NotAllowed, match="plate"):
            restore_arguments(request, Roots([root]), tmp_path / "r.toml")
        named = JobRequest(files=[str(root / "p.1002.exr")], out=str(root / "out"))
        with pytest.raises(NotAllowed, match="files"):
            restore_arguments(named, Roots([root]), tmp_path / "r.toml")

    @pytest.mark.parametrize(
        "field", ["out", "matte", "holdout", "defects", "decisions", "config", "recipe"]
    )
    def test_every_field_that_names_a_place_is_held_to_the_roots(
        self, tmp_path: Path, field: str
    ) -> None:
        root = tmp_path / "root"
        touch(root, "p.1001.exr")
        facts = {"plate": str(root / "p.%04d.exr"), "out": str(root / "out")}
        request = JobRequest(**{**facts, field: str(tmp_path / "elsewhere.toml")})
        with pytest.raises(NotAllowed, match=field):
            restore_arguments(request, Roots([root]), tmp_path / "r.toml")


def test_a_request_becomes_the_words_of_the_command_line(tmp_path: Path) -> None:
    request = JobRequest(
        plate="/p/p.%04d.exr",
        out="/o",
        recipe={"name": "mine", "steps": [{"operator": "denoise", "strength": 0.5}]},
        frames="1001-1004",
        strength=0.25,
        code_range="legal",
        threads=2,
        overwrite=True,
        matte="/m/m.%04d.exr",
    )
    words = restore_arguments(request, Roots(), tmp_path / "recipe.toml")
    assert words == [
        "/p/p.%04d.exr",
        "--out=/o",
        f"--recipe={tmp_path / 'recipe.toml'}",
        "--frames=1001-1004",
        "--policy=creative",
        "--strength=0.25",
        "--provenance=auto",
        "--range=legal",
        "--threads=2",
        "--matte=/m/m.%04d.exr",
        "--overwrite",
    ]
    assert tomllib.loads((tmp_path / "recipe.toml").read_text()) == request.recipe


def test_every_option_of_restore_can_be_asked_for() -> None:
    """A flag that the command line gains must not be out of reach of hosts."""
    import inspect

    from wetgate.cli.jobs import restore

    flags = set(inspect.signature(restore).parameters) - {"json"}
    assert flags <= set(JobRequest.model_fields)


def test_a_job_names_its_source_once_and_its_output() -> None:
    for facts in ({"out": "/o"}, {"plate": "/p", "files": ["/f"], "out": "/o"}):
        with pytest.raises(UsageError, match="plate or files"):
            restore_arguments(JobRequest(**facts), Roots(), Path("r"))
    with pytest.raises(UsageError, match="out"):
        restore_arguments(JobRequest(plate="/p"), Roots(), Path("r"))
