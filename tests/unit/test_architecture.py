"""The dependency law, the homes of heavy libraries, and the cost of `import wetgate`."""

from __future__ import annotations

import ast
import fnmatch
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "engine" / "wetgate"

# A package may import itself and any package of a lower rank, never its equals or its betters.
RANK = {
    "_native": 0,
    "model": 0,
    "io": 1,
    "color": 1,
    "measure": 1,
    "weights": 1,
    "backends": 2,
    "simulate": 2,
    "operators": 2,
    "recipe": 3,
    "importers": 3,
    "render": 4,
    "farm": 5,
    "install": 5,
    "service": 5,
    "train": 5,
    "bench": 5,
    "cli": 6,
    "plugins": 6,
}
# Equals that may meet: an operator runs its network in a session of a backend.
# `python -m wetgate.install` is nothing but the verb of the command line.
ALLOWED_EQUALS = {("operators", "backends"), ("install", "cli")}
# What anyone may take from the top: the compiled part has no folder of its own.
OPEN_NAMES = {"_native"}

# Files, relative to the package, in which a heavy library may be imported. Benchmarks run peers
# beside wetgate, so that is where the peers are.
HOMES = {
    "OpenImageIO": ("io/oiio.py", "bench/*.py"),
    "PyOpenColorIO": ("color/config.py", "color/view.py"),
    "torch": ("backends/*.py", "importers/checkpoint.py", "train/*.py"),
    "onnxruntime": ("backends/*.py", "importers/probe.py"),
    "openvino": ("backends/*.py",),
    "onnx": ("backends/*.py", "importers/*.py", "train/*.py"),
    "pydantic": ("recipe/*.py", "service/*.py"),
}
HEAVY = ("OpenImageIO", "PyOpenColorIO", "torch", "onnx", "onnxruntime", "openvino", "cv2")


@dataclass(frozen=True)
class Import:
    file: str
    line: int
    module: str
    name: str | None

    def __str__(self) -> str:
        what = self.module if self.name is None else f"{self.module}.{self.name}"
        return f"{self.file}:{self.line} imports {what}"


def imports_of(source: str, file: str) -> Iterator[Import]:
    """Every import at any depth, relative ones and literal `import_module` calls included."""
    folder = ["wetgate", *Path(file).parent.parts]
    for node in ast.walk(ast.parse(source, file)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, alias.name, None)
        elif isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(file, node.lineno, module, alias.name)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in ("import_module", "__import__", "importorskip"):
                yield Import(file, node.lineno, str(node.args[0].value), None)


def package_of(file: str) -> str:
    return Path(file).with_suffix("").parts[0]


def broken_law(found: Import) -> str | None:
    """Say how an import breaks the law, or None."""
    parts = found.module.split(".")
    home = HOMES.get(parts[0])
    if home is not None and not any(fnmatch.fnmatch(found.file, h) for h in home):
        return f"{found}, which belongs in {' or '.join(home)}"
    if parts[0] != "wetgate" or found.file == "__init__.py":
        return None
    if len(parts) == 1:
        if found.name is None or found.name in OPEN_NAMES:
            return None
        parts.append(found.name)
    here, there = package_of(found.file), parts[1]
    if here == there or here == "__main__" or (here, there) in ALLOWED_EQUALS:
        return None
    if here not in RANK or there not in RANK:
        return f"{found}: no rank for {here if here not in RANK else there}"
    return None if RANK[there] < RANK[here] else f"{found}, which is not below {here}"


def sources() -> list[tuple[str, str]]:
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 20
    return [(f.relative_to(PACKAGE).as_posix(), f.read_text(encoding="utf-8")) for f in files]


def test_every_import_obeys_the_law() -> None:
    found = [found for file, source in sources() for found in imports_of(source, file)]
    assert len(found) > 200
    assert [broken for broken in map(broken_law, found) if broken] == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("model/frame.py", "from wetgate.io import dpx"),
        ("io/dpx.py", "from wetgate.color.config import load_config"),
        ("io/dpx.py", "def f():\n    from wetgate import color"),
        ("color/config.py", "import wetgate.io.dpx"),
        ("color/config.py", "from ..io import dpx"),
        ("operators/denoise/flow.py", "from ...render import planner"),
        ("measure/grain.py", "from wetgate.simulate import film"),
        ("recipe/load.py", "from wetgate.render.job import run_job"),
        ("render/job.py", "from importlib import import_module\nimport_module('wetgate.cli')"),
        ("render/job.py", "from wetgate import restore"),
        ("render/job.py", "from wetgate.elsewhere import x"),
        ("io/exr.py", "import OpenImageIO as oiio"),
        ("color/shaper.py", "import PyOpenColorIO"),
        ("render/job.py", "import pydantic"),
        ("operators/sr/net.py", "from torch import nn"),
    ],
)
def test_the_law_sees_each_kind_of_breach(file: str, source: str) -> None:
    assert any(broken_law(found) for found in imports_of(source, file))


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("render/job.py", "from wetgate.io import dpx\nfrom . import planner"),
        ("operators/sr/net.py", "from wetgate.backends.base import Session"),
        ("io/dpx.py", "from wetgate import _native"),
        ("__init__.py", "from wetgate.render.job import run_job"),
        ("io/oiio.py", "def f():\n    import OpenImageIO"),
    ],
)
def test_the_law_lets_pass_what_it_should(file: str, source: str) -> None:
    assert [broken_law(found) for found in imports_of(source, file) if broken_law(found)] == []


def test_only_the_command_line_prints() -> None:
    printing = [
        f"{file}:{node.lineno}"
        for file, source in sources()
        if package_of(file) != "cli"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    ]
    assert printing == []


def test_the_library_never_configures_logging() -> None:
    breaches = [
        f"{file}: {word}"
        for file, source in sources()
        if package_of(file) != "cli"
        for word in ("logging.basicConfig", "addHandler(", "logging.getLogger()")
        if word in source
    ]
    assert breaches == []


def test_ocio_holds_data_only() -> None:
    assert sorted(p.suffix for p in (ROOT / "ocio").iterdir() if p.is_file()) == [
        ".md",
        ".ocio",
        ".toml",
    ]


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_is_quick_and_light() -> None:
    code = (
        "import sys, time; start = time.perf_counter(); import wetgate;"
        "took = time.perf_counter() - start;"
        f"print(took, *[m for m in {HEAVY} if m in sys.modules])"
    )
    answers = [run(code).split() for _ in range(3)]
    assert all(len(answer) == 1 for answer in answers), answers
    assert min(float(answer[0]) for answer in answers) < 0.3


def test_no_module_loads_a_heavy_library_by_being_imported() -> None:
    modules = [
        ".".join(["wetgate", *Path(file).with_suffix("").parts]).removesuffix(".__init__")
        for file, _ in sources()
        if package_of(file) not in ("backends", "train", "__main__")
    ]
    code = (
        "import importlib, sys\n"
        f"for name in {modules}:\n"
        "    importlib.import_module(name)\n"
        f"print(*[m for m in {HEAVY} if m in sys.modules])"
    )
    assert run(code) == ""
