"""Recipes: what they refuse, how they say so, and digests that do not move."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from wetgate.model.errors import RecipeError
from wetgate.operators.registry import make_operator, operator_names
from wetgate.recipe import (
    builtin_recipes,
    builtin_text,
    canonical_json,
    digest_of,
    json_schema,
    load_recipe,
    parse_recipe,
)
from wetgate.render.options import JobOptions
from wetgate.render.planner import prepare

HEAD = 'schema = "wetgate.recipe/1"\n'


def test_every_builtin_recipe_loads_under_its_own_name() -> None:
    assert {"identity", "denoise"} <= set(builtin_recipes())
    for name in builtin_recipes():
        assert load_recipe(name).name == name
        assert load_recipe(name).description
    assert load_recipe("identity").steps == ()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('schema = "wetgate.recipe/7"', ("wetgate.recipe/7", "newer wetgate")),
        ("steps = []", ("no schema",)),
        (HEAD + 'inpt_space = "x"', ("inpt_space", "'input_space'")),
        (HEAD + '[[steps]]\noperator="a"\n[[steps]]\noperator="b"\nstrenth=1.0',
         ("steps[1].strenth", "'strength'")),
        (HEAD + '[[steps]]\noperator="a"\nstrength=1.5', ("steps[0].strength", "1.5")),
        (HEAD + '[[steps]]\nstrength=0.5', ("steps[0].operator",)),
        (HEAD + 'range = "video"', ("range", "video")),
        (HEAD + "x =", ("not TOML",)),
    ],
)  # fmt: skip
def test_a_refused_recipe_names_the_path_inside_the_document(
    text: str, parts: tuple[str, ...]
) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, where="r.toml")
    assert caught.value.exit_code == 2
    for part in ("r.toml", *parts):
        assert part in str(caught.value)


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean 'denoise'"):
        load_recipe("denoize")
    with pytest.raises(RecipeError, match="did you mean 'denoise'"):
        make_operator("denoiser", {})
    with pytest.raises(RecipeError, match=r"gone\.toml: no such file"):
        load_recipe("gone.toml")


@pytest.mark.parametrize("name", [n for n in operator_names() if n != "model"])
def test_a_misspelt_parameter_is_answered_with_the_nearest_and_all_known(name: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make_operator(name, {"presicion": "fp32"})
    said = str(caught.value)
    assert f"operator {name!r} has no parameter 'presicion'" in said
    known = [f.name for f in dataclasses.fields(type(make_operator(name, {})))]  # type: ignore[arg-type]
    assert ("did you mean 'precision'?" in said) == ("precision" in known)
    assert all(field in said for field in known)
    assert "__init__" not in said and "argument" not in said


@pytest.mark.parametrize(
    ("name", "params", "parts"),
    [
        ("denoise", {"radius": "3"}, ("radius is '3'", "a whole number")),
        ("denoise", {"radius": True}, ("radius is True", "a whole number")),
        ("denoise", {"sigma_scale": [1.0]}, ("sigma_scale is [1.0]", "a number")),
        ("denoise", {"net": 5}, ("net is 5", "a text")),
        ("model", {}, ("operator 'model' needs the parameter 'name'",)),
    ],
)
def test_a_parameter_of_the_wrong_kind_is_told_in_words(
    name: str, params: dict[str, object], parts: tuple[str, ...]
) -> None:
    with pytest.raises(RecipeError) as caught:
        make_operator(name, params)
    for part in parts:
        assert part in str(caught.value)


def test_a_whole_number_is_a_number() -> None:
    assert make_operator("denoise", {"sigma_scale": 1}).spec.name == "denoise"


def test_a_wrong_parameter_is_said_of_its_step(tmp_path: Path) -> None:
    recipe = parse_recipe(
        HEAD + '[[steps]]\noperator="denoise"\n[[steps]]\noperator="denoise"\nparams={raduis=2}',
        name="mine",
    )
    options = JobOptions(plate=str(tmp_path), out=str(tmp_path / "out"), recipe=recipe)
    with pytest.raises(RecipeError, match=r"steps\[1\] of 'mine': .*'raduis'.*'radius'"):
        prepare(options)


def test_a_file_is_the_same_recipe_as_its_text(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(builtin_text("denoise"), "utf-8")
    assert load_recipe(tmp_path / "mine.toml") == load_recipe("denoise")
    assert load_recipe(str(tmp_path / "mine.toml")).digest() == load_recipe("denoise").digest()


def test_the_digest_follows_meaning_not_spelling() -> None:
    a = parse_recipe(HEAD + 'name="a"\n[[steps]]\noperator="x"\nparams={p=1.0, q="u"}')
    b = parse_recipe(HEAD + '[[steps]]\nparams={q="u", p=1.0}\nstrength=1.0\noperator="x" # hi')
    assert a.digest() == b.digest()
    others = [
        a.resolved(strength=0.5),
        a.resolved(input_space="ACEScct"),
        a.resolved(output_space="ACEScg"),
        a.resolved(code_range="legal"),
    ]
    digests = {r.digest() for r in others} | {a.digest(), a.digest(lambda _: 3)}
    assert len(digests) == 6


def test_strength_from_the_call_is_checked() -> None:
    with pytest.raises(RecipeError, match=r"strength is 1\.2"):
        load_recipe("denoise").resolved(strength=1.2)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        # The samples of RFC 8785, appendix B and section 3.2.4, as far as doubles go.
        (0.0, "0"), (-0.0, "0"), (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (295147905179352830000.0, "295147905179352830000"), (1e21, "1e+21"), (1e-6, "0.000001"),
        (333333333.33333329, "333333333.3333333"), (1e30, "1e+30"), (4.50, "4.5"), (2e-3, "0.002"),
        (1e-27, "1e-27"), (-1.5e-5, "-0.000015"), (9.5e-7, "9.5e-7"),
        ("\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/", '"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'),
        ({"b": [True, None], "a": 1}, '{"a":1,"b":[true,null]}'),
        ({"\U0001f600": 1, "\ufb33": 2}, '{"\U0001f600":1,"\ufb33":2}'),
    ],
)  # fmt: skip
def test_canonical_json_spells_as_the_standard_does(value: object, text: str) -> None:
    assert canonical_json(value) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"x", {1: 2}, {"a": object()}])
def test_canonical_json_refuses_what_json_does_not_have(value: object) -> None:
    with pytest.raises(ValueError):
        digest_of(value)


def test_the_exported_schema_knows_every_key() -> None:
    schema = json_schema()
    assert schema["additionalProperties"] is False
    assert "input_space" in schema["properties"]  # type: ignore[operator]
    assert schema["required"] == ["schema"]
