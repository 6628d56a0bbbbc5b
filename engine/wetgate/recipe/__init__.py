"""Recipes: what to do to a plate, written for people and digested for machines."""

from wetgate.recipe.digest import canonical_json, digest_of
from wetgate.recipe.load import builtin_recipes, builtin_text, load_recipe, parse_recipe
from wetgate.recipe.schema import RECIPE_SCHEMA, Recipe, Step, json_schema

__all__ = [
    "RECIPE_SCHEMA",
    "Recipe",
    "Step",
    "builtin_recipes",
    "builtin_text",
    "canonical_json",
    "digest_of",
    "json_schema",
    "load_recipe",
    "parse_recipe",
]
