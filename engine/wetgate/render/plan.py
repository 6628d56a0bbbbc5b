"""What a job will do and need, as values."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a job will do and need. Making one touches nothing.

    Attributes:
        frames: numbers to be rendered. missing: numbers asked for, or in a gap, without a file.
        operators: names and versions in order.
        disk_bytes: of the output, uncompressed estimate. scratch_bytes: of temporary planes.
        free_bytes: on the target volume now.
        peak_memory: bytes. tile: width and height. workers: tile threads.
        seconds: estimate of the whole job, None where it cannot be known before running.
        seconds_from: where the estimate comes from.
        input_space, output_space: OCIO names; space_decision says how the first was found.
        models: trained models used. losses: metadata that the output cannot carry.
    """

    source: str
    target: str
    frames: tuple[int, ...]
    missing: tuple[int, ...]
    width: int
    height: int
    channels: tuple[str, ...]
    sample_type: str
    frame_rate: Fraction | None
    recipe: str
    recipe_digest: str
    operators: tuple[tuple[str, int], ...]
    provenance: int
    policy: str
    temporal_radius: int
    needs_analysis: bool
    input_space: str
    output_space: str
    space_decision: str
    config: str
    disk_bytes: int
    scratch_bytes: int
    free_bytes: int
    peak_memory: int
    memory_budget: int
    tile: tuple[int, int]
    workers: int
    seconds: float | None
    seconds_from: str
    models: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
