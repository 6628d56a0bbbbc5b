"""What the README and the scripts tell people to type exists, and files they name are there."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main
from wetgate.cli.app import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
TRY = (ROOT / "install" / "try.sh").read_text("utf-8")


def commands() -> list[str]:
    quoted = re.findall(r"`(wetgate [^`]+)`", README)
    blocks = re.findall(r"^ {4}(?:\$ )?(wetgate .+)$", README, re.M)
    joined = re.sub(r"\\\n\s*", " ", TRY)
    scripted = re.findall(r"\.venv/bin/(wetgate .+)$", joined, re.M)
    found = [line.split("  #")[0] for line in (*quoted, *blocks, *scripted)]
    assert len(found) >= 11
    return found


def resolve(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the words name, and the words left over."""
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "commands"):
        assert words[0] in command.commands, f"no verb {words[0]!r}"
        command = command.commands[words[0]]
        words = words[1:]
    return command, words


@pytest.mark.parametrize("line", commands())
def test_every_command_of_the_documents_exists(line: str) -> None:
    command, rest = resolve(shlex.split(line)[1:])
    known = {name for param in command.params for name in param.opts}
    for word in rest:
        if word.startswith("-"):
            assert word in known, f"{line}: no option {word}"


def test_the_options_named_in_the_readme_are_those_of_restore() -> None:
    command, _ = resolve(["restore"])
    known = {name for param in command.params for name in param.opts if name.startswith("--")}
    prose = README.split("Further options of `restore`:")[1].split("\n\n")[0]
    named = set(re.findall(r"`(--[a-z-]+)", prose)) | {"--input-space", "--out"}
    assert named <= known
    assert known <= named | {"--help"}, "the README leaves options out"


def test_the_python_example_uses_what_there_is() -> None:
    import inspect

    import wetgate

    block = re.search(r"```python\n(.+?)```", README, re.S)
    assert block is not None
    code = block[1]
    compile(code, "README.md", "exec")
    for name, arguments in re.findall(r"wetgate\.(\w+)\((.+?)\)\n", code):
        parameters = inspect.signature(getattr(wetgate, name)).parameters
        assert set(re.findall(r"(\w+)=", arguments)) <= set(parameters)


def test_files_named_in_the_readme_exist() -> None:
    for name in re.findall(r"`((?:install|ocio|engine|native|tests|plugins)/?[\w./-]*)`", README):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"sh (install/\S+)", README):
        assert (ROOT / name).is_file(), name


@pytest.mark.parametrize("script", ["install/try.sh", "install/test.sh", "install/common.sh"])
def test_the_scripts_are_posix_shell(script: str) -> None:
    done = subprocess.run(["sh", "-n", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not re.search(r"\[\[|\bfunction\b|\blocal\b|<<<", (ROOT / script).read_text("utf-8"))


def test_constraints_cover_the_dependencies() -> None:
    lines = (ROOT / "install" / "constraints.txt").read_text("utf-8").splitlines()
    pinned = {re.split(r"==", line)[0].lower() for line in lines if "==" in line}
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    listed = re.search(r"^dependencies = \[(.+?)^\]", project, re.S | re.M)
    assert listed is not None
    for name in re.findall(r'"([A-Za-z0-9_-]+)', listed[1]):
        assert name.lower() in pinned, f"{name} is not pinned"
    assert all(
        re.match(r"[\w-]+==[\w.]+(; python_version [<>]=? \"3\.\d+\")?$", line)
        for line in lines
        if line and not line.startswith("#")
    )
