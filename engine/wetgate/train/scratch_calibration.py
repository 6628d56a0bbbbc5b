"""Fit how sure `scratches` is of a line, and write it as the operator's calibration.

    python -m wetgate.train.scratch_calibration lines --data PHOTOGRAPHS --work FOLDER [--part 0/2]
    python -m wetgate.train.scratch_calibration fit --work FOLDER

`lines` films photographs and generated pictures, with scratches of three strengths, with torn
emulsion, and twice without any; it lays down what the operator makes of every line it follows, and
whether the line is a scratch; features are laid down with it, so begin anew where those change.
`fit` fits a perceptron to the lines of one set of films and says how it does on another, on which
its size and the operator's threshold were chosen. No plate, picture or seed of `wetgate bench
scratches` is used.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.base import SourceFacts
from wetgate.operators.dirt.confidence import Perceptron
from wetgate.operators.scratches import confidence
from wetgate.operators.scratches.lines import Strips
from wetgate.operators.scratches.operator import ScratchesOperator
from wetgate.operators.scratches.tracks import Track, tracks_of
from wetgate.simulate import DamagedShot, DamageSpec, GrainSpec, ScratchSpec, WeaveSpec
from wetgate.simulate.film import DENSITY_PER_CODE
from wetgate.train.perceptron import fit_perceptron
from wetgate.train.tasks._dirt_plates import CHOSEN, FITTED, FRAMES, Filmed, film_frames

_log = logging.getLogger(__name__)

_TENTH = math.log10(1.1) / DENSITY_PER_CODE / 1023
"""Encoded density that changes the light through the film by 10 %."""
KINDS: Mapping[str, ScratchSpec | None] = {
    "none": None,
    "none again": None,
    "10 %": ScratchSpec(count=2.5, strength=(_TENTH, _TENTH), lost_share=0.0),
    "usual": ScratchSpec(count=2.5, lost_share=0.0),
    "torn": ScratchSpec(count=2.0, lost_share=1.0),
    "15 to 45 %": ScratchSpec(count=2.5, strength=(1.5 * _TENTH, 4 * _TENTH), lost_share=0.0),
}
"""What lies on each film."""
_WINDOWS = (
    Filmed(name="windows-still", file="windows 1"),
    Filmed(name="windows-slow", file="windows 2", pan=(0.8, 0.1)),
    Filmed(name="windows-hand", file="windows 3", pan=(1.6, 0.4), shake=1.0),
    Filmed(name="windows-occ", file="windows 4", occluders=3),
    Filmed(name="windows-fast", file="windows 5", pan=(4.5, 0.3)),
    Filmed(name="lines-hand", file="lines 21", pan=(1.3, 0.2), shake=0.6),
    Filmed(name="leaves-shaken", file="leaves 22", shake=3.0),
)
_OTHER_WINDOWS = (
    Filmed(name="other-windows-still", file="windows 11"),
    Filmed(name="other-windows-slow", file="windows 12", pan=(-1.1, 0.3)),
    Filmed(name="other-windows-shaken", file="windows 13", shake=2.0),
    Filmed(name="other-windows-occ", file="windows 14", pan=(2.0, -0.2), occluders=2),
)
FILMS: Mapping[str, Sequence[Filmed]] = {
    "fitted": (*FITTED[1], *_WINDOWS),
    "chosen": (*CHOSEN[1], *_OTHER_WINDOWS),
}
_NEAR, _IS, _IS_NOT = 1.5, 0.6, 0.2
"""Px within which a line follows a scratch; share of it from which it is one, or is none."""
_HIDDEN, _DECAY, _STEPS = 4, 1e-3, 1500

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line that the operator followed.

    Attributes:
        film, kind: of which film, and what lay on it. frames: that the line is on.
        on: share of it that follows a scratch. facts: as the operator found them.
        features: `confidence.FEATURES` of them.
    """

    film: str
    kind: str
    frames: int
    on: float
    facts: Mapping[str, float]
    features: tuple[float, ...]


def lines_of(film: Filmed, folders: Sequence[Path]) -> Iterator[Line]:
    """Film a picture with everything of `KINDS` on it in turn, and yield the lines followed.

    Args:
        folders: with the photographs, at any depth.
    """
    frames = film_frames(film, folders)
    height, width = frames.shape[1:3]
    facts = SourceFacts(
        sample_type="uint10", width=width, height=height, channels=3, is_log_working=False
    )
    for kind, scratches in KINDS.items():
        seed = zlib.crc32(f"{film.name}, {kind}".encode()) >> 1
        shot = DamagedShot(
            lambda n: frames[n - 1],
            DamageSpec(seed=seed, grain=GrainSpec(), weave=WeaveSpec(), scratches=scratches),
        )
        numbers, strips = range(1, FRAMES + 1), Strips.of(height)
        made = {n: shot[n].pixels for n in numbers}
        found = ScratchesOperator().analyse(made.__getitem__, numbers, facts)
        truth = {n: _places(shot, n, strips) for n in numbers}
        for track in tracks_of(found):
            yield Line(
                film=film.name,
                kind=kind,
                frames=len(track.frames),
                on=_share(track, truth),
                facts=track.facts,
                features=confidence.features_of(track.facts, height),
            )


