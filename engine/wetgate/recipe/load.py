"""Load recipes: built in by name, or from a TOML file."""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path

from wetgate.model.errors import RecipeError
from wetgate.recipe.schema import Recipe, nearest, recipe_from_document

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def builtin_recipes() -> tuple[str, ...]:
    """Return the names of the recipes that come with wetgate, sorted."""
    folder = resources.files("wetgate.recipe") / "builtin"
    return tuple(sorted(p.name[:-5] for p in folder.iterdir() if p.name.endswith(".toml")))


def builtin_text(name: str) -> str:
    """Return the TOML text of a built-in recipe.

    Raises:
        RecipeError: when there is none of that name.
    """
    known = builtin_recipes()
    if name not in known:
        best = nearest(name, known)
        raise RecipeError(
            f"no recipe {name!r}",
            expected=f"one of {', '.join(known)}, or a .toml file",
            remedy=f"did you mean {best!r}?" if best else None,
        )
    return (resources.files("wetgate.recipe") / "builtin" / f"{name}.toml").read_text("utf-8")


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Load a built-in recipe by name or a recipe file by path.

    Anything with a `.toml` suffix or a folder in it is a path, all else a name.

    Raises:
        RecipeError: no such recipe, not TOML, an unknown schema or key, a wrong value.
    """
    text = str(name_or_path)
    path = Path(name_or_path)
    if isinstance(name_or_path, str) and path.suffix != ".toml" and path.name == text:
        return parse_recipe(builtin_text(text), name=text, where=text)
    try:
        content = path.read_text("utf-8")
    except FileNotFoundError:
        raise RecipeError("no such file", path=path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot be read: {error}", path=path) from None
    return parse_recipe(content, name=path.stem, where=str(path))


def parse_recipe(text: str, *, name: str = "unnamed", where: str = "recipe") -> Recipe:
    """Parse the TOML text of a recipe.

    Raises:
        RecipeError: as `load_recipe`.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"not TOML: {error}", path=where) from None
    return recipe_from_document(document, name=name, where=where)
