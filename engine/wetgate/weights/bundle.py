"""Several model packages in one file, to carry to a machine without a network.

A bundle is a zip without compression: `<name>/card.json` and `<name>/<file>` for every package,
nothing else. The same packages always give the same bytes.
"""

from __future__ import annotations

import io
import os
import secrets
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from wetgate.model.errors import ModelLoadError
from wetgate.weights.card import CARD_NAME, ModelCard
from wetgate.weights.library import ModelPackage, write_package

BUNDLE_SUFFIX = ".wetgate-models"

_DATE = (1980, 1, 1, 0, 0, 0)
_MAX_FILE_BYTES = 2 << 30
_MAX_CARD_BYTES = 8 << 20
_MAX_MEMBERS = 4096


def write_bundle(packages: Sequence[ModelPackage], path: Path) -> None:
    """Write packages into one file, whole or not at all.

    Raises:
        ModelLoadError: none given, one name twice, or a file that is not what its card says.
        OSError: it cannot be written.
    """
    names = [p.card.name for p in packages]
    if not names or len(set(names)) < len(names):
        raise ModelLoadError(
            f"a bundle of {', '.join(names) or 'nothing'}", path=path, expected="one of each"
        )
    temp = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with zipfile.ZipFile(temp, "x", zipfile.ZIP_STORED) as bundle:
            for package in sorted(packages, key=lambda p: p.card.name):
                _put(bundle, package, CARD_NAME, package.card.to_json().encode("utf-8"))
                for name in sorted(package.card.files):
                    _put(bundle, package, name, package.read(name))
        os.replace(temp, path)
    finally:
        temp.unlink(missing_ok=True)


def is_bundle(path: Path) -> bool:
    """Whether a file is a bundle by its content: a zip whose members include a package's card."""
    try:
        with zipfile.ZipFile(path) as bundle:
            return any(name.endswith(f"/{CARD_NAME}") for name in bundle.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def bundle_cards(path: Path) -> tuple[ModelCard, ...]:
    """Return the cards of a bundle, so that licences can be read before anything is added.

    Raises:
        ModelLoadError: not a bundle, or one that holds anything but packages.
    """
    with _opened(path) as bundle:
        return tuple(_cards(bundle, path))


def add_bundle(
    path: Path, destination: Path, *, names: Sequence[str] = (), overwrite: bool = False
) -> tuple[ModelPackage, ...]:
    """Write the packages of a bundle into a folder of packages.

    Args:
        names: take these alone; all when empty.

    Raises:
        ModelLoadError: damaged, not a bundle, or a model that is there already.
    """
    added = []
    with _opened(path) as bundle:
        for card in _cards(bundle, path):
            if names and card.name not in names:
                continue
            files = {n: _get(bundle, f"{card.name}/{n}", path, _MAX_FILE_BYTES) for n in card.files}
            package = write_package(destination / card.name, card, files, overwrite=overwrite)
            if package.card.files != dict(card.files):
                _remove(package)
                raise ModelLoadError(
                    f"{card.name}: files that are not those of its card",
                    path=path,
                    remedy="the bundle is damaged or was changed; make it again",
                )
            added.append(package)
    return tuple(added)


def _cards(bundle: zipfile.ZipFile, path: Path) -> Iterator[ModelCard]:
    members = [info.filename for info in bundle.infolist()]
    allowed: set[str] = set()
    cards = []
    for member in members:
        folder, _, name = member.partition("/")
        if name == CARD_NAME:
            card = ModelCard.from_json(_get(bundle, member, path, _MAX_CARD_BYTES))
            if card.name != folder:
                raise _foreign(path, member)
            cards.append(card)
            allowed |= {member, *(f"{folder}/{n}" for n in card.files)}
    strange = [m for m in members if m not in allowed]
    if strange or not cards or len(set(members)) < len(members):
        raise _foreign(path, strange[0] if strange else "members twice, or none")
    yield from cards


def _get(bundle: zipfile.ZipFile, member: str, path: Path, limit: int) -> bytes:
    try:
        info = bundle.getinfo(member)
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise _foreign(path, f"{member}, compressed or encrypted")
        if info.file_size > limit or info.file_size > path.stat().st_size:
            raise _foreign(path, f"{member} of {info.file_size} bytes")
        with bundle.open(info) as file:
            return file.read(limit)
    except (KeyError, OSError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ModelLoadError(
            f"{member} cannot be read: {error}", path=path, remedy="make the bundle again"
        ) from error


def _put(bundle: zipfile.ZipFile, package: ModelPackage, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(f"{package.card.name}/{name}", _DATE)
    info.external_attr = 0o644 << 16
    with bundle.open(info, "w") as file, io.BytesIO(data) as source:
        file.write(source.getbuffer())


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        bundle = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise ModelLoadError(f"not a bundle: {error}", path=path) from error
    with bundle:
        if len(bundle.infolist()) > _MAX_MEMBERS:
            raise _foreign(path, f"{len(bundle.infolist())} members")
        yield bundle


def _remove(package: ModelPackage) -> None:
    for name in (CARD_NAME, *package.card.files):
        (package.folder / name).unlink(missing_ok=True)
    package.folder.rmdir()


def _foreign(path: Path, found: str) -> ModelLoadError:
    return ModelLoadError(
        f"not a bundle of model packages: {found}",
        path=path,
        expected="card.json and the files that it lists, stored, in a folder per model",
    )
