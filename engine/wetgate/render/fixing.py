"""Join what the tiles of repairing steps say into one account of a frame.

Only few pixels of a frame belong to a fix, so what is known of them is kept by pixel index, not
as planes: frames wait for their neighbors while steps follow steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from wetgate.model.box import Box
from wetgate.model.errors import BackendError
from wetgate.operators.base import Fix, Provenance
from wetgate.render.bound import BoundStep

Index = NDArray[np.int64]
Size = tuple[int, int]

HELD_OUT = "held out by the matte"
PARTLY_HELD_OUT = "partly held out by the matte"
REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class StepFix:
    """A fix with the step that made it.

    Attributes:
        step: index of the step. operator: its label, the operator's name; the second step of one
            operator is labelled `name2`.
        number: value in the maps of the frame, unique over all steps.
        rejected: by a person, so that its pixels are taken back behind the repairing steps.
    """

    step: int
    operator: str
    number: int
    fix: Fix
    rejected: bool = False

    @property
    def id(self) -> str:
        """Return `operator-frame-x-y`, unique in the clip."""
        return f"{self.operator}-{self.fix.id}"


@dataclass(frozen=True, slots=True)
class PackedPlane:
    """A float32 plane `(h, w)`, kept as its samples that are not zero where that is less."""

    size: Size
    values: NDArray[np.float32]
    at: NDArray[np.intp] | None = None

    def rows(self) -> NDArray[np.float32]:
        """Return the whole plane."""
        if self.at is None:
            return self.values.reshape(self.size)
        out = np.zeros(self.size, np.float32)
        out.reshape(-1)[self.at] = self.values
        return out


def pack(plane: NDArray[np.float32]) -> PackedPlane:
    """Keep a plane in the smaller form; it reads back with the same bits."""
    flat = np.ascontiguousarray(plane).reshape(-1)
    at = np.flatnonzero(flat.view(np.uint32))
    size = (plane.shape[0], plane.shape[1])
    if 3 * len(at) < len(flat):
        return PackedPlane(size, flat[at], at)
    return PackedPlane(size, flat.copy())


@dataclass(frozen=True, slots=True)
class FixedPixels:
    """Pixels that fixes made.

    Attributes:
        at: flat index in the frame. number: of the fix. origin: `(n, 3)` frame offset, x and y in
            px where it was borrowed, else zeros.
    """

    at: Index = field(default_factory=lambda: np.zeros(0, np.int64))
    number: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    origin: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 3), np.float32))

    def sorted(self) -> FixedPixels:
        """Return the same with ascending index."""
        order = np.argsort(self.at)
        return self.chosen(order)

    def chosen(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> FixedPixels:
        """Return some of them."""
        return FixedPixels(self.at[which], self.number[which], self.origin[which])


def fixed_pixels(
    number: NDArray[np.uint32], origin: NDArray[np.float32] | None, box: Box, width: int
) -> FixedPixels:
    """Take the pixels of a tile that a fix made out of its maps.

    Args:
        box: the tile. width: of the frame, px.
    """
    y, x = np.nonzero(number)
    at = (y + box.y0) * np.int64(width) + (x + box.x0)
    found = np.zeros((len(y), 3), np.float32) if origin is None else origin[y, x]
    return FixedPixels(at.astype(np.int64), number[y, x], found)


def joined(parts: Sequence[FixedPixels]) -> FixedPixels:
    """Return all pixels of several parts, by ascending index; no pixel may be in two."""
    every = (FixedPixels(), *parts)
    return FixedPixels(
        np.concatenate([p.at for p in every]),
        np.concatenate([p.number for p in every]),
        np.concatenate([p.origin for p in every]),
    ).sorted()


@dataclass(frozen=True, slots=True, kw_only=True)
class TileFixes:
    """What one tile of a step said.

    Attributes:
        pixels: that it made, by the step's own numbers.
        claimed, held_out: px that each fix would make, and those that strength and matte keep
            from it altogether.
    """

    box: Box
    pixels: FixedPixels = field(default_factory=FixedPixels)
    planes: Mapping[str, PackedPlane] = field(default_factory=dict)
    records: tuple[Fix, ...] = ()
    claimed: Mapping[int, int] = field(default_factory=dict)
    held_out: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFixes:
    """All that the steps so far know of the fixes of one frame.

    Attributes:
        records: every fix found, ascending by `StepFix.number`. Boxes and anchors are px of the
            frame that the step worked on.
        size: height, width.
        pixels: by ascending index; each under the number of the last fix that made it.
        planes: by name.
    """

    size: Size
    records: tuple[StepFix, ...] = ()
    pixels: FixedPixels = field(default_factory=FixedPixels)
    planes: Mapping[str, PackedPlane] = field(default_factory=dict)

    def made(self) -> NDArray[np.uint32]:
        """Return the number of the fix that made each px, uint32 `(h, w)`; 0 for none."""
        out = np.zeros(self.size, np.uint32)
        out.reshape(-1)[self.pixels.at] = self.pixels.number
        return out

    def of_rejected(self) -> NDArray[np.bool_]:
        """Return which of `pixels` a rejected fix made last."""
        numbers = [record.number for record in self.records if record.rejected]
        return np.isin(self.pixels.number, numbers)

    def origins(self) -> NDArray[np.float32]:
        """Return where each px was borrowed from, float32 `(h, w, 3)`."""
        out = np.zeros((*self.size, 3), np.float32)
        out.reshape(-1, 3)[self.pixels.at] = self.pixels.origin
        return out

    def plane(self, name: str) -> NDArray[np.float32]:
        """Return a named plane, float32 `(h, w)`."""
        return self.planes[name].rows()

    def where(self, mask: NDArray[np.bool_]) -> FrameFixes:
        """Return the account of the px of a `(h, w)` mask alone; records and planes stay."""
        return replace(self, pixels=self.pixels.chosen(mask.reshape(-1)[self.pixels.at]))

    def taken(
        self, rows: NDArray[np.intp], columns: NDArray[np.intp], scale: float = 1.0
    ) -> FrameFixes:
        """Return the account of a frame made of these rows and columns of this one.

        Args:
            scale: px of that frame / px of this one, for distances.
        """
        place = np.zeros(self.size, np.int64)
        place.reshape(-1)[self.pixels.at] = np.arange(1, len(self.pixels.at) + 1)
        there = place[rows][:, columns]
        at = np.flatnonzero(there)
        same = self.pixels.chosen(there.reshape(-1)[at] - 1)
        distance = np.asarray([1.0, scale, scale], np.float32)
        return FrameFixes(
            size=(len(rows), len(columns)),
            records=self.records,
            pixels=FixedPixels(at, same.number, same.origin * distance),
            planes={name: pack(p.rows()[rows][:, columns]) for name, p in self.planes.items()},
        )


def step_labels(steps: Sequence[BoundStep]) -> tuple[str, ...]:
    """Return what fixes of each step are called by: the operator's name, then `name2`."""
    return labels_of([step.spec.name for step in steps])


