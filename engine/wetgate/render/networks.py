"""Which backend ran each network of a job, and what went otherwise than planned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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

    def __str__(self) -> str:
        told = f"{self.backend} {self.precision} on {self.device}: {self.reason}"
        return "; ".join((f"{self.model}: {told}", *self.notes))


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
            notes=session.notes,
        ): None
        for session in loaded_sessions()
        if session.card.digest in digests
    }
    return tuple(found)
