"""Real Blenders: which there are, one run of the driver in each, and what has to be seen in it.

The tests and `install/try_blender.py` share this, so that the table shows what the tests ask.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from wetgate.install.pack import BLENDER, adapter_files, zip_bytes
from wetgate.io.formats import read_frame

from support.plates import write_plate

DRIVER = Path(__file__).with_name("blender_drive.py")
SIZE = (96, 54)
EXR_NUMBERS = range(1001, 1025)
DPX_NUMBERS = range(1, 25)
MOVIE_FRAMES = 8
STEPS = (
    "restore",
    "cut",
    "cancel",
    "killed",
    "preview",
    "refusals",
    "meta",
    "movie",
    "operators",
    "damaged",
    "fetch",
)
RECIPE = """schema = "wetgate.recipe/1"
name = "cheap"

[[steps]]
operator = "denoise"

[steps.params]
radius = 1
step = 6
net = "none"
"""
Seen = dict[str, Any]


@dataclass(frozen=True)
class Host:
    """A Blender: a program, or a Python that has bpy."""

    command: tuple[str, ...]
    name: str
    windowed: bool = False


@dataclass(frozen=True)
class Check:
    """One thing that has to be so."""

    step: str
    what: str
    good: bool
    found: str


def hosts() -> list[Host]:
    """The Blenders of this machine: on the PATH, and in WETGATE_BPY_PYTHONS."""
    found = []
    program = os.environ.get("WETGATE_BLENDER") or shutil.which("blender")
    if program:
        found.append(Host((program, "-b", "--factory-startup", "-noaudio", "-P"), "blender"))
        if shutil.which("Xvfb"):
            window = (program, "--factory-startup", "-noaudio", "-p", "0", "0", "1600", "900", "-P")
            found.append(Host(window, "blender, window", windowed=True))
    for python in os.environ.get("WETGATE_BPY_PYTHONS", "").split(os.pathsep):
        if python:
            found.append(Host((python,), f"bpy of {Path(python).parents[1].name}"))
    return found


def version_of_host(host: Host) -> str:
    """The version of a host, as 4.2."""
    if len(host.command) == 1:
        code = "import bpy; print('Blender {}.{}'.format(*bpy.app.version))"
        command = [host.command[0], "-c", code]
    else:
        command = [host.command[0], "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    match = re.search(r"Blender (\d+\.\d+)", said)
    assert match is not None, said
    return match[1]


def engine() -> str:
    """The wetgate of the Python that runs the tests."""
    beside = shutil.which("wetgate", path=str(Path(sys.executable).parent))
    if beside is None:
        raise FileNotFoundError("no program wetgate beside this Python")
    return beside


def picture(number: int) -> NDArray[np.float32]:
    """A grainy gradient that moves, with a value far above 1 and one below 0."""
    width, height = SIZE
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    base = 0.35 + 0.2 * np.sin((x + 2 * number) / 23) * np.cos(y / 17)
    rng = np.random.default_rng(number)
    out = np.stack([base, base * 0.9 + 0.02, base * 0.8 + 0.05], -1)
    out += 0.02 * rng.standard_normal(out.shape)
    out[:8, :8], out[:8, 8:16] = 12.5, -0.05
    return out.astype(np.float32)


def write_movie(path: Path) -> None:
    """Write a small movie of the same pictures at 24 frames a second."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(1, MOVIE_FRAMES + 1):
            codes = (np.clip(picture(number), 0, 1) * 255).astype(np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(codes, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)


@dataclass(frozen=True)
class Material:
    """Plates, recipe and zip, and what the command line makes of the plates."""

    exr: Path
    dpx: Path
    recipe: Path
    zip: Path
    expected: Path
    movie: Path
    damaged: Path

    @classmethod
    def make(cls, folder: Path) -> Material:
        folder.mkdir(parents=True, exist_ok=True)
        names = ("exr", "dpx", "cheap.toml", "addon.zip", "expected", "movie/shot.mov", "damaged")
        made = cls(*(folder / name for name in names))
        made.movie.parent.mkdir(exist_ok=True)
        write_plate(made.exr, EXR_NUMBERS, suffix="exr", sample_type="half", picture=picture)
        write_plate(made.dpx, DPX_NUMBERS, suffix="dpx", sample_type="uint10", picture=picture)
        made.recipe.write_text(RECIPE, encoding="utf-8")
        write_movie(made.movie)
        write_plate(made.damaged, range(1, 5), width=SIZE[0], height=SIZE[1])
        os.truncate(made.damaged / "plate.0003.dpx", 4096)
        made.zip.write_bytes(zip_bytes(BLENDER, adapter_files(BLENDER)))
        return made

    def command_line(self, name: str, space: str, *more: str, pattern: str = "") -> Path:
        """Restore a plate by the command line, once; return the folder of the frames."""
        out = self.expected / f"{Path(name).name}-{space}"
        if not out.exists():
            target = out / pattern if pattern else out
            command = [engine(), "restore", str(self.exr.parent / name), f"--out={target}"]
            command += more
            command += [f"--recipe={self.recipe}", f"--input-space={space}", "--threads=1"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        return out


def drive(
    host: Host,
    material: Material,
    folder: Path,
    steps: Sequence[str],
    *,
    timeout: float = 1800,
    installed: str = "",
) -> Seen:
    """Run steps in a Blender of a user who has nothing yet; return what was seen.

    Args:
        installed: version of the host; the add-on is put there by `wetgate install` and not by
            Blender.
    """
    folder.mkdir(parents=True, exist_ok=True)
    spec = {
        "zip": str(material.zip),
        "engine": engine(),
        "cache": str(folder / "cache"),
        "exr": sorted(map(str, material.exr.iterdir())),
        "dpx": sorted(map(str, material.dpx.iterdir())),
        "recipe": str(material.recipe),
        "size": SIZE,
        "movie": str(material.movie),
        "damaged": sorted(map(str, material.damaged.iterdir())),
        "rate": 24,
        "steps": ["install", "timeline", *steps],
        "out": str(folder / "seen.json"),
        "shots": str(folder),
        "clicks": [],
        "installed": bool(installed),
    }
    (folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
    with _user(folder) as environment, _display(host, environment):
        if installed:
            command = [engine(), "install", "blender", "--no-enable", f"--version={installed}"]
            subprocess.run(command, env=environment, check=True, capture_output=True)
        done = subprocess.run(
            [*host.command, str(DRIVER), "--", str(folder / "spec.json")],
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    if not Path(str(spec["out"])).is_file():
        raise AssertionError(f"{host.name} has left nothing: {done.stdout}\n{done.stderr}")
    seen: Seen = json.loads(Path(str(spec["out"])).read_text(encoding="utf-8"))
    return seen


@contextmanager
def _user(folder: Path) -> Iterator[dict[str, str]]:
    """A user of one's own: folders of Blender, and a service that is ended at the end."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("BLENDER_", "OCIO"))}
    home = folder / "home"
    named = {
        "WETGATE_HOME": str(home),
        "BLENDER_USER_CONFIG": str(folder / "user" / "config"),
        "BLENDER_USER_SCRIPTS": str(folder / "user" / "scripts"),
        "BLENDER_USER_EXTENSIONS": str(folder / "user" / "extensions"),
        "OMP_NUM_THREADS": "1",
    }
    for name, path in named.items():
        if name.startswith("BLENDER"):
            Path(path).mkdir(parents=True, exist_ok=True)
    try:
        yield {**kept, **named}
    finally:
        for record in home.glob("service-*.json"):
            try:
                os.kill(json.loads(record.read_text(encoding="utf-8"))["pid"], signal.SIGTERM)
            except (OSError, ValueError):
                continue


@contextmanager
def _display(host: Host, environment: dict[str, str]) -> Iterator[None]:
    """A screen of its own for a Blender with a window."""
    if not host.windowed:
        yield
        return
    read, write = os.pipe()
    screen = ["-screen", "0", "1600x900x24", "+extension", "GLX", "-nolisten", "tcp"]
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), *screen],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    try:
        with os.fdopen(read) as told:
            environment["DISPLAY"] = ":" + told.readline().strip()
        environment["LIBGL_ALWAYS_SOFTWARE"] = "1"
        yield
    finally:
        server.terminate()
        server.wait()


# ---- what has to be so


def checks(seen: Seen, material: Material) -> Iterator[Check]:
    """Judge what was seen, step by step."""
    for step, facts in seen["steps"].items():
        if "error" in facts:
            yield Check(step, "runs", False, facts["error"])
        elif step in _JUDGES:
            for what, good, found in _JUDGES[step](facts, material):
                yield Check(step, what, bool(good), str(found))


Verdicts = Iterator[tuple[str, object, object]]


def _installed(facts: Seen, _: Material) -> Verdicts:
    yield "installed and enabled", facts["enabled"] and facts["panel"], facts
    yield "engine set", facts["engine"] == engine(), facts["engine"]


def _restored(facts: Seen, material: Material) -> Verdicts:
    yield "ends well", facts["outcome"].startswith("Done"), (facts["outcome"], facts["messages"])
    numbers = {
        "EXR": [1000 + t for t in range(1, 25)],
        "DPX": [t - 9 for t in range(13, 29)],
        "DPX again": [24 - (t - 30) for t in range(32, 47)],
    }
    for (name, pair), task in zip(facts["pairs"].items(), facts["tasks"], strict=True):
        old, new = pair["old"], pair["new"]
        apart = {
            key: (old[key], new[key])
            for key in old
            if key not in ("channel", "elements", "shown", "mark", "mute") and old[key] != new[key]
        }
        yield f"{name}: properties equal", not apart, apart
        yield f"{name}: shown instead", old["mute"] and not new["mute"], (old["mute"], new["mute"])
        yield f"{name}: above", new["channel"] > old["channel"], new["channel"]
        shown = [_number(path) for path in new["shown"]]
        yield f"{name}: every frame in its place", shown == numbers[name], shown
        expected = material.command_line(name.split()[0].lower(), task["options"]["input_space"])
        yield from _same_frames(name, new["elements"], expected)
        yield f"{name}: report", new["mark"]["report"] and Path(new["mark"]["report"]).is_file(), ""
    yield "three strips", len(facts["pairs"]) == 3, list(facts["pairs"])
    undo = facts["undo"]
    steps = (undo["before"], undo["undone"], undo["redone"])
    yield "undo and redo in one step", steps == (6, 3, 6), undo
    yield "Blender never held for a second", facts["turn"] < 1.0, facts["turn"]
    yield "animation copied", facts["curves"] == 2, facts["curves"]


def _same_frames(name: str, paths: Sequence[str], expected: Path) -> Verdicts:
    apart = [p for p in paths if Path(p).read_bytes() != (expected / Path(p).name).read_bytes()]
    yield f"{name}: {len(paths)} frames, bits of the command line", not apart and paths, apart
    changed = [p for p in paths if not _equals_source(Path(p), expected.parents[1])]
    yield f"{name}: restored at all", len(changed) == len(paths), len(changed)


def _equals_source(path: Path, folder: Path) -> bool:
    return path.read_bytes() == (folder / path.suffix[1:] / path.name).read_bytes()


def _cut(facts: Seen, material: Material) -> Verdicts:
    for name, numbers, start in (("shown", range(4, 20), 13), ("range", range(4, 10), 13)):
        new = facts[name]["new"]
        if new is None:
            yield f"{name}: a strip", False, facts[name]["outcome"]
            continue
        held = [_number(p) for p in new["elements"]]
        yield f"{name}: these frames and no others", held == list(numbers), held
        yield f"{name}: seen in their place", new["shown"] == new["elements"], new["shown"]
        yield f"{name}: at the frame", new["frame_final_start"] == start, new["frame_final_start"]
        where = Path(new["elements"][0]).parent
        files = sorted(_number(str(p)) for p in where.glob("*.dpx"))
        yield f"{name}: no others were made", files == list(numbers), files


def _cancelled(facts: Seen, _: Material) -> Verdicts:
    yield "was running", facts["asked"], facts
    yield "says so", facts["outcome"] == "Cancelled", facts["outcome"]
    yield "both strips", facts["states"] == ["cancelled", "cancelled"], facts["states"]
    some = 0 < facts["written"][0] < len(EXR_NUMBERS) and facts["written"][1] == 0
    yield "in the middle", some, facts["written"]
    yield "no new strip", facts["left"] == ["DPX", "DPX again", "EXR"], facts["left"]


def _killed(facts: Seen, _: Material) -> Verdicts:
    yield "was running", facts["killed"], facts
    yield "told within 5 s", facts["killed"] and facts["seconds"] <= 5, facts["seconds"]
    words = " ".join(text for _, text in facts["messages"])
    yield "in words", "engine has stopped" in words, words
    yield "says so", facts["outcome"] == "Failed", facts["outcome"]
    good = facts["next"].startswith("Done") and facts["next_strip"]
    yield "the next job works", good, facts["next"]


def _movie(facts: Seen, material: Material) -> Verdicts:
    yield "ends well", facts["outcome"].startswith("Done"), (facts["outcome"], facts["messages"])
    new = facts["new"]
    if new is None:
        return
    where = [new["frame_final_start"], new["frame_final_end"], new["transform.offset_y"]]
    yield "in its place", where == facts["old"] == [62, 67, 9], where
    numbers = [_number(path) for path in new["shown"]]
    yield "every frame in its place", numbers == list(range(3, MOVIE_FRAMES)), numbers
    yield "color space", new["space"] == facts["space"], new["space"]
    options = facts["options"]
    name = Path(options["out"]).name
    frames = f"--frames={options['frames']}"
    expected = material.command_line("movie/shot.mov", options["input_space"], frames, pattern=name)
    apart = [
        p for p in new["elements"] if Path(p).read_bytes() != (expected / Path(p).name).read_bytes()
    ]
    yield "bits of the command line", not apart, apart
    words = " ".join(text for _, text in facts["messages"])
    aside = not (material.movie.parent / "wetgate").exists() and "the cache folder lies in" in words
    yield "not into the folder of the source", aside, words


def _damaged(facts: Seen, material: Material) -> Verdicts:
    words = " ".join(text for _, text in facts["messages"])
    yield "says so", facts["outcome"] == "Done, but for frames that failed", facts["outcome"]
    yield "names the frame", "frame 3" in words and "1 of 4 frames failed" in words, words
    shown = facts["shown"] or []
    kept = [Path(path).parent == material.damaged for path in shown]
    yield "the source where it failed", kept == [False, False, True, False], shown
    gone = " ".join(text for _, text in facts["gone"])
    yield "a strip that is gone: in words", "is gone" in gone, gone
    yield "no strip of it", facts["left"] == ["DPX", "DPX again", "EXR"], facts["left"]


def _fetched(facts: Seen, material: Material) -> Verdicts:
    yield "ends well", facts["outcome"].startswith("Done"), (facts["outcome"], facts["messages"])
    yield "of an earlier job", facts["earlier"], facts["earlier"]
    yield "no new job", facts["more"] == 0, facts["more"]
    new = facts["new"]
    if new:
        expected = material.command_line("exr", "lin_rec709_scene")
        yield from _same_frames("EXR", new["elements"], expected)


def _operators(facts: Seen, _: Material) -> Verdicts:
    chain = ["scratches", "dirt", "denoise"]
    yield "the engine's own list", facts["listed"] == chain, facts["listed"]
    planned = {"": chain, "scratches": chain[1:], "scratches,dirt": chain[2:]}
    yield "what is left is done", facts["planned"] == planned, facts["planned"]
    yield "nothing left is refused", "switched off" in facts["none"], facts["none"]


def _previewed(facts: Seen, material: Material) -> Verdicts:
    shown = np.zeros((1, 1, 3), np.float32)
    for kind in ("restored", "difference", "matte"):
        strips = facts[kind]["strips"]
        yield f"{kind}: one strip", len(strips) == 1, (len(strips), facts[kind]["messages"])
        if not strips:
            continue
        (strip,) = strips
        where = (strip["frame_final_start"], strip["frame_final_end"])
        yield f"{kind}: on the current frame", where == (5, 6), where
        pixels = _pixels(Path(strip["elements"][0]))
        source = _pixels(material.exr / "plate.1005.exr")
        if kind == "restored":
            shown = pixels
            job = material.command_line("exr", "lin_rec709_scene") / "plate.1005.exr"
            # A preview measures the frames nearby, a job the whole shot.
            ratio = np.abs(pixels - _pixels(job)).mean() / np.abs(_pixels(job) - source).mean()
            yield "restored: near the picture of the job", ratio < 0.5, ratio
            yield "restored: opaque", strip["blend_alpha"] == 1.0, strip["blend_alpha"]
        elif kind == "difference":
            apart = np.abs(np.abs(pixels) - np.abs(shown - source)).max()
            yield "difference: restored less source", apart == 0, apart
        else:
            inside = pixels.min() >= 0 and 0 < pixels.max() <= 1
            yield "matte: between 0 and 1", inside, (pixels.min(), pixels.max())
    yield "cleared", facts["cleared"] == [], facts["cleared"]


def _refused(facts: Seen, _: Material) -> Verdicts:
    for name, words in (
        ("no engine", "the engine is not there: /nowhere/wetgate"),
        ("no space", "no color space is named"),
        ("bad space", "No Such Space"),
    ):
        said = " ".join(facts[name])
        yield f"{name}: in words", words in said, said


def _flattened(facts: Seen, material: Material) -> Verdicts:
    yield "ends well", facts["outcome"].startswith("Done"), (facts["outcome"], facts["messages"])
    before, after = facts["settings"]
    yield "settings put back", before == after, (before, after)
    yield "the meta strip holds four frames", facts["span"] == [100, 104], facts["span"]
    yield "the others shown", facts["muted"] == ["Meta"], facts["muted"]
    worst = 0.0
    for path, number in zip(facts["rendered"], EXR_NUMBERS, strict=False):
        source = _pixels(material.exr / f"plate.{number}.exr")
        worst = max(worst, float(np.abs(_pixels(Path(path))[..., :3] - source).max()))
    yield "rendered exactly", len(facts["rendered"]) == 4 and worst == 0, worst
    new = facts["new"]
    yield "a strip of four", new and len(new["elements"]) == 4, new and new["elements"]


_JUDGES = {
    "install": _installed,
    "restore": _restored,
    "cut": _cut,
    "cancel": _cancelled,
    "killed": _killed,
    "preview": _previewed,
    "refusals": _refused,
    "meta": _flattened,
    "movie": _movie,
    "operators": _operators,
    "damaged": _damaged,
    "fetch": _fetched,
}


def _number(path: str) -> int:
    return int(Path(path).stem.rpartition(".")[2])


def _pixels(path: Path) -> NDArray[np.float32]:
    return read_frame(path, 0, color_space="ACES2065-1").pixels
