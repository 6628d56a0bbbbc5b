"""Put the scan's samples, or the fixes' own, into a frame that is already written."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgate.io.atomic import AtomicFile, digest_file
from wetgate.io.formats import layer_in, read_frame, write_frame
from wetgate.io.options import WriteOptions
from wetgate.model.errors import VerifyFailed
from wetgate.model.frame import Frame
from wetgate.render.fixes.codes import Codes, codes_of, color_columns, pixels_of, samples_digest
from wetgate.render.fixes.journal import State
from wetgate.render.fixes.restored import UNDECIDED
from wetgate.render.fixes.tiles import Tiles
from wetgate.render.precision import same_bits
from wetgate.render.store import row_bands


@dataclass(frozen=True, slots=True)
class NewFile:
    """A frame's file that is written, compared, and not yet named."""

    digest: str
    nbytes: int
    samples: str


def spans_of(state: State, tiles: Tiles, ids: Collection[str]) -> NDArray[np.intp]:
    """Return which pixels of the tile data belong to these fixes."""
    places = [tiles.index(state.fixes[name].number) for name in ids]
    spans = [tiles.span(at) for at in places if at is not None]
    parts = [np.arange(span.start, span.stop) for span in spans]
    return np.concatenate(parts) if parts else np.zeros(0, np.intp)


def put(frame: Frame, state: State, at: NDArray[np.intp], tiles: Tiles, codes: Codes) -> Frame:
    """Return the frame with codes in the pixels `at` of the tile data; no other sample changes.

    Args:
        codes: of all pixels of the tile data: `tiles.before` or `tiles.after`.

    Raises:
        VerifyFailed: the tile data speaks of pixels that the frame has not.
    """
    columns = color_columns(frame, state.frame.channels)
    height, width, _ = frame.pixels.shape
    x, y = tiles.x[at], tiles.y[at]
    outside = (x < 0) | (y < 0) | (x >= width) | (y >= height)
    if outside.any() or codes.shape[1] != len(columns):
        raise VerifyFailed(
            "the tile data speaks of pixels that the frame has not", frame=frame.number
        )
    pixels = frame.pixels.copy()
    kind = state.frame.sample_type  # of the file: the scan may have another
    wanted = codes[at]
    for place, column in enumerate(columns):
        held = pixels[y, x, column]
        # A sample that is right stays as it is: not every NaN survives a way through float32.
        differs = codes_of(held[:, None], kind)[:, 0] != wanted[:, place]
        held[differs] = pixels_of(wanted[differs, place, None], kind)[:, 0]
        pixels[y, x, column] = held
    return frame.replace_pixels(pixels, color_space=frame.color_space)


def write_verified(
    frame: Frame,
    target: Path,
    *,
    options: WriteOptions,
    layer: str | None,
    channels: tuple[str, ...],
    record: Callable[[NewFile], None],
) -> NewFile:
    """Write a frame beside its target, read it back, compare, record it and give it its name.

    Args:
        record: called once all is compared, right before the file gets its name.

    Raises:
        DiskFull, OutputError: nothing has changed under the final name.
        VerifyFailed: what was read back is not what was meant.
    """
    with AtomicFile(target) as atomic:
        write_frame(frame, atomic.temp, options=options)
        got = read_frame(
            atomic.temp,
            frame.number,
            color_space=UNDECIDED,
            layer=layer_in(atomic.temp, layer),
        )
        if not same_samples(frame, got):
            raise VerifyFailed(
                "what was read back differs from what was to be written",
                path=target,
                frame=frame.number,
                remedy="the storage or its driver is at fault; nothing was changed",
            )
        made = NewFile(
            digest_file(atomic.temp), atomic.temp.stat().st_size, samples_digest(got, channels)
        )
        record(made)
        atomic.commit()
    return made


def same_samples(wanted: Frame, got: Frame) -> bool:
    """Whether a file holds the samples of a frame, whose own type may be deeper or shallower."""
    if got.pixels.shape[:2] != wanted.pixels.shape[:2]:
        return False
    if not set(wanted.channels) <= set(got.channels):
        return False
    order = [got.channels.index(name) for name in wanted.channels]
    if got.sample_type == wanted.sample_type:
        return all(
            bool(same_bits(got.pixels[band][..., order], wanted.pixels[band]).all())
            for band in row_bands(wanted.pixels.shape)
        )
    kind = got.sample_type
    return all(
        bool(
            np.array_equal(
                codes_of(got.pixels[b][..., order], kind), codes_of(wanted.pixels[b], kind)
            )
        )
        for b in row_bands(wanted.pixels.shape)
    )
