"""What a job will do and need, as values."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

_WEIGHTS = (".onnx", ".safetensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkUse:
    """One network as it was run in this process.

    Attributes:
        backend, device, precision: what ran it. reason: why, in words.
        fell_back: whether something else was asked for.
        notes: what happened on the way, such as a tile halved when memory ran out.
    """

    model: str
    backend: str
    device: str
    precision: str
    reason: str
    fell_back: bool = False
    notes: tuple[str, ...] = ()

    @property
    def choice(self) -> str:
        """What runs it and why, in words."""
        return f"{self.backend} {self.precision} on {self.device}: {self.reason}"

    def __str__(self) -> str:
        return "; ".join((f"{self.model}: {self.choice}", *self.notes))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """A trained model that a step runs, by its card.

    Attributes:
        step: index of the step. digest: SHA-256 of the whole card, and through it of the weights.
        files: name and SHA-256 of every file. commercial: whether any work may use it.
    """

    step: int
    name: str
    version: int
    task: str
    architecture: str
    parameters: int
    licence: str
    commercial: bool
    generative: bool
    origin: str
    digest: str
    files: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        weights = next((sha for name, sha in self.files if name.endswith(_WEIGHTS)), self.digest)
        invents = ", invents detail" if self.generative else ""
        use = "" if self.commercial else ", not for commercial use"
        return (
            f"{self.name} (version {self.version}, {self.licence}{use}{invents}, "
            f"{self.parameters} parameters, sha256 {weights[:16]})"
        )


@dataclass(frozen=True, slots=True)
class Fallback:
    """A step that does not run as it was asked to.

    Attributes:
        step: index of the step. reason: what stood against it and what runs instead.
    """

    step: int
    operator: str
    reason: str

    def __str__(self) -> str:
        return f"step {self.step + 1}, {self.operator}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a job will do and need. Making one touches nothing.

    Attributes:
        width, height: of the source, px. out_width, out_height: of what is written.
        frames: numbers to be rendered. missing: numbers asked for, or in a gap, without a file.
        operators: names and versions in order.
        disk_bytes: of the output, uncompressed estimate. scratch_bytes: of temporary planes.
        free_bytes: on the target volume now.
        peak_memory: bytes. tile: width and height. workers: tile threads.
        seconds: estimate of the whole job, None where it cannot be known before running.
        seconds_from: where the estimate comes from.
        input_space, output_space: OCIO names; space_decision says how the first was found.
        models: trained models that will run. fallbacks: steps that run otherwise than asked.
        networks: what runs each of the models, and why; told by `plan_job` alone.
        planes: where class, origin and fix of every pixel are written: sidecar, layers or none.
        losses: metadata that the output cannot carry.
    """

    source: str
    target: str
    frames: tuple[int, ...]
    missing: tuple[int, ...]
    width: int
    height: int
    out_width: int
    out_height: int
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
    models: tuple[ModelFacts, ...] = ()
    fallbacks: tuple[Fallback, ...] = ()
    networks: tuple[NetworkUse, ...] = ()
    planes: str = "none"
    losses: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def size_text(self) -> str:
        """The size of the frames in words, before and after."""
        text = f"{self.width} x {self.height}"
        if (self.out_width, self.out_height) != (self.width, self.height):
            text += f" -> {self.out_width} x {self.out_height}"
        return text
