"""`wetgate inspect` and `wetgate doctor`: what a plate says, and what this machine offers."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wetgate.cli.options import ConfigPath, Frames, InputSpace, JsonFlag
from wetgate.cli.output import Output
from wetgate.model.errors import ColorSpaceUnknown, WetgateError
from wetgate.model.units import format_bytes
from wetgate.model.version import __version__

if TYPE_CHECKING:
    from wetgate.model.frame import ImageInfo

_NEEDED = (
    ("numpy", "numpy"),
    ("OpenImageIO", "OpenImageIO"),
    ("PyOpenColorIO", "opencolorio"),
    ("onnx", "onnx"),
    ("onnxruntime", "onnxruntime"),
    ("cv2", "opencv-python-headless"),
    ("pydantic", "pydantic"),
    ("fileseq", "fileseq"),
    ("xxhash", "xxhash"),
    ("jinja2", "jinja2"),
)
_EXTRAS = (
    ("movie", "av"),
    ("bench", "bm3d"),
    ("torch", "torch"),
    ("import", "spandrel"),
    ("openvino", "openvino"),
    ("gpu", "onnxruntime-gpu"),
    ("farm", "distributed"),
)
_LOW_DISK = 1_000_000_000


def inspect(
    plate: Annotated[str, typer.Argument(help="A file, a directory or a sequence pattern.")],
    frames: Frames = None,
    input_space: InputSpace = None,
    config: ConfigPath = None,
    json: JsonFlag = False,
) -> None:
    """Print what the headers say, how the color space was decided, and what would be lost."""
    from wetgate.color.config import load_config
    from wetgate.color.identify import identify
    from wetgate.io.formats import frame_bytes, metadata_losses
    from wetgate.io.ranges import FrameRange
    from wetgate.io.sandbox import Reader
    from wetgate.io.sequence import find_sequence

    output = Output(json=json)
    sequence = find_sequence(plate, FrameRange.from_str(frames) if frames else None)
    first = sequence.path(sequence.numbers[0])
    with Reader() as reader:
        info = reader.read_info(first)
    space: dict[str, object]
    try:
        decision = identify(first, info, load_config(config), override=input_space)
        space = {"name": decision.space, "source": decision.source, "trust": decision.trust}
        space_line = f"{decision.space} ({decision.source}, {decision.trust}: {decision.note})"
    except ColorSpaceUnknown as error:
        space = {"name": None, "why": str(error)}
        space_line = f"not decided: {error}"
    losses = tuple(dict.fromkeys((*info.losses, *metadata_losses(info, info.header.format))))
    output.event(
        "inspected",
        sequence=sequence.expression,
        directory=sequence.directory,
        frames=len(sequence.numbers),
        missing=sequence.missing,
        info=_info_facts(info),
        color_space=space,
        losses=losses,
        frame_bytes=frame_bytes(info),
    )
    output.facts(
        sequence.expression,
        [
            ("directory", sequence.directory),
            ("frames", f"{len(sequence.numbers)} ({_missing(sequence.missing)})"),
            ("format", info.header.format),
            ("channels", f"{', '.join(info.channels)} ({info.sample_type})"),
            ("carried", ", ".join(info.carried)),
            ("size", f"{info.data_window.width} x {info.data_window.height} px"),
            ("data window", _window(info, "data_window")),
            ("display window", _window(info, "display_window")),
            ("pixel aspect", f"{info.pixel_aspect:g}"),
            ("frame rate", info.frame_rate),
            ("color space", space_line),
            ("bytes a frame", format_bytes(frame_bytes(info))),
        ],
    )
    attributes = sorted(info.header.attributes.items(), key=lambda item: item[0])
    output.facts("header", [(name, _short(value)) for name, value in attributes])
    if losses:
        output.line("lost or changed when written back as the same format")
        for loss in losses:
            output.line(f"  {loss}")
    else:
        output.line("nothing is lost when written back as the same format")


def _info_facts(info: ImageInfo) -> dict[str, object]:
    return {
        "format": info.header.format,
        "channels": info.channels,
        "sample_type": info.sample_type,
        "data_window": info.data_window,
        "display_window": info.display_window,
        "pixel_aspect": info.pixel_aspect,
        "frame_rate": info.frame_rate,
        "carried": info.carried,
        "attributes": dict(info.header.attributes),
    }


def _window(info: ImageInfo, name: str) -> str:
    box = getattr(info, name)
    return f"({box.x0}, {box.y0}) to ({box.x1}, {box.y1}), half-open"


def _missing(missing: frozenset[int]) -> str:
    if not missing:
        return "none missing"
    return f"{len(missing)} missing: {', '.join(map(str, sorted(missing)[:12]))}"


def _short(value: object, limit: int = 110) -> str:
    text = " ".join(str(value).split())
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return printable if len(printable) <= limit else printable[: limit - 3] + "..."


@dataclass(frozen=True, slots=True)
class _Check:
    """One finding of `doctor`; `exit_code` is 0 when all is well."""

    name: str
    found: str
    exit_code: int = 0


def doctor(json: JsonFlag = False) -> None:
    """Check this installation and this machine; the exit code says whether work can begin.

    0: all that is needed is here. 3: a part of the installation is missing or broken.
    5: no room or no right to write.
    """
    output = Output(json=json)
    checks = [*_software(), *_machine()]
    for check in checks:
        output.event("check", name=check.name, found=check.found, ok=check.exit_code == 0)
    width = max(len(check.name) for check in checks)
    for check in checks:
        mark = "ok  " if check.exit_code == 0 else "BAD "
        output.line(f"{mark}{check.name.ljust(width)}  {check.found}")
    code = max(check.exit_code for check in checks)
    output.event("finished", exit_code=code)
    if code:
        raise typer.Exit(code)


def _software() -> list[_Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    supported = (3, 10) <= sys.version_info[:2] <= (3, 13)
    checks = [
        _Check("wetgate", __version__),
        _Check(
            "python",
            f"{version}, {platform.system()} {platform.machine()}",
            0 if supported else 3,
        ),
        _native(),
    ]
    for module, package in _NEEDED:
        try:
            importlib.import_module(module)
        except Exception as error:  # a broken wheel may raise anything; name it
            checks.append(_Check(package, f"{type(error).__name__}: {error}", 3))
        else:
            checks.append(_Check(package, _package_version(package) or "present"))
    checks += [_ocio(), _models()]
    for extra, package in _EXTRAS:
        found = _package_version(package)
        checks.append(_Check(f"extra {extra}", f"{package} {found}" if found else "not installed"))
    return checks


def _native() -> _Check:
    try:
        importlib.import_module("wetgate._native")
    except ImportError as error:
        return _Check("native module", f"{error}; build it: pip install -e .", 3)
    return _Check("native module", "built")


def _ocio() -> _Check:
    from wetgate.color.config import load_config

    try:
        config = load_config()
    except WetgateError as error:
        return _Check("OCIO config", str(error), 3)
    return _Check("OCIO config", f"{config.name}, {len(config.spaces())} spaces")


def _models() -> _Check:
    from wetgate.weights import BrokenPackage, ModelPackage, scan_models, shipped_folder

    broken, sound = [], []
    for found in scan_models():
        try:
            if isinstance(found, BrokenPackage):
                raise found.error
            found.verify(again=True)
        except WetgateError as error:
            broken.append(str(error))
        else:
            sound.append(found)
    if broken:
        return _Check("models", "; ".join(broken), 3)

    def ships(package: ModelPackage) -> bool:
        return package.folder.parent == shipped_folder()

    own = sum(ships(package) for package in sound)
    return _Check("models", f"{own} come with wetgate, {len(sound) - own} added, all proved")


def _package_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _machine() -> list[_Check]:
    import psutil

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = psutil.virtual_memory()
    checks = [
        _Check("cores", f"{usable} usable"),
        _Check(
            "memory",
            f"{format_bytes(memory.available)} available of {format_bytes(memory.total)}",
        ),
    ]
    for name, folder in (("here", Path.cwd()), ("temporary", Path(tempfile.gettempdir()))):
        checks.append(_writable(name, folder))
    return checks


def _writable(name: str, folder: Path) -> _Check:
    free = shutil.disk_usage(folder).free
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        # Reading sources from here is fine; only the temporary folder must take files.
        return _Check(f"disk {name}", f"{folder}: {error.strerror}", 5 if name != "here" else 0)
    low = free < _LOW_DISK
    room = f"{folder}: {format_bytes(free)} free"
    return _Check(f"disk {name}", room + (", too little" if low else ""), 5 if low else 0)
