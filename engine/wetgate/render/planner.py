"""Join options, recipe, plate and output into a job that can run, and say what it will need."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from wetgate.io.atomic import free_bytes
from wetgate.io.formats import frame_bytes, metadata_losses
from wetgate.io.options import WriteOptions
from wetgate.io.ranges import FrameRange
from wetgate.io.sequence import FrameSequence, output_sequence
from wetgate.model.errors import RecipeError, UsageError
from wetgate.operators.base import Operator, TakesDecisions
from wetgate.operators.registry import make_operator
from wetgate.recipe import Recipe, digest_of, load_recipe
from wetgate.render.beside import beside_facts
from wetgate.render.bound import BoundStep, chain_reach
from wetgate.render.canvas import sizes_of
from wetgate.render.checks import check_sizes, check_target, choose_frames, is_stepped
from wetgate.render.costs import codec_seconds, cores, frame_size
from wetgate.render.decisions import DecisionsFile, load_decisions, unheard
from wetgate.render.encoding import (
    OutputSpace,
    is_linear,
    make_encoding,
)
from wetgate.render.frames import canvas_of, check_resizable, resizing_losses
from wetgate.render.manifest import CONTROL
from wetgate.render.memory import DEFAULT_MEMORY, MemoryPlan, plan_memory
from wetgate.render.options import JobOptions
from wetgate.render.plan import Plan
from wetgate.render.planes import (
    LAYERS_BYTES,
    PLANES_BYTES,
    PLANES_DISK_BYTES,
    PlanesOutput,
    carried_planes,
    planes_output,
)
from wetgate.render.shelf import color_channels
from wetgate.render.source import SourceClip, open_clip
from wetgate.render.steps import Settled, settle_steps
from wetgate.render.writing import is_premultiplied, output_space_of, write_options_of

if TYPE_CHECKING:
    from wetgate.color.config import ColorConfig
    from wetgate.color.identify import SpaceDecision


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Everything decided before the first frame; holds the open clip, so `close` it.

    Attributes:
        clip: the whole plate. wanted: numbers to render. absent: numbers that must fail by name.
        context: digest of all that decides pixels beside the source frames and verdicts.
        planes: where class, origin and fix of every pixel are written; None for nowhere.
        decisions: verdicts on single fixes; None without any.
    """

    options: JobOptions
    recipe: Recipe
    steps: tuple[BoundStep, ...]
    clip: SourceClip
    wanted: tuple[int, ...]
    absent: tuple[int, ...]
    target: FrameSequence
    write_options: WriteOptions
    output_space: OutputSpace | None
    space: str
    config: ColorConfig | None
    memory: MemoryPlan
    recipe_digest: str
    context: str
    plan: Plan = field(repr=False)
    planes: PlanesOutput | None = None
    decisions: DecisionsFile | None = None

    @property
    def control(self) -> Path:
        """The `.wetgate` directory of the output."""
        return self.target.directory / CONTROL

    @property
    def operators(self) -> tuple[Operator, ...]:
        """The operators in order."""
        return tuple(step.operator for step in self.steps)

    @property
    def needs_analysis(self) -> bool:
        """Whether the whole plate must be looked at before rendering."""
        return self.plan.needs_analysis

    def close(self) -> None:
        """Let go of the plate."""
        self.clip.close()


MakeOperator = Callable[[str, Mapping[str, object]], Operator]


def prepare(options: JobOptions, make: MakeOperator = make_operator) -> Job:
    """Decide everything about a job; reads headers, writes nothing.

    Args:
        make: makes the operator of a step from its name and parameters.

    Raises:
        RecipeError: unknown, malformed, or against the policy. InputError: unusable plate.
        ModelLoadError: a model is missing or damaged, or its licence is refused.
        TargetExists, OutputError: the output may not be written there.
        OutOfMemory: the budget is too small for one frame.
    """
    decisions = load_decisions(options.decisions) if options.decisions is not None else None
    recipe = _recipe(options)
    settled = settle_steps(recipe, _operators(recipe, make), options)
    check_sizes(recipe, settled.operators, has_matte=options.has_matte)
    converts = recipe.output_space != "same-as-input"
    clip = open_clip(
        options.plate,
        input_space=recipe.input_space,
        config=recipe.config or None,
        layer=options.layer,
        must_decide=bool(settled.operators) or converts,
    )
    try:
        return _join(options, recipe, settled, clip, decisions)
    except BaseException:
        clip.close()
        raise


