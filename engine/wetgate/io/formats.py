"""Which codec reads a file: decided by its content, by its suffix only where it has none yet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from wetgate.io.options import Limits, WriteOptions
from wetgate.io.raw import RawFrame
from wetgate.model.errors import FormatNotWritten, FrameReadError, UnsupportedImage
from wetgate.model.frame import Frame, ImageInfo, SampleType, code_depth

_HEAD_BYTES = 16

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x76\x2f\x31\x01", "exr"),
    (0, b"SDPX", "dpx"),
    (0, b"XPDS", "dpx"),
    (0, b"\x80\x2a\x5f\xd7", "cineon"),
    (0, b"\xd7\x5f\x2a\x80", "cineon"),
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"II\x2a\x00", "tiff"),
    (0, b"MM\x00\x2a", "tiff"),
    (0, b"II\x2b\x00", "tiff"),
    (0, b"MM\x00\x2b", "tiff"),
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, b"BM", "bmp"),
    (0, b"\x01\xda", "sgi"),
    (0, b"#?RADIANCE", "hdr"),
    (0, b"#?RGBE", "hdr"),
    (0, b"\x00\x00\x00\x0cJXL ", "jpegxl"),
    (0, b"\xff\x0a", "jpegxl"),
    (0, b"\x00\x00\x00\x0cjP  ", "jpeg2000"),
    (0, b"\xff\x4f\xff\x51", "jpeg2000"),
    (8, b"WEBP", "webp"),
    (8, b"AVI ", "movie"),
    (4, b"ftyp", "movie"),
    (4, b"moov", "movie"),
    (4, b"mdat", "movie"),
    (4, b"wide", "movie"),
    (0, b"\x1a\x45\xdf\xa3", "movie"),
    (0, b"\x06\x0e\x2b\x34", "movie"),
    *((0, b"P" + bytes([d]), "pnm") for d in b"123456Ff"),
)

_SUFFIXES: Mapping[str, str] = MappingProxyType(
    {
        ".exr": "exr",
        ".sxr": "exr",
        ".mxr": "exr",
        ".dpx": "dpx",
        ".cin": "cineon",
        ".tif": "tiff",
        ".tiff": "tiff",
        ".png": "png",
        ".jpg": "jpeg",
        ".jpeg": "jpeg",
        ".bmp": "bmp",
        ".tga": "targa",
        ".sgi": "sgi",
        ".rgb": "sgi",
        ".ppm": "pnm",
        ".pgm": "pnm",
        ".pnm": "pnm",
        ".pfm": "pnm",
        ".webp": "webp",
        ".jxl": "jpegxl",
        ".jp2": "jpeg2000",
        ".j2k": "jpeg2000",
        ".hdr": "hdr",
        ".mov": "movie",
        ".mp4": "movie",
        ".m4v": "movie",
        ".mkv": "movie",
        ".mxf": "movie",
        ".avi": "movie",
    }
)
_OWN_CODECS = frozenset({"dpx", "cineon"})
# fmt: off
_LAYOUT_VALUES = frozenset({
    "channels", "compression", "dataWindow", "displayWindow", "lineOrder", "pixelAspectRatio",
    "screenWindowCenter", "screenWindowWidth", "type", "name", "view", "chunkCount", "tiles",
    "version", "dwaCompressionLevel",
})
# fmt: on
"""EXR header values that say how the pixels lie, not what they are."""


def format_of_suffix(path: Path) -> str | None:
    """Return the format that a file name asks for, None when unknown."""
    return _SUFFIXES.get(path.suffix.lower())


def sniff_format(path: Path) -> str:
    """Return the format of a file by its first bytes; by suffix for formats without a mark.

    Raises:
        FrameReadError: when the file cannot be read or is empty.
        UnsupportedImage: when it is no format that wetgate reads.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would block for ever
            raise FrameReadError("is no ordinary file", path=path)
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise FrameReadError(error.strerror or str(error), path=path) from error
    if not head:
        raise FrameReadError("the file is empty", path=path)
    for offset, magic, name in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return name
    named = format_of_suffix(path)
    if named == "targa":
        return named
    if named is not None:
        raise FrameReadError(f"starts with {head[:4].hex(' ')}", path=path, expected=f"a {named}")
    raise UnsupportedImage("no image format that wetgate reads", path=path)


def needs_sandbox(kind: str) -> bool:
    """Whether a format is decoded by a third-party library, so in a process that may be killed."""
    return kind not in _OWN_CODECS


def read_info(path: Path, *, limits: Limits | None = None, layer: str | None = None) -> ImageInfo:
    """Read what a file says about itself, in this process.

    Raises:
        FrameReadError: when it is missing or damaged.
        UnsupportedImage: for a feature that wetgate cannot carry, by name.
    """
    limits = limits or Limits()
    kind = sniff_format(path)
    _check_layer(kind, layer, path)
    if kind == "exr":
        from wetgate.io import exr

        return exr.read_info(path, limits=limits, layer=layer)
    if kind == "dpx":
        from wetgate.io import dpx

        return dpx.read_info(path, limits=limits)
    if kind == "cineon":
        from wetgate.io import cineon

        return cineon.read_info(path, limits=limits)
    if kind == "movie":
        from wetgate.io import movie

        return movie.read_info(path, limits=limits)
    from wetgate.io import stills

    return stills.read_info(path, kind, limits=limits)


