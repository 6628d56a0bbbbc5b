"""Where the samples of a DPX file lie, and which channel each one belongs to.

Source: SMPTE ST 268-1. Rows start on 32-bit borders; end-of-line padding follows each row.
Some writers leave 8- and 16-bit rows unaligned: a file whose size fits only that reading is read
so (`_row_bytes`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypedDict

from wetgate.io.dpx_header import HEADER_BYTES, UNDEFINED_U32, DpxElement, DpxHeader, HeaderError
from wetgate.model.frame import SampleType

_SAMPLE_TYPES: dict[int, SampleType] = {
    8: "uint8",
    10: "uint10",
    12: "uint12",
    16: "uint16",
    32: "float",
}
_BITS = {name: bits for bits, name in _SAMPLE_TYPES.items()}

# descriptor: (name, channel of each stored sample of a pixel). "Cb/Cr" is 4:2:2: the slot holds
# Cb on even and Cr on odd pixels.
_DESCRIPTORS: dict[int, tuple[str, tuple[str, ...]]] = {
    1: ("R", ("R",)),
    2: ("G", ("G",)),
    3: ("B", ("B",)),
    4: ("A", ("A",)),
    6: ("Y", ("Y",)),
    8: ("Z", ("Z",)),
    10: ("Cb", ("Cb",)),
    11: ("Cr", ("Cr",)),
    50: ("RGB", ("R", "G", "B")),
    51: ("RGBA", ("R", "G", "B", "A")),
    52: ("ABGR", ("A", "B", "G", "R")),
    100: ("CbYCrY 4:2:2", ("Cb/Cr", "Y")),
    101: ("CbYACrYA 4:2:2:4", ("Cb/Cr", "Y", "A")),
    102: ("CbYCr 4:4:4", ("Cb", "Y", "Cr")),
    103: ("CbYCrA 4:4:4:4", ("Cb", "Y", "Cr", "A")),
}
_OTHER_DESCRIPTORS = {0: "user-defined", 5: "5", 7: "CbCr", 9: "composite video"}
_CHANNEL_ORDER = ("R", "G", "B", "Y", "Cb", "Cr", "Z", "A")
_PACKINGS = {0: "packed", 1: "filled A", 2: "filled B"}


class LayoutRefused(Exception):
    """A feature that the codec does not decode, in words; the caller adds path and frame."""


class TruncatedFile(HeaderError):
    """The samples reach beyond the end of the file."""

    def __init__(self, found: int, expected: int) -> None:
        super().__init__(f"the file has {found} bytes, its header needs {expected}")
        self.found, self.expected = found, expected


class KernelArguments(TypedDict):
    """What the packing kernels need to know beside the two buffers."""

    row_bytes: int
    bits: int
    packing: int
    big_endian: bool
    channel: tuple[int, ...]
    odd_channel: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """The rows of one image element.

    Attributes:
        element: its index in the header.
        offset: of its first byte in the file.
        row_bytes: from row to row, padding included.
        channel: index in `Frame.channels` of each stored sample of a pixel.
        odd_channel: 4:2:2 only: index of Cr, stored in the first slot of odd pixels; else -1.
    """

    element: int
    offset: int
    rows: int
    row_bytes: int
    bits: int
    packing: int
    big_endian: bool
    channel: tuple[int, ...]
    odd_channel: int = -1

    @property
    def size(self) -> int:
        """Bytes of the region."""
        return self.rows * self.row_bytes

    @property
    def end(self) -> int:
        """Offset behind its last byte."""
        return self.offset + self.size

    def at(self, offset: int) -> Region:
        """Return the region moved to another offset."""
        return replace(self, offset=offset)

    @property
    def kernel(self) -> KernelArguments:
        """Keyword arguments of `unpack` and `pack`."""
        return KernelArguments(
            row_bytes=self.row_bytes,
            bits=self.bits,
            packing=self.packing,
            big_endian=self.big_endian,
            channel=self.channel,
            odd_channel=self.odd_channel,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DpxLayout:
    """The samples of one file.

    Attributes:
        channels: names, in the order of `Frame.channels` (ABGR comes as R, G, B, A).
        regions: the decoded elements, ascending by offset, without overlap.
        carried: further elements in words; their bytes travel untouched.
    """

    channels: tuple[str, ...]
    sample_type: SampleType
    regions: tuple[Region, ...]
    carried: tuple[str, ...] = ()


def sample_row_bytes(samples: int, bits: int, packing: int) -> int:
    """Return the bytes of one row of samples before it is aligned to 32 bits."""
    if bits == 10 and packing != 0:
        return (samples + 2) // 3 * 4
    if bits in (10, 12):
        return (samples * bits + 31) // 32 * 4 if packing == 0 else samples * 2
    return samples * (bits // 8)


def aligned(size: int) -> int:
    """Round up to a multiple of four bytes."""
    return (size + 3) // 4 * 4


def lay_out(header: DpxHeader, file_bytes: int) -> DpxLayout:
    """Find the samples of a file and check that they lie inside it.

    The first element is always decoded. A later one is decoded with it when it has the same
    depth and adds components that are not there yet (R + G + B, RGB + A); all others, such as
    the second eye or an infrared plane, are carried as bytes.

    Raises:
        LayoutRefused: run-length encoding, 1 bit, signed data and the like, by name.
        TruncatedFile, HeaderError: offsets outside the file, overlaps.
    """
    names: list[str] = []
    decoded: list[tuple[int, tuple[str, ...]]] = []
    carried: list[str] = []
    first = header.elements[0]
    for index, element in enumerate(header.elements):
        stored = _DESCRIPTORS.get(element.descriptor, ("", ()))[1]
        parts = [part for slot in stored for part in slot.split("/")]
        adds = element.bit_depth == first.bit_depth and not set(parts) & set(names)
        if index == 0 or (parts and adds and not _refusal(element)):
            _check_decodable(element)
            names += parts
            decoded.append((index, stored))
        else:
            carried.append(_in_words(index, element))
            _check_carried(header, index, file_bytes)
    channels = tuple(sorted(names, key=_CHANNEL_ORDER.index))
    regions: list[Region] = []
    end = header.image_offset
    for index, stored in decoded:
        region = _region(header, index, stored, channels, end, file_bytes)
        end = region.end
        regions.append(region)
    regions.sort(key=lambda region: region.offset)
    for before, after in pairwise(regions):
        if after.offset < before.end:
            raise HeaderError(
                f"elements {before.element + 1} and {after.element + 1} overlap in the file"
            )
    return DpxLayout(
        channels=channels,
        sample_type=_SAMPLE_TYPES[first.bit_depth],
        regions=tuple(regions),
        carried=tuple(carried),
    )


def _refusal(element: DpxElement) -> str | None:
    if element.descriptor not in _DESCRIPTORS:
        name = _OTHER_DESCRIPTORS.get(element.descriptor, "unknown to ST 268-1")
        return f"image descriptor {element.descriptor} ({name})"
    if element.encoding == 1:
        return "run-length encoding"
    if element.encoding not in (0, 0xFFFF):
        return f"encoding {element.encoding}"
    if element.bit_depth not in _SAMPLE_TYPES:
        return f"{element.bit_depth}-bit samples"
    if element.bit_depth in (10, 12) and element.packing not in _PACKINGS:
        return f"packing {element.packing} of {element.bit_depth}-bit samples"
    if element.data_sign == 1 and element.bit_depth != 32:
        return "signed integer samples"
    return None


def _check_decodable(element: DpxElement) -> None:
    refusal = _refusal(element)
    if refusal is not None:
        raise LayoutRefused(refusal)


def _in_words(index: int, element: DpxElement) -> str:
    name = _DESCRIPTORS.get(element.descriptor, ("",))[0] or f"descriptor {element.descriptor}"
    return f"element {index + 1}: {name}, {element.bit_depth}-bit"


def _check_carried(header: DpxHeader, index: int, file_bytes: int) -> None:
    """Refuse a carried element that is cut off, as far as its size can be known."""
    element = header.elements[index]
    samples = len(_DESCRIPTORS.get(element.descriptor, ("", ("",)))[1]) * header.width
    if element.bit_depth not in _SAMPLE_TYPES or element.encoding == 1:
        return
    row = sample_row_bytes(samples, element.bit_depth, element.packing) + element.line_padding
    end = element.data_offset + row * header.height
    if element.data_offset != UNDEFINED_U32 and end > file_bytes:
        raise TruncatedFile(file_bytes, end)


def _region(
    header: DpxHeader,
    index: int,
    stored: tuple[str, ...],
    channels: tuple[str, ...],
    follows: int,
    file_bytes: int,
) -> Region:
    element = header.elements[index]
    # Old writers leave the element's own offset empty and mean "right behind the one before".
    offset = follows if element.data_offset in (0, UNDEFINED_U32) else element.data_offset
    if offset < HEADER_BYTES:
        raise HeaderError(
            f"the pixels of element {index + 1} start at byte {offset}, in the header"
        )
    packing = element.packing if element.bit_depth in (10, 12) else 0
    row_bytes = _row_bytes(header, element, len(stored), packing, offset, file_bytes)
    return Region(
        element=index,
        offset=offset,
        rows=header.height,
        row_bytes=row_bytes,
        bits=element.bit_depth,
        packing=packing,
        big_endian=header.big_endian,
        channel=tuple(channels.index(slot.split("/")[0]) for slot in stored),
        odd_channel=channels.index("Cr") if stored[0] == "Cb/Cr" else -1,
    )


def _row_bytes(
    header: DpxHeader,
    element: DpxElement,
    components: int,
    packing: int,
    offset: int,
    file_bytes: int,
) -> int:
    bare = sample_row_bytes(header.width * components, element.bit_depth, packing)
    row = aligned(bare) + element.line_padding
    later = [e.data_offset for e in header.elements if offset < e.data_offset < file_bytes]
    room = min([*later, file_bytes]) - offset
    if row * header.height <= room:
        return row
    unaligned = bare + element.line_padding
    believed = header.file_size in (0, file_bytes, UNDEFINED_U32)
    if believed and unaligned * header.height == room:
        return unaligned
    raise TruncatedFile(file_bytes, offset + row * header.height)


def fresh_region(
    channels: tuple[str, ...], width: int, height: int, bits: int, packing: int, big_endian: bool
) -> tuple[int, Region]:
    """Return the descriptor and the region of a new one-element file with these channels.

    Raises:
        LayoutRefused: when no descriptor of ST 268-1 holds exactly these channels.
    """
    wanted = set(channels)
    for descriptor, (_, stored) in _DESCRIPTORS.items():
        # ABGR and 4:2:2 are read, but never chosen.
        if set(stored) == wanted and len(stored) == len(channels) and descriptor != 52:
            row = aligned(sample_row_bytes(width * len(stored), bits, packing))
            return descriptor, Region(
                element=0,
                offset=HEADER_BYTES,
                rows=height,
                row_bytes=row,
                bits=bits,
                packing=packing,
                big_endian=big_endian,
                channel=tuple(channels.index(slot) for slot in stored),
            )
    raise LayoutRefused(f"a DPX image with the channels {', '.join(channels)}")


def bits_of(sample_type: SampleType) -> int:
    """Return the bit depth that stores a sample type without loss (half goes to 32-bit float)."""
    return _BITS[sample_type] if sample_type != "half" else 32
