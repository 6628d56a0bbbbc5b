"""The one way in for weights that were made elsewhere."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from wetgate.importers import known as catalogue
from wetgate.importers import onnx_guard
from wetgate.importers.limits import Limits
from wetgate.importers.sandbox import Answer, Job, run_child
from wetgate.model.errors import ModelLoadError, OutOfMemory, WetgateError
from wetgate.weights.card import ModelCard, check_name
from wetgate.weights.library import ModelPackage, write_package

_FREE = frozenset(
    [
        *("0BSD", "AFL-3.0", "AGPL-3.0-only", "AGPL-3.0-or-later", "Apache-2.0", "Artistic-2.0"),
        *("BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-3.0"),
        *("CC-BY-SA-4.0", "CC0-1.0", "EUPL-1.2", "GPL-2.0-only", "GPL-2.0-or-later"),
        *("GPL-3.0-only", "GPL-3.0-or-later", "ISC", "LGPL-2.1-only", "LGPL-2.1-or-later"),
        *("LGPL-3.0-only", "LGPL-3.0-or-later", "MIT", "MIT-0", "MPL-2.0", "Unlicense", "WTFPL"),
        *("Zlib",),
    ]
)
"""SPDX names of licences that allow commercial use. Others are taken as not allowing it."""

UNKNOWN_LICENCE = "not stated"


@dataclass(frozen=True, slots=True)
class _Source:
    """Files to import and what is known of them beforehand."""

    job: Job
    files: Mapping[str, bytes]
    stem: str
    origin: str
    licence: str | None
    description: str


def import_model(
    source: str | Path,
    *,
    name: str | None = None,
    licence: str | None = None,
    destination: Path,
    accept_noncommercial: bool = False,
    generative: bool = True,
    overwrite: bool = False,
    limits: Limits | None = None,
) -> ModelPackage:
    """Turn weights into a model package, in a process that cannot reach anything.

    Args:
        source: an `.onnx` file; a PyTorch checkpoint (`.pth`, `.pt`, `.ckpt`, `.safetensors`) of
            a family that spandrel knows; one of an ncnn pair `.param` and `.bin`; or a name of
            `known.KNOWN`, e.g. "realesrgan-x4plus", whose package is installed.
        name: of the package; made from the file name when None.
        licence: SPDX name as the author of the weights states it.
        destination: folder of model packages; the package is `destination / name`.
        accept_noncommercial: also take weights whose licence does not allow commercial use or is
            not stated; the card then says so, and a render asks again.
        generative: whether it may invent detail. Nobody has measured it, hence True.
        overwrite: replace a package of the same name.
        limits: what the file may ask for.

    Raises:
        UsageError: a name that no model may have.
        ModelLoadError: refused, damaged, not a model, or a licence that was not accepted.
        OutOfMemory: it asks for more memory than the limits allow.
    """
    if name is not None:
        check_name(name)
    limits = limits or Limits()
    found = _find(source, limits)
    licence = licence or found.licence or UNKNOWN_LICENCE
    commercial = licence in _FREE
    if not commercial and not accept_noncommercial:
        raise ModelLoadError(
            f"licence {licence}",
            path=source,
            expected="a licence that allows commercial use, by its SPDX name",
            remedy="state the licence of the weights, or accept non-commercial use",
        )
    title = name or _slug(found.stem)
    folder = destination / title
    if folder.exists() and not overwrite:
        raise ModelLoadError(
            "there is a model already", path=folder, remedy="remove it first, or choose a name"
        )
    try:
        answer = run_child(found.job, found.files, limits=limits)
        # Made by a process that read a hostile file: look at it again with our own eyes.
        onnx_guard.vet(onnx_guard.parse(answer.graph, limits), limits)
        card = _card(answer, found, title, licence, commercial, generative)
    except WetgateError as error:
        raise _located(error, source) from error
    return write_package(folder, card, {"model.onnx": answer.graph}, overwrite=overwrite)


def _find(source: str | Path, limits: Limits) -> _Source:
    path = Path(source)
    if isinstance(source, str) and source in catalogue.KNOWN and not path.exists():
        entry, path, origin = catalogue.find_known(source)
        pair = _pair(path, limits)
        return _Source(
            "ncnn",
            pair,
            source,
            f"{origin}, {entry.author}; {_digests(path, pair)}",
            entry.licence,
            entry.description,
        )
    if not path.exists() and not path.is_symlink():
        if isinstance(source, str) and path.name == source and not path.suffix:
            catalogue.find_known(source)
        raise ModelLoadError("no such file", path=path)
    if path.suffix in (".param", ".bin") and path.with_suffix(".param").exists():
        pair = _pair(path.with_suffix(".param"), limits)
        return _Source("ncnn", pair, path.stem, _digests(path, pair), None, "")
    data = _read(path, limits)
    job, inside = _sniff(data, path)
    origin = catalogue.origin_of(path.name, data)
    return _Source(job, {inside: data}, path.stem, origin, None, "")


def _pair(path: Path, limits: Limits) -> dict[str, bytes]:
    return {
        "model.param": _read(path, limits),
        "model.bin": _read(path.with_suffix(".bin"), limits),
    }


def _digests(path: Path, pair: Mapping[str, bytes]) -> str:
    names = (path.with_suffix(Path(inside).suffix).name for inside in pair)
    return ", ".join(map(catalogue.origin_of, names, pair.values()))


def _read(path: Path, limits: Limits) -> bytes:
    """Return the content of a regular file; what comes later works on this copy alone."""
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise ModelLoadError("not a regular file", path=path)
            if facts.st_size > limits.file_bytes:
                raise ModelLoadError(
                    f"{facts.st_size} bytes", path=path, expected=f"at most {limits.file_bytes}"
                )
            return file.read(limits.file_bytes)
    except OSError as error:
        raise ModelLoadError(error.strerror or str(error), path=path) from error


def _sniff(data: bytes, path: Path) -> tuple[Job, str]:
    """Tell by content what a file is; the name decides only between ONNX and nothing."""
    if data[:4] == b"PK\x03\x04" or data[:1] == b"\x80":
        return "checkpoint", "model.pth"
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") < len(data):
        return "checkpoint", "model.safetensors"
    if path.suffix.lower() == ".onnx":
        return "onnx", "model.onnx"
    raise ModelLoadError(
        "not a model",
        path=path,
        expected="ONNX, safetensors, a PyTorch checkpoint, or an ncnn pair .param and .bin",
    )


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")[:64].strip("-._") or "model"


def _card(
    answer: Answer, found: _Source, name: str, licence: str, commercial: bool, generative: bool
) -> ModelCard:
    """Write the card from what the child measured.

    Raises:
        ModelLoadError: facts that are absent or make no sense.
    """
    facts = answer.facts
    try:
        numbers = {k: _whole(facts[k]) for k in _NUMBERS}
        seam, gray = float(cast(float, facts["seam"])), float(cast(float, facts["gray"]))
        exact, window = bool(facts["exact_halo"]), numbers["window"]
    except (KeyError, TypeError, ValueError) as error:
        raise ModelLoadError(f"the importing process gave no sound facts: {error}") from error
    planes = ("r", "g", "b") if numbers["channels"] == 3 else ("y",)
    options: dict[str, str | int | float | bool] = {
        "imported": True,
        "window": window,
        "exact_halo": exact,
        "seam": seam,
        "gray": gray,
        "bytes_per_pixel": numbers["bytes_per_pixel"],
    }
    if isinstance(facts.get("differs_from_torch"), float):
        options["differs_from_torch"] = cast(float, facts["differs_from_torch"])
    tags = [*_strings(facts.get("tags")), *_strings(facts.get("converted"))]
    words = [found.description, f"Found: {', '.join(tags)}." if tags else ""]
    if window:
        words.append(
            f"Its look is fixed or has no end in sight, so it runs in windows of {window} px."
        )
    return ModelCard(
        name=name,
        version=1,
        task="generic",
        architecture=str(facts.get("architecture", "ONNX graph"))[:80],
        parameters=numbers["parameters"],
        scale=numbers["scale"],
        halo=numbers["halo"],
        size_multiple=numbers["size_multiple"],
        inputs=planes,
        outputs=planes,
        color_encoding="display-referred, 0-1",
        provenance=5,
        generative=generative,
        description=" ".join(w for w in words if w),
        licence=licence,
        commercial=commercial,
        files={"model.onnx": "0" * 64},
        origin=found.origin,
        options=options,
    )


_NUMBERS = (
    "parameters",
    "channels",
    "scale",
    "size_multiple",
    "halo",
    "window",
    "bytes_per_pixel",
)


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 40:
        raise ValueError(f"{value!r} is no whole number")
    return value


def _strings(value: object) -> list[str]:
    return [str(v)[:200] for v in value[:20]] if isinstance(value, list) else []


def _located(error: WetgateError, source: str | Path) -> WetgateError:
    """Return the error with the file it is about."""
    if error.path is not None:
        return error
    kind = OutOfMemory if isinstance(error, OutOfMemory) else type(error)
    return kind(error.found, path=source, expected=error.expected, remedy=error.remedy)
