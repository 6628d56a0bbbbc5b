"""Which backend runs each network of a job, and what went otherwise than planned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wetgate.operators.base import ChoosesBackend, UsesModels
from wetgate.render.plan import ModelFacts, NetworkUse

if TYPE_CHECKING:
    from wetgate.render.bound import BoundStep


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
