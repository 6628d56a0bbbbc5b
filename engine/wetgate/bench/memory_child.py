"""The measured process of `wetgate.bench.memory`: restores, then says how large it became."""

from __future__ import annotations

import json
import re
import sys
import time

import psutil

from wetgate.model.errors import OutOfMemory
from wetgate.render.events import Planned
from wetgate.render.job import JobOptions, run_job


def peak_bytes() -> int:
    """Return the greatest resident memory this process has had, bytes."""
    try:
        # The peak of the address space in use: unlike getrusage, not inherited from the parent.
        with open("/proc/self/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak_on_windows = getattr(psutil.Process().memory_info(), "peak_wset", None)
    if peak_on_windows is not None:
        return int(peak_on_windows)
    import resource

    scale = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * scale


def _asked_for(refused: OutOfMemory) -> int:
    """Return the budget in MB that a refusal names, as its reader would find it."""
    return int(re.findall(r"--memory (\d+)MB", str(refused))[-1])


def main() -> int:
    """Run the job of the first argument and write its figures as JSON, or what it needs."""
    options = JobOptions(**json.loads(sys.argv[1]))
    started = time.perf_counter()
    planned: list[int] = []

    def hear(event: object) -> None:
        if isinstance(event, Planned):
            planned.append(event.plan.peak_memory)

    try:
        report = run_job(options, on_event=hear)
    except OutOfMemory as refused:
        sys.stdout.write(json.dumps({"needs_mb": _asked_for(refused)}))
        return 0
    if report.exit_code == 0:
        facts = {
            "peak_mb": peak_bytes() / 2**20,
            "planned_mb": planned[0] / 2**20,
            "seconds": time.perf_counter() - started,
        }
        sys.stdout.write(json.dumps(facts))
    else:
        sys.stderr.write("; ".join(str(f.error) for f in report.failed))
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
