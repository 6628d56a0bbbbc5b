"""Longer clips of filmed photographs, charts and leaves, by which the blobs of `dirt` are judged.

The camera stands still, pans, is shaken, or looks past things that move, on one picture; the
dirt of the presets, or recorded film damage, or action, lies on it. Seeds are fixed: the clips of
`FITTED` are for fits, those of `CHOSEN`, of other pictures and seeds, for what is chosen by hand,
such as where blobs begin.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgate.model.errors import InputError
from wetgate.simulate import (
    ActionSpec,
    CameraSpec,
    DamagedShot,
    DamageSpec,
    DirtSpec,
    GrainSpec,
    expand_highlights,
    preset,
)
from wetgate.train.generated import dead_leaves, fine_lines, windows, words_and_lines
from wetgate.train.pictures import photograph_records
from wetgate.train.tasks._dirt_clips import ACTIONS, DirtClip, labels_of

SIZE = 256, 192
FRAMES = 15
_NUMBERS = range(1001, 1001 + FRAMES)
_STRENGTHS = ("light", "medium", "heavy")
_OVERLAYS = {"light": 1.0, "medium": 2.0, "heavy": 4.0}
_CAMERA_SEED, _SEED_STEP, _OVERLAY_STEP, _ACTION_STEP = 7301, 100, 10, 50
_WIDE, _HIGH, _UPRIGHT = 520, 350, 1.45
_GENERATED = {
    "lines": (words_and_lines, 400), "leaves": (dead_leaves, 440), "chart": (fine_lines, 440),
    "windows": (windows, 440),
}  # fmt: skip
_PEAK = 6.0
_CODES = 1023

Picture = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filmed:
    """One picture, how it is filmed, and whether things act before it as well.

    Attributes:
        file: name of a recorded photograph, or what is generated: "leaves", "lines", "chart" or
            "windows", and from which seed.
        pan, shake: as of `CameraSpec`. occluders: as of `DamageSpec`.
    """

    name: str
    file: str
    pan: tuple[float, float] = (0.0, 0.0)
    shake: float = 0.0
    occluders: int = 0
    acted: bool = False


FITTED = 90000, (
    Filmed(name="meadow-slow", file="GreenMeadow.jpg", pan=(1.1, 0.5), shake=0.5),
    Filmed(
        name="green-fast", file="greentock_by_Peter_Nerlich.jpg", pan=(6.5, 0.8), acted=True
    ),
    Filmed(name="wine-occ", file="Wine_by_Jakkub_Mede.jpg", pan=(2.6, -0.7), occluders=3),
    Filmed(name="bridge-shaken", file="Bridge_by_Sander_Klootwijk.jpg", shake=5.0, acted=True),
    Filmed(name="storm-sub", file="Storm.jpg", pan=(0.4, 0.25)),
    Filmed(name="wood-hand", file="Wood.jpg", pan=(2.2, 1.0), shake=1.0),
    Filmed(name="lady-still", file="LadyBird.jpg", acted=True),
    Filmed(name="umang-still", file="umang_by_Abhishek_Mudgal.jpg"),
    Filmed(
        name="friends-mover", file="friends_by_Aitzol_Berasategi.jpg", occluders=2, acted=True
    ),
    Filmed(name="dune-fast", file="Dune.jpg", pan=(5.0, -1.2), acted=True),
    Filmed(name="wings-still", file="TwoWings.jpg", acted=True),
    Filmed(
        name="pattern-sub", file="analogpattern_by_Peter_Nerlich.jpg", pan=(0.45, 0.3), acted=True
    ),
    Filmed(name="room-still", file="Picture_1A_by_freespace.jpg"),
    Filmed(name="drops-shaken", file="RainDrops.jpg", shake=5.0, acted=True),
    Filmed(name="chart-sub", file="chart 31", pan=(0.35, -0.22)),
    Filmed(name="leaves-deep", file="leaves 32", pan=(1.6, 0.4), shake=0.5, occluders=4),
    Filmed(name="chart-hand", file="chart 33", pan=(0.8, 0.5), shake=0.6),
    Filmed(name="leaves-sub", file="leaves 34", pan=(-0.6, 0.3), occluders=3),
    Filmed(name="aqua-sub", file="Aqua.jpg", pan=(0.3, 0.5), acted=True),
    Filmed(name="dragon-occ", file="Dragonfly_by_Bolly.jpg", pan=(1.8, 0.4), occluders=4),
    Filmed(name="chart-two", file="chart 35", pan=(0.5, 0.3), occluders=2),
)  # fmt: skip
"""First seed, and what is filmed."""
CHOSEN = (
    190000,
    (
        Filmed(name="lines-sub", file="lines 5", pan=(0.37, 0.21)),
        Filmed(name="leaves-pan", file="leaves 9", pan=(2.1, 0.6), occluders=2),
        Filmed(
            name="picos-fast",
            file="picosdeeuropa_by_Aitzol_Berasategi.jpg",
            pan=(5.5, 1.0),
            acted=True,
        ),
        Filmed(name="garden-still", file="Garden.jpg", acted=True),
        Filmed(name="pic0b-shaken", file="Picture_0B_by_freespace.jpg", shake=6.0),
        Filmed(name="chart-fine", file="chart 12", pan=(0.31, -0.36)),
        Filmed(name="leaves-near", file="leaves 14", pan=(1.4, 0.4), shake=0.4, occluders=4),
        Filmed(name="chart-slow", file="chart 16", pan=(0.42, 0.17)),
    ),
)


def filmed_clips(
    table: tuple[int, Sequence[Filmed]], folders: Sequence[Path], overlays: Path | None
) -> Iterator[tuple[str, DirtClip]]:
    """Yield the clips of a table by name: each strength of dirt, one of overlays, every action.

    Args:
        folders: with the photographs, at any depth. overlays: folder of film damage that trains.
    """
    seed, films = table
    for index, film in enumerate(films):
        yield from film_clips(index, film, seed, folders, overlays)


def film_clips(
    index: int, film: Filmed, seed: int, folders: Sequence[Path], overlays: Path | None
) -> Iterator[tuple[str, DirtClip]]:
    """Yield the clips of one film of a table, by its index there and the table's seed."""
    first = seed + _SEED_STEP * index
    frames = film_frames(film, folders)
    for step, strength in enumerate(_STRENGTHS):
        spec = replace(preset(f"dirt-{strength}", first + step), grain=GrainSpec())
        yield f"{film.name}, {strength}", _clip(frames, spec)
        if overlays is not None and index % len(_STRENGTHS) == step:
            laid = DirtSpec(
                specks=0, hairs=0, opacity=(0.3, 1.0), overlays=overlays,
                overlay_count=_OVERLAYS[strength], overlay_extent=0.5,
            )  # fmt: skip
            spec = preset(f"dirt-{strength}", first + _OVERLAY_STEP + step)
            spec = replace(spec, dirt=laid, grain=GrainSpec())
            yield f"{film.name}, overlays, {strength}", _clip(frames, spec)
    for step, kind in enumerate((*ACTIONS, None) if film.acted else ()):
        action = None if kind is None else ActionSpec(kind=kind)
        spec = DamageSpec(seed=first + _ACTION_STEP + step, action=action, grain=GrainSpec())
        yield f"{film.name}, {kind or 'nothing'}", _clip(frames, spec)


