"""Integer rectangles in display-window coordinates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """A half-open rectangle of pixels: `x0 <= x < x1`, `y0 <= y < y1`, y down.

    Coordinates are those of the display window, so a data window may start below zero. EXR
    files store inclusive corners; `wetgate.io` converts.

    Caveats:
        * A box without area (`x1 <= x0` or `y1 <= y0`) is legal and `is_empty`.
        * Union is the bounding box, as for regions of definition, not a set union.
    """

    x0: int
    y0: int
    x1: int
    y1: int

    @classmethod
    def of_size(cls, width: int, height: int) -> Box:
        """Make the box of an image whose first pixel is at (0, 0)."""
        return cls(0, 0, width, height)

    @property
    def width(self) -> int:
        """Width, px; never negative."""
        return max(0, self.x1 - self.x0)

    @property
    def height(self) -> int:
        """Height, px; never negative."""
        return max(0, self.y1 - self.y0)

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.width * self.height

    @property
    def is_empty(self) -> bool:
        """Whether no pixel lies inside."""
        return self.x1 <= self.x0 or self.y1 <= self.y0

    @property
    def size(self) -> tuple[int, int]:
        """`(width, height)` in px."""
        return self.width, self.height

    def grown(self, halo: int) -> Box:
        """Grow by `halo` px on every side (shrink when negative)."""
        return Box(self.x0 - halo, self.y0 - halo, self.x1 + halo, self.y1 + halo)

    def shifted(self, dx: int, dy: int) -> Box:
        """Move by `(dx, dy)` px."""
        return Box(self.x0 + dx, self.y0 + dy, self.x1 + dx, self.y1 + dy)

    def intersect(self, other: Box) -> Box:
        """Return the common part, empty when there is none."""
        return Box(
            max(self.x0, other.x0),
            max(self.y0, other.y0),
            min(self.x1, other.x1),
            min(self.y1, other.y1),
        )

    def union(self, other: Box) -> Box:
        """Return the smallest box that holds both; an empty box adds nothing."""
        if self.is_empty:
            return other
        if other.is_empty:
            return self
        return Box(
            min(self.x0, other.x0),
            min(self.y0, other.y0),
            max(self.x1, other.x1),
            max(self.y1, other.y1),
        )

    def contains(self, other: Box) -> bool:
        """Whether every pixel of `other` lies inside."""
        return other.is_empty or self.intersect(other) == other

    def within(self, outer: Box) -> tuple[slice, slice]:
        """Return the `(rows, columns)` slices of this box in an array that covers `outer`.

        Raises:
            ValueError: when the box is not inside `outer`.
        """
        if not outer.contains(self):
            raise ValueError(f"{self} is not inside {outer}")
        return (
            slice(self.y0 - outer.y0, self.y1 - outer.y0),
            slice(self.x0 - outer.x0, self.x1 - outer.x0),
        )

    def tiles(self, width: int, height: int) -> Iterator[Box]:
        """Cut into tiles of at most `width` x `height` px, row by row from the top left."""
        if width < 1 or height < 1:
            raise ValueError(f"a tile needs at least one pixel, got {width} x {height}")
        for y in range(self.y0, self.y1, height):
            for x in range(self.x0, self.x1, width):
                yield Box(x, y, min(x + width, self.x1), min(y + height, self.y1))
