"""A dirty plate, its output by the command line, and a service to look at it from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.dirty import DirtyClip, dirty_clip
from support.plates import write_plate

FRAMES = range(1, 6)
DIRT = {
    2: ((30, 20, 36, 26), (90, 60, 95, 66)),
    3: ((60, 40, 67, 46), (20, 70, 25, 74)),
    4: ((100, 30, 105, 37),),
}
RECIPE = """schema = "wetgate.recipe/1"
name = "dirt"
input_space = "ACEScct"
[[steps]]
operator = "dirt"
"""


@dataclass(frozen=True)
class Show:
    """Where everything of one dirty shot is."""

    plate: Path
    out: Path
    home: Path
    clip: DirtyClip

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "WETGATE_HOME": str(self.home)}


def make_show(folder: Path, name: str = "plate", suffix: str = "dpx") -> Show:
    """Write a dirty plate and restore it in a process of its own."""
    clip = dirty_clip(dirt=DIRT, frames=FRAMES)
    plate = write_plate(
        folder / name, FRAMES, suffix=suffix, picture=lambda number: clip.pixels[number]
    )
    recipe = folder / "dirt.toml"
    recipe.write_text(RECIPE)
    show = Show(plate, folder / f"{name}-out", folder / "home", clip)
    wetgate(show, "restore", str(plate), "--out", str(show.out), "--recipe", str(recipe))
    return show


def wetgate(show: Show, *arguments: str) -> str:
    """Run the command line as people do; its output."""
    done = subprocess.run(
        [sys.executable, "-m", "wetgate.cli", *arguments],
        env=show.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def serving(show: Show) -> Iterator[None]:
    """Run the service of a home for a while."""
    service = subprocess.Popen(
        [sys.executable, "-m", "wetgate.cli", "serve", "--json"],
        env=show.env,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert service.stdout is not None
        assert json.loads(service.stdout.readline())["event"] == "serving"
        yield
    finally:
        service.terminate()
        service.wait(30)
        if service.stdout is not None:
            service.stdout.close()


def page_url(show: Show) -> tuple[str, str]:
    """Open the page of the output by the command line: its address and the job."""
    told = json.loads(wetgate(show, "review", str(show.out), "--open", "--json"))
    return told["url"], told["job"]


def discovery(show: Show) -> dict[str, Any]:
    (path,) = show.home.glob("service-*.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


CURL = """
import http.client, json, sys
asked = json.load(sys.stdin)
link = http.client.HTTPConnection("127.0.0.1", asked["port"], timeout=60)
answers = []
for call in asked["calls"]:
    link.putrequest(call["method"], call["path"], skip_host=True)
    headers = {"Host": f"127.0.0.1:{asked['port']}", **call["headers"]}
    body = call["body"].encode()
    if call["method"] == "POST":
        headers.setdefault("Content-Length", str(len(body)))
    for name, value in headers.items():
        link.putheader(name, value)
    link.endheaders(body if call["method"] == "POST" else None)
    got = link.getresponse()
    text = got.read().decode("latin-1")
    answers.append({"status": got.status, "headers": dict(got.getheaders()), "body": text})
    if got.will_close:
        link.close()
print(json.dumps(answers))
"""


def call(
    port: int,
    *calls: tuple[str, str, dict[str, str]],
    body: str = "{}",
) -> list[dict[str, Any]]:
    """Call the loopback port, from a process of its own: tests have no network."""
    asked = {
        "port": port,
        "calls": [{"method": m, "path": p, "headers": h, "body": body} for m, p, h in calls],
    }
    done = subprocess.run(
        [sys.executable, "-c", CURL],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers
