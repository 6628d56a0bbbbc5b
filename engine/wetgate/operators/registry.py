"""The operators by name. Each is imported when first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from wetgate.model.errors import RecipeError
from wetgate.operators.base import Operator

Factory = Callable[..., Operator]


def _deartifact(**params: object) -> Operator:
    from wetgate.operators.deartifact.operator import DeartifactOperator

    factory: Factory = DeartifactOperator
    return factory(**params)


def _deblur(**params: object) -> Operator:
    from wetgate.operators.deblur.operator import DeblurOperator

    factory: Factory = DeblurOperator
    return factory(**params)


def _denoise(**params: object) -> Operator:
    from wetgate.operators.denoise.operator import DenoiseOperator

    factory: Factory = DenoiseOperator
    return factory(**params)


def _denoise_upscale(**params: object) -> Operator:
    from wetgate.operators.denoise_upscale.operator import DenoiseUpscaleOperator

    factory: Factory = DenoiseUpscaleOperator
    return factory(**params)


def _upscale(**params: object) -> Operator:
    from wetgate.operators.upscale.operator import UpscaleOperator

    factory: Factory = UpscaleOperator
    return factory(**params)


def _model(**params: object) -> Operator:
    from wetgate.operators.imported.operator import ModelOperator

    factory: Factory = ModelOperator
    return factory(**params)


_FACTORIES: Mapping[str, Factory] = {
    "deartifact": _deartifact,
    "deblur": _deblur,
    "denoise": _denoise,
    "model": _model,
    "denoise-upscale": _denoise_upscale,
    "upscale": _upscale,
}


def operator_names() -> tuple[str, ...]:
    """Return the names of all operators, sorted."""
    return tuple(sorted(_FACTORIES))


def make_operator(name: str, params: Mapping[str, object]) -> Operator:
    """Make an operator from its name and the parameters of a recipe step.

    Raises:
        RecipeError: no such operator, or parameters it does not take.
    """
    factory = _FACTORIES.get(name)
    if factory is None:
        import difflib

        close = difflib.get_close_matches(name, operator_names(), n=1, cutoff=0.5)
        raise RecipeError(
            f"no operator {name!r}",
            expected=f"one of {', '.join(operator_names())}",
            remedy=f"did you mean {close[0]!r}?" if close else None,
        )
    try:
        return factory(**params)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"operator {name!r}: {error}") from error
