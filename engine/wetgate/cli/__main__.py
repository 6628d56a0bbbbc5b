"""`python -m wetgate.cli`."""

from wetgate.cli.app import main

if __name__ == "__main__":
    main()
