"""Run a cleaned graph for the first time, in the child, and measure what its card must say.

Nothing a file says of itself is believed: scale, size multiple, the grid that the network is bound
to, and how far it looks are found by running it. Where a network looks at the whole picture, it
gets a window of one size instead, and the card says so.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wetgate.importers.reach import static_reach
from wetgate.model.errors import ModelLoadError, OutOfMemory

if TYPE_CHECKING:
    import onnx

WINDOW = 128
"""px of the windows in which a network runs that looks at everything it is given."""

SEAM = 2e-6
"""What a tile may differ from the whole picture, relative to the largest output value."""

_MULTIPLES = (1, 2, 3, 4, 5, 6, 7, 8, 12, 14, 16, 24, 28, 32, 48, 64)
_PRIMES = (1, 2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67)
_CROPS = (64, 128, 256)
_MOST_WORK = 4e12
"""Parameters times px of the largest picture that is asked for the halo; about a minute."""
_STACKS = (6, 9, 12, 15, 18, 21)

_Planes = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was measured.

    Attributes:
        parameters: numbers in the graph.
        channels, made: planes in and out.
        scale: output px per input px.
        size_multiple: height and width must be multiples of this, counted from the frame's corner.
        halo: input px around a tile beyond which nothing changes it by more than `SEAM`.
        window: 0, or the size of the windows in which it runs: it has a fixed size or looks
            farther than could be measured.
        exact_halo: whether the halo follows from the graph and is not a measurement.
        seam: largest difference of a tile to the whole picture at that halo, relative; measured.
        gray: what it answers to a picture of 0.5 everywhere.
        bytes_per_pixel: memory of one run per input px, rounded up to a power of two, so that
            two imports of one file mostly give one card.
    """

    parameters: int
    channels: int
    made: int
    scale: int
    size_multiple: int
    halo: int
    window: int
    exact_halo: bool
    seam: float
    gray: float
    bytes_per_pixel: int

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


def load() -> None:
    """Load the runtime before the walls of the process are complete."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)


def probe(model: onnx.ModelProto, graph: bytes, *, window: int, multiple: int = 1) -> Facts:
    """Measure a cleaned model.

    Args:
        graph: the model's bytes.
        window: the only size it takes, 0 when it takes several.
        multiple: sizes are known to be multiples of this.

    Raises:
        ModelLoadError: it does not run, or is no network from pictures to pictures.
        OutOfMemory: it does not fit the memory of the child.
    """
    net = Net(graph)
    channels = _channels(model, net, window or 64)
    side = window or _first_side(net, channels)
    made, scale = _kind(net, channels, side)
    before, gray = _peak_memory(), _gray(net, channels, side)
    halo, exact, seam = 0, False, 0.0
    if not window:
        multiple = _size_multiple(net, channels, scale, multiple)
        halo, exact, seam, multiple = _halo(model, net, channels, scale, multiple)
        if halo < 0:
            window = math.ceil(WINDOW / multiple) * multiple
            _kind(net, channels, window)
    grown = _peak_memory() - before
    return Facts(
        parameters=_parameters(model),
        channels=channels,
        made=made,
        scale=scale,
        size_multiple=1 if window else multiple,
        halo=window if window else halo,
        window=window,
        exact_halo=exact and not window,
        seam=0.0 if window else seam,
        gray=gray,
        bytes_per_pixel=1 << max(6, math.ceil(math.log2(max(1.0, grown / net.largest)))),
    )


class Net:
    """A session, and the largest picture it has run."""

    def __init__(self, graph: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.enable_cpu_mem_arena = False
        try:
            self._session = onnxruntime.InferenceSession(
                graph, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise _not_run(error) from error
        self.largest = 1

    def run(self, planes: _Planes) -> _Planes:
        """Return the output of one picture `(c, h, w)`, as `(c', h', w')`.

        Raises:
            ModelLoadError, OutOfMemory: it does not run, or gives no picture.
        """
        try:
            (out,) = self._session.run(None, {"x": planes[None]})
        except MemoryError:
            raise
        except Exception as error:
            raise _not_run(error) from error
        pixels = planes.shape[1] * planes.shape[2]
        self.largest = max(self.largest, pixels)
        if not isinstance(out, np.ndarray) or out.ndim != 4 or out.dtype != np.float32:
            raise ModelLoadError("a network whose output is no picture", expected="(1, c, h, w)")
        if not np.isfinite(out).all():
            raise ModelLoadError("a network that answers with NaN or Inf to a picture in 0-1")
        made: _Planes = np.asarray(out[0], np.float32)
        return made


def _not_run(error: Exception) -> ModelLoadError:
    text = " ".join(str(error).split())[:300]
    if "bad_alloc" in text or "llocat" in text or "memory" in text.lower():
        return OutOfMemoryWhileProbing(text)
    return ModelLoadError(f"a graph that does not run: {text}")


class OutOfMemoryWhileProbing(OutOfMemory, ModelLoadError):
    """The graph asked for more memory than the child has."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"the model asks for more memory than an import may have ({text})",
            remedy="the file is damaged or made to exhaust the machine",
        )


