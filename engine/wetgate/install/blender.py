"""Find Blenders and their user folders; put the add-on there, and take it away again.

Blender keeps add-ons by version, for the user: `scripts/addons/` up to 4.1, and from 4.2 on
`extensions/user_default/`, which is the local repository that Blender sets up by itself. Source:
Blender manual, "Blender's Directory Layout" and "Extensions"; tried in 3.4.1, 4.2.0, 4.5.15, 5.0.1.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from wetgate.model.errors import UsageError

_EXTENSIONS_SINCE = (4, 2)
_OLDEST = (3, 4)
_ANSWER_SECONDS = 120.0
_FOLDER_NAME = re.compile(r"(\d+)\.(\d+)$")

Version = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the add-on goes for one version of Blender.

    Attributes:
        version: major and minor. program: a Blender of that version; None when only the folders
            of one were found.
        folder: of the add-on; need not exist. module: by which Blender knows it.
        user: the user's folder of that version.
    """

    version: Version
    program: Path | None
    user: Path
    folder: Path
    module: str

    @property
    def name(self) -> str:
        """Return the version as text."""
        return "{}.{}".format(*self.version)


def find_places(
    *,
    version: str | None = None,
    programs: Iterable[Path] | None = None,
    environment: Mapping[str, str] | None = None,
) -> list[Place]:
    """Return where the add-on goes, for every Blender of this user, the oldest first.

    Args:
        version: one version only, such as `4.2`; it need not have been started yet.
        programs: Blenders to ask; those in the usual places if None.
        environment: of this process if None.

    Raises:
        UsageError: for a version that is none, or too old; when no Blender is found; for one of
            the `programs` that is none.
    """
    environment = os.environ if environment is None else environment
    wanted = _parse(version) if version is not None else None
    found: dict[Version, Path | None] = dict.fromkeys(_used_versions(environment))
    for program in usual_programs(environment) if programs is None else programs:
        answered = version_of(program)
        if answered is None and programs is not None:
            raise UsageError("does not answer as a Blender", path=program, expected="a Blender")
        if answered is not None and found.get(answered) is None:
            found[answered] = program
    if wanted is not None:
        found = {wanted: found.get(wanted)}
    places = [
        place_of(v, program, environment) for v, program in sorted(found.items()) if v >= _OLDEST
    ]
    if not places:
        old = ", ".join("{}.{}".format(*v) for v in sorted(found))
        raise UsageError(
            f"only Blender {old} is here" if old else "no Blender is found",
            expected="Blender 3.4 or newer",
            remedy="start Blender once, name its --program, or a --version such as 4.2",
        )
    return places


def place_of(version: Version, program: Path | None, environment: Mapping[str, str]) -> Place:
    """Return where the add-on goes for one version."""
    user = _user_folder(version, environment)
    if version >= _EXTENSIONS_SINCE:
        root = environment.get("BLENDER_USER_EXTENSIONS")
        base = Path(root) if root else user / "extensions"
        return Place(
            version=version,
            program=program,
            user=user,
            folder=base / "user_default" / "wetgate_vse",
            module="bl_ext.user_default.wetgate_vse",
        )
    root = environment.get("BLENDER_USER_SCRIPTS")
    base = Path(root) if root else user / "scripts"
    return Place(
        version=version,
        program=program,
        user=user,
        folder=base / "addons" / "wetgate_vse",
        module="wetgate_vse",
    )


def usual_programs(environment: Mapping[str, str]) -> Iterator[Path]:
    """Yield the Blenders in the places where they are usually installed."""
    on_path = shutil.which("blender", path=environment.get("PATH"))
    if on_path:
        yield Path(on_path)
    patterns: tuple[tuple[Path, str], ...]
    if sys.platform == "darwin":
        inside = "Blender*.app/Contents/MacOS/Blender"
        patterns = ((Path("/Applications"), inside), (Path.home() / "Applications", inside))
    elif os.name == "nt":
        base = Path(environment.get("PROGRAMFILES", "C:/Program Files"))
        patterns = ((base / "Blender Foundation", "Blender*/blender.exe"),)
    else:
        patterns = (
            (Path("/opt"), "blender*/blender"),
            (Path("/snap/bin"), "blender"),
            (Path.home(), "blender*/blender"),
            (Path.home() / ".local" / "share", "blender*/blender"),
        )
    for folder, pattern in patterns:
        yield from sorted(p for p in folder.glob(pattern) if p.is_file())


def version_of(program: Path) -> Version | None:
    """Ask a Blender for its version; None when it does not answer."""
    try:
        said = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ANSWER_SECONDS,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"^Blender (\d+)\.(\d+)", said, re.MULTILINE)
    return (int(match[1]), int(match[2])) if match else None


def enable(place: Place, on: bool = True) -> str | None:
    """Let Blender itself switch the add-on on or off in the user's preferences.

    Returns:
        What went wrong, in words; None when it is done.
    """
    if place.program is None:
        return "no program of that version is found"
    verb = "addon_enable" if on else "addon_disable"
    code = (
        "import bpy, sys\n"
        f"bpy.ops.preferences.{verb}(module={place.module!r})\n"
        f"have = {place.module!r} in bpy.context.preferences.addons\n"
        "bpy.ops.wm.save_userpref()\n"
        f"print('wetgate: ' + ('yes' if have == {on} else 'no'))\n"
    )
    try:
        said = subprocess.run(
            [place.program, "--background", "-noaudio", "--python-expr", code],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ANSWER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{place.program} cannot be run: {error}"
    if "wetgate: yes" in said.stdout:
        return None
    lines = [line.strip() for line in (said.stdout + said.stderr).splitlines() if line.strip()]
    telling = [line for line in lines if "Error" in line] or lines or ["it said nothing"]
    return f"{place.program} did not: {telling[-1]}"


def _user_folder(version: Version, environment: Mapping[str, str]) -> Path:
    named = environment.get("BLENDER_USER_RESOURCES")
    if named and version >= _EXTENSIONS_SINCE:
        return Path(named)
    return _user_root(environment) / "{}.{}".format(*version)


def _user_root(environment: Mapping[str, str]) -> Path:
    home = Path(environment.get("HOME") or Path.home())
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "Blender"
    if os.name == "nt":
        base = Path(environment.get("APPDATA") or home / "AppData" / "Roaming")
        return base / "Blender Foundation" / "Blender"
    return Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "blender"


def _used_versions(environment: Mapping[str, str]) -> Iterator[Version]:
    root = _user_root(environment)
    for folder in sorted(root.glob("*.*")) if root.is_dir() else ():
        match = _FOLDER_NAME.match(folder.name)
        if match and folder.is_dir():
            yield int(match[1]), int(match[2])


def _parse(text: str) -> Version:
    match = re.match(r"(\d+)\.(\d+)(\.\d+)?$", text)
    if match is None:
        raise UsageError(f"{text!r} is no version of Blender", expected="such as 4.2")
    version = int(match[1]), int(match[2])
    if version < _OLDEST:
        raise UsageError(f"Blender {text} is too old", expected="3.4 or newer")
    return version
