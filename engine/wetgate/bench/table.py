"""The one shape of every benchmark: a table of ratios with intervals, and what it was run on."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import Literal

import numpy as np
import xxhash

SCHEMA = "wetgate.bench/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRow:
    """One measured case beside its peer.

    Attributes:
        case: what was measured, e.g. "DPX 10-bit RGB 2048x1556, file to float32".
        wetgate: our figure in `unit`; `peer`: the peer's, or None when there is no peer.
        peer_name: who the peer is, with its version when it has one.
        ratio: how many times better wetgate is (or the plain quotient the goal speaks of).
        interval: 95 % interval of `ratio` (of `wetgate` where there is no ratio), or None when
            there is only one sample.
        goal: the goal in words, e.g. ">= 8".
        reached: whether the goal was met; None when there is no goal.
        unit: unit of `wetgate` and `peer`.
        note: whatever a reader must know to trust the row.
        extra: further figures of the case, each a column of its own.
    """

    case: str
    wetgate: float
    peer: float | None = None
    peer_name: str = ""
    ratio: float | None = None
    interval: tuple[float, float] | None = None
    goal: str = ""
    reached: bool | None = None
    unit: str = "ms"
    note: str = ""
    extra: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchTable:
    """A benchmark's result: rows, and the facts needed to repeat them.

    Attributes:
        data: name -> digest of the material measured.
        versions: package -> version of everything that took part.
        machine: facts of the machine (`machine_facts`).
    """

    name: str
    rows: tuple[BenchRow, ...]
    data: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """Return plain JSON types, `schema` first."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "rows": [asdict(row) for row in self.rows],
            "data": dict(self.data),
            "versions": dict(self.versions),
            "machine": dict(self.machine),
        }

    def to_json(self) -> str:
        """Return the table as indented JSON text with a final newline."""
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False) + "\n"

    def to_text(self) -> str:
        """Return the table as aligned plain text, for a terminal or a log."""
        head = ("case", "wetgate", "peer", "by", "ratio", "95 %", "goal", "met")
        more = tuple(dict.fromkeys(name for row in self.rows for name in row.extra))
        body = [(*head, *more), *((*_cells(row), *_extra(row, more)) for row in self.rows)]
        # A column that no row fills only takes room.
        body = list(zip(*(c for c in zip(*body, strict=True) if any(c[1:])), strict=True))
        widths = [max(len(line[i]) for line in body) for i in range(len(body[0]))]
        lines = [
            "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
            for line in body
        ]
        lines.insert(1, "  ".join("-" * w for w in widths))
        lines += [f"  {row.case}: {row.note}" for row in self.rows if row.note]
        for title, facts in (
            ("data", self.data),
            ("versions", self.versions),
            ("machine", self.machine),
        ):
            if facts:
                lines.append(f"{title}: " + ", ".join(f"{k} {v}" for k, v in facts.items()))
        return "\n".join(lines) + "\n"


def _cells(row: BenchRow) -> tuple[str, ...]:
    met = {None: "", True: "yes", False: "NO"}[row.reached]
    return (
        row.case,
        f"{row.wetgate:.4g} {row.unit}",
        "" if row.peer is None else f"{row.peer:.4g} {row.unit}",
        row.peer_name,
        "" if row.ratio is None else f"{row.ratio:.2f}",
        "" if row.interval is None else f"{row.interval[0]:.2f} to {row.interval[1]:.2f}",
        row.goal,
        met,
    )


def _extra(row: BenchRow, names: Sequence[str]) -> tuple[str, ...]:
    values = (row.extra.get(name, "") for name in names)
    return tuple(v if isinstance(v, str) else f"{v:.4g}" for v in values)


def machine_facts() -> dict[str, str]:
    """Return processor, cores, memory, system and Python of this machine, in words."""
    import psutil

    return {
        "processor": _processor_name(),
        "cores": str(os.cpu_count() or 0),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _processor_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            names = [
                line.split(":", 1)[1].strip() for line in info if line.startswith("model name")
            ]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or "unknown"


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the installed version of each distribution; "absent" when it is not installed."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def digest_bytes(*blocks: bytes) -> str:
    """Return "xxh128:<hex>" of the blocks in order."""
    state = xxhash.xxh3_128()
    for block in blocks:
        state.update(block)
    return f"xxh128:{state.hexdigest()}"


def cpu_interleaved(
    ours: Callable[[], object],
    peer: Callable[[], object],
    repeats: int,
    *,
    clock: Callable[[], float] = time.process_time,
) -> tuple[list[float], list[float]]:
    """Time two calls in turn, who goes first alternating, after one unmeasured turn of each.

    Returns:
        Milliseconds of CPU time (every thread of this process) of each repeat, ours and peer's.
    """
    ours()
    peer()
    spent: dict[Literal["ours", "peer"], list[float]] = {"ours": [], "peer": []}
    for turn in range(repeats):
        order: tuple[Literal["ours", "peer"], ...] = ("ours", "peer")
        for who in order if turn % 2 == 0 else reversed(order):
            call = ours if who == "ours" else peer
            start = clock()
            call()
            spent[who].append((clock() - start) * 1e3)
    return spent["ours"], spent["peer"]


def bootstrap_ratio(
    ours: Sequence[float], peer: Sequence[float], *, resamples: int = 2000, seed: int = 1
) -> tuple[float, tuple[float, float]]:
    """Return median(peer) / median(ours) and its 95 % bootstrap interval.

    The samples are paired by position (`cpu_interleaved` made them in the same turn), so whole
    turns are resampled. The seed is fixed: the same samples give the same interval.
    """
    a, b = np.asarray(ours, dtype=np.float64), np.asarray(peer, dtype=np.float64)
    picks = np.random.default_rng(seed).integers(0, len(a), size=(resamples, len(a)))
    ratios = np.median(b[picks], axis=1) / np.median(a[picks], axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(np.median(b) / np.median(a)), (float(low), float(high))


def speed_row(
    case: str,
    peer_name: str,
    ours: Sequence[float],
    peer: Sequence[float],
    *,
    at_least: float,
    note: str = "",
) -> BenchRow:
    """Make the row of a speed claim: how many times less time wetgate needs than the peer."""
    ratio, interval = bootstrap_ratio(ours, peer)
    return BenchRow(
        case=case,
        wetgate=statistics.median(ours),
        peer=statistics.median(peer),
        peer_name=peer_name,
        ratio=ratio,
        interval=interval,
        goal=f">= {at_least:g}",
        reached=ratio >= at_least,
        note=note,
    )
