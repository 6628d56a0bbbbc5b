"""What the OpenEXR library says about two files, for comparison."""

from __future__ import annotations

from pathlib import Path

import OpenEXR


def differences(first: Path, second: Path) -> list[str]:
    """Return every pixel channel and header value that differs, in words."""
    one = OpenEXR.File(str(first), separate_channels=True)
    two = OpenEXR.File(str(second), separate_channels=True)
    if len(one.parts) != len(two.parts):
        return [f"{len(one.parts)} parts became {len(two.parts)}"]
    found = []
    for index, (was, now) in enumerate(zip(one.parts, two.parts, strict=True)):
        if sorted(was.channels) != sorted(now.channels):
            found.append(f"part {index}: channels {sorted(was.channels)}, {sorted(now.channels)}")
            continue
        for name, channel in was.channels.items():
            other = now.channels[name]
            if channel.pixels.dtype != other.pixels.dtype:
                found.append(f"part {index}: type of {name}")
            elif channel.pixels.tobytes() != other.pixels.tobytes():
                found.append(f"part {index}: samples of {name}")
            if channel.pLinear != other.pLinear:
                found.append(f"part {index}: pLinear of {name}")
        names = (set(was.header) | set(now.header)) - {"channels"}
        found += [
            f"part {index}: {name}"
            for name in sorted(names)
            if _text(was.header.get(name)) != _text(now.header.get(name))
        ]
    return found


def _text(value: object) -> str:
    # Previews print their size only.
    pixels = getattr(value, "pixels", None)
    return repr(value) if pixels is None else repr(pixels.tolist())
