"""Which values of an EXR header do not survive a rewrite, and why, in words."""

from __future__ import annotations

import re
from collections.abc import Iterable

from wetgate.io.exr_header import FileHeader, PartHeader, printable

_LOSSY = frozenset({"b44", "b44a", "dwaa", "dwab", "lj2k"})

USES_LINEAR = frozenset({"b44", "b44a", "dwaa", "dwab", "lj2k"})
"""Compressions whose code depends on the channel's `pLinear` mark."""

COLOR_ATTRIBUTES = frozenset(
    {
        "chromaticities",
        "adoptedNeutral",
        "whiteLuminance",
        "renderingTransform",
        "lookModTransform",
        "colorInteropID",
        "acesImageContainerFlag",
        "acesImageContainer",
        "oiio:ColorSpace",
        "ColorSpace",
    }
)
"""Values that speak of the color space and lie once it has changed."""

ACES_FLAGS = frozenset({"acesImageContainerFlag", "acesImageContainer"})

LEAKED_PREFIXES = ("openexr:", "oiio:", "tiff:", "dpx:", "cineon:")
"""Values that an earlier program wrote by mistake: the workings of its image library."""

_HASH = re.compile(r"(?:^|[/:._-])(?:node_?hash|(?:pixel|image)_?hash|sha-?1|md5|checksum)$", re.I)


def hash_attributes(part: PartHeader) -> frozenset[str]:
    """Return the values that are digests of the pixels or of the graph that made them."""
    return frozenset(a.name for a in part.attributes if _HASH.search(a.name))


def leaked_attributes(part: PartHeader) -> frozenset[str]:
    """Return the values that are an image library's own workings, not the picture's."""
    return frozenset(a.name for a in part.attributes if a.name.startswith(LEAKED_PREFIXES))


def previews(part: PartHeader) -> frozenset[str]:
    """Return the thumbnails."""
    return frozenset(a.name for a in part.attributes if a.type == "preview")


def is_aces_container(part: PartHeader) -> bool:
    """Whether the part obeys what the ACES container flag promises.

    Source: SMPTE ST 2065-4: scan lines, uncompressed, half, only B G R (A) and the stereo pair.
    """
    allowed = {"R", "G", "B", "A", "left.R", "left.G", "left.B", "left.A"}
    return (
        part.compression == "none"
        and part.get("tiles") is None
        and all(c.type == "half" and c.name in allowed for c in part.channels)
    )


def is_lossy(compression: str, channel_types: Iterable[str]) -> bool:
    """Whether a compression, with or without a level, may change samples of these types.

    Source: OpenEXR technical introduction, data compression: PXR24 keeps half and uint exactly.
    """
    name = compression.partition(":")[0]
    return name in _LOSSY or (name == "pxr24" and "float" in channel_types)


def list_losses(header: FileHeader) -> tuple[str, ...]:
    """Return in words what a rewrite as EXR loses or changes."""
    found: list[str] = []
    for index, part in enumerate(header.parts):
        label = f"part {part.name or index}: " if len(header.parts) > 1 else ""
        found.extend(printable(label + text) for text in _part_losses(part))
    return tuple(found)


def _part_losses(part: PartHeader) -> Iterable[str]:
    if part.levels != "one":
        yield f"{part.levels} levels: only the full resolution is written"
    if is_lossy(part.compression, {c.type for c in part.channels}):
        yield (
            f"compression {part.compression} is lossy: frames that would change in it are "
            "written with zip"
        )
    linear = [c.name for c in part.channels if c.linear]
    if linear and part.compression in USES_LINEAR:
        yield f"pLinear mark of {', '.join(linear)}"
    for name in sorted(previews(part)):
        yield f"{name}: dropped from changed frames, it would show the old picture"
    for name in sorted(hash_attributes(part)):
        yield f"{name}: dropped from changed frames, it names the old pixels"
    for name in sorted(leaked_attributes(part)):
        yield f"{name}: dropped, the workings of another program's image library"
    flags = sorted(a.name for a in part.attributes if a.name in ACES_FLAGS)
    if flags and not is_aces_container(part):
        yield f"{', '.join(flags)}: dropped, the file is not what SMPTE ST 2065-4 asks for"
