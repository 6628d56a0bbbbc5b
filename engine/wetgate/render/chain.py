"""The chain: any output of any stage of any step for any frame, on demand.

Everything here is a pure function of the clip, the steps and the analyses. What is remembered
between frames (surveys, stage outputs, step outputs) is what would be computed again, so the
order in which frames are asked for, the tiles and the threads never show in the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from wetgate.color.nonfinite import non_finite_mask, substitute
from wetgate.model.box import Box
from wetgate.operators.base import Analysis, Judged, Pixels, SourceFacts, Window
from wetgate.render.analysis import ShotAnalyses
from wetgate.render.bound import BoundStep, reach_of
from wetgate.render.canvas import pad_marks, padded, padded_index, scaled_box, sizes_of
from wetgate.render.fixing import FrameFixes, step_labels
from wetgate.render.frames import canvas_of
from wetgate.render.judging import (
    FrameNotes,
    Marks,
    MarksPlane,
    TileDone,
    gather_classes,
    gather_notes,
    joined_classes,
    take_apart,
)
from wetgate.render.shelf import Shelf, ShelvedFrame
from wetgate.render.step_input import StepInput
from wetgate.render.step_output import ResizedOutput, StepOutput, Stepped
from wetgate.render.store import Plane, PlaneStore, row_bands, to_half
from wetgate.render.surveys import SurveyedWindow, Surveys
from wetgate.render.taking_back import repair_blocks, take_back
from wetgate.render.windows import Shots, gather, gather_if
from wetgate.render.workers import Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Colors of one frame after the last step.

    Attributes:
        color: None when no pixel changed. touched: provenance marks per pixel when several
            steps ran or one told its pixels apart; else every changed pixel carries `mark`.
        notes: what the stages said, each sentence once.
        network_off: greatest share of the frame in which a step did without its network.
        fixes: what became of single defects; None when no step speaks of any.
    """

    color: Pixels | None
    touched: Marks | None
    mark: int
    notes: tuple[str, ...] = ()
    network_off: float = 0.0
    fixes: FrameFixes | None = None