def picture(channels: int, height: int, width: int, seed: int = 0) -> _Planes:
    """Return a test picture in 0-1, float32 `(channels, height, width)`: shapes, edges, grain."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    planes = []
    for k in range(channels):
        waves = np.sin(x / (5.0 + 3 * k)) * np.cos(y / (7.0 - k % 3)) + np.sin((x + y) / 23.0)
        bars = ((x // 11 + y // 17 + k) % 2) * 0.5
        planes.append(0.45 + 0.15 * waves + 0.3 * (bars - 0.25) + rng.normal(0, 0.05, x.shape))
    made: _Planes = np.clip(np.stack(planes), 0.0, 1.0).astype(np.float32)
    return made


def _channels(model: onnx.ModelProto, net: Net, side: int) -> int:
    dim = model.graph.input[0].type.tensor_type.shape.dim[1]
    told = dim.dim_value if dim.HasField("dim_value") else 0
    if told in _STACKS:
        raise ModelLoadError(
            f"a network that reads {told} planes: several frames, or a picture and guides",
            expected="1 or 3 planes of one frame",
            remedy="temporal networks are not imported",
        )
    if told and told not in (1, 3):
        raise ModelLoadError(f"a network that reads {told} planes", expected="1 or 3")
    last: Exception | None = None
    for channels in (told,) if told else (3, 1):
        for size in (side, 48, 96, 128):
            try:
                net.run(picture(channels, size, size))
            except OutOfMemory:
                raise
            except ModelLoadError as error:
                last = last or error
            else:
                return channels
    raise last or ModelLoadError("a graph that does not run")


def _parameters(model: onnx.ModelProto) -> int:
    return sum(math.prod(t.dims) for t in model.graph.initializer)


def _first_side(net: Net, channels: int) -> int:
    for size in (64, 48, 96, 128):
        if _works(net, channels, size, size) is not None:
            return size
    raise ModelLoadError("a network that takes no picture of 48 to 128 px")


def _works(net: Net, channels: int, height: int, width: int) -> tuple[int, ...] | None:
    try:
        return net.run(picture(channels, height, width)).shape
    except OutOfMemory:
        raise
    except ModelLoadError:
        return None


def _kind(net: Net, channels: int, side: int) -> tuple[int, int]:
    shape = _works(net, channels, side, side)
    if shape is None:
        raise ModelLoadError(f"a network that takes no picture of {side} x {side} px")
    made, height, width = shape
    scale = height // side
    if height != width or height != scale * side or not 1 <= scale <= 8:
        raise ModelLoadError(
            f"a network that makes {height} x {width} px of {side} x {side}",
            expected="the same size, or a whole multiple up to 8",
        )
    if made != channels:
        raise ModelLoadError(
            f"a network that makes {made} planes of {channels}", expected="as many as it reads"
        )
    return made, scale


def _gray(net: Net, channels: int, side: int) -> float:
    return float(net.run(np.full((channels, side, side), 0.5, np.float32)).mean())


def _size_multiple(net: Net, channels: int, scale: int, known: int) -> int:
    for multiple in (m for m in _MULTIPLES if m % known == 0):
        height, width = (_odd_multiple(multiple, least) for least in (40, 50))
        if _works(net, channels, height, width) == (channels, height * scale, width * scale):
            return multiple
    raise ModelLoadError(
        "a network that takes few sizes", expected=f"multiples of at most {_MULTIPLES[-1]} px"
    )


def _odd_multiple(multiple: int, least: int) -> int:
    """Return multiple x prime, at least `least`: a multiple of no larger grid below it."""
    return multiple * next(p for p in _PRIMES if p * multiple >= least and p > 2)


def _halo(
    model: onnx.ModelProto, net: Net, channels: int, scale: int, multiple: int
) -> tuple[int, bool, float, int]:
    """Return (halo or -1, whether it is exact, seam, size multiple)."""
    static, parameters = static_reach(model), _parameters(model)
    periods = [multiple * k for k in (1, 2, 4, 8, 16, 3, 5, 7) if k == 1 or multiple * k <= 32]
    for crop in _CROPS:
        if crop < 4 * multiple:
            continue
        # Not by the clock: the card must not depend on the machine that wrote it.
        if parameters * (3 * crop) ** 2 > _MOST_WORK:
            break
        tiles = _Tiles(net, channels, scale, crop, max(periods), multiple)
        ends: dict[int, float] = {}
        for period in periods:
            found = tiles.profile(period)
            ends[period] = found[-1]
            distance = next((d for d, e in enumerate(found) if max(found[d:]) <= SEAM), None)
            # Near the middle of the tile there is too little left to call it settled.
            if distance is None or distance > 0.4 * crop:
                continue
            if static is not None and static <= max(64, 2 * distance):
                edge = min(static, len(found) - 1)
                return static + period - 1, True, max(found[edge:]), period
            # What is beyond the reach of this picture may matter in another.
            return math.ceil(1.5 * distance) + period, False, max(found[distance:]), period
        # A larger tile is worth asking on the grids on which this one came closest.
        periods = sorted(p for p in periods if ends[p] <= 4.0 * min(ends.values()))[:2]
    return -1, False, 0.0, multiple


class _Tiles:
    """A picture answered whole, and tiles of it at the corners of grids of several periods."""

    def __init__(
        self, net: Net, channels: int, scale: int, crop: int, coarsest: int, multiple: int
    ) -> None:
        self._net, self._scale, self._crop = net, scale, crop
        largest = _odd_multiple(coarsest, 20) + math.ceil(crop / coarsest) * coarsest
        side = math.ceil((largest + crop // 3) / multiple) * multiple
        self._picture = picture(channels, side, side, seed=1)
        self._whole = net.run(self._picture)

    def profile(self, period: int) -> list[float]:
        """Return, by distance from the rim of a tile, how far it is from the whole picture.

        The tile begins at an odd multiple of `period`: a network that is bound to a coarser grid
        gives something else.
        """
        size = math.ceil(self._crop / period) * period
        offset, scale = _odd_multiple(period, 20), self._scale
        end = offset + size
        got = self._net.run(np.ascontiguousarray(self._picture[:, offset:end, offset:end]))
        want = self._whole[:, offset * scale : end * scale, offset * scale : end * scale]
        if want.shape != got.shape:
            return [math.inf]
        error = np.abs(got - want).max(axis=0) / max(1.0, float(np.abs(want).max()))
        error = error.reshape(size, scale, size, scale).max(axis=(1, 3))
        index = np.minimum(np.arange(size), np.arange(size)[::-1])
        rim = np.minimum(index[:, None], index[None, :])
        return [float(error[rim == d].max()) for d in range(size // 2)]


def _peak_memory() -> int:
    try:
        import resource
    except ImportError:
        import psutil

        return int(psutil.Process().memory_info().rss)
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
