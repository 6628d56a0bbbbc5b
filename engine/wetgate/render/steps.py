"""Settle which operator each step runs: what the policy lets in, with which trained models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wetgate.model.errors import ModelLoadError, RecipeError
from wetgate.operators.base import Operator, Provenance, UsesModels
from wetgate.recipe import Recipe
from wetgate.render.options import HIGHEST_CLASS, JobOptions
from wetgate.render.plan import Fallback, ModelFacts
from wetgate.render.resting import at_rest


@dataclass(frozen=True, slots=True)
class Settled:
    """The operators that will run, and what is to be known about them.

    Attributes:
        models: of each step. fallbacks: steps that run without the network they asked for, or
            not at all.
    """

    operators: tuple[Operator, ...]
    models: tuple[tuple[ModelFacts, ...], ...]
    fallbacks: tuple[Fallback, ...]

    @property
    def digest_facts(self) -> tuple[dict[str, object], ...]:
        """What of each step decides pixels and does not stand in the recipe."""
        without = {fallback.step for fallback in self.fallbacks}
        facts: list[dict[str, object]] = []
        for index, models in enumerate(self.models):
            entry: dict[str, object] = {}
            if models:
                entry["models"] = {model.name: model.digest for model in models}
            if index in without:
                entry["network"] = "off"
            facts.append(entry)
        return tuple(facts)

    def invents(self, index: int) -> bool:
        """Whether a step makes up detail, by its own word or by that of its models."""
        own = self.operators[index].spec.generative
        return own or any(model.generative for model in self.models[index])


def settle_steps(recipe: Recipe, operators: Sequence[Operator], options: JobOptions) -> Settled:
    """Choose the operator of each step under the policy, and prove the models it runs.

    A step whose pixels the policy does not let in takes its classical path where it has one; one
    of strength 0 runs nothing that its result does not need.

    Raises:
        RecipeError: a step makes what the policy does not let in and has no classical path.
        ModelLoadError: a model is missing or damaged, or its licence is refused.
    """
    chosen: list[Operator] = []
    models: list[tuple[ModelFacts, ...]] = []
    fallbacks: list[Fallback] = []
    for index, (step, asked) in enumerate(zip(recipe.steps, operators, strict=True)):
        operator = asked
        if step.strength == 0:
            operator, resting = at_rest(asked)
            fallbacks.append(Fallback(index, operator.spec.name, resting))
        facts: tuple[ModelFacts, ...] = ()
        missing: ModelLoadError | None = None
        try:
            reason = _against(operator, options.policy, invents=operator.spec.generative)
            if reason is None:
                facts = _models_of(index, operator)
                invents = any(model.generative for model in facts)
                reason = _against(operator, options.policy, invents=invents)
        except ModelLoadError as error:
            # An operator may need its model to say what it is. A policy that keeps networks out
            # of the picture does not need it either.
            if HIGHEST_CLASS[options.policy] >= Provenance.INFERRED:
                raise
            reason, missing = "runs a network, whose pixels the policy keeps out", error
        if reason is not None:
            classical = _classical(operator, options.policy)
            if classical is None:
                raise missing or _refused(recipe, index, asked, reason, options.policy)
            operator, facts = classical, _models_of(index, classical)
            told = f"{reason}; runs without a network"
            fallbacks.append(Fallback(index, classical.spec.name, told))
        _check_licences(facts, allow_noncommercial=options.allow_noncommercial)
        chosen.append(operator)
        models.append(facts)
    return Settled(tuple(chosen), tuple(models), tuple(fallbacks))


def _against(operator: Operator, policy: str, *, invents: bool) -> str | None:
    """Say what of an operator a policy does not let in; None when it fits."""
    spec, highest = operator.spec, HIGHEST_CLASS[policy]
    if spec.provenance > highest:
        invented = ", and invents detail" if invents else ""
        return f"makes pixels of class {_named(spec.provenance)}{invented}"
    if invents and policy != "creative":
        return f"makes pixels of class {_named(spec.provenance)}, and invents detail"
    return None


def _named(provenance: int) -> str:
    return f"{int(provenance)} ({Provenance(provenance).name.lower()})"


def _classical(operator: Operator, policy: str) -> Operator | None:
    if not isinstance(operator, UsesModels):
        return None
    other = operator.without_network()
    if other is None or _against(other, policy, invents=other.spec.generative) is not None:
        return None
    return other


def _refused(
    recipe: Recipe, index: int, operator: Operator, reason: str, policy: str
) -> RecipeError:
    return RecipeError(
        f"steps[{index}] of {recipe.name!r}: operator {operator.spec.name!r} {reason}",
        expected=f"class {int(HIGHEST_CLASS[policy])} or lower under the policy {policy!r}",
        remedy="take the step out, or choose another policy",
    )


def _models_of(index: int, operator: Operator) -> tuple[ModelFacts, ...]:
    """Find and prove the models of a step; raises `ModelLoadError`."""
    names = operator.models() if isinstance(operator, UsesModels) else ()
    if not names:
        return ()
    from wetgate.weights import find_model

    found = []
    for name in dict.fromkeys(names):
        card = find_model(name).card
        found.append(
            ModelFacts(
                step=index,
                name=card.name,
                version=card.version,
                task=card.task,
                architecture=card.architecture,
                parameters=card.parameters,
                licence=card.licence,
                commercial=card.commercial,
                generative=card.generative,
                origin=card.origin,
                digest=card.digest,
                files=tuple(sorted(card.files.items())),
            )
        )
    return tuple(found)


def _check_licences(models: Sequence[ModelFacts], *, allow_noncommercial: bool) -> None:
    for model in models:
        if not model.commercial and not allow_noncommercial:
            raise ModelLoadError(
                f"steps[{model.step}]: the licence of model {model.name!r}, {model.licence}, does "
                "not allow commercial use",
                expected="a model that may be used for any work",
                remedy="pass --accept-noncommercial if your work is not commercial, or choose "
                "another model",
            )
