"""The command line; the only part of wetgate that prints."""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit with its code."""
    from wetgate.cli.app import main as run_app

    run_app()
