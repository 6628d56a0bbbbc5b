"""The material of the dirt benchmark: plates, what dirt does to them, and clean action.

Everything is 10-bit log film with grain, float32 0-1, `(height, width, 3)` a frame; seeds are
fixed. Published plates and overlays are read from a folder and skipped where it is absent.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from wetgate.bench import denoise_clips
from wetgate.bench.dirt.truth import Masks, masks_of
from wetgate.bench.material import published_stills
from wetgate.simulate import (
    ActionSpec,
    CameraSpec,
    DamagedFrame,
    DamagedShot,
    DamageSpec,
    DirtSpec,
    GrainSpec,
    expand_highlights,
    preset,
)
from wetgate.simulate.action import Kind
from wetgate.simulate.dirt_shapes import is_held_out, overlay_classes

WIDTH, HEIGHT = denoise_clips.WIDTH, denoise_clips.HEIGHT
FRAMES = denoise_clips.FRAMES
FIRST = 1001
REACH = 3
"""Frames either side in which hidden content may show."""
NUMBERS = range(FIRST, FIRST + FRAMES)
SCORED = range(FIRST + REACH, FIRST + FRAMES - REACH)
"""Frames with `REACH` neighbors on each side; of clean action every frame counts."""
SEEDS = (11, 23, 37)
STRENGTHS = ("light", "medium", "heavy")
ACTIONS: tuple[Kind, ...] = get_args(Kind)
_PEAK = 6.0
_OVERLAYS: Mapping[str, float] = {"light": 1.0, "medium": 2.0, "heavy": 4.0}
_OVERLAY_EXTENT = 0.5

Group = Literal["moving", "static"]
Pixels = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Plate:
    """A clean shot of scene-linear light, one array `(frame, height, width, 3)`."""

    name: str
    group: Group
    frames: Pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class DirtyClip:
    """A plate with dirt, or with clean action alone.

    Attributes:
        plate: whose it is; clips of one plate are not independent.
        kind: "light", "medium", "heavy", "overlays, ...", or what the action is.
        frames: by frame number. masks: of every frame; empty where there is no dirt.
    """

    plate: str
    group: Group
    kind: str
    frames: Mapping[int, DamagedFrame]
    masks: Mapping[int, Masks]

    @property
    def name(self) -> str:
        """Return the name of the clip."""
        return f"{self.plate} | {self.kind}"

    @property
    def pixels(self) -> dict[int, Pixels]:
        """Return what a restorer is given, by frame number."""
        return {n: f.pixels for n, f in self.frames.items()}


def plates(data: Path | None, wanted: Sequence[str] | None = None) -> tuple[list[Plate], list[str]]:
    """Return the plates at hand, and why others were skipped.

    Args:
        data: folder of published pictures.
        wanted: names of the only plates to make.
    """
    found: list[Plate] = []
    skipped: list[str] = []
    moving = ("city", "aspen", "photo, hand-held", "leaves, parallax", "chart, sub-pixel pan")
    known: tuple[tuple[Group, tuple[str, ...]], ...] = (
        ("moving", moving),
        ("static", ("static, one mover",)),
    )
    for group, names in known:
        chosen = [n for n in names if wanted is None or n in wanted]
        clips, missing = denoise_clips.clips(data, chosen)
        found += [Plate(c.name, group, to_light(c.frames)) for c in clips]
        skipped += missing
    stills, missing = published_stills("cbsd68", data)
    skipped += missing
    for still in _STILLS if stills else ():
        if wanted is None or still.name in wanted:
            found.append(_filmed(still, to_light(stills[still.still])))
    return found, skipped


def to_light(display: Pixels) -> Pixels:
    """Return the scene behind display-referred values, highlights of 6 and all."""
    x = display.astype(np.float64)
    linear = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    return expand_highlights(linear.astype(np.float32), _PEAK)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Still:
    name: str
    group: Group
    still: str
    pan: tuple[float, float] = (0.0, 0.0)
    shake: float = 0.0
    occluders: int = 0


_STILLS = (
    _Still(name="still, slow pan", group="moving", still="102061", pan=(1.3, 0.4), shake=0.5),
    _Still(name="still, fast pan", group="moving", still="101085", pan=(0.7, 7.0)),
    _Still(name="still, occluders", group="moving", still="14037", pan=(3.1, -0.9), occluders=3),
    _Still(name="still, shaken", group="moving", still="296059", shake=6.0),
    _Still(name="still, locked off", group="static", still="108082"),
    _Still(name="second still, locked off", group="static", still="157055"),
    _Still(name="third still, locked off", group="static", still="304074"),
)


def _filmed(still: _Still, picture: Pixels) -> Plate:
    """Film a still of 481x321 (or upright), the camera starting so that it stays inside."""
    height, width = picture.shape[:2]
    travel = np.array(still.pan) * (FRAMES - 1)
    center = 0.5 - 0.5 * travel / (width - 1, height - 1)
    spec = DamageSpec(
        seed=SEEDS[0],
        size=(WIDTH, HEIGHT),
        camera=CameraSpec(
            pan=still.pan, shake=still.shake, center=(float(center[0]), float(center[1]))
        ),
        occluders=still.occluders,
        bits=None,
    )
    shot = DamagedShot(picture, spec)
    return Plate(still.name, still.group, np.stack([shot.after(n, "camera") for n in NUMBERS]))


def dirty_clip(plate: Plate, strength: str, seed: int, overlays: Path | None = None) -> DirtyClip:
    """Lay the simulator's dirt on a plate, or the pictures of dirt in a folder."""
    spec = preset(f"dirt-{strength}", seed)
    kind = strength
    if overlays is not None:
        kind = f"overlays, {strength}"
        dirt = DirtSpec(
            specks=0,
            hairs=0,
            opacity=(0.3, 1.0),
            overlays=overlays,
            overlay_count=_OVERLAYS[strength],
            overlay_extent=_OVERLAY_EXTENT,
        )
        spec = replace(spec, dirt=dirt)
    frames = _damaged(plate, replace(spec, grain=GrainSpec()))
    masks = {n: masks_of(f) for n, f in frames.items()}
    return DirtyClip(plate=plate.name, group=plate.group, kind=kind, frames=frames, masks=masks)