def labels_of(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names, each but its first occurrence with its count behind."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name}{seen[name]}")
    return tuple(found)


def join_fixes(
    tiles: Sequence[TileFixes],
    *,
    size: Size,
    step: int,
    label: str,
    frame: int,
    before: FrameFixes | None,
    held_by: str = HELD_OUT,
    rejected: frozenset[str] = frozenset(),
) -> FrameFixes:
    """Join the tiles of one step and put them over what the steps before made.

    Args:
        rejected: ids of fixes of this step, without its label. They are on record as left alone;
            the pixels that they made stay in the account until they are taken back.

    Raises:
        BackendError: two records for one number, two fixes at one anchor, or planes that only
            some tiles have.
    """
    before = before or FrameFixes(size=size)
    records = _joined_records(tiles, label, frame)
    base = max((r.number for r in before.records), default=0)
    claimed, held_out = _sums(t.claimed for t in tiles), _sums(t.held_out for t in tiles)
    named = tuple(
        StepFix(step, label, base + fix.number, _left(fix, REJECTED), rejected=True)
        if fix.id in rejected
        else StepFix(step, label, base + fix.number, _as_delivered(fix, claimed, held_out, held_by))
        for _, fix in sorted(records.items())
    )
    undone = [base + n for n, fix in records.items() if fix.provenance < Provenance.BORROWED]
    made = joined([t.pixels for t in tiles])
    made = replace(made, number=made.number + np.uint32(base))
    return FrameFixes(
        size=size,
        records=(*before.records, *named),
        pixels=_over(before.pixels, made, undone),
        planes={**before.planes, **_joined_planes(tiles, size, label, frame)},
    )


