"""`python -m wetgate.install` is `wetgate install`."""

import sys

from wetgate.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["install"]
    main()
