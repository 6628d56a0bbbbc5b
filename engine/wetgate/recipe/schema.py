"""The recipe and its document schema `wetgate.recipe/1`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from wetgate.model.errors import RecipeError
from wetgate.recipe.digest import digest_of

RECIPE_SCHEMA = "wetgate.recipe/1"
CodeRange = Literal["full", "legal"]

_STEP_KEYS = ("operator", "strength", "params")
_RECIPE_KEYS = (
    *("schema", "name", "description", "config"),
    *("input_space", "output_space", "range", "steps"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One operator with its settings.

    Attributes:
        operator: registered name.
        strength: 0 (nothing) to 1 (all of what the operator did), multiplied with the matte.
        params: the operator's own parameters; read-only.
    """

    operator: str
    strength: float = 1.0
    params: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """An ordered list of steps with the color decisions they need.

    Attributes:
        name: what people call it; not part of the digest.
        config: OCIO config name; empty for the pinned one.
        input_space: OCIO name, or `auto` to decide it from the files.
        output_space: OCIO name, or `same-as-input`.
        code_range: `full` or `legal` integer codes; None lets the format decide.
    """

    name: str
    steps: tuple[Step, ...] = ()
    description: str = ""
    config: str = ""
    input_space: str = "auto"
    output_space: str = "same-as-input"
    code_range: CodeRange | None = None

    def resolved(
        self,
        *,
        input_space: str | None = None,
        output_space: str | None = None,
        config: str | None = None,
        code_range: CodeRange | None = None,
        strength: float | None = None,
    ) -> Recipe:
        """Return the recipe with what the call decides put in; None leaves a value alone.

        `strength` replaces the strength of every step.
        """
        steps = self.steps
        if strength is not None:
            if not 0.0 <= strength <= 1.0:
                raise RecipeError(f"strength is {strength}", expected="0 to 1")
            steps = tuple(replace(step, strength=float(strength)) for step in steps)
        return replace(
            self,
            steps=steps,
            input_space=input_space or self.input_space,
            output_space=output_space or self.output_space,
            config=config or self.config,
            code_range=code_range or self.code_range,
        )

    def document(
        self,
        version_of: Callable[[str], int] | None = None,
        facts: Sequence[Mapping[str, object]] = (),
    ) -> dict[str, object]:
        """Return the recipe as JSON values, without its name and description.

        Args:
            version_of: gives the version of an operator, which then stands beside each step.
            facts: what else decides the pixels of each step, e.g. digests of its models; empty
                ones leave no trace.
        """
        steps: list[dict[str, object]] = []
        for index, step in enumerate(self.steps):
            entry: dict[str, object] = {
                "operator": step.operator,
                "strength": step.strength,
                "params": dict(step.params),
            }
            if version_of is not None:
                entry["version"] = version_of(step.operator)
            if index < len(facts):
                entry |= facts[index]
            steps.append(entry)
        return {
            "schema": RECIPE_SCHEMA,
            "config": self.config,
            "input_space": self.input_space,
            "output_space": self.output_space,
            "range": self.code_range,
            "steps": steps,
        }

    def digest(
        self,
        version_of: Callable[[str], int] | None = None,
        facts: Sequence[Mapping[str, object]] = (),
    ) -> str:
        """Return the digest of the canonical JSON of `document`."""
        return digest_of(self.document(version_of, facts))


def recipe_from_document(document: Mapping[str, object], *, name: str, where: str) -> Recipe:
    """Check a parsed document and make the recipe of it.

    Args:
        name: the name used when the document gives none.
        where: the file, for errors.

    Raises:
        RecipeError: naming the path inside the document, with the nearest known key.
    """
    schema = document.get("schema")
    if schema != RECIPE_SCHEMA:
        found = "no schema" if schema is None else f"schema {schema!r}"
        raise RecipeError(
            found,
            path=where,
            expected=f'schema = "{RECIPE_SCHEMA}" as the first line',
            remedy="a newer recipe needs a newer wetgate" if schema else None,
        )
    # pydantic stays at the border: loaded on use, so that importing recipes costs nothing.
    from pydantic import ValidationError

    from wetgate.recipe._document import RecipeDocument

    try:
        parsed = RecipeDocument.model_validate(dict(document))
    except ValidationError as error:
        raise _recipe_error(error.errors(), where) from None
    steps = tuple(
        Step(
            operator=step.operator,
            strength=step.strength,
            params=MappingProxyType(dict(step.params)),
        )
        for step in parsed.steps
    )
    return Recipe(
        name=parsed.name or name,
        steps=steps,
        description=parsed.description,
        config=parsed.config,
        input_space=parsed.input_space,
        output_space=parsed.output_space,
        code_range=parsed.range,
    )


def json_schema() -> dict[str, object]:
    """Return the JSON Schema of recipe documents, for editors."""
    from wetgate.recipe._document import RecipeDocument

    return RecipeDocument.model_json_schema(by_alias=True)


def nearest(word: str, known: Sequence[str]) -> str | None:
    """Return the known word most like `word`, or None when none is alike."""
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return found[0] if found else None


def _recipe_error(errors: Sequence[Any], where: str) -> RecipeError:
    first = errors[0]
    location = first["loc"]
    place = ""
    for part in location:
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else str(part)
    if first["type"] == "extra_forbidden":
        key = str(location[-1])
        fields = _STEP_KEYS if len(location) > 1 else _RECIPE_KEYS
        best = nearest(key, fields)
        return RecipeError(
            f"unknown key {place}",
            path=where,
            expected=f"one of {', '.join(fields)}",
            remedy=f"did you mean {best!r}?" if best else None,
        )
    return RecipeError(f"{place}: {first['msg']}, got {first.get('input')!r}", path=where)
