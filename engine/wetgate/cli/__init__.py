"""The command line; the only part of wetgate that prints."""

from __future__ import annotations

from wetgate.cli.app import main

__all__ = ["main"]
