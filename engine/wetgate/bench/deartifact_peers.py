"""The deblocking filters of ffmpeg as peers, fed the decoder's own 4:2:0 codes through pipes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from wetgate.bench.denoise_peers import package
from wetgate.model.errors import BackendError
from wetgate.simulate.ycc import Planes


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A filter graph with its strength `{s}` left open (`{t}`: half of it), and the grid of it.

    Attributes:
        strengths: what is tried; the best by PSNR counts, clip by clip.
        names_range: whether it takes frames that say they are of full range. Where not they go in
            as if of video range, which changes no code: nothing converts them on the way.
    """

    name: str
    graph: str
    strengths: tuple[float, ...]
    names_range: bool = True


_QP = (4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 46, 52)
FILTERS = (
    Filter(
        name="deblock", strengths=(0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4),
        graph="deblock=filter=strong:block=8:alpha={s}:beta={t}:gamma={t}:delta={t}",
    ),
    Filter(
        name="deblock 4, weak", strengths=(0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4),
        graph="deblock=filter=weak:block=4:alpha={s}:beta={t}:gamma={t}:delta={t}",
    ),
    Filter(name="pp7", graph="pp7=qp={s}", strengths=_QP),
    Filter(name="spp", graph="spp=quality=6:qp={s}", strengths=_QP),
    Filter(name="spp soft", graph="spp=quality=6:mode=soft:qp={s}", strengths=_QP),
    Filter(name="fspp", graph="fspp=quality=5:qp={s}", strengths=_QP),
    Filter(
        name="uspp", graph="uspp=quality=4:qp={s}", strengths=_QP[::2], names_range=False,
    ),
    Filter(
        name="nlmeans", graph="nlmeans=s={s}:p=5:r=9",
        strengths=(1.0, 1.2, 1.5, 1.9, 2.4, 3.0, 4.0, 5.5),
    ),
    Filter(
        name="dctdnoiz", graph="dctdnoiz=s={s}:overlap=7",
        strengths=(1.0, 1.5, 2.2, 3.0, 4.0, 6.0, 8.0, 11.0, 15.0),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """A filter at its best strength."""

    name: str
    strength: float
    planes: Planes
    at_end: bool
    cpu_seconds: float


def best_of(
    filter_: Filter, planes: Planes, wanted: tuple[int, ...], score: Callable[[Planes], float]
) -> Best:
    """Return the filter at the strength with the highest score; refined once between neighbors.

    Args:
        planes: of the frames from the first to the last of `wanted`.
        score: of the planes that come back.
    """
    tried: dict[float, tuple[float, Planes, float]] = {}

    def run(strength: float) -> float:
        if strength not in tried:
            text = f"{strength:.6g}", f"{0.5 * strength:.6g}"
            made, spent = _pipe(
                filter_.graph.replace("{s}", text[0]).replace("{t}", text[1]),
                planes,
                filter_.names_range,
            )
            tried[strength] = score(made), made, spent / len(planes)
        return tried[strength][0]

    for strength in filter_.strengths:
        run(strength)
    best = max(filter_.strengths, key=run)
    at = filter_.strengths.index(best)
    for other in filter_.strengths[max(at - 1, 0) : at + 2]:
        middle = 0.5 * (best + other)
        if "qp=" in filter_.graph:
            middle = float(round(middle))
        run(middle)
    best = max(tried, key=run)
    return Best(
        name=f"ffmpeg {filter_.name}",
        strength=best,
        planes=tried[best][1],
        at_end=best in (filter_.strengths[0], filter_.strengths[-1]),
        cpu_seconds=tried[best][2],
    )


@lru_cache(maxsize=1)
def _ffmpeg() -> str:
    return str(package("imageio_ffmpeg").get_ffmpeg_exe())


def _pipe(graph: str, planes: Planes, names_range: bool = True) -> tuple[Planes, float]:
    """Send a clip through a filter graph, 8-bit 4:2:0 both ways; return it and CPU seconds."""
    count, height, width = planes.luma.shape
    # Full range is named, so that nothing on the way takes JPEG's codes for video's.
    form = "yuvj420p" if planes.coding.full_range and names_range else "yuv420p"
    raw = ("-f", "rawvideo", "-pix_fmt", form)
    command = [
        _ffmpeg(), "-v", "error", "-nostdin", "-threads", "1", "-filter_threads", "1",
        *raw, "-s", f"{width}x{height}", "-r", "24", "-i", "-", "-vf", graph,
        "-sws_flags", "accurate_rnd+full_chroma_int+full_chroma_inp", *raw, "-",
    ]  # fmt: skip
    data = b"".join(
        np.ascontiguousarray(p[k]).tobytes()
        for k in range(count)
        for p in (planes.luma, planes.blue, planes.red)
    )
    before = _child_seconds()
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    spent = _child_seconds() - before
    if done.returncode or len(done.stdout) != len(data):
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise BackendError(
            f"ffmpeg {graph!r} gave {len(done.stdout)} bytes and code {done.returncode}",
            expected=f"{len(data)} bytes",
            remedy=said[-1] if said else None,
        )
    flat = np.frombuffer(done.stdout, np.uint8).reshape(count, -1)
    rows, columns = planes.blue.shape[1:]

    def part(start: int, h: int, w: int) -> NDArray[np.uint8]:
        return np.ascontiguousarray(flat[:, start : start + h * w].reshape(count, h, w))

    whole, quarter = height * width, rows * columns
    return replace(
        planes,
        luma=part(0, height, width),
        blue=part(whole, rows, columns),
        red=part(whole + quarter, rows, columns),
    ), spent


def _child_seconds() -> float:
    """Return CPU seconds of ended child processes; wall time where the system does not count."""
    if sys.platform == "win32":
        return time.perf_counter()
    import resource

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
