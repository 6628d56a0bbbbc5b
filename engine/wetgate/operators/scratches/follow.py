"""Follow lines through the strips of all frames of a shot, one after the other as on the film.

Evidence is added along paths by dynamic programming: within a frame a path may move by a pixel
from strip to strip, from one frame to the next by as much as a gate weaves. A path starts anew
where what came before only takes away, so that scratches may begin and end anywhere (the local
alignment of Smith and Waterman, "Identification of common molecular subsequences", J. Mol. Biol.
147, 1981, with strips in place of residues).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wetgate.operators.scratches.lines import LEVELS_PER_DEVIATION, Evidence

_STRENGTH = 1.2
"""Deviations a strip that the weakest scratch worth finding shows; what the sums are tuned to."""
_MOST = 3.5
_TURN = 2.5
_JUMP = (4.0, 3.0, 2.0, 0.0, 2.0, 3.0, 4.0)
_CAP = 60.0
"""A path that ends keeps its score for some strips, no longer: gaps are bridged, ends are not."""
_THRESHOLD = 36.0
_APART = 8
_SAME = 10
_ALIKE = 0.5
_ONE_LINE = 3
_FAR_BETTER = 2.0
_SHOWN = 0.3


@dataclass(frozen=True, slots=True)
class Path:
    """A line over consecutive strips of the film.

    Attributes:
        start: number of the first strip; frame `start // strips of a frame` of the shot.
        columns: the column at each strip.
        polarity: +1 bright, -1 dark.
        score: log likelihood ratio of a line against grain, uncapped.
        core: index in `lines.CORES` of the width that saw it best.
    """

    start: int
    columns: NDArray[np.int32]
    polarity: int
    score: float
    core: int

    @property
    def stop(self) -> int:
        """Return the number of the strip after the last."""
        return self.start + len(self.columns)


def follow(evidence: Sequence[tuple[Evidence, ...]], *, least_strips: int) -> list[Path]:
    """Find all paths of at least that many strips, the strongest first.

    Args:
        evidence: of every frame, all alike in shape.
    """
    per_frame = len(evidence[0][0])
    found: list[Path] = []
    for core in range(len(evidence[0])):
        film = np.concatenate([e[core] for e in evidence], axis=0)
        for polarity in (1, -1):
            gains = _gains(polarity)
            scores, moves = _forward(film, gains, per_frame)
            paths = _traced(film, gains, scores, moves, polarity, core)
            found += [p for p in paths if len(p.columns) >= least_strips]
    found.sort(key=lambda p: (-p.score, p.start, int(p.columns[0])))
    kept: list[Path] = []
    for path in found:
        if not any(_beside(path, other) for other in kept):
            kept.append(path)
    return kept


def merged(
    plain: Sequence[Path], rest: Sequence[Path], evidence: Sequence[tuple[Evidence, ...]]
) -> list[Path]:
    """Return the paths that frames show, and those that show once other frames were taken away.

    Args:
        evidence: that `rest` was found in. Of a line of the picture it tells nothing; such a line
            must not hide a scratch beside it.
    """
    alone = [
        p for p in plain if not any(_close(p, r) and r.score > _FAR_BETTER * p.score for r in rest)
    ]
    firm = [p for p in alone if _shows(p, evidence)]

    def hidden(path: Path) -> bool:
        return any(_close(path, p) for p in alone) or any(
            _beside(path, p) and p.score > path.score for p in firm
        )

    kept = [*alone, *(r for r in rest if not hidden(r))]
    return sorted(kept, key=lambda p: (-p.score, p.start, int(p.columns[0])))


def _shows(path: Path, evidence: Sequence[tuple[Evidence, ...]]) -> bool:
    """Whether evidence speaks for a path that was found in other evidence."""
    per_frame = len(evidence[0][0])
    strips = np.arange(path.start, path.stop)
    levels = np.array(
        [
            evidence[s // per_frame][path.core][s % per_frame, x]
            for s, x in zip(strips.tolist(), path.columns.tolist(), strict=True)
        ],
        np.float64,
    )
    seen = path.polarity * levels / LEVELS_PER_DEVIATION
    return float(np.minimum(np.maximum(seen, -_MOST), _MOST).mean()) > _SHOWN


def _close(path: Path, other: Path) -> bool:
    """Whether two paths are one line."""
    start, stop = max(path.start, other.start), min(path.stop, other.stop)
    if path.polarity != other.polarity or stop - start <= _ALIKE * len(path.columns):
        return False
    mine = path.columns[start - path.start : stop - path.start]
    its = other.columns[start - other.start : stop - other.start]
    return float(np.median(np.abs(mine - its))) <= _ONE_LINE


def _gains(polarity: int) -> NDArray[np.float32]:
    """Return the log likelihood ratio of each stored level plus 128."""
    levels = np.arange(-128, 128, dtype=np.float64) / LEVELS_PER_DEVIATION * polarity
    seen = np.minimum(np.maximum(levels, -_MOST), _MOST)
    return (_STRENGTH * seen - 0.5 * _STRENGTH**2).astype(np.float32)


def _forward(
    film: Evidence, gains: NDArray[np.float32], per_frame: int
) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Return the score of the best path that ends at each place, and the move that led there."""
    steps, width = film.shape
    scores = np.zeros((steps, width), np.float32)
    moves = np.zeros((steps, width), np.int8)
    turn = np.array([_TURN, 0.0, _TURN], np.float32)
    jump = np.array(_JUMP, np.float32)
    before = np.zeros(width, np.float32)
    for step in range(steps):
        cost = jump if step % per_frame == 0 else turn
        reach = len(cost) // 2
        wide = np.pad(before, reach, constant_values=-1e9)
        best, move = before.copy(), np.zeros(width, np.int8)
        for k, price in enumerate(cost):
            if k == reach:
                continue
            other = wide[k : k + width] - price
            better = other > best
            best[better] = other[better]
            move[better] = k - reach
        before = np.minimum(np.maximum(best, 0.0) + gains[film[step].astype(np.intp) + 128], _CAP)
        before = np.maximum(before, 0.0)
        move[best <= 0] = 127
        scores[step], moves[step] = before, move
    return scores, moves


