"""Pictures of single fixes: the scan, the restored frame and the matte around each.

Frames are read from the scan and the output where both are there and are those on record; else
the tile data alone shows the pixels that a fix changed. Crops are stretched in contrast where
they have little, and say by how much. Nothing here reaches an output frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wetgate.io.atomic import digest_file
from wetgate.model.box import Box
from wetgate.model.errors import InputError, WetgateError
from wetgate.render.fixes.codes import color_columns, pixels_of
from wetgate.render.fixes.journal import State
from wetgate.render.fixes.lines import FixLine
from wetgate.render.fixes.restored import Restored
from wetgate.render.fixes.tiles import Tiles
from wetgate.render.reporting.preview import Pixels, data_uri, display

if TYPE_CHECKING:
    from wetgate.color.config import ColorConfig
    from wetgate.render.source import SourceClip

Show = Callable[[Pixels, str], Pixels]

MARGIN = 20
"""Context around a fix, px."""
LONGEST = 160
"""Longest side of a crop, px: a larger defect is shown about its anchor."""
SHOWN = 240
"""Longest side of an enlarged crop, screen px."""
_CHANGED = np.array([1.0, 0.76, 0.3], np.float32)
"""Color of the pixels that a fix changed, over the gray of the matte."""
_ENOUGH = 0.5
"""Range of display codes from which a crop is shown as it is."""
_MOST_GAIN = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One crop of the three, as a data URI."""

    name: str
    picture: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FixPicture:
    """What a fix looks like.

    Attributes:
        width, height: px of the crop; panels: before, after and matte, of that size.
        corner: px of the frame at the top left of the crop.
        note: what was done to show it.
    """

    width: int
    height: int
    corner: tuple[int, int]
    panels: tuple[Panel, ...]
    note: str

    @property
    def enlargement(self) -> int:
        """How many screen px a pixel takes."""
        return max(1, SHOWN // max(self.width, self.height))

    @property
    def shown_width(self) -> int:
        """Screen px across."""
        return self.width * self.enlargement

    @property
    def shown_height(self) -> int:
        """Screen px down."""
        return self.height * self.enlargement

    @property
    def shown_text(self) -> str:
        """How it is shown, for people."""
        return f"{self.enlargement} times" + (f", {self.note}" if self.note else "")


class Photographer:
    """Makes pictures of fixes, frame by frame. Use as a context manager.

    Args:
        plate: where the scan is now; None for where the record says.
        show: turns samples of a color space into display codes 0-1; None for the report's way.
    """

    def __init__(
        self, restored: Restored, plate: str | None = None, show: Show | None = None
    ) -> None:
        self._restored = restored
        self._show = show or (lambda pixels, space: display(pixels, space, self._config))
        self._space = str(restored.facts.get("input_space") or "unknown")
        self._out_space = str(restored.facts.get("output_space") or self._space)
        self._clip: SourceClip | None = None
        self._config: ColorConfig | None = None
        self.trouble: list[str] = []
        try:
            self._open(plate or restored.plate)
        except (WetgateError, OSError) as error:
            self.trouble.append(f"the scan is not shown: {error}")

    def _open(self, plate: str | None) -> None:
        from wetgate.color.config import load_config
        from wetgate.render.source import open_clip

        recipe = self._restored.facts.get("recipe")
        config = str(recipe.get("config") or "") if isinstance(recipe, dict) else ""
        if self._space != "unknown":
            self._config = load_config(config or None)
        if plate is None:
            raise InputError("the record does not say where it is", path=self._restored.directory)
        layer = self._restored.call.get("layer")
        named = layer if isinstance(layer, str) else None
        self._clip = open_clip(plate, layer=named, must_decide=False)

    def __enter__(self) -> Photographer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._clip is not None:
            self._clip.close()

    def shoot(self, state: State, fixes: Sequence[FixLine]) -> Iterator[FixPicture]:
        """Yield a picture of each of some fixes of one frame, in their order.

        Raises:
            FrameReadError: the tile data is gone or damaged.
        """
        tiles = self._restored.journal.tiles(state.frame)
        scan, result = self._frames(state)
        size = scan.shape[:2] if scan is not None else None
        planes = self._planes(state.frame.frame)
        for fix in fixes:
            box = crop_box(fix, size)
            yield self._picture(state, fix, tiles, box, planes, scan, result)

    def _planes(self, number: int) -> Mapping[str, NDArray[Any]]:
        """Return the planes that lie beside a frame; none where they cannot be read."""
        from wetgate.io.exr_planes import read_planes

        name = self._restored.records[number].provenance_file
        if not name:
            return {}
        try:
            return read_planes(self._restored.directory / Path(name).parent.name / Path(name).name)
        except (WetgateError, OSError):
            return {}  # `verify` tells of it; a crop does without

    def _frames(self, state: State) -> tuple[Pixels | None, Pixels | None]:
        """Return the color pixels of scan and output, None where they are not there."""
        number = state.frame.frame
        if self._clip is None:
            return None, None
        try:
            if self._clip.digest(number) != state.frame.source_digest:
                raise InputError("is not the scan that was restored", frame=number)
            frame = self._clip[number]
            columns = color_columns(frame, state.frame.channels)
            scan = np.ascontiguousarray(frame.pixels[..., columns])
            path = self._restored.path(number)
            if digest_file(path) != state.output:
                raise InputError("is not the frame that was written", path=path)
            restored = self._restored.read(number, state.frame.layer)
            columns = color_columns(restored, state.frame.channels)
            result = np.ascontiguousarray(restored.pixels[..., columns])
        except (WetgateError, OSError) as error:
            self.trouble.append(f"frame {number} is shown from its tile data alone: {error}")
            return None, None
        return (scan, result) if scan.shape == result.shape else (None, None)

    def _picture(
        self,
        state: State,
        fix: FixLine,
        tiles: Tiles | None,
        box: Box,
        planes: Mapping[str, NDArray[Any]],
        scan: Pixels | None,
        result: Pixels | None,
    ) -> FixPicture:
        matte = shown_matte(fix, tiles, soft_matte(fix, planes, box), box)
        note = ""
        if scan is None or result is None:
            before, after = from_tiles(state, fix, tiles, box)
            note = "from tile data alone"
        else:
            area = (slice(box.y0, box.y1), slice(box.x0, box.x1))
            before, after = scan[area], result[area]
        shown = (
            self._show(np.ascontiguousarray(before), self._space),
            self._show(np.ascontiguousarray(after), self._out_space),
        )
        shown, gain = stretched(shown)
        notes = [note, f"contrast times {gain:.1f}" if gain > 1 else ""]
        pictures = (*shown, matte)
        return FixPicture(
            width=box.width,
            height=box.height,
            corner=(box.x0, box.y0),
            panels=tuple(
                Panel(name=name, picture=data_uri(picture, lossless=True))
                for name, picture in zip(("before", "after", "matte"), pictures, strict=True)
            ),
            note=", ".join(text for text in notes if text),
        )


def crop_box(fix: FixLine, size: tuple[int, ...] | None) -> Box:
    """Return what to show of a frame: the fix with a margin, no larger than is useful.

    Args:
        size: height and width of the frame, where they are known.
    """
    whole = Box(*fix.box).union(Box(*fix.anchor, fix.anchor[0] + 1, fix.anchor[1] + 1))
    x0, x1 = _side(whole.x0, whole.x1, fix.anchor[0], size[1] if size else None)
    y0, y1 = _side(whole.y0, whole.y1, fix.anchor[1], size[0] if size else None)
    return Box(x0, y0, x1, y1)


def _side(first: int, last: int, anchor: int, limit: int | None) -> tuple[int, int]:
    first, last = first - MARGIN, last + MARGIN
    if last - first > LONGEST:
        first = min(max(first, anchor - LONGEST // 2), last - LONGEST)
        last = first + LONGEST
    if limit is not None:
        last = min(last, limit)
    first = max(0, first)
    return first, max(last, first + 1)


def soft_matte(fix: FixLine, planes: Mapping[str, NDArray[Any]], box: Box) -> Pixels | None:
    """Return the matte that the step wrote beside the frame; None where it has none of the fix."""
    for name, plane in planes.items():
        step, _, what = name.rpartition(".")
        if what == "matte" and step and fix.operator.startswith(step):
            x0, y0, x1, y1 = fix.box
            cut = plane[box.y0 : box.y1, box.x0 : box.x1].astype(np.float32)
            if cut.shape == (box.height, box.width) and plane[y0:y1, x0:x1].any():
                return np.clip(np.nan_to_num(cut), 0, 1)
    return None


def shown_matte(fix: FixLine, tiles: Tiles | None, soft: Pixels | None, box: Box) -> Pixels:
    """Return the matte of a crop, `(h, w, 3)`: gray as the step wrote it, changed pixels colored.

    Without a matte of the step a fix that changed nothing is shown by the outline of its box.
    """
    gray = np.zeros((box.height, box.width), np.float32) if soft is None else soft
    matte = np.repeat(gray[..., None], 3, axis=-1)
    at = tiles.index(fix.number) if tiles is not None else None
    if tiles is not None and at is not None:
        span = tiles.span(at)
        x, y = tiles.x[span] - box.x0, tiles.y[span] - box.y0
        inside = (x >= 0) & (y >= 0) & (x < box.width) & (y < box.height)
        x, y = x[inside], y[inside]
        matte[y, x] = np.maximum(gray[y, x], np.float32(0.6))[:, None] * _CHANGED
    elif soft is None:
        _outline(matte, Box(*fix.box), box)
    return matte


def _outline(matte: Pixels, own: Box, box: Box) -> None:
    kept = matte.copy()
    for part, value in ((own.grown(1), np.float32(0.5)), (own, None)):
        cut = part.intersect(box)
        if cut.is_empty:
            continue
        area = cut.within(box)
        matte[area] = kept[area] if value is None else value


def from_tiles(state: State, fix: FixLine, tiles: Tiles | None, box: Box) -> tuple[Pixels, Pixels]:
    """Return before and after of a crop where only the pixels of the fix are known."""
    channels = max(1, len(state.frame.channels))
    before = np.zeros((box.height, box.width, channels), np.float32)
    after = before.copy()
    at = tiles.index(fix.number) if tiles is not None else None
    if tiles is None or at is None:
        return before, after
    span = tiles.span(at)
    x, y = tiles.x[span] - box.x0, tiles.y[span] - box.y0
    inside = (x >= 0) & (y >= 0) & (x < box.width) & (y < box.height)
    kind = state.frame.sample_type
    was, now = (pixels_of(codes[span], kind)[inside] for codes in (tiles.before, tiles.after))
    shown = now if fix.id not in state.reverted else was
    for picture, values in ((before, was), (after, shown)):
        picture[:] = np.median(values, axis=0) if len(values) else 0
        picture[y[inside], x[inside]] = values
    return before, after


def stretched(pictures: tuple[Pixels, Pixels]) -> tuple[tuple[Pixels, Pixels], float]:
    """Return display pictures with more contrast, the same for both, and by how much.

    The gain is 1 where their common range is wide enough, and never so high that grain fills it.
    """
    values = np.concatenate([picture.reshape(-1) for picture in pictures])
    low, high = (float(v) for v in np.percentile(values, (0.5, 99.5)))
    if high - low >= _ENOUGH:
        return pictures, 1.0
    gain = min(_MOST_GAIN, 0.8 / max(high - low, 1e-6))
    middle = (low + high) / 2
    first, second = (
        np.clip((picture - middle) * np.float32(gain) + np.float32(0.5), 0, 1).astype(np.float32)
        for picture in pictures
    )
    return (first, second), gain


def by_frame(fixes: Sequence[FixLine]) -> Mapping[int, list[FixLine]]:
    """Group fixes by frame, so that every frame is read once."""
    found: dict[int, list[FixLine]] = {}
    for fix in fixes:
        found.setdefault(fix.frame, []).append(fix)
    return found


def picture_all(
    restored: Restored,
    states: Mapping[int, State],
    fixes: Sequence[FixLine],
    plate: str | None = None,
) -> tuple[dict[str, FixPicture], tuple[str, ...]]:
    """Return pictures of fixes by id, and what could not be shown."""
    found: dict[str, FixPicture] = {}
    with Photographer(restored, plate) as photographer:
        trouble = photographer.trouble
        for number, group in sorted(by_frame(fixes).items()):
            try:
                pictures = photographer.shoot(states[number], group)
                found |= {fix.id: p for fix, p in zip(group, pictures, strict=True)}
            except WetgateError as error:
                trouble.append(f"no pictures of frame {number}: {error}")
    return found, tuple(dict.fromkeys(trouble))


def ranked(states: Mapping[int, State]) -> list[FixLine]:
    """Return all fixes, the most doubtful first, ties in the order of frames and numbers."""
    fixes = [fix for state in states.values() for fix in state.fixes.values()]
    return sorted(fixes, key=lambda fix: (round(fix.doubt, 9), fix.frame, fix.number))
