"""Run one job in a process of its own: `python job_worker.py PLATE OUT RECIPE[-RECIPE] [MODE]`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))


def main() -> int:
    from wetgate.model.errors import WetgateError
    from wetgate.render.job import JobOptions, run_job

    from support.plates import recipe, register

    register()
    plate, out, names = sys.argv[1:4]
    mode = sys.argv[4] if len(sys.argv) > 4 else ""
    try:
        report = run_job(
            JobOptions(
                plate=plate,
                out=out,
                recipe=recipe(*names.split("-")),
                resume="resume" in mode,
                threads=2,
            )
        )
    except WetgateError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return error.exit_code
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
