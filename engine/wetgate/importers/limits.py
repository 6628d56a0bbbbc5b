"""What a file of unknown origin may ask for while it is turned into a model package."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one import.

    Attributes:
        file_bytes: of a file before it is opened; protobuf itself ends at 2 GiB.
        memory_bytes: address space of the child, libraries and weights included.
        cpu_seconds: of the child, all threads together.
        seconds: wall time until the child is ended.
        nodes: of a graph, subgraphs and inlined functions included.
        weights: elements of all constants of a graph together.
        values: elements of one intermediate result for a picture of 64 x 64 px.
        side: the largest shift, pad or resize factor numerator that a constant may name, px.
    """

    file_bytes: int = 1 << 30
    memory_bytes: int = 6 << 30
    cpu_seconds: int = 900
    seconds: float = 3600.0
    nodes: int = 30_000
    weights: int = 1 << 28
    values: int = 1 << 26
    side: int = 4096
