"""How much less CPU time the DPX codec takes than OpenImageIO, in one interleaved run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgate.bench.table import (
    BenchRow,
    BenchTable,
    cpu_interleaved,
    digest_bytes,
    machine_facts,
    package_versions,
    speed_row,
)
from wetgate.io import dpx
from wetgate.io.options import WriteOptions
from wetgate.model.box import Box
from wetgate.model.errors import UsageError, WetgateError
from wetgate.model.frame import Frame, SourceHeader

_SIZES = ((2048, 1556), (3840, 2160))
_READ_GOAL, _WRITE_GOAL = 8, 4


def run(*, quick: bool = False, data: Path | None = None) -> BenchTable:
    """Measure reading and writing of 10-bit RGB DPX beside OpenImageIO.

    CPU time of this process, one thread, on a RAM disk where the system has one; both read into
    float32 and write from float32, the same codes, which are compared first.

    Args:
        quick: 2K only, fewer repeats.
        data: unused; the picture is generated.
    """
    oiio = _peer()
    oiio.attribute("threads", 1)
    rows: list[BenchRow] = []
    digests: dict[str, str] = {}
    ram = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=ram if ram.is_dir() else None) as folder:
        for width, height in _SIZES[:1] if quick else _SIZES:
            size = f"{width}x{height}"
            found, digest = _measure(oiio, Path(folder), width, height, 7 if quick else 15)
            rows += found
            digests[f"generated 10-bit RGB {size}"] = digest
    return BenchTable(
        name="io",
        rows=tuple(rows),
        data=digests,
        versions=package_versions(("wetgate", "OpenImageIO", "numpy")),
        machine=machine_facts(),
    )


def _peer() -> Any:
    # The one place beside `io/oiio.py` that loads OpenImageIO: here it is the peer, called as its
    # own users call it, not as a part of wetgate.
    try:
        import OpenImageIO
    except ImportError as error:
        raise UsageError(
            "the peer of this benchmark is not installed", remedy="pip install OpenImageIO"
        ) from error
    return OpenImageIO


def _measure(
    oiio: Any, folder: Path, width: int, height: int, repeats: int
) -> tuple[list[BenchRow], str]:
    source, ours, theirs = (folder / f"{name}.dpx" for name in ("source", "ours", "theirs"))
    made = _frame(width, height)
    dpx.write_frame(made, source, options=WriteOptions(file_name=source.name))
    frame = dpx.read_frame(source, 1, color_space="Raw")
    _check_same_codes(frame.pixels, _oiio_read(oiio, source))

    def read() -> object:
        return dpx.read_frame(source, 1, color_space="Raw").number

    def write() -> None:
        dpx.write_frame(frame, ours)

    def peer_write() -> None:
        _oiio_write(oiio, theirs, frame.pixels)

    peer_write()
    _check_same_codes(frame.pixels, _oiio_read(oiio, theirs))
    case = f"DPX 10-bit RGB {width}x{height}"
    peer = f"OpenImageIO {oiio.VERSION_STRING}"
    rows = [
        _row(f"{case}, file to float32", peer, read, lambda: _oiio_read(oiio, source), repeats,
             _READ_GOAL),
        _row(f"{case}, float32 to file", peer, write, peer_write, repeats, _WRITE_GOAL),
    ]  # fmt: skip
    return rows, digest_bytes(source.read_bytes())


def _row(
    case: str,
    peer: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    repeats: int,
    goal: float,
) -> BenchRow:
    mine, other = cpu_interleaved(ours, theirs, repeats)
    note = (
        f"CPU ms a frame, median of {repeats}; ours {_spread(mine)}, peer {_spread(other)}; "
        "frame memory recycled as in a render"
    )
    return speed_row(case, peer, mine, other, at_least=goal, note=note)


def _spread(samples: list[float]) -> str:
    return f"{min(samples):.1f} to {max(samples):.1f}"


def _frame(width: int, height: int) -> Frame:
    """Make a frame of film-like codes: a ramp with grain, so that no two words are alike."""
    rng = np.random.default_rng(width)
    ramp = np.linspace(95, 940, width)[None, :, None]
    codes = np.clip(np.rint(ramp + rng.normal(0, 12, (height, width, 3))), 0, 1023)
    window = Box.of_size(width, height)
    return Frame(
        number=1,
        pixels=(codes / 1023).astype(np.float32),
        channels=("R", "G", "B"),
        data_window=window,
        display_window=window,
        color_space="Raw",
        sample_type="uint10",
        header=SourceHeader("generated"),
    )


def _check_same_codes(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> None:
    if not np.array_equal(np.rint(ours * 1023), np.rint(theirs * 1023)):
        raise WetgateError("the peer does not see the same codes; the times would mean nothing")


def _oiio_read(oiio: Any, path: Path) -> NDArray[np.float32]:
    source = oiio.ImageInput.open(str(path))
    if source is None:
        raise WetgateError(oiio.geterror())
    pixels: NDArray[np.float32] = source.read_image(0, 0, 0, 3, "float")
    source.close()
    return pixels


def _oiio_write(oiio: Any, path: Path, pixels: NDArray[np.float32]) -> None:
    height, width, channels = pixels.shape
    spec = oiio.ImageSpec(width, height, channels, "uint16")
    spec.attribute("oiio:BitsPerSample", 10)
    spec.attribute("oiio:Endian", "big")
    target = oiio.ImageOutput.create("dpx")
    done = target.open(str(path), spec) and target.write_image(pixels)
    if not (target.close() and done):
        raise WetgateError(target.geterror())