def action_clip(plate: Plate, kind: Kind | None, seed: int) -> DirtyClip:
    """Let things move before a plate, or nothing at all; there is no dirt on it."""
    action = None if kind is None else ActionSpec(kind=kind)
    frames = _damaged(plate, DamageSpec(seed=seed, action=action, grain=GrainSpec()))
    name = kind or "nothing but the plate"
    return DirtyClip(plate=plate.name, group=plate.group, kind=name, frames=frames, masks={})


def _damaged(plate: Plate, spec: DamageSpec) -> dict[int, DamagedFrame]:
    shot = DamagedShot(lambda n: plate.frames[n - FIRST], spec)
    return {n: shot[n] for n in NUMBERS}


def held_out_overlays(data: Path | None, into: Path) -> Path:
    """Copy the overlays kept for measuring, one directory a class, into a folder.

    Raises:
        FileNotFoundError: when there are none, with the reason.
    """
    source = None if data is None else data / "film-damage"
    if source is None or not source.is_dir():
        raise FileNotFoundError("overlays: no folder film-damage in the test pictures")
    for name, files in overlay_classes(source).items():
        kept = [f for f in files if is_held_out(f.name)]
        if kept:
            (into / name).mkdir(parents=True)
        for path in kept:
            shutil.copyfile(path, into / name / path.name)
    return into


def damage_plan(
    found: Sequence[Plate], overlays: Path | None, *, quick: bool
) -> Iterator[Callable[[], DirtyClip]]:
    """Yield makers of the damaged clips, so that one is in memory at a time."""
    for index, plate in enumerate(found):
        for step, strength in enumerate(STRENGTHS):
            if quick and strength != "medium":
                continue
            # The simulator lays the same dirt on every plate of one seed.
            seed = SEEDS[step] + 100 * index

            def simulated(plate: Plate = plate, level: str = strength, s: int = seed) -> DirtyClip:
                return dirty_clip(plate, level, s)

            def overlaid(plate: Plate = plate, level: str = strength, s: int = seed) -> DirtyClip:
                return dirty_clip(plate, level, s, overlays)

            yield simulated
            # Every strength of overlays, each plate with one of them.
            if overlays is not None and (quick or index % len(STRENGTHS) == step):
                yield overlaid


def action_plan(found: Sequence[Plate], *, quick: bool) -> Iterator[Callable[[], DirtyClip]]:
    """Yield makers of the clean clips: every action before every plate given, and before none."""
    for index, plate in enumerate(found):
        for step, kind in enumerate((*ACTIONS, None)):
            if quick and (step + index) % len(found) != 0:
                continue

            def acted(plate: Plate = plate, kind: Kind | None = kind, s: int = step) -> DirtyClip:
                return action_clip(plate, kind, SEEDS[s % len(SEEDS)])

            yield acted
