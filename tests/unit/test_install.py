"""`wetgate install`: where the add-on goes, what is written, and that only that is removed."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from wetgate.cli.app import run
from wetgate.install.blender import find_places, place_of, version_of
from wetgate.install.files import RECORD, put_files, remove_files
from wetgate.install.pack import BLENDER, adapter_files, problems, zip_bytes
from wetgate.model.errors import OutputError, UsageError

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    os.name != "posix", reason="the stand-ins of Blender are shell scripts"
)


def stand_in(folder: Path, version: str, *, obeys: bool = True) -> Path:
    """A program that answers as a Blender does, and notes what it was asked."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "blender"
    answer = 'echo "wetgate: yes"' if obeys else 'echo "Error: no such module"'
    path.write_text(
        "#!/bin/sh\n"
        f'if [ "$1" = --version ]; then echo "Blender {version}.1"; exit 0; fi\n'
        f'echo "$*" >> {folder}/asked\n{answer}\n'
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without any Blender."""
    for name in list(os.environ):
        if name.startswith(("BLENDER_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr("wetgate.install.blender.usual_programs", lambda _: iter(()))
    return tmp_path / "home"


def folder_of(home: Path, version: str) -> Path:
    place = place_of((int(version[0]), int(version[2])), None, {"HOME": str(home)})
    return place.folder


def tree(folder: Path) -> dict[str, bytes]:
    found = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in found}


@pytest.mark.parametrize(
    ("version", "inside", "module"),
    [
        ("3.4", "scripts/addons/wetgate_vse", "wetgate_vse"),
        ("4.1", "scripts/addons/wetgate_vse", "wetgate_vse"),
        ("4.2", "extensions/user_default/wetgate_vse", "bl_ext.user_default.wetgate_vse"),
        ("5.0", "extensions/user_default/wetgate_vse", "bl_ext.user_default.wetgate_vse"),
    ],
)
def test_the_place_depends_on_the_version(
    home: Path, version: str, inside: str, module: str
) -> None:
    (place,) = find_places(version=version)
    assert place.folder == place.user / inside
    assert place.user.name == version
    assert place.module == module


def test_every_version_used_and_every_program_counts_once(home: Path, tmp_path: Path) -> None:
    root = folder_of(home, "4.2").parents[3]
    for name in ("3.3", "3.6", "4.2", "config"):
        (root / name).mkdir(parents=True)
    programs = [stand_in(tmp_path / "a", "4.2"), stand_in(tmp_path / "b", "5.0")]
    places = find_places(programs=programs)
    assert [(p.name, p.program) for p in places] == [
        ("3.6", None),
        ("4.2", programs[0]),
        ("5.0", programs[1]),
    ]


def test_a_program_that_is_no_blender_is_passed_over(tmp_path: Path) -> None:
    silent = tmp_path / "blender"
    silent.write_text("#!/bin/sh\necho something else\n")
    silent.chmod(0o755)
    assert version_of(silent) is None
    assert version_of(tmp_path / "absent") is None


def test_folders_of_the_environment_win(home: Path, tmp_path: Path) -> None:
    named = {"HOME": str(home), "BLENDER_USER_SCRIPTS": str(tmp_path / "s")}
    assert place_of((3, 4), None, named).folder == tmp_path / "s" / "addons" / "wetgate_vse"
    named = {"HOME": str(home), "BLENDER_USER_RESOURCES": str(tmp_path / "r")}
    inside = tmp_path / "r" / "extensions" / "user_default" / "wetgate_vse"
    assert place_of((4, 2), None, named).folder == inside


@pytest.mark.parametrize("version", ["3.3", "2.93", "four", "4", ""])
def test_versions_that_cannot_be_are_refused(home: Path, version: str) -> None:
    with pytest.raises(UsageError, match="Blender"):
        find_places(version=version)


def test_no_blender_is_a_refusal_with_a_remedy(home: Path) -> None:
    with pytest.raises(UsageError, match="--version"):
        find_places()


def test_install_writes_the_whole_adapter_and_the_path_of_the_engine(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = stand_in(tmp_path / "engine", "0.0")
    assert run(["install", "blender", "--version", "4.2", "--engine", str(engine)]) == 0
    said = capsys.readouterr().out
    folder = folder_of(home, "4.2")
    assert str(folder) in said and str(engine) in said
    assert "switch it on in Preferences" in said  # no program of that version is here
    found = tree(folder)
    assert json.loads(found.pop("settings.json")) == {"engine": str(engine)}
    found.pop(RECORD)
    assert found == adapter_files(BLENDER)


def test_blender_is_asked_to_switch_it_on_and_off(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = stand_in(tmp_path / "blender", "4.5")
    engine = ["--engine", str(program), "--program", str(program)]
    assert run(["install", "blender", "--json", *engine]) == 0
    assert json.loads(capsys.readouterr().out)["enabled"] is True
    asked = (tmp_path / "blender" / "asked").read_text()
    assert "addon_enable(module='bl_ext.user_default.wetgate_vse')" in asked
    assert run(["install", "blender", "--uninstall", "--program", str(program), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["disabled"] is True
    assert "addon_disable" in (tmp_path / "blender" / "asked").read_text()
    assert not folder_of(home, "4.5").exists()


def test_a_blender_that_refuses_is_told(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = stand_in(tmp_path / "blender", "4.5", obeys=False)
    assert run(["install", "blender", "--program", str(program), "--engine", str(program)]) == 0
    assert "no such module" in capsys.readouterr().out


def test_uninstall_removes_what_was_written_and_nothing_else(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = stand_in(tmp_path / "engine", "0.0")
    folder = folder_of(home, "3.4")
    neighbor = folder.parent / "other.py"
    neighbor.parent.mkdir(parents=True)
    neighbor.write_text("other")
    before = tree(home)
    assert run(["install", "blender", "--version", "3.4", "--engine", str(engine)]) == 0
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "ops.cpython-311.pyc").write_bytes(b"compiled")
    assert run(["install", "blender", "--version", "3.4", "--uninstall"]) == 0
    assert tree(home) == before
    assert not folder.exists()
    assert run(["install", "blender", "--version", "3.4", "--uninstall"]) == 2


def test_files_changed_since_stay(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "there"
    put_files(folder, {"a.py": b"1", "deep/b.py": b"2"})
    (folder / "a.py").write_bytes(b"mine")
    (folder / "notes.txt").write_bytes(b"too")
    done = remove_files(folder)
    assert (done.files, done.kept) == (1, ("a.py", "notes.txt"))
    assert tree(folder) == {"a.py": b"mine", "notes.txt": b"too"}


def test_installing_again_replaces_an_older_one(tmp_path: Path) -> None:
    put_files(tmp_path / "x", {"a.py": b"1", "gone.py": b"2"})
    put_files(tmp_path / "x", {"a.py": b"3"})
    assert set(tree(tmp_path / "x")) == {"a.py", RECORD}


def test_what_others_have_put_there_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "mine.py").write_text("x")
    with pytest.raises(UsageError, match="not written by"):
        put_files(tmp_path / "x", {"a.py": b"1"})
    (tmp_path / "link").symlink_to(tmp_path / "x")
    with pytest.raises(UsageError, match="link"):
        put_files(tmp_path / "link", {"a.py": b"1"})


def test_a_file_changed_since_stops_an_install_before_anything_is_removed(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "x"
    put_files(folder, {"a.py": b"1", "b.py": b"2"})
    (folder / "b.py").write_bytes(b"mine")
    before = tree(folder)
    with pytest.raises(UsageError, match=r"changed since: b\.py"):
        put_files(folder, {"a.py": b"3", "b.py": b"4"})
    assert tree(folder) == before
    (folder / "b.py").unlink()  # the remedy: moved away
    put_files(folder, {"a.py": b"3", "b.py": b"4"})
    assert (folder / "b.py").read_bytes() == b"4"


def test_a_user_s_own_file_stays_and_is_never_written_over(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    put_files(folder, {"a.py": b"1"})
    (folder / "notes.txt").write_bytes(b"mine")
    put_files(folder, {"a.py": b"2"})
    assert (folder / "notes.txt").read_bytes() == b"mine"
    with pytest.raises(UsageError, match=r"notes\.txt"):
        put_files(folder, {"a.py": b"3", "notes.txt": b"4"})
    assert tree(folder)["a.py"] == b"2" and tree(folder)["notes.txt"] == b"mine"


def test_an_install_that_breaks_off_leaves_room_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "x"
    put_files(folder, {"a.py": b"0"})
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name == "b.py":
            write(path, data[:1])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OutputError, match="No space left"):
            put_files(folder, {"a.py": b"1", "b.py": b"22"})
    assert not folder.exists()
    put_files(folder, {"a.py": b"1", "b.py": b"22"})
    assert set(tree(folder)) == {"a.py", "b.py", RECORD}


def test_installing_again_remembers_that_it_was_switched_on(tmp_path: Path) -> None:
    put_files(tmp_path / "x", {"a.py": b"1"}, enabled=True)
    put_files(tmp_path / "x", {"a.py": b"2"})
    assert remove_files(tmp_path / "x").enabled


def test_a_program_that_was_named_must_be_a_blender(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = stand_in(tmp_path / "engine", "0.0")
    assert run(["install", "blender", "--version", "4.2", "--engine", str(engine)]) == 0
    absent = tmp_path / "absent"
    before = tree(home)
    assert run(["install", "blender", "--program", str(absent), "--engine", str(engine)]) == 2
    assert str(absent) in capsys.readouterr().err
    assert tree(home) == before


@pytest.mark.parametrize("name", ["../outside.py", "/etc/hostname", "a/../../b"])
def test_a_record_that_leads_outside_removes_nothing(tmp_path: Path, name: str) -> None:
    put_files(tmp_path / "x", {"a.py": b"1"})
    record = tmp_path / "x" / RECORD
    record.write_text(json.dumps({"schema": "wetgate.installed/1", "files": {name: "0" * 64}}))
    with pytest.raises(UsageError, match="damaged"):
        remove_files(tmp_path / "x")
    assert (tmp_path / "x" / "a.py").exists()


# ---- packing


def test_the_adapter_needs_the_standard_library_and_its_host_only() -> None:
    files = adapter_files(BLENDER)
    assert "wetgate_client.py" in files and "blender_manifest.toml" in files
    assert list(problems(files, ("bpy",))) == []
    assert any("bpy" in p for p in problems(files, ()))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import numpy", "imports numpy"),
        ("def f():\n    from requests import get", "imports requests"),
        ("from . import missing", "imports .missing"),
        ("from .absent import x", "imports .absent"),
        ("import other", "imports other"),  # a neighbor is reached by a dot only
        ("import tomllib", "imports tomllib"),
        ("import distutils.core", "imports distutils.core"),
        ("if (x := 1): pass", "not Python 3.7"),
        ("def f(a, /): pass", "not Python 3.7"),
        ("match 1:\n    case _: pass", "not Python 3.7"),
    ],
)
def test_what_a_host_cannot_load_is_found(source: str, said: str) -> None:
    files = {"__init__.py": source.encode(), "other.py": b"import os, json\nfrom . import other"}
    found = list(problems(files, ("bpy",)))
    assert len(found) == 1 and said in found[0]


def test_equal_sources_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        done = subprocess.run(
            [sys.executable, ROOT / "install" / "pack_plugins.py", tmp_path / name],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    (one,), (two,) = (sorted((tmp_path / name).iterdir()) for name in ("a", "b"))
    assert one.name == two.name and one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(one) as archive:
        assert {n.split("/")[0] for n in archive.namelist()} == {"wetgate_vse"}
        assert archive.testzip() is None


def test_the_zip_holds_what_it_is_given() -> None:
    data = zip_bytes(BLENDER, {"b.py": b"2", "a.py": b"1"})
    assert data == zip_bytes(BLENDER, {"a.py": b"1", "b.py": b"2"})


def test_the_versions_agree() -> None:
    import ast
    from importlib import metadata

    from wetgate import __version__

    assert metadata.version("wetgate") == __version__
    files = adapter_files(BLENDER)
    text = files["__init__.py"].decode()
    stated = next(
        ast.literal_eval(node.value)
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "bl_info"
    )
    assert ".".join(map(str, stated["version"])) == __version__
    assert f'version = "{__version__}"' in files["blender_manifest.toml"].decode()
    assert files["LICENSE"].decode().lstrip().startswith("GNU GENERAL PUBLIC LICENSE")
