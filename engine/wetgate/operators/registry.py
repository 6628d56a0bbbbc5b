"""The operators by name. Each is imported when first asked for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

from wetgate.model.errors import RecipeError
from wetgate.operators.base import Operator

Factory = Callable[..., Operator]


@dataclass(frozen=True, slots=True)
class _Late:
    """An operator's class, by the module below this package that has it."""

    module: str
    name: str

    def load(self) -> Factory:
        """Import it."""
        made: Factory = getattr(import_module(f"wetgate.operators.{self.module}"), self.name)
        return made


_FACTORIES: Mapping[str, Factory | _Late] = {
    "deartifact": _Late("deartifact.operator", "DeartifactOperator"),
    "deblur": _Late("deblur.operator", "DeblurOperator"),
    "denoise": _Late("denoise.operator", "DenoiseOperator"),
    "model": _Late("imported.operator", "ModelOperator"),
    "dirt": _Late("dirt.operator", "DirtOperator"),
    "denoise-upscale": _Late("denoise_upscale.operator", "DenoiseUpscaleOperator"),
    "scratches": _Late("scratches.operator", "ScratchesOperator"),
    "upscale": _Late("upscale.operator", "UpscaleOperator"),
}

_KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "str": ((str,), "a text"),
    "bool": ((bool,), "true or false"),
}
"""What a parameter may be, by how its operator declares it."""


def operator_names() -> tuple[str, ...]:
    """Return the names of all operators, sorted."""
    return tuple(sorted(_FACTORIES))


def make_operator(name: str, params: Mapping[str, object]) -> Operator:
    """Make an operator from its name and the parameters of a recipe step.

    Raises:
        RecipeError: no such operator, or parameters it does not take, with the nearest it does.
    """
    factory = _FACTORIES.get(name)
    if factory is None:
        raise RecipeError(
            f"no operator {name!r}",
            expected=f"one of {', '.join(operator_names())}",
            remedy=_nearest(name, operator_names()),
        )
    factory = factory.load() if isinstance(factory, _Late) else factory
    _check_params(name, factory, params)
    try:
        return factory(**params)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"operator {name!r}: {error}") from error


def _check_params(name: str, factory: Factory, params: Mapping[str, object]) -> None:
    """Compare parameters with those that an operator declares."""
    declared = inspect.signature(factory).parameters
    known = ", ".join(declared) or "none: it has no parameters"
    for key, value in params.items():
        if key not in declared:
            raise RecipeError(
                f"operator {name!r} has no parameter {key!r}",
                expected=f"one of {known}" if declared else known,
                remedy=_nearest(key, tuple(declared)),
            )
        kinds, told = _KINDS.get(str(declared[key].annotation), ((object,), ""))
        if not isinstance(value, kinds) or (isinstance(value, bool) and told.endswith("number")):
            raise RecipeError(f"operator {name!r}: {key} is {value!r}", expected=told)
    for key, parameter in declared.items():
        if parameter.default is parameter.empty and key not in params:
            raise RecipeError(
                f"operator {name!r} needs the parameter {key!r}", expected=f"some of {known}"
            )


def _nearest(word: str, known: Sequence[str]) -> str | None:
    import difflib

    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else None