def film_frames(film: Filmed, folders: Sequence[Path]) -> Picture:
    """Return what the camera sees of a film, scene-linear `(FRAMES, h, w, 3)`; no damage."""
    return _filmed(film, _picture(film.file, folders))


def _clip(frames: Picture, spec: DamageSpec) -> DirtClip:
    shot = DamagedShot(lambda n: frames[n - _NUMBERS[0]], spec)
    made = [shot[n] for n in _NUMBERS]
    codes = [np.rint(f.pixels * np.float32(_CODES)).astype(np.uint16) for f in made]
    return DirtClip(np.stack(codes), np.stack([labels_of(f) for f in made]))


def _filmed(film: Filmed, picture: Picture) -> Picture:
    """Return what the camera sees, scene-linear; it starts so that it stays inside."""
    height, width = picture.shape[:2]
    travel = np.array(film.pan) * (FRAMES - 1)
    center = 0.5 - 0.5 * travel / (width - 1, height - 1)
    spec = DamageSpec(
        seed=_CAMERA_SEED + zlib.crc32(film.name.encode()) % 1000,
        size=SIZE,
        camera=CameraSpec(
            pan=film.pan, shake=film.shake, center=(float(center[0]), float(center[1]))
        ),
        occluders=film.occluders,
        bits=None,
    )
    shot = DamagedShot(picture, spec)
    return np.stack([shot.after(n, "camera") for n in _NUMBERS])


def _picture(file: str, folders: Sequence[Path]) -> Picture:
    """Return a photograph, reduced to about 520 x 350 px, or a generated one, scene-linear.

    Raises:
        InputError: it is in none of the folders.
    """
    kind, _, seed = file.partition(" ")
    if kind in _GENERATED:
        make, size = _GENERATED[kind]
        display = make(np.random.default_rng(int(seed)), size)
    else:
        display = _photograph(file, folders)
    x = display.astype(np.float64)
    linear = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    return expand_highlights(linear.astype(np.float32), _PEAK)


def _photograph(file: str, folders: Sequence[Path]) -> Picture:
    import cv2

    known = {r.sha256 for r in photograph_records() if r.file == file}
    for path in (p for folder in folders for p in sorted(folder.rglob(file))):
        encoded = path.read_bytes()
        if hashlib.sha256(encoded).hexdigest() in known:
            codes = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
            if codes is None:
                raise InputError("a photograph that cannot be read", path=path)
            height, width = codes.shape[:2]
            scale = _WIDE / width if width / height < _UPRIGHT else _HIGH / height
            size = round(width * scale), round(height * scale)
            small = cv2.resize(codes[..., ::-1], size, interpolation=cv2.INTER_AREA)
            return small.astype(np.float32) / np.float32(255)
    raise InputError(
        f"no photograph {file} with a licence on record", path=folders[0] if folders else None,
        expected="a file listed in train/data/photographs.toml",
    )  # fmt: skip
