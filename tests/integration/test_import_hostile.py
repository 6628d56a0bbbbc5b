"""Files that mean harm, through the door and the child behind it."""

from __future__ import annotations

import io
import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wetgate.importers import Limits, import_model
from wetgate.importers.sandbox import run_child
from wetgate.model.errors import ModelLoadError, OutOfMemory, WetgateError

onnx = pytest.importorskip("onnx", reason="imports are written as ONNX")
from onnx import helper  # noqa: E402
from support.graphs import (  # noqa: E402
    constant,
    conv_model,
    external,
    identity,
    model,
    save,
)

LIMITS = Limits(seconds=300.0, cpu_seconds=120)


def refused(path: Path, folder: Path, message: str, limits: Limits = LIMITS) -> WetgateError:
    """Import a file that must be refused with a clear message and leave nothing behind."""
    models = folder / "models"
    with pytest.raises(WetgateError, match=message) as caught:
        import_model(path, licence="MIT", destination=models, limits=limits)
    assert str(path) in str(caught.value)
    assert not models.exists() or not any(models.iterdir())
    return caught.value


class Evil:
    """A pickle of this runs a command where it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.marker}",)


def torch_zip(
    data: bytes, *, compress: bool = False, more: dict[str, bytes] | None = None
) -> bytes:
    """What torch.save writes, around any pickle."""
    out = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(out, "w", kind) as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", b"3\n")
        for name, content in (more or {}).items():
            archive.writestr(f"archive/{name}", content)
    return out.getvalue()


@pytest.fixture
def torch_is_there() -> None:
    for name in ("torch", "spandrel", "safetensors"):
        try:
            found = __import__("importlib.util").util.find_spec(name)
        except ImportError:
            found = None
        if found is None:
            pytest.skip(f"{name} is not installed: no checkpoints")


@pytest.mark.parametrize("shape", ["zip", "bare", "old"])
def test_a_malicious_pickle_is_refused_and_never_runs(tmp_path: Path, shape: str) -> None:
    marker = tmp_path / "ran"
    data = pickle.dumps({"params": Evil(marker)}, protocol=2)
    path = tmp_path / "model.pth"
    if shape == "zip":
        path.write_bytes(torch_zip(data))
    elif shape == "bare":
        path.write_bytes(data)
    else:
        # The older form: a magic number, a version, facts of the machine, then the object.
        parts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
        path.write_bytes(b"".join(pickle.dumps(p, protocol=2) for p in parts) + data)
    refused(path, tmp_path, r"would call (posix|nt)\.system.*code, not weights")
    assert not marker.exists()
    # The same bytes do harm where they are believed.
    pickle.loads(data)
    assert marker.exists()


def test_names_that_hide_in_the_memo_are_found(tmp_path: Path) -> None:
    from wetgate.importers.pickles import names_in

    class Hidden:
        def __reduce__(self) -> Any:
            return eval, ("1",)

    for protocol in (0, 1, 2, 4, 5):
        names = names_in(io.BytesIO(pickle.dumps([Hidden(), Hidden()], protocol=protocol)))
        assert {n.replace("__builtin__", "builtins") for n in names} == {"builtins eval"}


def test_a_zip_that_unfolds_to_more_than_it_is(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    path.write_bytes(torch_zip(pickle.dumps({}), compress=True, more={"data/0": bytes(50_000_000)}))
    assert path.stat().st_size < 100_000
    refused(path, tmp_path, r"a zip of \d+ bytes that unfolds to 5\d{7}")


def test_programs_and_other_things_in_zips(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    path.write_bytes(torch_zip(pickle.dumps({}), more={"code/__torch__.py": b"import os"}))
    refused(path, tmp_path, "TorchScript")
    path.write_bytes(torch_zip(pickle.dumps({}))[:-20])
    refused(path, tmp_path, "cannot be read")


def test_a_checkpoint_of_no_known_family(tmp_path: Path, torch_is_there: None) -> None:
    head = json.dumps({"a.weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}})
    path = tmp_path / "other.safetensors"
    path.write_bytes(struct.pack("<Q", len(head)) + head.encode() + bytes(8))
    error = refused(path, tmp_path, "no family that spandrel knows")
    assert error.expected is not None
    assert "NAFNet" in error.expected
    path.write_bytes(struct.pack("<Q", len(head)) + head.encode() + bytes(4))
    refused(path, tmp_path, "cannot be read")
    assert not (tmp_path / "models").exists()


def test_weights_outside_by_path_and_by_hard_link(tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(np.ones(162, np.float32).tobytes())
    inside = tmp_path / "inside"
    inside.mkdir()
    refused(save(external(conv_model(), str(secret)), inside), tmp_path, "lie outside the file")
    refused(save(external(conv_model(), "../secret.bin"), inside), tmp_path, "lie outside")
    os.link(secret, inside / "weights.bin")
    refused(save(external(conv_model(), "weights.bin"), inside), tmp_path, "lie outside")


def test_a_model_that_is_itself_a_link_is_taken_by_content(tmp_path: Path) -> None:
    original = save(conv_model(), tmp_path, "original.onnx")
    before = original.read_bytes()
    os.link(original, tmp_path / "linked.onnx")
    package = import_model(
        tmp_path / "linked.onnx", licence="MIT", destination=tmp_path / "models", limits=LIMITS
    )
    stored = package.path(".onnx")
    assert stored is not None
    assert stored.stat().st_nlink == 1
    assert stored.stat().st_ino != original.stat().st_ino
    stored.write_bytes(b"changed")
    assert original.read_bytes() == before


def test_truncated_and_meaningless_files(tmp_path: Path) -> None:
    path = save(conv_model(), tmp_path)
    path.write_bytes(path.read_bytes()[:-30])
    refused(path, tmp_path, "not an ONNX file, or a truncated one")
    for name, data in (("noise.onnx", os.urandom(4096)), ("empty.onnx", b"")):
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, tmp_path, r"not an ONNX file|without a graph")
    (tmp_path / "picture.exr").write_bytes(b"\x76\x2f\x31\x01" + bytes(64))
    refused(tmp_path / "picture.exr", tmp_path, "not a model; expected ONNX")
    refused(tmp_path / "absent.onnx", tmp_path, "no such file")
    os.mkfifo(tmp_path / "pipe.onnx")
    refused(tmp_path / "pipe.onnx", tmp_path, "not a regular file")


def test_a_file_of_a_hundred_bytes_that_asks_for_terabytes(tmp_path: Path) -> None:
    node = helper.make_node("ConstantOfShape", ["s"], ["big"])
    made = identity(node)
    made.graph.initializer.append(constant("s", [1 << 20, 1 << 20], np.int64))
    path = save(made, tmp_path)
    assert path.stat().st_size < 200
    refused(path, tmp_path, "asks for 1.09951e\\+12 elements")


def test_a_graph_that_grows_only_when_it_runs(tmp_path: Path) -> None:
    # The size is counted from the picture's values: no analysis of shapes gives it away.
    nodes = [
        helper.make_node("Equal", ["x", "x"], ["same"]),
        helper.make_node("Cast", ["same"], ["ones"], to=onnx.TensorProto.INT64),
        helper.make_node("ReduceSum", ["ones"], ["count"], keepdims=0),
        helper.make_node("Reshape", ["count", "one"], ["row"]),
        helper.make_node("Mul", ["row", "million"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["big"]),
        helper.make_node("ReduceSum", ["big"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    constants = [constant("one", [1], np.int64), constant("million", [1_000_000], np.int64)]
    error = refused(
        save(model(nodes, constants), tmp_path),
        tmp_path,
        "asks for more",
        replace(LIMITS, memory_bytes=2 << 30),
    )
    assert isinstance(error, OutOfMemory)


def test_a_child_that_is_too_late_is_ended(tmp_path: Path) -> None:
    refused(save(conv_model(), tmp_path), tmp_path, "longer than 0.01 s", Limits(seconds=0.01))


def test_a_child_without_memory_says_so(tmp_path: Path) -> None:
    with pytest.raises(WetgateError):
        run_child(
            "onnx",
            {"model.onnx": conv_model().SerializeToString()},
            limits=replace(LIMITS, memory_bytes=64 << 20),
        )


def test_the_licence_has_to_be_stated(tmp_path: Path) -> None:
    path = save(conv_model(), tmp_path)
    with pytest.raises(ModelLoadError, match="licence not stated"):
        import_model(path, destination=tmp_path / "models")
    with pytest.raises(ModelLoadError, match=r"licence CC-BY-NC-4\.0"):
        import_model(path, licence="CC-BY-NC-4.0", destination=tmp_path / "models")
    package = import_model(
        path,
        licence="CC-BY-NC-4.0",
        destination=tmp_path / "models",
        accept_noncommercial=True,
        limits=LIMITS,
    )
    assert not package.card.commercial
    assert package.card.licence == "CC-BY-NC-4.0"
    with pytest.raises(ModelLoadError, match="there is a model already"):
        import_model(path, licence="MIT", destination=tmp_path / "models")


def confined(code: str, folder: Path) -> str:
    """Run code in a process with the walls of an import; returns what it printed."""
    program = (
        "import sys; from pathlib import Path; from wetgate.importers import confine\n"
        f"folder = Path({str(folder)!r})\n"
        "walls = confine.raise_walls(folder, memory_bytes=4 << 30, cpu_seconds=60)\n" + code
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


ATTEMPTS = {
    "socket": "import socket; socket.create_connection(('127.0.0.1', PORT), 2)",
    "program": "import subprocess; subprocess.run(['true'], check=True)",
    "shell": "import os; assert os.system('touch OUTSIDE/shell') == 0",
    "write": "open('OUTSIDE/written', 'w').write('x')",
    "append": "import os; os.open('OUTSIDE/kept', os.O_WRONLY | os.O_APPEND)",
    "rename": "import os; os.rename('OUTSIDE/kept', 'OUTSIDE/moved')",
    "remove": "import os; os.remove('OUTSIDE/kept')",
    "link": "import os; os.link('OUTSIDE/kept', 'OUTSIDE/link')",
    "folder": "import os; os.mkdir('OUTSIDE/made')",
}


@pytest.mark.parametrize("wall", ["kernel", "hook"])
def test_a_confined_process_reaches_nothing(tmp_path: Path, wall: str) -> None:
    import socket

    outside, folder = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    folder.mkdir()
    (outside / "kept").write_text("kept")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = str(listening.getsockname()[1])
        code = "confine.watch(folder)\n" if wall == "hook" else ""
        for name, line in ATTEMPTS.items():
            line = line.replace("OUTSIDE", str(outside)).replace("PORT", port)
            code += (
                "try:\n    " + line.replace("; ", "\n    ") + "\n"
                f"except BaseException: pass\nelse: print('went: {name}')\n"
            )
        said = confined(
            code + "print(*walls)\n(folder / 'mine').write_text('may be written')\n", folder
        )
    if wall == "kernel" and ("Landlock" not in said or "namespace" not in said):
        pytest.skip("this kernel has no Landlock or gives no namespace: " + said)
    assert "went" not in said
    assert sorted(p.name for p in outside.iterdir()) == ["kept"]
    assert (outside / "kept").read_text() == "kept"
    assert (folder / "mine").exists()


def test_the_attempts_go_through_where_nothing_holds_them(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    for name in ("program", "shell", "write", "link", "folder", "rename"):
        exec(ATTEMPTS[name].replace("OUTSIDE", str(tmp_path)), {})
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "link",
        "made",
        "moved",
        "shell",
        "written",
    ]


def test_the_child_gets_no_secrets_and_says_what_held_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WETGATE_TOKEN", "secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://somewhere")
    seen: dict[str, Any] = {}
    real = subprocess.Popen

    def spy(*args: Any, **more: Any) -> Any:
        seen.update(more["env"])
        return real(*args, **more)

    monkeypatch.setattr(subprocess, "Popen", spy)
    answer = run_child("onnx", {"model.onnx": conv_model().SerializeToString()}, limits=LIMITS)
    assert "WETGATE_TOKEN" not in seen
    assert "HTTPS_PROXY" not in seen
    assert any("audit hook" in wall for wall in answer.walls)
    assert any("MiB of memory" in wall for wall in answer.walls) or sys.platform == "win32"


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of CPU time on Windows")
def test_a_confined_process_cannot_compute_for_ever(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from wetgate.importers import confine\n"
        f"confine.raise_walls(Path({str(tmp_path)!r}), memory_bytes=4 << 30, cpu_seconds=1)\n"
        "while True: pass\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=120)
    assert done.returncode == -signal.SIGXCPU


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent")
def test_a_confined_process_ends_with_its_parent(tmp_path: Path) -> None:
    child = (
        "import time; from pathlib import Path; from wetgate.importers import confine\n"
        f"confine.raise_walls(Path({str(tmp_path)!r}), memory_bytes=4 << 30, cpu_seconds=60)\n"
        "print('up', flush=True); time.sleep(100)\n"
    )
    parent = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE)\n"
        "child.stdout.readline(); print(child.pid, flush=True); time.sleep(100)\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
    deadline = time.monotonic() + 30.0
    while _runs(pid):
        assert time.monotonic() < deadline, "the orphan is still there"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