def _join(
    options: JobOptions,
    recipe: Recipe,
    settled: Settled,
    clip: SourceClip,
    decisions: DecisionsFile | None,
) -> Job:
    operators = settled.operators
    wanted, absent = choose_frames(options, clip)
    target = output_sequence(options.out, _only(clip.sequence, wanted or absent))
    if len({target.name(n) for n in wanted}) < len(wanted):
        raise UsageError(
            f"one name for {len(wanted)} frames",
            path=target.directory,
            expected="a pattern such as plate.%04d.exr as the output of a movie",
        )
    check_target(options, clip.sequence, target, wanted)
    facts, config = clip.facts, clip.facts.config
    output_space = output_space_of(recipe, clip)
    steps = _bind(recipe, settled, clip)
    write_options, target_format = write_options_of(clip, target, output_space, config, recipe)
    planes = planes_output(options, operators, clip.info, target, target_format)
    versions = {s.operator: op.spec.version for s, op in zip(recipe.steps, operators, strict=True)}
    recipe_digest = recipe.digest(versions.__getitem__, settled.digest_facts)
    context = digest_of(
        {
            "recipe": recipe_digest,
            "config": config.digest if config is not None else "",
            "space": facts.space,
            "output_space": output_space.name if output_space is not None else "",
            "layer": options.layer,
            "format": target_format,
            "matte": options.matte is not None,
            **beside_facts(options),
            **({"planes": "layers"} if planes is not None and planes.layers else {}),
        }
    )
    size = frame_size(clip, bool(steps) or output_space is not None)
    sizes = sizes_of([op.spec.footprint.scale for op in operators])
    out = sizes.output(canvas_of(clip.info)).data
    if sizes.changes:
        check_resizable(
            clip.info.header, carried=clip.info.carried if target_format == "dpx" else ()
        )
    budget = options.memory or DEFAULT_MEMORY
    memory = plan_memory(
        size,
        operators,
        budget=budget,
        workers=options.threads or cores(),
        converted=[not s.encoding.is_identity for s in steps],
        with_color=output_space is not None,
        beside=options.has_matte + (options.defects is not None),
        written_beside=_written_beside(planes, operators),
        analyses=options.analysis_path is None,
    )
    reach = chain_reach(operators)
    needs_analysis = reach.source > 0 or any(op.spec.needs_analysis for op in operators)
    needs_analysis = needs_analysis or (decisions is not None and bool(operators))
    disk = math.ceil(frame_bytes(clip.info) * out.area / max(1, size.pixels)) * len(wanted)
    disk += PLANES_DISK_BYTES * out.area * len(wanted) if planes is not None else 0
    free = free_bytes(target.directory)
    warnings = _warnings(clip, absent, free, disk)
    if carried_planes(clip.info) and steps:
        warnings += ("channels provenance.* tell of an earlier run and are carried as they are",)
    if decisions is not None:
        warnings += tuple(
            f"decisions on fixes of {label!r}, and no step of that name takes any"
            for label in unheard(decisions, operators)
        )
    seconds = codec_seconds(clip, target_format, len(wanted)) if not steps else None
    plan = Plan(
        source=str(clip.sequence.directory / clip.sequence.expression),
        target=str(target.directory / target.expression),
        frames=wanted,
        missing=absent,
        width=size.width,
        height=size.height,
        out_width=max(1, out.width),
        out_height=max(1, out.height),
        channels=clip.info.channels,
        sample_type=clip.info.sample_type,
        frame_rate=clip.frame_rate,
        recipe=recipe.name,
        recipe_digest=recipe_digest,
        operators=tuple((op.spec.name, op.spec.version) for op in operators),
        provenance=max((int(op.spec.provenance) for op in operators), default=0),
        policy=options.policy,
        temporal_radius=reach.source,
        needs_analysis=needs_analysis,
        input_space=facts.space,
        output_space=output_space.name if output_space is not None else facts.space,
        space_decision=_decided(facts.decision),
        config=config.name if config is not None else "",
        disk_bytes=disk,
        scratch_bytes=memory.scratch_bytes,
        free_bytes=free,
        peak_memory=memory.peak,
        memory_budget=budget,
        tile=memory.tile,
        workers=memory.workers,
        seconds=seconds,
        seconds_from="codec cost per megapixel" if seconds is not None else "",
        models=tuple(model for models in settled.models for model in models),
        fallbacks=settled.fallbacks,
        planes="none" if planes is None else "layers" if planes.layers else "sidecar",
        losses=(
            *metadata_losses(clip.info, target_format),
            *(
                resizing_losses(clip.info, color_channels(clip.info.channels))
                if sizes.changes
                else ()
            ),
        ),
        warnings=warnings,
    )
    return Job(
        options=options,
        recipe=recipe,
        steps=steps,
        clip=clip,
        wanted=wanted,
        absent=absent,
        target=target,
        write_options=write_options,
        output_space=output_space,
        space=facts.space,
        config=config,
        memory=memory,
        recipe_digest=recipe_digest,
        context=context,
        plan=plan,
        planes=planes,
        decisions=decisions,
    )


