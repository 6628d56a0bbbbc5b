"""One finished frame on its way to the disk, and the account of its pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wetgate.io.formats import channel_types
from wetgate.model.errors import VerifyFailed
from wetgate.model.frame import Frame, SampleType
from wetgate.operators.base import Pixels, Provenance
from wetgate.render.bound import GENERATIVE
from wetgate.render.fixing import FrameFixes
from wetgate.render.options import HIGHEST_CLASS
from wetgate.render.precision import Change, quantized
from wetgate.render.store import row_bands


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOrder:
    """One finished frame and what is known about it.

    Attributes:
        frame: the pixels to be written, all channels.
        source_rows: gives a band of the source's own pixels, all channels.
        color_index: channels that steps may change.
        unchanged: the engine knows that no sample differs from the source.
        space_changed: the whole picture is in another color space than the source.
        resized: it has another size, so that no pixel is one of the source's.
        touched: provenance marks by pixel, when several steps ran; else `mark` goes for all.
        notes: what the stages said. network_off: share of the frame that did without a network.
        fixes: what became of single defects; None when no step speaks of any.
        only_fixes: the steps change nothing but single defects.
        matte_digest: of the matte file. seconds: spent on the frame so far.
    """

    frame: Frame
    source_rows: Callable[[slice], Pixels]
    source_file: str
    source_digest: str
    source_bytes: int
    color_index: tuple[int, ...]
    unchanged: bool
    space_changed: bool
    touched: NDArray[np.uint8] | None
    mark: int
    resized: bool = False
    notes: tuple[str, ...] = ()
    network_off: float = 0.0
    fixes: FrameFixes | None = None
    only_fixes: bool = False
    matte_digest: str = ""
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What became of the pixels of a frame, in the precision of its file.

    Attributes:
        counts: changed pixels by mark: provenance class, with the bit `GENERATIVE`.
        classes: uint8 `(h, w)` provenance of every pixel, 0 where the source's samples are; None
            where nobody asked.
        stray: changed pixels that no fix made.
    """

    change: Change
    counts: Mapping[int, int] = field(default_factory=dict)
    classes: NDArray[np.uint8] | None = None
    stray: int = 0

    @property
    def shares(self) -> dict[str, float]:
        """Return the share of all pixels by class above 0."""
        found: dict[str, float] = {}
        for mark, count in sorted(self.counts.items()):
            name = str(mark & ~GENERATIVE)
            if count and name != "0":
                found[name] = found.get(name, 0.0) + count / max(1, self.change.pixels)
        return found

    @property
    def generative(self) -> float:
        """Return the share of pixels that were made up."""
        made_up = sum(count for mark, count in self.counts.items() if mark & GENERATIVE)
        return made_up / max(1, self.change.pixels)


def unchanged_account(order: WriteOrder, *, mapped: bool) -> Account:
    """Return the account of a frame that is the source's, byte for byte."""
    height, width, _ = order.frame.pixels.shape
    classes = np.zeros((height, width), np.uint8) if mapped else None
    return Account(change=Change(pixels=height * width), classes=classes)


def take_account(order: WriteOrder, got: Frame, *, mapped: bool) -> Account:
    """Count what differs from the source in the file's own precision, by provenance class.

    Args:
        got: the frame as read back. mapped: a map of classes is wanted.
    """
    height, width, _ = order.frame.pixels.shape
    classes = np.zeros((height, width), np.uint8) if mapped else None
    if order.resized:
        return _all_new(order, classes)
    change, stray = Change(), 0
    counts: dict[int, int] = {}
    made = order.fixes.made() if order.fixes is not None else None
    colors, source_colors = color_rows(order, got), source_rows(order, got)
    for band in row_bands(order.frame.pixels.shape):
        mask = change.add(source_colors(band), colors(band))
        if all(it is None for it in (order.touched, classes, made)) and not order.space_changed:
            counts[order.mark] = counts.get(order.mark, 0) + int(np.count_nonzero(mask))
            continue
        marks = _marks(order, band, mask)
        found, found_counts = np.unique(marks[mask], return_counts=True)
        for mark, count in zip(found.tolist(), found_counts.tolist(), strict=True):
            counts[mark] = counts.get(mark, 0) + count
        if made is not None:
            stray += int(np.count_nonzero(mask & (made[band] == 0)))
        if classes is not None:
            classes[band] = marks & np.uint8(~GENERATIVE & 0xFF)
    return Account(change=change, counts=counts, classes=classes, stray=stray)


