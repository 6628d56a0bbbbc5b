"""Wire a job's plate, store and steps into a chain that can compute."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from wetgate.model.errors import AnalysisStale
from wetgate.render.analysis import ClipAnalysis, ShotAnalyses
from wetgate.render.beside import Beside
from wetgate.render.bound import chain_reach
from wetgate.render.chain import Chain
from wetgate.render.planner import Job
from wetgate.render.shelf import FrameSource, Loaded, Shelf
from wetgate.render.store import PlaneStore
from wetgate.render.windows import Shots
from wetgate.render.workers import Workers


@contextmanager
def open_chain(
    job: Job,
    workers: Workers,
    beside: Beside | None,
    shots: Shots,
    analyses: Sequence[ShotAnalyses],
    source: FrameSource,
) -> Iterator[tuple[Chain, Shelf]]:
    """Give a chain over `source` that lets go of everything at the end.

    Args:
        analyses: of every step; may grow while the chain is in use.
    """
    reach = chain_reach(job.operators)
    store = PlaneStore(memory_limit=job.memory.store_limit, scratch=job.control / "scratch")
    shelf = Shelf(
        source,
        store,
        direct=reach.source == 0,
        with_steps=bool(job.steps) or job.output_space is not None,
        matte=beside.matte if beside is not None else None,
        planes=beside.planes if beside is not None else None,
    )
    chain = Chain(
        shelf=shelf,
        store=store,
        steps=job.steps,
        shots=shots,
        analyses=analyses,
        workers=workers,
        tile=job.memory.tile,
        wide=job.memory.wide,
    )
    try:
        yield chain, shelf
    finally:
        chain.retain(())
        shelf.retain(lambda _: False)
        scratch = job.control / "scratch"
        if scratch.is_dir() and not any(scratch.iterdir()):
            scratch.rmdir()


@dataclass(frozen=True, slots=True)
class CheckedClip:
    """A clip whose frames must be those that were analysed."""

    clip: FrameSource
    analysis: ClipAnalysis
    path: Path

    @property
    def frames(self) -> Sequence[int]:
        """Return the numbers that exist."""
        return self.clip.frames

    def load(self, number: int) -> Loaded:
        """Read one frame; raises `AnalysisStale` when it is not the one that was analysed."""
        loaded = self.clip.load(number)
        stamp = self.analysis.frames[number]
        if loaded.digest != stamp.digest:
            raise AnalysisStale(
                "the source frame has changed since the analysis",
                path=self.path,
                frame=number,
                remedy="run the whole job again; it makes a new one",
            )
        return loaded
