"""Which header attributes stop being true when pixels move to another color space.

Pure data for whoever writes frames: readers and writers know names, not colors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_STALE = frozenset(
    {
        "acesimagecontainer",
        "acesimagecontainerflag",
        "chromaticities",
        "cicp",
        "colorinteropid",
        "colorspace",
        "color_space",
        "exif:colorspace",
        "gamma",
        "iccprofile",
        "lookmodtransform",
        "oiio:colorspace",
        "oiio:gamma",
        "png:gamma",
        "renderingtransform",
        "whiteluminance",
    }
)
"""Lower case. `whiteLuminance` is that of RGB (1, 1, 1) and the two transforms take this RGB.
`adoptedNeutral` is missing on purpose: CIE xy stays true in any encoding."""

_STALE_PREFIXES = ("iccprofile:",)

_SPACE_WORDS = ("colorspace", "color_space", "colourspace")
"""Last parts of the names under which applications keep their own word for the space
("arnold/color_space", "nuke/input/colorspace"); they are believed, so they must go too."""


def is_stale(name: str) -> bool:
    """Whether an attribute describes the encoding of the pixels, so that another one voids it."""
    lower = name.lower()
    last = lower.replace(":", "/").rsplit("/", 1)[-1].replace(" ", "")
    return lower in _STALE or lower.startswith(_STALE_PREFIXES) or last.endswith(_SPACE_WORDS)


def stale_attributes(names: Iterable[str]) -> tuple[str, ...]:
    """Return those of the names that must not be inherited across a change of color space."""
    return tuple(name for name in names if is_stale(name))


def restated_attributes(
    attributes: Mapping[str, object], interop_id: str | None
) -> dict[str, object]:
    """Return EXR attributes fit for another color space.

    Stale ones are gone and `colorInteropID` states the new space; without an id the file says
    nothing, which is better than saying what was. No chromaticities are written beside an id.

    Source: ASWF Color Interop Forum, "Identifying the Color Space of OpenEXR Files".
    """
    kept = {name: value for name, value in attributes.items() if not is_stale(name)}
    if interop_id is not None:
        kept["colorInteropID"] = interop_id
    return kept
