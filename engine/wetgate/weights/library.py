"""Where model packages live, and the one door through which their bytes are read.

A package is a folder: `card.json` and the files that the card lists with their SHA-256. Those
that come with wetgate lie beside this file; the user's own in `$WETGATE_MODELS`, or in the
user's data folder. Nothing is ever downloaded.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import platformdirs

from wetgate.model.errors import DiskFull, ModelLoadError, OutputError, WetgateError
from wetgate.weights.card import CARD_NAME, ModelCard

_MAX_CARD_BYTES = 8 << 20
"""A card with a record per training file is a few hundred kB."""
_HIDDEN = re.compile(r"\..*")

_proved: dict[tuple[str, str], tuple[int, int, int, int]] = {}
"""(path, expected SHA-256) -> identity of the file when it was last found right."""
_proved_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """A folder with a card and the files that it lists."""

    card: ModelCard
    folder: Path

    def path(self, suffix: str) -> Path | None:
        """Return the weights file with this suffix (".onnx", ".safetensors"), or None."""
        for name in self.card.files:
            if name.endswith(suffix):
                return self.folder / name
        return None

    def read(self, name: str) -> bytes:
        """Return the bytes of a file, proved to be those of the card.

        What runs is what was proved: the bytes are hashed after they were read, so a file that
        is swapped in between does no harm.

        Raises:
            ModelLoadError: not listed, absent, not a regular file, or with another SHA-256.
        """
        expected = self.card.files.get(name)
        path = self.folder / name
        if expected is None:
            raise ModelLoadError(
                f"{name} is not a file of {self.card.name}",
                path=self.folder,
                expected=", ".join(self.card.files),
            )
        data, identity = _read_regular(path)
        found = hashlib.sha256(data).hexdigest()
        if found != expected:
            raise ModelLoadError(
                f"SHA-256 {found}",
                path=path,
                expected=f"{expected}, as the card says",
                remedy="the file is damaged or was changed; remove the model and add it again",
            )
        with _proved_lock:
            _proved[str(path), expected] = identity
        return data

    def verify(self, *, again: bool = False) -> None:
        """Prove every file of the package.

        Args:
            again: also those that this process has already proved and that look unchanged.

        Raises:
            ModelLoadError: as `read`.
        """
        for name, expected in self.card.files.items():
            path = self.folder / name
            with _proved_lock:
                known = _proved.get((str(path), expected))
            if again or known is None or known != _identity(path):
                self.read(name)


@dataclass(frozen=True, slots=True)
class BrokenPackage:
    """A folder that should be a model package and cannot be used."""

    folder: Path
    error: WetgateError


def shipped_folder() -> Path:
    """Return the folder of the packages that come with wetgate."""
    return Path(__file__).parent / "shipped"


def user_folder() -> Path:
    """Return the folder of the user's packages; it need not exist."""
    named = os.environ.get("WETGATE_MODELS")
    return Path(named) if named else Path(platformdirs.user_data_dir("wetgate")) / "models"


def find_model(name_or_path: str | Path) -> ModelPackage:
    """Return a model package by name (those that come with wetgate first) or by its folder.

    Every file is proved against the card.

    Raises:
        ModelLoadError: no such model, or a package that is damaged.
    """
    package = _locate(name_or_path)
    package.verify()
    return package


def recall_model(name_or_path: str | Path) -> ModelPackage:
    """Return what `find_model` does, proved anew only when its card is another file than it was.

    For whoever asks for every tile: reading a card and proving its files takes milliseconds.

    Raises:
        ModelLoadError: as `find_model`.
    """
    key = str(name_or_path), user_folder(), shipped_folder()
    package, stamp = _recalled.get(key, (None, None))
    if package is None or stamp != _stamp(package):
        package = find_model(name_or_path)
        _recalled[key] = package, _stamp(package)
    return package


_recalled: dict[tuple[str, Path, Path], tuple[ModelPackage, tuple[int, ...] | None]] = {}


def _stamp(package: ModelPackage) -> tuple[int, ...] | None:
    """Return what changes with the file of a card; None when it is gone."""
    try:
        found = os.stat(package.folder / CARD_NAME)
    except OSError:
        return None
    return found.st_ino, found.st_dev, found.st_size, found.st_mtime_ns


def open_package(folder: Path) -> ModelPackage:
    """Return the package in a folder, its card read and its files not yet proved.

    Raises:
        ModelLoadError: no card, or one that cannot be used.
    """
    try:
        data, _ = _read_regular(folder / CARD_NAME, limit=_MAX_CARD_BYTES)
        return ModelPackage(ModelCard.from_json(data), folder)
    except ModelLoadError as error:
        if error.path is not None:
            raise
        raise ModelLoadError(
            error.found, path=folder / CARD_NAME, expected=error.expected, remedy=error.remedy
        ) from error


