"""`wetgate recipes list | show`."""

from __future__ import annotations

from typing import Annotated

import typer

from wetgate.cli.options import JsonFlag
from wetgate.cli.output import Output

app = typer.Typer(help="Show the recipes that come with wetgate.", no_args_is_help=True)


@app.command("list")
def list_recipes(json: JsonFlag = False) -> None:
    """List the built-in recipes."""
    from wetgate.recipe import builtin_recipes, load_recipe

    output = Output(json=json)
    names = builtin_recipes()
    width = max(map(len, names))
    for name in names:
        recipe = load_recipe(name)
        output.line(f"{name.ljust(width)}  {recipe.description}")
        output.event(
            "recipe",
            name=name,
            description=recipe.description,
            steps=[step.operator for step in recipe.steps],
        )


@app.command("show")
def show_recipe(
    recipe: Annotated[str, typer.Argument(help="A built-in name or a .toml file.")],
    json: JsonFlag = False,
) -> None:
    """Print a recipe as it is resolved, with its digest."""
    from wetgate.recipe import builtin_recipes, load_recipe
    from wetgate.recipe.load import builtin_text

    output = Output(json=json)
    loaded = load_recipe(recipe)
    output.event("recipe", name=loaded.name, digest=loaded.digest(), document=loaded.document())
    if output.json:
        return
    if recipe in builtin_recipes():
        text = builtin_text(recipe)
    else:
        with open(recipe, encoding="utf-8") as file:
            text = file.read()
    output.line(text.rstrip())
    output.line(f"# digest: {loaded.digest()}")