def is_scene_linear(job: Job) -> bool:
    """Whether the plate's values are proportional to light."""
    return job.config is not None and is_linear(job.config, job.space)


def _recipe(options: JobOptions) -> Recipe:
    recipe = options.recipe
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe)
    return recipe.resolved(
        input_space=options.input_space,
        output_space=options.output_space,
        config=str(options.config) if options.config is not None else None,
        code_range=options.code_range,
        strength=options.strength,
    )


def _operators(recipe: Recipe, make: MakeOperator) -> list[Operator]:
    """Make the operators of a recipe; what is wrong with one is said of its step."""
    made = []
    for index, step in enumerate(recipe.steps):
        try:
            made.append(make(step.operator, step.params))
        except RecipeError as error:
            raise RecipeError(
                f"steps[{index}] of {recipe.name!r}: {error.found}",
                expected=error.expected,
                remedy=error.remedy,
            ) from error
    return made


def _only(sequence: FrameSequence, numbers: tuple[int, ...]) -> FrameSequence:
    return FrameSequence(
        sequence.directory,
        sequence.pattern,
        numbers,
        sign_beside_digits=sequence.sign_beside_digits,
    )


def _bind(recipe: Recipe, settled: Settled, clip: SourceClip) -> tuple[BoundStep, ...]:
    config = clip.facts.config
    bound = []
    for index, (step, operator) in enumerate(zip(recipe.steps, settled.operators, strict=True)):
        if config is None:
            raise UsageError("a step needs a decided color space")
        encoding = make_encoding(
            operator.spec.working_space,
            space=clip.color_space,
            config=config,
            sample_type=clip.info.sample_type,
            premultiplied=is_premultiplied(clip),
            code_range=recipe.code_range or "full",
        )
        bound.append(
            BoundStep(
                operator=operator,
                encoding=encoding,
                strength=step.strength,
                is_log_working=encoding.signed_log,
                generative=settled.invents(index),
            )
        )
    return tuple(bound)


def _written_beside(planes: PlanesOutput | None, operators: Sequence[Operator]) -> int:
    """Return the bytes a px that the planes beside a frame take while they are written."""
    if planes is not None and planes.layers:
        return LAYERS_BYTES
    return PLANES_BYTES if planes is not None or _repairs(operators) else 0


def _repairs(operators: Sequence[Operator]) -> bool:
    """Whether a step repairs single defects, so that a journal of them is kept."""
    return any(isinstance(operator, TakesDecisions) for operator in operators)


def _decided(decision: SpaceDecision | None) -> str:
    return decision.note if decision is not None else "no step has to know it"


def _warnings(clip: SourceClip, absent: Sequence[int], free: int, disk: int) -> tuple[str, ...]:
    found = []
    if absent:
        found.append(f"frames {FrameRange.from_numbers(absent)} are missing and will fail")
    elif clip.missing and is_stepped(clip.sequence.numbers):
        found.append("the plate is numbered in steps; neighbors are looked for one number away")
    if disk * 1.05 > free:
        found.append(f"the frames need about {disk >> 20} MB and {free >> 20} MB are free")
    decision = clip.facts.decision
    if decision is not None and decision.trust == "inferred":
        found.append(f"color space inferred: {decision.note}")
    return tuple(found)
