# SPDX-License-Identifier: GPL-3.0-or-later
"""Write a float EXR of one picture, without compression: how a preview gets into a strip.

Source: OpenEXR file layout (openexr.com, "OpenEXR File Layout"): magic, version 2, attributes,
offset table, then one block a line with the channels in alphabetical order.
"""

import struct
from array import array


def write(path, data, height, width, channels):
    """Write pixels of 32-bit floats.

    Args:
        data: bytes of the machine's own float32, rows from the top, channels interleaved.
        channels: names of the channels in the order of the data.

    Raises:
        ValueError: when the data does not hold height x width x channels floats.
    """
    with memoryview(data).cast("B") as raw, raw.cast("f") as floats:
        _write(path, floats, height, width, channels)


def _write(path, floats, height, width, channels):
    count = len(channels)
    if len(floats) != height * width * count:
        raise ValueError(f"{len(floats)} floats for {width} x {height} px of {count} channels")
    order = sorted(range(count), key=lambda i: channels[i])
    head = _header(height, width, [channels[i] for i in order])
    line = 8 + 4 * width * count
    first = len(head) + 8 * height
    with open(path, "wb") as file:
        file.write(head)
        file.write(struct.pack(f"<{height}Q", *(first + line * y for y in range(height))))
        for y in range(height):
            file.write(struct.pack("<ii", y, line - 8))
            # Every view is let go of at once: the memory of a preview is given back soon.
            with floats[y * width * count : (y + 1) * width * count] as row:
                for index in order:
                    with row[index::count] as plane:
                        file.write(_little(plane.tobytes()))


def _little(raw):
    if struct.pack("=H", 1) == struct.pack("<H", 1):
        return raw
    swapped = array("f", raw)
    swapped.byteswap()
    return swapped.tobytes()


def _header(height, width, channels):
    box = struct.pack("<4i", 0, 0, width - 1, height - 1)
    listed = b"".join(
        name.encode("ascii") + b"\0" + struct.pack("<iB3xii", 2, 0, 1, 1) for name in channels
    )
    attributes = (
        (b"channels", b"chlist", listed + b"\0"),
        (b"compression", b"compression", b"\0"),
        (b"dataWindow", b"box2i", box),
        (b"displayWindow", b"box2i", box),
        (b"lineOrder", b"lineOrder", b"\0"),
        (b"pixelAspectRatio", b"float", struct.pack("<f", 1.0)),
        (b"screenWindowCenter", b"v2f", struct.pack("<ff", 0.0, 0.0)),
        (b"screenWindowWidth", b"float", struct.pack("<f", 1.0)),
    )
    body = b"".join(
        name + b"\0" + kind + b"\0" + struct.pack("<i", len(value)) + value
        for name, kind, value in attributes
    )
    return b"\x76\x2f\x31\x01" + struct.pack("<i", 2) + body + b"\0"
