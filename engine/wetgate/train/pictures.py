"""Training pictures: photographs with a licence on record, and generated ones.

No photograph enters without a record that names its licence and its SHA-256, and none whose
hash is on the list of evaluation pictures.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgate.model.errors import InputError
from wetgate.train.generated import generated_picture

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_log = logging.getLogger(__name__)

_DATA = Path(__file__).parent / "data"
_SHRINKS = (2, 3, 4, 6)
"""Photographs are reduced so that they are sharp at the pixel and free of JPEG's traces."""
_DENSE_SHRINKS = (3, 4, 6, 8, 10)
"""Small pictures show more of the scene in a pixel: these are as dense as a half-megapixel scan
of a slide, which a large photograph at its own size is not."""
_DENSE_TRIES = 2, 9
_LEAST = 160
_HELD_OUT = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotographRecord:
    """One photograph that may train: where it is from and under which licence."""

    file: str
    package: str
    version: str
    author: str
    licence: str
    sha256: str


@lru_cache(maxsize=1)
def photograph_records() -> tuple[PhotographRecord, ...]:
    """Return the committed records of all photographs that may train."""
    entries = _toml(_DATA / "photographs.toml")["photograph"]
    assert isinstance(entries, list)
    return tuple(PhotographRecord(**entry) for entry in entries)


@lru_cache(maxsize=1)
def evaluation_digests() -> frozenset[str]:
    """Return the SHA-256 of every picture kept apart for evaluation."""
    return frozenset((_DATA / "evaluation.sha256").read_text("utf-8").split())


def _toml(path: Path) -> dict[str, object]:
    with path.open("rb") as file:
        return tomllib.load(file)


class Pictures:
    """Photographs in memory at several sizes, and an endless supply of generated pictures.

    Args:
        photographs: 16-bit pictures are made of these `(record, uint8 rgb)` pairs.
        generated: share of the crops that are generated.

    Every seventh photograph, in the order of its name, is held out of training for validation.
    """

    def __init__(
        self,
        photographs: Sequence[tuple[PhotographRecord, NDArray[np.uint8]]],
        *,
        generated: float = 0.25,
    ) -> None:
        ordered = sorted(photographs, key=lambda p: p[0].file)
        self._records = tuple(record for record, _ in ordered)
        self.generated = generated if ordered else 1.0
        self._train: list[NDArray[np.uint16]] = []
        self._held: list[NDArray[np.uint16]] = []
        self._dense: list[NDArray[np.uint16]] = []
        self._dense_held: list[NDArray[np.uint16]] = []
        for index, (_, picture) in enumerate(ordered):
            held = _is_held(index)
            (self._held if held else self._train).extend(_reduced(picture, _SHRINKS))
            dense = self._dense_held if held else self._dense
            dense.extend(_reduced(picture, _DENSE_SHRINKS))

    @classmethod
    def load(cls, folders: Sequence[Path], *, generated: float = 0.25) -> Pictures:
        """Read every recorded photograph found in folders, at any depth.

        Raises:
            InputError: a folder holds no recorded photograph, or one kept for evaluation.
        """
        import cv2

        known = {record.sha256: record for record in photograph_records()}
        found: dict[str, tuple[PhotographRecord, NDArray[np.uint8]]] = {}
        for folder in folders:
            before = len(found)
            for path, digest in _digests(folder):
                if digest in evaluation_digests():
                    raise InputError(
                        "a picture kept for evaluation lies in a training folder", path=path,
                        remedy="take it out",
                    )  # fmt: skip
                if digest in known and digest not in found:
                    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
                    if picture is None:
                        raise InputError("a photograph that cannot be read", path=path)
                    rgb = np.ascontiguousarray(picture[..., ::-1])
                    found[digest] = (known[digest], rgb.astype(np.uint8, copy=False))
            if len(found) == before:
                raise InputError(
                    "no photograph with a licence on record",
                    path=folder,
                    expected="files listed in train/data/photographs.toml",
                )
        missing = sorted(r.file for r in photograph_records() if r.sha256 not in found)
        if missing:
            _log.warning("photographs not at hand: %s", ", ".join(missing))
        return cls(list(found.values()), generated=generated)

    def uses(self) -> tuple[tuple[PhotographRecord, bool], ...]:
        """Return every photograph in memory and whether it is held out."""
        return tuple((record, _is_held(i)) for i, record in enumerate(self._records))

    def crops(
        self, rng: np.random.Generator, count: int, size: int, *, generated: float | None = None
    ) -> NDArray[np.float32]:
        """Return `(count, size, size, 3)` training crops, 0-1, turned and mirrored at random.

        Args:
            generated: share of generated pictures; None for the usual one.
        """
        share = self.generated if generated is None else generated
        return np.stack([self._crop(rng, size, self._train, share) for _ in range(count)])

    def held_out(self, rng: np.random.Generator, count: int, size: int) -> NDArray[np.float32]:
        """Return crops of photographs that never train, and of generated pictures."""
        share = 0.25 if self._held else 1.0
        return np.stack([self._crop(rng, size, self._held, share) for _ in range(count)])

    def dense_crop(
        self, rng: np.random.Generator, size: int, *, generated: float, held: bool = False
    ) -> NDArray[np.float32]:
        """Return one `(size, size, 3)` crop of a photograph made so small that it is all detail.

        Args:
            generated: share of generated pictures. held: of the photographs that never train.
        """
        photographs = self._dense_held if held else self._dense
        return self._crop(rng, size, photographs, generated, tries=_DENSE_TRIES, even=True)

    def _crop(
        self,
        rng: np.random.Generator,
        size: int,
        photographs: Sequence[NDArray[np.uint16]],
        generated: float,
        *,
        tries: tuple[int, int] = (1, 5),
        even: bool = False,
    ) -> NDArray[np.float32]:
        fitting = [p for p in photographs if min(p.shape[:2]) >= size]
        if rng.uniform() < generated or not fitting:
            return generated_picture(rng, size)
        # Small versions are few pixels but other structure: draw by the root of the area.
        sides = np.array([1 if even else min(p.shape[:2]) for p in fitting], np.float64)
        chance = sides / sides.sum()
        picture = fitting[int(rng.choice(len(fitting), p=chance))]
        # Much of a photograph is out of focus: of some crops take the one with most detail.
        windows = [_window(rng, picture, size) for _ in range(int(rng.integers(*tries)))]
        code = max(windows, key=_detail)
        crop = code.astype(np.float32) / np.float32(65535)
        crop = np.rot90(crop, int(rng.integers(4)))
        if rng.uniform() < 0.5:
            crop = crop[::-1]
        # A little exposure and color change: film is not balanced like a photograph.
        gain = rng.uniform(0.7, 1.1) * rng.uniform(0.92, 1.08, 3)
        return np.asarray(np.clip(crop * gain.astype(np.float32), 0.0, 1.0), np.float32)


