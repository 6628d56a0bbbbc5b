"""The filters of ffmpeg as peers of the denoise benchmark, fed 16-bit RGB through pipes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from wetgate.bench.denoise_clips import NoisyClip
from wetgate.bench.denoise_peers import Filtered, Peer, package, range_of, true_sigma
from wetgate.model.errors import BackendError

_BM3D = "bm3d=sigma={s}:block=8:bstep=4:group="
_BM3D_TWICE = f"split[a][b];[a]{_BM3D}{{first}}:estim=basic[c];[b][c]{_BM3D}8:estim=final:ref=1"
_ATADENOISE = "atadenoise=0a={s}:1a={s}:2a={s}:0b={t}:1b={t}:2b={t}:s="


@dataclass(frozen=True, slots=True, kw_only=True)
class _Graph:
    """A filter graph with its strength `{s}` (`{t}`: four times that) left open.

    Attributes:
        start: strength for noise of one code of 255.
        squeeze: share of the code range used, where the filter's strength has an upper end.
        temporal: whether other frames than the one filtered matter.
    """

    name: str
    filters: str
    format: str
    start: float
    factor: float = 1.35
    lowest: float = 0.0
    highest: float = 1e9
    squeeze: float = 1.0
    temporal: bool = False
    slow: bool = False


def _graphs() -> list[_Graph]:
    # The bm3d of ffmpeg compares blocks by a threshold for 8 bits; on deeper samples it finds no
    # partners and does nothing, so it gets 8 bits.
    bm3d = partial(_Graph, format="yuv444p", factor=1.4, slow=True)
    moving = partial(_Graph, squeeze=0.25, temporal=True)
    mean = partial(moving, format="gbrp16", start=0.016, highest=0.3)
    wavelet = partial(_Graph, filters="vaguedenoiser=threshold={s}:percent=100")
    return [
        *(
            _Graph(
                name=f"nlmeans {name}", filters="nlmeans=s={s}", format=form, start=0.55,
                factor=1.2, lowest=1.0, highest=30.0,
            )
            for name, form in (("rgb", "gbrp"), ("yuv", "yuv444p"))
        ),
        _Graph(
            name="hqdn3d", filters="hqdn3d={s}:{s}:{t}:{t}", format="yuv444p16", start=0.7,
            temporal=True,
        ),
        mean(name="atadenoise 5", filters=_ATADENOISE + "5"),
        mean(name="atadenoise 9", filters=_ATADENOISE + "9"),
        mean(name="atadenoise 15", filters=_ATADENOISE + "15"),
        moving(
            name="fftdnoiz", filters="fftdnoiz=sigma={s}:prev=1:next=1", format="yuv444p16",
            start=0.4, factor=1.5, highest=100.0,
        ),
        wavelet(name="vaguedenoiser rgb", format="gbrp16", start=1.5),
        wavelet(name="vaguedenoiser yuv", format="yuv444p16", start=1.2),
        _Graph(
            name="owdenoise", filters="owdenoise=ls={s}:cs={s}", format="yuv444p10", start=3.5,
            highest=1000.0,
        ),
        bm3d(name="bm3d, one pass", filters=_BM3D + "1", start=7.0),
        bm3d(name="bm3d, one pass, groups", filters=_BM3D + "8", start=20.0),
        bm3d(name="bm3d, two passes", filters=_BM3D_TWICE.replace("{first}", "1"), start=10.0),
        bm3d(
            name="bm3d, two passes, groups", filters=_BM3D_TWICE.replace("{first}", "8"),
            start=20.0,
        ),
    ]  # fmt: skip


def ffmpeg_peers() -> list[Peer]:
    """Return the denoising filters of ffmpeg."""
    return [
        Peer(
            name=f"ffmpeg {graph.name}",
            version=ffmpeg_version(),
            run=partial(_run_ffmpeg, graph),
            start=partial(_ffmpeg_start, graph),
            factor=graph.factor,
            lowest=graph.lowest,
            highest=graph.highest,
            slow=graph.slow,
            wins=graph.name in ("nlmeans yuv", "fftdnoiz"),
        )
        for graph in _graphs()
    ]


def _ffmpeg_start(graph: _Graph, case: NoisyClip) -> float:
    noise = 255 * true_sigma(case) / range_of(case).span * graph.squeeze
    return min(max(graph.start * noise, graph.lowest), graph.highest)


@lru_cache(maxsize=1)
def _ffmpeg() -> str:
    return str(package("imageio_ffmpeg").get_ffmpeg_exe())


@lru_cache(maxsize=1)
def ffmpeg_version() -> str:
    """Return the version that the ffmpeg of the bench extra gives itself."""
    return str(package("imageio_ffmpeg").get_ffmpeg_version())


def _run_ffmpeg(graph: _Graph, case: NoisyClip, wanted: Sequence[int], strength: float) -> Filtered:
    text = f"format={graph.format},{graph.filters}"
    text = text.replace("{s}", f"{strength:.6g}").replace("{t}", f"{4 * strength:.6g}")
    # A filter without memory need not see frames nobody asked for.
    indices = range(len(case.noisy)) if graph.temporal else wanted
    back = range_of(case)
    top = round(65535 * graph.squeeze)
    codes = back.codes(case.noisy[list(indices)], top).astype("<u2")
    result, spent = pipe(text, codes)
    _, idle = pipe("null", codes)
    chosen = wanted if graph.temporal else range(len(wanted))
    frames = tuple(back.pixels(result[i], top) for i in chosen)
    return Filtered(frames=frames, cpu_seconds=max(spent - idle, 0.0) / len(codes))


def pipe(
    graph: str, codes: NDArray[np.uint16], kept: int | None = None
) -> tuple[NDArray[np.uint16], float]:
    """Send frames through a filter graph; 16-bit RGB both ways. Returns them and CPU seconds.

    Args:
        kept: how many frames come back; None for as many as went in.
    """
    height, width = codes.shape[1:3]
    shape = (len(codes) if kept is None else kept, *codes.shape[1:])
    expected = codes.itemsize * int(np.prod(shape))
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb48le")
    command = [
        _ffmpeg(), "-v", "error", "-nostdin", "-threads", "1", "-filter_threads", "1",
        "-filter_complex_threads", "1", *raw, "-s", f"{width}x{height}", "-r", "24", "-i", "-",
        "-filter_complex", graph, "-sws_flags", "accurate_rnd+full_chroma_int+full_chroma_inp",
        *raw, "-",
    ]  # fmt: skip
    before = _child_seconds()
    done = subprocess.run(command, input=codes.tobytes(), capture_output=True, check=False)
    spent = _child_seconds() - before
    if done.returncode or len(done.stdout) != expected:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise BackendError(
            f"ffmpeg {graph!r} gave {len(done.stdout)} bytes and code {done.returncode}",
            expected=f"{expected} bytes",
            remedy=said[-1] if said else None,
        )
    return np.frombuffer(done.stdout, "<u2").reshape(shape), spent


def _child_seconds() -> float:
    """Return CPU seconds of ended child processes; wall time where the system does not count."""
    if sys.platform == "win32":
        return time.perf_counter()
    import resource

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
