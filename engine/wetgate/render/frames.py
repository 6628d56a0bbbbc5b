"""Make a frame of another size: its pixels, its windows, and what of its header tells a size."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from wetgate.io.dpx_header import HEADER_BYTES, parse_header
from wetgate.io.exr import ExrPayload
from wetgate.io.exr_header import Attribute, PartHeader
from wetgate.io.oiio import Samples
from wetgate.io.raw import find_non_finite
from wetgate.io.stills import StillPayload
from wetgate.model.box import Box
from wetgate.model.errors import UnsupportedImage
from wetgate.model.frame import Frame, ImageInfo, SourceHeader
from wetgate.operators.base import Pixels
from wetgate.render.canvas import Canvas, ChannelsPlane, Kernel, Sizes, nearest_index
from wetgate.render.shelf import ShelvedFrame
from wetgate.render.store import DirectPlane, Plane, row_bands

_PICTURE = frozenset({"R", "G", "B", "A", "Y", "RY", "BY", "AR", "AG", "AB"})
"""Last parts of channel names whose values may be blended."""


def kernel_of(channel: str) -> Kernel:
    """Return how a channel that no operator works on is resized.

    Pictures and coverage are filtered. Depth, positions, motion and everything that may be a
    number of something keep values that the source has: a mean of two of them means nothing.
    Cryptomatte layers are called R, G, B and A and hold such numbers.
    """
    named_as_picture = channel.rpartition(".")[2] in _PICTURE
    return "linear" if named_as_picture and "crypto" not in channel.lower() else "nearest"


def resized_frame(shelved: ShelvedFrame, color: Pixels, sizes: Sizes) -> Frame:
    """Return the frame at its size after all steps.

    Args:
        color: the colors at that size.

    Raises:
        UnsupportedImage: other parts of the file cannot follow.
    """
    shell = shelved.shell
    check_resizable(shell.header, frame=shell.number)
    source = canvas_of(shell)
    canvas = sizes.output(source)
    height, width, _ = color.shape
    count = len(shell.channels)
    pixels = color
    if shelved.color_index != tuple(range(count)):
        pixels = np.empty((height, width, count), np.float32)
        others = [i for i in range(count) if i not in shelved.color_index]
        kernels: tuple[Kernel, ...] = ("linear", "nearest")
        planes = [_others(shelved, others, kernel, sizes) for kernel in kernels]
        for band in row_bands(pixels.shape):
            pixels[band][..., list(shelved.color_index)] = color[band]
            for index, plane in planes:
                if plane is not None:
                    pixels[band][..., index] = plane.rows(band.start, band.stop)
    return replace(
        shell,
        pixels=pixels,
        data_window=canvas.data,
        display_window=canvas.display,
        header=_resized_header(shell.header, source, canvas, sizes.total),
        non_finite=find_non_finite(pixels),
    )


def canvas_of(frame: Frame | ImageInfo) -> Canvas:
    """Return where the picture of a frame lies."""
    return Canvas(frame.data_window, frame.display_window)


def check_resizable(
    header: SourceHeader, *, frame: int | None = None, carried: Sequence[str] = ()
) -> None:
    """Refuse files with pictures beside the picture, which would keep the size they have.

    Args:
        carried: what travels beside the pixels and would have to be written with them.

    Raises:
        UnsupportedImage: saying what is there.
    """
    payload = header.payload
    found = ""
    if isinstance(payload, ExrPayload) and len(payload.header.parts) > 1:
        found = f"an EXR of {len(payload.header.parts)} parts"
    elif header.format == "dpx" and carried:
        found = f"a DPX with {', '.join(carried)} beside the picture"
    if found:
        raise UnsupportedImage(
            f"{found} cannot be given another size",
            frame=frame,
            expected="one part with one picture",
            remedy="write the part you need to a file of its own first",
        )


def resizing_losses(info: ImageInfo, colors: Sequence[int]) -> tuple[str, ...]:
    """Say how what is not color gets its new size."""
    rest = [name for i, name in enumerate(info.channels) if i not in colors]
    filtered = [name for name in rest if kernel_of(name) == "linear"]
    nearest = [name for name in rest if kernel_of(name) == "nearest"]
    payload = info.header.payload
    if isinstance(payload, ExrPayload):
        known = set(payload.names.values())
        part = payload.header.parts[payload.part]
        nearest += [c.name for c in part.channels if c.name not in known]
    found = []
    if filtered:
        found.append(f"channels {', '.join(filtered)}: resized with a linear filter")
    if nearest:
        found.append(f"channels {', '.join(nearest)}: every pixel takes the nearest sample")
    return tuple(found)


def _others(
    shelved: ShelvedFrame, others: Sequence[int], kernel: Kernel, sizes: Sizes
) -> tuple[list[int], Plane | None]:
    """Return the channels of one kernel and their plane at the size of the output."""
    shell = shelved.shell
    index = [i for i in others if kernel_of(shell.channels[i]) == kernel]
    if not index:
        return index, None
    base: Plane
    if shelved.whole or shelved.rest is None:
        base = ChannelsPlane(DirectPlane(shell.pixels), index)
    else:
        base = ChannelsPlane(shelved.rest, [others.index(i) for i in index])
    return index, sizes.plane_output(base, canvas_of(shell), kernel)


def _resized_header(
    header: SourceHeader, source: Canvas, canvas: Canvas, scale: Fraction
) -> SourceHeader:
    payload = header.payload
    if isinstance(payload, ExrPayload):
        return replace(header, payload=_resized_exr(payload, source, canvas, scale))
    if isinstance(payload, StillPayload):
        return replace(header, payload=replace(payload, nan_bits=None))
    if header.format == "dpx" and header.raw is not None:
        return replace(header, raw=_resized_dpx(header.raw, scale))
    return header


def _resized_exr(
    payload: ExrPayload, source: Canvas, canvas: Canvas, scale: Fraction
) -> ExrPayload:
    """Give carried channels and the windows of the header the new size."""
    part = payload.header.parts[payload.part]
    part = part.with_attribute(_box("dataWindow", canvas.data))
    part = part.with_attribute(_box("displayWindow", canvas.display))
    density = part.get("xDensity")  # px per inch
    if density is not None and density.type == "float":
        (value,) = struct.unpack("<f", density.value)
        part = part.with_attribute(
            Attribute("xDensity", "float", struct.pack("<f", value * float(scale)))
        )
    return replace(
        payload,
        header=payload.header.with_parts(_replaced(payload.header.parts, payload.part, part)),
        planes=tuple(
            replace(plane, samples=_nearest(plane.samples, source, canvas, scale))
            for plane in payload.planes
        ),
        nan_bits=None,
    )


def _replaced(parts: Sequence[PartHeader], index: int, part: PartHeader) -> tuple[PartHeader, ...]:
    return (*parts[:index], part, *parts[index + 1 :])


def _box(name: str, box: Box) -> Attribute:
    corners = struct.pack("<4i", box.x0, box.y0, box.x1 - 1, box.y1 - 1)
    return Attribute(name, "box2i", corners)


def _nearest(samples: Samples, source: Canvas, canvas: Canvas, scale: Fraction) -> Samples:
    """Resize samples of any type about the corner of the display window."""
    height, width = samples.shape[:2]
    x, y = source.display.x0, source.display.y0
    index = []
    for first, last, corner, start, size in (
        (canvas.data.y0, canvas.data.y1, y, source.data.y0, height),
        (canvas.data.x0, canvas.data.x1, x, source.data.x0, width),
    ):
        at = nearest_index(first - corner, last - corner, scale, 1 << 31) - (start - corner)
        index.append(np.clip(at, 0, size - 1))
    return np.ascontiguousarray(samples[index[0]][:, index[1]])


def nearest_over(picture: Pixels, source: Canvas, canvas: Canvas) -> Pixels:
    """Return a picture of the source laid over another size of it, every px the nearest one."""
    # The display window may have been grown to whole px of the output: the ratio is that of both.
    ratio = Fraction(canvas.display.width, max(1, source.display.width))
    scale = ratio.limit_denominator(16)
    return np.asarray(_nearest(picture, source, canvas, scale), np.float32)


def _resized_dpx(raw: bytes, scale: Fraction) -> bytes:
    """Move the image center, which is in px of this image; other sizes are the writer's."""
    header = parse_header(raw)
    changes: dict[tuple[str, int | None], int | float | str] = {}
    for name in ("XCenter", "YCenter"):
        value = header.value(name)
        if isinstance(value, float):
            changes[name, None] = value * float(scale)
    return header.patched(changes).raw + raw[HEADER_BYTES:] if changes else raw
