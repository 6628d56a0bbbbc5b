# SPDX-License-Identifier: GPL-3.0-or-later
"""What the color spaces of Blender's own configs are called outside of Blender.

The engine is told an interop id, never a menu name: the same name means different curves in
different configs. Source of the ids: ASWF Color Interop Forum; of the names: the configs of
Blender 3.4.1, 4.2.0, 4.5.15 and 5.0.1. Spaces with a picture look of Blender baked in (AgX,
Filmic, Khronos) have no id: nothing outside of Blender can undo them.
"""

import os

INTEROP = {
    "Linear": "lin_rec709_scene",
    "Linear Rec.709": "lin_rec709_scene",
    "scene_linear": "lin_rec709_scene",
    "Linear ACES": "lin_ap0_scene",
    "ACES2065-1": "lin_ap0_scene",
    "Linear ACEScg": "lin_ap1_scene",
    "ACEScg": "lin_ap1_scene",
    "Linear Rec.2020": "lin_rec2020_scene",
    "Linear DCI-P3 D65": "lin_p3d65_scene",
    "Linear CIE-XYZ D65": "lin_ciexyzd65_scene",
    "ACEScc": "ocio:acescc_ap1_scene",
    "ACEScct": "ocio:acescct_ap1_scene",
    "sRGB": "srgb_rec709_display",
    "Display P3": "srgb_p3d65_display",
    "Rec.1886": "g24_rec709_display",
    "Rec.2100-PQ": "pq_rec2020_display",
    "Rec.2100-HLG": "hlg_rec2020_display",
}
FROM_FILE = ("Non-Color", "Raw")
"""Spaces that say nothing of the picture: the file is asked instead."""


class UnknownSpace(ValueError):
    """The color space of a strip means nothing outside of Blender."""


def own_config():
    """Return the path of the OCIO config that the artist has given Blender; None for its own."""
    path = os.environ.get("OCIO", "").strip()
    return path or None


def space_of(name):
    """Return what the engine is told for the color space of a strip; None for what the file says.

    Raises:
        UnknownSpace: for spaces that only Blender knows.
    """
    if name in FROM_FILE:
        return None
    if own_config():
        return name  # the engine gets the same config, in which the name means the same
    if name in INTEROP:
        return INTEROP[name]
    raise UnknownSpace(
        f'"{name}" holds a picture look of Blender or is no standard; choose the color space '
        "of the files in the panel"
    )
