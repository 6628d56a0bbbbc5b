"""Who stands beside the upscale operator: resamplers of OpenCV, ffmpeg and our own without limits.

Each takes a picture of 8-bit codes, 0-1, and a factor, and returns it enlarged, not rounded.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from wetgate.bench.denoise_peers import package
from wetgate.bench.table import package_versions
from wetgate.model.errors import BackendError
from wetgate.operators.upscale.kernels import RADIUS
from wetgate.operators.upscale.resample import Method, enlarge, interleave

Pixels = NDArray[np.float32]
Enlarge = Callable[[Pixels, int], Pixels]

_ZSCALE = "format=gbrp16,zscale=w={w}:h={h}:filter={filter},format=gbrp16"
_SWSCALE = "format=gbrp16,scale=w={w}:h={h}:flags={filter}+accurate_rnd+full_chroma_int"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One way to enlarge a picture."""

    name: str
    run: Enlarge

    def enlarged(self, scale: int, small: Pixels) -> Pixels:
        """Return a picture enlarged."""
        return self.run(small, scale)


def peers() -> list[Peer]:
    """Return bicubic, Lanczos3 and EWA as such, OpenCV's Lanczos4 and the scalers of ffmpeg."""
    version = package_versions(["opencv-python-headless"])["opencv-python-headless"]
    graphs = [
        *(("zscale", _ZSCALE, name) for name in ("bicubic", "lanczos", "spline36")),
        *(("swscale", _SWSCALE, name) for name in ("lanczos", "spline")),
    ]
    return [
        Peer(name="bicubic", run=partial(_own, "bicubic")),
        Peer(name="Lanczos3", run=partial(_own, "lanczos")),
        Peer(name="EWA Lanczos3", run=partial(_own, "ewa")),
        Peer(name=f"OpenCV {version} Lanczos4", run=_opencv),
        *(
            Peer(name=f"ffmpeg {scaler} {name}", run=partial(_ffmpeg, graph, name))
            for scaler, graph, name in graphs
        ),
    ]


def _own(method: Method, small: Pixels, scale: int) -> Pixels:
    # MATLAB's imresize repeats the edge pixel in the mirror.
    pad = RADIUS + 1
    wide = np.pad(small, ((pad, pad), (pad, pad), (0, 0)), mode="symmetric")
    return interleave(enlarge(wide, scale, method)[:, :, pad:-pad, pad:-pad])


def _opencv(small: Pixels, scale: int) -> Pixels:
    import cv2

    size = small.shape[1] * scale, small.shape[0] * scale
    return np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_LANCZOS4), np.float32)


def _ffmpeg(graph: str, name: str, small: Pixels, scale: int) -> Pixels:
    """Send one picture through a scaler of ffmpeg, 16-bit RGB both ways, on one thread."""
    height, width = small.shape[0] * scale, small.shape[1] * scale
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb48le")
    command = [
        str(package("imageio_ffmpeg").get_ffmpeg_exe()),
        *("-v", "error", "-nostdin", "-threads", "1", "-filter_threads", "1"),
        *(*raw, "-s", f"{small.shape[1]}x{small.shape[0]}", "-r", "24", "-i", "-"),
        *("-vf", graph.format(w=width, h=height, filter=name), *raw, "-"),
    ]
    codes = np.rint(np.clip(small, 0, 1).astype(np.float64) * 65535).astype("<u2")
    done = subprocess.run(command, input=codes.tobytes(), capture_output=True, check=False)
    if done.returncode or len(done.stdout) != height * width * 6:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise BackendError(
            f"ffmpeg {name} gave {len(done.stdout)} bytes and code {done.returncode}",
            expected=f"{height * width * 6} bytes",
            remedy=said[-1] if said else None,
        )
    shown = np.frombuffer(done.stdout, "<u2").reshape(height, width, 3)
    return np.asarray(shown / np.float32(65535), np.float32)
