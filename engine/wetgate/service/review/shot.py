"""One output with its plate, as the review page looks at it: frames, spaces, steps, planes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from wetgate.color.delta import expand_legal
from wetgate.io.formats import layer_in, read_frame
from wetgate.model.errors import InputError, WetgateError
from wetgate.model.frame import Frame, SampleType
from wetgate.operators.base import Pixels, WorkingSpace
from wetgate.operators.registry import make_operator
from wetgate.render.encoding import Encoding, legal_bits, make_encoding
from wetgate.render.fixes.rerender import recorded_recipe
from wetgate.render.fixes.restored import UNDECIDED, Restored, open_restored
from wetgate.render.manifest import FrameRecord
from wetgate.render.planes import LAYER_PREFIX
from wetgate.render.shelf import alpha_channel, color_channels

if TYPE_CHECKING:
    from wetgate.color.config import ColorConfig
    from wetgate.render.source import SourceClip

KEPT_BYTES = 128 << 20
"""Of samples kept when another frame is read: one of UHD, or more smaller ones."""

WORKING_NAMES: Mapping[WorkingSpace, str] = {
    "source": "the values of the file",
    "log": "log",
    "linear": "scene-linear",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a job was asked for: all that is known of it before its own record is written.

    Attributes:
        plate: any notation of a sequence. Others as the command line takes them, None for its
            own choice.
    """

    plate: str | None = None
    input_space: str | None = None
    output_space: str | None = None
    config: str | None = None
    layer: str | None = None
    provenance: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the recipe and the encoding it works in."""

    operator: str
    working: WorkingSpace


@dataclass(frozen=True, slots=True)
class Picture:
    """Color samples of a frame as its file holds them.

    Attributes:
        columns: where the color channels, 1 or 3, are among those of the frame.
        alpha: `(height, width, 1)` where the file has it.
        space: OCIO name, or `unknown`.
    """

    frame: Frame
    columns: tuple[int, ...]
    alpha: Pixels | None
    space: str

    @property
    def pixels(self) -> Pixels:
        """The color samples, `(height, width, 1 or 3)`, un-clamped; a view where it can be."""
        first, count = self.columns[0], len(self.columns)
        if self.columns == tuple(range(first, first + count)):
            return self.frame.pixels[..., first : first + count]
        return self.frame.pixels[..., list(self.columns)]


class Shot:
    """An output directory opened for looking; nothing of it is ever written.

    Use as a context manager, or `close` it: reading a plate may have started a process. Not for
    several threads at once.

    Args:
        asked: what to go by where the record does not tell, as of a job that still runs.

    Raises:
        InputError: nothing is on record there.
    """

    def __init__(self, directory: str | Path, asked: Asked | None = None) -> None:
        self._asked = asked or Asked()
        self.restored: Restored = _opened(Path(directory), self._asked)
        facts = self.restored.facts
        recipe = facts.get("recipe")
        self._recipe: Mapping[str, object] = recipe if isinstance(recipe, dict) else {}
        self.plate = self.restored.plate or self._asked.plate
        self._clip: SourceClip | None = None
        self._config: ColorConfig | None = None
        self._recent: dict[tuple[str, int], Picture] = {}
        known = facts.get("input_space")
        self.input_space = str(known) if known else self._decided_space()
        wanted = self._asked.output_space
        wanted = None if wanted == "same-as-input" else wanted
        self.output_space = str(facts.get("output_space") or wanted or self.input_space)

    def _decided_space(self) -> str:
        """Decide the plate's space as the job does that has been asked for."""
        from wetgate.render.source import open_clip

        if self.plate is None:
            return UNDECIDED
        asked = self._asked
        try:
            self._clip = open_clip(
                self.plate, input_space=asked.input_space, config=asked.config, layer=asked.layer
            )
        except (WetgateError, OSError):
            return UNDECIDED
        return self._clip.color_space

    def close(self) -> None:
        """End the reading process."""
        if self._clip is not None:
            self._clip.close()
            self._clip = None

    def __enter__(self) -> Shot:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def title(self) -> str:
        """What the shot is called."""
        return str(self.restored.facts.get("source") or self.restored.directory.name)

    @property
    def config(self) -> ColorConfig | None:
        """The color config of the job; None where nobody had to know a space."""
        if self._config is None and self.input_space != UNDECIDED:
            from wetgate.color.config import load_config

            named = str(self._recipe.get("config") or self._asked.config or "")
            self._config = load_config(named or None)
        return self._config

    @property
    def clip(self) -> SourceClip:
        """The plate.

        Raises:
            InputError: it is not on record or not there.
        """
        if self._clip is None:
            from wetgate.render.source import open_clip

            if self.plate is None:
                raise InputError("the record does not say where the scan is", path=self._directory)
            layer = self._text("layer")
            self._clip = open_clip(self.plate, layer=layer, must_decide=False)
        return self._clip

    @property
    def is_legal(self) -> bool:
        """Whether integer codes of the plate are in legal range."""
        return self._recipe.get("range") == "legal"

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps of the recipe; none where the record does not tell or nobody knows them."""
        try:
            recipe = recorded_recipe(self.restored)
            return tuple(
                Step(s.operator, make_operator(s.operator, s.params).spec.working_space)
                for s in recipe.steps
            )
        except WetgateError:
            return ()

    def record(self, number: int) -> FrameRecord:
        """Return what the manifest says of a frame.

        Raises:
            InputError: nothing.
        """
        found = self.restored.records.get(number)
        if found is None:
            raise InputError("no such frame on record", path=self._directory, frame=number)
        return found

    def source(self, number: int) -> Picture:
        """Read a frame of the plate; raises `InputError`."""
        return self._recall("source", number, self._read_source)

    def result(self, number: int) -> Picture:
        """Read a restored frame; raises `InputError`, also where it was not written."""
        return self._recall("result", number, self._read_result)

    def _recall(self, which: str, number: int, read: Callable[[int], Picture]) -> Picture:
        """Return one of the last pictures, or read it: views of one frame come together."""
        key = (which, number)
        found = self._recent.get(key)
        if found is None:
            while sum(p.frame.pixels.nbytes for p in self._recent.values()) > KEPT_BYTES:
                del self._recent[next(iter(self._recent))]
            found = self._recent[key] = read(number)
        return found

    def _read_source(self, number: int) -> Picture:
        return _picture(self.clip[number], self.input_space)

    def _read_result(self, number: int) -> Picture:
        self.record(number)
        path = self.restored.path(number)
        layer = layer_in(path, self._text("layer"))
        return _picture(
            read_frame(path, number, color_space=UNDECIDED, layer=layer), self.output_space
        )

    def classes(self, number: int) -> NDArray[np.uint32]:
        """Return the provenance class of every pixel, `(height, width)`.

        Raises:
            InputError: the output has no planes, or those of this frame cannot be read.
        """
        planes = self._planes(number)
        if "class" not in planes:
            raise InputError(
                "no provenance planes",
                path=self._directory,
                frame=number,
                expected="an output made with --provenance sidecar or layers",
            )
        return np.asarray(planes["class"], np.uint32)

    def _planes(self, number: int) -> Mapping[str, NDArray[Any]]:
        from wetgate.io.exr import ExrPayload
        from wetgate.io.exr_planes import read_planes

        name = self.record(number).provenance_file
        if name:
            return read_planes(self._directory / Path(name).parent.name / Path(name).name)
        if self._text("provenance") != "layers":
            return {}
        payload = self.result(number).frame.header.payload
        part = payload.part if isinstance(payload, ExrPayload) else 0
        return read_planes(self.restored.path(number), prefix=LAYER_PREFIX, part=part)

    def encoding(self, picture: Picture, working: WorkingSpace) -> Encoding:
        """Return the way from a picture's samples to those a step computes with."""
        if self.config is None:
            return Encoding()
        return make_encoding(
            working,
            space=picture.space,
            config=self.config,
            sample_type=picture.frame.sample_type,
            premultiplied=picture.alpha is not None and picture.frame.header.format == "exr",
            code_range="legal" if self.is_legal else "full",
        )

    def seen(self, pixels: Pixels, space: str, sample_type: SampleType) -> tuple[Pixels, str]:
        """Return samples `(h, w, 1 or 3)` as display codes 0-1 `(h, w, 3)`, and the view's name.

        Without a config, or for data, the samples are the codes. What is not finite is black.
        """
        rgb = pixels if pixels.shape[-1] == 3 else np.repeat(pixels[..., :1], 3, axis=-1)
        if not np.isfinite(rgb).all():
            rgb = np.nan_to_num(rgb, nan=0.0, posinf=0.0, neginf=0.0)
        if self.config is None or self.config.is_data(space):
            return np.clip(rgb, 0, 1), "the values of the file, clipped to 0-1"
        bits = legal_bits(sample_type) if self.is_legal else None
        viewer, named = self.config.viewer(space)
        shown = viewer.apply(rgb if bits is None else expand_legal(rgb, bits))
        return np.clip(shown, 0, 1), named

    def shown(self, pixels: Pixels, space: str) -> Pixels:
        """Return samples of the plate or the result as display codes 0-1, `(h, w, 3)`."""
        return self.seen(pixels, space, self.clip.info.sample_type)[0]

    @property
    def _directory(self) -> Path:
        return self.restored.directory

    def _text(self, name: Literal["layer", "provenance"]) -> str | None:
        found = self.restored.call.get(name, getattr(self._asked, name))
        return found if isinstance(found, str) and found else None


def _opened(directory: Path, asked: Asked) -> Restored:
    """Open an output; one of a job that has only begun is empty."""
    try:
        return open_restored(directory)
    except InputError:
        if asked.plate is None:
            raise
        return Restored(directory, {})


def _picture(frame: Frame, space: str) -> Picture:
    columns = color_channels(frame.channels) or (0,)
    at = alpha_channel(frame.channels)
    alpha = None if at is None else np.ascontiguousarray(frame.pixels[..., at : at + 1])
    return Picture(replace(frame, color_space=space), columns, alpha, space)