def _joined_records(tiles: Sequence[TileFixes], label: str, frame: int) -> dict[int, Fix]:
    records: dict[int, Fix] = {}
    for tile in tiles:
        for fix in tile.records:
            if not all(np.isfinite(value) for value in fix.facts.values()):
                raise BackendError(
                    f"operator {label!r} says of fix {fix.number}: {dict(fix.facts)}",
                    frame=frame,
                    expected="finite numbers",
                )
            if records.setdefault(fix.number, fix) != fix:
                raise BackendError(
                    f"operator {label!r} says two things of fix {fix.number}",
                    frame=frame,
                    expected="equal records in all tiles",
                )
    anchors = Counter(fix.anchor for fix in records.values())
    twice = [anchor for anchor, count in anchors.items() if count > 1]
    if twice:
        raise BackendError(
            f"operator {label!r} names {anchors[twice[0]]} fixes by the px {twice[0]}",
            frame=frame,
            expected="an anchor of its own for each",
        )
    return records


def _as_delivered(
    fix: Fix, claimed: Mapping[int, int], held_out: Mapping[int, int], held_by: str
) -> Fix:
    held = held_out.get(fix.number, 0)
    if not fix.applied or not held:
        return fix
    facts = {**fix.facts, "held_out": float(held)}
    if held < claimed.get(fix.number, 0):
        why = f"{fix.why}; {PARTLY_HELD_OUT}" if fix.why else PARTLY_HELD_OUT
        return replace(fix, facts=facts, why=why)
    return _left(replace(fix, facts=facts), held_by)


def _left(fix: Fix, why: str) -> Fix:
    """Return the record of a fix that is not in the picture."""
    return replace(
        fix,
        why=why,
        applied=False,
        provenance=Provenance.UNTOUCHED,
        source=0,
        offset=(0.0, 0.0),
    )


def _sums(counts: Iterator[Mapping[int, int]]) -> Counter[int]:
    total: Counter[int] = Counter()
    for each in counts:
        total.update(each)
    return total


def _over(before: FixedPixels, made: FixedPixels, undone: Sequence[int]) -> FixedPixels:
    """Lay the px of a step over those of the steps before.

    Args:
        undone: fixes that change what is there, so that their px still come from where they came.
    """
    if not len(before.at):
        return made
    origin = made.origin.copy()
    inherits = np.isin(made.number, undone) & np.isin(made.at, before.at)
    origin[inherits] = before.origin[np.searchsorted(before.at, made.at[inherits])]
    kept = before.chosen(~np.isin(before.at, made.at))
    return joined([kept, replace(made, origin=origin)])


def _joined_planes(
    tiles: Sequence[TileFixes], size: Size, label: str, frame: int
) -> dict[str, PackedPlane]:
    names = sorted(tiles[0].planes) if tiles else []
    for tile in tiles:
        if sorted(tile.planes) != names:
            raise BackendError(
                f"operator {label!r} returned the planes {', '.join(tile.planes) or 'none'}",
                frame=frame,
                expected=f"those of its other tiles: {', '.join(names) or 'none'}",
            )
    whole = Box.of_size(size[1], size[0])
    found = {}
    for name in names:
        plane = np.zeros(size, np.float32)
        for tile in tiles:
            plane[tile.box.within(whole)] = tile.planes[name].rows()
        found[name] = pack(plane)
    return found
