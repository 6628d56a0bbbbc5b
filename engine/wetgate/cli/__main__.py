"""`python -m wetgate.cli`."""

from wetgate.cli.app import main

main()
