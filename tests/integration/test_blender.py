"""The sequencer add-on in real Blenders: 3.4 with a window and without, and bpy 4.2 to 5.0.

`blender` is looked for on the PATH (or WETGATE_BLENDER); WETGATE_BPY_PYTHONS names Pythons that
have bpy, separated as in PATH. A run of one Blender takes minutes.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.blender_hosts import (
    DRIVER,
    STEPS,
    Host,
    Material,
    checks,
    drive,
    hosts,
    version_of_host,
)

HOSTS = hosts()
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """Plates, recipe and the zip of the add-on."""
    return Material.make(tmp_path_factory.mktemp("material"))


@pytest.mark.skipif(not HOSTS, reason="no Blender here; see WETGATE_BPY_PYTHONS")
@pytest.mark.parametrize("host", HOSTS, ids=[h.name for h in HOSTS])
def test_the_add_on_does_all_it_says(host: Host, material: Material, tmp_path: Path) -> None:
    steps = ("window", *STEPS) if host.windowed else STEPS
    seen = drive(host, material, tmp_path, steps)
    found = list(checks(seen, material))
    assert {c.step for c in found} >= set(STEPS)
    assert [f"{c.step}, {c.what}: {c.found}" for c in found if not c.good] == []


@pytest.mark.skipif(not HOSTS, reason="no Blender here; see WETGATE_BPY_PYTHONS")
@pytest.mark.parametrize("host", [h for h in HOSTS if not h.windowed], ids=lambda h: h.name)
def test_blender_loads_what_the_installer_writes(
    host: Host, material: Material, tmp_path: Path
) -> None:
    seen = drive(host, material, tmp_path, ["operators"], installed=version_of_host(host))
    found = list(checks(seen, material))
    assert {c.step for c in found} == {"install", "operators"}
    assert [f"{c.step}, {c.what}: {c.found}" for c in found if not c.good] == []


def test_the_checks_see_what_is_wrong(tmp_path: Path) -> None:
    material = Material.make(tmp_path)
    seen = {
        "steps": {
            "killed": {
                "killed": True,
                "seconds": 6.0,
                "outcome": "Done",
                "messages": [],
                "next": "Failed",
                "next_strip": False,
            },
            "cancel": {"error": "Traceback"},
        }
    }
    wrong = [(c.step, c.what) for c in checks(seen, material) if not c.good]
    assert wrong == [
        ("killed", "told within 5 s"),
        ("killed", "in words"),
        ("killed", "says so"),
        ("killed", "the next job works"),
        ("cancel", "runs"),
    ]


VALIDATORS = [
    (host, path)
    for host in HOSTS
    for path in sorted(Path(host.command[0]).parents[1].rglob("bl_pkg/cli/blender_ext.py"))
    if len(host.command) == 1
]


@pytest.mark.skipif(not VALIDATORS, reason="no bpy with an extension validator here")
@pytest.mark.parametrize("case", VALIDATORS, ids=[host.name for host, _ in VALIDATORS])
def test_the_zip_passes_blenders_own_validator(case: tuple[Host, Path], material: Material) -> None:
    host, validator = case
    done = subprocess.run(
        [host.command[0], str(validator), "validate", str(material.zip)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Success" in done.stdout


def test_the_driver_needs_nothing_but_blender() -> None:
    from wetgate.install.pack import problems

    files = {"blender_drive.py": DRIVER.read_bytes()}
    assert list(problems(files, ("bpy",))) == []
