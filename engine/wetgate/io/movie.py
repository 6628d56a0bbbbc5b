"""Read movies (ProRes, H.264, FFV1 and what else FFmpeg decodes) through PyAV, an extra.

Frames come as un-clamped R'G'B' in the movie's own transfer curve: 0 is the black and 1 the
white of the stream's range, footroom lies below 0 and headroom above 1. Y'CbCr goes through the
exact float matrix of the stream; subsampled chroma is interpolated linearly. What the stream
does not state is assumed as `movie:*` attributes tell, with "assumed".

Frames are numbered from 1. A variable frame rate is refused: a sequence has no place for it.
Source of matrix and ranges: ITU-R BT.709-6, BT.601-7, BT.2020-2; ITU-T H.273.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgate.io.options import Limits
from wetgate.io.raw import RawFrame
from wetgate.io.ycc import Coding, rgb_from_ycc, upsample
from wetgate.model.box import Box
from wetgate.model.errors import FrameReadError, UnsupportedImage
from wetgate.model.frame import ImageInfo, SampleType, SourceHeader

FIRST_NUMBER = 1
_FEW_FRAMES = 48
"""Decoding on to a frame this near beats seeking to a key frame and decoding from there."""

_MATRIX = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020"}
_SAMPLES: Mapping[int, SampleType] = MappingProxyType(
    {8: "uint8", 9: "uint10", 10: "uint10", 12: "uint12", 14: "uint16", 16: "uint16"}
)


def _av() -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise UnsupportedImage(
            "movies need PyAV, which is not installed", remedy='pip install "wetgate[movie]"'
        ) from error
    return av


class Movie:
    """One open movie: random access by frame number, the same bits whatever was read before.

    Raises:
        FrameReadError: when it cannot be opened or holds no picture.
        UnsupportedImage: for a variable frame rate or a pixel layout that is not read.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._lock = threading.Lock()
        av = _av()
        try:
            self._container: Any = av.open(str(path))
        except (OSError, ValueError) as error:
            raise FrameReadError(f"cannot be opened as a movie: {error}", path=path) from error
        if not self._container.streams.video:
            raise FrameReadError("holds no picture", path=path)
        self._stream: Any = self._container.streams.video[0]
        self._stream.codec_context.thread_count = 1
        self._check_size(limits)
        self._times = self._index()
        self._rate = self._constant_rate()
        self._next = -1
        self._decoder: Iterator[Any] | None = None

    def _check_size(self, limits: Limits) -> None:
        context = self._stream.codec_context
        size = (context.width, context.height)
        too_big = size[0] * size[1] * 12 > limits.image_mb << 20
        if min(size) < 1 or max(size) > limits.resolution or too_big:
            raise UnsupportedImage(f"{size[0]} x {size[1]} pixels", path=self._path)

    def _index(self) -> list[int]:
        """Collect the time stamp of every frame, in order of display."""
        times = []
        try:
            for packet in self._container.demux(self._stream):
                if packet.pts is not None and not packet.is_discard:
                    times.append(int(packet.pts))
                elif packet.size:
                    raise UnsupportedImage("frames without time stamps", path=self._path)
        except (OSError, ValueError) as error:
            # A clip cut short in silence would be called complete.
            raise FrameReadError(
                f"cannot be read beyond its frame {len(times)}: {error}",
                path=self._path,
                remedy="export what can be read as a sequence of frames",
            ) from error
        if not times:
            raise FrameReadError("holds no frame", path=self._path)
        return sorted(times)

    def _constant_rate(self) -> Fraction:
        """Return the frame rate, exact; time stamps may be rounded to the stream's clock."""
        rate = self._stream.average_rate or self._stream.guessed_rate
        if not rate:
            raise UnsupportedImage("states no frame rate", path=self._path)
        step = 1 / (Fraction(rate) * Fraction(self._stream.time_base))
        for index, time in enumerate(self._times):
            if abs(time - self._times[0] - index * step) > 1:
                raise UnsupportedImage(
                    f"variable frame rate: frame {index + FIRST_NUMBER} is not where "
                    f"{float(rate):.3f} frames per second put it",
                    path=self._path,
                    expected="a constant frame rate",
                    remedy="export it as a sequence of frames",
                )
        return Fraction(rate)

    @property
    def count(self) -> int:
        """Return the number of frames."""
        return len(self._times)

    @property
    def frame_rate(self) -> Fraction:
        """Return frames per second."""
        return self._rate

    def info(self) -> ImageInfo:
        """Return the facts of the movie; the first frame is decoded for them."""
        return self.read(FIRST_NUMBER).info

    def read(self, number: int) -> RawFrame:
        """Decode one frame.

        Raises:
            FrameReadError: when there is no such frame or it is damaged.
        """
        index = number - FIRST_NUMBER
        if not 0 <= index < len(self._times):
            raise FrameReadError(
                "no such frame",
                path=self._path,
                frame=number,
                expected=f"{FIRST_NUMBER}-{len(self._times)}",
            )
        with self._lock:
            try:
                frame = self._decode(index)
            except (OSError, ValueError, StopIteration) as error:
                self._decoder, self._next = None, -1
                why = f"cannot be decoded: {error}"
                raise FrameReadError(why, path=self._path, frame=number) from error
            return self._raw(frame)

    def _decode(self, index: int) -> Any:
        wanted = self._times[index]
        ahead = index - self._next
        if self._decoder is None or not 0 <= ahead <= _FEW_FRAMES:
            self._container.seek(wanted, stream=self._stream, backward=True)
            self._decoder = iter(self._container.decode(self._stream))
        for frame in self._decoder:
            if frame.pts is not None and frame.pts >= wanted:
                if frame.pts != wanted or frame.is_corrupt:
                    raise ValueError("the frame is missing or damaged")
                self._next = index + 1
                return frame
        raise ValueError("the movie ends before it")

    def _raw(self, frame: Any) -> RawFrame:
        planes, bits, coding = _planes(frame, self._path)
        pixels = rgb_from_ycc(planes, coding) if coding is not None else np.stack(planes, axis=2)
        channels = ("R", "G", "B", "A")[: pixels.shape[2]] if pixels.shape[2] > 1 else ("Y",)
        stream = self._stream
        aspect = frame.sample_aspect_ratio if hasattr(frame, "sample_aspect_ratio") else None
        aspect = aspect or stream.sample_aspect_ratio or Fraction(1)
        attributes: dict[str, object] = {
            "movie:codec": str(stream.codec_context.name),
            "movie:pixel_format": str(frame.format.name),
            "movie:frames": self.count,
            "movie:first": FIRST_NUMBER,
            "movie:color_primaries": int(getattr(stream.codec_context, "color_primaries", 2)),
            "movie:color_trc": int(getattr(stream.codec_context, "color_trc", 2)),
            "movie:interlaced": bool(frame.interlaced_frame),
            **({} if coding is None else coding.described()),
            **{f"movie:tag:{k}": str(v) for k, v in self._container.metadata.items()},
        }
        box = Box.of_size(frame.width, frame.height)
        info = ImageInfo(
            header=SourceHeader("movie", MappingProxyType(attributes)),
            channels=channels,
            sample_type=_SAMPLES[bits],
            data_window=box,
            display_window=box,
            pixel_aspect=float(aspect) if aspect > 0 else 1.0,
            frame_rate=self._rate,
            losses=("movies are not written: name a sequence such as plate.%04d.exr",),
        )
        return RawFrame(info, np.ascontiguousarray(pixels, dtype=np.float32))