def _marks(order: WriteOrder, band: slice, mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the marks of a band in the precision of the file: 0 where nothing differs."""
    marks = np.uint8(order.mark) if order.touched is None else order.touched[band]
    if order.space_changed:
        marks = np.where(marks == 0, np.uint8(Provenance.REEXPOSED), marks)
    return np.where(mask, marks, np.uint8(0))


def _all_new(order: WriteOrder, classes: NDArray[np.uint8] | None) -> Account:
    """Count a frame of another size: every pixel is new, and no difference can be told."""
    height, width, _ = order.frame.pixels.shape
    total = height * width
    if order.touched is None:
        counts = {order.mark: total}
    else:
        found, count = np.unique(order.touched, return_counts=True)
        counts = dict(zip(found.tolist(), count.tolist(), strict=True))
    if classes is not None:
        marks = np.uint8(order.mark) if order.touched is None else order.touched
        classes[...] = marks & np.uint8(~GENERATIVE & 0xFF)
    return Account(change=Change(pixels=total, changed=total), counts=counts, classes=classes)


def check_account(order: WriteOrder, account: Account, *, policy: str, exact: bool) -> None:
    """Hold a frame to the policy and to what its fixes say, whatever its operators declared.

    Args:
        exact: the file holds the very samples that were meant.

    Raises:
        VerifyFailed: with the number of pixels that must not be there.
    """
    highest, frame = HIGHEST_CLASS[policy], order.frame.number
    for mark, count in sorted(account.counts.items()):
        kind = Provenance(mark & ~GENERATIVE)
        made_up = bool(mark & GENERATIVE) and policy != "creative"
        if count and (kind > highest or made_up):
            raise VerifyFailed(
                f"{count} pixels of class {int(kind)} ({kind.name.lower()})"
                + (", made up" if made_up else ""),
                frame=frame,
                expected=f"class {int(highest)} or lower, and nothing made up, under the policy "
                f"{policy!r}",
                remedy="an operator does not keep to what it declares; leave its step out",
            )
    if not exact or order.fixes is None or order.space_changed or order.resized:
        return
    stray = account.stray if order.only_fixes else account.counts.get(0, 0)
    if stray:
        raise VerifyFailed(
            f"{stray} pixels changed outside of every fix",
            frame=frame,
            expected="the bits of the scan wherever no fix is on record",
        )


def color_names(order: WriteOrder) -> list[str]:
    """Return the channels that count: the colors, or all where there are none."""
    wanted = order.frame
    return [wanted.channels[i] for i in order.color_index] or list(wanted.channels)


def color_type(order: WriteOrder, got: Frame) -> SampleType:
    """Return how the file stores the colors; float where they differ."""
    names = color_names(order)
    kinds = {
        kind for name, kind in zip(got.channels, channel_types(got), strict=True) if name in names
    }
    return kinds.pop() if len(kinds) == 1 else "float"


def color_rows(order: WriteOrder, got: Frame) -> Callable[[slice], Pixels]:
    """Give rows of the colors of the file as read back."""
    there = [got.channels.index(name) for name in color_names(order)]
    return lambda band: pick(got.pixels[band], there)


def source_rows(order: WriteOrder, got: Frame) -> Callable[[slice], Pixels]:
    """Give rows of the colors of the source in the precision of the file."""
    wanted = order.frame
    here = [wanted.channels.index(name) for name in color_names(order)]
    other = got.sample_type != wanted.sample_type

    def rows(band: slice) -> Pixels:
        source = pick(order.source_rows(band), here)
        return quantized(source, got.sample_type) if other else source

    return rows


def pick(pixels: Pixels, index: list[int]) -> Pixels:
    """Return channels by index; the pixels themselves when those are all."""
    return pixels if index == list(range(pixels.shape[2])) else pixels[..., index]
