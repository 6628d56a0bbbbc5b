"""The host client: one file for every Python that a host may have."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.plates import write_plate
from support.service import CLIENT_FILE, Running, client_module, running, wait_until
from wetgate.io.formats import read_frame

SELFTEST = Path(__file__).parents[1] / "support" / "client_selftest.py"
VERSIONS = [f"3.{minor}" for minor in range(7, 14)]
WETGATE = Path(sys.executable).with_name("wetgate")


def interpreter(version: str) -> str:
    """The path of a Python, from the shims of pyenv or the search path."""
    shims = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
    found = str(shims[-1]) if shims else shutil.which(f"python{version}")
    if found is None:
        pytest.skip(f"no Python {version} here")
    return found


class TestFile:
    def test_it_is_python_3_7_and_short(self) -> None:
        text = CLIENT_FILE.read_text("utf-8")
        ast.parse(text, feature_version=(3, 7))
        assert len(text.splitlines()) < 500

    def test_it_imports_the_standard_library_only(self) -> None:
        tree = ast.parse(CLIENT_FILE.read_text("utf-8"))
        names = {
            a.name.partition(".")[0]
            for n in ast.walk(tree)
            if isinstance(n, ast.Import)
            for a in n.names
        }
        names |= {
            str(n.module).partition(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)
        }
        assert "json" in names and names <= set(sys.stdlib_module_names)
        assert not names & {"pickle", "marshal", "shelve", "ctypes"}

    def test_it_never_starts_its_own_interpreter(self) -> None:
        tree = ast.parse(CLIENT_FILE.read_text("utf-8"))
        used = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
        assert "executable" in used  # of the client
        assert not any(
            isinstance(n, ast.Attribute)
            and n.attr == "executable"
            and isinstance(n.value, ast.Name)
            and n.value.id == "sys"
            for n in ast.walk(tree)
        )


def test_the_environment_of_a_host_is_stripped() -> None:
    dirty = {
        "PYTHONHOME": "x",
        "PYTHONPATH": "x",
        "LD_LIBRARY_PATH": "x",
        "QT_PLUGIN_PATH": "x",
        "QT_QPA_PLATFORM": "x",
        "PATH": "/bin",
        "OCIO": "/c.ocio",
        "QTY": "1",
    }
    kept = {"PATH": "/bin", "OCIO": "/c.ocio", "QTY": "1"}
    assert client_module.clean_environment(dirty) == kept


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses a Unix socket")


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running("--idle", "0") as found:
        yield found


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shot") / "plate"
    return write_plate(folder, range(1001, 1005), suffix="exr", sample_type="half")


@pytest.mark.parametrize("version", VERSIONS)
def test_it_works_under_every_python_of_hosts(
    service: Running, plate: Path, tmp_path: Path, version: str
) -> None:
    words = [str(CLIENT_FILE), str(service.home), str(plate), str(tmp_path / "out")]
    done = subprocess.run(
        [interpreter(version), "-s", str(SELFTEST), *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    pixels = read_frame(plate / "plate.1001.exr", 1001, color_space="x").pixels
    assert seen.pop("sum") == pytest.approx(float(pixels.sum(dtype="float64")), abs=0.01)
    assert "denoise" in seen.pop("recipes")
    assert seen == {
        "python": [int(part) for part in version.split(".")],
        "pid": service.process.pid,
        "probe": [1001, 1004, "1001-1002"],
        "events": ["state", "state", "planned", "frame_done", "frame_done", "finished", "state"],
        "state": "done",
        "frames": ["plate.1001.exr", "plate.1002.exr"],
        "shape": [48, 64, 3],
        "error": ["NoSuchJob", 404],
        "refused": ["UsageError", 422],
        "names": [1001, "/a/p2.%04d.exr", "/a%b/p.0007.exr", "1-3,7,9"],
    }


class TestStarting:
    def test_it_starts_the_service_of_the_settings_and_finds_it_again(self) -> None:
        import tempfile

        home = tempfile.mkdtemp(prefix="wg")
        client = client_module.Client(home=home, executable=str(WETGATE))
        try:
            pid = client.connect(wait=60)["pid"]
            other = client_module.Client(home=home, executable="/nowhere/wetgate")
            assert other.connect()["pid"] == pid
            environment = Path(f"/proc/{pid}/environ")
            if environment.exists():
                names = [entry.partition("=")[0] for entry in environment.read_text().split("\0")]
                assert not any(n.startswith("QT_") or n in client_module.STRIPPED for n in names)
            other.close()
        finally:
            client.shutdown()
        wait_until(lambda: not os.path.exists(f"/proc/{pid}/exe"), seconds=20)
        with pytest.raises(client_module.ServiceGone):
            client.status()
        shutil.rmtree(home, ignore_errors=True)

    @pytest.mark.parametrize("path", [None, "", "wetgate", "/nowhere/wetgate", "/", __file__])
    def test_a_wrong_path_is_said_to_be_wrong(self, tmp_path: Path, path: str | None) -> None:
        client = client_module.Client(home=str(tmp_path), executable=path)
        with pytest.raises(client_module.NotFoundExecutable, match=r"settings|run"):
            client.connect()

    def test_a_program_that_is_no_service_is_found_out(self, tmp_path: Path) -> None:
        program = tmp_path / "wetgate"
        program.write_text("#!/bin/sh\nexit 7\n")
        program.chmod(0o755)
        client = client_module.Client(home=str(tmp_path), executable=str(program))
        started = time.monotonic()
        with pytest.raises(client_module.ServiceGone, match=r"service\.log"):
            client.connect()
        assert time.monotonic() - started < 10


def test_a_call_after_a_restart_finds_the_new_service(plate: Path) -> None:
    with running("--idle", "0") as service:
        client = service.client()
        first = client.status()["pid"]
        service.kill()
        with pytest.raises(client_module.ServiceGone):
            client.status()
        service.restart()
        assert client.status()["pid"] == service.process.pid != first
        service.stop()
        service.restart()
        assert client.probe(plate=str(plate))["frames"] == 4


def test_starting_after_a_kill_is_never_taken_for_an_impostor() -> None:
    """The discovery file of the dead one must not lead to the socket of the next."""
    with running("--idle", "0") as service:
        sockets = [service.discovery.socket]
        for _ in range(2):
            service.kill()
            client = client_module.Client(home=str(service.home), executable=str(WETGATE))
            pid = client.connect(wait=60)["pid"]
            sockets.append(service.discovery.socket)
            os.kill(pid, 9)
            client.close()
        assert len(set(sockets)) == 3
        service.restart()
        assert len(list((service.home / "run").glob("*.sock"))) == 1
