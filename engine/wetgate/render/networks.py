"""Which backend runs each network of a job, and what went otherwise than planned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wetgate.operators.base import ChoosesBackend, UsesModels

if TYPE_CHECKING:
    from wetgate.render.bound import BoundStep
    from wetgate.render.plan import ModelFacts


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


def networks_used(models: Sequence[ModelFacts]) -> tuple[NetworkUse, ...]:
    """Return how this process ran the models of a plan; empty where none was needed."""
    if not models:
        return ()
    from wetgate.backends import loaded_sessions

    digests = {model.digest for model in models}
    found = {
        NetworkUse(
            model=session.card.name,
            backend=session.choice.backend,
            device=session.choice.device,
            precision=session.choice.precision,
            reason=session.choice.reason,
            fell_back=session.choice.fell_back,
            # The first of them tells the choice again, for those who see notes alone.
            notes=tuple(text for text in session.notes if text != str(session.choice)),
        ): None
        for session in loaded_sessions()
        if session.card.digest in digests
    }
    return tuple(found)


def networks_foreseen(steps: Sequence[BoundStep]) -> tuple[NetworkUse, ...]:
    """Return how this process would run the networks of the steps, none loaded for it.

    Raises:
        ModelLoadError: a model is missing or damaged. BackendError: nothing can run one.
    """
    found: dict[NetworkUse, None] = {}
    for step in steps:
        operator = step.operator
        names = operator.models() if isinstance(operator, UsesModels) else ()
        for name in names:
            from wetgate.backends import foresee
            from wetgate.weights import find_model

            package = find_model(name)
            if isinstance(operator, ChoosesBackend):
                choice = foresee(package, backend=operator.backend, precision=operator.precision)
            else:
                choice = foresee(package)
            use = NetworkUse(
                model=package.card.name,
                backend=choice.backend,
                device=choice.device,
                precision=choice.precision,
                reason=choice.reason,
                fell_back=choice.fell_back,
            )
            found[use] = None
    return tuple(found)
