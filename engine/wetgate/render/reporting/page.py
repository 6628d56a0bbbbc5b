"""Write `report.html`: one file that opens anywhere, without a network.

Every text passes through the template's escaping: attributes of a hostile file stay text. The
content policy of the page admits the one style sheet and the one script it was written with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from wetgate.io.atomic import write_bytes_atomic
from wetgate.render.reporting.html import render_page

if TYPE_CHECKING:
    from markupsafe import Markup

    from wetgate.render.reporting.fixes import FixesSection

Fact = tuple[str, str]
"""A name and what it is, both as text for people."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure at the top of the report."""

    value: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A detail at full size; `picture` is a data URI, sizes are shown px."""

    picture: str
    width: int
    height: int
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One frame before and after, as data URIs of the same size."""

    number: int
    before: str
    after: str
    difference: str
    width: int
    height: int
    crops: tuple[Crop, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFacts:
    """One step of the recipe as it was run."""

    name: str
    note: str
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """A plot of measured noise."""

    svg: Markup
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One frame in the table; texts are ready to be shown.

    Attributes:
        changed: share of pixels changed, 0-1, or None when the frame was not written.
    """

    number: int
    status: str
    status_class: str
    seconds: str
    changed: float | None
    provenance: str
    max_change: str
    source_digest: str
    output_digest: str
    notes: str

    @property
    def changed_text(self) -> str:
        """The share of pixels changed, in percent."""
        return "" if self.changed is None else f"{100 * self.changed:.1f} %"


@dataclass(frozen=True, slots=True)
class ShotRow:
    """What operators said about frames of one shot; texts are ready to be shown."""

    shot: str
    frames: str
    share: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """Everything the page shows.

    Attributes:
        status_class: "good", "warn" or "bad".
        shots: remarks of operators, by shot. fixes: single defects, when a step looks for them.
        amplification: by how much `Comparison.difference` is amplified.
    """

    title: str
    subtitle: str
    status: str
    status_class: str
    version: str
    made: str
    tiles: Sequence[Tile] = ()
    comparisons: Sequence[Comparison] = ()
    amplification: int = 8
    preview_note: str = ""
    facts: Sequence[Fact] = ()
    steps: Sequence[StepFacts] = ()
    profiles: Sequence[Profile] = ()
    shots: Sequence[ShotRow] = ()
    fixes: FixesSection | None = None
    rows: Sequence[Row] = ()
    losses: Sequence[str] = ()
    warnings: Sequence[str] = ()
    failures: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def version_items(self) -> list[Fact]:
        """Versions of what took part, by name."""
        return sorted(self.versions.items())


def render_report(data: ReportData) -> str:
    """Return the page as HTML text."""
    return render_page("report", data)


def write_report(path: Path, data: ReportData) -> None:
    """Write the page, whole or not at all.

    Raises:
        OutputError: when the file cannot be written.
    """
    write_bytes_atomic(path, render_report(data).encode("utf-8", "replace"))
