"""Compression: H.264, MPEG-2 and JPEG, with what the decoder knows of the loss as truth.

A codec sees a clip, not a frame: what a frame becomes depends on its neighbors and on where the
group of pictures starts. The result is a pure function of the whole range and the settings (one
thread, no wall-clock rate control), and a frame coded alone is another picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from types import MappingProxyType, ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wetgate.model.errors import UsageError
from wetgate.simulate.ycc import JPEG_CODING, Planes, planes_from_rgb, video_coding

Codec = Literal["h264", "mpeg2", "jpeg"]
_LAMBDA_PER_QSCALE = 118
_ENCODERS = {"h264": "libx264", "mpeg2": "mpeg2video"}
_DECODERS = {"h264": "h264", "mpeg2": "mpeg2video"}
_GOP = {"h264": 250, "mpeg2": 15}
_B_FRAMES = {"h264": 3, "mpeg2": 2}
_MACROBLOCK = 16
_TYPES = " IPB"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecSpec:
    """Which codec, and how hard it presses.

    Attributes:
        codec: "h264" (x264), "mpeg2" (FFmpeg's) or "jpeg" (each frame by itself).
        crf: x264's constant rate factor, 0-51; with "h264".
        qscale: MPEG-2 quantiser, 1-31, the same for every macroblock; with "mpeg2".
        bitrate: kilobits a second; with "h264" or "mpeg2", instead of `crf` or `qscale`.
        quality: of libjpeg, 1-100; with "jpeg".
        preset: x264's.
        gop: frames from one key frame to the next at most; None is 250 for "h264", 15 for "mpeg2".
        b_frames: at most so many in a row; None is 3 for "h264", 2 for "mpeg2".
        generations: how many times it is coded. Between them video stays in its codes, and JPEG
            goes through 8-bit R'G'B', as dubs and re-saves do.
        matrix: of the video's Y'CbCr: "bt709" or "bt601". JPEG is BT.601 in full range.
        interlaced: code the two fields of a frame as such (top field first); video only.
        frame_rate: frames a second, which `bitrate` refers to.
    """

    codec: Codec = "h264"
    crf: float | None = None
    qscale: int | None = None
    bitrate: float | None = None
    quality: int | None = None
    preset: str = "medium"
    gop: int | None = None
    b_frames: int | None = None
    generations: int = 1
    matrix: Literal["bt709", "bt601"] = "bt709"
    interlaced: bool = False
    frame_rate: Fraction = Fraction(24)

    def __post_init__(self) -> None:
        allowed: Mapping[str, Mapping[str, tuple[float, float]]] = {
            "h264": {"crf": (0, 51), "bitrate": (1, 1e6)},
            "mpeg2": {"qscale": (1, 31), "bitrate": (1, 1e6)},
            "jpeg": {"quality": (1, 100)},
        }
        if self.codec not in allowed:
            raise UsageError(f"codec {self.codec!r}", expected=f"one of {', '.join(allowed)}")
        names = ("crf", "qscale", "bitrate", "quality")
        given = {n: getattr(self, n) for n in names if getattr(self, n) is not None}
        wanted = allowed[self.codec]
        if len(given) != 1 or not set(given) <= set(wanted):
            raise UsageError(
                f"codec {self.codec} with {', '.join(given) or 'no rate'}",
                expected=f"one of {', '.join(wanted)}",
            )
        name, value = next(iter(given.items()))
        low, high = wanted[name]
        if not low <= value <= high:
            raise UsageError(f"{name} {value:g}", expected=f"{low:g} to {high:g}")
        if self.generations < 1:
            raise UsageError(f"{self.generations} generations", expected="1 or more")
        if self.interlaced and self.codec == "jpeg":
            raise UsageError("a JPEG has no fields", remedy="leave `interlaced` out")


@dataclass(frozen=True, kw_only=True)
class CodecResult:
    """What came out of the decoder, and how much was lost where.

    Attributes:
        planes: the decoder's own 8-bit 4:2:0 codes.
        quality: float32 `(frame,)` of the last generation: mean H.264 QP (0-51, step size doubles
            every 6), mean MPEG-2 qscale (1-31, step size proportional), or the JPEG quality.
        quality_map: float32 `(frame, ceil(height / 16), ceil(width / 16))`, the same for each
            macroblock; constant for JPEG.
        frame_types: "I", "P" or "B" a frame.
        frame_bytes: int64 `(frame,)`, coded size of each, last generation.
        generation_quality: float32 `(generation, frame)`.
    """

    planes: Planes
    quality: NDArray[np.float32]
    quality_map: NDArray[np.float32]
    frame_types: tuple[str, ...]
    frame_bytes: NDArray[np.int64]
    generation_quality: NDArray[np.float32]

    @cached_property
    def frames(self) -> NDArray[np.float32]:
        """Return R'G'B' `(frame, height, width, 3)`: the exact float conversion of `planes`.

        Neither rounded nor clipped. Made when first asked for; `planes.rgb` makes one frame.
        """
        return self.planes.to_rgb()

    @property
    def bytes(self) -> int:
        """Return the coded size of the clip, last generation."""
        return int(self.frame_bytes.sum())


@dataclass(frozen=True, slots=True)
class _Pass:
    """One generation."""

    planes: Planes
    quality_map: NDArray[np.float32]
    frame_types: tuple[str, ...]
    frame_bytes: NDArray[np.int64]


def encode_decode(
    frames: NDArray[np.float32],
    *,
    codec: Codec,
    crf: float | None = None,
    qscale: int | None = None,
    bitrate: float | None = None,
    quality: int | None = None,
    preset: str = "medium",
    gop: int | None = None,
    b_frames: int | None = None,
    generations: int = 1,
    matrix: Literal["bt709", "bt601"] = "bt709",
    interlaced: bool = False,
    frame_rate: Fraction = Fraction(24),
) -> CodecResult:
    """Code a clip `(frame, height, width, 3)`, display-referred 0-1, and decode it again.

    Parameters as `CodecSpec`.

    Raises:
        UsageError: for settings that do not fit the codec, values that are not finite, or when
            PyAV, an extra, is not installed.
    """
    spec = CodecSpec(
        codec=codec,
        crf=crf,
        qscale=qscale,
        bitrate=bitrate,
        quality=quality,
        preset=preset,
        gop=gop,
        b_frames=b_frames,
        generations=generations,
        matrix=matrix,
        interlaced=interlaced,
        frame_rate=frame_rate,
    )
    return compress(frames, spec)


def compress(frames: Iterable[NDArray[np.float32]], spec: CodecSpec) -> CodecResult:
    """Code and decode a clip as `spec` says; see `encode_decode`.

    Frames are taken one by one, and only their 8-bit codes are kept.
    """
    av = _av()
    video = spec.codec != "jpeg"
    checked = _checked(frames)
    coded = planes_from_rgb(checked, video_coding(spec.matrix)) if video else None
    codes = None if video else np.stack([_codes(frame) for frame in checked])
    passes: list[_Pass] = []
    for _ in range(spec.generations):
        if coded is not None:
            passes.append(_video(av, coded, spec))
            coded = passes[-1].planes
        else:
            assert codes is not None  # one of the two is set above
            passes.append(_jpeg(av, codes, spec))
            codes = _codes(passes[-1].planes.to_rgb())
    last = passes[-1]
    qualities = np.stack([p.quality_map.mean(axis=(1, 2)) for p in passes])
    return CodecResult(
        planes=last.planes,
        quality=qualities[-1],
        quality_map=last.quality_map,
        frame_types=last.frame_types,
        frame_bytes=last.frame_bytes,
        generation_quality=qualities,
    )


def _av() -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise UsageError(
            "compression needs PyAV, which is not installed", remedy='pip install "wetgate[movie]"'
        ) from error
    return av


def _checked(frames: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    size: tuple[int, ...] | None = None
    for frame in frames:
        if frame.ndim != 3 or frame.shape[-1] != 3 or not frame.size:
            raise UsageError(
                f"a frame of shape {frame.shape}", expected="a clip (frame, height, width, 3)"
            )
        if size is not None and frame.shape != size:
            raise UsageError(f"frames of {size} and of {frame.shape}", expected="one size")
        if not np.isfinite(frame).all():
            raise UsageError("NaN or infinite values cannot be coded")
        size = frame.shape
        yield frame
    if size is None:
        raise UsageError("there are no frames to code")


def _codes(frames: NDArray[np.float32]) -> NDArray[np.uint8]:
    codes: NDArray[np.uint8] = np.clip(np.rint(frames * np.float32(255)), 0, 255).astype(np.uint8)
    return codes


def _video(av: ModuleType, planes: Planes, spec: CodecSpec) -> _Pass:
    count, height, width = planes.luma.shape
    encoder = _encoder(av, spec, width + width % 2, height + height % 2)
    # FFmpeg's MPEG-2 decoder does not state the quantisers of the frame it gives last; a frame
    # more is coded, and left out again.
    spare = 1 if spec.codec == "mpeg2" else 0
    packets: list[Any] = []
    for index in range(count + spare):
        packets += encoder.encode(_to_frame(av, planes, min(index, count - 1), index))
    packets += encoder.encode(None)
    decoder = av.CodecContext.create(_DECODERS[spec.codec], "r")
    decoder.options = {"export_side_data": "venc_params"}
    decoder.thread_count = 1
    if encoder.extradata:
        decoder.extradata = encoder.extradata
    decoded: list[Any] = []
    for packet in packets:
        decoded += decoder.decode(packet)
    decoded += decoder.decode(None)
    if len(decoded) != count + spare or len(packets) != count + spare:
        raise UsageError(f"{len(decoded) - spare} of {count} frames came back from {spec.codec}")
    decoded = sorted(decoded, key=lambda frame: int(frame.pts))[:count]
    sizes = {int(p.pts): int(p.size) for p in packets}
    scale = 0.5 if spec.codec == "mpeg2" else 1.0  # FFmpeg states twice the qscale for MPEG-2
    maps = [_quality_map(frame, width, height) * np.float32(scale) for frame in decoded]
    luma, blue, red = (np.stack([_plane(f.planes[k]) for f in decoded]) for k in range(3))
    half = (height + 1) // 2, (width + 1) // 2
    return _Pass(
        Planes(
            np.ascontiguousarray(luma[:, :height, :width]),
            np.ascontiguousarray(blue[:, : half[0], : half[1]]),
            np.ascontiguousarray(red[:, : half[0], : half[1]]),
            planes.coding,
        ),
        np.stack(maps),
        tuple(_TYPES[int(f.pict_type)] for f in decoded),
        np.array([sizes[k] for k in sorted(sizes)[:count]], np.int64),
    )


def _encoder(av: ModuleType, spec: CodecSpec, width: int, height: int) -> Any:
    encoder = av.CodecContext.create(_ENCODERS[spec.codec], "w")
    encoder.width, encoder.height = width, height
    encoder.pix_fmt = "yuv420p"
    encoder.framerate = spec.frame_rate
    encoder.time_base = 1 / spec.frame_rate
    encoder.thread_count = 1
    options = {
        "g": str(_GOP[spec.codec] if spec.gop is None else spec.gop),
        "bf": str(_B_FRAMES[spec.codec] if spec.b_frames is None else spec.b_frames),
        **_rate_options(spec),
    }
    flags = []
    if spec.codec == "h264":
        options["preset"] = spec.preset
        # Without it the macroblock tree is summed as the CPU and the alignment of memory have it:
        # at sizes that are no multiple of 16 two runs differed.
        options["x264-params"] = "cpu-independent=1"
    if spec.qscale is not None:
        flags.append("+qscale")
    if spec.interlaced:
        flags.append("+ildct+ilme")
    if flags:
        options["flags"] = "".join(flags)
    encoder.options = options
    return encoder


def _rate_options(spec: CodecSpec) -> Mapping[str, str]:
    if spec.bitrate is not None:
        return {"b": str(round(spec.bitrate * 1000))}
    if spec.crf is not None:
        return {"crf": f"{spec.crf:g}"}
    assert spec.qscale is not None  # the spec saw to it
    limit = str(spec.qscale)
    quality = str(spec.qscale * _LAMBDA_PER_QSCALE)
    return {"qmin": limit, "qmax": limit, "global_quality": quality}


def _to_frame(av: ModuleType, planes: Planes, index: int, time: int) -> Any:
    """Copy one frame into the encoder's memory; an odd last row or column repeats."""
    height, width = planes.luma.shape[1:]
    frame = av.VideoFrame(width + width % 2, height + height % 2, "yuv420p")
    for target, source in zip(frame.planes, (planes.luma, planes.blue, planes.red), strict=True):
        rows = np.zeros((target.height, target.line_size), np.uint8)
        missing = (target.height - source.shape[1], target.width - source.shape[2])
        whole = np.pad(source[index], ((0, missing[0]), (0, missing[1])), mode="edge")
        rows[:, : target.width] = whole
        target.update(rows)
    frame.pts = time
    return frame


def _plane(plane: Any) -> NDArray[np.uint8]:
    data = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return data[: plane.height, : plane.width].copy()


def _quality_map(frame: Any, width: int, height: int) -> NDArray[np.float32]:
    """Return the quantiser of each macroblock as the decoder found it in the stream.

    Source: AVVideoEncParams and AVVideoBlockParams of libavutil/video_enc_params.h.
    """
    side = frame.side_data.get("VIDEO_ENC_PARAMS")
    if side is None:
        raise UsageError("the decoder does not state its quantisers", remedy="install av>=14")
    rows, columns = -(-height // _MACROBLOCK), -(-width // _MACROBLOCK)
    result = np.zeros((rows, columns), np.float32)
    # Fields are coded to a height that is a multiple of 32, so there may be blocks below.
    words = side.block_size // 4
    blocks = np.frombuffer(bytes(side)[side.blocks_offset :], np.int32)[: side.nb_blocks * words]
    x, y, _, _, delta = blocks.reshape(side.nb_blocks, words)[:, :5].T
    inside = (y // _MACROBLOCK < rows) & (x // _MACROBLOCK < columns)
    at = y[inside] // _MACROBLOCK, x[inside] // _MACROBLOCK
    result[at] = side.qp + delta[inside]
    return result


def _jpeg(av: ModuleType, codes: NDArray[np.uint8], spec: CodecSpec) -> _Pass:
    """Code each frame with libjpeg, 4:2:0, and take the planes out of the file."""
    import cv2

    assert spec.quality is not None  # the spec saw to it
    settings = [
        cv2.IMWRITE_JPEG_QUALITY,
        spec.quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    ]
    planes: list[tuple[NDArray[np.uint8], ...]] = []
    sizes = []
    for picture in codes:
        done, file = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), settings)
        if not done:
            raise UsageError(f"a frame of {picture.shape[1]} x {picture.shape[0]} px as JPEG")
        decoder = av.CodecContext.create("mjpeg", "r")
        frame = decoder.decode(av.Packet(file.tobytes()))[0]
        planes.append(tuple(_plane(p) for p in frame.planes))
        sizes.append(file.size)
    luma, blue, red = (np.stack([p[k] for p in planes]) for k in range(3))
    count, height, width = luma.shape
    rows, columns = -(-height // _MACROBLOCK), -(-width // _MACROBLOCK)
    return _Pass(
        Planes(luma, blue, red, JPEG_CODING),
        np.full((count, rows, columns), spec.quality, np.float32),
        ("I",) * count,
        np.array(sizes, np.int64),
    )


CODECS: Mapping[str, str] = MappingProxyType(
    {"h264": "H.264 by x264", "mpeg2": "MPEG-2 by FFmpeg", "jpeg": "JPEG by libjpeg"}
)
"""Codec name -> who codes it."""