def read_frame(
    path: Path,
    number: int,
    *,
    color_space: str,
    limits: Limits | None = None,
    layer: str | None = None,
) -> Frame:
    """Read one frame, in this process; `wetgate.io.sandbox` is for files of unknown origin.

    Args:
        number: the frame's number; in a movie also what is read.
        color_space: name of the space that the pixels are in; stated, not converted to.
        layer: part, view or layer to take for the picture; None takes the first.

    Raises:
        FrameReadError: when it is missing or damaged.
        UnsupportedImage: for a feature that wetgate cannot carry, by name.
    """
    limits = limits or Limits()
    kind = sniff_format(path)
    _check_layer(kind, layer, path)
    if kind == "dpx":
        from wetgate.io import dpx

        return dpx.read_frame(path, number, color_space=color_space, limits=limits)
    if kind == "cineon":
        from wetgate.io import cineon

        return cineon.read_frame(path, number, color_space=color_space, limits=limits)
    return load(path, number, kind, limits=limits, layer=layer).frame(number, color_space)


def load(path: Path, number: int, kind: str, *, limits: Limits, layer: str | None) -> RawFrame:
    """Decode one frame of a format that `needs_sandbox`."""
    _check_layer(kind, layer, path)
    if kind == "exr":
        from wetgate.io import exr

        return exr.load(path, limits=limits, layer=layer)
    if kind == "movie":
        from wetgate.io import movie

        return movie.load(path, number, limits=limits)
    from wetgate.io import stills

    return stills.load(path, kind, limits=limits)


def layer_in(path: Path, layer: str | None) -> str | None:
    """Return the layer to ask a written file for: a format without layers holds it alone."""
    return layer if sniff_format(path) == "exr" else None


def _check_layer(kind: str, layer: str | None, path: Path) -> None:
    if layer is not None and kind != "exr":
        raise UnsupportedImage(f"layer {layer!r} was asked for and {kind} has none", path=path)


def write_frame(frame: Frame, path: Path, *, options: WriteOptions | None = None) -> None:
    """Write one frame to exactly `path`, in the source's format unless options name another.

    A frame just read and written back unchanged gives the same bytes (DPX) or the same pixels
    and header values (EXR, less `ImageInfo.losses`).

    Raises:
        DiskFull, OutputError: when it cannot be written; what lies at `path` is then worthless.
    """
    options = options or WriteOptions()
    kind = options.format or frame.header.format
    check_writable(kind, path)
    if kind == "exr":
        from wetgate.io import exr_write

        exr_write.write(frame, path, options)
    elif kind == "dpx":
        from wetgate.io import dpx

        dpx.write_frame(frame, path, options=options)
    else:
        from wetgate.io import stills

        stills.write(frame, path, kind, options)


def check_writable(kind: str, path: Path) -> None:
    """Refuse a format that is read only.

    Raises:
        FormatNotWritten: with those that are written.
    """
    if kind in ("exr", "dpx", "tiff", "png"):
        return
    if kind == "movie":
        raise FormatNotWritten(
            "movies are not written",
            path=path,
            expected="a sequence of frames",
            remedy="name the output like plate.%04d.exr, then encode it with your own settings",
        )
    suffix = "dpx" if kind == "cineon" else "exr"  # DPX holds the same 10-bit codes
    raise FormatNotWritten(
        f"{kind} is not written",
        path=path,
        expected="exr, dpx, tiff or png",
        remedy=f"name the output with such a suffix, e.g. plate.%04d.{suffix}",
    )


def metadata_losses(info: ImageInfo, target_format: str) -> tuple[str, ...]:
    """Return in words what writing a clip in another format loses or changes."""
    source = info.header.format
    if source == target_format:
        return info.losses
    found = []
    depth = code_depth(info.sample_type)
    if target_format in ("dpx", "png", "cineon") and depth is None:
        found.append("values below 0 and above 1 are held at the ends of the code range; NaN is 0")
        found.append(f"{info.sample_type} samples become integer codes")
    if target_format != "exr" and info.data_window != info.display_window:
        found.append("data window: pixels outside the display window are cut")
    found.extend(f"{name} is not written" for name in info.carried)
    extra = [c for c in info.channels if c not in ("R", "G", "B", "A", "Y")]
    if target_format in ("dpx", "png", "cineon") and extra:
        found.extend(f"channel {name} is not written" for name in extra)
    hidden = _LAYOUT_VALUES if source == "exr" else frozenset()
    prefixes = ("oiio:", "tiff:", "openexr:")
    names = sorted(n for n in info.header.attributes if n not in hidden)
    found.extend(f"{source} {n}" for n in names if not n.startswith(prefixes))
    return tuple(found)


def channel_types(frame: Frame) -> tuple[SampleType, ...]:
    """Return how the file stores each channel of a frame; EXR may mix half and float."""
    from wetgate.io.exr import ExrPayload

    payload = frame.header.payload
    if isinstance(payload, ExrPayload):
        return payload.channel_types(frame.channels)
    return (frame.sample_type,) * len(frame.channels)


def frame_bytes(info: ImageInfo) -> int:
    """Return about how many bytes a frame takes on disk uncompressed, never too few."""
    from wetgate.io.exr import ExrPayload

    payload = info.header.payload
    if isinstance(payload, ExrPayload):
        return payload.uncompressed_bytes()
    depth = code_depth(info.sample_type)
    sample = {8: 1, 10: 4 / 3, 12: 2, 16: 2}.get(depth, 0) if depth else 4
    row = int(info.data_window.width * len(info.channels) * sample) + 16
    return row * info.data_window.height + (1 << 16) + len(info.header.raw or b"")
