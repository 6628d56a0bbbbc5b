"""What one step starts from for one frame."""

from __future__ import annotations

from dataclasses import dataclass

from wetgate.render.fixing import FrameFixes
from wetgate.render.judging import Marks
from wetgate.render.store import Plane


@dataclass(slots=True, kw_only=True)
class StepInput:
    """Colors that a step is given, and the working values made of them.

    Attributes:
        color: in the source encoding. finite: the same without what is not finite.
        touched, fixes: marks and fixes of the steps before. working: in the working encoding,
            once somebody asked.
    """

    color: Plane
    finite: Plane
    touched: Marks | None = None
    fixes: FrameFixes | None = None
    working: Plane | None = None

    def drop(self, *, owned: bool) -> None:
        """Let go of the planes.

        Args:
            owned: color is nobody else's, as it is of all steps but the first.
        """
        planes = {self.working} - {self.color, self.finite}
        if owned:
            planes |= {self.color, self.finite}
        for plane in planes:
            if plane is not None:
                plane.release()