def _places(shot: DamagedShot, number: int, strips: Strips) -> list[tuple[Float, Float]]:
    """Return where each scratch is in the middle of every strip of a frame, and whether it is."""
    truth = shot[number].truth
    found = []
    for scratch in truth.scratches.scratches if truth.scratches else ():
        rows = np.arange(len(scratch.center))
        alive = np.interp(strips.middles, rows, (scratch.amplitude > 0).astype(np.float64))
        at = np.interp(strips.middles, rows, scratch.center) + truth.weave[0]
        found.append((at, alive))
    return found


def _share(track: Track, truth: Mapping[int, list[tuple[Float, Float]]]) -> float:
    """Return the mean over frames of the share of a line's strips that lie on one scratch."""
    shares = []
    for number, own in track.frames.items():
        part = slice(own.first, own.first + len(own.place))
        on = [
            float(((np.abs(own.place - at[part]) < _NEAR) & (alive[part] > 0.5)).mean())
            for at, alive in truth[number]
        ]
        shares.append(max(on, default=0.0))
    return float(np.mean(shares))


def write_lines(work: Path, folders: Sequence[Path], part: int, parts: int) -> None:
    """Lay down the lines of every film that has no file yet; films are shared out over parts."""
    for name, films in FILMS.items():
        for index, film in enumerate(films):
            path = work / name / f"{film.name}.json"
            if index % parts != part or path.exists():
                continue
            lines = [
                {
                    "film": line.film, "kind": line.kind, "frames": line.frames,
                    "on": round(line.on, 4), "facts": dict(line.facts),
                    "features": list(line.features),
                }
                for line in lines_of(film, folders)
            ]  # fmt: skip
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(lines), "utf-8")
            _log.info("%s: %d lines", film.name, len(lines))


def read_lines(work: Path, name: str) -> list[Line]:
    """Read back the lines of a set of films, in its order.

    Raises:
        FileNotFoundError: those of a film are missing.
    """
    found = []
    for film in FILMS[name]:
        for entry in json.loads((work / name / f"{film.name}.json").read_text("utf-8")):
            found.append(Line(**{**entry, "features": tuple(entry["features"])}))
    return found


def fit(lines: Sequence[Line]) -> Perceptron:
    """Fit the perceptron to lines of which it is known what they are."""
    known, is_so = sorted_out(lines)
    columns = np.array([line.features for line in known], np.float64).T
    return fit_perceptron(
        list(columns), is_so, confidence.FEATURES, hidden=_HIDDEN, decay=_DECAY, steps=_STEPS
    )


def sorted_out(lines: Sequence[Line]) -> tuple[list[Line], Float]:
    """Return the lines that are a scratch or surely none, and which is which, 1 or 0."""
    known = [line for line in lines if line.on > _IS or line.on < _IS_NOT]
    return known, np.array([float(line.on > _IS) for line in known])


def figures(judge: Perceptron, lines: Sequence[Line], films: int) -> dict[str, float]:
    """Say how a judge does on lines of films that it was not fitted to.

    Args:
        films: how many there are: each lies twice without scratches among them.
    """
    known, is_so = sorted_out(lines)
    sure = confidence.sure(judge, np.array([line.features for line in known], np.float64))
    bare = np.array([line.frames * (KINDS[line.kind] is None) for line in known])
    found = {"scratches": float(is_so.sum()), "other lines": float((1 - is_so).sum())}
    for threshold in (0.5, 0.6, 0.7, 0.8, 0.9):
        taken = sure >= threshold
        found[f"scratches found at {threshold}"] = float((taken & (is_so > 0)).sum())
        found[f"other lines taken at {threshold}"] = float((taken & (is_so == 0)).sum())
        false = float(bare[taken].sum()) / (2 * films * FRAMES)
        found[f"false lines in 100 bare frames at {threshold}"] = round(100 * false, 2)
    bins = np.minimum((10 * sure).astype(np.intp), 9)
    gaps = [abs(float((sure - is_so)[bins == b].sum())) for b in range(10)]
    found["expected calibration error"] = round(sum(gaps) / len(known), 4)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one step; see the module."""
    parser = argparse.ArgumentParser(description="fit the confidence of scratches")
    parser.add_argument("step", choices=("lines", "fit"))
    parser.add_argument("--data", type=Path, action="append", default=[])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--part", default="0/1", help="which share of the films, such as 0/2")
    parser.add_argument(
        "--calibration", type=Path, default=Path(confidence.__file__).with_name("calibration.json")
    )
    asked = parser.parse_args(arguments)
    if asked.step == "lines":
        part, parts = (int(v) for v in asked.part.split("/"))
        write_lines(asked.work, asked.data, part, parts)
        return
    lines = read_lines(asked.work, "fitted")
    judge = fit(lines)
    told = figures(judge, read_lines(asked.work, "chosen"), len(FILMS["chosen"]))
    _log.info("on other films: %s", json.dumps(told, indent=1))
    document = {
        "schema": "wetgate.scratches-calibration/1",
        "scratch": {
            "features": list(judge.names),
            "bias": judge.bias,
            "weights": list(judge.weights),
            "hidden": [list(row) for row in judge.hidden],
        },
        "fit": {"films": len(FILMS["fitted"]), "lines": len(lines), "other films": told},
    }
    asked.calibration.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
