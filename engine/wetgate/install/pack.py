"""Make a host adapter complete: its own files and the one client, checked and zipped.

An adapter is loaded by a Python that belongs to somebody else: it may import the standard library,
its host and itself, nothing more, and is written in the syntax of Python 3.7, the oldest that a
host of today carries.
"""

from __future__ import annotations

import ast
import io
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from wetgate.model.errors import UsageError

OLDEST_PYTHON = (3, 7)
_ZIP_TIME = (2020, 1, 1, 0, 0, 0)
_CLIENT = "_client/wetgate_client.py"
# Of the standard library, what the oldest Python does not have yet, or a newer one no more.
# fmt: off
_COME_AND_GONE = frozenset({
    "annotationlib", "aifc", "asynchat", "asyncore", "audioop", "cgi", "cgitb", "chunk",
    "compression", "crypt", "distutils", "graphlib", "imghdr", "imp", "lib2to3", "mailcap",
    "msilib", "nis", "nntplib", "ossaudiodev", "pipes", "smtpd", "sndhdr", "spwd",
    "sunau", "telnetlib", "tomllib", "uu", "xdrlib", "zoneinfo",
})
# fmt: on


@dataclass(frozen=True, slots=True)
class Adapter:
    """A host adapter.

    Attributes:
        name: of the host on the command line.
        module: the Python package that the host imports.
        folder: under the plug-in folder, where package, licence and manifest lie.
        host_modules: what the host's own Python offers beside the standard library.
        beside: files of the folder that go into the package.
    """

    name: str
    module: str
    folder: str
    host_modules: tuple[str, ...]
    beside: tuple[str, ...]


BLENDER = Adapter(
    name="blender",
    module="wetgate_vse",
    folder="blender",
    host_modules=("bpy",),
    beside=("blender_manifest.toml", "LICENSE", "README.md"),
)


def plugins_folder() -> Path:
    """Return the folder of all adapters: of the checkout, or of the installed package.

    Raises:
        UsageError: when this installation has none.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "plugins", package.parents[1] / "plugins"):
        if (folder / _CLIENT).is_file():
            return folder
    raise UsageError("no host adapters in this installation", path=package / "plugins")


def adapter_files(adapter: Adapter, plugins: Path | None = None) -> dict[str, bytes]:
    """Return the files of an adapter by path below its package, the client among them.

    Raises:
        UsageError: a file imports what the host does not have, or is no Python 3.7.
    """
    plugins = plugins or plugins_folder()
    folder = plugins / adapter.folder
    package = folder / adapter.module
    files = {
        path.relative_to(package).as_posix(): path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    for name in adapter.beside:
        files[name] = (folder / name).read_bytes()
    client = plugins / _CLIENT
    files[client.name] = client.read_bytes()
    wrong = list(problems(files, adapter.host_modules))
    if wrong:
        raise UsageError(f"the {adapter.name} adapter cannot be packed: {'; '.join(wrong)}")
    return files


def problems(files: Mapping[str, bytes], host_modules: tuple[str, ...]) -> Iterator[str]:
    """Say what keeps files from running in a host: one sentence for each thing.

    A relative import must lead to one of the files.
    """
    own = {PurePosixPath(name).with_suffix("").as_posix() for name in files if name.endswith(".py")}
    for name, data in files.items():
        if not name.endswith(".py"):
            continue
        try:
            tree = ast.parse(data, name, feature_version=OLDEST_PYTHON)
        except SyntaxError as error:
            yield f"{name}:{error.lineno} is not Python 3.7: {error.msg}"
            continue
        offered = {*sys.stdlib_module_names, *host_modules} - _COME_AND_GONE
        for line, module, relative in _imports(tree):
            if not (module in own if relative else module.split(".")[0] in offered):
                yield f"{name}:{line} imports {'.' * relative}{module}"


def _imports(tree: ast.AST) -> Iterator[tuple[int, str, bool]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, False
        elif isinstance(node, ast.ImportFrom):
            if node.level and node.module is None:
                for alias in node.names:
                    yield node.lineno, alias.name, True
            else:
                yield node.lineno, str(node.module), bool(node.level)


def zip_bytes(adapter: Adapter, files: Mapping[str, bytes]) -> bytes:
    """Return a zip with one folder, the package; equal files give equal bytes."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(f"{adapter.module}/{name}", _ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, files[name])
    return held.getvalue()
