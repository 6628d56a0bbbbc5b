"""Render specks in a process of its own, to be killed: `python specks_worker.py PLATE OUT`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))


def main() -> int:
    from wetgate.operators import registry
    from wetgate.render.job import JobOptions, run_job

    from support.plates import recipe, register
    from support.specks import Specks

    register()
    registry._FACTORIES = {**registry._FACTORIES, "specks": Specks}
    plate, out = sys.argv[1:3]
    options = JobOptions(plate=plate, out=out, recipe=recipe("specks"), resume=True, threads=1)
    return run_job(options).exit_code


if __name__ == "__main__":
    sys.exit(main())