def list_models() -> tuple[ModelPackage, ...]:
    """Return all packages that can be read, those that come with wetgate first, by name.

    Damaged ones are left out; `scan_models` has them.
    """
    return tuple(p for p in scan_models() if isinstance(p, ModelPackage))


def scan_models() -> tuple[ModelPackage | BrokenPackage, ...]:
    """Return all packages, and what looks like one and cannot be read."""
    found: dict[str, ModelPackage | BrokenPackage] = {}
    for root in (shipped_folder(), user_folder()):
        for folder in _folders(root):
            if folder.name not in found:
                found[folder.name] = _opened(folder)
    return tuple(found.values())


def write_package(
    folder: Path, card: ModelCard, files: Mapping[str, bytes], *, overwrite: bool = False
) -> ModelPackage:
    """Write a package whole or not at all.

    Args:
        folder: of the package; made anew. Name it after the card.
        card: its `files` are replaced by what is written here.
        files: name -> bytes.

    Raises:
        ModelLoadError: the folder exists and `overwrite` is not set, or the card is not sound.
        OutputError, DiskFull: it cannot be written.
    """
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
    card = replace(card, files=digests)
    if folder.exists() and not overwrite:
        raise ModelLoadError(
            "there is a model already", path=folder, remedy="remove it first, or choose a name"
        )
    temp = folder.parent / f".{folder.name}.{secrets.token_hex(6)}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temp.mkdir()
        for name, data in files.items():
            _write_synced(temp / name, data)
        _write_synced(temp / CARD_NAME, card.to_json().encode("utf-8"))
        if folder.exists():
            old = folder.parent / f".{folder.name}.{secrets.token_hex(6)}"
            folder.rename(old)
            temp.rename(folder)
            shutil.rmtree(old)
        else:
            temp.rename(folder)
    except OSError as error:
        kind = DiskFull if error.errno == errno.ENOSPC else OutputError
        raise kind(
            error.strerror or str(error),
            path=folder,
            remedy="free space, or set WETGATE_MODELS to a folder that you may write to",
        ) from error
    finally:
        if temp.exists():
            shutil.rmtree(temp, ignore_errors=True)
    return ModelPackage(card, folder)


def _locate(name_or_path: str | Path) -> ModelPackage:
    text = str(name_or_path)
    path = Path(name_or_path)
    is_name = isinstance(name_or_path, str) and path.name == text and text not in (".", "..")
    if is_name and not text.startswith("."):
        for root in (shipped_folder(), user_folder()):
            if (root / text / CARD_NAME).is_file():
                return open_package(root / text)
    if path.is_dir():
        return open_package(path)
    if path.name == CARD_NAME and path.is_file():
        return open_package(path.parent)
    if path.exists():
        raise ModelLoadError(
            "a file is not a model package", path=path, remedy=f"wetgate models add {text}"
        )
    import difflib

    names = [p.card.name for p in list_models()]
    close = difflib.get_close_matches(text, names, n=1, cutoff=0.5)
    raise ModelLoadError(
        f"no model {text!r}",
        expected=f"one of {', '.join(names)}" if names else "the folder of a model package",
        remedy=f"did you mean {close[0]!r}?" if close else "wetgate models list",
    )


def _folders(root: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(
            p for p in root.iterdir() if not _HIDDEN.fullmatch(p.name) and (p / CARD_NAME).is_file()
        )
    return []


def _opened(folder: Path) -> ModelPackage | BrokenPackage:
    try:
        package = open_package(folder)
        if package.card.name != folder.name:
            raise ModelLoadError(
                f"the card is that of {package.card.name!r}",
                path=folder,
                expected="the name of its folder",
            )
    except WetgateError as error:
        return BrokenPackage(folder, error)
    return package


def _read_regular(
    path: Path, *, limit: int | None = None
) -> tuple[bytes, tuple[int, int, int, int]]:
    """Return bytes and identity of a regular file that is no link."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_NONBLOCK", 0)
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise ModelLoadError("not a regular file", path=path)
            if limit is not None and facts.st_size > limit:
                raise ModelLoadError(
                    f"{facts.st_size} bytes", path=path, expected=f"at most {limit}"
                )
            return file.read(), _facts(facts)
    except OSError as error:
        raise ModelLoadError(
            error.strerror or str(error), path=path, remedy="wetgate models verify"
        ) from error


def _identity(path: Path) -> tuple[int, int, int, int] | None:
    with suppress(OSError):
        return _facts(os.lstat(path))
    return None


def _facts(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _write_synced(path: Path, data: bytes) -> None:
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
