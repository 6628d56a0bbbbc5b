"""What lies beside a plate in files of its own: matte, holdout matte, defect map."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wetgate.io.sequence import IMAGE_SUFFIXES
from wetgate.operators.base import Pixels
from wetgate.recipe.digest import digest_of
from wetgate.render.options import JobOptions
from wetgate.render.shelf import MatteReader
from wetgate.render.source import MatteClip

DEFECTS = "defects"
"""Name of the defect map in `Window.planes`."""

_CHANNEL = re.compile(r"(?P<plate>.+)#(?P<inverted>!?)(?P<channel>[A-Za-z_][\w.]*)")


@dataclass(frozen=True, slots=True)
class PlaneName:
    """A sequence and the channel of it that is meant.

    Attributes:
        channel: its name in the file; None for alpha, Y or the first. inverted: 1 - value.
    """

    plate: str
    channel: str | None = None
    inverted: bool = False


def plane_name(text: str | Path) -> PlaneName:
    """Take `PATTERN`, `PATTERN#CHANNEL` or `PATTERN#!CHANNEL` apart.

    A `#` also stands for a digit of the frame number, so what follows the last one is a channel
    only where an image suffix, or a directory, comes before it.
    """
    match = _CHANNEL.fullmatch(str(text))
    if match is not None:
        before = Path(match["plate"])
        if before.suffix.lower() in IMAGE_SUFFIXES or before.is_dir():
            return PlaneName(match["plate"], match["channel"], bool(match["inverted"]))
    return PlaneName(str(text))


def beside_facts(options: JobOptions) -> dict[str, object]:
    """Return what of the files beside a plate decides pixels and stands in no frame's digest.

    Empty where there are none, so that jobs without them keep the digests they have.
    """
    facts: dict[str, object] = {}
    if options.holdout is not None:
        facts["holdout"] = True
    if options.defects is not None:
        name = plane_name(options.defects)
        facts["defects"] = [name.channel, name.inverted]
    return facts


class Beside:
    """The files that lie beside a job's plate, opened; `close` it."""

    def __init__(self, options: JobOptions) -> None:
        self._clips: dict[str, MatteClip] = {}
        try:
            for kind, named in (
                ("matte", options.matte),
                ("holdout", options.holdout),
                (DEFECTS, options.defects),
            ):
                if named is not None:
                    name = plane_name(named) if kind == DEFECTS else PlaneName(str(named))
                    self._clips[kind] = MatteClip(
                        name.plate, channel=name.channel, inverted=name.inverted, kind=kind
                    )
        except BaseException:
            self.close()
            raise

    @property
    def matte(self) -> MatteReader | None:
        """Read where steps apply; None when they apply everywhere."""
        return self._matte if {"matte", "holdout"} & set(self._clips) else None

    @property
    def planes(self) -> Mapping[str, MatteReader]:
        """Read planes for operators, by name."""
        return {DEFECTS: self._clips[DEFECTS].read} if DEFECTS in self._clips else {}

    def digest(self, number: int) -> str:
        """Return the digest of all files that belong to a frame; empty without any.

        Raises:
            InputError: one of them is missing.
        """
        found = {kind: clip.digest(number) for kind, clip in self._clips.items()}
        if set(found) <= {"matte"}:
            return found.get("matte", "")
        return digest_of(found)

    def close(self) -> None:
        """End the reading processes."""
        for clip in self._clips.values():
            clip.close()

    def _matte(self, number: int, size: tuple[int, int]) -> Pixels:
        weight = np.float32(1)
        matte = self._clips["matte"].read(number, size) if "matte" in self._clips else None
        if "holdout" not in self._clips:
            assert matte is not None  # one of the two is there, or nobody reads
            return matte
        open_ = weight - self._clips["holdout"].read(number, size)
        return open_ if matte is None else matte * open_
