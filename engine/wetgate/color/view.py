"""The view of a color space on a display, quick enough for pictures that people wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import PyOpenColorIO as ocio

_NODES = 65
_FLOOR = 2.0**-8
"""Views of linear light are tabulated over log2(light + floor), up to the floor's inverse."""


def view_table(
    config: ocio.Config, space: str, display: str, view: str, encoding: str
) -> ocio.CPUProcessor:
    """Return a view of OCIO as a processor; of scenes as a table in the log of light, or in codes.

    Args:
        encoding: as the config tells of the space. The table spans the codes 0-1 of a log space,
            and light up to 256 of a linear one; beyond, its edge stands.
    """
    import PyOpenColorIO as ocio

    forward = ocio.TRANSFORM_DIR_FORWARD
    exact = config.getProcessor(space, display, view, forward).getDefaultCPUProcessor()
    if encoding not in ("scene-linear", "log"):
        return exact
    steps = ocio.GroupTransform()
    side = np.linspace(0, 1, _NODES, dtype=np.float32)
    if encoding == "scene-linear":
        # log2(x + floor), from the floor to its inverse: as many stops below 1 as above.
        stops = -np.log2(_FLOOR)
        shape = {"logSideSlope": [0.5 / stops] * 3, "logSideOffset": [0.5] * 3}
        offset = {"linSideSlope": [1.0] * 3, "linSideOffset": [_FLOOR] * 3}
        steps.appendTransform(ocio.LogAffineTransform(**shape, **offset))
        side = np.exp2((side - np.float32(0.5)) * np.float32(2 * stops)) - np.float32(_FLOOR)
    blue_fastest = np.stack(np.meshgrid(side, side, side, indexing="ij"), -1).reshape(-1, 3)
    nodes = np.ascontiguousarray(blue_fastest, np.float32)
    exact.applyRGB(nodes)
    table = ocio.Lut3DTransform(_NODES)
    table.setInterpolation(ocio.INTERP_TETRAHEDRAL)
    table.setData(nodes.reshape(-1))
    steps.appendTransform(table)
    # A config takes two tables of one range for the same and answers from its cache.
    return ocio.Config.CreateRaw().getProcessor(steps).getDefaultCPUProcessor()
