"""The whole-shot stage: cuts and measurements that no single window can make.

It always looks at every frame on disk, whatever range is asked for, so that every chunk reads
the same facts. The result is one JSON file with a digest of its own. Its list of `cuts` may be
edited: the next run keeps the edited list and measures its shots anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from wetgate.color.shaper import signed_log
from wetgate.io.atomic import digest_file, write_bytes_atomic
from wetgate.io.ranges import FrameRange
from wetgate.model.errors import AnalysisStale, InputError
from wetgate.operators.base import Analysis
from wetgate.recipe.digest import canonical_json, digest_of
from wetgate.render.cuts import CutDetector, Proxy, make_proxy
from wetgate.render.shelf import FrameSource, Loaded, color_channels
from wetgate.render.windows import Shots

ANALYSIS_SCHEMA = "wetgate.analysis/1"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameStamp:
    """What identifies the content of one source frame.

    Attributes:
        digest: of the file's bytes; empty when it could not be read.
        nbytes, modified_ns: of the file; only save hashing again, never part of a digest.
        error: why the frame could not be read.
    """

    digest: str
    nbytes: int = 0
    modified_ns: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotAnalyses:
    """What one step's operator measured: one analysis a shot.

    Attributes:
        rejected: ids of its fixes that a person rejected, without its label. Verdicts are not
            measured: they are put in for a render and are in no file.
    """

    operator: str
    version: int
    shots: tuple[Analysis, ...]
    rejected: frozenset[str] = frozenset()

    def content(self) -> dict[str, object]:
        """Return what the digest covers."""
        return {
            "operator": self.operator,
            "version": self.version,
            "shots": list(self.shots),
            **({"rejected": sorted(self.rejected)} if self.rejected else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipAnalysis:
    """Everything rendering reads about the whole clip.

    Attributes:
        context: digest of what the measurements depend on beside the frames.
        clip: the sequence in words. detected: the cuts as found, `cuts` as in force.
    """

    context: str
    clip: str
    frames: Mapping[int, FrameStamp]
    cuts: tuple[int, ...]
    detected: tuple[int, ...]
    steps: tuple[ShotAnalyses, ...] = ()
    digest: str = field(default="", compare=False)

    @property
    def shots(self) -> Shots:
        """Return the shots by the cuts in force."""
        return Shots(self.cuts)

    def content(self) -> dict[str, object]:
        """Return what the digest covers: all but file times."""
        return {
            "schema": ANALYSIS_SCHEMA,
            "context": self.context,
            "frames": {str(n): s.digest for n, s in self.frames.items()},
            "cuts": list(self.cuts),
            "steps": [step.content() for step in self.steps],
        }

    def sealed(self) -> ClipAnalysis:
        """Return the analysis with its digest."""
        from dataclasses import replace

        return replace(self, digest=digest_of(self.content()))

    def save(self, path: Path) -> None:
        """Write the file whole or not at all; raises `OutputError`."""
        stamps = {
            str(n): {
                "digest": s.digest,
                "nbytes": s.nbytes,
                "modified_ns": s.modified_ns,
                **({"error": s.error} if s.error else {}),
            }
            for n, s in self.frames.items()
        }
        document = {
            **self.content(),
            "clip": self.clip,
            "detected_cuts": list(self.detected),
            "digest": self.digest,
            "frames": stamps,
        }
        text = json.dumps(json.loads(canonical_json(document)), indent=1, sort_keys=True)
        write_bytes_atomic(path, (text + "\n").encode("utf-8"))


def load_analysis(path: Path) -> ClipAnalysis:
    """Read an analysis file as it stands; its digest is that written in it.

    Raises:
        AnalysisStale: absent, not an analysis, or of another version.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise AnalysisStale(
            "no analysis",
            path=path,
            remedy="restore the shot once, or pass the analysis of that run",
        ) from None
    except (OSError, ValueError) as error:
        raise AnalysisStale(f"not a readable analysis: {error}", path=path) from None
    if not isinstance(document, dict) or document.get("schema") != ANALYSIS_SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else None
        raise AnalysisStale(f"schema {found!r}", path=path, expected=ANALYSIS_SCHEMA)
    try:
        return ClipAnalysis(
            context=str(document["context"]),
            clip=str(document["clip"]),
            frames={int(n): FrameStamp(**s) for n, s in document["frames"].items()},
            cuts=tuple(sorted({int(n) for n in document["cuts"]})),
            detected=tuple(int(n) for n in document["detected_cuts"]),
            steps=tuple(
                ShotAnalyses(operator=s["operator"], version=s["version"], shots=tuple(s["shots"]))
                for s in document["steps"]
            ),
            digest=str(document["digest"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnalysisStale(f"damaged analysis: {error!r}", path=path) from None


class FilePaths(Protocol):
    """Where the frames of a clip are."""

    def path(self, number: int) -> Path:
        """Return the path of one frame."""
        ...


def check_fresh(
    found: ClipAnalysis, path: Path, *, context: str, numbers: Sequence[int], files: FilePaths
) -> None:
    """Refuse an analysis that was made of other frames or for another recipe.

    A file whose size and time are those recorded is taken as unchanged, any other is hashed.

    Raises:
        AnalysisStale: saying what differs.
    """
    again = "run the whole job again; it makes a new one"
    if found.sealed().digest != found.digest:
        raise AnalysisStale("edited since it was measured", path=path, remedy=again)
    if found.context != context:
        raise AnalysisStale(
            "made for another recipe, operator version or color decision",
            path=path,
            remedy=again,
        )
    if set(found.frames) != set(numbers):
        raise AnalysisStale(
            f"made of frames {FrameRange.from_numbers(found.frames)}",
            path=path,
            expected=f"frames {FrameRange.from_numbers(numbers)}",
            remedy=again,
        )
    for number, stamp in found.frames.items():
        if not _unchanged(files.path(number), stamp):
            raise AnalysisStale(
                "the source frame has changed since the analysis",
                path=files.path(number),
                frame=number,
                remedy=again,
            )


def _unchanged(path: Path, stamp: FrameStamp) -> bool:
    try:
        stat = path.stat()
        if (stat.st_size, stat.st_mtime_ns) == (stamp.nbytes, stamp.modified_ns):
            return True
        return bool(stamp.digest) and digest_file(path) == stamp.digest
    except (OSError, InputError):
        return False


def survey_clip(
    source: FrameSource,
    files: FilePaths,
    *,
    scene_linear: bool,
    progress: Progress,
) -> tuple[dict[int, FrameStamp], tuple[int, ...]]:
    """Read every frame once: digests, and the cuts.

    Args:
        scene_linear: the clip is scene-linear, so proxies see its logarithm.
    """
    detector = CutDetector()
    stamps: dict[int, FrameStamp] = {}
    numbers = list(source.frames)
    for done, number in enumerate(numbers, start=1):
        nbytes, modified = _stat(files.path(number))
        try:
            loaded = source.load(number)
        except InputError as error:
            stamps[number] = FrameStamp(
                digest="", nbytes=nbytes, modified_ns=modified, error=str(error)
            )
        else:
            stamps[number] = FrameStamp(digest=loaded.digest, nbytes=nbytes, modified_ns=modified)
            detector.add(number, _proxy(loaded, scene_linear))
        progress("cuts", done, len(numbers))
    return stamps, detector.cuts()


def _proxy(loaded: Loaded, scene_linear: bool) -> Proxy:
    frame = loaded.frame
    index = color_channels(frame.channels)
    color = frame.pixels[..., list(index)] if len(index) < len(frame.channels) else frame.pixels
    if frame.non_finite is not None:
        color = np.nan_to_num(color, nan=0.0, posinf=0.0, neginf=0.0)
    proxy = make_proxy(color)
    return signed_log(proxy) if scene_linear else proxy


def _stat(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns
