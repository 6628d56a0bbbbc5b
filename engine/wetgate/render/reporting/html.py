"""Render offline pages: one file of HTML with its own style sheet and its own script.

Every text passes through the template's escaping; the content policy of the page admits the one
style sheet and the one script that it was written with.
"""

from __future__ import annotations

from importlib import resources

from wetgate.render.reporting.csp import policy_hash

_FOLDER = "templates"


def render_page(name: str, data: object) -> str:
    """Return the page of `name`.html.j2, `name`.css and `name`.js in `templates` as HTML text.

    The style sheet that all pages share stands before their own.
    """
    from markupsafe import Markup

    folder = resources.files(__package__) / _FOLDER
    # Our own files; Markup says so to the escaping.
    style = base_style() + (folder / f"{name}.css").read_text("utf-8")
    script = (folder / f"{name}.js").read_text("utf-8")
    return fill_template(
        (folder / f"{name}.html.j2").read_text("utf-8"),
        data=data,
        style=Markup(style),
        script=Markup(script),
        style_hash=policy_hash(style),
        script_hash=policy_hash(script),
    )


def base_style() -> str:
    """Return the style sheet that all pages begin with: colors, type, groups, focus."""
    return (resources.files(__package__) / _FOLDER / "base.css").read_text("utf-8")


def fill_template(text: str, **values: object) -> str:
    """Return a template with values in it, all escaped that are not `Markup`."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(text).render(**values)
