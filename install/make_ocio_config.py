"""Write `ocio/wetgate-studio-v5.ocio`, wetgate's pinned OpenColorIO config.

Run it by hand after an intended change of the base config or of the additions below; a test
checks that the checked-in file is exactly what this script makes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import PyOpenColorIO as ocio

BASE = "studio-config-v5.0.0_aces-v2.1_ocio-v2.6"
"""Full pinned name: the `-latest` and `default` names change their meaning with the library."""

CINEON = "Cineon Log - Film Scan"
CINEON_ID = "wetgate:cineon_rec709_scene"
TARGET = Path(__file__).resolve().parent.parent / "ocio" / "wetgate-studio-v5.ocio"

NOTICE = f"""\
# wetgate-studio-v5: the color config that wetgate is pinned to.
# Made by install/make_ocio_config.py; do not edit by hand.
# Derived from {BASE}, part of OpenColorIO-Config-ACES.
# SPDX-License-Identifier: BSD-3-Clause
# Copyright Contributors to the OpenColorIO-Configs-ACES Project.
# Changed: added "{CINEON}" and the path-search file rule, removed the rule for all *.exr.
# The whole licence text stands in README.md beside this file.
"""


def cineon_from_linear() -> ocio.LogAffineTransform:
    """Return scene-linear to Cineon printing-density code over 1023.

    Black 95 maps to 0 and white 685 to 1: `x = (10**((code - 685) * 0.002 / 0.6) - b) / (1 - b)`
    with the black offset `b = 10**((95 - 685) * 0.002 / 0.6)`.

    Source: Kodak, "Conversion of 10-bit Log Film Data to 8-bit Linear or Video Data for the
    Cineon Digital Film System" (1995): 0.002 density a code, negative gamma 0.6.
    """
    density_per_code, gamma = 0.002, 0.6
    black, white, top = 95.0, 685.0, 1023.0
    offset = 10.0 ** ((black - white) * density_per_code / gamma)
    transform = ocio.LogAffineTransform(
        logSideSlope=[gamma / density_per_code / top] * 3,
        logSideOffset=[white / top] * 3,
        linSideSlope=[1.0 - offset] * 3,
        linSideOffset=[offset] * 3,
    )
    transform.setBase(10.0)
    return transform


def film_scan_space(config: ocio.Config) -> ocio.ColorSpace:
    """Return the Cineon space; its primaries are those of Rec.709, its matrix the config's own."""
    to_rec709 = config.getColorSpace("Linear Rec.709 (sRGB)").getTransform(
        ocio.COLORSPACE_DIR_FROM_REFERENCE
    )
    space = ocio.ColorSpace(
        ocio.REFERENCE_SPACE_SCENE,
        name=CINEON,
        aliases=["cineon", "kodaklog", CINEON_ID],
        family="Film",
        encoding="log",
        bitDepth=ocio.BIT_DEPTH_UINT10,
        description=(
            "Cineon film scan: black 95, white 685, 0.002 density a code, gamma 0.6, black "
            "offset; Rec.709 primaries. For scans without a density matrix. Not ADX."
        ),
        categories=["file-io"],
        fromReference=ocio.GroupTransform([to_rec709, cineon_from_linear()]),
    )
    space.setInteropID(CINEON_ID)
    return space


def make_config() -> str:
    """Return the text of the config, notice included."""
    config = ocio.Config.CreateFromBuiltinConfig(BASE)
    config.setName("wetgate-studio-v5")
    config.setDescription(
        f"{BASE} plus {CINEON}. EXR files are not assumed to be ACES2065-1; a path that names a "
        "color space has it."
    )
    config.addColorSpace(film_scan_space(config))
    rules = config.getFileRules()
    rules.removeRule(rules.getIndexForRule("EXR"))
    rules.insertPathSearchRule(0)
    config.setFileRules(rules)
    config.validate()
    return NOTICE + config.serialize()


def main() -> int:
    """Write the config in place; a second run changes nothing."""
    text = make_config()
    TARGET.write_bytes(text.encode("utf-8"))
    sys.stdout.write(f"wrote {TARGET} ({len(text)} characters)\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
