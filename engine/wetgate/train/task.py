"""What a training task is, and the recipe that sets it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from wetgate.model.errors import RecipeError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from wetgate.train.nets import Net
    from wetgate.train.pictures import Pictures
    from wetgate.weights import DataRecord

Planes = NDArray[np.float32]
"""float32 `(n, planes, height, width)`."""

Predict = Callable[[Planes], Planes]
"""Runs the network in float32 and returns its correction."""

RECIPE_SCHEMA = "wetgate.train/1"


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's material.

    Attributes:
        x: what the network sees. base: the classical result it corrects. target: the truth.
        weight: `(n, 1, 1, 1)` factor on the loss of each picture, or None for 1.
        limit: bound on what the network returns either way, one or `(n, c, h, w)`, or None.
        unit: `(n, c, h, w)` or `(n, 1, 1, 1)` what its output is multiplied with, or None for 1.
        binary: whether base and correction are logits and the target is 0 or 1; the loss is then
            the cross entropy.
    """

    x: Planes
    base: Planes
    target: Planes
    weight: Planes | None = None
    limit: float | Planes | None = None
    unit: Planes | None = None
    binary: bool = False

    def change(self, output: Planes) -> Planes:
        """Return the correction that an output of the network stands for."""
        if self.limit is not None:
            output = np.clip(output, -self.limit, self.limit)
        return output if self.unit is None else output * self.unit


class Task(Protocol):
    """How clean pictures become inputs and targets of one network."""

    def make_net(self) -> Net:
        """Return the network, initialised from torch's global generator."""
        ...

    def prepare(self, folder: Path, pictures: Pictures, seed: int) -> None:
        """Make or open in `folder` what is too dear to make for every batch; may do nothing."""
        ...

    def batch(self, rng: np.random.Generator, count: int) -> Batch:
        """Return `count` examples, decided by `rng` alone."""
        ...

    def validate(self, predict: Predict) -> dict[str, float]:
        """Return figures on held-out material, the classical twin's under `twin ...`."""
        ...

    def card(self) -> Mapping[str, object]:
        """Return the facts of the model card that the task decides.

        task, inputs, outputs, color_encoding, temporal_radius, generative, description.
        """
        ...


@runtime_checkable
class UsesOtherData(Protocol):
    """A task that learns from more than the photographs and what is generated."""

    def data(self) -> tuple[DataRecord, ...]:
        """Return what else was used, for the model card."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecipe:
    """A committed training recipe.

    Attributes:
        name: of the model. task: module under `wetgate.train.tasks`, which has a class `Task`.
        params: arguments of that class.
        steps, batch, rate: optimizer steps, examples a step, peak learning rate.
        start: model package whose weights the network starts from where shapes agree, or "".
    """

    name: str
    version: int
    task: str
    seed: int
    steps: int
    batch: int
    rate: float
    start: str = ""
    params: Mapping[str, object] = field(default_factory=dict)

    def make_task(self) -> Task:
        """Return the task with the recipe's parameters."""
        module = import_module(f"wetgate.train.tasks.{self.task}")
        return cast(Task, module.Task(**self.params))


def load_recipe(name_or_path: str) -> TrainingRecipe:
    """Read a training recipe by the name of its model or by path.

    Raises:
        RecipeError: no such recipe, or keys it should not have.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = Path(__file__).parent / "recipes" / f"{name_or_path}.toml"
    if not path.is_file():
        known = sorted(p.stem for p in (Path(__file__).parent / "recipes").glob("*.toml"))
        raise RecipeError(
            f"no training recipe {name_or_path!r}", expected=f"one of {', '.join(known)}, or a file"
        )
    with path.open("rb") as file:
        document = tomllib.load(file)
    if document.pop("schema", None) != RECIPE_SCHEMA:
        raise RecipeError("no or unknown schema", path=path, expected=f'"{RECIPE_SCHEMA}"')
    try:
        return TrainingRecipe(**document)
    except TypeError as error:
        raise RecipeError(str(error), path=path) from error
