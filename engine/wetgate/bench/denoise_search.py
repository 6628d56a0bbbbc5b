"""Find each peer's best strength on a clip, and remember what was measured."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wetgate.bench.denoise_clips import SCORED, NoisyClip, cropped
from wetgate.bench.denoise_ffmpeg import ffmpeg_peers
from wetgate.bench.denoise_peers import Filtered, Peer, bm3d_peers, opencv_peers
from wetgate.bench.table import digest_bytes
from wetgate.io.atomic import write_bytes_atomic
from wetgate.measure import psnr, residual_flicker

_log = logging.getLogger(__name__)
_TRIED = SCORED[len(SCORED) // 2]
_MOST_STEPS = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What one filter reached on one case.

    Attributes:
        psnr: mean over the frames of their PSNR, dB. flicker: residual, 8-bit codes.
        cpu_seconds: a frame. cached: whether it was measured in an earlier run.
    """

    psnr: float
    flicker: float
    cpu_seconds: float
    cached: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """A peer at its best strength. `at_end`: the filter takes no strength beyond it."""

    peer: Peer
    strength: float
    score: Score
    at_end: bool = False


def peers_for(case: NoisyClip) -> list[Peer]:
    """Return the peers that take part in a case."""
    return [*bm3d_peers(case), *opencv_peers(), *ffmpeg_peers()]


def score(case: NoisyClip, filtered: Filtered, wanted: Sequence[int]) -> Score:
    """Compare frames with the truth; flicker is 0 where a single frame was wanted."""
    truth = [case.clean[i] for i in wanted]
    each = [psnr(a, b) for a, b in zip(truth, filtered.frames, strict=True)]
    several = len(truth) > 1
    return Score(
        psnr=sum(each) / len(each),
        flicker=residual_flicker(truth, filtered.frames) if several else 0.0,
        cpu_seconds=filtered.cpu_seconds,
    )


class ScoreCache:
    """Scores of peers on disk, by digest of the clip, peer, version, strength and frames.

    Args:
        folder: where they lie; None forgets everything.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def measure(self, case: NoisyClip, peer: Peer, strength: float, wanted: Sequence[int]) -> Score:
        """Return a peer's score at a strength, running it when no earlier run did."""
        facts = (peer.name, peer.version, f"{strength:.6g}", *(str(i) for i in wanted))
        key = digest_bytes(case.noisy.tobytes(), case.clean.tobytes(), "|".join(facts).encode())
        path = None if self._folder is None else self._folder / f"{key.split(':')[1]}.json"
        if path is not None and path.is_file():
            return replace(Score(**json.loads(path.read_text(encoding="utf-8"))), cached=True)
        found = score(case, peer.run(case, wanted, strength), wanted)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            kept = {"psnr": found.psnr, "flicker": found.flicker, "cpu_seconds": found.cpu_seconds}
            write_bytes_atomic(path, json.dumps(kept).encode())
        return found


def best_of_peer(case: NoisyClip, peer: Peer, cache: ScoreCache) -> Best:
    """Search the strength with the highest PSNR on one frame, then score all frames with it."""
    small = _middle(case) if peer.slow else case
    start = peer.start(case)

    def tried(step: int) -> float | None:
        strength = start * peer.factor**step
        if not peer.lowest <= strength <= peer.highest:
            return None
        return cache.measure(small, peer, strength, (_TRIED,)).psnr

    found = climb(tried, first=1 if peer.slow else 2)
    top = _highest(found)
    strength = start * peer.factor**top
    ends = [found.get(top - 1), found.get(top + 1)]
    best = Best(
        peer=peer,
        strength=strength,
        score=cache.measure(case, peer, strength, SCORED),
        at_end=None in ends,
    )
    _log.info(
        "%s | %s | %s: %.2f dB at %.4g, flicker %.2f, %.3f s%s; tried %s",
        case.clip.name,
        case.condition.name,
        peer.name,
        best.score.psnr,
        strength,
        best.score.flicker,
        best.score.cpu_seconds,
        " (end of range)" if best.at_end else "",
        " ".join(f"{s:+d}:{v:.2f}" for s, v in sorted(found.items()) if v is not None),
    )
    return best


def climb(tried: Callable[[int], float | None], first: int) -> Mapping[int, float | None]:
    """Try steps `-first` to `first`, then outwards until the best has a worse one on each side.

    Args:
        tried: value of a step on the ladder, or None beyond its end.
    """
    found = {step: tried(step) for step in range(-first, first + 1)}
    for _ in range(_MOST_STEPS):
        top = _highest(found)
        missing = [step for step in (top - 1, top + 1) if step not in found]
        if not missing:
            break
        found[missing[0]] = tried(missing[0])
    return found


def _highest(found: Mapping[int, float | None]) -> int:
    known = {step: value for step, value in found.items() if value is not None}
    return max(known, key=lambda step: known[step])


def _middle(case: NoisyClip) -> NoisyClip:
    """Cut the middle half of the height and width out of a case."""
    size = case.clean.shape[2] // 2, case.clean.shape[1] // 2
    return replace(case, clean=cropped(case.clean, *size), noisy=cropped(case.noisy, *size))