def _is_held(index: int) -> bool:
    return index % _HELD_OUT == _HELD_OUT - 1


def _window(rng: np.random.Generator, picture: NDArray[np.uint16], size: int) -> NDArray[np.uint16]:
    y = int(rng.integers(0, picture.shape[0] - size + 1))
    x = int(rng.integers(0, picture.shape[1] - size + 1))
    return picture[y : y + size, x : x + size]


def _detail(code: NDArray[np.uint16]) -> float:
    """Return the mean step between neighbors in units of the mean, both softened."""
    green = code[::2, ::2, 1].astype(np.float32)
    step = np.abs(np.diff(green, axis=1)).mean() + np.abs(np.diff(green, axis=0)).mean()
    return float(step / (green.mean() + 6000))


def _digests(folder: Path) -> Iterator[tuple[Path, str]]:
    kinds = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in kinds and path.is_file():
            yield path, hashlib.sha256(path.read_bytes()).hexdigest()


def _reduced(picture: NDArray[np.uint8], shrinks: Sequence[int]) -> Iterator[NDArray[np.uint16]]:
    """Reduce by whole factors in linear light, gamma 2.2, and keep 16 bits."""
    import cv2

    linear = (picture.astype(np.float32) / np.float32(255)) ** np.float32(2.2)
    for shrink in shrinks:
        height, width = picture.shape[0] // shrink, picture.shape[1] // shrink
        if min(height, width) < _LEAST:
            return
        whole = linear[: height * shrink, : width * shrink]
        small = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
        code = np.clip(small, 0, 1) ** np.float32(1 / 2.2) * np.float32(65535)
        yield np.rint(code).astype(np.uint16)
