"""Turn a request into the command line that does it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from wetgate.io.sequence import find_sequence
from wetgate.model.errors import NotAllowed, UsageError
from wetgate.service.frames import NamedPlate, plate_of_files
from wetgate.service.protocol import JobRequest, ProbeRequest, names_file
from wetgate.service.security import Roots

_TEXT = (
    "input_space",
    "output_space",
    "policy",
    "strength",
    "provenance",
    "code_range",
    "layer",
    "memory",
    "threads",
)
_FLAGS = {"code_range": "--range"}
_SWITCHES = ("resume", "overwrite", "accept_noncommercial")
_FILES = ("matte", "holdout", "defects", "decisions")


def named_plate(request: ProbeRequest, roots: Roots) -> NamedPlate:
    """Return the plate of a request, every link followed where there are roots.

    Raises:
        UsageError: neither plate nor files, or both. NotAllowed: outside the roots.
        SequenceError: the files are not frames of one sequence.
    """
    if (request.plate is None) == (request.files is None):
        raise UsageError("a job names its source once", expected="either plate or files")
    if request.files is not None:
        resolved = [roots.resolve(file, name="files") for file in request.files]
        return plate_of_files(resolved)
    plate = roots.resolve(str(request.plate), name="plate")
    if roots:
        found = find_sequence(plate)
        for number in found.numbers:
            path = found.path(number)
            if os.path.islink(path):
                roots.resolve(str(path), name="plate")
    return NamedPlate(plate, None)


def restore_arguments(request: JobRequest, roots: Roots, recipe_file: Path) -> list[str]:
    """Return the arguments of `wetgate restore` for a request, without `--json`.

    Args:
        recipe_file: where a recipe that came as a document is written.

    Raises:
        UsageError: the request contradicts itself. NotAllowed: a path outside the roots.
    """
    source = named_plate(request, roots)
    if request.out is None:
        raise UsageError("a job needs a place for its frames", expected="out")
    frames = request.frames or source.frames
    arguments = [source.plate, f"--out={resolve_out(request.out, roots)}"]
    arguments.append(f"--recipe={_recipe(request, roots, recipe_file)}")
    if frames is not None:
        arguments.append(f"--frames={frames}")
    if request.config is not None:
        config = request.config
        config = config if config == "env" else roots.resolve(config, name="config")
        arguments.append(f"--config={config}")
    for name in _TEXT:
        value = getattr(request, name)
        if value is not None:
            arguments.append(f"{_FLAGS.get(name, '--' + name.replace('_', '-'))}={value}")
    for name in _FILES:
        value = getattr(request, name)
        if value is not None:
            arguments.append(f"--{name}={roots.resolve(value, name=name)}")
    for name in _SWITCHES:
        if getattr(request, name):
            arguments.append(f"--{name.replace('_', '-')}")
    return arguments


def resolve_out(out: str, roots: Roots) -> str:
    """Return where frames go, every link followed where there are roots.

    Raises:
        NotAllowed: outside the roots.
    """
    path = Path(out)
    if roots and path.is_symlink() and not path.exists():
        raise NotAllowed("the output is a link to nothing", path=path)
    return roots.resolve(out, name="out")


def _recipe(request: JobRequest, roots: Roots, recipe_file: Path) -> str:
    if isinstance(request.recipe, str):
        recipe = request.recipe
        return roots.resolve(recipe, name="recipe") if names_file(recipe) else recipe
    # Validated by the child, which reads it as any other recipe.
    recipe_file.write_text(to_toml(request.recipe), encoding="utf-8")
    return str(recipe_file)


def to_toml(document: Mapping[str, object]) -> str:
    """Write a JSON document as TOML, one key a line.

    Raises:
        UsageError: a null, which TOML does not have.
    """
    return "".join(f"{_quoted(key)} = {_toml(value)}\n" for key, value in document.items())


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_quoted(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if value is None:
        raise UsageError("a recipe cannot hold a null", remedy="leave the key out")
    # A JSON number without a dot in it, such as 1e3, is a float of TOML as well.
    return json.dumps(value)


def _quoted(text: object) -> str:
    try:
        str(text).encode()
    except UnicodeEncodeError:
        raise UsageError(f"a recipe with half a character in {str(text)!r}") from None
    # JSON's escapes are TOML's, but for DEL, which TOML wants escaped.
    return json.dumps(str(text), ensure_ascii=False).replace("\x7f", "\\u007f")
