"""Where benchmarks find published pictures."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_KINDS = (".png", ".bmp")


def data_folder(data: Path | None) -> Path | None:
    """Return the folder of published pictures, None where there is none.

    Args:
        data: asked for; else `WETGATE_TEST_DATA`, else `../shared/data`.
    """
    named = os.environ.get("WETGATE_TEST_DATA")
    folder = data or (Path(named) if named else Path("..") / "shared" / "data")
    return folder if folder.is_dir() else None


def published_stills(
    name: str, data: Path | None
) -> tuple[dict[str, NDArray[np.float32]], list[str]]:
    """Read a set of stills, 0-1, `(height, width, 3)`, by file name; gray ones three times alike.

    Args:
        name: folder of the set, in `data` or in `data/eval`.

    Returns:
        the pictures, and why there are none.
    """
    import cv2

    places = [] if data is None else [data / "eval" / name, data / name]
    place = next((p for p in places if p.is_dir()), None)
    if place is None:
        return {}, [f"{name}: no such folder in the test pictures"]
    pictures = {}
    for path in sorted(p for p in place.iterdir() if p.suffix.lower() in _KINDS):
        codes = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if codes is not None:
            rgb = np.ascontiguousarray(codes[..., ::-1])
            pictures[path.stem] = rgb.astype(np.float32) / np.float32(255)
    return pictures, []
