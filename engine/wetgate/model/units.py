"""Quantities as people write them: bytes, spans of time."""

from __future__ import annotations

import re

from wetgate.model.errors import UsageError

_UNITS = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
    "K": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
}


def parse_bytes(text: str) -> int:
    """Return the bytes of "4GB", "512MiB", "1.5 G" or a plain number.

    GB is 10**9 and GiB is 2**30.

    Raises:
        UsageError: when the text is not a positive amount.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if match is None or match[2].upper() not in _UNITS:
        raise UsageError(f"{text!r} is not an amount of memory", expected="e.g. 4GB or 512MiB")
    amount = int(float(match[1]) * _UNITS[match[2].upper()])
    if amount <= 0:
        raise UsageError(f"{text!r} is no memory at all", expected="e.g. 4GB or 512MiB")
    return amount


def format_bytes(amount: float) -> str:
    """Return bytes in the largest decimal unit that leaves at least 1, e.g. "3.9 GB"."""
    for unit in ("TB", "GB", "MB", "kB"):
        size = _UNITS[unit.upper()]
        if abs(amount) >= size:
            return f"{amount / size:.1f} {unit}"
    return f"{int(amount)} B"


def format_seconds(seconds: float) -> str:
    """Return a span of time as "850 ms", "4.2 s", "3 min 05 s" or "2 h 10 min"."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"
    return f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60:02d} min"