def _traced(
    film: Evidence,
    gains: NDArray[np.float32],
    scores: NDArray[np.float32],
    moves: NDArray[np.int8],
    polarity: int,
    core: int,
) -> list[Path]:
    """Trace paths back from where they are strong, the latest first, each place once."""
    steps, width = film.shape
    taken = np.zeros((steps, width), np.bool_)
    found = []
    for step in range(steps - 1, -1, -1):
        row = np.where(taken[step], np.float32(0), scores[step])
        while True:
            column = int(np.argmax(row))
            if row[column] < _THRESHOLD:
                break
            columns, s, x = [], step, column
            while s >= 0 and not taken[s, x]:
                columns.append(x)
                move = int(moves[s, x])
                s -= 1
                if move == 127:
                    break
                x += move
            for k, c in enumerate(columns):
                taken[step - k, max(0, c - _APART) : c + _APART + 1] = True
            row[max(0, column - _APART) : column + _APART + 1] = 0
            path = _trimmed(film, gains, s + 1, np.array(columns[::-1], np.int32), polarity, core)
            if path is not None:
                found.append(path)
    return found


def _trimmed(
    film: Evidence,
    gains: NDArray[np.float32],
    start: int,
    columns: NDArray[np.int32],
    polarity: int,
    core: int,
) -> Path | None:
    """Cut off ends that only take away; None where too little is left."""
    own = gains[film[np.arange(start, start + len(columns)), columns].astype(np.intp) + 128]
    total = np.cumsum(own.astype(np.float64))
    last = int(np.argmax(total))
    ahead = np.concatenate([[0.0], total[:last]])
    first = int(np.argmin(ahead))
    score = float(total[last] - ahead[first])
    if score < _THRESHOLD:
        return None
    return Path(start + first, columns[first : last + 1], polarity, score, core)


def _beside(path: Path, other: Path) -> bool:
    """Whether a path runs along a stronger one: its side lobe, or its shoulder."""
    start, stop = max(path.start, other.start), min(path.stop, other.stop)
    if stop <= start:
        return False
    mine = path.columns[start - path.start : stop - path.start]
    its = other.columns[start - other.start : stop - other.start]
    near = np.abs(mine - its) <= _SAME
    return bool(near.sum() > _ALIKE * len(path.columns))