def _planes(frame: Any, path: Path) -> tuple[list[NDArray[np.float32]], int, Coding | None]:
    """Return full-size planes: R'G'B'(A) or gray with no coding, or Y'CbCr(A) as codes."""
    shape = frame.format
    bits = int(shape.components[0].bits)
    planar = len(frame.planes) == len(shape.components)
    if shape.has_palette or shape.is_bit_stream or bits not in _SAMPLES or not planar:
        raise UnsupportedImage(
            f"pixel format {shape.name}", path=path, expected="planes of 8 to 16 bits"
        )
    big = shape.is_big_endian
    codes = [_plane(p, bits, big=big) for p in frame.planes]
    scale = np.float32(2**bits - 1)
    if shape.is_rgb:
        green, blue, red, *alpha = (c.astype(np.float32) / scale for c in codes)
        return [red, green, blue, *alpha], bits, None
    coding = _coding(frame, bits, path, gray=len(codes) < 3)
    if len(codes) < 3:
        return [coding.luma(codes[0])], bits, None
    size = codes[0].shape
    chroma = [upsample(c.astype(np.float32), size, centered=coding.full_range) for c in codes[1:3]]
    alpha = [c.astype(np.float32) / scale for c in codes[3:]]
    return [codes[0].astype(np.float32), *chroma, *alpha], bits, coding


def _plane(plane: Any, bits: int, *, big: bool) -> NDArray[np.uint16]:
    """Copy one plane out of the decoder's memory, without the padding of its rows."""
    dtype = np.dtype("u1" if bits <= 8 else (">u2" if big else "<u2"))
    data = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height]
    row = np.ascontiguousarray(data[:, : plane.width * dtype.itemsize])
    return row.view(dtype).astype(np.uint16)


def _coding(frame: Any, bits: int, path: Path, *, gray: bool) -> Coding:
    space, color_range = int(frame.colorspace), int(frame.color_range)
    named = _MATRIX.get(space)
    if named is None and space != 2 and not gray:
        raise UnsupportedImage(f"color matrix {space} of ITU-T H.273", path=path)
    assumed = "bt709" if frame.height >= 720 else "bt601"
    full = color_range == 2 or frame.format.name.startswith("yuvj")
    return Coding(
        bits=bits,
        matrix=named or assumed,
        matrix_stated=named is not None,
        full_range=full,
        range_stated=color_range in (1, 2) or full,
    )


@lru_cache(maxsize=1)
def _open(path: Path, size: int, modified: int, limits: Limits) -> Movie:
    return Movie(path, limits)


def open_movie(path: Path, *, limits: Limits | None = None) -> Movie:
    """Open a movie; the last one opened stays open, for the frames that follow.

    Raises:
        FrameReadError, UnsupportedImage: as `Movie`.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise FrameReadError(error.strerror or str(error), path=path) from error
    return _open(path, found.st_size, found.st_mtime_ns, limits or Limits())


def read_info(path: Path, *, limits: Limits) -> ImageInfo:
    """Read the facts of a movie; `movie:frames` of its attributes counts the frames."""
    return open_movie(path, limits=limits).info()


def load(path: Path, number: int, *, limits: Limits) -> RawFrame:
    """Decode frame `number`, counted from 1."""
    return open_movie(path, limits=limits).read(number)
