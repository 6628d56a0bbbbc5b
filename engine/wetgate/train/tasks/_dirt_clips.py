"""Short damaged clips with the truth about their dirt, for the network and the fits of `dirt`.

A scene of `_dirt_scenes`; film grain; and either dirt, or action that looks like dirt and is none,
or both. Everything random comes from the generator.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from wetgate.model.box import Box
from wetgate.operators.base import SourceFacts, Window
from wetgate.operators.denoise.passes import ShotNoise
from wetgate.operators.denoise.profile import measure
from wetgate.operators.denoise.shot import describe
from wetgate.operators.dirt.detect import dirt_noise
from wetgate.operators.dirt.motion import PairMotion, dirt_picture, pair_motion
from wetgate.simulate import (
    ActionSpec,
    DamagedFrame,
    DamagedShot,
    DamageSpec,
    DirtSpec,
    FlickerSpec,
    GrainSpec,
    ScannerSpec,
)
from wetgate.simulate.action import Kind
from wetgate.simulate.dirt_shapes import is_held_out, overlay_classes
from wetgate.train.pictures import Pictures
from wetgate.train.tasks._dirt_scenes import Scene

ACTIONS: tuple[Kind, ...] = get_args(Kind)
FRAMES = 7
SIZE = 320, 224
"""Width and height of a clip, px."""
CLEAN, DIRT, UNSURE = 0, 1, 2
"""Labels of pixels. Unsure are the soft rims of dirt and what is lost in the grain."""
_SHOWS, _SEEN = 1.0, 3.0
"""Deviations of grain by which dirt changes a px that shows it, and some px of a piece that does,
in the channel where it is most."""
_ROOM = 176
_CODES = 1023

Codes = NDArray[np.uint16]


@dataclass(frozen=True, slots=True, eq=False)
class DirtClip:
    """A damaged clip.

    Attributes:
        pixels: uint16 codes of 10 bits, `(frame, h, w, 3)`.
        labels: uint8 `(frame, h, w)`: `CLEAN`, `DIRT` or `UNSURE`.
    """

    pixels: Codes
    labels: NDArray[np.uint8]


def gather_overlays(into: Path, *, held: bool) -> Path | None:
    """Link the recorded film damage that may train, or that which measures, into a folder.

    Looked for in `WETGATE_TEST_DATA`, else in `../shared/data`; None where it is not at hand.
    """
    named = os.environ.get("WETGATE_TEST_DATA")
    source = (Path(named) if named else Path("..") / "shared" / "data") / "film-damage"
    if not source.is_dir():
        return None
    for name, paths in overlay_classes(source.resolve()).items():
        (into / name).mkdir(parents=True, exist_ok=True)
        for path in paths:
            target = into / name / path.name
            if is_held_out(path.name) == held and not target.exists():
                target.symlink_to(path)
    return into


def make_clip(
    rng: np.random.Generator,
    pictures: Pictures,
    *,
    action: Kind | None = None,
    dirty: bool = True,
    overlays: Path | None = None,
    held: bool = False,
) -> DirtClip:
    """Make one clip.

    Args:
        action: what happens, None for nothing. dirty: whether there is dirt.
        overlays: folder of film damage that is laid on half of the dirty clips.
        held: of pictures that never train.
    """
    seed = int(rng.integers(1 << 31))
    spec = DamageSpec(
        seed=seed,
        grain=GrainSpec(
            granularity=float(rng.uniform(0.02, 0.06)),
            floor=float(rng.uniform(0.004, 0.008)),
            radius=float(rng.uniform(0.5, 0.75)),
        ),
        flicker=FlickerSpec(gain=0.05, gain_jitter=0.03) if rng.uniform() < 0.3 else None,
        scanner=ScannerSpec(blur=(0.45, 0.45), sharpen=0.2) if rng.uniform() < 0.4 else None,
    )
    if action:
        amount, speed = float(rng.uniform(0.4, 1.4)), float(rng.uniform(0.6, 1.4))
        spec = replace(spec, action=ActionSpec(kind=action, amount=amount, speed=speed))
    if dirty:
        spec = replace(spec, dirt=_dirt(rng, overlays))
    scene = Scene(rng, pictures, size=SIZE, frames=FRAMES, room=_ROOM, held=held)
    shot = DamagedShot(scene, spec)
    made = [shot[k] for k in range(FRAMES)]
    codes = [np.rint(f.pixels * np.float32(_CODES)).astype(np.uint16) for f in made]
    return DirtClip(np.stack(codes), np.stack([labels_of(f) for f in made]))


def labels_of(frame: DamagedFrame) -> NDArray[np.uint8]:
    """Label the pixels of a simulated frame with grain.

    Dirt is where a piece covers half as much as the most it covers within 2 px and shows.
    """
    import cv2

    truth = frame.truth
    if truth.grain_sigma is None:
        raise ValueError("the frame needs grain to tell what shows")
    change = (np.abs(frame.pixels - truth.undirtied) / truth.grain_sigma).max(axis=2)
    most = np.asarray(cv2.dilate(truth.dirt_coverage, np.ones((5, 5), np.uint8)))
    core = truth.matte & (truth.dirt_coverage >= 0.5 * most) & (truth.dirt_coverage > 0.05)
    count, found = cv2.connectedComponents(core.astype(np.uint8), connectivity=8)
    piece = np.asarray(found, np.intp)
    top = np.zeros(count, np.float32)
    np.maximum.at(top, piece.ravel(), change.ravel())
    top[0] = 0.0
    dirt = (top[piece] > _SEEN) & (change > _SHOWS)
    return np.where(dirt, DIRT, np.where(truth.matte, UNSURE, CLEAN)).astype(np.uint8)


def _dirt(rng: np.random.Generator, overlays: Path | None) -> DirtSpec:
    """Draw how dirty a clip is: from a speck a frame to a frame full of them."""
    level = float(np.exp(rng.uniform(np.log(0.05), np.log(3.0))))
    laid = overlays is not None and rng.uniform() < 0.5
    return DirtSpec(
        specks=25.0 * level,
        hairs=0.6 * level,
        fibers=1.4 * level,
        blotches=0.9 * level,
        clusters=0.9 * level,
        radius=float(rng.uniform(1.6, 3.6)),
        blotch_radius=float(rng.uniform(6.0, 16.0)),
        opacity=(0.3, 1.0),
        bright_share=float(rng.choice([0.05, 0.4, 0.6, 0.95])),
        dark=float(rng.uniform(0.03, 0.2)),
        bright=float(rng.uniform(0.68, 0.95)),
        overlays=overlays if laid else None,
        overlay_count=float(rng.uniform(0.3, 3.0)) if laid else 0.0,
        overlay_extent=float(rng.uniform(0.4, 0.9)),
    )


class Watched:
    """A clip as the operator sees it: its noise, motion between its frames, windows.

    Args:
        clip: what to look at; noise is measured on it as on any shot.
    """

    def __init__(self, clip: DirtClip) -> None:
        self.pixels = clip.pixels.astype(np.float32) / np.float32(_CODES)
        self.labels = clip.labels
        count, height, width, channels = self.pixels.shape
        self.facts = SourceFacts(
            sample_type="uint10", width=width, height=height, channels=channels,
            is_log_working=False,
        )  # fmt: skip
        self.analysis = describe(
            measure(lambda k: self.pixels[k], range(count), self.facts), self.facts
        )
        self.noise: ShotNoise = dirt_noise(self.analysis, self.facts)
        self._pictures = [dirt_picture(self.noise.to_units(p)[0], self.noise) for p in self.pixels]
        self._pairs: dict[tuple[int, int], PairMotion] = {}

    def window(self, center: int, numbers: Sequence[int]) -> Window:
        """Return a window on whole frames; a number that the clip does not have is not valid."""
        count, height, width, _ = self.pixels.shape
        box = Box(0, 0, width, height)
        valid = tuple(0 <= k < count for k in numbers)
        return Window(
            number=center,
            pixels=tuple(
                self.pixels[k if ok else center] for k, ok in zip(numbers, valid, strict=True)
            ),
            previous=(),
            valid=valid,
            pairs=tuple(
                self._pair(center, k) if ok and k != center else None
                for k, ok in zip(numbers, valid, strict=True)
            ),
            region=box,
            tile=box,
            frame=box,
        )

    def _pair(self, here: int, there: int) -> PairMotion:
        if (here, there) not in self._pairs:
            self._pairs[here, there] = pair_motion(self._pictures[here], self._pictures[there])
        return self._pairs[here, there]
