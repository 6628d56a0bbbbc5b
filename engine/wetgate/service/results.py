"""What a job has left behind: frames with what became of them, and the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wetgate.io.ranges import FrameRange
from wetgate.render.manifest import CONTROL, Journal
from wetgate.service.jobs import Record


def results_of(record: Record) -> dict[str, Any]:
    """List the frames of a job by number, as far as they are done.

    Raises:
        OutputError: the record of the output is there and cannot be read.
    """
    directory = Path(record.directory)
    wanted = set(FrameRange.from_str(record.frames)) if record.frames else None
    found = Journal(directory / CONTROL).latest() if record.directory else {}
    frames = [
        {
            "number": number,
            "status": done.status,
            "path": str(directory / done.file) if done.file else None,
            "changed_fraction": done.changed,
            "fixed": done.fixed,
            "left": done.left,
            "error": done.error,
        }
        for number, done in sorted(found.items())
        if wanted is None or number in wanted
    ]
    return {
        "frames": frames,
        "report": record.report,
        "directory": record.directory,
        "pattern": record.pattern,
        "fixes": sum(int(str(frame["fixed"])) for frame in frames),
    }
