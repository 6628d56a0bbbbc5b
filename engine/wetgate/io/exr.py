"""Read EXR: pixels by OpenImageIO, everything else by our own header parser.

One part is the working part; its half and float channels become the frame's pixels. Its uint
channels, layers not asked for and all other parts ride in `ExrPayload`, in their own types.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from wetgate.io.exr_header import FileHeader, PartHeader, decode, printable, read_header
from wetgate.io.exr_losses import list_losses
from wetgate.io.oiio import ImageReader, Part, Samples
from wetgate.io.options import Limits
from wetgate.io.raw import NanBits, RawFrame, find_nan_bits
from wetgate.model.errors import FrameReadError, UnsupportedImage
from wetgate.model.frame import ImageInfo, SampleType, SourceHeader

_BYTES = {"uint": 4, "half": 2, "float": 4}
_COLOR = ("R", "G", "B", "Y")
_SHARED = ("colorInteropID", "chromaticities", "acesImageContainerFlag", "acesImageContainer")


@dataclass(frozen=True, slots=True)
class Plane:
    """Channels of one part that travel untouched, in their own type."""

    part: int
    channels: tuple[str, ...]
    samples: Samples


@dataclass(frozen=True, slots=True)
class ExrPayload:
    """What the EXR writer needs beside the pixels.

    Attributes:
        header: every header of the source, byte for byte.
        part: index of the working part.
        names: name in the file of each channel of the frame, in the frame's order.
        planes: all that is not in the frame's pixels.
        nan_bits: bits of NaN samples of half channels.
    """

    header: FileHeader
    part: int
    names: Mapping[str, str]
    planes: tuple[Plane, ...] = ()
    nan_bits: NanBits | None = None

    def with_nan_bits(self, bits: NanBits) -> ExrPayload:
        """Return the payload with the bits of NaN samples."""
        return replace(self, nan_bits=bits)

    def channel_types(self, channels: Iterable[str]) -> tuple[SampleType, ...]:
        """Return how the file stores channels of the frame, by their names there."""
        types = {c.name: c.type for c in self.header.parts[self.part].channels}
        return tuple("half" if types[self.names[n]] == "half" else "float" for n in channels)

    def uncompressed_bytes(self) -> int:
        """Return the size of a file of all parts without compression."""
        pixels = sum(
            p.box("dataWindow").area * sum(_BYTES[c.type] for c in p.channels)
            for p in self.header.parts
        )
        chunks = sum(p.box("dataWindow").height * 20 for p in self.header.parts)
        return self.header.size + chunks + pixels


@dataclass(frozen=True, slots=True)
class _Selection:
    part: int
    names: Mapping[str, str]  # name in the frame -> name in the file, in the frame's order


def read_info(path: Path, *, limits: Limits, layer: str | None = None) -> ImageInfo:
    """Read what an EXR file says about itself; no pixel is decoded.

    Raises:
        FrameReadError: when the header is damaged.
        UnsupportedImage: for deep or subsampled parts, an unknown layer, or beyond the limits.
    """
    header = _read_checked(path, limits)
    return _info(header, _select(header, path, layer), path)


def load(path: Path, *, limits: Limits, layer: str | None = None) -> RawFrame:
    """Decode a whole EXR file; raises as `read_info`, and for any missing or damaged chunk."""
    header = _read_checked(path, limits)
    chosen = _select(header, path, layer)
    info = _info(header, chosen, path)
    with ImageReader(path, "openexr", limits) as reader:
        planes: list[Plane] = []
        samples: Samples | None = None
        bits: NanBits | None = None
        for index, part_header in enumerate(header.parts):
            part = _checked_part(reader, index, part_header)
            if index != chosen.part:
                planes.extend(_read_runs(reader, index, part, set(part.channels)))
                continue
            exposed = tuple(chosen.names.values())
            samples, bits = _read_exposed(reader, index, part, exposed)
            planes.extend(_read_runs(reader, index, part, set(part.channels) - set(exposed)))
    assert samples is not None  # the chosen part is one of those just read
    payload = ExrPayload(header, chosen.part, chosen.names, tuple(planes))
    return RawFrame(info, samples, nan_bits=bits).with_payload(payload)


def _read_checked(path: Path, limits: Limits) -> FileHeader:
    header = read_header(path, most_parts=limits.parts)
    total = 0
    for index, part in enumerate(header.parts):
        _refuse_uncarried(part, _part_label(header, index), path, deep=header.is_deep)
        box = part.box("dataWindow")
        if max(box.size) > limits.resolution:
            raise UnsupportedImage(
                f"{box.width} x {box.height} pixels", path=path, expected=f"<= {limits.resolution}"
            )
        if len(part.channels) > limits.channels:
            raise UnsupportedImage(
                f"{len(part.channels)} channels", path=path, expected=f"<= {limits.channels}"
            )
        total += box.area * sum(_BYTES[c.type] for c in part.channels)
    if total > limits.image_mb << 20:
        raise UnsupportedImage(
            f"{total >> 20} MB of pixels", path=path, expected=f"<= {limits.image_mb} MB"
        )
    return header


def _refuse_uncarried(part: PartHeader, label: str, path: Path, *, deep: bool) -> None:
    kind = str(part.value("type") or "")
    if kind.startswith("deep") or (deep and not kind):
        raise UnsupportedImage(f"{label} holds deep data", path=path, expected="flat images")
    for channel in part.channels:
        if (channel.x_step, channel.y_step) != (1, 1):
            raise UnsupportedImage(
                f"channel {channel.name!r} of {label} is subsampled "
                f"{channel.x_step} x {channel.y_step}",
                path=path,
                expected="every channel at full resolution",
                remedy="convert luminance/chroma to RGB first",
            )
    if not kind or kind in ("scanlineimage", "tiledimage"):
        return
    raise UnsupportedImage(f"{label} is of type {kind!r}", path=path)


def _part_label(header: FileHeader, index: int) -> str:
    if len(header.parts) == 1:
        return "the image"
    return f"part {header.parts[index].name or index!r}"


def _select(header: FileHeader, path: Path, layer: str | None) -> _Selection:
    """Choose the working part and name its channels for the frame."""
    if layer is None:
        return _default_selection(header, path)
    for index, part in enumerate(header.parts):
        if layer in (part.name, part.view) and _picture(part):
            return _Selection(index, _without_common_prefix(_picture(part)))
    for index, part in enumerate(header.parts):
        names = [n for n in _picture(part) if n.startswith(f"{layer}.")]
        if names:
            chosen = {n[len(layer) + 1 :]: n for n in names}
            return _Selection(index, _color_first(chosen))
    raise UnsupportedImage(
        f"no part, view or layer {layer!r}",
        path=path,
        expected=", ".join(_layers(header)) or "no layer at all: the file has none",
    )


def _default_selection(header: FileHeader, path: Path) -> _Selection:
    """Take the first part with R, G, B or Y, else the first with anything to show."""
    named = [_without_common_prefix(_picture(p)) for p in header.parts]
    for index, names in enumerate(named):
        if any(n in names for n in _COLOR):
            return _Selection(index, names)
    for index, names in enumerate(named):
        if names:
            return _Selection(index, names)
    raise UnsupportedImage(
        "no half or float channel", path=path, expected="a picture beside the uint channels"
    )


def _without_common_prefix(names: list[str]) -> Mapping[str, str]:
    """Take away a layer name that all channels of a part share."""
    prefixes = {n.rpartition(".")[0] for n in names}
    cut = len(prefixes.pop()) + 1 if len(prefixes) == 1 and "" not in prefixes else 0
    return _color_first({n[cut:]: n for n in names})


def _picture(part: PartHeader) -> list[str]:
    """Return the channels that float32 holds exactly."""
    return [c.name for c in part.channels if c.type != "uint"]


def _layers(header: FileHeader) -> list[str]:
    found: dict[str, None] = {}
    for part in header.parts:
        names = [part.name, part.view]
        names += [c.name.rpartition(".")[0] for c in part.channels if c.type != "uint"]
        found.update(dict.fromkeys(n for n in names if n))
    return list(found)


def _color_first(names: Mapping[str, str]) -> Mapping[str, str]:
    """Order channels as a picture is thought of: R, G, B, Y, A, Z, then the rest as in the file."""
    rank = {"R": 0, "G": 1, "B": 2, "Y": 3, "A": 4, "Z": 5}
    order = sorted(names, key=lambda n: rank.get(n, len(rank)))
    return MappingProxyType({n: names[n] for n in order})


def _info(header: FileHeader, chosen: _Selection, path: Path) -> ImageInfo:
    part = header.parts[chosen.part]
    types = {c.name: c.type for c in part.channels}
    lead = next((chosen.names[n] for n in _COLOR if n in chosen.names), None)
    lead = lead or next(iter(chosen.names.values()))
    sample_type: SampleType = "half" if types[lead] == "half" else "float"
    attributes = {printable(a.name): decode(a) for a in part.attributes}
    for name in _SHARED:
        shared = header.parts[0].value(name)
        if shared is not None:
            attributes.setdefault(name, shared)
    rate = attributes.get("framesPerSecond")
    aspect = attributes.get("pixelAspectRatio")
    exposed = set(chosen.names.values())
    payload = ExrPayload(header, chosen.part, chosen.names)
    carried = [c.name for c in part.channels if c.name not in exposed]
    carried += [_part_label(header, i) for i in range(len(header.parts)) if i != chosen.part]
    return ImageInfo(
        header=SourceHeader("exr", MappingProxyType(attributes), payload=payload),
        channels=tuple(chosen.names),
        sample_type=sample_type,
        data_window=part.box("dataWindow"),
        display_window=part.box("displayWindow"),
        pixel_aspect=aspect if isinstance(aspect, float) and aspect > 0 else 1.0,
        frame_rate=rate if isinstance(rate, Fraction) and rate > 0 else None,
        carried=tuple(carried),
        losses=list_losses(header),
    )


def _checked_part(reader: ImageReader, index: int, header: PartHeader) -> Part:
    """Compare what the library found with what we parsed: two readers must see one file."""
    part = reader.part(index)
    box = header.box("dataWindow")
    ours = (box.x0, box.y0, box.width, box.height, {(c.name, c.type) for c in header.channels})
    theirs = (
        part.x,
        part.y,
        part.width,
        part.height,
        set(zip(part.channels, part.types, strict=True)),
    )
    if ours != theirs:
        raise FrameReadError(
            f"image {index} decodes as {theirs[2]} x {theirs[3]} with channels {part.channels}",
            path=reader.path,
            expected=f"{ours[2]} x {ours[3]} as its header says",
        )
    return part


def _read_runs(reader: ImageReader, index: int, part: Part, wanted: set[str]) -> list[Plane]:
    """Read channels natively, neighbors of one type together."""
    planes = []
    first = 0
    while first < len(part.channels):
        last = first
        while (
            last < len(part.channels)
            and part.channels[last] in wanted
            and part.types[last] == part.types[first]
        ):
            last += 1
        if last > first:
            samples = reader.read(index, first, last, part.types[first])
            planes.append(Plane(index, part.channels[first:last], samples))
        first = max(last, first + 1)
    return planes


def _read_exposed(
    reader: ImageReader, index: int, part: Part, exposed: tuple[str, ...]
) -> tuple[Samples, NanBits | None]:
    """Read the channels of the frame, in the frame's order."""
    at = [part.channels.index(n) for n in exposed]
    kind = part.uniform
    samples = reader.read(index, 0, len(part.channels), kind or "float")
    if at != list(range(len(part.channels))):
        samples = np.ascontiguousarray(samples[..., at])
    if kind is not None:
        return samples, None
    return samples, _mixed_nan_bits(reader, index, part, at, samples)


def _mixed_nan_bits(
    reader: ImageReader, index: int, part: Part, at: list[int], samples: NDArray[np.float32]
) -> NanBits | None:
    """Fetch the half bits of NaN samples that were decoded as float32 among float channels."""
    nan = [bool(np.isnan(samples[..., c]).any()) for c in range(len(at))]
    found = []
    for column, channel in enumerate(at):
        if not nan[column] or part.types[channel] != "half":
            continue
        half = reader.read(index, channel, channel + 1, "half")
        bits = find_nan_bits(half, np.ascontiguousarray(samples[..., column : column + 1]))
        if bits is not None:
            found.append(NanBits(bits.at * len(at) + column, bits.half, bits.full))
    if not found:
        return None
    at_all = np.concatenate([b.at for b in found])
    order = np.argsort(at_all)
    half_all = np.concatenate([b.half for b in found])[order]
    return NanBits(at_all[order], half_all, np.concatenate([b.full for b in found])[order])