class Chain:
    """Computes the steps over a shelf of source frames. One caller at a time.

    Args:
        analyses: for every step, the analysis of each shot; may grow while in use.
        tile: width and height of tiles.
        wide: whether whole-frame surveys may run side by side.
    """

    def __init__(
        self,
        *,
        shelf: Shelf,
        store: PlaneStore,
        steps: Sequence[BoundStep],
        shots: Shots,
        analyses: Sequence[ShotAnalyses],
        workers: Workers,
        tile: tuple[int, int],
        wide: bool = True,
    ) -> None:
        self._shelf = shelf
        self._store = store
        self.steps = steps
        self._shots = shots
        self._analyses = analyses
        self._workers = workers
        self._tile = tile
        self._reach = reach_of([step.footprints for step in steps])
        self.sizes = sizes_of([step.scale for step in steps])
        self._inputs: dict[tuple[int, int], StepInput] = {}
        self._outputs: dict[tuple[int, int, int], Plane] = {}
        self._classes: dict[tuple[int, int, int], MarksPlane | None] = {}
        self._notes: dict[tuple[int, int, int], FrameNotes] = {}
        self._surveys = Surveys(workers, wide=wide)
        self._labels = step_labels(steps)
        self._blocks = repair_blocks(steps)

    @property
    def only_fixes(self) -> bool:
        """Whether the steps change nothing but single defects, each of them on record."""
        return all(step.repairs or step.strength == 0 for step in self.steps)

    def needs(self, number: int) -> list[int]:
        """Return the source frames that an output is made from."""
        radius = self._reach.source
        around = range(number - radius, number + radius + 1)
        return [n for n in around if n in self._shelf.numbers and self._shots.same(n, number)]

    def finish(self, number: int) -> Finished:
        """Return the colors of a frame after all steps.

        Raises:
            InputError: when the frame itself cannot be read.
        """
        source = self._shelf.get(number)
        last = len(self.steps) - 1
        if last < 0:
            return Finished(color=None, touched=None, mark=0)
        stepped = self._after(last, number, source)
        said = [self._notes[key] for key in sorted(self._notes) if key[2] == number]
        return Finished(
            color=stepped.color,
            touched=stepped.touched,
            mark=self.steps[last].mark,
            notes=tuple(dict.fromkeys(text for one in said for text in one.notes)),
            network_off=max((one.network_off for one in said), default=0.0),
            fixes=stepped.fixes,
        )

    def read_working(self, index: int, number: int) -> Pixels:
        """Return a whole frame of a step's input in its working encoding, for analyses.

        Raises:
            InputError: when the frame cannot be read.
        """
        plane = self._working(index, number, self._shelf.get(number))
        rows = plane.rows(0, plane.shape[0])
        # The caller may write into what it gets; a plane that has to be expanded is its own.
        own = rows.base is None and rows.flags.writeable
        return rows if own else np.array(rows, copy=True)

    def frame_facts(self, index: int, number: int) -> SourceFacts:
        """Return what a step's operator may know about a frame, by number."""
        return self.facts(index, self._shelf.get(number))

    def facts(self, index: int, source: ShelvedFrame) -> SourceFacts:
        """Return what a step's operator may know about a frame."""
        width, height = self.sizes.before(canvas_of(source.shell), index).data.size
        return SourceFacts(
            sample_type=source.shell.sample_type,
            width=width,
            height=height,
            channels=len(source.color_index),
            is_log_working=self.steps[index].is_log_working,
        )

    def retain(self, upcoming: Iterable[int]) -> None:
        """Forget everything that none of the upcoming outputs needs."""
        ahead = sorted(upcoming)

        def near(number: int, reach: int) -> bool:
            return any(abs(number - u) <= reach for u in ahead)

        reach = self._reach
        for i, n in [k for k in self._inputs if not near(k[1], reach.step_input[k[0]])]:
            self._inputs.pop((i, n)).drop(owned=i > 0)
        for key in [k for k in self._outputs if not near(k[2], reach.stage_output[k[0], k[1]])]:
            self._outputs.pop(key).release()
            del self._classes[key]
        self._notes = {k: v for k, v in self._notes.items() if near(k[2], reach.source)}
        self._surveys.retain(lambda key, n: near(n, reach.stage[key]))
        self._shelf.retain(lambda n: near(n, reach.source))

    def _analysis(self, index: int, number: int) -> Analysis:
        shots = self._analyses[index].shots if index < len(self._analyses) else ()
        shot = self._shots.index(number)
        return shots[shot] if shot < len(shots) else {}

    def _rejected(self, index: int) -> frozenset[str]:
        return self._analyses[index].rejected if index < len(self._analyses) else frozenset()

    def _input(self, index: int, number: int, source: ShelvedFrame) -> StepInput:
        entry = self._inputs.get((index, number))
        if entry is None:
            entry = self._make_input(index, number, source)
            self._inputs[index, number] = entry
        return entry

    def _make_input(self, index: int, number: int, source: ShelvedFrame) -> StepInput:
        entry = self._plain_input(index, number, source)
        made = canvas_of(source.shell)
        made = self.sizes.after(made, index - 1) if index else made
        grown = made.aligned(self.sizes.scales[index])
        if grown.data == made.data:
            return entry
        color = padded(entry.color, made, grown)
        same = entry.finite is entry.color
        return StepInput(
            color=color,
            finite=color if same else padded(entry.finite, made, grown),
            touched=None if entry.touched is None else pad_marks(entry.touched, made, grown),
            fixes=None if entry.fixes is None else entry.fixes.taken(*padded_index(made, grown)),
        )

    def _plain_input(self, index: int, number: int, source: ShelvedFrame) -> StepInput:
        if index == 0:
            return StepInput(color=source.color, finite=source.finite)
        stepped = self._after(index - 1, number, source)
        color = stepped.color
        if color is None:
            color = source.color.rows(0, source.color.shape[0])
        plane = self._store.keep_exact(color, source.shell.sample_type)
        finite = plane
        if source.has_non_finite:
            finite = self._store.keep_exact(
                substitute(color, non_finite_mask(color)), source.shell.sample_type
            )
        return StepInput(color=plane, finite=finite, touched=stepped.touched, fixes=stepped.fixes)

    def _working(self, index: int, number: int, source: ShelvedFrame) -> Plane:
        entry = self._input(index, number, source)
        if entry.working is None:
            encoding = self.steps[index].encoding
            if encoding.is_identity:
                entry.working = entry.finite
            else:
                whole = np.empty(entry.finite.shape, dtype=np.float32)
                alphas = self._beside(source.alpha, index, source)
                for band in row_bands(whole.shape):
                    alpha = gather_if(alphas, Box(0, band.start, whole.shape[1], band.stop))
                    whole[band] = encoding.encode(entry.finite.rows(band.start, band.stop), alpha)
                entry.working = self._store.keep_exact(whole, "float")
        return entry.working

    def _beside(
        self, plane: Plane | None, index: int, source: ShelvedFrame, *, after: bool = False
    ) -> Plane | None:
        """Return alpha or matte at the size that a step works on, or that of its output."""
        if plane is None or not self.sizes.changes:
            return plane
        resize = self.sizes.plane_after if after else self.sizes.plane_before
        return resize(plane, canvas_of(source.shell), index, "linear")

    def _named_planes(self, index: int, source: ShelvedFrame) -> dict[str, Plane]:
        """Return the planes beside color that a step looks at, at the size it works on."""
        found = {}
        for name in self.steps[index].plane_names:
            plane = self._beside(source.planes.get(name), index, source)
            if plane is not None:
                found[name] = plane
        return found

    def _neighbours(self, number: int, radius: int, source: ShelvedFrame) -> list[int | None]:
        around = range(number - radius, number + radius + 1)
        return [n if n == number or self._is_neighbor(n, number, source) else None for n in around]

    def _is_neighbor(self, number: int, center: int, source: ShelvedFrame) -> bool:
        if not self._shots.same(number, center) or not self._shelf.usable(number, source):
            return False
        if not self.sizes.changes:
            return True
        # Scaling aligns frames to the display window, so that must be the same as well.
        return canvas_of(self._shelf.get(number).shell) == canvas_of(source.shell)

    def _after(self, index: int, number: int, source: ShelvedFrame) -> Stepped:
        """Return a frame after a step; behind a block of repairs without its rejected fixes."""
        stepped = self._run_step(index, number, source)
        first = self._blocks.get(index)
        if first is None:
            return stepped
        return take_back(stepped, self._input(first, number, source), first=first == 0)

    def _run_step(self, index: int, number: int, source: ShelvedFrame) -> Stepped:
        """Run the last stage of a step and put its result into the source encoding."""
        step = self.steps[index]
        if index:  # in the order of frames, in which surveys of the step before are made once
            radius = sum(f.temporal_radius for f in step.footprints)
            for n in self._neighbours(number, radius, source):
                if n is not None:
                    self._input(index, n, source if n == number else self._shelf.get(n))
        entry = self._input(index, number, source)
        make = StepOutput if self.sizes.scales[index] == 1 else ResizedOutput
        output = make(
            step=step,
            number=number,
            index=index,
            label=self._labels[index],
            color=entry.color,
            working=self._working(index, number, source),
            matte=self._beside(source.matte, index, source, after=True),
            alpha=self._beside(source.alpha, index, source, after=True),
            touched=entry.touched,
            several=len(self.steps) > 1,
            sample_type=source.shell.sample_type,
            fixes=entry.fixes,
            rejected=self._rejected(index),
        )
        last = len(step.stages) - 1
        done = self._run_tiles(index, last, number, source, output.write)
        return output.finish(done, first=index == 0)

    def _stage_output(self, index: int, stage: int, number: int, source: ShelvedFrame) -> Plane:
        key = (index, stage, number)
        plane = self._outputs.get(key)
        if plane is None:
            footprint = self.steps[index].footprints[stage]
            exact = footprint.exact_output
            height, width, count = self._input(index, number, source).color.shape
            shape = (height, width, footprint.planes or count)
            out = np.empty(shape, dtype=np.float32 if exact else np.float16)

            def write(window: Window, judged: Judged) -> TileDone:
                tile = window.tile.within(window.frame)
                out[tile] = judged.pixels if exact else to_half(judged.pixels)
                return TileDone(
                    box=window.tile, written=True, marks=judged.classes, notes=judged.notes
                )

            done = self._run_tiles(index, stage, number, source, write)
            self._classes[key] = joined_classes(self.steps[index], done, shape)
            plane = self._outputs[key] = self._store.keep_array(out)
        return plane

    def _run_tiles(
        self,
        index: int,
        stage_index: int,
        number: int,
        source: ShelvedFrame,
        write: Callable[[Window, Judged], TileDone],
    ) -> list[TileDone]:
        step = self.steps[index]
        stage, footprint = step.stages[stage_index], step.footprints[stage_index]
        around = self._neighbours(number, footprint.temporal_radius, source)
        planes: dict[int, tuple[Plane, Plane | None]] = {}
        for n in around:
            if n is not None:
                there = source if n == number else self._shelf.get(n)
                previous = (
                    self._stage_output(index, stage_index - 1, n, there) if stage_index else None
                )
                planes[n] = (self._working(index, n, there), previous)
        facts = self.facts(index, source)
        analysis = self._analysis(index, number)
        surveyed = SurveyedWindow(
            key=(index, stage_index),
            stage=stage,
            number=number,
            shot=self._shots.index(number),
            around=around,
            planes={n: work if prev is None else prev for n, (work, prev) in planes.items()},
            analysis=analysis,
            facts=facts,
        )
        pairs = self._surveys.pairs(surveyed)
        survey = self._surveys.of_center(surveyed)
        frame = Box.of_size(facts.width, facts.height)
        last = stage_index == len(step.stages) - 1
        scale = self.sizes.scales[index] if last else Fraction(1)
        numbers = [number if n is None else n for n in around]
        classes = {n: self._classes.get((index, stage_index - 1, n)) for n in planes}
        named = self._named_planes(index, source)
        near = [n for n in around if n is not None]

        def run(tile: Box) -> TileDone:
            region = tile.grown(footprint.halo)
            if footprint.center_only:
                inputs = dict.fromkeys(planes, gather(planes[number][0], region))
                previous = {}
            else:
                inputs = {n: gather(plane, region) for n, (plane, _) in planes.items()}
                previous = {n: gather(p, region) for n, (_, p) in planes.items() if p is not None}
            said = {n: gather_classes(plane, region) for n, plane in classes.items()}
            window = Window(
                number=number,
                pixels=tuple(inputs[n] for n in numbers),
                previous=tuple(previous[n] for n in numbers) if previous else (),
                valid=tuple(n is not None for n in around),
                pairs=pairs,
                region=region,
                tile=tile,
                frame=frame,
                previous_classes=tuple(said[n] for n in numbers) if previous else (),
                planes={name: gather(plane, region) for name, plane in named.items()},
                survey=survey,
            )
            made = scaled_box(tile, scale)
            shape = (made.height, made.width, footprint.planes or facts.channels)
            result = stage(window, analysis, facts)
            return write(
                window, take_apart(step, result, shape, last=last, frame=number, near=near)
            )

        unit = scale.denominator
        width, height = (-(-side // unit) * unit for side in self._tile)
        done = self._workers.map(run, frame.tiles(width, height), side_by_side=True)
        self._notes[index, stage_index, number] = gather_notes(step, done, last=last)
        return done
