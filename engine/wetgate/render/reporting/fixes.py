"""The section of the report on single defects: counts, area, and the most doubtful ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from wetgate.model.errors import WetgateError
from wetgate.render.fixes.restored import open_restored
from wetgate.render.reporting.crops import FixPicture, picture_all, ranked
from wetgate.render.reporting.review import KindCount, counts_by_kind, fix_facts, standing_of

SHEET = 20
"""Fixes on the contact sheet."""
_SIDE = 126


@dataclass(frozen=True, slots=True, kw_only=True)
class KindRow:
    """One kind of defect in the table; texts are ready to be shown."""

    kind: str
    found: str
    repaired: str
    left: str
    reverted: str
    pixels: str
    share: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetItem:
    """One fix on the contact sheet."""

    id: str
    caption: str
    result: str
    picture: FixPicture

    @property
    def width(self) -> int:
        """Screen px across."""
        return self.picture.width * self._enlargement

    @property
    def height(self) -> int:
        """Screen px down."""
        return self.picture.height * self._enlargement

    @property
    def _enlargement(self) -> int:
        return max(1, _SIDE // max(self.picture.width, self.picture.height))


@dataclass(frozen=True, slots=True, kw_only=True)
class FixesSection:
    """What the report says of single defects.

    Attributes:
        rows: by kind, the last one for all. sheet: the most doubtful fixes.
    """

    summary: str
    rows: Sequence[KindRow]
    sheet: Sequence[SheetItem]


def fixes_section(
    directory: Path, frames: Collection[int], frame_pixels: int, plate: str | None = None
) -> tuple[FixesSection | None, tuple[str, ...]]:
    """Return the section for some frames of an output, and what could not be shown.

    Args:
        frame_pixels: pixels of one frame, for shares.

    Returns:
        None when nothing was found, or no step looks for single defects.
    """
    try:
        restored = open_restored(directory)
        if not restored.journal.path.exists():
            return None, ()
        states = {n: s for n, s in restored.states().items() if n in frames}
    except WetgateError as error:
        return None, (f"no account of fixes: {error}",)
    fixes = ranked(states)
    if not fixes:
        return None, ()
    counts = counts_by_kind(states)
    total = KindCount("all")
    for count in counts:
        total.found += count.found
        total.repaired += count.repaired
        total.reverted += count.reverted
        total.pixels += count.pixels
    area = max(1, frame_pixels * len(states))
    doubtful = fixes[:SHEET]
    pictures, trouble = picture_all(restored, states, doubtful, plate)
    sheet = []
    for fix in doubtful:
        if fix.id in pictures:
            facts = dict(fix_facts(fix, standing_of(fix, states[fix.frame])))
            caption = f"{fix.kind}, confidence {fix.confidence:.3f}"
            sheet.append(
                SheetItem(
                    id=fix.id,
                    caption=caption,
                    result=facts["result"],
                    picture=pictures[fix.id],
                )
            )
    section = FixesSection(
        summary=(
            f"{total.found} found on {len(states)} frames, {total.repaired} repaired, "
            f"{100 * total.pixels / area:.3g} % of all pixels changed"
        ),
        rows=[_row(count, area) for count in (*counts, total)],
        sheet=sheet,
    )
    return section, trouble


def _row(count: KindCount, area: int) -> KindRow:
    return KindRow(
        kind=count.kind,
        found=str(count.found),
        repaired=str(count.repaired),
        left=str(count.found - count.repaired - count.reverted),
        reverted=str(count.reverted),
        pixels=str(count.pixels),
        share=f"{100 * count.pixels / area:.3g} %",
    )
